package domain_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"chatcore/domain"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) // when commands are given, if a test does not say otherwise

// world is a chat folded from given events, as input of a decision.
type world struct {
	chat      domain.Chat
	members   map[domain.UserID]*domain.Member
	messages  map[domain.MessageID]*domain.Message
	reactions map[domain.MessageID]*domain.Reactions
	marks     map[domain.UserID]*domain.ReadMark
	moved     map[domain.UserID]domain.Seq // versions of the marks
	settings  map[domain.UserID]*domain.Settings
	pins      map[string]*domain.Pins
	head      domain.Seq
}

func given(events ...domain.Durable) *world {
	w := &world{
		chat: domain.Chat{ID: "c"}, members: map[domain.UserID]*domain.Member{}, messages: map[domain.MessageID]*domain.Message{},
		reactions: map[domain.MessageID]*domain.Reactions{}, marks: map[domain.UserID]*domain.ReadMark{},
		moved: map[domain.UserID]domain.Seq{}, settings: map[domain.UserID]*domain.Settings{}, pins: map[string]*domain.Pins{},
	}
	for _, e := range events {
		w.apply(e)
	}
	return w
}

func entry[K comparable, V any](m map[K]*V, key K, fresh V) *V {
	if m[key] == nil {
		m[key] = &fresh
	}
	return m[key]
}

func (w *world) apply(e domain.Durable) {
	w.head++
	for _, moved := range domain.Moves(e) {
		switch id := moved.ID; moved.Kind {
		case domain.KindChat:
			w.chat.Apply(w.head, e)
		case domain.KindMember:
			entry(w.members, domain.UserID(id), domain.Member{User: domain.UserID(id)}).Apply(w.head, e)
		case domain.KindMessage:
			entry(w.messages, domain.MessageID(id), domain.Message{Chat: "c", ID: domain.MessageID(id)}).Apply(w.head, e)
		case domain.KindReactions:
			entry(w.reactions, domain.MessageID(id), domain.Reactions{}).Apply(w.head, e)
		case domain.KindRead:
			entry(w.marks, domain.UserID(id), domain.ReadMark{}).Apply(w.head, e)
			w.moved[domain.UserID(id)] = w.head
		case domain.KindSettings:
			entry(w.settings, domain.UserID(id), domain.Settings{}).Apply(w.head, e)
		case domain.KindPins:
			entry(w.pins, id, domain.Pins{}).Apply(w.head, e)
		default:
		}
	}
}

func (w *world) member(id domain.UserID) domain.Member {
	return *entry(w.members, id, domain.Member{User: id})
}

func (w *world) all(ids []domain.UserID) (members []domain.Member) {
	for _, id := range ids {
		members = append(members, w.member(id))
	}
	return members
}

func (w *world) mentioned(ids []domain.UserID) (members []*domain.Member) {
	for _, m := range w.all(ids) {
		members = append(members, &m)
	}
	return members
}

func (w *world) message(id domain.MessageID) domain.Message {
	return *entry(w.messages, id, domain.Message{Chat: "c", ID: id})
}

func (w *world) reacted(id domain.MessageID) *domain.Reactions {
	return entry(w.reactions, id, domain.Reactions{})
}

func (w *world) mark(id domain.UserID) domain.ReadMark {
	return *entry(w.marks, id, domain.ReadMark{})
}

type decision func(w *world) ([]domain.Durable, error)

func change(actor domain.UserID, c domain.Change) domain.ChatUpdate {
	return domain.ChatUpdate{Chat: "c", Actor: actor, Change: c, At: noon}
}

func joined(user domain.UserID) domain.ChatUpdate {
	u := change("own", domain.MemberAdded)
	u.User, u.Role = user, domain.RoleMember
	return u
}

func madeRole(user domain.UserID, role, previous domain.Role) domain.ChatUpdate {
	u := change("own", domain.RoleChanged)
	u.User, u.Role, u.Previous = user, role, previous
	return u
}

func removed(actor, user domain.UserID, previous domain.Role) domain.ChatUpdate {
	u := change(actor, domain.MemberRemoved)
	u.User, u.Previous = user, previous
	return u
}

func sent(id domain.MessageID, by domain.UserID) domain.MessageNew {
	return domain.MessageNew{Chat: "c", Message: id, Sender: by, Content: "hi", At: noon}
}

