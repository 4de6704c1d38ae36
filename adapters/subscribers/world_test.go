package subscribers_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/subscribers"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// world is a log in memory with several processes, in the virtual time of a bubble.
type world struct {
	t           *testing.T
	log         *memory.Log
	groups      *memgroup.Groups
	definitions *flaky
	admin       *subscribers.Administration // of a process that runs no groups

	mu     sync.Mutex
	starts []start
	sent   map[domain.ChatID]int
}

// start is a start of a handler.
type start struct {
	process, group string
	chat           domain.ChatID
	seq            domain.Seq
	at             time.Time
}

type store = groups.Definitions

// flaky is a store of definitions that may be unavailable.
type flaky struct {
	store

	mu   sync.Mutex
	away error
}

func (f *flaky) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.away = err
}

func (f *flaky) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away
}

func (f *flaky) Revision(ctx context.Context) (uint64, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.store.Revision(ctx)
}

func (f *flaky) Definition(ctx context.Context, name string) (groups.Definition, error) {
	if err := f.err(); err != nil {
		return groups.Definition{}, err
	}
	return f.store.Definition(ctx, name)
}

// inWorld runs a test in a bubble.
func inWorld(t *testing.T, run func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		codec := wireformat.New()
		w := &world{t: t, log: memory.New(codec, machine{}, nil), definitions: &flaky{store: memory.NewDefinitions(machine{})}, sent: make(map[domain.ChatID]int)}
		w.groups = memgroup.New(memgroup.Config{Log: w.log, Codec: codec, Clock: machine{}, Partitions: 3})
		w.admin = w.administration(nil)
		run(t, w)
	})
}

// administration returns the administration of a process.
func (w *world) administration(changed func()) *subscribers.Administration {
	return subscribers.NewAdministration(subscribers.AdministrationConfig{
		Definitions: w.definitions, Groups: w.groups, Reserved: "builtin", Changed: changed,
		Create: func(ctx context.Context, c group.Config) error { return group.Create(ctx, w.config(c)) },
	})
}

func (w *world) config(c group.Config) group.Config {
	c.Store, c.Partitions, c.LogID, c.Backlog, c.Codec = w.groups.Store(c.Group), w.groups.Partitions(), w.log.ID(), w.log, wireformat.New()
	c.Logger = slog.New(slog.DiscardHandler)
	return c
}

// process is a process that runs defined groups.
type process struct {
	w       *world
	name    string
	manager *subscribers.Manager
	admin   *subscribers.Administration
	stop    func() // ends it and waits for it

	mu     sync.Mutex
	most   int // groups that it may run; 0: any number
	joined map[string]int
	refuse error // of every start of a group
	fail   func(group string, d ports.Delivery) error
	before func() // is called before each join
}

// start starts a process.
func (w *world) start(name string) *process {
	p := &process{w: w, name: name, joined: make(map[string]int)}
	runner := &handlers{p}
	p.manager = subscribers.NewManager(subscribers.Config{
		Definitions: w.definitions, Groups: w.groups, Join: p.join, Logger: slog.New(slog.DiscardHandler),
		Runners: map[groups.Kind]subscribers.Runner{groups.KindPull: runner, groups.KindWebhook: runner},
	})
	p.admin = w.administration(p.manager.Refresh)
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.manager.Run(ctx, context.WithoutCancel(ctx))
	}()
	p.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	return p
}

// membership is a member of a process.
type membership struct {
	*group.Member
	ended chan struct{} // closed when the process no longer counts it
}

func (m membership) Done() <-chan struct{} { return m.ended }

func (m membership) Leave(context.Context) error {
	m.Stop()
	<-m.ended
	return nil
}

var errTooMany = errors.New("too many groups")

// join is the [group.Joiner] of the process.
func (p *process) join(ctx context.Context, c group.Config, h group.Handler) (group.Membership, error) {
	p.mu.Lock()
	full, before := p.most > 0 && len(p.joined) >= p.most, p.before
	p.mu.Unlock()
	if before != nil {
		before()
	}
	if full {
		return nil, errTooMany
	}
	m, err := group.Join(ctx, p.w.config(c), h)
	if err != nil {
		return nil, err
	}
	p.count(c.Group, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(context.WithoutCancel(ctx))
		p.count(c.Group, -1)
	}()
	return membership{m, ended}, nil
}

