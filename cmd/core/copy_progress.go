package main

import (
	"fmt"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"chatcore"
)

// copyProgress shows how far a log was copied or compared, on standard error: a bar on a terminal, otherwise a line now and then.
func (c *cli) copyProgress(doing string) func(chatcore.CopyProgress) error {
	errs, isFile := c.errs.(*os.File)
	if isFile && term.IsTerminal(int(errs.Fd())) { //nolint:gosec // a file descriptor
		bar := progressbar.NewOptions(-1, progressbar.OptionSetWriter(errs), progressbar.OptionSetDescription(doing), progressbar.OptionSetItsString("events"), progressbar.OptionShowIts(), progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
		return func(p chatcore.CopyProgress) error {
			bar.Describe(fmt.Sprintf("%s, partition %d of %d", doing, p.Partition+1, p.Partitions))
			return bar.Set(p.Events)
		}
	}
	shown := time.Now()
	return func(p chatcore.CopyProgress) error {
		if time.Since(shown) >= rewriteEvery {
			shown = time.Now()
			fmt.Fprintf(c.errs, "%s: partition %d of %d, %s, %s\n", doing, p.Partition+1, p.Partitions, count(p.Chats, "chat"), count(p.Events, "event"))
		}
		return nil
	}
}
