// The program consumer handles the messages of a pull group in a process of its own: it prints each new message once.
//
// Define the group first, with a core that serves the API:
//
//	core groups create push --type message:new
//	go run ./examples/consumer --url http://127.0.0.1:8080 --group push
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"chatcore/consume"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Getenv("CHATCORE_TOKEN"), os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, arguments []string, token string, out io.Writer) error {
	flags := flag.NewFlagSet("consumer", flag.ContinueOnError)
	urls := flags.String("url", "http://127.0.0.1:8080", "base URLs of instances, separated by commas")
	group := flags.String("group", "push", "name of the pull group")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	p := printer{out: out, printed: make(map[string]bool)}
	return consume.Run(ctx, consume.Config{URLs: strings.Split(*urls, ","), Token: token, Group: *group, Name: "example"}, p.handle)
}

// printer prints messages. A real effect would be made unique by the id of the event where it is stored.
type printer struct {
	mu      sync.Mutex
	out     io.Writer
	printed map[string]bool // mu guards; ids of events
}

func (p *printer) handle(_ context.Context, d consume.Delivery) error {
	message := d.Event.GetMessageNew()
	if message == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.printed[d.Event.GetId()] {
		return nil
	}
	if _, err := fmt.Fprintf(p.out, "%s %d: %s\n", d.Event.GetChatId(), d.Event.GetSeq(), message.GetContent()); err != nil {
		return err
	}
	p.printed[d.Event.GetId()] = true
	return nil
}
