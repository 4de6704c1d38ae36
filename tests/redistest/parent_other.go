//go:build !linux

package redistest

import "os/exec"

// dieWithParent does nothing where a child cannot be bound to its parent; a test process that crashes leaves its servers.
func dieWithParent(*exec.Cmd) {}
