package app_test

import (
	"errors"
	"strings"
	"testing"

	"chatcore/app"
	"chatcore/domain"
)

// TestSend_Differs sends a message id again with other content, before and after the message was edited and deleted: the first content counts.
func TestSend_Differs(t *testing.T) {
	first := domain.Send{
		Chat: "c", Actor: "ann", MessageID: "m", Content: "hello", ReplyTo: "m1", Mentions: []domain.UserID{"own"},
		Attachments: []domain.Attachment{{Name: "a", URL: "x:y"}}, ClientMeta: `{"n":1}`,
	}
	changes := map[string]func(*domain.Send){
		"content":               func(s *domain.Send) { s.Content = "bye" },
		"no reply":              func(s *domain.Send) { s.ReplyTo = "" },
		"another reply":         func(s *domain.Send) { s.ReplyTo = "m2" },
		"no mentions":           func(s *domain.Send) { s.Mentions = nil },
		"other mentions":        func(s *domain.Send) { s.Mentions = []domain.UserID{"two"} },
		"more mentions":         func(s *domain.Send) { s.Mentions = append(s.Mentions[:1:1], "two") },
		"no attachments":        func(s *domain.Send) { s.Attachments = nil },
		"other attachments":     func(s *domain.Send) { s.Attachments = []domain.Attachment{{Name: "b", URL: "x:y"}} },
		"no client metadata":    func(s *domain.Send) { s.ClientMeta = "" },
		"other client metadata": func(s *domain.Send) { s.ClientMeta = `{"n":2}` },
		"content edited since":  func(s *domain.Send) { s.Content = "edited" },
	}
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		chats := []*app.Chats{process(log, clock{}), process(open(), clock{})}
		prepare(t, chats[0], "c")
		sent, err := chats[0].Send(t.Context(), first)
		if err != nil || sent != (app.Sent{MessageID: "m", Seq: 8}) {
			t.Fatalf("%+v, error %v", sent, err)
		}
		check := func(since string) {
			t.Helper()
			head := headOf(t.Context(), t, log, "c")
			for i, c := range chats {
				same := app.Sent{MessageID: "m", Seq: 8, Duplicate: true}
				if sent, err := c.Send(t.Context(), first); err != nil || sent != same {
					t.Errorf("%s, the same in process %d: %+v, error %v", since, i, sent, err)
				}
				same.Differs = true
				for name, change := range changes {
					again := first
					change(&again)
					if sent, err := c.Send(t.Context(), again); err != nil || sent != same {
						t.Errorf("%s, with %s in process %d: %+v, error %v", since, name, i, sent, err)
					}
				}
			}
			if after := headOf(t.Context(), t, log, "c"); after != head {
				t.Errorf("%s: recorded events %d to %d", since, head+1, after)
			}
		}
		check("as sent")
		if _, err := chats[0].Edit(t.Context(), domain.Edit{Chat: "c", Actor: "ann", MessageID: "m", Content: "edited"}); err != nil {
			t.Fatal(err)
		}
		check("edited")
		if _, err := chats[1].Delete(t.Context(), domain.Delete{Chat: "c", Actor: "ann", MessageID: "m"}); err != nil {
			t.Fatal(err)
		}
		check("deleted")
		if _, err := chats[0].Send(t.Context(), domain.Send{Chat: "c", Actor: "own", MessageID: "m", Content: "hello"}); !errors.Is(err, domain.ErrMessageExists) {
			t.Errorf("of another user: %v", err)
		}
	})
}

// TestSend_RepliesToIDs refuses invalid ids of messages.
func TestSend_RepliesToIDs(t *testing.T) {
	d := newDeciding(t)
	for _, id := range []domain.MessageID{"a b", domain.MessageID(strings.Repeat("x", 1000))} {
		if _, err := d.chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x", ReplyTo: id}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a reply to %.20q: %v", id, err)
		}
	}
}
