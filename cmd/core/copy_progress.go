package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"chatcore"
	"chatcore/adapters/vault/archive"
)

// bar returns a progress bar on standard error, for a number of things or -1 if that is unknown. It returns nil unless standard error is a terminal.
func (c *cli) bar(most int, things string) *progressbar.ProgressBar {
	errs, isFile := c.errs.(*os.File)
	if !isFile || !term.IsTerminal(int(errs.Fd())) { //nolint:gosec // a file descriptor
		return nil
	}
	return progressbar.NewOptions(most, progressbar.OptionSetWriter(errs), progressbar.OptionSetItsString(things), progressbar.OptionShowIts(), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(), progressbar.OptionSetSpinnerChangeInterval(0)) // without a goroutine
}

// copyProgress shows how far a log was copied or compared, on a terminal.
func (c *cli) copyProgress(doing string) func(chatcore.CopyProgress) error {
	bar := c.bar(-1, "events")
	if bar == nil {
		return nil
	}
	return func(p chatcore.CopyProgress) error {
		bar.Describe(fmt.Sprintf("%s, partition %d of %d", doing, p.Partition+1, p.Partitions))
		return bar.Set(p.Events)
	}
}

// backupProgress shows the steps of a backup on a terminal: a bar for each.
func (c *cli) backupProgress() func(step archive.BackupStep, done, of int) {
	var bar *progressbar.ProgressBar
	var present archive.BackupStep
	return func(step archive.BackupStep, done, of int) {
		if bar == nil || step != present {
			if bar, present = c.bar(of, "partitions"), step; bar == nil {
				return
			}
			bar.Describe(step.String())
		}
		_ = bar.Set(done) // a terminal that is gone stops no backup
	}
}
