package eventlog_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestRules_Level appends events whose rules older programs do not apply: below level 4 each is refused and nothing is recorded, and from level 4 on each is stored. A block is
// announced on no channel of a type.
func TestRules_Level(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Start(t).URL()), rig.NewKeys(t, 1)
	openKnowing(t, client, keys, 3)
	log := openKnowing(t, client, keys, eventlog.Level)
	at := domain.Instant(time.Now())
	appended := func(e domain.Durable) error {
		_, err := log.Append(t.Context(), ports.Append{Chat: e.ChatID(), Events: []ports.NewEvent{porttest.NewEvent(e)}})
		return err
	}
	group := domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created, At: at}
	direct := group
	direct.Chat, direct.Kind = "d", domain.Direct
	events := []domain.Durable{
		direct,
		domain.ChatPolicy{Chat: "c", Actor: "ada", Visibility: domain.Public, Permissions: map[domain.Action]domain.Role{domain.ActionPost: domain.RoleAdmin}, At: at},
		domain.MemberRestriction{Chat: "c", Actor: "ada", User: "eve", Kind: domain.Ban, Reason: "spam", At: at},
		domain.MemberRestriction{Chat: "c", Actor: "ada", User: "bob", Kind: domain.Mute, Until: at.Add(time.Hour), At: at},
		domain.MemberRestriction{Chat: "d", Actor: "ada", User: "bob", Kind: domain.Block, At: at},
		domain.MessageNew{Chat: "c", Message: "m", Sender: "ada", Content: "x", Thread: "root", At: at},
		domain.MessageNew{Chat: "c", Message: "n", Sender: "ada", Content: "x", Broadcast: domain.BroadcastHere, At: at},
		domain.MessagePin{Chat: "c", Message: "m", Sent: 2, Actor: "ada", Pinned: true, At: at},
		domain.ChatSettings{Chat: "c", User: "ada", Favourite: new(true), At: at},
		domain.ThreadMark{Chat: "c", Thread: "root", User: "ada", Following: domain.Follow, At: at},
	}
	if err := appended(group); err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		var low *ports.LevelError
		if err := appended(e); !errors.Is(err, ports.ErrLevel) || !errors.As(err, &low) || low.Level != 3 || low.Needed != 4 {
			t.Errorf("%T at level 3: %v", e, err)
		}
	}
	for chat, head := range map[domain.ChatID]domain.Seq{"c": 1, "d": 0} {
		if page, err := log.Read(t.Context(), chat, ports.Range{Limit: 9}); err != nil || page.Head != head {
			t.Errorf("chat %s ends at %d, error %v", chat, page.Head, err)
		}
	}
	raiseLevel(t, client, keys)
	if _, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.ChatEntity()}); err != nil { // it learns of the level
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), wait.Limit)
	defer cancel()
	heard := client.Subscribe(ctx, keys.Channel(wireformat.TypeChatPolicy), keys.Channel(wireformat.TypeMemberRestriction), keys.Channel(wireformat.TypeChatUpdate))
	defer func() { _ = heard.Close() }()
	for range 3 {
		if _, err := heard.Receive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for _, e := range events {
		if err := appended(e); err != nil {
			t.Fatalf("%T at level 4: %v", e, err)
		}
	}
	if err := appended(domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Renamed, Title: "last", At: at}); err != nil {
		t.Fatal(err)
	}
	var channels []string
	for len(channels) < 5 {
		m, err := heard.ReceiveMessage(ctx)
		if err != nil {
			t.Fatal(err)
		}
		channels = append(channels, strings.TrimPrefix(m.Channel, keys.Prefix()))
	}
	if want := []string{"chat:update", "chat:policy", "member:restriction", "member:restriction", "chat:update"}; !slices.Equal(channels, want) {
		t.Errorf("the channels are %q, want %q", channels, want)
	}
	var stored []domain.Durable
	for _, chat := range []domain.ChatID{"d", "c"} {
		page, err := log.Read(t.Context(), chat, ports.Range{Limit: 99})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			stored = append(stored, r.Event)
		}
	}
	if want := append([]domain.Durable{events[0], events[4], group, events[1], events[2], events[3]}, events[5:]...); !reflect.DeepEqual(stored[:len(want)], want) {
		t.Errorf("the log has %+v, want %+v", stored, want)
	}
	if err := log.Fsck(t.Context(), eventlog.FsckConfig{Report: func(c ports.Contradiction) error {
		t.Errorf("%+v", c)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}

// TestRules_FactsBelowTheirLevel appends events with the facts that come with level 4. Below it they are recorded as older programs record them, and move
// no mentions; the appended event of the caller stays as it is.
func TestRules_FactsBelowTheirLevel(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Start(t).URL()), rig.NewKeys(t, 1)
	openKnowing(t, client, keys, 3)
	log := openKnowing(t, client, keys, eventlog.Level)
	at := domain.Instant(time.Now())
	sent := domain.MessageNew{Chat: "c", Message: "m", Sender: "ada", Content: "x", Mentions: []domain.UserID{"bob"}, Mentioned: true, At: at}
	edited := domain.MessageEdit{
		Chat: "c", Message: "m", Editor: "ada", Content: "y", Mentions: []domain.UserID{"eve"}, Revision: 1, Sent: 2, MentionsAdded: []domain.UserID{"eve"}, Mentioned: true, At: at,
	}
	deleted := domain.MessageDelete{Chat: "c", Message: "m", By: "ada", Sent: 2, Mentioned: true, At: at}
	a := ports.Append{Chat: "c"}
	for _, e := range []domain.Durable{domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created, At: at}, sent, edited, deleted} {
		a.Events = append(a.Events, porttest.NewEvent(e))
	}
	check := func(chat domain.ChatID, want []domain.Durable, moved int) {
		t.Helper()
		a.Chat = chat
		if _, err := log.Append(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		page, err := log.Read(t.Context(), chat, ports.Range{Limit: 9})
		if err != nil || len(page.Records) != 4 {
			t.Fatalf("%d events, error %v", len(page.Records), err)
		}
		for i, e := range want {
			if got := page.Records[i+1].Event; !reflect.DeepEqual(got, e) {
				t.Errorf("the log has %+v, want %+v", got, e)
			}
		}
		found, err := log.Load(t.Context(), chat, ports.LoadRequest{Entity: domain.MentionsEntity(true)})
		if err != nil || len(found.Entities[0].Events) != moved {
			t.Errorf("%d events moved the mentions, error %v, want %d", len(found.Entities[0].Events), err, moved)
		}
	}
	lowSent, lowEdited, lowDeleted := sent, edited, deleted
	lowSent.Mentioned, lowEdited.Sent, lowEdited.MentionsAdded, lowEdited.Mentioned, lowDeleted.Sent, lowDeleted.Mentioned = false, 0, nil, false, 0, false
	check("c", []domain.Durable{lowSent, lowEdited, lowDeleted}, 0)
	if !reflect.DeepEqual(a.Events[1].Event, domain.Durable(sent)) || len(a.Events[1].Moves) != 3 {
		t.Errorf("the caller's event is %+v", a.Events[1])
	}
	raiseLevel(t, client, keys)
	if _, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.ChatEntity()}); err != nil { // it learns of the level
		t.Fatal(err)
	}
	sent.Chat, edited.Chat, deleted.Chat = "d", "d", "d"
	for i, e := range []domain.Durable{domain.ChatUpdate{Chat: "d", Actor: "ada", Change: domain.Created, At: at}, sent, edited, deleted} {
		a.Events[i] = porttest.NewEvent(e)
	}
	check("d", []domain.Durable{sent, edited, deleted}, 3)
}
