package app_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// settled sets settings of ann in chat c.
func settled(t *testing.T, c *app.Chats, change domain.SettingsChange) app.Done {
	t.Helper()
	done, err := c.SetSettings(t.Context(), domain.SetSettings{Chat: "c", Actor: "ann", Settings: change})
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func unreadFrom(m domain.MessageID) domain.SettingsChange {
	return domain.SettingsChange{UnreadFrom: &m}
}

func TestSettings(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{})
	furnish(t.Context(), t, chats)
	of := func(q *app.Queries) domain.Settings {
		t.Helper()
		all, err := q.Settings(t.Context(), "c", "own", "ann")
		if err != nil || len(all) != 2 || all[0] != (domain.Settings{}) {
			t.Fatalf("%+v, error %v", all, err)
		}
		return all[1]
	}
	first := settled(t, chats, domain.SettingsChange{Notify: new(domain.NotifyMentions), Favourite: new(true)})
	if again := settled(t, chats, domain.SettingsChange{Favourite: new(true)}); again.Changed {
		t.Errorf("the same again: %+v", again)
	}
	hidden := settled(t, chats, domain.SettingsChange{Hidden: new(domain.HiddenUntilMessage)})
	want := domain.Settings{Version: hidden.Seq, Notify: domain.NotifyMentions, Favourite: true, Hidden: domain.HiddenUntilMessage, HiddenSeq: first.Seq}
	if got := of(queries); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got := of(queries.At(first.Seq)); got.Hidden != domain.Shown || !got.Favourite {
		t.Errorf("as of the first change: %+v", got)
	}
	cmd := domain.SetSettings{Chat: "c", Actor: "ann", Settings: domain.SettingsChange{MutedUntil: new(time.Now().Add(time.Hour))}, Command: "once"}
	muted, err := chats.SetSettings(t.Context(), cmd)
	if again, repeated := chats.SetSettings(t.Context(), cmd); err != nil || repeated != nil || !again.Duplicate || again.Seq != muted.Seq {
		t.Errorf("%+v, error %v; again %+v, error %v", muted, err, again, repeated)
	}
	cmd.Settings.MutedUntil = new(time.Time{})
	if _, err := chats.SetSettings(t.Context(), cmd); !errors.Is(err, domain.ErrCommandReused) {
		t.Errorf("the command id with another time: %v", err)
	}
	for what, try := range map[string]func() error{
		"no change": func() error {
			_, err := chats.SetSettings(t.Context(), domain.SetSettings{Chat: "c", Actor: "ann"})
			return err
		},
		"no id": func() error {
			_, err := chats.SetSettings(t.Context(), domain.SetSettings{Chat: "c", Actor: "ann", Settings: unreadFrom("a b")})
			return err
		},
		"many users":   func() error { _, err := queries.Settings(t.Context(), "c", make([]domain.UserID, 257)...); return err },
		"too many":     func() error { _, err := queries.Settings(t.Context(), "c", manyUsers(257)...); return err },
		"no chat's id": func() error { _, err := queries.Settings(t.Context(), "a b", "ann"); return err },
	} {
		if err := try(); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if all, err := queries.Settings(t.Context(), "c", manyUsers(256)...); err != nil || len(all) != 256 {
		t.Errorf("%d settings, error %v", len(all), err)
	}
	if _, err := queries.Settings(t.Context(), "none", "ann"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("no chat: %v", err)
	}
}

func manyUsers(n int) (users []domain.UserID) {
	for i := range n {
		users = append(users, domain.UserID(fmt.Sprint("u", i)))
	}
	return users
}

// TestSettings_Unread marks messages as unread on each log, and goes through what ends that, and what does not.
func TestSettings_Unread(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log := open()
		full, _ := log.(projection.Log)
		began := fast{time.Now()}
		chats := process(log, began)
		queries := app.NewQueries(full, entity.NewLoader(log, log, 1<<20), projection.Views{})
		furnish(t.Context(), t, chats) // m1 to m5 have the seqs 3 to 7
		unread := func(what string, want domain.Ordinal) {
			t.Helper()
			if n, err := queries.Unread(t.Context(), "c", "ann"); err != nil || n != want {
				t.Errorf("%s: %d unread, error %v, want %d", what, n, err, want)
			}
			head, err := log.Read(t.Context(), "c", ports.Range{Limit: 1})
			if err != nil {
				t.Fatal(err)
			}
			if n, err := queries.At(head.Head).Unread(t.Context(), "c", "ann"); err != nil || n != want {
				t.Errorf("%s: %d unread as of seq %d, error %v, want %d", what, n, head.Head, err, want)
			}
		}
		read := func(m domain.MessageID) {
			t.Helper()
			if _, err := chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: m, AwaitRecorded: true}); err != nil {
				t.Fatal(err)
			}
		}
		mark := func(want domain.Seq) {
			t.Helper()
			m, err := queries.Member(t.Context(), "c", "ann")
			if err != nil || m.User != "ann" {
				t.Fatal(err)
			}
			loaded := []entity.Versioned{{Entity: domain.ReadEntity("ann"), Latest: true}}
			if _, err := entity.NewLoader(log, log, 1<<20).Load(t.Context(), "c", loaded); err != nil {
				t.Fatal(err)
			}
			if r, _ := loaded[0].State.(*domain.ReadMark); r.Seq != want {
				t.Errorf("the read mark is %d, want %d", r.Seq, want)
			}
		}
		read("m5")
		unread("all read", 0)
		settled(t, chats, unreadFrom("m3"))
		unread("marked as unread", 3)
		mark(7)
		settled(t, chats, domain.SettingsChange{Favourite: new(true)})
		unread("a favourite", 3)
		read("m1")
		unread("a mark of an earlier message", 3)
		read("m3")
		unread("a mark of a message that is read already", 0)
		mark(7)
		settled(t, chats, unreadFrom("m5"))
		unread("marked again", 1)
		if _, err := chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "own", Content: "x"}); err != nil {
			t.Fatal(err)
		}
		unread("an own message", 0)
		settled(t, chats, unreadFrom("m4"))
		unread("with an own message", 3)
		settled(t, chats, unreadFrom(""))
		unread("taken back", 0)
		settled(t, chats, unreadFrom("m4"))
		if _, err := chats.Leave(t.Context(), domain.Leave{Chat: "c", Actor: "ann"}); err != nil {
			t.Fatal(err)
		}
		if _, err := chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "own", User: "ann"}); err != nil {
			t.Fatal(err)
		}
		unread("a new membership", 0)
		if _, err := chats.SetSettings(t.Context(), domain.SetSettings{Chat: "c", Actor: "ann", Settings: unreadFrom("m4")}); !errors.Is(err, domain.ErrSeqRange) {
			t.Errorf("unread from before the join: %v", err)
		}
	})
}

