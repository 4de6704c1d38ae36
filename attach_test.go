package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore"
	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// received records the events of chats in the order of their arrival.
type received struct {
	mu   sync.Mutex
	seqs map[domain.ChatID][]domain.Seq
}

func (r *received) add(chat domain.ChatID, seq domain.Seq) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seqs == nil {
		r.seqs = make(map[domain.ChatID][]domain.Seq)
	}
	r.seqs[chat] = append(r.seqs[chat], seq)
}

func (r *received) of(chat domain.ChatID) []domain.Seq {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.seqs[chat])
}

func (r *received) has(chat domain.ChatID, seq domain.Seq) func() bool {
	return func() bool { return slices.Contains(r.of(chat), seq) }
}

// handler records each event, then calls handle, which may be nil.
func (r *received) handler(handle func(ctx context.Context, seq domain.Seq) error) chatcore.SubscribeOption {
	return chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.Durable]) error {
		r.add(d.ID.Chat, d.ID.Seq)
		if handle == nil {
			return nil
		}
		return handle(ctx, d.ID.Seq)
	})
}

// checkOrder fails the test unless every seq up to last came, and none before an earlier one had come.
func (r *received) checkOrder(t *testing.T, chat domain.ChatID, first, last domain.Seq) {
	t.Helper()
	next := first
	for _, seq := range r.of(chat) {
		if seq > next {
			t.Fatalf("seq %d came before seq %d: %v", seq, next, r.of(chat))
		}
		if seq == next {
			next++
		}
	}
	if next <= last {
		t.Errorf("chat %s got %v, want all of %d to %d", chat, r.of(chat), first, last)
	}
}

// attached attaches a group in one of the ways in which its handlers may run.
func attached(t *testing.T, core *chatcore.Core, way, name string, r *received, options ...chatcore.SubscribeOption) *chatcore.Attachment {
	t.Helper()
	switch way {
	case "Watermill":
		return must[*chatcore.Attachment](t)(core.AttachMessages(t.Context(), name, func(msg *message.Message) error {
			info, _ := pubsub.InfoOf(msg.Context())
			r.add(info.Chat, info.Seq)
			return nil
		}, options...))
	case "middleware":
		options = append(options, chatcore.WithMiddleware(func(h message.HandlerFunc) message.HandlerFunc { return h }))
	}
	return must[*chatcore.Attachment](t)(core.Attach(t.Context(), name, append(options, r.handler(nil))...))
}

func sayTo(t *testing.T, core *chatcore.Core, chat domain.ChatID, n int) (last domain.Seq) {
	t.Helper()
	for i := range n {
		last = must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ada", Content: fmt.Sprint(i)})).Seq
	}
	return last
}

// TestAttach_DeliversUntilDetach attaches, detaches and attaches a group again while events are appended. None is lost, the order is kept, and only unfinished
// events come again.
func TestAttach_DeliversUntilDetach(t *testing.T) {
	for _, way := range []string{"plain", "middleware", "Watermill"} {
		t.Run(way, func(t *testing.T) {
			onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
				core := open(chatcore.Config{})
				must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
				start(t, core)
				var r received
				last := domain.Seq(0)
				for range 3 {
					a := attached(t, core, way, "late", &r)
					sayTo(t, core, "c", 20)
					writing := make(chan domain.Seq, 1)
					go func() { writing <- sayTo(t, core, "c", 20) }()
					if err := a.Detach(t.Context()); err != nil {
						t.Fatal(err)
					}
					<-a.Done()
					at := len(r.of("c"))
					last = receive(t, writing)
					if a.Err() != nil || len(r.of("c")) != at {
						t.Errorf("after the detachment came %v: %v", r.of("c")[at:], a.Err())
					}
				}
				a := attached(t, core, way, "late", &r)
				wait.Until(t, "the last event", r.has("c", last))
				r.checkOrder(t, "c", 2, last)
				if n := domain.Seq(len(r.of("c"))); n != last-1 {
					t.Errorf("%d deliveries of %d events", n, last-1)
				}
				if err := errors.Join(a.Detach(t.Context()), a.Detach(t.Context())); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestAttach_RedeliversUnfinished detaches while a handler fails: its event comes again after the next attachment, and those before it do not.
func TestAttach_RedeliversUnfinished(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		start(t, core)
		var r received
		broken := errors.New("broken")
		a := must[*chatcore.Attachment](t)(core.Attach(t.Context(), "g", r.handler(func(_ context.Context, seq domain.Seq) error {
			if seq == 3 {
				return broken
			}
			return nil
		}), chatcore.Retry(chatcore.RetryPolicy{First: time.Hour, Max: time.Hour})))
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		sayTo(t, core, "c", 3)
		wait.Until(t, "the failure", r.has("c", 3))
		if err := a.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		var again received
		attempts := make(chan int, 16)
		must[*chatcore.Attachment](t)(core.Attach(t.Context(), "g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
			again.add(d.ID.Chat, d.ID.Seq)
			attempts <- d.Attempt
			return nil
		})))
		wait.Until(t, "the rest", again.has("c", 4))
		if got := again.of("c"); !slices.Equal(got, []domain.Seq{3, 4}) {
			t.Errorf("after the second attachment came %v", got)
		}
		if first := receive(t, attempts); first != 2 {
			t.Errorf("the failed event came as attempt %d", first)
		}
	})
}