// deleted is the deletion of a message that was sent first after the usual events.
func deleted(id domain.MessageID, by domain.UserID) domain.MessageDelete {
	return domain.MessageDelete{Chat: "c", Message: id, By: by, Sent: 6, At: noon}
}

func reaction(id domain.MessageID, by domain.UserID, a domain.ReactionAction) domain.MessageReaction {
	return domain.MessageReaction{Chat: "c", Message: id, User: by, Emoji: "👍", Action: a, At: noon}
}

// usual is a chat with an owner own, an admin adm, and plain members ann and bob.
func usual(more ...domain.Durable) []domain.Durable {
	created := change("own", domain.Created)
	created.Title = "Garden"
	return append([]domain.Durable{
		created, joined("adm"), madeRole("adm", domain.RoleAdmin, domain.RoleMember), joined("ann"), joined("bob"),
	}, more...)
}

func TestRules(t *testing.T) {
	rename := func(by domain.UserID, title domain.Title) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Rename(w.member(by), title, noon) }
	}
	archive := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Archive(w.member(by), noon) }
	}
	unarchive := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Unarchive(w.member(by), noon) }
	}
	add := func(by, user domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Add(w.member(by), w.member(user), user, noon) }
	}
	remove := func(by, user domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Remove(w.member(by), w.member(user), noon) }
	}
	leave := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Leave(w.member(by), noon) }
	}
	promote := func(by, user domain.UserID, role domain.Role) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.Promote(w.member(by), w.member(user), role, noon)
		}
	}
	demote := func(by, user domain.UserID, role domain.Role) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.Demote(w.member(by), w.member(user), role, noon)
		}
	}
	post := func(by domain.UserID, id domain.MessageID, content domain.Content) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.Post(w.member(by), w.message(id), domain.Draft{ID: id, Content: content}, domain.Referred{}, noon)
		}
	}
	edit := func(by domain.UserID, id domain.MessageID, content domain.Content, window, late time.Duration) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.message(id).Edit(w.member(by), domain.Revision{Content: content}, domain.Referred{}, window, noon.Add(late))
		}
	}
	remove1 := func(by domain.UserID, id domain.MessageID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.message(id).Delete(w.member(by), "", noon) }
	}
	react := func(by domain.UserID, id domain.MessageID) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.React(w.member(by), w.message(id), w.reacted(id), "👍", noon)
		}
	}
	unreact := func(by domain.UserID, id domain.MessageID) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.Unreact(w.member(by), w.message(id), w.reacted(id), "👍", noon)
		}
	}
	reply := func(by domain.UserID, there bool, mentions ...domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) {
			d := domain.Draft{ID: "m2", Content: "hi", ReplyTo: "m", Mentions: mentions}
			return w.chat.Post(w.member(by), w.message("m2"), d, domain.Referred{ReplyTo: there, Members: w.mentioned(mentions)}, noon)
		}
	}
	revise := func(content domain.Content, mentions []domain.UserID, files []domain.Attachment) decision {
		return func(w *world) ([]domain.Durable, error) {
			to := domain.Revision{Content: content, Mentions: mentions, Attachments: files}
			return w.message("m").Edit(w.member("ann"), to, domain.Referred{Members: w.mentioned(mentions)}, 0, noon)
		}
	}
	file := domain.Attachment{Name: "a.png", URL: "https://example.org/a.png"}
	full := sent("m", "ann")
	full.Mentions, full.Attachments = []domain.UserID{"bob"}, []domain.Attachment{file}
	bare := sent("m", "ann")
	bare.Content, bare.Attachments = "", []domain.Attachment{file}
	replied := sent("m2", "ann")
	replied.ReplyTo, replied.Mentions, replied.Mentioned = "m", []domain.UserID{"own", "bob"}, true
	reviseTo := func(mentions []domain.UserID, files []domain.Attachment, added ...domain.UserID) []domain.Durable {
		return []domain.Durable{domain.MessageEdit{
			Chat: "c", Message: "m", Editor: "ann", Content: "hi", Mentions: mentions, Attachments: files, Revision: 1,
			Sent: 6, MentionsAdded: added, Mentioned: mentions != nil, At: noon,
		}}
	}
	read := func(by domain.UserID, id domain.MessageID, at time.Time) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.mark(by).Advance(w.member(by), w.message(id), w.head, 0, at)
		}
	}
	record := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.Record(w.member(by), domain.Custom{Type: "poll:created", Entity: "p", Chat: "x", Actor: "x"}, noon)
		}
	}
	renamed := change("adm", domain.Renamed)
	renamed.Title = "Allotment"
	receipt := domain.ReadReceipt{Chat: "c", User: "bob", Message: "m", ReadSeq: 6, At: noon}
	edited := domain.MessageEdit{Chat: "c", Message: "m", Editor: "ann", Content: "ho", Revision: 1, Sent: 6, At: noon}

	for _, tc := range []struct {
		rule  string
		given []domain.Durable
		when  decision
		then  []domain.Durable
		err   error
	}{
		{"an admin renames", usual(), rename("adm", "Allotment"), []domain.Durable{renamed}, nil},
		{"the same title is no event", usual(), rename("adm", "Garden"), nil, nil},
		{"a member does not rename", usual(), rename("ann", "x"), nil, domain.ErrForbidden},
		{"an outsider does not rename", usual(), rename("eve", "x"), nil, domain.ErrNotMember},
		{"no chat, no rename", nil, rename("own", "x"), nil, domain.ErrChatNotFound},
		{"an archived chat keeps its title", usual(change("own", domain.Archived)), rename("own", "x"), nil, domain.ErrArchived},

		{"an owner archives", usual(), archive("own"), []domain.Durable{change("own", domain.Archived)}, nil},
		{"an admin does not archive", usual(), archive("adm"), nil, domain.ErrForbidden},
		{"archived already is no event", usual(change("own", domain.Archived)), archive("own"), nil, nil},
		{"an owner unarchives", usual(change("own", domain.Archived)), unarchive("own"), []domain.Durable{change("own", domain.Unarchived)}, nil},
		{"not archived is no event", usual(), unarchive("own"), nil, nil},

		{"an admin adds", usual(), add("adm", "eve"), []domain.Durable{func() domain.ChatUpdate { u := joined("eve"); u.Actor = "adm"; return u }()}, nil},
		{"a member already is no event", usual(), add("adm", "ann"), nil, nil},
		{"a member does not add", usual(), add("ann", "eve"), nil, domain.ErrForbidden},
		{"an archived chat takes nobody", usual(change("own", domain.Archived)), add("own", "eve"), nil, domain.ErrArchived},

		{"an admin removes a member", usual(), remove("adm", "ann"), []domain.Durable{removed("adm", "ann", domain.RoleMember)}, nil},
		{"an admin does not remove an owner", usual(), remove("adm", "own"), nil, domain.ErrForbidden},
		{"an admin does not remove an admin", usual(madeRole("ann", domain.RoleAdmin, domain.RoleMember)), remove("adm", "ann"), nil, domain.ErrForbidden},
		{"an owner removes an owner", usual(madeRole("adm", domain.RoleOwner, domain.RoleAdmin)), remove("own", "adm"), []domain.Durable{removed("own", "adm", domain.RoleOwner)}, nil},
		{"an owner removes an admin", usual(), remove("own", "adm"), []domain.Durable{removed("own", "adm", domain.RoleAdmin)}, nil},
		{"removing nobody is no event", usual(), remove("adm", "eve"), nil, nil},
		{"a member does not remove", usual(), remove("ann", "bob"), nil, domain.ErrForbidden},
		{"a member leaves", usual(), leave("ann"), []domain.Durable{removed("ann", "ann", domain.RoleMember)}, nil},
		{"the last owner stays", usual(), leave("own"), nil, domain.ErrLastOwner},
		{"one of two owners leaves", usual(madeRole("adm", domain.RoleOwner, domain.RoleAdmin)), leave("own"), []domain.Durable{removed("own", "own", domain.RoleOwner)}, nil},
		{"who left cannot leave", usual(removed("ann", "ann", domain.RoleMember)), leave("ann"), nil, domain.ErrNotMember},

		{"an owner promotes", usual(), promote("own", "ann", domain.RoleAdmin), []domain.Durable{madeRole("ann", domain.RoleAdmin, domain.RoleMember)}, nil},
		{"an admin does not promote", usual(), promote("adm", "ann", domain.RoleAdmin), nil, domain.ErrForbidden},
		{"promoted already is no event", usual(), promote("own", "adm", domain.RoleAdmin), nil, nil},
		{"nobody is promoted down", usual(), promote("own", "own", domain.RoleAdmin), nil, domain.ErrInvalid},
		{"outsiders are not promoted", usual(), promote("own", "eve", domain.RoleAdmin), nil, domain.ErrNotMember},
		{"promotion to member is none", usual(), promote("own", "ann", domain.RoleMember), nil, domain.ErrInvalid},
		{"an owner demotes", usual(), demote("own", "adm", domain.RoleMember), []domain.Durable{madeRole("adm", domain.RoleMember, domain.RoleAdmin)}, nil},
		{"the last owner is not demoted", usual(), demote("own", "own", domain.RoleMember), nil, domain.ErrLastOwner},
		{"demoted already is no event", usual(), demote("own", "adm", domain.RoleAdmin), nil, nil},
		{"demotion to owner is none", usual(), demote("own", "adm", domain.RoleOwner), nil, domain.ErrInvalid},
		{"nobody is demoted up", usual(), demote("own", "ann", domain.RoleAdmin), nil, domain.ErrInvalid},

		{"a member posts", usual(), post("ann", "m", "hi"), []domain.Durable{sent("m", "ann")}, nil},
		{"an outsider does not post", usual(), post("eve", "m", "hi"), nil, domain.ErrNotMember},
		{"a removed member does not post", usual(removed("own", "ann", domain.RoleMember)), post("ann", "m", "hi"), nil, domain.ErrNotMember},
		{"an archived chat takes no messages", usual(change("own", domain.Archived)), post("ann", "m", "hi"), nil, domain.ErrArchived},
		{"sent again is no event", usual(sent("m", "ann")), post("ann", "m", "other words"), nil, nil},
		{"sent again after leaving is no event", usual(sent("m", "ann"), removed("ann", "ann", domain.RoleMember)), post("ann", "m", "hi"), nil, nil},
		{"an id of someone else is taken", usual(sent("m", "ann")), post("bob", "m", "hi"), nil, domain.ErrMessageExists},
		{"an outsider does not learn which ids are taken", usual(sent("m", "ann")), post("eve", "m", "hi"), nil, domain.ErrNotMember},
		{"mentions are of members, each once", usual(sent("m", "ann")), reply("ann", true, "own", "eve", "bob", "own"), []domain.Durable{replied}, nil},
		{"a reply needs its message", usual(), reply("ann", false), nil, domain.ErrMessageNotFound},
		{"an outsider does not learn what there is to reply to", usual(), reply("eve", false), nil, domain.ErrNotMember},
		{"a message says something", usual(), post("ann", "m", ""), nil, domain.ErrInvalid},

		{"the author edits", usual(sent("m", "ann")), edit("ann", "m", "ho", 0, 0), []domain.Durable{edited}, nil},
		{"revisions count", usual(sent("m", "ann"), edited), edit("ann", "m", "hu", 0, 0), []domain.Durable{domain.MessageEdit{Chat: "c", Message: "m", Editor: "ann", Content: "hu", Revision: 2, Sent: 6, At: noon}}, nil},
		{"the same content is no event", usual(sent("m", "ann")), edit("ann", "m", "hi", 0, 0), nil, nil},
		{"an owner does not edit what others wrote", usual(sent("m", "ann")), edit("own", "m", "ho", 0, 0), nil, domain.ErrNotAuthor},
		{"a deleted message is not edited", usual(sent("m", "ann"), deleted("m", "ann")), edit("ann", "m", "ho", 0, 0), nil, domain.ErrMessageDeleted},
		{"at the end of the window it is edited", usual(sent("m", "ann")), edit("ann", "m", "hi", time.Minute, time.Minute), nil, nil},
		{"without a window it is edited at any time", usual(sent("m", "ann")), edit("ann", "m", "hi", 0, 1000*time.Hour), nil, nil},
		{"after the window it is not", usual(sent("m", "ann")), edit("ann", "m", "ho", time.Minute, time.Minute+1), nil, domain.ErrEditWindow},
		{"no message, no edit", usual(), edit("ann", "m", "ho", 0, 0), nil, domain.ErrMessageNotFound},
		{"an author who left does not edit", usual(sent("m", "ann"), removed("ann", "ann", domain.RoleMember)), edit("ann", "m", "ho", 0, 0), nil, domain.ErrNotMember},

		{"an edit changes mentions", usual(full), revise("hi", []domain.UserID{"own", "eve", "own"}, nil), reviseTo([]domain.UserID{"own"}, nil, "own"), nil},
		{"an edit removes mentions", usual(full), revise("hi", []domain.UserID{"eve"}, nil), reviseTo([]domain.UserID{}, nil), nil},
		{"an edit removes attachments", usual(full), revise("hi", nil, []domain.Attachment{}), reviseTo(nil, []domain.Attachment{}), nil},
		{"an edit adds attachments", usual(full), revise("hi", nil, []domain.Attachment{file, file}), reviseTo(nil, []domain.Attachment{file, file}), nil},
		{"the same mentions and attachments are no event", usual(full), revise("hi", []domain.UserID{"bob", "bob"}, []domain.Attachment{file}), nil, nil},
		{"an edit leaves something", usual(bare), revise("", nil, []domain.Attachment{}), nil, domain.ErrInvalid},
		{"attachments alone stay without content", usual(bare), revise("", []domain.UserID{}, nil), nil, nil},
		{"content alone is not edited away", usual(sent("m", "ann")), revise("", nil, nil), nil, domain.ErrInvalid},

		{"the author deletes", usual(sent("m", "ann")), remove1("ann", "m"), []domain.Durable{deleted("m", "ann")}, nil},
		{"an admin deletes", usual(sent("m", "ann")), remove1("adm", "m"), []domain.Durable{deleted("m", "adm")}, nil},
		{"another member does not delete", usual(sent("m", "ann")), remove1("bob", "m"), nil, domain.ErrForbidden},
		{"deleted already is no event", usual(sent("m", "ann"), deleted("m", "ann")), remove1("adm", "m"), nil, nil},
		{"no message, no deletion", usual(), remove1("own", "m"), nil, domain.ErrMessageNotFound},

		{"a member reacts", usual(sent("m", "ann")), react("bob", "m"), []domain.Durable{reaction("m", "bob", domain.ReactionAdd)}, nil},
		{"reacted already is no event", usual(sent("m", "ann"), reaction("m", "bob", domain.ReactionAdd)), react("bob", "m"), nil, nil},
		{"an outsider does not react", usual(sent("m", "ann")), react("eve", "m"), nil, domain.ErrNotMember},
		{"a deleted message takes no reactions", usual(sent("m", "ann"), deleted("m", "ann")), react("bob", "m"), nil, domain.ErrMessageDeleted},
		{"an archived chat takes no reactions", usual(sent("m", "ann"), change("own", domain.Archived)), react("bob", "m"), nil, domain.ErrArchived},
		{"a reaction is taken back", usual(sent("m", "ann"), reaction("m", "bob", domain.ReactionAdd)), unreact("bob", "m"), []domain.Durable{reaction("m", "bob", domain.ReactionRemove)}, nil},
		{"in an archived chat a reaction is taken back", usual(sent("m", "ann"), reaction("m", "bob", domain.ReactionAdd), change("own", domain.Archived)), unreact("bob", "m"), []domain.Durable{reaction("m", "bob", domain.ReactionRemove)}, nil},
		{"a deletion took the reactions along", usual(sent("m", "ann"), reaction("m", "bob", domain.ReactionAdd), deleted("m", "ann")), unreact("bob", "m"), nil, nil},
		{"an outsider takes nothing back", usual(change("own", domain.Archived)), unreact("eve", "m"), nil, domain.ErrNotMember},
		{"an outsider does not learn what there is to react to", usual(), react("eve", "m"), nil, domain.ErrNotMember},
		{"none to take back is no event", usual(sent("m", "ann")), unreact("bob", "m"), nil, nil},

		{"a member records a custom event", usual(), record("ann"), []domain.Durable{domain.Custom{Chat: "c", Actor: "ann", At: noon, Type: "poll:created", Entity: "p"}}, nil},
		{"an outsider records nothing", usual(), record("eve"), nil, domain.ErrNotMember},
		{"an archived chat takes no custom events", usual(change("own", domain.Archived)), record("ann"), nil, domain.ErrArchived},

		{"a chat that has not come so far is not read", usual(sent("m", "ann")), func(w *world) ([]domain.Durable, error) {
			return w.mark("bob").Advance(w.member("bob"), w.message("m"), w.head-1, 0, noon)
		}, nil, domain.ErrSeqRange},
		{"a mark before the last one's time does not wait", usual(sent("m", "ann"), receipt, sent("m2", "ann")), read("bob", "m2", noon.Add(-time.Second)), []domain.Durable{domain.ReadReceipt{Chat: "c", User: "bob", Message: "m2", ReadSeq: 8, At: noon.Add(-time.Second)}}, nil},
		{"a mark at the last one's time waits", usual(sent("m", "ann"), receipt, sent("m2", "ann")), read("bob", "m2", noon), nil, domain.ErrTooSoon},
		{"a first mark at any time does not wait", usual(sent("m", "ann")), read("bob", "m", time.Time{}.Add(time.Millisecond)), []domain.Durable{domain.ReadReceipt{Chat: "c", User: "bob", Message: "m", ReadSeq: 6, At: time.Time{}.Add(time.Millisecond)}}, nil},
		{"a member reads", usual(sent("m", "ann")), read("bob", "m", noon), []domain.Durable{receipt}, nil},
		{"a sender has read what was sent", usual(sent("m", "ann")), read("ann", "m", noon), nil, nil},
		{"read already is no event", usual(sent("m", "ann"), receipt), read("bob", "m", noon.Add(time.Hour)), nil, nil},
		{"marks within a second wait", usual(sent("m", "ann"), receipt, sent("m2", "ann")), read("bob", "m2", noon.Add(time.Second-1)), nil, domain.ErrTooSoon},
		{"marks a second apart do not", usual(sent("m", "ann"), receipt, sent("m2", "ann")), read("bob", "m2", noon.Add(time.Second)), []domain.Durable{domain.ReadReceipt{Chat: "c", User: "bob", Message: "m2", ReadSeq: 8, At: noon.Add(time.Second)}}, nil},
		{"an outsider does not read", usual(sent("m", "ann")), read("eve", "m", noon), nil, domain.ErrNotMember},
		{"no message, no mark", usual(), read("bob", "m", noon), nil, domain.ErrMessageNotFound},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			events, err := tc.when(given(tc.given...))
			if !errors.Is(err, tc.err) || (err == nil) != (tc.err == nil) {
				t.Fatalf("error %v, want %v", err, tc.err)
			}
			if len(events) != len(tc.then) || len(events) > 0 && !reflect.DeepEqual(events, tc.then) {
				t.Errorf("gave %+v, want %+v", events, tc.then)
			}
		})
	}
}

