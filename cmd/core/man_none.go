//go:build !man

package main

import "github.com/spf13/cobra"

// addMan does nothing: see man.go.
func (c *cli) addMan(*cobra.Command) {}
