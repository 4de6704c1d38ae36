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
	for len(channels) < len(events) {
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
		page, err := log.Read(t.Context(), chat, ports.Range{Limit: 9})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			stored = append(stored, r.Event)
		}
	}
	if want := []domain.Durable{events[0], events[4], group, events[1], events[2], events[3]}; !reflect.DeepEqual(stored[:len(want)], want) {
		t.Errorf("the log has %+v, want %+v", stored, want)
	}
	if err := log.Fsck(t.Context(), eventlog.FsckConfig{Report: func(c ports.Contradiction) error {
		t.Errorf("%+v", c)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}
