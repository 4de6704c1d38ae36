package app_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

// TestHistory_Changes reads messages with changes of the chat among them, forwards and backwards, in pages of each size.
func TestHistory_Changes(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{})
	furnish(t.Context(), t, chats) // created, added, m1 to m5
	did := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	did(chats.Rename(t.Context(), domain.Rename{Chat: "c", Actor: "own", Title: "new"}))
	did(chats.React(t.Context(), domain.React{Chat: "c", Actor: "ann", MessageID: "m1", Emoji: "👍"}))
	did(chats.Pin(t.Context(), domain.Pin{Chat: "c", Actor: "own", MessageID: "m1"}))
	did(chats.SetSettings(t.Context(), domain.SetSettings{Chat: "c", Actor: "ann", Settings: domain.SettingsChange{Favourite: new(true)}}))
	did(chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m6", Content: "x"}))
	did(chats.Restrict(t.Context(), domain.Restrict{Chat: "c", Actor: "own", User: "ann", Kind: domain.Mute, Until: time.Now().Add(time.Hour)}))
	did(chats.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "own", MessageID: "m2"}))
	describe := func(views []app.MessageView) (texts []string) {
		for _, v := range views {
			if v.Change != nil {
				if v.Exists() != (v.Seq > 0) || v.ID != "" || v.Sender != "own" || v.SentAt.IsZero() {
					t.Errorf("a change is %+v", v)
				}
				texts = append(texts, fmt.Sprintf("%d %T", v.Seq, v.Change.Event))
				continue
			}
			texts = append(texts, fmt.Sprintf("%d %s %t", v.Seq, v.ID, v.Deleted()))
		}
		return texts
	}
	want := []string{
		"1 domain.ChatUpdate", "2 domain.ChatUpdate", "3 m1 false", "4 m2 true", "5 m3 false", "6 m4 false", "7 m5 false", "8 domain.ChatUpdate", "10 domain.MessagePin",
		"12 m6 false", "13 domain.MemberRestriction",
	}
	for limit := 1; limit <= len(want)+1; limit++ {
		var forward, backward []string
		for span := (domain.Span{First: true, Limit: limit, Changes: true}); ; {
			page, err := queries.History(t.Context(), "c", span)
			did(nil, err)
			if len(page) == 0 {
				break
			}
			forward = append(forward, describe(page)...)
			span = domain.Span{After: page[len(page)-1].Seq, Limit: limit, Changes: true}
		}
		for span := (domain.Span{Limit: limit, Changes: true}); ; {
			page, err := queries.History(t.Context(), "c", span)
			did(nil, err)
			if len(page) == 0 {
				break
			}
			backward = append(describe(page), backward...)
			span = domain.Span{Before: page[0].Seq, Limit: limit, Changes: true}
		}
		if !slices.Equal(forward, want) || !slices.Equal(backward, want) {
			t.Errorf("pages of %d:\n%v\n%v, want\n%v", limit, forward, backward, want)
		}
	}
	plain, err := queries.History(t.Context(), "c", domain.Span{First: true})
	if err != nil || len(plain) != 6 {
		t.Errorf("without changes %v, error %v", describe(plain), err)
	}
}
