package app_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// try is a command of someone, about one thing that the chat has or does not have.
type try func(ctx context.Context, c *app.Chats, by domain.UserID) error

// outsiderTries are the commands by the name of their method. Those of one method differ in what they name: messages m1 (present), gone (deleted)
// and none, seqs of a message and of none, users inside and outside.
func outsiderTries() map[string][]try {
	tries := make(map[string][]try)
	add := func(method string, all ...try) { tries[method] = append(tries[method], all...) }
	for _, m := range []domain.MessageID{"m1", "gone", "none"} {
		add("Edit", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Edit(ctx, domain.Edit{Chat: "c", Actor: by, MessageID: m, Content: "x", Mentions: []domain.UserID{"own", "nobody"}, Command: "1"})
			return err
		}, func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Edit(ctx, domain.Edit{Chat: "c", Actor: by, MessageID: m})
			return err
		})
		add("Delete", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Delete(ctx, domain.Delete{Chat: "c", Actor: by, MessageID: m})
			return err
		})
		add("Erase", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Erase(ctx, domain.Erase{Chat: "c", Actor: by, MessageID: m})
			return err
		})
		add("React", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.React(ctx, domain.React{Chat: "c", Actor: by, MessageID: m, Emoji: "👍", Command: "1"})
			return err
		})
		add("Unreact", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Unreact(ctx, domain.React{Chat: "c", Actor: by, MessageID: m, Emoji: "👍"})
			return err
		})
		add("MarkRead", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: by, MessageID: m, Command: "1"})
			return err
		})
		add("Send", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Send(ctx, domain.Send{Chat: "c", Actor: by, MessageID: m, Content: "x"})
			return err
		}, func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Send(ctx, domain.Send{Chat: "c", Actor: by, Content: "x", ReplyTo: m, Mentions: []domain.UserID{"own", "nobody"}})
			return err
		})
	}
	for _, m := range []domain.MessageID{"m1", "gone", "absent"} {
		add("Send", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Send(ctx, domain.Send{Chat: "c", Actor: by, Content: "x", Thread: m, InChat: true, Broadcast: domain.BroadcastAll})
			return err
		})
		add("MarkThread", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.MarkThread(ctx, domain.MarkThread{Chat: "c", Actor: by, Thread: m, MessageID: "m2"})
			return err
		}, func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.MarkThread(ctx, domain.MarkThread{Chat: "c", Actor: by, Thread: "m1", MessageID: m, Following: domain.Follow})
			return err
		})
	}
	for _, seq := range []domain.Seq{1, 5, 8, 9, 1000} {
		add("MarkRead", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: by, Seq: seq})
			return err
		})
	}
	for _, user := range []domain.UserID{"own", "ann", "nobody"} {
		add("Add", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Add(ctx, domain.Add{Chat: "c", Actor: by, User: user})
			return err
		})
		add("Remove", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Remove(ctx, domain.Remove{Chat: "c", Actor: by, User: user})
			return err
		}, func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Remove(ctx, domain.Remove{Chat: "c", Actor: by, User: by})
			return err
		})
		add("Promote", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Promote(ctx, domain.Promote{Chat: "c", Actor: by, User: user, Role: domain.RoleAdmin})
			return err
		})
		add("Demote", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Demote(ctx, domain.Demote{Chat: "c", Actor: by, User: user, Role: domain.RoleMember})
			return err
		})
	}
	for _, users := range [][]domain.UserID{{"own"}, {"ann", "nobody"}} {
		add("AddMembers", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.AddMembers(ctx, domain.AddMembers{Chat: "c", Actor: by, Users: users})
			return err
		})
		add("Restrict", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Restrict(ctx, domain.Restrict{Chat: "c", Actor: by, User: users[0], Kind: domain.Mute})
			return err
		}, func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Restrict(ctx, domain.Restrict{Chat: "c", Actor: by, User: by, Kind: domain.Ban, Lift: true})
			return err
		})
	}
	add("UpdateMetadata", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "c", Actor: by, Set: map[string]string{"topic": "1"}})
		return err
	}, func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "c", Actor: by, Unset: []string{"topic"}, IfVersion: 3})
		return err
	})
	for _, m := range []domain.MessageID{"m1", "none"} {
		add("Pin", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Pin(ctx, domain.Pin{Chat: "c", Actor: by, MessageID: m})
			return err
		})
		add("Unpin", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Unpin(ctx, domain.Pin{Chat: "c", Actor: by, MessageID: m})
			return err
		})
		add("SetSettings", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.SetSettings(ctx, domain.SetSettings{Chat: "c", Actor: by, Settings: domain.SettingsChange{UnreadFrom: &m}})
			return err
		}, func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.SetSettings(ctx, domain.SetSettings{Chat: "c", Actor: by, Settings: domain.SettingsChange{Hidden: new(domain.HiddenUntilMessage)}})
			return err
		})
	}
	add("SetPolicy", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.SetPolicy(ctx, domain.SetPolicy{Chat: "c", Actor: by, Policy: domain.PolicyChange{Visibility: domain.Public}})
		return err
	})
	for _, title := range []string{"", "new"} {
		add("Rename", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
			_, err := c.Rename(ctx, domain.Rename{Chat: "c", Actor: by, Title: title})
			return err
		})
	}
	add("Archive", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.Archive(ctx, domain.Archive{Chat: "c", Actor: by, Command: "1"})
		return err
	})
	add("Unarchive", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.Unarchive(ctx, domain.Unarchive{Chat: "c", Actor: by})
		return err
	})
	add("Leave", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.Leave(ctx, domain.Leave{Chat: "c", Actor: by})
		return err
	})
	add("DeleteChat", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: by}, nil)
		return err
	})
	add("Record", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.Record(ctx, domain.Record{Chat: "c", Actor: by, Event: custom{"{}"}, Entity: "poll"})
		return err
	})
	add("StartTyping", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		_, err := c.StartTyping(ctx, domain.Typing{Chat: "c", Actor: by})
		return err
	})
	add("StopTyping", func(ctx context.Context, c *app.Chats, by domain.UserID) error {
		return c.StopTyping(ctx, domain.Typing{Chat: "c", Actor: by})
	})
	return tries
}

