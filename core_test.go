package chatcore_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

const patience = wait.Limit

// onEachBackend runs a test on Redis and in memory.
func onEachBackend(t *testing.T, test func(t *testing.T, open func(chatcore.Config) *chatcore.Core)) {
	t.Run("redis", func(t *testing.T) {
		namespace := "core-" + uuid.NewString()
		test(t, func(c chatcore.Config) *chatcore.Core {
			c.Redis.URL, c.Redis.Namespace, c.Log.Partitions = redistest.Shared(t).URL(), namespace, 2
			return opened(t)(chatcore.New(t.Context(), c))
		})
	})
	t.Run("memory", func(t *testing.T) {
		test(t, func(c chatcore.Config) *chatcore.Core { return opened(t)(chatcore.NewInMemory(c)) })
	})
}

func opened(t *testing.T) func(*chatcore.Core, error) *chatcore.Core {
	return func(core *chatcore.Core, err error) *chatcore.Core {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := core.Close(); err != nil {
				t.Error(err)
			}
		})
		return core
	}
}

// end returns the result of the core's Run.
func end(core *chatcore.Core) <-chan error {
	ended := make(chan error, 1)
	go func() { ended <- core.Wait() }()
	return ended
}

// start runs the core; stop ends it and fails the test if it ended badly.
func start(t *testing.T, core *chatcore.Core) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	if err := core.Start(ctx); err != nil {
		cancel()
		t.Fatal(err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := receive(t, end(core)); err != nil {
			t.Errorf("Run ended with %v", err)
		}
	}
	t.Cleanup(stop)
	return stop
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("nothing came for %s", patience)
		panic("unreachable")
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestACommandReachesItsHandlersInOrder(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		arrived := make(chan chatcore.Delivery[domain.Durable], 16)
		err := core.Subscribe("all", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
			arrived <- d
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		live := make(chan chatcore.Live[domain.MessageNew], 16)
		if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { live <- l })); err != nil {
			t.Fatal(err)
		}
		start(t, core)

		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"ben"}}))
		sent := must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ben", MessageID: "m", Content: "hi"}))
		again := must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ben", MessageID: "m", Content: "hi"}))
		if !again.Duplicate || again.Seq != sent.Seq {
			t.Errorf("sent again: %+v, first: %+v", again, sent)
		}
		for seq := domain.Seq(1); seq <= sent.Seq; seq++ {
			d := receive(t, arrived)
			if d.ID.Seq != seq || d.ID.Chat != "c" || d.ID.Log != core.LogID() || d.ID.Event == "" || d.Attempt != 1 {
				t.Errorf("delivery %d is %+v, attempt %d", seq, d.ID, d.Attempt)
			}
		}
		if l := receive(t, live); l.Seq != sent.Seq || l.Event.Content != "hi" || l.Foreign {
			t.Errorf("live: %+v", l)
		}
		must[app.Done](t)(core.Chats.Rename(t.Context(), domain.Rename{Chat: "c", Actor: "ada", Title: "x"}))
		if d := receive(t, arrived); d.ID.Seq != sent.Seq+1 {
			t.Errorf("after the repetition comes seq %d, not %d: the repetition was delivered", d.ID.Seq, sent.Seq+1)
		}
	})
}

func TestNamesAreTakenOnce(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	handler := chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error { return nil })
	plain := func(*message.Message) error { return nil }
	if err := core.Subscribe("push", handler); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"typed":                     core.Subscribe("push", handler),
		"plain":                     core.SubscribeMessages("push", plain),
		"two handlers for one type": core.Subscribe("other", handler, handler),
	} {
		if !errors.Is(err, chatcore.ErrDuplicateName) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, err := range map[string]error{
		"empty group":        core.Subscribe("", handler),
		"spaced group":       core.Subscribe("a b", handler),
		"plain beside typed": core.SubscribeMessages("third", plain, handler),
	} {
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNothingIsAddedToARunningCore(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	start(t, core)
	for name, err := range map[string]error{
		"subscribe": core.Subscribe("late"),
		"listen":    core.Listen(),
		"use":       core.Use(),
		"run":       core.Run(t.Context()),
		"start":     core.Start(t.Context()),
	} {
		if !errors.Is(err, chatcore.ErrRunning) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnEventWithoutHandlerIsFinishedAndCounted(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		arrived := make(chan domain.Seq, 1)
		err := core.Subscribe("edits", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageEdit]) error {
			arrived <- d.ID.Seq
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		start(t, core)
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "a"}))
		must[app.Done](t)(core.Chats.Edit(t.Context(), domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: "b"}))
		if seq := receive(t, arrived); seq != 3 {
			t.Errorf("the handler was given seq %d", seq)
		}
		if n := core.Stats().Ignored; n != 2 {
			t.Errorf("%d ignored, want 2", n)
		}
	})
}

func TestWhatAHandlerFinishesWhileStoppingIsNotDeliveredAgain(t *testing.T) {
	redis, namespace := redistest.Shared(t), "stop-"+uuid.NewString()
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redis.URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: 1}}
	first := opened(t)(chatcore.New(t.Context(), config))
	entered, release := make(chan struct{}), make(chan struct{})
	err := first.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.ChatUpdate]) error {
		close(entered)
		<-release
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := first.Start(ctx); err != nil {
		t.Fatal(err)
	}
	must[app.Done](t)(first.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	receive(t, entered)
	cancel()
	close(release)
	if err := receive(t, end(first)); err != nil {
		t.Fatal(err)
	}

	second := opened(t)(chatcore.New(t.Context(), config))
	arrived := make(chan domain.Seq, 16)
	err = second.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.ChatUpdate]) error {
		arrived <- d.ID.Seq
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	start(t, second)
	must[app.Done](t)(second.Chats.Rename(t.Context(), domain.Rename{Chat: "c", Actor: "ada", Title: "next"}))
	if seq := receive(t, arrived); seq != 2 {
		t.Errorf("seq %d was delivered to the second core, want 2", seq)
	}
}

