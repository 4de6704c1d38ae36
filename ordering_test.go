package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// twoFailing are the failures of two messages: one that passes by itself some day, and one that counts attempts.
func twoFailing() map[string]error {
	return map[string]error{"down": chatcore.Transient(errors.New("the push service is down")), "bad": errors.New("bad token")}
}

// sendAround sends two failing messages to a chat, and n others after them.
func sendAround(t *testing.T, core *chatcore.Core, n int) {
	t.Helper()
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"})) // seq 1
	for _, content := range []string{"down", "bad"} {
		send(t, core, content)
	}
	for i := range n {
		send(t, core, fmt.Sprint("good ", i))
	}
}

func send(t *testing.T, core *chatcore.Core, content string) app.Sent {
	t.Helper()
	return must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: content}))
}

// TestUnordered_FailingEventsDelayNoOther has two events of a chat fail for ever. The others are handled, and not again by the process that comes
// after; the failing ones come again, with their attempts, until they are handled.
func TestUnordered_FailingEventsDelayNoOther(t *testing.T) {
	const n = 20
	onEachSharedLog(t, func(t *testing.T, log *sharedLog) {
		first := log.newPushes(twoFailing(), chatcore.Unordered())
		sendAround(t, first.Core, n)
		wait.Until(t, "the others are handled, and the failing ones tried again", func() bool {
			return first.count("good") == n && len(first.startsOf("bad")) > 2 && len(first.startsOf("down")) > 2
		})
		first.stop()
		bad := first.startsOf("bad")

		second := log.newPushes(twoFailing(), chatcore.Unordered())
		send(t, second.Core, "last")
		wait.Until(t, "a new event is handled, and the failing ones are tried again", func() bool {
			return second.count("last") == 1 && len(second.startsOf("bad")) > 1 && len(second.startsOf("down")) > 1
		})
		if d := second.startsOf("bad")[0]; d.Attempt != bad[len(bad)-1].Attempt+1 || !d.Redelivered {
			t.Errorf("the failing event comes with attempt %d, redelivered %v, after attempt %d", d.Attempt, d.Redelivered, bad[len(bad)-1].Attempt)
		}
		if d := second.startsOf("down")[0]; d.Attempt != 1 {
			t.Errorf("transient failures counted as attempts: %d", d.Attempt)
		}
		second.mend()
		wait.Until(t, "every event is finished", func() bool {
			state, found := groupTotals(t, second.Groups(), "push")
			return found && state.Lag == 0 && second.count("bad") == 1 && second.count("down") == 1
		})
		second.stop()

		third := log.newPushes(nil, chatcore.Unordered())
		send(t, third.Core, "end")
		wait.Until(t, "the last event is handled", func() bool { return third.count("end") == 1 })
		for _, p := range []*pushes{second, third} {
			if n := p.startCount("good"); n > 0 {
				t.Errorf("%d finished events came again", n)
			}
		}
		if n := third.startCount(""); n != 1 {
			t.Errorf("%d deliveries to the last process, want 1", n)
		}
	})
}

// TestUnordered_Takeover cuts a process off from its store while two events fail: another process continues, and is given no event that the store has as
// finished.
func TestUnordered_Takeover(t *testing.T) {
	const n = 20
	onEachSharedLog(t, func(t *testing.T, log *sharedLog) {
		first := log.newPushes(twoFailing(), chatcore.Unordered())
		sendAround(t, first.Core, n)
		wait.Until(t, "the others are handled, and a failing one is tried again", func() bool { return first.count("good") == n && len(first.startsOf("bad")) > 2 })
		if log.progress != nil {
			wait.Until(t, "the store has them as finished", func() bool {
				return strings.Contains(log.progress("push")["c"], fmt.Sprintf(" %d+%d ", 4, n-1)) // seqs 4 to n+3
			})
		}
		first.cut()

		second := log.newPushes(twoFailing(), chatcore.Unordered())
		wait.Until(t, "another process continues", func() bool { return len(second.startsOf("bad")) > 0 && len(second.startsOf("down")) > 0 })
		d := second.startsOf("bad")[0]
		if d.Attempt < 2 || !d.Redelivered || d.Epoch <= first.startsOf("bad")[0].Epoch {
			t.Errorf("the failing event comes with attempt %d, redelivered %v, epoch %d", d.Attempt, d.Redelivered, d.Epoch)
		}
		second.mend()
		wait.Until(t, "every event is finished", func() bool { return second.count("bad") == 1 && second.count("down") == 1 })
		if n := second.startCount("good"); log.progress != nil && n > 0 {
			t.Errorf("%d finished events came again", n)
		}
	})
}