func (p *process) count(name string, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.joined[name] += by; p.joined[name] == 0 {
		delete(p.joined, name)
	}
	if p.joined[name] > 1 {
		p.w.t.Errorf("process %s is twice a member of %s", p.name, name)
	}
}

// members returns the groups that the process is a member of.
func (p *process) members() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var names []string
	for name := range p.joined {
		names = append(names, name)
	}
	slices.Sort(names)
	return fmt.Sprint(names)
}

// handlers is a runner that handles deliveries in the process.
type handlers struct{ p *process }

type handling struct {
	group.Membership
	d groups.Definition
}

func (r *handlers) Run(ctx context.Context, d groups.Definition, join group.Joiner) (subscribers.Running, error) {
	r.p.mu.Lock()
	refuse := r.p.refuse
	r.p.mu.Unlock()
	if refuse != nil {
		return nil, refuse
	}
	wants := d.Filter.Wants()
	m, err := join(ctx, subscribers.GroupConfig(d), group.Calls(func(_ context.Context, in ports.Delivery) error {
		if wants != nil && !wants(in.Event.ChatID(), wireformat.Type(in.Event)) {
			return nil
		}
		return r.p.handle(d.Group, in)
	}))
	if err != nil {
		return nil, err
	}
	return &handling{m, d}, nil
}

func (h *handling) Update(d groups.Definition) bool {
	if subscribers.NeedsRejoin(h.d, d) || fmt.Sprint(d.Filter) != fmt.Sprint(h.d.Filter) {
		return false
	}
	h.SetConcurrency(d.Concurrency)
	h.d = d
	return true
}

func (h *handling) Stop(ctx context.Context) error { return h.Leave(ctx) }

func (p *process) handle(name string, d ports.Delivery) error {
	p.mu.Lock()
	fail := p.fail
	p.mu.Unlock()
	p.w.mu.Lock()
	p.w.starts = append(p.w.starts, start{p.name, name, d.Event.ChatID(), d.ID.Seq, time.Now()})
	p.w.mu.Unlock()
	time.Sleep(3 * time.Millisecond)
	if fail != nil {
		return fail(name, d)
	}
	return nil
}

// send appends an event to a chat.
func (w *world) send(chat domain.ChatID) {
	w.t.Helper()
	w.mu.Lock()
	w.sent[chat]++
	n := w.sent[chat]
	w.mu.Unlock()
	id := fmt.Sprintf("%s-%d", chat, n)
	e := domain.MessageNew{Chat: chat, Message: domain.MessageID(id), Sender: "ada", Content: "hi", At: time.Now().UTC().Truncate(time.Millisecond)}
	if _, err := w.log.Append(w.t.Context(), ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID("e-" + id), Event: e, Moves: domain.Moves(e)}}}); err != nil {
		w.t.Error(err)
	}
}

// handled returns the seqs of a chat that a group has started to handle, in the order of their first starts.
func (w *world) handled(name string, chat domain.ChatID) (seqs []domain.Seq) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.starts {
		if s.group == name && s.chat == chat && !slices.Contains(seqs, s.seq) {
			seqs = append(seqs, s.seq)
		}
	}
	return seqs
}

// complete checks that a group has handled the events of a chat from a seq on, in order.
func (w *world) complete(name string, chat domain.ChatID, from int) {
	w.t.Helper()
	w.mu.Lock()
	sent := w.sent[chat]
	w.mu.Unlock()
	var want []domain.Seq
	for seq := from; seq <= sent; seq++ {
		want = append(want, domain.Seq(seq)) //nolint:gosec // small
	}
	if got := w.handled(name, chat); !slices.Equal(got, want) {
		w.t.Errorf("%s of %s: handled %v, want %v", chat, name, got, want)
	}
}

// pass lets virtual time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) create(d groups.Definition) groups.Definition {
	w.t.Helper()
	defined, err := w.admin.Create(w.t.Context(), d)
	if err != nil {
		w.t.Fatal(err)
	}
	return defined
}

// must fails the test for an error.
func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
		return v
	}
}

// machine is the time of the bubble.
type machine struct{}

func (machine) Now() time.Time { return time.Now() }

func (machine) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type groupConfig = group.Config

// nopHandler finishes each delivery.
type nopHandler struct{}

func (nopHandler) Handle(d group.Delivery) { go d.Done(nil) }

func (nopHandler) Reclaim() []group.Delivery { return nil }
