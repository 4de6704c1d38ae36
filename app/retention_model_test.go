package app_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// keptMessage is a message as the model has it.
type keptMessage struct {
	id     domain.MessageID
	sender domain.UserID
	seq    domain.Seq
	at     time.Time
	latest time.Time // at, or the latest time of earlier messages and passes if that is after it: the clock went back
	erased bool

	thread  bool // in a thread alone
	ordinal int  // messages of the main timeline up to it
}

// retentionModel is a log with plain lists of messages and holds. Policies are those of the log: TestRetentionPolicy_Grace has a model of them.
type retentionModel struct {
	chats map[domain.ChatID][]*keptMessage
	holds map[domain.HoldSubject]int

	latest time.Time // of messages and passes
}

// held reports whether a hold protects a message of a sender.
func (m *retentionModel) held(chat domain.ChatID, sender domain.UserID) bool {
	return m.holds[domain.HoldSubject{}]+m.holds[domain.HoldSubject{Chat: chat}]+m.holds[domain.HoldSubject{User: sender}] > 0
}

// expire erases in the model what a whole pass must erase under a policy. kept reports whether the log has a message that the pass may have erased or not: one
// that was sent after the clock went back.
func (m *retentionModel) expire(chat domain.ChatID, r domain.Retention, now time.Time, kept func(domain.MessageID) bool) {
	messages, last, behind := m.chats[chat], 0, false
	for _, message := range messages {
		last = max(last, message.ordinal)
	}
	for _, message := range messages {
		age := now.Sub(message.at)
		byAge, byCount := r.MaxAge > 0 && age >= r.MaxAge, r.MaxMessages > 0 && message.ordinal+r.MaxMessages <= last
		may := !byCount && now.Sub(message.latest) < r.MaxAge
		switch {
		case message.erased, behind && !message.thread:
		case byAge || byCount:
			message.erased = !m.held(chat, message.sender) && (!may || !kept(message.id))
		case !message.thread && (r.MaxAge == 0 || age >= 0):
			behind = true
		}
	}
}

// see notes the time of a message or a pass.
func (m *retentionModel) see(now time.Time) {
	if now.After(m.latest) {
		m.latest = now
	}
}

// root returns a message of the main timeline of a chat, or "".
func (m *retentionModel) root(chat domain.ChatID) domain.MessageID {
	for _, message := range m.chats[chat] {
		if !message.thread {
			return message.id
		}
	}
	return ""
}

// sent returns the ordinal of the next message of a chat.
func (m *retentionModel) sent(chat domain.ChatID, thread bool) (ordinal int) {
	for _, message := range m.chats[chat] {
		ordinal = max(ordinal, message.ordinal)
	}
	if !thread {
		ordinal++
	}
	return ordinal
}

var errKilled = errors.New("killed")