// TestAttach_TwoProcesses attaches one group in two processes: each event is handled once, and those of a process that detaches are left to the other.
func TestAttach_TwoProcesses(t *testing.T) {
	onRedis := func(t *testing.T, test func(t *testing.T, open func(chatcore.Config) *chatcore.Core)) {
		onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
			if strings.HasSuffix(t.Name(), "/redis") {
				test(t, open)
			}
		})
	}
	onRedis(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		config := chatcore.Config{Delivery: chatcore.DeliveryConfig{Lease: group.MinLease}}
		first, second := open(config), open(config)
		start(t, first)
		start(t, second)
		var r received
		a, b := attached(t, first, "plain", "g", &r), attached(t, second, "plain", "g", &r)
		chats := []domain.ChatID{"a", "b", "c", "d"}
		last := make(map[domain.ChatID]domain.Seq)
		for _, chat := range chats {
			must[app.Done](t)(first.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada"}))
			last[chat] = sayTo(t, first, chat, 10)
		}
		if err := a.Detach(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, chat := range chats {
			last[chat] = sayTo(t, first, chat, 10)
		}
		for _, chat := range chats {
			wait.Until(t, "the last event", r.has(chat, last[chat]))
			r.checkOrder(t, chat, 1, last[chat])
		}
		if b.Err() != nil {
			t.Error(b.Err())
		}
	})
}

// TestAttach_Refused covers the calls that attach nothing.
func TestAttach_Refused(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{Delivery: chatcore.DeliveryConfig{MaxGroups: 10}}))
	nothing := chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error { return nil })
	if err := core.Subscribe("taken", nothing); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Attach(t.Context(), "g", nothing); !errors.Is(err, chatcore.ErrNotRunning) || !strings.Contains(err.Error(), "Subscribe") {
		t.Errorf("before the start: %v", err)
	}
	stop := start(t, core)
	for name, option := range map[string]chatcore.SubscribeOption{
		"taken":      nothing,
		"no handler": nothing,
		"":           nothing,
		"retry":      chatcore.Retry(chatcore.RetryPolicy{Attempts: -1}),
		"chats":      chatcore.OnlyChats(nil),
		"nil":        nil,
	} {
		if _, err := core.Attach(t.Context(), name, option); err == nil || !errors.Is(err, domain.ErrInvalid) && !errors.Is(err, chatcore.ErrDuplicateName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := core.AttachMessages(t.Context(), "g", nil); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("nil as handler: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := core.Attach(ended, "g", nothing); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	var some []*chatcore.Attachment
	for i := range 100 {
		a, err := core.Attach(t.Context(), fmt.Sprint("g", i), nothing)
		switch {
		case i < 9 && err != nil:
			t.Fatal(err)
		case i < 9:
			some = append(some, a)
		case !errors.Is(err, chatcore.ErrTooManyGroups):
			t.Errorf("group %d: %v", i, err)
		}
	}
	if _, err := core.Attach(t.Context(), "g3", nothing); !errors.Is(err, chatcore.ErrDuplicateName) {
		t.Errorf("attached twice: %v", err)
	}
	for _, a := range some[:5] {
		if err := a.Detach(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for i := range 5 {
		if _, err := core.Attach(t.Context(), fmt.Sprint("again", i), nothing); err != nil {
			t.Errorf("with room: %v", err)
		}
	}
	stop()
	for _, a := range some {
		<-a.Done()
		if err := errors.Join(a.Err(), a.Detach(t.Context())); err != nil {
			t.Error(err)
		}
	}
	if _, err := core.Attach(t.Context(), "g", nothing); !errors.Is(err, chatcore.ErrClosed) {
		t.Errorf("after the end: %v", err)
	}
}

// TestAttach_DeletedGroup deletes the group of an attachment. The attachment ends alone, and the group is attached again as a new one.
func TestAttach_DeletedGroup(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{Delivery: chatcore.DeliveryConfig{Lease: group.MinLease}})
		start(t, core)
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		var r, other received
		attached(t, core, "plain", "other", &other)
		for range 2 {
			a := attached(t, core, "plain", "g", &r)
			last := sayTo(t, core, "c", 1)
			wait.Until(t, "the event", r.has("c", last))
			if err := core.Groups().Delete(t.Context(), "g"); err != nil {
				t.Fatal(err)
			}
			receive(t, a.Done())
			if !errors.Is(a.Err(), chatcore.ErrGroupDeleted) {
				t.Errorf("it ended with %v", a.Err())
			}
			if stopped := core.Health(t.Context()).Stopped; len(stopped) != 1 || stopped[0].Group != "g" {
				t.Errorf("stopped are %v", stopped)
			}
			sayTo(t, core, "c", 1) // reaches no group g
			if err := a.Detach(t.Context()); err != nil {
				t.Error(err)
			}
			if stopped := core.Health(t.Context()).Stopped; len(stopped) != 0 {
				t.Errorf("after Detach stopped are %v", stopped)
			}
		}
		wait.Until(t, "all events", other.has("c", 5))
		if got := r.of("c"); !slices.Equal(got, []domain.Seq{2, 4}) {
			t.Errorf("the groups got %v", got)
		}
	})
}

// TestAttach_Ephemeral removes the group with its attachment: at the detachment, and at the end of the core.
func TestAttach_Ephemeral(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		watch := open(chatcore.Config{})
		stop := start(t, core)
		var r received
		a := attached(t, core, "plain", "detached", &r, chatcore.Ephemeral())
		attached(t, core, "Watermill", "at-the-end", &r, chatcore.Ephemeral())
		attached(t, core, "plain", "stays", &r)
		names := func(core *chatcore.Core) (names []string) {
			for _, g := range must[[]chatcore.GroupState](t)(core.Groups().List(t.Context())) {
				names = append(names, g.Group)
			}
			slices.Sort(names)
			return names
		}
		if err := a.Detach(t.Context()); err != nil {
			t.Error(err)
		}
		if got := names(core); !slices.Equal(got, []string{"at-the-end", "stays"}) {
			t.Errorf("after the detachment there are %v", got)
		}
		stop()
		if watch.LogID() != core.LogID() {
			return // in memory each core has a log of its own
		}
		if got := names(watch); !slices.Equal(got, []string{"stays"}) {
			t.Errorf("after the end there are %v", got)
		}
	})
}

