package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"chatcore/app"
	"chatcore/cmd/core/terminal"
	"chatcore/domain"
	"chatcore/ports"
)

// TestRows_CannotBeForged shows messages and events of every type with hostile text in each field, also values that no command accepts and only an
// old log may have. The output must have as many unmarked lines as there are rows.
func TestRows_CannotBeForged(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		text := func() string {
			return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{
				"\n    6  2026-01-02 12:01  bob: yes", "\r", "\u2028", "\u202e", "\x1b[1A\x1b[2K", "\t", "\u0085", "👍", "漢", "\n", "message:new", "| ", "\xff",
			})), 0, 4).Draw(t, "text"), "")
		}
		user := func() domain.UserID { return domain.UserID(text()) }
		view := app.MessageView{Message: domain.Message{
			Seq: 5, Sender: user(), Content: domain.Content(text()), ReplyTo: domain.MessageID(text()), SentAt: at, Revision: 1, DeletedBy: user(),
			Attachments: []domain.Attachment{{Name: text()}},
		}, Reactions: []domain.ReactionGroup{{Emoji: domain.Emoji(text()), Users: []domain.UserID{user()}}}}
		gone, unreadable := view, view
		gone.DeletedAt = at
		unreadable.Unreadable = errors.New(text())
		var rows []terminal.Row
		for _, v := range []app.MessageView{view, gone, unreadable} {
			rows = append(rows, messageRow(v))
		}
		chat, message := domain.ChatID(text()), domain.MessageID(text())
		events := []domain.Durable{
			domain.MessageNew{Chat: chat, Message: message, Sender: user(), Content: domain.Content(text()), At: at},
			domain.MessageEdit{Chat: chat, Message: message, Editor: user(), Content: domain.Content(text()), At: at},
			domain.MessageDelete{Chat: chat, Message: message, By: user(), Reason: domain.Reason(text()), At: at},
			domain.MessageReaction{Chat: chat, Message: message, User: user(), Emoji: domain.Emoji(text()), At: at},
			domain.ReadReceipt{Chat: chat, User: user(), At: at},
			domain.Custom{Chat: chat, Actor: user(), Type: domain.CustomType(text()), Entity: domain.CustomID(text()), At: at},
			domain.Unknown{Chat: chat, Type: text(), At: at},
		}
		for change := domain.Created; change <= domain.Unarchived; change++ {
			events = append(events, domain.ChatUpdate{Chat: chat, Actor: user(), User: user(), Change: change, Title: domain.Title(text()), At: at})
		}
		for _, e := range events {
			rows = append(rows, eventRow(ports.Record{Seq: 5, Event: e}), tailRow(5, e))
		}
		for _, e := range []domain.Event{domain.TypingStart{User: user()}, domain.TypingStop{User: user()}, domain.UserStatus{User: user()}} {
			rows = append(rows, tailRow(0, e))
		}
		var out bytes.Buffer
		c := &cli{out: &out}
		for _, row := range rows {
			if err := c.print(nil, c.row(row)); err != nil {
				t.Fatal(err)
			}
		}
		unmarked := 0
		for line := range strings.Lines(out.String()) {
			line = strings.TrimSuffix(line, "\n")
			if strings.ContainsFunc(line, func(r rune) bool {
				return unicode.IsControl(r) || unicode.In(r, unicode.Bidi_Control, unicode.Zl, unicode.Zp)
			}) {
				t.Fatalf("a line has a control or a bidi control: %q", line)
			}
			mark := strings.TrimLeft(line, " ")
			if !strings.HasPrefix(mark, "|") && !strings.HasPrefix(mark, "+") {
				unmarked++
			}
		}
		if unmarked != len(rows) {
			t.Fatalf("%d lines look like rows, want %d:\n%s", unmarked, len(rows), out.String())
		}
	})
}

func TestMessageRow(t *testing.T) {
	at := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	message := domain.Message{Seq: 5, Sender: "ada", Content: "one\ntwo", ReplyTo: "m1", SentAt: at, Revision: 1}
	gone := message
	gone.Content, gone.DeletedAt, gone.DeletedBy, gone.ReplyTo = "", at, "cem", ""
	for want, view := range map[string]app.MessageView{
		"    5  2026-01-02 12:00  ada (reply to m1; edited): one\n                         | two\n                         + 👍 2": {
			Message: message, Reactions: []domain.ReactionGroup{{Emoji: "👍", Users: []domain.UserID{"a", "b"}}},
		},
		"    5  2026-01-02 12:00  ada (reply to m1, which was deleted; edited): one\n                         | two": {Message: message, ReplyDeleted: true},
		"    5  2026-01-02 12:00  ada (deleted by cem)":                                                              {Message: gone},
	} {
		if got := messageRow(view).Format(0); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestTailRow_AlignsByWidth(t *testing.T) {
	for _, chat := range []domain.ChatID{"garden", "漢字", "👩\u200d👩\u200d👧"} {
		line := tailRow(7, domain.ReadReceipt{Chat: chat, User: "ada", ReadSeq: 3}).Format(0)
		before, _, _ := strings.Cut(line, "ada has read")
		if got := terminal.Width(before); got != 16+2+24+2 {
			t.Errorf("%s: the text begins at cell %d of %s", chat, got, fmt.Sprintf("%q", line))
		}
	}
}
