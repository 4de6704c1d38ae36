package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestDeadLetters_KeptThroughRetries retries a dead letter until it succeeds, on Redis, in memory and on a custom log, of a group that skips and one that parks: it keeps
// id, first failure and attempts.
func TestDeadLetters_KeptThroughRetries(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) *chatcore.Core{
		"redis": func(t *testing.T) *chatcore.Core {
			return opened(t)(chatcore.New(t.Context(), quick(chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Start(t).URL()}, Log: chatcore.LogConfig{Partitions: 2}})))
		},
		"memory": func(t *testing.T) *chatcore.Core { return opened(t)(chatcore.NewInMemory(quick(chatcore.Config{}))) },
		"custom log": func(t *testing.T) *chatcore.Core {
			core, _ := memoryLog(t).open(quick(chatcore.Config{}))
			return core
		},
	} {
		for poison, as := range map[string]chatcore.Poison{"skip": chatcore.Skip, "park": chatcore.Park} {
			t.Run(name+", "+poison, func(t *testing.T) {
				core := open(t)
				var starts atomic.Int64
				const failures = 3
				handled := make(chan struct{})
				if err := core.Subscribe("g", chatcore.OnPoison(as), chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
					if n := starts.Add(1); n <= failures {
						return chatcore.Permanent(fmt.Errorf("failure %d", n))
					}
					close(handled)
					return nil
				})); err != nil {
					t.Fatal(err)
				}
				start(t, core)
				ctx := t.Context()
				must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
				must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
				groups := core.Groups()
				letter := func() (found chatcore.DeadLetter, n int) {
					for d, err := range groups.DeadLetters(ctx, "g") {
						if err != nil {
							t.Fatal(err)
						}
						found, n = d, n+1
					}
					return found, n
				}
				var first chatcore.DeadLetter
				wait.Until(t, "a dead letter", func() bool { d, n := letter(); first = d; return n == 1 })
				for attempt := 2; attempt <= failures; attempt++ {
					if err := groups.Retry(ctx, "g", first.ID); err != nil {
						t.Fatal(err)
					}
					var d chatcore.DeadLetter
					wait.Until(t, "the retry to fail", func() bool { d, _ = letter(); return d.Attempts == attempt && !d.Again })
					if d.ID != first.ID || !d.At.Equal(first.At) || d.First != "failure 1" || d.Reason != fmt.Sprint("failure ", attempt) || d.FailedAt.IsZero() || d.Parked != (as == chatcore.Park) {
						t.Errorf("attempt %d: %+v, at first %+v", attempt, d, first)
					}
				}
				if err := groups.Retry(ctx, "g", first.ID); err != nil {
					t.Fatal(err)
				}
				receive(t, handled)
				wait.Until(t, "it to go", func() bool { _, n := letter(); return n == 0 })
				if err := groups.Drop(ctx, "g", first.ID); !errors.Is(err, chatcore.ErrDeadLetterNotFound) {
					t.Errorf("dropped once it was gone: %v", err)
				}
			})
		}
	}
}
