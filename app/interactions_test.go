package app_test

import (
	"context"
	"errors"
	"maps"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

// place is the state of a chat in which a user acts: a column of the interaction matrix.
type place string

// The places. In each, the actor has sent the message m, to which ann has reacted, unless the chat is deleted.
const (
	usualGroup place = "group"           // the actor is one of two owners
	archived   place = "archived"        // the group is
	removed    place = "actor removed"   // from the group
	noMessage  place = "message deleted" // m is, in the group
	deleted    place = "chat deleted"    // the group is
	direct     place = "direct"          // the chat of the actor and ann
	blocked    place = "blocked"         // that chat; ann blocks the actor
	peerGone   place = "peer gone"       // that chat; ann has departed
)

const actor = domain.UserID("act")

// outcomes are the errors of a command by place. Places without one accept the command.
type outcomes map[place]error

func (o outcomes) and(more outcomes) outcomes {
	all := maps.Clone(o)
	maps.Copy(all, more)
	return all
}

// interaction is a row of the matrix.
type interaction struct {
	name string
	act  func(ctx context.Context, c *app.Chats, chat domain.ChatID) error
	want outcomes
}

// interactions returns the rows. A unit of chats adds its commands here, a line for each.
func interactions() []interaction {
	outside := outcomes{removed: domain.ErrNotMember, deleted: domain.ErrNotMember}
	writes := outside.and(outcomes{archived: domain.ErrArchived, blocked: domain.ErrBlocked, peerGone: domain.ErrPeerGone})
	group := outside.and(outcomes{direct: domain.ErrDirect, blocked: domain.ErrDirect, peerGone: domain.ErrDirect})
	members := group.and(outcomes{archived: domain.ErrArchived})
	ofDirect := outcomes{
		usualGroup: domain.ErrInvalid, archived: domain.ErrInvalid, noMessage: domain.ErrInvalid, removed: domain.ErrNotMember, deleted: domain.ErrNotMember,
	}
	restrict := func(kind domain.RestrictionKind, lift bool) func(context.Context, *app.Chats, domain.ChatID) error {
		return func(ctx context.Context, c *app.Chats, chat domain.ChatID) error {
			return failed(c.Restrict(ctx, domain.Restrict{Chat: chat, Actor: actor, User: "ann", Kind: kind, Lift: lift}))
		}
	}
	type c = *app.Chats
	type id = domain.ChatID
	return []interaction{
		{"rename", func(x context.Context, c c, chat id) error {
			return failed(c.Rename(x, domain.Rename{Chat: chat, Actor: actor, Title: "x"}))
		}, members},
		{"policy", func(x context.Context, c c, chat id) error {
			return failed(c.SetPolicy(x, domain.SetPolicy{Chat: chat, Actor: actor, Policy: domain.PolicyChange{Visibility: domain.Public}}))
		}, members},
		{"metadata", func(x context.Context, c c, chat id) error {
			return failed(c.UpdateMetadata(x, domain.UpdateMetadata{Chat: chat, Actor: actor, Set: map[string]string{"a": "1"}}))
		}, writes},
		{"join", func(x context.Context, c c, chat id) error {
			return failed(c.Join(x, domain.Join{Chat: chat, Actor: actor}))
		}, outcomes{removed: domain.ErrForbidden, deleted: domain.ErrChatDeleted}},
		{"add", func(x context.Context, c c, chat id) error {
			return failed(c.Add(x, domain.Add{Chat: chat, Actor: actor, User: "new"}))
		}, members},
		{"add members", func(x context.Context, c c, chat id) error {
			return failed(c.AddMembers(x, domain.AddMembers{Chat: chat, Actor: actor, Users: []domain.UserID{"new"}}))
		}, members},
		{"remove", func(x context.Context, c c, chat id) error {
			return failed(c.Remove(x, domain.Remove{Chat: chat, Actor: actor, User: "ann"}))
		}, group},
		{"promote", func(x context.Context, c c, chat id) error {
			return failed(c.Promote(x, domain.Promote{Chat: chat, Actor: actor, User: "ann", Role: domain.RoleAdmin}))
		}, group},
		{"leave", func(x context.Context, c c, chat id) error {
			return failed(c.Leave(x, domain.Leave{Chat: chat, Actor: actor}))
		}, group},
		{"archive", func(x context.Context, c c, chat id) error {
			return failed(c.Archive(x, domain.Archive{Chat: chat, Actor: actor}))
		}, group},
		{"ban", restrict(domain.Ban, false), group},
		{"mute", restrict(domain.Mute, false), group},
		{"lift a mute", restrict(domain.Mute, true), group},
		{"block", restrict(domain.Block, false), ofDirect},
		{"lift a block", restrict(domain.Block, true), ofDirect.and(outcomes{blocked: domain.ErrForbidden})}, // of the other one
		{"lift the own block", func(x context.Context, c c, chat id) error {
			return failed(c.Restrict(x, domain.Restrict{Chat: chat, Actor: "ann", User: actor, Kind: domain.Block, Lift: true}))
		}, ofDirect.and(outcomes{removed: domain.ErrInvalid, peerGone: domain.ErrNotMember})},
		{"open direct", func(x context.Context, c c, _ id) error {
			return failed(c.OpenDirect(x, domain.OpenDirect{Actor: actor, With: "ann"}))
		}, nil},
		{"send", func(x context.Context, c c, chat id) error {
			return failed(c.Send(x, domain.Send{Chat: chat, Actor: actor, Content: "x"}))
		}, writes},
		{"reply", func(x context.Context, c c, chat id) error {
			return failed(c.Send(x, domain.Send{Chat: chat, Actor: actor, Content: "x", ReplyTo: "m"}))
		}, writes},
		{"edit", func(x context.Context, c c, chat id) error {
			return failed(c.Edit(x, domain.Edit{Chat: chat, Actor: actor, MessageID: "m", Content: "y"}))
		}, outside.and(outcomes{noMessage: domain.ErrMessageDeleted, blocked: domain.ErrBlocked})},
		{"delete", func(x context.Context, c c, chat id) error {
			return failed(c.Delete(x, domain.Delete{Chat: chat, Actor: actor, MessageID: "m"}))
		}, outside},
		{"react", func(x context.Context, c c, chat id) error {
			return failed(c.React(x, domain.React{Chat: chat, Actor: actor, MessageID: "m", Emoji: "👍"}))
		}, writes.and(outcomes{noMessage: domain.ErrMessageDeleted})},
		{"unreact", func(x context.Context, c c, chat id) error {
			return failed(c.Unreact(x, domain.React{Chat: chat, Actor: actor, MessageID: "m", Emoji: "👍"}))
		}, outside},
		{"read", func(x context.Context, c c, chat id) error {
			return failed(c.MarkRead(x, domain.MarkRead{Chat: chat, Actor: actor, MessageID: "m", AwaitRecorded: true}))
		}, outside},
		{"reply in a thread", func(x context.Context, c c, chat id) error {
			return failed(c.Send(x, domain.Send{Chat: chat, Actor: actor, Content: "x", Thread: "m"}))
		}, writes},
		{"mention", func(x context.Context, c c, chat id) error {
			return failed(c.Send(x, domain.Send{Chat: chat, Actor: actor, Content: "x", Mentions: []domain.UserID{"ann"}}))
		}, writes},
		{"follow a thread", func(x context.Context, c c, chat id) error {
			return failed(c.MarkThread(x, domain.MarkThread{Chat: chat, Actor: actor, Thread: "m", Following: domain.Follow}))
		}, outside},
		{"unfollow a thread", func(x context.Context, c c, chat id) error {
			return failed(c.MarkThread(x, domain.MarkThread{Chat: chat, Actor: actor, Thread: "m", Following: domain.Unfollow}))
		}, outside},
		{"pin", func(x context.Context, c c, chat id) error {
			return failed(c.Pin(x, domain.Pin{Chat: chat, Actor: actor, MessageID: "m"}))
		}, writes.and(outcomes{noMessage: domain.ErrMessageDeleted})},
		{"unpin", func(x context.Context, c c, chat id) error {
			return failed(c.Unpin(x, domain.Pin{Chat: chat, Actor: actor, MessageID: "m"}))
		}, writes},
		{"settings", func(x context.Context, c c, chat id) error {
			return failed(c.SetSettings(x, domain.SetSettings{Chat: chat, Actor: actor, Settings: domain.SettingsChange{Favourite: new(true)}}))
		}, outside},
		{"mark as unread", func(x context.Context, c c, chat id) error {
			return failed(c.SetSettings(x, domain.SetSettings{Chat: chat, Actor: actor, Settings: domain.SettingsChange{UnreadFrom: new(domain.MessageID("m"))}}))
		}, outside},
		{"record", func(x context.Context, c c, chat id) error {
			return failed(c.Record(x, domain.Record{Chat: chat, Actor: actor, Event: custom{"{}"}}))
		}, writes},
		{"typing", func(x context.Context, c c, chat id) error {
			return failed(c.StartTyping(x, domain.Typing{Chat: chat, Actor: actor}))
		}, writes},
	}
}

// TestInteractions gives each command in each place.
func TestInteractions(t *testing.T) {
	for _, row := range interactions() {
		for _, where := range []place{usualGroup, archived, removed, noMessage, deleted, direct, blocked, peerGone} {
			chats, chat := at(t, where)
			want := row.want[where]
			if err := row.act(t.Context(), chats, chat); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%s, %s: %v, want %v", row.name, where, err, want)
			}
		}
	}
}

