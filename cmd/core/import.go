package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// importActor creates and owns the chats of an import.
const importActor = domain.UserID("importer")

var errMalformed = errors.New("the transcript has malformed lines; they were skipped")

func (c *cli) importer() *cobra.Command {
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Import a transcript (.jsonl or .jsonl.gz)", Args: cobra.ExactArgs(1),
		Long: "Import a transcript, one JSON object a line: chat, at (RFC 3339), kind (message, action, join, leave, rename), user, text.\n" +
			"Importing the same file again adds nothing; an import that was cut off goes on where it was.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				run := &importRun{c: c, core: core, id: "import-" + uuid.NewString(), chats: make(map[domain.ChatID]chan entry)}
				return run.run(cmd.Context(), args[0])
			})
		},
	}
	return c.embeddedFlag(c.jsonFlag(cmd))
}

// importRun is one import. Each chat is imported line by line, the chats side by side.
type importRun struct {
	c     *cli
	core  *chatcore.Core
	id    string // consumer group, and what every event of this run carries
	chats map[domain.ChatID]chan entry

	lines, malformed                       int
	messages, duplicates, rejected, events atomic.Int64

	mu        sync.Mutex
	delivered map[domain.EventID]struct{}
	arrived   chan struct{}
}

type importSummary struct {
	Lines      int     `json:"lines"`
	Messages   int64   `json:"messages"`
	Duplicates int64   `json:"duplicates"`
	Rejected   int64   `json:"rejected"`
	Events     int64   `json:"events"`
	Delivered  int     `json:"delivered"`
	Chats      int     `json:"chats"`
	Seconds    float64 `json:"seconds"`
}

func (r *importRun) run(ctx context.Context, path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	started := time.Now()
	r.delivered, r.arrived = make(map[domain.EventID]struct{}), make(chan struct{}, 1)
	if err := r.core.Subscribe(r.id, chatcore.Passing(), chatcore.On(r.count)); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := r.core.Start(running); err != nil {
		return err
	}
	err := r.read(ctx, path)
	if err == nil {
		err = r.settle(ctx)
	}
	stop()
	if err := errors.Join(err, r.core.Wait()); err != nil {
		return err
	}
	r.mu.Lock()
	summary := importSummary{
		Lines: r.lines, Messages: r.messages.Load(), Duplicates: r.duplicates.Load(), Rejected: r.rejected.Load(),
		Events: r.events.Load(), Delivered: len(r.delivered), Chats: len(r.chats), Seconds: time.Since(started).Seconds(),
	}
	r.mu.Unlock()
	text := fmt.Sprintf("%d lines: %d messages, %d duplicates, %d rejected; %d events appended, %d delivered; %d chats; %.1f s",
		summary.Lines, summary.Messages, summary.Duplicates, summary.Rejected, summary.Events, summary.Delivered, summary.Chats, summary.Seconds)
	if err := r.c.print(summary, text); err != nil {
		return err
	}
	if r.malformed > 0 {
		return fmt.Errorf("%w: %d", errMalformed, r.malformed)
	}
	return nil
}

// count takes what a durable subscriber of this run receives of what the run appended.
func (r *importRun) count(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
	if d.Meta.CorrelationID != r.id {
		return nil
	}
	r.mu.Lock()
	r.delivered[d.ID.Event] = struct{}{}
	r.mu.Unlock()
	select {
	case r.arrived <- struct{}{}:
	default:
	}
	return nil
}