// TestDetach_HungHandler leaves a handler behind that ignores its context, when ctx ends or after the drain. Detach names it, and so does the core at its end
// if it still runs then.
func TestDetach_HungHandler(t *testing.T) {
	for name, test := range map[string]struct {
		limit, most time.Duration // 0: none, until the end of the drain
		returns     bool          // before the core ends
	}{
		"when ctx ends":                {limit: 2 * time.Second, most: 4 * time.Second},
		"after the drain":              {most: 25 * time.Second},
		"and returns before the end":   {limit: time.Second, most: 3 * time.Second, returns: true},
		"whose context ended long ago": {limit: -1, most: 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
				t := b.t
				release := make(chan struct{})
				stop := b.run()
				must[app.Done](t)(b.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
				heeded := make(chan struct{})
				a := must[*chatcore.Attachment](t)(b.Attach(t.Context(), "g", hang(release), chatcore.FromBeginning()))
				h := must[*chatcore.Attachment](t)(b.Attach(t.Context(), "heeds", chatcore.FromBeginning(), chatcore.On(func(ctx context.Context, _ chatcore.Delivery[domain.Durable]) error {
					<-ctx.Done()
					close(heeded)
					return ctx.Err()
				})))
				b.pass(time.Minute)
				ctx, cancel := t.Context(), func() {}
				if test.limit != 0 {
					ctx, cancel = context.WithTimeout(ctx, test.limit)
				}
				defer cancel()
				began := time.Now()
				both := make(chan error, 1)
				go func() { both <- h.Detach(ctx) }()
				if got := named(t, a.Detach(ctx)); !slices.Equal(got, []string{"g c"}) {
					t.Errorf("abandoned are %q", got)
				}
				if took := time.Since(began); took > test.most {
					t.Errorf("it took %v", took)
				}
				if err := <-both; err != nil {
					t.Errorf("the handler that heeds its context: %v", err)
				}
				<-heeded
				if test.returns {
					close(release)
					b.pass(time.Second)
				}
				var again received
				must[*chatcore.Attachment](t)(b.Attach(t.Context(), "g", again.handler(nil)))
				b.pass(time.Minute)
				if got := again.of("c"); !slices.Equal(got, []domain.Seq{1}) {
					t.Errorf("the next attachment got %v", got)
				}
				_, err := stop()
				if test.returns {
					if err != nil {
						t.Errorf("the core ended with %v", err)
					}
					return
				}
				if got := named(t, err); !slices.Equal(got, []string{"g c"}) {
					t.Errorf("at its end the core names %q", got)
				}
				close(release)
				b.closed = true
			})
		})
	}
}