// TestSettings_UnreadAfterAnAcceptedMark marks messages as unread while a read mark waits for its time: the mark does not end that.
func TestSettings_UnreadAfterAnAcceptedMark(t *testing.T) {
	for what, after := range map[string]domain.MessageID{"the mark is dropped": "", "a later mark counts": "m4"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := memory.New(wireformat.New(), clock{}, nil)
				chats, queries := openChats(log, app.Policy{})
				furnish(t.Context(), t, chats)
				read := func(m domain.MessageID) bool {
					marked, err := chats.MarkRead(t.Context(), domain.MarkRead{Chat: "c", Actor: "ann", MessageID: m})
					if err != nil {
						t.Fatal(err)
					}
					return marked.Recorded
				}
				if !read("m2") || read("m5") {
					t.Fatal("the first mark is recorded and the second one waits")
				}
				settled(t, chats, unreadFrom("m3"))
				want := domain.Ordinal(3)
				if after != "" {
					if read(after) {
						t.Fatal("a mark is recorded within a second")
					}
					want = 0
				}
				time.Sleep(3 * time.Second)
				if n, err := queries.Unread(t.Context(), "c", "ann"); err != nil || n != want || chats.MarkStats().Pending > 0 {
					t.Errorf("%d unread, error %v, %d marks pending; want %d", n, err, chats.MarkStats().Pending, want)
				}
			})
		})
	}
}

// TestSettings_HiddenDirect hides a direct chat: a message shows it again, and so does the user who opens it.
func TestSettings_HiddenDirect(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, queries := openChats(log, app.Policy{})
	open := func() app.OpenedDirect {
		t.Helper()
		opened, err := chats.OpenDirect(t.Context(), domain.OpenDirect{Actor: "ann", With: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		return opened
	}
	chat := open().Chat
	for _, hidden := range []domain.Hiding{domain.HiddenUntilMessage, domain.HiddenAlways} {
		if _, err := chats.SetSettings(t.Context(), domain.SetSettings{Chat: chat, Actor: "ann", Settings: domain.SettingsChange{Hidden: &hidden}}); err != nil {
			t.Fatal(err)
		}
		sent, err := chats.Send(t.Context(), domain.Send{Chat: chat, Actor: "bob", Content: "x"})
		if err != nil {
			t.Fatal(err)
		}
		all, err := queries.Settings(t.Context(), chat, "ann", "bob")
		if err != nil || !all[0].Hides(sent.Seq-2) || all[0].Hides(sent.Seq) != (hidden == domain.HiddenAlways) || all[1].Hides(1) {
			t.Errorf("%s: %+v, error %v", hidden, all, err)
		}
		if opened := open(); opened.Created || opened.Seq == 0 {
			t.Errorf("%s: opened %+v", hidden, opened)
		}
		if opened := open(); opened.Seq != 0 {
			t.Errorf("%s: opened again %+v", hidden, opened)
		}
		if all, err = queries.Settings(t.Context(), chat, "ann"); err != nil || all[0].Hidden != domain.Shown {
			t.Errorf("%s: after it was opened %+v, error %v", hidden, all, err)
		}
	}
}
