//go:build man

package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"chatcore"
)

// addMan adds the command that writes manual pages. It is part of builds with the tag man only: its packages link text/template, with which the linker
// keeps every exported method of the program.
func (c *cli) addMan(root *cobra.Command) {
	cmd := &cobra.Command{
		Use: "man DIR", Short: "Write a manual page for each command into a directory", Args: cobra.ExactArgs(1), GroupID: groupRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil { //nolint:gosec // pages are for everyone
				return err
			}
			released := time.Unix(0, 0) // pages of one commit are the same whenever they are written
			cmd.Root().DisableAutoGenTag = true
			return doc.GenManTree(cmd.Root(), &doc.GenManHeader{Section: "1", Source: "chatcore " + chatcore.Version, Manual: "chatcore", Date: &released}, args[0])
		},
	}
	root.AddCommand(cmd)
}
