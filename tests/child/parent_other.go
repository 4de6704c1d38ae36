//go:build !linux

package child

import "os/exec"

// dieWithParent does nothing, because this system cannot bind a child to its parent. A test process that crashes leaves its children behind.
func dieWithParent(*exec.Cmd) {}