func TestCreate(t *testing.T) {
	events, err := domain.Chat{}.Create("c", "Garden", "own", []domain.UserID{"ann", "own", "ann"}, domain.MetadataChange{}, noon)
	if err != nil || len(events) != 2 {
		t.Fatalf("gave %+v, error %v; want the creation and one member", events, err)
	}
	w := given(events...)
	if w.member("own").Role != domain.RoleOwner || w.member("ann").Role != domain.RoleMember || w.chat.Title != "Garden" {
		t.Errorf("folds to %+v with %+v", w.chat, w.members)
	}
	if _, err := w.chat.Create("c", "x", "eve", nil, domain.MetadataChange{}, noon); !errors.Is(err, domain.ErrChatExists) {
		t.Errorf("created again: %v", err)
	}
}

func TestTyping(t *testing.T) {
	w := given(usual()...)
	var typing domain.TypingMark
	start := func(after time.Duration, want int) {
		t.Helper()
		events, err := typing.Start(w.chat, w.member("ann"), noon.Add(after))
		if err != nil || len(events) != want {
			t.Fatalf("after %s: %d events, error %v, want %d", after, len(events), err, want)
		}
		for _, e := range events {
			if s, ok := e.(domain.TypingStart); !ok || !s.ExpiresAt.Equal(s.At.Add(5*time.Second)) {
				t.Errorf("after %s: %+v", after, e)
			}
			typing.Apply(e)
		}
	}
	start(0, 1)
	start(2*time.Second-1, 0)
	start(2*time.Second, 1)
	if !typing.Active(noon.Add(7*time.Second-1)) || typing.Active(noon.Add(7*time.Second)) {
		t.Error("typing does not end five seconds after the last start")
	}
	for range 2 {
		if events, err := typing.Stop(w.chat, w.member("ann"), noon); err != nil || len(events) != 1 {
			t.Errorf("a stop gave %v, error %v", events, err)
		}
	}
	typing.Apply(sent("m", "ann"))
	start(2*time.Second+1, 1)
	if _, err := typing.Start(w.chat, w.member("eve"), noon); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("an outsider types: %v", err)
	}
	if _, err := typing.Stop(w.chat, w.member("eve"), noon); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("an outsider stops: %v", err)
	}
	w.apply(change("own", domain.Archived))
	if _, err := typing.Start(w.chat, w.member("ann"), noon); !errors.Is(err, domain.ErrArchived) {
		t.Errorf("in an archived chat: %v", err)
	}
}

