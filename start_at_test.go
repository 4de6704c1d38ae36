package chatcore_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// TestStartAt starts groups at times before, at, between and after the events of two chats: on whole streams and on streams that have lost all but their
// last entries.
func TestStartAt(t *testing.T) {
	for name, lost := range map[string]bool{"whole streams": false, "trimmed streams": true} {
		t.Run(name, func(t *testing.T) {
			onEachSharedLog(t, func(t *testing.T, log *sharedLog) {
				ctx := t.Context()
				writer, _ := log.open(chatcore.Config{})
				const each = 5
				chats := []domain.ChatID{"a", "b", "d"}
				var times []time.Time // of the events of each round, in rounds: creations, then messages
				record := func(round int) {
					var latest time.Time
					for _, chat := range chats {
						if round == 0 {
							must[app.Done](t)(writer.Chats.Create(ctx, domain.Create{Chat: chat, Actor: "ada"}))
						} else {
							must[app.Sent](t)(writer.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", Content: fmt.Sprint(round)}))
						}
						at := lastTime(ctx, t, writer, chat)
						if chat == chats[0] {
							times = append(times, at)
						}
						latest = at
					}
					wait.Until(t, "the next millisecond", func() bool { return time.Since(latest) > 2*time.Millisecond })
				}
				for round := range each {
					record(round)
				}
				if lost {
					log.loseStreams()
				}
				starts := map[string]struct {
					at    time.Time
					first domain.Seq // that is delivered, of each chat
				}{
					"1970":                   {time.UnixMilli(1), 1},
					"before the first event": {times[0].Add(-time.Millisecond), 1},
					"at the first event":     {times[0], 1},
					"at an event":            {times[2], 3},
					"between events":         {times[2].Add(-time.Millisecond), 3},
					"at the last round":      {times[each-1], each},
					"after the last event":   {times[each-1].Add(time.Hour), each + 1},
					"a year later":           {times[each-1].AddDate(1, 0, 0), each + 1},
				}
				reader, _ := log.open(chatcore.Config{})
				var mu sync.Mutex
				got := make(map[string]map[domain.ChatID][]domain.Seq)
				for group, s := range starts {
					got[group] = make(map[domain.ChatID][]domain.Seq)
					err := reader.Subscribe(groupName(group), chatcore.StartAt(s.at), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
						mu.Lock()
						defer mu.Unlock()
						got[group][d.ID.Chat] = append(got[group][d.ID.Chat], d.ID.Seq)
						return nil
					}))
					if err != nil {
						t.Fatal(err)
					}
				}
				stop := start(t, reader)
				record(each)
				whole := func(chat domain.ChatID, group string) bool {
					mu.Lock()
					defer mu.Unlock()
					seqs := got[group][chat]
					return len(seqs) > 0 && seqs[len(seqs)-1] == each+1
				}
				for group, s := range starts {
					for _, chat := range chats {
						wait.Until(t, "the last event of "+string(chat)+" with a group that starts "+group, func() bool { return whole(chat, group) })
						var want []domain.Seq
						for seq := s.first; seq <= each+1; seq++ {
							want = append(want, seq)
						}
						mu.Lock()
						if seqs := got[group][chat]; !slices.Equal(seqs, want) {
							t.Errorf("a group that starts %s is given %v of %s, want %v", group, seqs, chat, want)
						}
						mu.Unlock()
					}
				}
				stop()

				// A group that exists goes on where it is.
				again, _ := log.open(chatcore.Config{})
				next := make(chan domain.Seq, 16)
				if err := again.Subscribe(groupName("1970"), chatcore.StartAt(time.UnixMilli(1)), chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
					next <- d.ID.Seq
					return nil
				})); err != nil {
					t.Fatal(err)
				}
				start(t, again)
				must[app.Sent](t)(writer.Chats.Send(ctx, domain.Send{Chat: "a", Actor: "ada", Content: "next"}))
				if seq := receive(t, next); seq != each+2 {
					t.Errorf("a group that exists is given seq %d, want %d", seq, each+2)
				}
			})
		})
	}
}

func groupName(text string) string { return fmt.Sprintf("%x", text) }

// lastTime returns the time of a chat's last event.
func lastTime(ctx context.Context, t *testing.T, core *chatcore.Core, chat domain.ChatID) time.Time {
	t.Helper()
	records := must[[]ports.Record](t)(core.Queries.Events(ctx, chat, domain.Span{}))
	return records[len(records)-1].Event.OccurredAt()
}
