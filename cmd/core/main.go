// Command core runs chatcore: as a service, as a demo, and as a tool to look into chats and to change them.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"chatcore/cmd/core/signals"
)

func main() {
	ctx, stop := signals.Context()
	quiet := context.AfterFunc(ctx, func() { fmt.Fprintln(os.Stderr, "core: stopping; a second signal ends it at once") })
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	quiet()
	stop()
	os.Exit(code)
}

// run runs one command line. It prints the command's error and returns the exit code of its class.
func run(ctx context.Context, args []string, out, errs io.Writer) int {
	c := newCLI(out, errs)
	root := c.root() //nolint:contextcheck // commands have the context that executes them
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	return c.report(err, args)
}