// TestUnordered_DeadLetters retries, drops and rebuilds in an unordered group: a dead letter delays no event.
func TestUnordered_DeadLetters(t *testing.T) {
	onEachSharedLog(t, func(t *testing.T, log *sharedLog) {
		failures := map[string]error{"down": chatcore.Permanent(errors.New("no such device")), "bad": chatcore.Permanent(errors.New("bad token"))}
		p := log.newPushes(failures, chatcore.Unordered())
		const n = 10
		sendAround(t, p.Core, n)
		letters := func(want int) func() bool {
			return func() bool {
				state, found := groupTotals(t, p.Groups(), "push")
				return found && state.Letters == want && state.Lag == 0 && state.Parked == 0
			}
		}
		wait.Until(t, "two dead letters, and nothing else left", letters(2))
		if p.count("good") != n {
			t.Errorf("%d of %d others were handled", p.count("good"), n)
		}
		p.mend()
		for d, err := range p.Groups().DeadLetters(t.Context(), "push") {
			change := p.Groups().Retry
			if d.Reason == "bad token" {
				change = p.Groups().Drop
			}
			if err := errors.Join(err, change(t.Context(), "push", d.ID)); err != nil {
				t.Fatal(err)
			}
		}
		wait.Until(t, "the retried one is handled", func() bool { return p.count("down") == 1 && letters(0)() })
		if p.count("bad") > 0 {
			t.Error("the dropped one was delivered")
		}
		if err := p.Groups().Rebuild(t.Context(), "push"); err != nil {
			t.Fatal(err)
		}
		wait.Until(t, "every event is handled again, also the dropped one", func() bool {
			return p.count("bad") == 1 && p.count("down") == 2 && p.count("good") >= 2*n && letters(0)()
		})
	})
}

// byMessage is the message of an event.
func byMessage(e domain.Durable) string {
	switch e := e.(type) {
	case domain.MessageNew:
		return string(e.Message)
	case domain.MessageEdit:
		return string(e.Message)
	case domain.MessageDelete:
		panic("no key for deletions")
	}
	return ""
}

