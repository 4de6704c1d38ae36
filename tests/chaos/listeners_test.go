package chaos

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// audience reads, listens and is present while everything else goes on.
type audience struct {
	t    *testing.T
	ctx  context.Context
	end  context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	reads   []Read
	heard   []Heard
	corrupt []Failure

	present *attendance
	feeds   *feeds
}

// attend starts a reader on each core, and a listener on each listening core. The listening cores serve feeds too.
func attend(t *testing.T, seed uint64, w *writers, scripts []*script, cores []*chatcore.Core, listening ...*chatcore.Core) *audience {
	t.Helper()
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context()))
	a := &audience{t: t, ctx: ctx, end: end}
	t.Cleanup(a.finish)
	for i, core := range listening {
		name := string(rune('a' + i))
		if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.Event]) { a.hears(name, l) })); err != nil {
			t.Fatal(err)
		}
		if err := core.Start(ctx); err != nil {
			t.Fatal(err)
		}
		a.done.Go(func() { _ = core.Wait() })
	}
	for i, core := range cores {
		name := string(rune('A' + i))
		dice := rand.New(rand.NewPCG(seed, uint64(100+i))) //nolint:gosec // dice
		a.done.Go(func() { a.read(name, core, w, dice) })
	}
	a.present = &attendance{core: cores[0], ended: make(map[domain.UserID]bool)}
	a.done.Go(func() { a.present.run(ctx) })
	a.feeds = serveFeeds(t, a, scripts, listening...)
	return a
}

// finish ends the reading, the listening and the presence.
func (a *audience) finish() {
	a.end()
	a.done.Wait()
}

func (a *audience) hears(name string, l chatcore.Live[domain.Event]) {
	durable, is := l.Event.(domain.Durable)
	if !is {
		return
	}
	h := Heard{Listener: name, Place: Place{Chat: durable.ChatID(), Seq: l.Seq, Event: l.ID}, Content: digest(durable), At: time.Now()}
	var err error
	if h.Decided, err = decided(l.ID); err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.heard = append(a.heard, h)
}

// read reads the end of chats that are written to, as a log and as messages by turns.
func (a *audience) read(name string, core *chatcore.Core, w *writers, dice *rand.Rand) {
	const (
		every = 20 * time.Millisecond
		page  = 10
	)
	for raw := true; pause(a.ctx, every) == nil; raw = !raw {
		w.mu.Lock()
		chat := w.latest[dice.IntN(authors)].chat
		w.mu.Unlock()
		if chat == "" {
			continue
		}
		r := Read{Reader: name, Chat: chat, Asked: time.Now()}
		err := r.ask(a.ctx, core, raw, page)
		r.At = time.Now()
		a.mu.Lock()
		if err == nil {
			a.reads = append(a.reads, r)
		} else if errors.Is(err, ports.ErrCorrupt) {
			a.corrupt = append(a.corrupt, Failure{Asked: r.Asked, At: r.At, Err: err.Error()})
		}
		a.mu.Unlock()
	}
}

func (r *Read) ask(ctx context.Context, core *chatcore.Core, raw bool, page int) error {
	if raw {
		events, err := core.Queries.Events(ctx, r.Chat, domain.Span{Limit: page})
		for _, e := range slices.Backward(events) {
			r.Events = append(r.Events, Seen{Place{r.Chat, e.Seq, e.ID}, digest(e.Event)})
		}
		return err
	}
	messages, err := core.Queries.History(ctx, r.Chat, domain.Span{Limit: page})
	for _, m := range slices.Backward(messages) {
		r.Messages = append(r.Messages, SeenMessage{ID: m.ID, Seq: m.Seq, Text: string(m.Content)})
	}
	return err
}

// attendance is a few users with heartbeats. Some stay, some leave, some fall silent.
type attendance struct {
	core *chatcore.Core

	mu    sync.Mutex
	ended map[domain.UserID]bool
}

var ( //nolint:gochecknoglobals // never change
	staying = []domain.UserID{"stays.1", "stays.2", "stays.3"}
	leaving = []domain.UserID{"leaves.1", "leaves.2"}
	quiet   = []domain.UserID{"silent.1", "silent.2"}
)

func (a *attendance) run(ctx context.Context) {
	const every = 500 * time.Millisecond
	for pause(ctx, every) == nil {
		for _, user := range slices.Concat(staying, leaving, quiet) {
			a.mu.Lock()
			ended := a.ended[user]
			a.mu.Unlock()
			bounded, cancel := context.WithTimeout(ctx, every)
			switch {
			case !ended:
				_ = a.core.Presence.Heartbeat(bounded, user, "device", "connection") // the next one comes soon
			case slices.Contains(leaving, user):
				_ = a.core.Presence.Leave(bounded, user, "device", "connection")
			}
			cancel()
		}
	}
}

// thin has some users leave and others fall silent.
func (a *attendance) thin() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, user := range slices.Concat(leaving, quiet) {
		a.ended[user] = true
	}
}

// settled waits until the present users are online, and returns the online users.
func (a *attendance) settled(t *testing.T) *Presence {
	t.Helper()
	p := &Presence{Beating: staying}
	limit := time.Now().Add(wait.Limit)
	for time.Now().Before(limit) {
		p.Online = nil
		online := make(map[domain.UserID]bool)
		var failed error
		for user, err := range a.core.Presence.Online(t.Context()) {
			failed = errors.Join(failed, err)
			if err == nil && !online[user] {
				online[user] = true
				p.Online = append(p.Online, user)
			}
		}
		slices.Sort(p.Online)
		if failed == nil && slices.Equal(p.Online, staying) {
			break
		}
		_ = pause(t.Context(), 100*time.Millisecond)
	}
	return p
}
