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

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/pubsub/group"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestAGroupsNameIsNobodyElsesKey guards against keys in which a group's name and a chat's, or two groups', could be taken for one another.
func TestAGroupsNameIsNobodyElsesKey(t *testing.T) {
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "names-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 1}}))
	groups := []string{"x", "x:chats", "0", "u", "chats", "members", "x:members", "{x}", "%"}
	chats := []domain.ChatID{"g", "x", "groups", "members", "g:x", "chats", "left"}
	arrived := make(chan string, len(groups)*len(chats)*2)
	for _, group := range groups {
		err := core.Subscribe(group, chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			arrived <- group + " " + string(d.ID.Chat)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
	}
	start(t, core)
	for _, chat := range chats {
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada"}))
		must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ada", Content: "hello"}))
	}
	seen := make(map[string]bool)
	for range len(groups) * len(chats) {
		seen[receive(t, arrived)] = true
	}
	if len(seen) != len(groups)*len(chats) {
		t.Errorf("delivered %v", seen)
	}
}

// idle runs a group that does nothing, on its own core with a short lease, and returns the result of Run.
func idle(t *testing.T, config chatcore.Config, groups ...string) (ended <-chan error) {
	t.Helper()
	config.Delivery.Lease = group.MinLease
	core := opened(t)(chatcore.New(t.Context(), config))
	for _, group := range groups {
		if err := core.Subscribe(group, chatcore.On(func(context.Context, chatcore.Delivery[domain.Durable]) error { return nil })); err != nil {
			t.Fatal(err)
		}
	}
	if err := core.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return end(core)
}

func TestRunTellsThatRedisLostTheLog(t *testing.T) {
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	ended := idle(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}}, "g", "h")
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, ended); !errors.Is(err, ports.ErrLogLost) || errors.Is(err, chatcore.ErrGroupDeleted) {
		t.Errorf("Run ended with %v", err)
	}
}

// TestGroupsDelete_EndsItsOwnSubscription and no other one of the process. Run reports it when it ends, Health at once.
func TestGroupsDelete_EndsItsOwnSubscription(t *testing.T) {
	namespace := "delete-" + uuid.NewString()
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: 2}, Delivery: chatcore.DeliveryConfig{Lease: group.MinLease}}
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	core := opened(t)(chatcore.New(t.Context(), config))
	delivered := make(chan domain.ChatID, 16)
	stays := chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		delivered <- d.ID.Chat
		return nil
	})
	if err := errors.Join(core.Subscribe("g"), core.Subscribe("stays", stays)); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- core.Wait() }()
	alone := idle(t, config, "g") // an instance need not own a partition to notice
	other := opened(t)(chatcore.New(t.Context(), config))
	groups := other.Groups()
	if err := groups.Delete(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, alone); !errors.Is(err, chatcore.ErrGroupDeleted) || errors.Is(err, ports.ErrLogLost) {
		t.Errorf("Run of a process without another group ended with %v", err)
	}
	eventually(t, "health tells of the group", func() bool {
		h := core.Health(t.Context())
		return len(h.Stopped) == 1 && h.Stopped[0].Group == "g" && errors.Is(h.Stopped[0].Err, chatcore.ErrGroupDeleted) && hasFinding(h, "group_stopped")
	})
	for _, chat := range []domain.ChatID{"a", "b", "c", "d"} {
		must[app.Done](t)(other.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada"}))
		if got := receive(t, delivered); got != chat {
			t.Errorf("the other group is given %s, want %s", got, chat)
		}
	}
	if left := must[[]string](t)(client.Keys(t.Context(), namespace+":*:g").Result()); len(left) > 0 {
		t.Errorf("left are %q", left)
	}
	stop()
	if err := receive(t, ended); !errors.Is(err, chatcore.ErrGroupDeleted) || errors.Is(err, ports.ErrLogLost) {
		t.Errorf("Run ended with %v", err)
	}
	if err := groups.Delete(t.Context(), "g"); !errors.Is(err, chatcore.ErrGroupNotFound) {
		t.Errorf("deleted twice: %v", err)
	}
	if err := groups.Delete(t.Context(), "stays"); err != nil {
		t.Errorf("the other group: %v", err)
	}
}

