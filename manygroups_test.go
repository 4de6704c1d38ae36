package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// subscribeMany subscribes n groups, and returns how many were accepted and the deliveries of each. The others are refused, as those behind the last
// accepted one.
func subscribeMany(t *testing.T, core *chatcore.Core, n int) (accepted int, given func() int) {
	t.Helper()
	var mu sync.Mutex
	groups := make(map[string]int)
	for i := range n {
		group := fmt.Sprint("g", i)
		err := core.Subscribe(group, chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
			mu.Lock()
			defer mu.Unlock()
			groups[group]++
			return nil
		}))
		var refused *chatcore.TooManyGroupsError
		switch {
		case err == nil && accepted == i:
			accepted++
		case !errors.Is(err, chatcore.ErrTooManyGroups) || !errors.As(err, &refused) || refused.Group != group || refused.Allowed != accepted:
			t.Fatalf("group %d after %d: %v", i, accepted, err)
		}
	}
	return accepted, func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(groups)
	}
}

// TestSubscribe_ManyGroups subscribes 1,000 groups: as many run as are allowed, and each of them gets the event.
func TestSubscribe_ManyGroups(t *testing.T) {
	for name, c := range map[string]struct {
		open func(t *testing.T) *chatcore.Core
		want int
	}{
		"redis": {func(t *testing.T) *chatcore.Core {
			return opened(t)(chatcore.New(t.Context(), chatcore.Config{
				Redis: chatcore.RedisConfig{URL: redistest.Start(t).URL(), CommandTimeout: time.Minute}, // 256 groups start at once: on a busy machine a reply takes seconds
			}))
		}, 256},
		"memory": {func(t *testing.T) *chatcore.Core { return opened(t)(chatcore.NewInMemory(chatcore.Config{})) }, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			core := c.open(t)
			accepted, given := subscribeMany(t, core, 1000)
			if accepted != c.want {
				t.Errorf("%d groups are allowed, want %d", accepted, c.want)
			}
			start(t, core)
			must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
			must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
			wait.Until(t, "every group to get the message", func() bool { return given() == accepted })
		})
	}
}

// TestSubscribe_MaxGroups shows the bound for other numbers of partitions, and as it is set.
func TestSubscribe_MaxGroups(t *testing.T) {
	for _, c := range []struct{ partitions, set, want int }{{1, 0, 2176}, {64, 0, 66}, {512, 0, 16}, {16, 3, 3}} {
		core := opened(t)(chatcore.New(t.Context(), chatcore.Config{
			Redis:    chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "groups-" + uuid.NewString()},
			Log:      chatcore.LogConfig{Partitions: c.partitions},
			Delivery: chatcore.DeliveryConfig{MaxGroups: c.set},
		}))
		if accepted, _ := subscribeMany(t, core, 2200); accepted != c.want {
			t.Errorf("%d partitions, MaxGroups %d: %d groups are allowed, want %d", c.partitions, c.set, accepted, c.want)
		}
	}
}