func TestIDs(t *testing.T) {
	for _, id := range []string{"a", "user-789", `|[]{}^\` + "`-:%*?", "ünï", "🍅", strings.Repeat("x", 128)} {
		if got, err := domain.ParseUserID(id); err != nil || string(got) != id {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", strings.Repeat("x", 129), "a b", "a\u00a0b", "a\tb", "a\nb", "\x00", "a\xff", "\u200b", "\u2028", "\ufeff"} {
		_, err := domain.ParseChatID(id)
		var invalid *domain.InvalidError
		if !errors.As(err, &invalid) || invalid.Field != "chatId" || invalid.Problem == "" || invalid.Allowed == "" {
			t.Errorf("%q: %v", id, err)
		}
	}
}

func TestContent(t *testing.T) {
	for _, text := range []string{"x", "a\tb\nc", strings.Repeat("x", 16<<10), "äöü 🍅", "a\u2028b"} {
		if _, err := domain.NewContent(text); err != nil {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	for _, text := range []string{"", " \t\n", strings.Repeat("x", 16<<10+1), "\xc3", "bell\a", "\r", "a\rb", "\x7f", "\u0085"} {
		if _, err := domain.NewContent(text); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	file := domain.Attachment{Name: "a.png", Type: "image/png", Size: 1, URL: "https://example.org/a.png"}
	draft := func(n int) domain.Draft {
		d := domain.Draft{ID: "m"}
		for range n {
			d.Attachments = append(d.Attachments, file)
		}
		return d
	}
	if err := errors.Join(draft(1).Check(), draft(32).Check()); err != nil {
		t.Errorf("attachments alone: %v", err)
	}
	nameless, negative := file, file
	nameless.Name, negative.Size = "", -1
	for _, err := range []error{draft(33).Check(), draft(0).Check(), nameless.Check(), negative.Check()} {
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("accepted: %v", err)
		}
	}
}

func TestUnread(t *testing.T) {
	for _, tc := range []struct{ head, mark, deleted, want domain.Ordinal }{
		{0, 0, 0, 0}, {5, 0, 0, 5}, {5, 5, 0, 0}, {5, 2, 1, 2}, {5, 4, 3, 0},
	} {
		if got := domain.Unread(tc.head, tc.mark, tc.deleted); got != tc.want {
			t.Errorf("head %d, mark %d, deleted %d: %d, want %d", tc.head, tc.mark, tc.deleted, got, tc.want)
		}
	}
}

// TestChat_ApplyLeavesCopiesAlone folds changes of owners into one of two copies of a chat.
func TestChat_ApplyLeavesCopiesAlone(t *testing.T) {
	w := given(usual()...)
	before := w.chat
	w.apply(madeRole("adm", domain.RoleOwner, domain.RoleAdmin))
	w.apply(removed("own", "own", domain.RoleOwner))
	if _, owns := before.Owners["own"]; len(before.Owners) != 1 || !owns {
		t.Errorf("the copy has the owners %v", before.Owners)
	}
	if _, owns := w.chat.Owners["adm"]; len(w.chat.Owners) != 1 || !owns {
		t.Errorf("the chat has the owners %v", w.chat.Owners)
	}
}

// TestMoves_Membership has a join move the member alone, and a change of owners the chat as well: joins must not conflict with sends.
func TestMoves_Membership(t *testing.T) {
	for _, tc := range []struct {
		e     domain.Durable
		moves []domain.Entity
	}{
		{joined("ann"), []domain.Entity{domain.MemberEntity("ann")}},
		{madeRole("ann", domain.RoleAdmin, domain.RoleMember), []domain.Entity{domain.MemberEntity("ann")}},
		{removed("own", "ann", domain.RoleAdmin), []domain.Entity{domain.MemberEntity("ann")}},
		{madeRole("ann", domain.RoleOwner, domain.RoleAdmin), []domain.Entity{domain.ChatEntity(), domain.MemberEntity("ann")}},
		{madeRole("ann", domain.RoleAdmin, domain.RoleOwner), []domain.Entity{domain.ChatEntity(), domain.MemberEntity("ann")}},
		{removed("own", "own", domain.RoleOwner), []domain.Entity{domain.ChatEntity(), domain.MemberEntity("own")}},
		{domain.Custom{Chat: "c", Type: "poll:created", Entity: "p"}, []domain.Entity{domain.CustomEntity("p")}},
		{domain.Custom{Chat: "c", Type: "poll:created"}, nil},
	} {
		if got := domain.Moves(tc.e); !reflect.DeepEqual(got, tc.moves) {
			t.Errorf("%+v moves %v, want %v", tc.e, got, tc.moves)
		}
		for _, entity := range []domain.Entity{domain.ChatEntity(), domain.MemberEntity("ann"), domain.MemberEntity("own"), domain.CustomEntity("p")} {
			moves := false
			for _, e := range tc.moves {
				moves = moves || e == entity
			}
			if domain.MovesEntity(tc.e, entity) != moves {
				t.Errorf("%+v moves %s: %t", tc.e, entity, !moves)
			}
		}
	}
}

// TestReadMark_OnlyMovesForward folds receipts that come late: a mark goes back neither in seqs nor in time.
func TestReadMark_OnlyMovesForward(t *testing.T) {
	receipt := func(message domain.MessageID, seq domain.Seq, at time.Time) domain.ReadReceipt {
		return domain.ReadReceipt{Chat: "c", User: "bob", Message: message, ReadSeq: seq, At: at}
	}
	var mark domain.ReadMark
	mark.Apply(10, receipt("m9", 9, noon))
	mark.Apply(11, receipt("m5", 5, noon.Add(-time.Minute)))
	mark.Apply(12, receipt("other", 9, noon.Add(-time.Second)))
	mark.Apply(8, sent("m8", "bob"))
	if want := (domain.ReadMark{Seq: 9, Message: "m9", ReceiptAt: noon}); mark != want {
		t.Errorf("the mark is %+v, want %+v", mark, want)
	}
	mark.Apply(13, sent("m13", "bob"))
	if want := (domain.ReadMark{Seq: 13, Message: "m13", ReceiptAt: noon}); mark != want {
		t.Errorf("the mark is %+v, want %+v", mark, want)
	}
}

// TestMessage_AfterDeletion folds an edit after the deletion, as a command that was decided before may be recorded: the tombstone stays one.
func TestMessage_AfterDeletion(t *testing.T) {
	w := given(usual(sent("m", "ann"), deleted("m", "ann"))...)
	w.apply(domain.MessageEdit{Chat: "c", Message: "m", Editor: "ann", Content: "again", Revision: 1, At: noon})
	if m := w.message("m"); m.Content != "" || m.Revision != 0 || !m.Deleted() {
		t.Errorf("the message is %+v", m)
	}
}

// TestReactions_Groups lists reactions of several emojis, in the order in which they came.
func TestReactions_Groups(t *testing.T) {
	var r domain.Reactions
	for i, reacted := range []domain.Reaction{{User: "bob", Emoji: "🍅"}, {User: "cem", Emoji: "👍"}, {User: "ann", Emoji: "🍅"}, {User: "ann", Emoji: "👍"}} {
		r.Apply(domain.Seq(i+1), domain.MessageReaction{User: reacted.User, Emoji: reacted.Emoji, Action: domain.ReactionAdd}) //nolint:gosec // an index
	}
	want := []domain.ReactionGroup{{Emoji: "🍅", Users: []domain.UserID{"bob", "ann"}}, {Emoji: "👍", Users: []domain.UserID{"cem", "ann"}}}
	if got := r.Groups(); !reflect.DeepEqual(got, want) || r.Len() != 4 {
		t.Errorf("%d in the groups %v, want %v", r.Len(), got, want)
	}
	for range r.All() {
		break // a caller may stop
	}
}