// TestGroupsDelete_WithARunningHandler reports a deleted group while one of its handlers still runs.
func TestGroupsDelete_WithARunningHandler(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core := open(chatcore.Config{StopTimeout: time.Hour, Delivery: chatcore.DeliveryConfig{Lease: group.MinLease}})
		started, release := make(chan struct{}), make(chan struct{})
		hangs := chatcore.On(func(context.Context, chatcore.Delivery[domain.ChatUpdate]) error {
			close(started)
			<-release
			return nil
		})
		if err := errors.Join(core.Subscribe("g", hangs), core.Subscribe("stays")); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		if err := core.Start(ctx); err != nil {
			t.Fatal(err)
		}
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		receive(t, started)
		if err := core.Groups().Delete(t.Context(), "g"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "health reports the group", func() bool {
			h := core.Health(t.Context())
			return len(h.Stopped) == 1 && h.Stopped[0].Group == "g" && errors.Is(h.Stopped[0].Err, chatcore.ErrGroupDeleted)
		})
		close(release)
		stop()
		if err := receive(t, end(core)); !errors.Is(err, chatcore.ErrGroupDeleted) {
			t.Errorf("Run ended with %v", err)
		}
	})
}

func hasFinding(h chatcore.Health, code string) bool {
	return slices.ContainsFunc(h.Findings(), func(f chatcore.Finding) bool { return f.Code == code })
}

// TestFindings_OfGroups warns of a group that nobody runs, and of one that is behind by the thresholds of the settings.
func TestFindings_OfGroups(t *testing.T) {
	config := chatcore.Config{
		Redis:    chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "lag-" + uuid.NewString()},
		Log:      chatcore.LogConfig{Partitions: 1},
		Delivery: chatcore.DeliveryConfig{Lease: group.MinLease, Warn: chatcore.Thresholds{Lag: 3, LagAge: time.Hour}},
	}
	other := opened(t)(chatcore.New(t.Context(), config))
	core := opened(t)(chatcore.New(t.Context(), config))
	release := make(chan struct{})
	if err := core.Subscribe("g", chatcore.On(func(ctx context.Context, _ chatcore.Delivery[domain.Durable]) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return ctx.Err()
	})); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- core.Wait() }()
	has := func(code string) func() bool {
		return func() bool { return hasFinding(other.Health(t.Context()), code) }
	}
	eventually(t, "it is run", func() bool {
		h := other.Health(t.Context())
		return len(h.Groups) == 1 && h.Groups[0].Members == 1 && !hasFinding(h, "group_not_run") && !hasFinding(h, "group_behind")
	})
	for _, chat := range []domain.ChatID{"a", "b", "c", "d"} {
		must[app.Done](t)(other.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada"}))
	}
	eventually(t, "it is behind", has("group_behind"))
	close(release)
	eventually(t, "it is not", func() bool { return !has("group_behind")() })
	stop()
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
	eventually(t, "nobody runs it", has("group_not_run"))
}