// TestAttach_StopsWithTheCore stops the core with attachments, some of them hung, and while others attach: they end within the one StopTimeout.
func TestAttach_StopsWithTheCore(t *testing.T) {
	inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
		t := b.t
		release := make(chan struct{})
		stop := b.run()
		must[app.Done](t)(b.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		a := must[*chatcore.Attachment](t)(b.Attach(t.Context(), "hung", hang(release), chatcore.FromBeginning()))
		attached(t, b.Core, "Watermill", "idle", &received{})
		var attaching sync.WaitGroup
		var closed atomic.Int64
		for i := range 5 {
			attaching.Go(func() {
				for n := 0; ; n++ {
					a, err := b.Attach(t.Context(), fmt.Sprint("g", i, "-", n), (&received{}).handler(nil))
					if errors.Is(err, chatcore.ErrClosed) {
						closed.Add(1)
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if n%2 == 0 {
						_ = a.Detach(t.Context())
					}
					time.Sleep(50 * time.Millisecond) // virtual
				}
			})
		}
		b.pass(time.Second)
		took, err := stop()
		if got := named(t, err); !slices.Equal(got, []string{"hung c"}) || took > 25*time.Second {
			t.Errorf("after %v the core names %q", took, got)
		}
		attaching.Wait()
		if closed.Load() != 5 {
			t.Errorf("%d of 5 were told that the core has ended", closed.Load())
		}
		<-a.Done()
		if a.Err() != nil {
			t.Error(a.Err())
		}
		close(release)
		b.closed = true
	})
}

// TestAttach_RedisAway attaches while Redis does not answer: the call waits until Redis is back, until its ctx ends, or until the core does.
func TestAttach_RedisAway(t *testing.T) {
	server := redistest.Start(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{
		Redis: chatcore.RedisConfig{URL: server.URL(), CommandTimeout: 200 * time.Millisecond}, Log: chatcore.LogConfig{Partitions: 2},
	}))
	stop := start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	server.Freeze()
	var r received
	limited, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := core.Attach(limited, "limited", r.handler(nil)); err == nil || limited.Err() == nil {
		t.Errorf("with a limit: %v", err)
	}
	attached := make(chan error, 1)
	go func() {
		_, err := core.Attach(t.Context(), "g", r.handler(nil))
		attached <- err
	}()
	server.Thaw()
	if err := receive(t, attached); err != nil {
		t.Fatal(err)
	}
	last := sayTo(t, core, "c", 3)
	wait.Until(t, "the last event", r.has("c", last))
	server.Freeze()
	go func() {
		_, err := core.Attach(t.Context(), "h", r.handler(nil))
		attached <- err
	}()
	defer server.Thaw()
	stop()
	if err := receive(t, attached); !errors.Is(err, chatcore.ErrClosed) {
		t.Errorf("when the core ended: %v", err)
	}
}

// TestAttach_WaitIdle waits for the attached groups of a core in memory, and not for detached ones.
func TestAttach_WaitIdle(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	var r received
	a := attached(t, core, "plain", "g", &r)
	last := sayTo(t, core, "c", 50)
	if err := core.WaitIdle(t.Context()); err != nil || !r.has("c", last)() {
		t.Errorf("idle: %v, handled %v", err, r.of("c"))
	}
	if err := a.Detach(t.Context()); err != nil {
		t.Fatal(err)
	}
	sayTo(t, core, "c", 1)
	if err := core.WaitIdle(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOnlyChats_KeepsOrder delivers the events of some chats only, and counts the others.
func TestOnlyChats_KeepsOrder(t *testing.T) {
	for _, way := range []string{"plain", "middleware", "Watermill"} {
		t.Run(way, func(t *testing.T) {
			inBubble(t, chatcore.Config{}, func(b *bubbleCore) {
				t := b.t
				var r received
				b.run()
				attached(t, b.Core, way, "g", &r, chatcore.OnlyChats(func(chat domain.ChatID) bool { return chat != "b" }))
				for _, chat := range []domain.ChatID{"a", "b", "c"} {
					must[app.Done](t)(b.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada"}))
					sayTo(t, b.Core, chat, 5)
				}
				if err := b.WaitIdle(t.Context()); err != nil {
					t.Fatal(err)
				}
				r.checkOrder(t, "a", 1, 6)
				r.checkOrder(t, "c", 1, 6)
				if got, ignored := r.of("b"), b.Stats().Ignored; len(got) > 0 || ignored != 6 {
					t.Errorf("of b came %v, %d events were ignored", got, ignored)
				}
			})
		})
	}
}
