package chatcore

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/subscribers"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// funcRunner runs defined groups with a function of the process.
type funcRunner struct {
	handle func(ctx context.Context, group string, d ports.Delivery) error
}

type funcRunning struct {
	group.Membership
	d groups.Definition
}

func (r funcRunner) Run(ctx context.Context, d groups.Definition, join group.Joiner) (subscribers.Running, error) {
	m, err := join(ctx, subscribers.GroupConfig(d), group.Calls(func(ctx context.Context, in ports.Delivery) error { return r.handle(ctx, d.Group, in) }))
	if err != nil {
		return nil, err
	}
	return &funcRunning{m, d}, nil
}

func (r *funcRunning) Update(d groups.Definition) bool {
	if subscribers.NeedsRejoin(r.d, d) || !reflect.DeepEqual(r.d.Filter, d.Filter) {
		return false
	}
	r.SetConcurrency(d.Concurrency)
	r.d = d
	return true
}

func (r *funcRunning) Stop(ctx context.Context) error { return r.Leave(ctx) }

// starts are the starts of handlers, by group and chat.
type starts struct {
	mu   sync.Mutex
	seqs map[string][]domain.Seq
}

func (s *starts) add(name string, d ports.Delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := name + " " + string(d.ID.Chat)
	if !slices.Contains(s.seqs[key], d.ID.Seq) {
		s.seqs[key] = append(s.seqs[key], d.ID.Seq)
	}
}

// of returns the seqs of a chat in the order of their first starts.
func (s *starts) of(name string, chat domain.ChatID) []domain.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seqs[name+" "+string(chat)])
}

// definedWorld opens cores on the same log.
type definedWorld struct {
	t    *testing.T
	open func() *Core
	made starts
}

