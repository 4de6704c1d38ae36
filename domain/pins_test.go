package domain_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
)

func pinned(id domain.MessageID, by domain.UserID, put bool) domain.MessagePin {
	return domain.MessagePin{Chat: "c", Message: id, Sent: 6, Actor: by, Pinned: put, At: noon}
}

func TestPins(t *testing.T) {
	m := sent("m", "ann")
	pins := func(w *world) *domain.Pins { return entry(w.pins, "", domain.Pins{}) }
	pin := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) {
			return w.chat.Pin(w.member(by), w.message("m"), pins(w), 2, noon)
		}
	}
	unpin := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.chat.Unpin(w.member(by), w.message("m"), noon) }
	}
	remove := func(by domain.UserID) decision {
		return func(w *world) ([]domain.Durable, error) { return w.message("m").Delete(w.member(by), "", noon) }
	}
	gone := deleted("m", "ann")
	gone.Pinned = true
	reply := m
	reply.Thread = "root"
	other := func(id domain.MessageID) domain.MessagePin {
		p := pinned(id, "adm", true)
		p.Sent = 9
		return p
	}
	put, taken := []domain.Durable{pinned("m", "adm", true)}, []domain.Durable{pinned("m", "adm", false)}
	open := policy(0, map[domain.Action]domain.Role{domain.ActionPin: domain.RoleMember})
	asAnn := pinned("m", "ann", true)
	asAnn.Sent = 7
	asBob := pinned("m", "bob", true)
	asBob.Sent = 3
	checkRules(t, []rule{
		{"an admin pins", usual(m), pin("adm"), put, nil},
		{"a member does not", usual(m), pin("ann"), nil, domain.ErrForbidden},
		{"a member may if the policy says so", usual(open, m), pin("ann"), []domain.Durable{asAnn}, nil},
		{"an outsider", usual(m), pin("eve"), nil, domain.ErrNotMember},
		{"pinned already", usual(m, pinned("m", "own", true)), pin("adm"), nil, nil},
		{"again after it was removed", usual(m, pinned("m", "own", true), pinned("m", "own", false)), pin("adm"), put, nil},
		{"no such message", usual(), pin("adm"), nil, domain.ErrMessageNotFound},
		{"deleted", usual(m, deleted("m", "ann")), pin("adm"), nil, domain.ErrMessageDeleted},
		{"erased", usual(m, deleted("m", "ann"), domain.MessageErased{Chat: "c", Message: "m", Sent: 6, By: "ann", At: noon}), pin("adm"), nil, domain.ErrMessageDeleted},
		{"archived", usual(m, change("own", domain.Archived)), pin("adm"), nil, domain.ErrArchived},
		{"a muted admin", usual(m, restricted("own", "adm", domain.Mute, noon.Add(time.Hour))), pin("adm"), nil, domain.ErrMuted},
		{"a reply in a thread", usual(reply), pin("adm"), put, nil},
		{"one too many", usual(m, other("x"), other("y")), pin("adm"), nil, domain.ErrCapReached},
		{"a slot is free after a delete", usual(m, other("x"), other("y"), domain.MessageDelete{Chat: "c", Message: "y", By: "ann", Sent: 9, Pinned: true, At: noon}), pin("adm"), put, nil},
		{"both may in a direct chat", direct(m), pin("bob"), []domain.Durable{asBob}, nil},
		{"in a blocked direct chat", direct(m, restricted("ann", "bob", domain.Block, time.Time{})), pin("bob"), nil, domain.ErrBlocked},
		{"unpin", usual(m, pinned("m", "own", true)), unpin("adm"), taken, nil},
		{"unpin by a member", usual(m, pinned("m", "own", true)), unpin("ann"), nil, domain.ErrForbidden},
		{"unpin in an archived chat", usual(m, pinned("m", "own", true), change("own", domain.Archived)), unpin("adm"), nil, domain.ErrArchived},
		{"unpin what is not pinned", usual(m), unpin("adm"), nil, nil},
		{"unpin a deleted one", usual(m, pinned("m", "own", true), gone), unpin("adm"), nil, nil},
		{"unpin no message", usual(), unpin("adm"), nil, domain.ErrMessageNotFound},
		{"the author deletes a message that an admin pinned", usual(m, pinned("m", "adm", true)), remove("ann"), []domain.Durable{gone}, nil},
		{"the pinner leaves", usual(m, pinned("m", "adm", true), removed("adm", "adm", domain.RoleAdmin)), func(w *world) ([]domain.Durable, error) {
			if len(pins(w).List) != 1 || !w.message("m").Pinned() {
				t.Error("the pin left with its user")
			}
			return nil, nil
		}, nil, nil},
	})
}

// TestPins_Fold folds random pins and deletions and compares the list with a plain one. A clone does not change.
func TestPins_Fold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		state, plain := &domain.Pins{}, []domain.MessageID{}
		for i := range rapid.IntRange(1, 20).Draw(t, "events") {
			id := domain.MessageID(fmt.Sprint("m", rapid.IntRange(0, 3).Draw(t, "message")))
			var e domain.Durable = domain.MessagePin{Message: id, Pinned: true}
			there := slices.Contains(plain, id)
			before := slices.Clone(plain)
			switch {
			case !there:
				plain = append(plain, id)
			case rapid.Bool().Draw(t, "delete"):
				e = domain.MessageDelete{Message: id, Pinned: true}
			default:
				e = domain.MessagePin{Message: id}
			}
			if there {
				plain = slices.DeleteFunc(plain, func(p domain.MessageID) bool { return p == id })
			}
			clone, _ := state.Clone().(*domain.Pins)
			clone.Apply(domain.Seq(i+1), e) //nolint:gosec // an index
			if got := pinnedIDs(state); !slices.Equal(got, before) {
				t.Fatalf("a clone shares its list: %v, want %v", got, before)
			}
			if state = clone; !slices.Equal(pinnedIDs(state), plain) {
				t.Fatalf("%v, want %v", pinnedIDs(state), plain)
			}
		}
	})
}

func pinnedIDs(p *domain.Pins) []domain.MessageID {
	ids := []domain.MessageID{}
	for _, pin := range p.List {
		ids = append(ids, pin.Message)
	}
	return ids
}