// at returns a chat in a place, and the commands.
func at(t *testing.T, where place) (*app.Chats, domain.ChatID) {
	t.Helper()
	log := memory.New(wireformat.New(), clock{}, nil)
	chats, _ := openChats(log, app.Policy{})
	ctx, chat := t.Context(), domain.ChatID("c")
	must := func(errs ...error) {
		t.Helper()
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
	}
	isDirect := where == direct || where == blocked || where == peerGone
	if isDirect {
		chat = domain.DirectID(actor, "ann")
		must(failed(chats.OpenDirect(ctx, domain.OpenDirect{Actor: actor, With: "ann"})))
	} else {
		must(failed(chats.Create(ctx, domain.Create{Chat: chat, Actor: "own", Members: []domain.UserID{actor, "ann"}})),
			failed(chats.Promote(ctx, domain.Promote{Chat: chat, Actor: "own", User: actor, Role: domain.RoleOwner})))
	}
	must(failed(chats.Send(ctx, domain.Send{Chat: chat, Actor: actor, MessageID: "m", Content: "x"})),
		failed(chats.React(ctx, domain.React{Chat: chat, Actor: "ann", MessageID: "m", Emoji: "👍"})))
	switch where {
	case usualGroup, direct:
	case archived:
		must(failed(chats.Archive(ctx, domain.Archive{Chat: chat, Actor: "own"})))
	case removed:
		must(failed(chats.Remove(ctx, domain.Remove{Chat: chat, Actor: "own", User: actor})))
	case noMessage:
		must(failed(chats.Delete(ctx, domain.Delete{Chat: chat, Actor: actor, MessageID: "m"})))
	case deleted:
		must(failed(chats.DeleteChat(ctx, domain.DeleteChat{Chat: chat, Actor: "service", Trusted: true}, nil)))
	case blocked:
		must(failed(chats.Block(ctx, domain.BlockUser{Actor: "ann", User: actor})))
	case peerGone:
		must(app.Depart(ctx, chats, chat, "ann"))
	}
	return chats, chat
}
