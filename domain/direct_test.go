package domain_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// rule is a row of a table of rules: what a decision says in a chat with a history.
type rule struct {
	name  string
	given []domain.Durable
	when  decision
	then  []domain.Durable
	err   error
}

func checkRules(t *testing.T, rules []rule) {
	t.Helper()
	for _, r := range rules {
		events, err := r.when(given(r.given...))
		if !errors.Is(err, r.err) || (err == nil) != (r.err == nil) {
			t.Errorf("%s: %v, want %v", r.name, err, r.err)
		}
		if len(events)+len(r.then) > 0 && !reflect.DeepEqual(events, r.then) {
			t.Errorf("%s: %+v, want %+v", r.name, events, r.then)
		}
	}
}

// direct is a direct chat of ann and bob.
func direct(more ...domain.Durable) []domain.Durable {
	created, joins := change("ann", domain.Created), change("ann", domain.MemberAdded)
	created.Kind, joins.User, joins.Role = domain.Direct, "bob", domain.RoleOwner
	return append([]domain.Durable{created, joins}, more...)
}

func restricted(actor, user domain.UserID, kind domain.RestrictionKind, until time.Time) domain.MemberRestriction {
	return domain.MemberRestriction{Chat: "c", Actor: actor, User: user, Kind: kind, Until: until, At: noon}
}

func lifted(actor, user domain.UserID, kind domain.RestrictionKind) domain.MemberRestriction {
	r := restricted(actor, user, kind, time.Time{})
	r.Lifted = true
	return r
}

// The decisions of the tables of this file and the next ones.

func posting(by domain.UserID, at time.Time) decision {
	return func(w *world) ([]domain.Durable, error) {
		return w.chat.Post(w.member(by), w.message("m"), domain.Draft{ID: "m", Content: "hi"}, domain.Referred{}, at)
	}
}

func restricting(by, user domain.UserID, r domain.RestrictionChange) decision {
	return func(w *world) ([]domain.Durable, error) {
		return w.chat.Restrict(w.member(by), w.member(user), r, noon)
	}
}

func blocking(by, user domain.UserID, lift bool) decision {
	return func(w *world) ([]domain.Durable, error) {
		return w.chat.Block("c", w.member(by), w.member(user), domain.RestrictionChange{Kind: domain.Block, Lift: lift}, noon)
	}
}

func opening(by, with domain.UserID) decision {
	return func(w *world) ([]domain.Durable, error) {
		return w.chat.OpenDirect("c", w.member(by), w.member(with), noon)
	}
}

// on is a decision about the chat by a user.
func on(by domain.UserID, decide func(c domain.Chat, by domain.Member) ([]domain.Durable, error)) decision {
	return func(w *world) ([]domain.Durable, error) { return decide(w.chat, w.member(by)) }
}

