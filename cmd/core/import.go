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
	"chatcore/domain"
)

// Bounds of an import of any file.
const (
	importWorkers  = 64   // chats that are imported at the same time
	importAhead    = 4096 // lines that are read and not yet recorded
	importProblems = 20   // lines that are reported one by one
)

var errMalformed = errors.New("the transcript has malformed lines; they were skipped")

func (c *cli) importer() *cobra.Command {
	var log logImport
	cmd := &cobra.Command{
		Use: "import", Short: "Import a transcript (.jsonl or .jsonl.gz), or an exported log",
		Long: importHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			if log.dir != "" {
				return c.importLog(cmd.Context(), log)
			}
			c.patient = true
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				return newImportRun(c, core).run(cmd.Context(), args[0])
			})
		},
	}
	log.flags(cmd)
	cmd = c.takes(c.embeddedFlag(c.jsonFlag(cmd)), fileArg)
	ofTranscript := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if log.dir != "" {
			return checkArguments(cmd, args, nil)
		}
		return ofTranscript(cmd, args)
	}
	return cmd
}

const importHelp = `Import a transcript, one JSON object a line:

  {"chat": "garden", "at": "2021-05-01T09:00:00Z", "kind": "message", "user": "ada", "text": "Morning!"}

kind is message, action, join, leave or rename (text is then the user's new name); at is RFC 3339. Other fields are ignored. Lines may end with
CR LF and the file may begin with a byte order mark. Blank lines are counted and skipped.

A line is identified by its chat, time, kind, user and text, and by its number among the lines of the file that say the same. So a file that
overlaps one that was imported before adds only its new lines, at the end of their chats with their own times; the same file adds nothing, and
an import that was cut off is completed by another. If such a line makes its user join or leave, that is taken back when a line of the same
user that comes after it in the file was imported before.

A malformed line, one of more than 1 MiB, or one that breaks a rule of chats (a text of more than 16 KiB, for example) is skipped. The first 20
such lines are reported with their numbers, all of them are counted. The command ends with 1 if a line was malformed or too long. Chats that
were not created by an import take no lines. The file is read twice and must be a regular file.

--log DIR imports a whole log that core export has written, into a Redis that has none: every event with its id, time and seq.`

// importRun is one import. The lines of a chat are imported in their order by one worker, those of different chats at the same time.
type importRun struct {
	c        *cli
	core     *chatcore.Core
	id       string        // consumer group, and correlation id of every event of the run
	patience time.Duration // how long it goes on while no command succeeds

	lines, blank, malformed, chats                  int // of the reading goroutine
	messages, duplicates, rejected, events, retries atomic.Int64
	succeeded                                       atomic.Int64 // when a command succeeded last, in ns

	mu        sync.Mutex                   // guards what follows
	delivered map[domain.ChatID]domain.Seq // the last event of each chat that was delivered
	arrivals  int64                        // delivered events of the run
	problems  int                          // lines that were not recorded
	arrived   chan struct{}
}

func newImportRun(c *cli, core *chatcore.Core) *importRun {
	return &importRun{
		c: c, core: core, id: "import-" + uuid.NewString(), patience: importPatience,
		delivered: make(map[domain.ChatID]domain.Seq), arrived: make(chan struct{}, 1),
	}
}

type importSummary struct {
	RunID      string  `json:"runId"` // correlation id of the events of the run
	File       string  `json:"file"`
	Lines      int     `json:"lines"`
	Blank      int     `json:"blank"`
	Malformed  int     `json:"malformed"`
	Messages   int64   `json:"messages"`
	Duplicates int64   `json:"duplicates"`
	Rejected   int64   `json:"rejected"`
	Events     int64   `json:"events"`
	Delivered  int64   `json:"delivered"`
	Chats      int     `json:"chats"`
	Retries    int64   `json:"retries"`
	Seconds    float64 `json:"seconds"`
}

func (r *importRun) run(ctx context.Context, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return &domain.InvalidError{Field: "FILE", Problem: path + " is not a regular file", Allowed: "a regular file: it is read twice"}
	}
	started := time.Now()
	if err := r.core.Subscribe(r.id, chatcore.Ephemeral(), chatcore.On(r.count)); err != nil {
		return err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if err := r.core.Start(running); err != nil {
		return err
	}
	r.succeeded.Store(time.Now().UnixNano())
	if err = r.read(ctx, path); err == nil {
		err = r.settle(ctx)
	}
	stop()
	if err := errors.Join(err, r.core.Wait()); err != nil {
		return err
	}
	return r.summarize(path, time.Since(started))
}