// run starts a core that runs defined groups.
func (w *definedWorld) run(defined bool) (core *Core, stop func()) {
	w.t.Helper()
	core = w.open()
	core.runners[groups.KindPull] = funcRunner{func(_ context.Context, name string, d ports.Delivery) error {
		w.made.add(name, d)
		return nil
	}}
	if defined {
		if err := core.SubscribeDefined(); err != nil {
			w.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	if err := core.Start(ctx); err != nil {
		w.t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		cancel()
		if err := core.Wait(); err != nil {
			w.t.Error(err)
		}
	})
	w.t.Cleanup(stop)
	return core, stop
}

// definedConfig returns the configuration of cores whose leases are short.
func definedConfig() Config {
	return Config{Log: LogConfig{Partitions: 2}, Delivery: DeliveryConfig{Lease: time.Second}, StopTimeout: 20 * time.Second}
}

// onDefinedLogs runs a test on Redis, where several cores share a log, and in memory, where there is one.
func onDefinedLogs(t *testing.T, test func(t *testing.T, w *definedWorld, shared bool)) {
	t.Run("redis", func(t *testing.T) {
		config := definedConfig()
		config.Redis.URL, config.Redis.Namespace = redistest.Shared(t).URL(), "defined-"+uuids{}.NewID()
		test(t, &definedWorld{t: t, made: starts{seqs: make(map[string][]domain.Seq)}, open: func() *Core {
			core, err := New(t.Context(), config)
			if err != nil {
				t.Fatal(err)
			}
			return core
		}}, true)
	})
	t.Run("memory", func(t *testing.T) {
		test(t, &definedWorld{t: t, made: starts{seqs: make(map[string][]domain.Seq)}, open: func() *Core {
			core, err := NewInMemory(definedConfig())
			if err != nil {
				t.Fatal(err)
			}
			return core
		}}, false)
	})
}

func (w *definedWorld) send(core *Core, chat domain.ChatID, n int) {
	w.t.Helper()
	for range n {
		if _, err := core.Chats.Send(w.t.Context(), domain.Send{Chat: chat, Actor: "ada", Content: "hi"}); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *definedWorld) chat(core *Core, id domain.ChatID) {
	w.t.Helper()
	if _, err := core.Chats.Create(w.t.Context(), domain.Create{Chat: id, Actor: "ada"}); err != nil {
		w.t.Fatal(err)
	}
}

// complete waits until a group has handled the events of a chat up to a seq, in order.
func (w *definedWorld) complete(name string, chat domain.ChatID, from, to domain.Seq) {
	w.t.Helper()
	var want []domain.Seq
	for seq := from; seq <= to; seq++ {
		want = append(want, seq)
	}
	wait.Until(w.t, fmt.Sprintf("%s has handled %d to %d of %s", name, from, to, chat), func() bool { return len(w.made.of(name, chat)) >= len(want) })
	if got := w.made.of(name, chat); !slices.Equal(got, want) {
		w.t.Errorf("%s has handled %v of %s, want %v", name, got, chat, want)
	}
}

// state waits until a group has a state in a process; "" is none.
func (w *definedWorld) state(core *Core, name string, state subscribers.State) {
	w.t.Helper()
	wait.Until(w.t, fmt.Sprintf("%s is %q", name, state), func() bool {
		for _, d := range core.definedGroups() {
			if d.Group == name {
				return d.State == state
			}
		}
		return state == ""
	})
}

// TestDefined_Lifecycle defines a group that processes run, pauses, resumes, changes and deletes it, and restarts a process: no event is lost.
func TestDefined_Lifecycle(t *testing.T) {
	onDefinedLogs(t, func(t *testing.T, w *definedWorld, shared bool) {
		a, stopA := w.run(true)
		other, admin := a, a
		if shared {
			other, _ = w.run(true)
			admin, _ = w.run(false)
		}
		w.chat(admin, "c")
		if _, err := admin.Definitions().Create(t.Context(), groups.Definition{Group: "g", Kind: groups.KindPull}); err != nil {
			t.Fatal(err)
		}
		w.send(admin, "c", 5) // some before a process runs the group
		w.complete("g", "c", 2, 6)
		w.state(a, "g", subscribers.StateRunning)
		w.state(other, "g", subscribers.StateRunning)
		if shared && len(admin.definedGroups()) != 0 {
			t.Error("a core without SubscribeDefined runs defined groups")
		}

		if _, err := admin.Definitions().Pause(t.Context(), "g", "why"); err != nil {
			t.Fatal(err)
		}
		w.state(a, "g", subscribers.StatePaused)
		w.state(other, "g", subscribers.StatePaused)
		w.send(admin, "c", 5)
		h := admin.Health(t.Context())
		if !slices.ContainsFunc(h.Findings(), func(f Finding) bool { return f.Code == "group_paused" && f.Severity == Warning }) {
			t.Errorf("findings %+v", h.Findings())
		}
		if got := w.made.of("g", "c"); len(got) != 5 {
			t.Errorf("a paused group has handled %v", got)
		}
		if _, err := admin.Definitions().Resume(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		w.complete("g", "c", 2, 11)
		if _, err := admin.Definitions().Update(t.Context(), "g", 0, func(d *groups.Definition) error { d.Retry.Attempts = 3; return nil }); err != nil {
			t.Fatal(err)
		}
		w.send(admin, "c", 5)
		w.complete("g", "c", 2, 16)
		if shared {
			stopA()
			w.send(admin, "c", 5)
			a, _ = w.run(true)
			w.complete("g", "c", 2, 21)
			w.state(a, "g", subscribers.StateRunning)
		}
		if err := admin.Groups().Delete(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		w.state(a, "g", "")
		w.state(other, "g", "")
		if exists, err := admin.backend.groups.Exists(t.Context(), "g"); exists || err != nil {
			t.Errorf("the group exists: %t, %v", exists, err)
		}
	})
}

// TestDefined_Precedence has a group of code of the same name as a definition, and more defined groups than the process may run.
func TestDefined_Precedence(t *testing.T) {
	onDefinedLogs(t, func(t *testing.T, w *definedWorld, _ bool) {
		open := w.open
		var own atomic.Int64
		w.open = func() *Core {
			core := open()
			core.config.Delivery.MaxGroups = 2
			for _, name := range []string{"later", "first", "second"} {
				if _, err := core.Definitions().Create(t.Context(), groups.Definition{Group: name, Kind: groups.KindPull}); err != nil {
					t.Fatal(err)
				}
			}
			err := core.Subscribe("first", On(func(context.Context, Delivery[domain.Durable]) error { own.Add(1); return nil }))
			if err != nil {
				t.Fatal(err)
			}
			return core
		}
		core, _ := w.run(true)
		w.chat(core, "c")
		w.state(core, "first", subscribers.StateFailed)
		wait.Until(t, "one of the others runs", func() bool {
			running, failed := 0, 0
			for _, d := range core.definedGroups() {
				switch d.State {
				case subscribers.StateRunning:
					running++
				case subscribers.StateFailed:
					failed++
				default:
				}
			}
			return running == 1 && failed == 2
		})
		wait.Until(t, "the code has its event", func() bool { return own.Load() == 1 })
		if len(w.made.of("first", "c")) != 0 {
			t.Error("both run the group")
		}
		h := core.Health(t.Context())
		if !slices.ContainsFunc(h.Findings(), func(f Finding) bool { return f.Code == "group_failed" }) {
			t.Errorf("findings %+v", h.Findings())
		}
		counts := core.countDefined()
		if counts[definedCount{"pull", "running"}] != 1 || counts[definedCount{"pull", "failed"}] != 2 || counts[definedCount{"webhook", "running"}] != 0 {
			t.Errorf("counts %v", counts)
		}
	})
}

// TestSubscribeDefined_Late is called on a core that runs, and on one that has ended.
func TestSubscribeDefined_Late(t *testing.T) {
	core, err := NewInMemory(definedConfig())
	if err != nil {
		t.Fatal(err)
	}
	if err := core.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := core.SubscribeDefined(); err == nil || core.runsDefined {
		t.Errorf("while it runs: %v", err)
	}
	if err := core.Close(); err != nil {
		t.Error(err)
	}
	if err := core.SubscribeDefined(); err == nil {
		t.Error("after its end")
	}
}

// TestLogger_OfRelay has a process give another one an answer that is too large: the configured logger reports it.
func TestLogger_OfRelay(t *testing.T) {
	records, config := make(chan slog.Record, 8), definedConfig()
	config.Redis.URL, config.Redis.Namespace = redistest.Shared(t).URL(), "logger-"+uuids{}.NewID()
	config.Logger = slog.New(recordHandler{slog.DiscardHandler, records})
	core, err := New(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	}()
	stop, err := core.backend.relay.Answer(t.Context(), "one", func(context.Context, []byte) []byte { return make([]byte, ports.MaxRelayed+1) })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	asking.Go(func() { _, _ = core.backend.relay.Ask(ctx, "one", nil) })
	wait.Until(t, "the answer is reported", func() bool {
		select {
		case r := <-records:
			return r.Message == "an answer to another process is too large"
		default:
			return false
		}
	})
}

// recordHandler sends the records of warnings to a channel.
type recordHandler struct {
	slog.Handler
	records chan<- slog.Record
}

func (h recordHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn
}

func (h recordHandler) Handle(_ context.Context, r slog.Record) error {
	h.records <- r
	return nil
}

func (h recordHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h recordHandler) WithGroup(string) slog.Handler { return h }