func TestDirectChat(t *testing.T) {
	notes := change("ann", domain.Created)
	notes.Kind = domain.Direct
	posted := []domain.Durable{domain.MessageNew{Chat: "c", Message: "m", Sender: "bob", Content: "hi", At: noon}}
	back := change("ann", domain.MemberAdded)
	back.User, back.Role = "bob", domain.RoleOwner
	gone := removed("bob", "bob", domain.RoleOwner)
	wiped := domain.ChatDeleted{Chat: "c", By: "service", At: noon}
	block := restricted("ann", "bob", domain.Block, time.Time{})
	edit := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.message("m").Edit(w.member(by), domain.Revision{Content: "ho"}, domain.Referred{}, 0, noon)
		}
	}
	rules := []rule{
		{"the first one creates it", nil, opening("ann", "bob"), direct(), nil},
		{"open already", direct(), opening("bob", "ann"), nil, nil},
		{"notes", nil, opening("ann", "ann"), []domain.Durable{notes}, nil},
		{"notes again", []domain.Durable{notes}, opening("ann", "ann"), nil, nil},
		{"a group has the id", usual(), opening("ann", "bob"), nil, domain.ErrChatExists},
		{"others", direct(), opening("eve", "ann"), nil, domain.ErrChatExists},
		{"it was deleted", direct(wiped), opening("ann", "bob"), nil, domain.ErrChatDeleted},
		{"it was deleted, and one is still there", direct(gone, wiped), opening("bob", "ann"), nil, domain.ErrChatDeleted},
		{"it begins again", direct(wiped, removed("service", "ann", domain.RoleOwner), removed("service", "bob", domain.RoleOwner)), opening("ann", "bob"), direct(), nil},
		{"it begins again with its blocks", direct(block, wiped, removed("service", "ann", domain.RoleOwner), removed("service", "bob", domain.RoleOwner)), opening("ann", "bob"), direct(block), nil},
		{"a block begins it again", direct(wiped, removed("service", "ann", domain.RoleOwner), removed("service", "bob", domain.RoleOwner)), blocking("ann", "bob", false), direct(block), nil},
		{"a block that was set before the deletion", direct(block, wiped, removed("service", "ann", domain.RoleOwner), removed("service", "bob", domain.RoleOwner)), blocking("ann", "bob", false), direct(block), nil},
		{"others do not begin it again", direct(wiped), opening("eve", "ann"), nil, domain.ErrChatExists},
		{"a deleted group has the id", usual(wiped), opening("ann", "bob"), nil, domain.ErrChatExists},
		{"both post", direct(), posting("bob", noon), posted, nil},
		{"outsiders do not", direct(), posting("eve", noon), nil, domain.ErrNotMember},

		{"block", direct(), blocking("ann", "bob", false), []domain.Durable{block}, nil},
		{"block before it is open", nil, blocking("ann", "bob", false), append(direct(), block), nil},
		{"lift before it is open", nil, blocking("ann", "bob", true), nil, domain.ErrChatNotFound},
		{"block oneself", nil, blocking("ann", "ann", false), nil, domain.ErrChatNotFound},
		{"blocked already", direct(block), blocking("ann", "bob", false), nil, nil},
		{"an outsider blocks", direct(), blocking("eve", "ann", false), nil, domain.ErrNotMember},
		{"block an outsider", direct(), blocking("ann", "eve", false), nil, domain.ErrInvalid},
		{"the blocked one posts", direct(block), posting("bob", noon), nil, domain.ErrBlocked},
		{"the one who blocks posts", direct(block), posting("ann", noon), nil, domain.ErrBlocked},
		{"the blocked one edits", direct(sent("m", "bob"), block), edit("bob"), nil, domain.ErrBlocked},
		{"the one who blocks edits", direct(sent("m", "ann"), block), edit("ann"), []domain.Durable{
			domain.MessageEdit{Chat: "c", Message: "m", Editor: "ann", Content: "ho", Revision: 1, Sent: 3, At: noon},
		}, nil},
		{"the blocked one deletes", direct(sent("m", "bob"), block), func(w *world) ([]domain.Durable, error) {
			return w.message("m").Delete(w.member("bob"), "", noon)
		}, []domain.Durable{domain.MessageDelete{Chat: "c", Message: "m", By: "bob", Sent: 3, At: noon}}, nil},
		{"the blocked one reacts", direct(sent("m", "ann"), block), func(w *world) ([]domain.Durable, error) {
			return w.chat.React(w.member("bob"), w.message("m"), w.reacted("m"), "👍", noon)
		}, nil, domain.ErrBlocked},
		{"the blocked one takes a reaction back", direct(sent("m", "ann"), reaction("m", "bob", domain.ReactionAdd), block), func(w *world) ([]domain.Durable, error) {
			return w.chat.Unreact(w.member("bob"), w.message("m"), w.reacted("m"), "👍", noon)
		}, []domain.Durable{reaction("m", "bob", domain.ReactionRemove)}, nil},
		{"the blocked one reads", direct(sent("m", "ann"), block), func(w *world) ([]domain.Durable, error) {
			return w.mark("bob").Advance(w.member("bob"), w.message("m"), w.head, 0, noon)
		}, []domain.Durable{domain.ReadReceipt{Chat: "c", User: "bob", Message: "m", ReadSeq: 3, At: noon}}, nil},
		{"the blocked one types", direct(block), func(w *world) ([]domain.Durable, error) {
			_, err := domain.TypingMark{}.Start(w.chat, w.member("bob"), noon)
			return nil, err
		}, nil, domain.ErrBlocked},
		{"who blocks lifts", direct(block), blocking("ann", "bob", true), []domain.Durable{lifted("ann", "bob", domain.Block)}, nil},
		{"the blocked one lifts", direct(block), blocking("bob", "ann", true), nil, domain.ErrForbidden},
		{"nothing to lift", direct(), blocking("bob", "ann", true), nil, nil},
		{"lifted", direct(block, lifted("ann", "bob", domain.Block)), posting("bob", noon), posted, nil},
		{"both block, one lifts", direct(block, restricted("bob", "ann", domain.Block, time.Time{}), lifted("ann", "bob", domain.Block)), posting("bob", noon), nil, domain.ErrBlocked},

		{"the other one has left", direct(gone), posting("ann", noon), nil, domain.ErrPeerGone},
		{"open again", direct(gone), opening("ann", "bob"), []domain.Durable{back}, nil},
		{"back again", direct(gone, back), posting("bob", noon), posted, nil},
		{"who has left opens it", direct(gone), opening("bob", "ann"), []domain.Durable{func() domain.ChatUpdate { u := back; u.Actor = "bob"; return u }()}, nil},
	}
	member := domain.Member{User: "bob", Role: domain.RoleOwner}
	for what, decide := range map[string]func(c domain.Chat, by domain.Member) ([]domain.Durable, error){
		"rename": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) { return c.Rename(by, "x", noon) },
		"add": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
			return c.Add(by, domain.Member{}, "eve", noon)
		},
		"remove": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) { return c.Remove(by, member, noon) },
		"leave":  func(c domain.Chat, by domain.Member) ([]domain.Durable, error) { return c.Leave(by, noon) },
		"demote": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
			return c.Demote(by, member, domain.RoleMember, noon)
		},
		"promote": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
			return c.Promote(by, member, domain.RoleOwner, noon)
		},
		"archive":   func(c domain.Chat, by domain.Member) ([]domain.Durable, error) { return c.Archive(by, noon) },
		"unarchive": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) { return c.Unarchive(by, noon) },
		"policy": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
			return c.SetPolicy(by, domain.PolicyChange{Visibility: domain.Public}, noon)
		},
		"delete": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) { return c.Delete(by, "", noon) },
		"bulk add": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
			events, _, err := c.AddAll(by, []domain.Member{{User: "eve"}}, nil, noon)
			return events, err
		},
		"ban": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
			return c.Restrict(by, member, domain.RestrictionChange{Kind: domain.Ban}, noon)
		},
		"mute": func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
			return c.Restrict(by, member, domain.RestrictionChange{Kind: domain.Mute}, noon)
		},
	} {
		rules = append(rules, rule{what + " a direct chat", direct(), on("ann", decide), nil, domain.ErrDirect})
	}
	rules = append(rules, rule{"join a direct chat", direct(), on("eve", func(c domain.Chat, by domain.Member) ([]domain.Durable, error) {
		return c.Join(by, noon)
	}), nil, domain.ErrDirect})
	checkRules(t, rules)
}