// summarize prints the counts of the run. It returns errMalformed if a line was malformed.
func (r *importRun) summarize(path string, took time.Duration) error {
	r.mu.Lock()
	summary := importSummary{
		RunID: r.id, File: path, Lines: r.lines, Blank: r.blank, Malformed: r.malformed, Messages: r.messages.Load(), Duplicates: r.duplicates.Load(),
		Rejected: r.rejected.Load(), Events: r.events.Load(), Delivered: r.arrivals, Chats: r.chats, Retries: r.retries.Load(),
		Seconds: took.Seconds(),
	}
	unreported := r.problems - importProblems
	r.mu.Unlock()
	if unreported > 0 {
		fmt.Fprintf(r.c.errs, "%s more not recorded\n", count(unreported, "line"))
	}
	text := fmt.Sprintf("%d lines: %d messages, %d duplicates, %d rejected, %d malformed, %d blank; %d events appended, %d delivered; %d chats; %.1f s",
		summary.Lines, summary.Messages, summary.Duplicates, summary.Rejected, summary.Malformed, summary.Blank, summary.Events, summary.Delivered,
		summary.Chats, summary.Seconds)
	if err := r.c.print(summary, text); err != nil {
		return err
	}
	if r.malformed > 0 {
		return fmt.Errorf("%w: %d", errMalformed, r.malformed)
	}
	return nil
}

// report reports a line that is not recorded.
func (r *importRun) report(line int, what string, err error) {
	r.mu.Lock()
	r.problems++
	reported := r.problems <= importProblems
	r.mu.Unlock()
	if reported {
		fmt.Fprintf(r.c.errs, "line %d is %s: %s\n", line, what, clip(plain(err.Error()), 300))
	}
}

// count counts an event of the run that its consumer group has received. A chat's events come in their order, so one that comes again is known by
// its seq.
func (r *importRun) count(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
	if d.Meta.CorrelationID != r.id {
		return nil
	}
	r.mu.Lock()
	if d.ID.Seq > r.delivered[d.ID.Chat] {
		r.delivered[d.ID.Chat] = d.ID.Seq
		r.arrivals++
	}
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
		missing := r.events.Load() - r.arrivals
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

// read reads the file and has its lines recorded. It returns when all of them are.
func (r *importRun) read(ctx context.Context, path string) error {
	counter, err := newLineCounter(ctx, path)
	if err != nil && (counter.lines == 0 || ctx.Err() != nil) {
		return err // otherwise the second reading finds it, behind the lines that can be read
	}
	group, ctx := errgroup.WithContext(ctx)
	queue := newImportQueue()
	for range importWorkers {
		group.Go(func() error { return r.work(ctx, queue) })
	}
	chats := make(map[string]*chatImport)
	err = readTranscript(path, r.progress(path), func(e entry, malformed error) error {
		if r.lines == counter.lines {
			return errAppended
		}
		r.lines++
		switch {
		case errors.Is(malformed, errBlank):
			r.blank++
			return nil
		case malformed != nil:
			r.malformed++
			r.report(e.line, "malformed", malformed)
			return nil
		}
		e.id = counter.identify(e)
		if e.refused != nil {
			e.Text = "" // it may be long
		}
		chat := chats[e.Chat]
		if chat == nil {
			chat = &chatImport{run: r, chat: domain.ChatID(e.Chat)}
			chats[e.Chat] = chat
			r.chats++
		}
		return queue.push(ctx, chat, &e)
	})
	queue.close()
	// The workers' error is the cause, where there is one.
	if werr := group.Wait(); werr != nil {
		return werr
	}
	if errors.Is(err, errAppended) {
		return nil
	}
	return err
}

// errAppended ends the second reading of a file that has grown since the first. The next import records the rest.
var errAppended = errors.New("the file has grown")

// work records the lines of one chat after another.
func (r *importRun) work(ctx context.Context, queue *importQueue) error {
	for chat := range queue.ready {
		for e := queue.next(chat); e != nil; e = queue.next(chat) {
			if err := chat.line(ctx, e); err != nil {
				return fmt.Errorf("line %d: %w", e.line, err)
			}
			<-queue.room
		}
	}
	return nil
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