// TestRetention_Model gives random commands, policies, holds and jumps of the clock, and passes that are killed anywhere. After each whole pass the log has what a
// plain model has; after a killed one it has erased nothing else. Every message id gives its first seq again.
func TestRetention_Model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		log := memory.New(wireformat.New(), clock{}, nil)
		k := newKeeper(log, domain.Retention{MaxMessages: rapid.SampledFrom([]int{0, 0, 2, 5}).Draw(rt, "log"), MaxAge: time.Duration(rapid.SampledFrom([]int{0, 0, 3}).Draw(rt, "log age")) * time.Hour})
		k.clock.still = true // otherwise pauses would let messages become due behind a pass
		m := &retentionModel{chats: make(map[domain.ChatID][]*keptMessage), holds: make(map[domain.HoldSubject]int)}
		chats, users, ctx := []domain.ChatID{"a", "b", "c"}, []domain.UserID{"ann", "ben"}, rt.Context()
		must := func(err error) {
			rt.Helper()
			if err != nil {
				rt.Fatal(err)
			}
		}
		must(k.Declare(ctx))
		for _, chat := range chats {
			must(errorOf(k.chats.Create(ctx, domain.Create{Chat: chat, Actor: "ann", Members: []domain.UserID{"ben"}})))
		}
		drawRetention := func() domain.Retention {
			return domain.Retention{
				MaxAge:      time.Duration(rapid.SampledFrom([]int{0, 1, 4, 30}).Draw(rt, "age")) * time.Hour,
				MaxMessages: rapid.SampledFrom([]int{0, 1, 3, 70}).Draw(rt, "messages"),
			}
		}
		applied := func() map[domain.ChatID]domain.Retention {
			all, err := k.Status(ctx, false)
			must(err)
			of := make(map[domain.ChatID]domain.Retention)
			for _, chat := range chats {
				of[chat] = all[0].Applied
			}
			for _, s := range all[1:] {
				of[s.Chat] = s.Applied
			}
			return of
		}
		check := func(chat domain.ChatID, kept []domain.MessageID) {
			rt.Helper()
			var want []domain.MessageID
			for _, message := range m.chats[chat] {
				if !message.erased {
					want = append(want, message.id)
				}
			}
			if !slices.Equal(kept, want) {
				rt.Fatalf("chat %s has %v, want %v", chat, kept, want)
			}
		}
		pass := func() {
			k.erased = func() error { return nil }
			_, err := k.ExpireAll(ctx)
			must(err)
			for chat, r := range applied() {
				kept := k.kept(ctx, rt, chat)
				m.expire(chat, r, k.clock.now.UTC(), func(id domain.MessageID) bool { return slices.Contains(kept, id) })
				check(chat, kept)
			}
			m.see(k.clock.now)
		}
		n := 0
		chatOf := func() domain.ChatID { return rapid.SampledFrom(chats).Draw(rt, "chat") }
		messageOf := func(chat domain.ChatID) *keptMessage {
			if len(m.chats[chat]) == 0 {
				return nil
			}
			return rapid.SampledFrom(m.chats[chat]).Draw(rt, "message")
		}
		rt.Repeat(map[string]func(*rapid.T){
			"send": func(*rapid.T) {
				chat := chatOf()
				for range rapid.SampledFrom([]int{1, 1, 5, 80}).Draw(rt, "sends") {
					message := &keptMessage{id: domain.MessageID(fmt.Sprint("m", n)), sender: rapid.SampledFrom(users).Draw(rt, "sender"), at: k.clock.now}
					n++
					cmd := domain.Send{Chat: chat, Actor: message.sender, MessageID: message.id, Content: "content"}
					if root := m.root(chat); root != "" && rapid.IntRange(0, 3).Draw(rt, "in a thread") == 0 {
						cmd.Thread, message.thread = root, true
					}
					message.ordinal = m.sent(chat, message.thread)
					sent, err := k.chats.Send(ctx, cmd)
					must(err)
					message.seq = sent.Seq
					m.see(message.at)
					message.latest = m.latest
					m.chats[chat] = append(m.chats[chat], message)
				}
			},
			"send again": func(*rapid.T) {
				chat := chatOf()
				if message := messageOf(chat); message != nil {
					sent, err := k.chats.Send(ctx, domain.Send{Chat: chat, Actor: message.sender, MessageID: message.id, Content: "another"})
					if err != nil || sent.Seq != message.seq || !sent.Duplicate {
						rt.Fatalf("%s sent again is %+v, %v, want seq %d", message.id, sent, err, message.seq)
					}
				}
			},
			"edit or delete": func(*rapid.T) {
				chat := chatOf()
				if message := messageOf(chat); message != nil {
					_, err1 := k.chats.Edit(ctx, domain.Edit{Chat: chat, Actor: message.sender, MessageID: message.id, Content: "edited"})
					if message.erased != errors.Is(err1, domain.ErrMessageDeleted) && !errors.Is(err1, domain.ErrMessageDeleted) {
						rt.Fatalf("the edit of %+v gives %v", message, err1)
					}
					if rapid.Bool().Draw(rt, "deletes") {
						must(errorOf(k.chats.Delete(ctx, domain.Delete{Chat: chat, Actor: message.sender, MessageID: message.id})))
					}
				}
			},
			"erase": func(*rapid.T) {
				chat := chatOf()
				if message := messageOf(chat); message != nil {
					_, err := k.chats.Erase(ctx, domain.Erase{Chat: chat, Actor: message.sender, MessageID: message.id})
					held := m.held(chat, message.sender) && !message.erased
					if held != errors.Is(err, domain.ErrLegalHold) || !held && err != nil {
						rt.Fatalf("the erasure of %+v, held: %t, gives %v", message, held, err)
					}
					message.erased = message.erased || !held
				}
			},
			"clock": func(*rapid.T) {
				hours := rapid.SampledFrom([]int{1, 2, 5, 25, 25, -1, -30, 200}).Draw(rt, "hours")
				k.clock.now = k.clock.now.Add(time.Duration(hours) * time.Hour)
			},
			"policy": func(*rapid.T) {
				chat := chatOf()
				if rapid.IntRange(0, 2).Draw(rt, "clears") == 0 {
					must(k.ClearPolicy(ctx, chat, "ops"))
				} else {
					must(errorOf(k.SetPolicy(ctx, chat, drawRetention(), "ops")))
				}
			},
			"hold": func(*rapid.T) {
				subject := rapid.SampledFrom([]domain.HoldSubject{{}, {Chat: "a"}, {Chat: "b"}, {User: "ann"}}).Draw(rt, "subject")
				if m.holds[subject] == 0 {
					must(k.AddHold(ctx, domain.Hold{HoldSubject: subject, ID: "case", Reason: "a claim", By: "ops"}))
					m.holds[subject] = 1
				} else {
					must(k.RemoveHold(ctx, subject, "case"))
					m.holds[subject] = 0
				}
			},
			"pass": func(*rapid.T) { pass() },
			"killed pass": func(*rapid.T) {
				before := applied()
				n, most := 0, rapid.IntRange(0, 80).Draw(rt, "erasures")
				k.erased = func() error {
					if n++; n > most {
						return errKilled
					}
					return nil
				}
				done, err := k.ExpireAll(ctx)
				if err != nil && !errors.Is(err, errKilled) {
					rt.Fatal(err)
				}
				now, total := k.clock.now.UTC(), 0
				for _, chat := range chats {
					kept := k.kept(ctx, rt, chat)
					allowed := &retentionModel{chats: map[domain.ChatID][]*keptMessage{chat: {}}, holds: m.holds}
					for _, message := range m.chats[chat] {
						clone := *message
						allowed.chats[chat] = append(allowed.chats[chat], &clone)
					}
					allowed.expire(chat, before[chat], now, func(domain.MessageID) bool { return false })
					for i, message := range m.chats[chat] {
						if gone := !slices.Contains(kept, message.id); gone && !message.erased {
							if !allowed.chats[chat][i].erased {
								rt.Fatalf("a killed pass has erased %+v", message)
							}
							message.erased = true
							total++
						}
					}
				}
				m.see(k.clock.now)
				if done.Erased != total {
					rt.Fatalf("a killed pass reports %+v, and has erased %d", done, total)
				}
			},
			"": func(*rapid.T) {},
		})
		pass()
	})
}