func TestARunThatIsInterruptedWhileItStartsLeavesNothingBehind(t *testing.T) {
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "stop-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 2}}
	groups := opened(t)(chatcore.New(t.Context(), config)).Groups()
	for _, after := range []time.Duration{0, 500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond} {
		core := opened(t)(chatcore.New(t.Context(), config))
		for _, group := range []string{"a", "b", "c"} {
			if err := core.Subscribe(group, chatcore.Ephemeral()); err != nil {
				t.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		interrupt := time.AfterFunc(after, cancel)
		if err := core.Run(ctx); err != nil {
			t.Errorf("after %s Run ended with %v", after, err)
		}
		interrupt.Stop()
		cancel()
		if left := must[[]chatcore.GroupState](t)(groups.List(t.Context())); len(left) > 0 {
			t.Errorf("interrupted after %s it leaves %+v", after, left)
		}
	}
}

func TestGroupsTellWhatIsNotThere(t *testing.T) {
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}}
	ended := idle(t, config, "g")
	groups := opened(t)(chatcore.New(t.Context(), config)).Groups()
	ctx := t.Context()
	asked := func(group, letter string) map[string]error {
		_, listErr := groups.List(ctx)
		_, letterErr := groups.DeadLetter(ctx, group, letter)
		var lettersErr error
		for _, err := range groups.DeadLetters(ctx, group) {
			lettersErr = errors.Join(lettersErr, err)
		}
		return map[string]error{
			"List": listErr, "Letters": lettersErr, "Letter": letterErr, "Retry": groups.Retry(ctx, group, letter), "Drop": groups.Drop(ctx, group, letter),
			"Rebuild": groups.Rebuild(ctx, group), "Delete": groups.Delete(ctx, group),
		}
	}
	for what, err := range asked("nobody", "0/1-1") {
		if what != "List" && !errors.Is(err, chatcore.ErrGroupNotFound) {
			t.Errorf("%s of no group: %v", what, err)
		}
	}
	_, letterErr := groups.DeadLetter(ctx, "g", "0/1-1")
	for what, err := range map[string]error{
		"Letter": letterErr, "Retry": groups.Retry(ctx, "g", "2/1-1"), "Drop": groups.Drop(ctx, "g", "1/1-1"),
	} {
		if !errors.Is(err, chatcore.ErrDeadLetterNotFound) {
			t.Errorf("%s of no letter: %v", what, err)
		}
	}
	for _, id := range []string{"", "1-1", "0/", "/1-1", "3/1-1", "-1/1-1", "0/1-1-1", "0/x", "0/1-1 "} {
		if err := groups.Retry(ctx, "g", id); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("id %q: %v", id, err)
		}
	}

	if err := client.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	for what, err := range asked("g", "0/1-1") {
		if !errors.Is(err, ports.ErrLogLost) {
			t.Errorf("%s of a lost log: %v", what, err)
		}
	}
	if err := receive(t, ended); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("Run ended with %v", err)
	}
}

// TestWhatNobodyReadsGrowsOld guards against an age that only a running owner reports: it matters most where there is none.
func TestWhatNobodyReadsGrowsOld(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "age-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 1}}
	ran := opened(t)(chatcore.New(t.Context(), config))
	if err := ran.Subscribe("g"); err != nil {
		t.Fatal(err)
	}
	start(t, ran)()

	core := opened(t)(chatcore.New(t.Context(), config))
	groups := core.Groups()
	if l := partition(t, groups); l.Lag != 0 || !l.Oldest.IsZero() || l.Age != 0 {
		t.Errorf("nothing is there, and the group stands at %+v", l)
	}
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "hello"}))
	l := partition(t, groups)
	first := must[[]goredis.XMessage](t)(client.XRange(t.Context(), l.Stream, "-", "+").Result())[0].ID
	if l.Lag != 2 || !strings.HasPrefix(first, fmt.Sprint(l.Oldest.UnixMilli(), "-")) || l.Age < 0 || l.Age > patience {
		t.Errorf("two events are there since %s, and the group stands at %+v", first, l)
	}
	again := partition(t, groups)
	for ; again.Age <= l.Age; again = partition(t, groups) {
		if t.Context().Err() != nil {
			t.Fatal("it does not grow old")
		}
	}
	if !again.Oldest.Equal(l.Oldest) {
		t.Errorf("the oldest was of %s, and is of %s", l.Oldest, again.Oldest)
	}
}