// TestOrderBy keeps the order of the events of a message while those of another one fail, with and without Watermill. An event whose key panics becomes a
// dead letter.
func TestOrderBy(t *testing.T) {
	pass := chatcore.WithMiddleware(func(next message.HandlerFunc) message.HandlerFunc { return next })
	for name, with := range map[string][]chatcore.SubscribeOption{"calls": {}, "middlewares": {pass}} {
		t.Run(name, func(t *testing.T) {
			onEachLog(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
				core, ctx := open(quick(chatcore.Config{Delivery: chatcore.DeliveryConfig{Retry: chatcore.RetryPolicy{Max: 10 * time.Millisecond}}})), t.Context()
				var mu sync.Mutex
				var failed int
				mended := false
				handled := make(map[domain.MessageID][]string)
				got := func(id domain.MessageID) []string {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(handled[id])
				}
				handle := func(id domain.MessageID, content string) error {
					mu.Lock()
					defer mu.Unlock()
					if id == "m1" && !mended {
						failed++
						return chatcore.Transient(errors.New("down"))
					}
					handled[id] = append(handled[id], content)
					return nil
				}
				options := append([]chatcore.SubscribeOption{
					chatcore.OrderBy(byMessage),
					chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
						return handle(d.Event.Message, string(d.Event.Content))
					}),
					chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageEdit]) error {
						return handle(d.Event.Message, string(d.Event.Content))
					}),
				}, with...)
				if err := core.Subscribe("index", options...); err != nil {
					t.Fatal(err)
				}
				start(t, core)
				must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
				ids := []domain.MessageID{"m1", "m2", "m3"}
				for _, id := range ids {
					must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: id, Content: "0"}))
				}
				want := []string{"0"}
				for i := 1; i <= 8; i++ {
					for _, id := range ids {
						must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: id, Content: fmt.Sprint(i)}))
					}
					want = append(want, fmt.Sprint(i))
				}
				must[app.Done](t)(core.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ada", MessageID: "m3"}))
				wait.Until(t, "the other messages are handled while one fails", func() bool {
					mu.Lock()
					defer mu.Unlock()
					return len(handled["m2"]) == len(want) && len(handled["m3"]) == len(want) && failed > 1
				})
				if early := got("m1"); len(early) > 0 {
					t.Errorf("events passed the failing one before them: %v", early)
				}
				mu.Lock()
				mended = true
				mu.Unlock()
				wait.Until(t, "the failing message is handled", func() bool { return len(got("m1")) == len(want) })
				for _, id := range ids {
					if got := got(id); !slices.Equal(got, want) {
						t.Errorf("%s: %v, want %v", id, got, want)
					}
				}
				wait.Until(t, "a dead letter of the deletion", func() bool { return len(letterIDs(t, core.Groups(), "index")) == 1 })
				letter := must[chatcore.DeadLetter](t)(core.Groups().DeadLetter(ctx, "index", letterIDs(t, core.Groups(), "index")[0]))
				if !strings.Contains(letter.Reason, "no key for deletions") {
					t.Errorf("reason %q", letter.Reason)
				}
			})
		})
	}
}

// TestChatConcurrency counts the handlers of a chat and of the process that run at a time.
func TestChatConcurrency(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		const ofChat, ofAll, each = 2, 5, 6
		core, ctx := open(chatcore.Config{}), t.Context()
		var mu sync.Mutex
		running, most, handled := make(map[domain.ChatID]int), make(map[domain.ChatID]int), 0
		all, mostOfAll := 0, 0
		release := make(chan struct{})
		err := core.Subscribe(
			"push", chatcore.Unordered(), chatcore.Concurrency(ofAll), chatcore.ChatConcurrency(ofChat),
			chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
				mu.Lock()
				running[d.ID.Chat]++
				all++
				most[d.ID.Chat], mostOfAll = max(most[d.ID.Chat], running[d.ID.Chat]), max(mostOfAll, all)
				mu.Unlock()
				select {
				case <-release:
				case <-ctx.Done():
					return ctx.Err()
				}
				mu.Lock()
				defer mu.Unlock()
				running[d.ID.Chat]--
				all--
				handled++
				return nil
			}),
		)
		if err != nil {
			t.Fatal(err)
		}
		start(t, core)
		fill := func(chat domain.ChatID) {
			must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada"}))
			for range each {
				must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: "x"}))
			}
		}
		count := func() (map[domain.ChatID]int, int) {
			mu.Lock()
			defer mu.Unlock()
			return maps.Clone(running), all
		}
		fill("a")
		wait.Until(t, "as many events of the chat are with handlers as may be", func() bool { of, _ := count(); return of["a"] == ofChat })
		fill("b")
		wait.Until(t, "those of another chat are too", func() bool { of, _ := count(); return of["b"] == ofChat })
		fill("d")
		wait.Until(t, "the process has as many as may be", func() bool { _, n := count(); return n == ofAll })
		close(release)
		wait.Until(t, "every event is handled", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return handled == 3*each
		})
		mu.Lock()
		defer mu.Unlock()
		for chat, n := range most {
			if n > ofChat {
				t.Errorf("%d events of %s at a time, want %d at most", n, chat, ofChat)
			}
		}
		if mostOfAll > ofAll {
			t.Errorf("%d events at a time, want %d at most", mostOfAll, ofAll)
		}
	})
}
