package connect

import (
	"math"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// TestEvent_EveryKind converts one event of each kind that a log can have, with all of its fields set: every field of the API must be set then.
func TestEvent_EveryKind(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	file := []domain.Attachment{{Name: "a.png", Type: "image/png", Size: 7, URL: "https://files.example/a"}}
	mentions := []domain.UserID{"bob"}
	kinds := make(map[protoreflect.Name]bool)
	for _, event := range []domain.Durable{
		domain.MessageNew{Chat: "c", Message: "m", Sender: "ada", Content: "x", ReplyTo: "r", Mentions: mentions, Attachments: file, ClientMeta: "{}", Thread: "t", InChat: true, Broadcast: domain.BroadcastAll, At: at},
		domain.MessageEdit{Chat: "c", Message: "m", Editor: "ada", Content: "x", Mentions: mentions, Attachments: file, Revision: 1, Sent: 2, Thread: "t", InChat: true, MentionsAdded: mentions, BroadcastRemoved: true, At: at},
		domain.MessageDelete{Chat: "c", Message: "m", By: "ada", Reason: "r", Sent: 2, Thread: "t", InChat: true, Pinned: true, At: at},
		domain.MessageErased{Chat: "c", Message: "m", Sent: 2, By: "ada", Reason: "r", At: at},
		domain.ChatDeleted{Chat: "c", By: "ada", Reason: "r", ContentErased: true, At: at},
		domain.MessageReaction{Chat: "c", Message: "m", User: "ada", Emoji: "👍", Action: domain.ReactionRemove, At: at},
		domain.ReadReceipt{Chat: "c", User: "ada", Message: "m", ReadSeq: 2, At: at},
		domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created, Kind: domain.Direct, Title: "T", User: "bob", Role: domain.RoleAdmin, Previous: domain.RoleMember, At: at},
		domain.ChatPolicy{Chat: "c", Actor: "ada", Visibility: domain.Public, Permissions: map[domain.Action]domain.Role{domain.ActionPin: domain.RoleOwner}, At: at},
		domain.ChatMetadata{Chat: "c", Actor: "ada", Set: map[string]domain.JSON{"topic": "1"}, Unset: []string{"old"}, At: at},
		domain.ChatSettings{
			Chat: "c", User: "ada", Notify: new(domain.NotifyNone), MutedUntil: new(at), Favourite: new(true), Hidden: new(domain.HiddenUntilMessage), HiddenSeq: 2,
			UnreadSeq: new(domain.Seq(2)), At: at,
		},
		domain.MessagePin{Chat: "c", Message: "m", Sent: 2, Actor: "ada", Pinned: true, At: at},
		domain.ThreadMark{Chat: "c", Thread: "t", User: "ada", ReadSeq: 2, Message: "m", Following: domain.Unfollow, At: at},
		domain.MemberRestriction{Chat: "c", Actor: "ada", User: "bob", Kind: domain.Ban, Until: at.Add(time.Hour), Lifted: true, Reason: "r", At: at},
		domain.Custom{Chat: "c", Actor: "ada", Type: "poll:voted", Version: 2, Entity: "p", Data: "{}", At: at},
		domain.Unknown{Chat: "c", Type: "message:new", Version: 9, Newer: true, Data: "{}", At: at},
	} {
		var out output
		got := out.event(ports.Record{ID: "id", Seq: 3, Event: event, Meta: ports.Meta{CorrelationID: "r", CausationID: "k", TraceParent: "t"}})
		if out.err != nil {
			t.Errorf("%T: %v", event, out.err)
		}
		content := got.ProtoReflect().WhichOneof(got.ProtoReflect().Descriptor().Oneofs().ByName("event"))
		if content == nil {
			t.Errorf("%T has no content", event)
			continue
		}
		kinds[content.Name()] = true
		_, unknown := event.(domain.Unknown)
		unset(t, got.ProtoReflect(), func(f protoreflect.FieldDescriptor) bool {
			return f.ContainingOneof() != nil && f.ContainingOneof().Name() == "event" || unknown && f.Name() == "actor_id" ||
				f.Name() == "redacted" || f.Name() == "erased" // of feeds, and of events without content
		})
		unset(t, got.ProtoReflect().Get(content).Message(), nil)
		if !got.GetOccurredAt().AsTime().Equal(at) || got.GetChatId() != "c" || got.GetSeq() != 3 || !unknown && got.GetActorId() != "ada" {
			t.Errorf("%T: %v", event, got)
		}
	}
	content := (&v1.Event{}).ProtoReflect().Descriptor().Oneofs().ByName("event").Fields()
	for i := range content.Len() {
		if !kinds[content.Get(i).Name()] {
			t.Errorf("no event has the content %s", content.Get(i).Name())
		}
	}
}

// unset reports the fields of a message that are not set, save some.
func unset(t *testing.T, m protoreflect.Message, save func(protoreflect.FieldDescriptor) bool) {
	t.Helper()
	for i := range m.Descriptor().Fields().Len() {
		if f := m.Descriptor().Fields().Get(i); !m.Has(f) && (save == nil || !save(f)) {
			t.Errorf("%s is not set", f.FullName())
		}
	}
}

// TestEvent_ChangesOfMembers has each change of a chat under a name of its own.
func TestEvent_ChangesOfMembers(t *testing.T) {
	seen := make(map[v1.ChatChange]bool)
	for change := domain.Created; change <= domain.Unarchived; change++ {
		seen[changes.of(change)] = true
	}
	if len(seen) != len(v1.ChatChange_name)-1 || seen[v1.ChatChange_CHAT_CHANGE_UNSPECIFIED] {
		t.Errorf("the changes are %v, of %v", seen, v1.ChatChange_name)
	}
}

// TestEvent_EmptyEdits distinguishes an edit that leaves mentions and attachments as they were from one that removes them.
func TestEvent_EmptyEdits(t *testing.T) {
	var out output
	for _, changed := range []bool{false, true} {
		edit := domain.MessageEdit{Chat: "c", Message: "m", Content: "x"}
		if changed {
			edit.Mentions, edit.Attachments = []domain.UserID{}, []domain.Attachment{}
		}
		if got := out.event(ports.Record{Event: edit}).GetMessageEdit(); got.GetMentionsChanged() != changed || got.GetAttachmentsChanged() != changed {
			t.Errorf("changed %v: %v", changed, got)
		}
	}
}

// TestEvent_BeyondTheNumbersOfTheAPI gives an event of a seq that 32 bits do not hold.
func TestEvent_BeyondTheNumbersOfTheAPI(t *testing.T) {
	for _, record := range []ports.Record{
		{Seq: math.MaxUint32 + 1, Event: domain.MessageDelete{Chat: "c"}},
		{Seq: 1, Event: domain.ReadReceipt{Chat: "c", ReadSeq: math.MaxUint32 + 1}},
	} {
		var out output
		out.event(record)
		if out.err == nil || !strings.Contains(out.err.Error(), "4294967296") {
			t.Errorf("%+v: %v", record, out.err)
		}
	}
}
