package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// endGraces has all policies of the log in a namespace apply now.
func endGraces(t *testing.T, client *goredis.Client, namespace string) {
	t.Helper()
	for _, key := range client.Keys(t.Context(), namespace+"cc:{*}:retention").Val() {
		for field, text := range client.HGetAll(t.Context(), key).Val() {
			var policy map[string]any
			if err := json.Unmarshal([]byte(text), &policy); err != nil {
				t.Fatal(err)
			}
			policy["from"] = 1
			changed, _ := json.Marshal(policy)
			client.HSet(t.Context(), key, field, changed)
		}
	}
}

// TestRetention_LeavesNoCopyInRedis lets two processes erase by count. The text of what is due goes from every key, subscribers hear of each erasure in order, and the
// places of an erasure are done.
func TestRetention_LeavesNoCopyInRedis(t *testing.T) {
	const secret, messages = "kept-from-all", 40
	server := redistest.Start(t)
	client := server.Client(t)
	config := quick(chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}, Retention: chatcore.RetentionConfig{MaxMessages: 3, Rate: 100_000}})
	ctx := t.Context()
	var mu sync.Mutex
	var erased []domain.MessageID
	cores := make([]*chatcore.Core, 2)
	for i := range cores {
		cores[i] = opened(t)(chatcore.New(ctx, config))
		if err := errors.Join(cores[i].SubscribeBuiltins(), cores[i].Subscribe("hears", chatcore.FromBeginning(), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageErased]) error {
			mu.Lock()
			defer mu.Unlock()
			erased = append(erased, d.Event.Message)
			return nil
		}))); err != nil {
			t.Fatal(err)
		}
		start(t, cores[i])
	}
	core := cores[0]
	wait.Until(t, "the policy of the log", func() bool {
		all, err := core.Retention.Status(ctx, false)
		return err == nil && all[0].Policy.MaxMessages == 3
	})
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	var want []domain.MessageID
	for i := range messages {
		id, content := domain.MessageID(fmt.Sprint("m", i)), secret
		if want = append(want, id); i >= messages-3 {
			content = "kept"
		}
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: id, Content: content}))
	}
	if done, err := core.Retention.ExpireAll(ctx); err != nil || done.Erased != 0 {
		t.Fatalf("during the grace: %+v, %v", done, err)
	}
	endGraces(t, client, "")
	var passing sync.WaitGroup
	for _, c := range cores { // two at a time do no harm
		passing.Go(func() {
			if _, err := c.Retention.ExpireAll(ctx); err != nil && !errors.Is(err, ports.ErrConflict) {
				t.Error(err)
			}
		})
	}
	passing.Wait()
	wait.Until(t, "the text to go", func() bool { return len(keysWith(t, client, secret)) == 0 })
	wait.Until(t, "the group to hear of all", func() bool { mu.Lock(); defer mu.Unlock(); return len(erased) == messages-3 })
	slices.SortFunc(erased, func(a, b domain.MessageID) int { return slices.Index(want, a) - slices.Index(want, b) })
	if !slices.Equal(erased, want[:messages-3]) {
		t.Errorf("the group heard of %v", erased)
	}
	wait.Until(t, "every place", func() bool {
		places, err := core.VerifyErasure(ctx, "c", "m0")
		if err != nil {
			t.Fatal(err)
		}
		return !slices.ContainsFunc(places, func(p ports.ErasurePlace) bool { return p.Status == ports.ErasurePending })
	})
	for c, err := range core.Fsck(ctx, chatcore.FsckConfig{}) {
		t.Errorf("fsck: %+v, %v", c, err)
	}
	if h := core.Health(ctx); h.RetentionErr != nil {
		t.Error(h.RetentionErr)
	}
}

// jumping is a clock that a test moves. Sleep waits until it has come so far.
type jumping struct {
	mu    sync.Mutex
	now   time.Time
	moved chan struct{}
}

func (j *jumping) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now
}

func (j *jumping) Sleep(ctx context.Context, until time.Time) error {
	for {
		j.mu.Lock()
		now, moved := j.now, j.moved
		j.mu.Unlock()
		if !now.Before(until) {
			return ctx.Err()
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (j *jumping) jump(d time.Duration) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now = j.now.Add(d)
	close(j.moved)
	j.moved = make(chan struct{})
}

// TestRetention_Runs moves the clock of a running core over the grace: it erases what is due by itself.
func TestRetention_Runs(t *testing.T) {
	clock := &jumping{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), moved: make(chan struct{})}
	core := opened(t)(chatcore.NewInMemory(chatcore.Config{Retention: chatcore.RetentionConfig{MaxAge: time.Hour}}, chatcore.WithClock(clock)))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "hello"}))
	start(t, core)
	wait.Until(t, "the policy of the log", func() bool {
		all, err := core.Retention.Status(ctx, false)
		return err == nil && all[0].Policy.MaxAge == time.Hour
	})
	declared := clock.Now() // the grace ends a day later at the earliest
	wait.Until(t, "the erasure", func() bool {
		m, err := core.Queries.Message(ctx, "c", "m")
		if err != nil {
			t.Fatal(err)
		}
		if early := clock.Now().Before(declared.Add(domain.RetentionGrace - time.Hour)); m.Erased && early {
			t.Fatalf("erased at %s, declared at %s", clock.Now(), declared)
		}
		clock.jump(time.Hour)
		return m.Erased && m.DeletedBy == domain.RetentionActor
	})
}

// TestRetention_Config lists configurations that are refused.
func TestRetention_Config(t *testing.T) {
	for _, r := range []chatcore.RetentionConfig{{MaxAge: time.Second}, {MaxAge: -time.Hour}, {MaxMessages: -1}, {Rate: -1}} {
		if err := (chatcore.Config{Retention: r}).Validate(); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}