// settle waits until all that was appended was delivered, as long as deliveries come at all.
func (r *importRun) settle(ctx context.Context) error {
	const patience = 30 * time.Second
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		r.mu.Lock()
		missing := r.events.Load() - int64(len(r.delivered))
		r.mu.Unlock()
		if missing <= 0 {
			return nil
		}
		select {
		case <-r.arrived:
			timer.Reset(patience)
		case <-timer.C:
			return fmt.Errorf("no delivery for %s, %d events are missing; is another program reading as group %s?", patience, missing, r.id)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (r *importRun) read(ctx context.Context, path string) error {
	group, ctx := errgroup.WithContext(ctx)
	err := readTranscript(path, r.progress(path), func(e entry, malformed error) error {
		r.lines++
		if malformed != nil {
			r.malformed++
			fmt.Fprintf(r.c.errs, "line %d is malformed: %v\n", e.line, malformed)
			return nil
		}
		chat := domain.ChatID(e.Chat)
		lines := r.chats[chat]
		if lines == nil {
			const ahead = 1024 // lines read before they are imported
			lines = make(chan entry, ahead)
			r.chats[chat] = lines
			group.Go(func() error { return r.importChat(ctx, chat, lines) })
		}
		select {
		case lines <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	for _, lines := range r.chats {
		close(lines)
	}
	// The workers' error is the cause, where there is one.
	if werr := group.Wait(); werr != nil {
		return werr
	}
	return err
}

// progress shows a bar on a terminal.
func (r *importRun) progress(path string) func(io.Reader) io.Reader {
	errs, isFile := r.c.errs.(*os.File)
	info, err := os.Stat(path)
	if err != nil || !isFile || !term.IsTerminal(int(errs.Fd())) { //nolint:gosec // a file descriptor
		return func(in io.Reader) io.Reader { return in }
	}
	bar := progressbar.DefaultBytes(info.Size(), "importing")
	return func(in io.Reader) io.Reader {
		reader := progressbar.NewReader(in, bar)
		return &reader
	}
}

// chatImport turns the lines of one chat into commands. Which commands follows from the lines alone, never from what the log holds
// already: so another run gives the same commands under the same ids, and each has its effect once.
type chatImport struct {
	run     *importRun
	chat    domain.ChatID
	members map[domain.UserID]struct{}
}

func (r *importRun) importChat(ctx context.Context, chat domain.ChatID, lines <-chan entry) error {
	c := &chatImport{run: r, chat: chat, members: map[domain.UserID]struct{}{importActor: {}}}
	created := false
	for e := range lines {
		chats := r.core.Chats.Backdated(e.At).Correlated(r.id)
		if !created {
			created = true
			id := domain.CommandID("import:create")
			if err := c.did(chats.Create(ctx, app.Create{Chat: chat, By: importActor, Title: string(chat), Command: id})); err != nil {
				if errors.Is(err, domain.ErrInvalid) {
					return c.rejectAll(lines)
				}
				return err
			}
		}
		if err := c.line(ctx, chats, e); err != nil {
			return fmt.Errorf("line %d: %w", e.line, err)
		}
	}
	return nil
}

// rejectAll is for a chat that cannot be: its id is not valid.
func (c *chatImport) rejectAll(lines <-chan entry) error {
	c.run.rejected.Add(1)
	for range lines {
		c.run.rejected.Add(1)
	}
	return nil
}

func (c *chatImport) line(ctx context.Context, chats *app.Chats, e entry) error {
	user := domain.UserID(e.User)
	if _, err := domain.ParseUserID(e.User); err != nil {
		c.reject(e, err)
		return nil
	}
	switch e.Kind {
	case "message", "action":
		content, err := domain.NewContent(e.Text)
		if err != nil {
			c.reject(e, err)
			return nil
		}
		if err := c.join(ctx, chats, e, user); err != nil {
			return err
		}
		sent, err := chats.Send(ctx, app.Send{Chat: c.chat, By: user, MessageID: domain.MessageID(e.id("message")), Content: string(content)})
		if err != nil {
			return err
		}
		if sent.Duplicate {
			c.run.duplicates.Add(1)
			return nil
		}
		c.run.messages.Add(1)
		c.run.events.Add(1)
		return nil
	case "join":
		return c.join(ctx, chats, e, user)
	case "leave":
		return c.leave(ctx, chats, e, user)
	default: // rename
		name, err := domain.ParseUserID(e.Text)
		if err != nil {
			c.reject(e, err)
			return nil
		}
		if err := c.leave(ctx, chats, e, user); err != nil {
			return err
		}
		return c.join(ctx, chats, e, name)
	}
}

func (c *chatImport) join(ctx context.Context, chats *app.Chats, e entry, user domain.UserID) error {
	if _, there := c.members[user]; there {
		return nil
	}
	c.members[user] = struct{}{}
	return c.did(chats.Add(ctx, app.Add{Chat: c.chat, By: importActor, User: user, Command: domain.CommandID(e.id("join"))}))
}

func (c *chatImport) leave(ctx context.Context, chats *app.Chats, e entry, user domain.UserID) error {
	if _, there := c.members[user]; !there || user == importActor {
		return nil
	}
	delete(c.members, user)
	return c.did(chats.Remove(ctx, app.Remove{Chat: c.chat, By: importActor, User: user, Command: domain.CommandID(e.id("leave"))}))
}

func (c *chatImport) did(done app.Done, err error) error {
	if done.Changed && !done.Duplicate {
		c.run.events.Add(1)
	}
	return err
}

func (c *chatImport) reject(e entry, err error) {
	c.run.rejected.Add(1)
	c.run.c.logger.Info("line rejected", "line", e.line, "error", err)
}

// id names a command by the line's place in the file; ids are a chat's own, so the chat need not be in it.
func (e entry) id(what string) string { return fmt.Sprintf("import:%s:%d", what, e.line) }
