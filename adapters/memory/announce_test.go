package memory

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

type payload struct {
	EventID   domain.EventID   `json:"eventId"`
	Type      string           `json:"type"`
	ChatID    domain.ChatID    `json:"chatId"`
	MessageID domain.MessageID `json:"messageId"`
	UserID    domain.UserID    `json:"userId"`
	Seq       domain.Seq       `json:"seq"`
}

func TestAnnouncementsFollowTheAppends(t *testing.T) {
	var log *Log
	var published []payload
	last := make(map[domain.ChatID]domain.Seq)
	log = New(wireformat.New(), newClock(), func(typ string, b []byte) {
		var p payload
		if err := json.Unmarshal(b, &p); err != nil || p.Type != typ {
			t.Errorf("announced %s with %s, error %v", typ, b, err)
		}
		page, err := log.Read(t.Context(), p.ChatID, ports.Range{From: p.Seq, Limit: 1}) // must not wait for the append
		if err != nil || len(page.Records) != 1 || page.Records[0].ID != p.EventID {
			t.Errorf("%s was announced at %d, where the log has %+v, error %v", p.EventID, p.Seq, page.Records, err)
		}
		if p.Seq != last[p.ChatID]+1 {
			t.Errorf("seq %d of chat %q was announced after %d", p.Seq, p.ChatID, last[p.ChatID])
		}
		last[p.ChatID] = p.Seq
		published = append(published, p)
	})
	const writers, each = 8, 25
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				a := message(domain.ChatID(fmt.Sprintf("c%d", w%3)), domain.MessageID(fmt.Sprintf("m-%d-%d", w, i)))
				a.Events = append(a.Events, message(a.Chat, "another").Events...)
				if _, err := log.Append(t.Context(), a); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(published) != 2*writers*each {
		t.Errorf("%d of %d events were announced", len(published), 2*writers*each)
	}
	records, end, err := log.Next(t.Context(), 0, len(published)+1)
	if err != nil || end != log.End() || !slices.EqualFunc(records, published, func(r ports.Record, p payload) bool { return r.ID == p.EventID }) {
		t.Errorf("the feed of %d records up to %d, error %v, is not what was announced", len(records), end, err)
	}
}

func TestFailedAppendsAnnounceNothing(t *testing.T) {
	var published []string
	log := New(wireformat.New(), newClock(), func(typ string, b []byte) { published = append(published, typ) })
	bad := message("c", "m")
	bad.Conditions = []domain.Condition{{Entity: domain.ChatEntity(), Version: 1}}
	empty := ports.Append{Chat: "c"}
	if _, err := log.AppendBatch(t.Context(), []ports.Append{bad, empty, message("c", "m"), bad}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(published, []string{"message:new"}) {
		t.Errorf("announced %q", published)
	}
}

func TestTypingThatExpiredIsNotEnded(t *testing.T) {
	clock := newClock()
	log := New(wireformat.New(), clock, nil)
	for _, test := range []struct {
		after time.Duration
		want  bool
	}{{domain.TypingTTL - time.Millisecond, true}, {domain.TypingTTL, false}} {
		e := domain.TypingStart{Chat: "c", User: "ann", ExpiresAt: clock.Now().Add(domain.TypingTTL), At: clock.Now()}
		if set, err := log.Typing().Start(t.Context(), e); err != nil || !set {
			t.Fatalf("start gave %v, error %v", set, err)
		}
		clock.forward(test.after)
		a := message("c", domain.MessageID("m-"+test.after.String()))
		a.EndsTyping = "ann"
		if appended, err := log.Append(t.Context(), a); err != nil || appended.EndedTyping != test.want {
			t.Errorf("after %v: %+v, error %v, want an end: %v", test.after, appended, err, test.want)
		}
	}
}