// TestDirectID fixes the ids of direct chats: they are in logs.
func TestDirectID(t *testing.T) {
	for id, users := range map[domain.ChatID][2]domain.UserID{
		"dm-8ef87c0b894ced103692d4eacd6e18c30f2178b2707932bdeccbeb6df88ceb31": {"ada", "ben"},
		"dm-19b3300da8b8362d07545e718c8573eae38d19ca12f45a2e280dc727f6ef3077": {"ada", "ada"},
		"dm-2fd9ed9427a9ce1308ac7d3631dead79a87d5e1ac34ee69b67cf3bf9f5524da6": {"ab", "c"},
		"dm-88dd643ec6bb58bcfe970d0e146b523a6cd0e821fc09a0d0d767dc3c86b20dca": {"a", "bc"},
	} {
		if got := domain.DirectID(users[0], users[1]); got != id {
			t.Errorf("%q is %s, want %s", users, got, id)
		}
	}
	user := rapid.StringMatching(`[abc]{1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) domain.UserID { return domain.UserID(user.Draw(t, name)) }
		a, b, c, d := draw("a"), draw("b"), draw("c"), draw("d")
		id := domain.DirectID(a, b)
		if id != domain.DirectID(b, a) || domain.ReservedChatID(id) == nil {
			t.Fatalf("%q and %q have %s and %s", a, b, id, domain.DirectID(b, a))
		}
		if same := a == c && b == d || a == d && b == c; same != (id == domain.DirectID(c, d)) {
			t.Fatalf("%q with %q and %q with %q have the same id: %t", a, b, c, d, !same)
		}
	})
}

func TestChat_Peer(t *testing.T) {
	w := given(direct()...)
	for user, peer := range map[domain.UserID]domain.UserID{"ann": "bob", "bob": "ann", "eve": ""} {
		if got := w.chat.Peer(user); got != peer {
			t.Errorf("the peer of %q is %q, want %q", user, got, peer)
		}
	}
	if peer := given(usual()...).chat.Peer("ann"); peer != "" {
		t.Errorf("a group has the peer %q", peer)
	}
}