// anyoneMay reports whether a command needs no membership: it creates a chat, or brings the actor into one.
func anyoneMay(command string) bool {
	return slices.Contains([]string{"Create", "OpenDirect", "Block", "Join"}, command)
}

// TestOutsiders gives every command as a user that never was a member and as a former member, in an open and in an archived chat. The answer must be
// the same to the letter for all arguments.
func TestOutsiders(t *testing.T) {
	tries := outsiderTries()
	commands := reflect.TypeFor[*app.Chats]()
	for i := range commands.NumMethod() {
		m := commands.Method(i)
		if m.Type.NumIn() != 3 || m.Type.In(1) != reflect.TypeFor[context.Context]() || anyoneMay(m.Name) {
			continue
		}
		if tries[m.Name] == nil {
			t.Errorf("command %s is not tried", m.Name)
		}
	}
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		c := process(open(), clock{})
		prepareOutsiders(t, c)
		for _, archived := range []bool{false, true} {
			if archived {
				if _, err := c.Archive(t.Context(), domain.Archive{Chat: "c", Actor: "own"}); err != nil {
					t.Fatal(err)
				}
			}
			for _, fresh := range []bool{false, true} {
				if fresh {
					c = process(open(), clock{})
				}
				for _, by := range []domain.UserID{"eve", "bob"} {
					for method, all := range tries {
						checkOutsider(t, c, by, fmt.Sprintf("%s, archived %t", method, archived), all)
					}
				}
			}
		}
	})
}

// prepareOutsiders makes a chat in which bob was a member and eve never was.
func prepareOutsiders(t *testing.T, c *app.Chats) {
	t.Helper()
	prepare(t, c, "c") // seqs 1 to 7
	do := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx := t.Context()
	do(c.Send(ctx, domain.Send{Chat: "c", Actor: "ann", MessageID: "gone", Content: "x"})) // seq 8
	do(c.Delete(ctx, domain.Delete{Chat: "c", Actor: "ann", MessageID: "gone"}))
	do(c.Add(ctx, domain.Add{Chat: "c", Actor: "own", User: "bob"}))
	do(c.React(ctx, domain.React{Chat: "c", Actor: "bob", MessageID: "m1", Emoji: "👍"}))
	do(c.Leave(ctx, domain.Leave{Chat: "c", Actor: "bob"}))
}

func checkOutsider(t *testing.T, c *app.Chats, by domain.UserID, what string, all []try) {
	t.Helper()
	want := fmt.Sprintf(`not a member: user %q is not a member of chat "c"`, by)
	for i, command := range all {
		if err := command(t.Context(), c, by); !errors.Is(err, domain.ErrNotMember) || err.Error() != want {
			t.Errorf("%s, try %d of %s: %v; want %s", what, i, by, err, want)
		}
	}
}

// TestOutsiders_NewerVersion has messages that only a newer program can read: members get that error, outsiders do not.
func TestOutsiders_NewerVersion(t *testing.T) {
	server := redistest.Start(t)
	keys, err := keyspace.New("", 1, false)
	if err != nil {
		t.Fatal(err)
	}
	client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	open := func(codec *wireformat.Codec) *app.Chats {
		log, err := eventlog.Open(t.Context(), client.UniversalClient, codec, eventlog.Config{Keys: keys})
		if err != nil {
			t.Fatal(err)
		}
		return process(log, clock{})
	}
	newer, older := open(wireformat.New()), open(wireformat.New(wireformat.WithoutTypes(wireformat.TypeMessageEdit)))
	prepareOutsiders(t, newer)
	if _, err := newer.Edit(t.Context(), domain.Edit{Chat: "c", Actor: "own", MessageID: "m1", Content: "x"}); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"Edit", "Delete", "Erase", "React", "Unreact", "MarkRead", "Send"} {
		checkOutsider(t, older, "eve", method, outsiderTries()[method])
	}
	if _, err := older.Delete(t.Context(), domain.Delete{Chat: "c", Actor: "own", MessageID: "m1"}); err == nil || errors.Is(err, domain.ErrNotMember) {
		t.Errorf("a member's deletion: %v", err)
	}
	if _, err := older.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", Content: "x", ReplyTo: "m1"}); err != nil {
		t.Errorf("a reply to a message that exists: %v", err)
	}
}

// TestSend_RepeatedAfterLeaving checks that a send stays a repetition for its sender, and reveals nothing about other users.
func TestSend_RepeatedAfterLeaving(t *testing.T) {
	log := memory.New(wireformat.New(), clock{}, nil)
	c := process(log, clock{})
	prepare(t, c, "c")
	if _, err := c.Leave(t.Context(), domain.Leave{Chat: "c", Actor: "ann"}); err != nil {
		t.Fatal(err)
	}
	if sent, err := c.Send(t.Context(), domain.Send{Chat: "c", Actor: "ann", MessageID: "m2", Content: "m2"}); err != nil || !sent.Duplicate || sent.Seq != 6 {
		t.Errorf("%+v, error %v", sent, err)
	}
}