// TestAnEphemeralGroupIsRemovedWhenRunEnds has it end in each way that it can.
func TestAnEphemeralGroupIsRemovedWhenRunEnds(t *testing.T) {
	server := redistest.Start(t)
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}, Delivery: chatcore.DeliveryConfig{Lease: 2 * time.Second}}
	other := opened(t)(chatcore.New(t.Context(), config))
	groups := other.Groups()
	there := func() (names []string) {
		t.Helper()
		for _, g := range must[[]chatcore.GroupState](t)(groups.List(t.Context())) {
			names = append(names, g.Group)
		}
		return names
	}
	delivered := make(chan domain.ChatID, 16)
	var core *chatcore.Core
	run := func() (stop func(), ended <-chan error) {
		t.Helper()
		core = opened(t)(chatcore.New(t.Context(), config))
		handler := chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
			delivered <- d.ID.Chat
			return nil
		})
		if err := errors.Join(core.Subscribe("passes", handler, chatcore.Ephemeral()), core.Subscribe("stays")); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := core.Start(ctx); err != nil {
			t.Fatal(err)
		}
		if got := there(); !slices.Equal(got, []string{"passes", "stays"}) {
			t.Errorf("while it runs there are %q", got)
		}
		return cancel, end(core)
	}
	gone := func(want ...string) {
		t.Helper()
		if got := there(); !slices.Equal(got, want) {
			t.Errorf("after Run there are %q, want %q", got, want)
		}
		if keys := must[[]string](t)(client.Keys(t.Context(), "*:passes").Result()); len(keys) > 0 {
			t.Errorf("left are %q", keys)
		}
	}

	stop, ended := run()
	must[app.Done](t)(other.Chats.Create(t.Context(), domain.Create{Chat: "first", Actor: "ada"}))
	receive(t, delivered)
	stop()
	if err := receive(t, ended); err != nil {
		t.Errorf("Run ended with %v", err)
	}
	gone("stays")

	// It was removed: the next one of that name begins with the next event.
	must[app.Done](t)(other.Chats.Create(t.Context(), domain.Create{Chat: "between", Actor: "ada"}))
	stop, ended = run()
	must[app.Done](t)(other.Chats.Create(t.Context(), domain.Create{Chat: "second", Actor: "ada"}))
	if chat := receive(t, delivered); chat != "second" {
		t.Errorf("the next one is given %s", chat)
	}
	noticed := func() bool { return len(core.Health(t.Context()).Stopped) == 1 }
	if err := groups.Delete(t.Context(), "stays"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deletion is noticed", noticed)
	stop()
	if err := receive(t, ended); !errors.Is(err, chatcore.ErrGroupDeleted) {
		t.Errorf("Run ended with %v", err)
	}
	gone()

	stop, ended = run()
	if err := groups.Delete(t.Context(), "passes"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deletion is noticed", noticed)
	stop()
	if err := receive(t, ended); !errors.Is(err, chatcore.ErrGroupDeleted) || errors.Is(err, chatcore.ErrGroupNotFound) {
		t.Errorf("Run ended with %v", err)
	}
	gone("stays")
}

// TestWhatARebuildHasReadIsNotForgotten has a process end between reading chats from the log and handling them: the events are behind the
// position of the stream, and nobody walks for them again.
func TestWhatARebuildHasReadIsNotForgotten(t *testing.T) {
	const chats = 600 // more than are read in one step
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "read-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 1}, Delivery: chatcore.DeliveryConfig{Lease: 2 * time.Second}, StopTimeout: 50 * time.Millisecond}
	release := make(chan struct{})
	var blocks atomic.Bool
	var handled sync.Map
	open := func() *chatcore.Core {
		core := must[*chatcore.Core](t)(chatcore.New(t.Context(), config))
		t.Cleanup(func() {
			if err := core.Close(); err != nil && !errors.Is(err, chatcore.ErrAbandoned) {
				t.Error(err)
			}
		})
		err := core.Subscribe("g", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
			if blocks.Load() {
				<-release
				return errors.New("its process is gone")
			}
			handled.Store(d.ID.Chat, true)
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		return core
	}
	all := func() bool {
		n := 0
		handled.Range(func(any, any) bool { n++; return true })
		return n == chats
	}
	first := open()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if err := first.Start(ctx); err != nil {
		t.Fatal(err)
	}
	ended := end(first)
	for i := range chats {
		must[app.Done](t)(first.Chats.Create(t.Context(), domain.Create{Chat: domain.ChatID(fmt.Sprint("c", i)), Actor: "ada"}))
	}
	eventually(t, "every chat is handled", all)

	blocks.Store(true)
	groups := opened(t)(chatcore.New(t.Context(), config)).Groups()
	if err := groups.Rebuild(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "every chat was looked at", func() bool { l := partition(t, groups); return !l.CatchesUp && l.Owner != "" })
	if l := partition(t, groups); l.Behind != chats {
		t.Errorf("no chat has caught up, and the group stands at %+v", l)
	}
	cancel() // the handlers do not end in time
	_ = receive(t, ended)
	close(release)

	handled.Clear()
	blocks.Store(false)
	start(t, open())
	eventually(t, "every chat is handled again", all)
	eventually(t, "no chat is behind", func() bool { return partition(t, groups).Behind == 0 })
}

// eventually waits for something to hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	wait.Until(t, what, holds)
}

// partition is where the only group stands on the only partition.
func partition(t *testing.T, groups chatcore.Groups) chatcore.PartitionState {
	t.Helper()
	list := must[[]chatcore.GroupState](t)(groups.List(t.Context()))
	if len(list) != 1 || len(list[0].Partitions) != 1 {
		t.Fatalf("groups %+v", list)
	}
	return list[0].Partitions[0]
}

func TestGroupsOnACluster(t *testing.T) {
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.StartCluster(t, 3).URL()}, Log: chatcore.LogConfig{Partitions: 6}, Delivery: chatcore.DeliveryConfig{Lease: 2 * time.Second}}
	core := opened(t)(chatcore.New(t.Context(), config))
	var mended atomic.Bool
	given := make(chan chatcore.DeliveryID, 64)
	if err := core.Subscribe("g", chatcore.OnPoison(chatcore.Park), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		if d.ID.Seq == 2 && !mended.Load() {
			return chatcore.Permanent(errors.New("no answer"))
		}
		given <- d.ID
		return nil
	})); err != nil {
		t.Fatal(err)
	}
	stop := start(t, core)
	const chats = 12
	away := opened(t)(chatcore.New(t.Context(), config))
	if err := away.Subscribe("away"); err != nil {
		t.Fatal(err)
	}
	start(t, away)()
	other := opened(t)(chatcore.New(t.Context(), config))
	groups := other.Groups()
	for i := range chats {
		chat := domain.ChatID(fmt.Sprint("c", i))
		must[app.Done](t)(other.Chats.Create(t.Context(), domain.Create{Chat: chat, Actor: "ada"}))
		must[app.Sent](t)(other.Chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "ada", Content: "hello"}))
	}
	take := func(seq domain.Seq) {
		t.Helper()
		seen := make(map[domain.ChatID]bool)
		for range chats {
			id := receive(t, given)
			if id.Seq != seq || seen[id.Chat] {
				t.Errorf("given is %+v, want seq %d of each chat", id, seq)
			}
			seen[id.Chat] = true
		}
	}
	total := func(name string) (sum chatcore.PartitionState) {
		t.Helper()
		for _, g := range must[[]chatcore.GroupState](t)(groups.List(t.Context())) {
			for _, l := range g.Partitions {
				if g.Group == name {
					sum.Lag, sum.Parked, sum.Letters, sum.Behind = sum.Lag+l.Lag, sum.Parked+l.Parked, sum.Letters+l.Letters, sum.Behind+l.Behind
					sum.CatchesUp, sum.Age = sum.CatchesUp || l.CatchesUp, max(sum.Age, l.Age)
				}
			}
		}
		return sum
	}
	take(1)
	eventually(t, "every chat is parked", func() bool { return total("g").Parked == chats && total("g").Letters == chats && total("g").Lag == 0 })
	if s := total("away"); s.Lag != 2*chats || s.Age <= 0 {
		t.Errorf("the group that nobody runs stands at %+v", s)
	}
	mended.Store(true)
	for letter, err := range groups.DeadLetters(t.Context(), "g") {
		if err == nil {
			err = groups.Retry(t.Context(), "g", letter.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	take(2)
	eventually(t, "no chat is parked", func() bool { s := total("g"); return s.Parked+s.Letters+s.Behind == 0 })

	if err := groups.Rebuild(t.Context(), "g"); err != nil {
		t.Fatal(err)
	}
	again := make(map[domain.ChatID]domain.Seq)
	for range 2 * chats {
		if id := receive(t, given); id.Seq != again[id.Chat]+1 {
			t.Errorf("after seq %d of %s comes %d", again[id.Chat], id.Chat, id.Seq)
		} else {
			again[id.Chat] = id.Seq
		}
	}
	eventually(t, "the rebuild is done", func() bool { s := total("g"); return !s.CatchesUp && s.Behind == 0 })
	stop()
	if err := errors.Join(groups.Delete(t.Context(), "g"), groups.Delete(t.Context(), "away")); err != nil {
		t.Error(err)
	}
	if list := must[[]chatcore.GroupState](t)(groups.List(t.Context())); len(list) > 0 {
		t.Errorf("left are %+v", list)
	}
}