func TestFromBeginningCatchesUp(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		arrived := make(chan domain.Seq, 16)
		err := core.Subscribe("g", chatcore.FromBeginning(), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
			arrived <- d.ID.Seq
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		start(t, core)
		if seq := receive(t, arrived); seq != 1 {
			t.Errorf("the first delivery is seq %d", seq)
		}
	})
}

func TestPublishersOfOtherProgramsAreHeard(t *testing.T) {
	redis, namespace := redistest.Shared(t), "foreign-"+uuid.NewString()
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redis.URL(), Namespace: namespace}}))
	arrived := make(chan chatcore.Live[domain.TypingStart], 1)
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.TypingStart]) { arrived <- l })); err != nil {
		t.Fatal(err)
	}
	start(t, core)
	client := goredis.NewClient(&goredis.Options{Addr: redis.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	for _, payload := range []string{`{"chatId":`, `{"chatId":"room-1","userId":"user-789","userName":"Ada"}`} {
		if err := client.Publish(t.Context(), namespace+":typing:start", payload).Err(); err != nil {
			t.Fatal(err)
		}
	}
	l := receive(t, arrived)
	if !l.Foreign || l.Event.Chat != "room-1" || l.Event.User != "user-789" || l.Seq != 0 {
		t.Errorf("heard %+v", l)
	}
	if n := core.Stats().LiveUnreadable; n != 1 {
		t.Errorf("%d unreadable payloads counted, want 1", n)
	}
}

func TestAPanickingListenerHarmsNobody(t *testing.T) {
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
	arrived := make(chan domain.MessageID, 2)
	err := core.Listen(
		chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageNew]) { panic("boom") }),
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { arrived <- l.Event.Message }),
	)
	if err != nil {
		t.Fatal(err)
	}
	start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	for _, id := range []domain.MessageID{"m1", "m2"} {
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: id, Content: "x"}))
		if got := receive(t, arrived); got != id {
			t.Errorf("heard %s, want %s", got, id)
		}
	}
}

func TestConfigReportsEveryFaultAtOnce(t *testing.T) {
	config := chatcore.Config{Log: chatcore.LogConfig{Partitions: -1}, Limits: chatcore.LimitsConfig{EditWindow: -1}, Delivery: chatcore.DeliveryConfig{EffectTTL: -1, LiveBuffer: -1}, Redis: chatcore.RedisConfig{ConnectAttempts: -1}}
	config.Delivery.Retry.Attempts, config.Delivery.Retry.Max = -1, -1
	for name, err := range map[string]error{
		"Validate":    config.Validate(),
		"NewInMemory": errOf(chatcore.NewInMemory(config)),
		"New":         errOf(chatcore.New(t.Context(), config)),
	} {
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, field := range []string{"artitions", "EditWindow", "EffectTTL", "LiveBuffer", "ConnectAttempts", "Retry.Attempts", "Retry.Max"} {
			if !strings.Contains(err.Error(), field) {
				t.Errorf("%s does not name %s: %v", name, field, err)
			}
		}
	}
	if err := (chatcore.Config{}).Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

func errOf(_ *chatcore.Core, err error) error { return err }

func TestNewSaysWhatIsWrongWithTheRedisURL(t *testing.T) {
	for _, url := range []string{"", "http://localhost", "redis://localhost:notaport", "redis://:secret@localhost:port"} {
		_, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: url}})
		if !errors.Is(err, chatcore.ErrURL) {
			t.Errorf("%q: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}

func TestACoreThatNeverRanCloses(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		if err := errors.Join(core.Close(), core.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestASendEndsTypingUnderAnIDOfItsOwn(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{})
		stops, sends := make(chan domain.EventID, 4), make(chan domain.EventID, 4)
		err := core.Listen(
			chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.TypingStop]) { stops <- l.ID }),
			chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { sends <- l.ID }),
		)
		if err != nil {
			t.Fatal(err)
		}
		start(t, core)
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		must[bool](t)(core.Chats.StartTyping(t.Context(), domain.Typing{Chat: "c", Actor: "ada"}))
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		if stop, sent := receive(t, stops), receive(t, sends); stop == "" || stop == sent {
			t.Errorf("the stop has the id %q, the message %q: who drops repetitions by id loses one", stop, sent)
		}
	})
}

// TestASlowListenerIsNotNoticedByTheDurablePath has a live handler stand still while events are delivered: it loses, and nobody waits for it.
func TestASlowListenerIsNotNoticedByTheDurablePath(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{Delivery: chatcore.DeliveryConfig{LiveBuffer: 2}})
		arrived, release := make(chan domain.Seq), make(chan struct{})
		if err := errors.Join(
			core.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
				arrived <- d.ID.Seq
				return nil
			})),
			core.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageNew]) { <-release })),
		); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		t.Cleanup(func() { close(release) }) // before the core stops
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		const n = 20
		for i := range n {
			must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
			if seq := receive(t, arrived); seq != domain.Seq(i+2) {
				t.Fatalf("seq %d was delivered, want %d", seq, i+2)
			}
		}
		eventually(t, "what the listener lost is counted", func() bool { return core.Stats().LiveDropped >= n-4 })
	})
}
