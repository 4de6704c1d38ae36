package domain_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
)

func departing(user, successor domain.UserID, d domain.Departure) decision {
	return func(w *world) ([]domain.Durable, error) {
		if successor != "" {
			d.Successor = w.member(successor)
		}
		return w.chat.Depart(w.member(user), d, noon)
	}
}

func TestDepart(t *testing.T) {
	owner := func(user domain.UserID, before domain.Role) domain.ChatUpdate {
		u := change("own", domain.RoleChanged)
		u.User, u.Role, u.Previous = user, domain.RoleOwner, before
		return u
	}
	second := owner("adm", domain.RoleAdmin)
	archived, reopened := change("own", domain.Archived), change("own", domain.Unarchived)
	left := removed("own", "own", domain.RoleOwner)
	alone := []domain.Durable{change("own", domain.Created)}
	deleted := domain.ChatDeleted{Chat: "c", By: "service", At: noon}
	ban := restricted("own", "bob", domain.Mute, noon.Add(1e9))
	checkRules(t, []rule{
		{"a plain member", usual(), departing("ann", "", domain.Departure{}), []domain.Durable{removed("ann", "ann", domain.RoleMember)}, nil},
		{"an admin", usual(), departing("adm", "", domain.Departure{}), []domain.Durable{removed("adm", "adm", domain.RoleAdmin)}, nil},
		{"one of two owners", usual(second), departing("own", "", domain.Departure{}), []domain.Durable{left}, nil},
		{"an outsider", usual(), departing("eve", "", domain.Departure{}), nil, nil},
		{"a muted member", usual(ban), departing("bob", "", domain.Departure{}), []domain.Durable{removed("bob", "bob", domain.RoleMember)}, nil},
		{"the last owner", usual(), departing("own", "", domain.Departure{}), nil, domain.ErrLastOwner},
		{"the last owner with a successor", usual(), departing("own", "adm", domain.Departure{}), []domain.Durable{second, left}, nil},
		{"the last owner with a plain member as successor", usual(), departing("own", "bob", domain.Departure{}), []domain.Durable{owner("bob", domain.RoleMember), left}, nil},
		{"a successor who has left", usual(removed("adm", "adm", domain.RoleAdmin)), departing("own", "adm", domain.Departure{}), nil, domain.ErrLastOwner},
		{"the successor of oneself", usual(), departing("own", "own", domain.Departure{}), nil, domain.ErrLastOwner},
		{"a successor that is not needed", usual(second), departing("own", "bob", domain.Departure{}), []domain.Durable{left}, nil},
		{"the only member", alone, departing("own", "", domain.Departure{Alone: true}), []domain.Durable{archived}, nil},
		{"the only member of an archived chat", append(alone, archived), departing("own", "", domain.Departure{Alone: true}), []domain.Durable{left}, nil},
		{"a successor who came meanwhile", usual(archived), departing("own", "adm", domain.Departure{Reopen: true}), []domain.Durable{reopened, second, left}, nil},
		{"an archived chat stays archived", usual(archived), departing("own", "adm", domain.Departure{}), []domain.Durable{second, left}, nil},
		{"a direct chat", direct(), departing("bob", "", domain.Departure{}), []domain.Durable{removed("bob", "bob", domain.RoleOwner)}, nil},
		{"the second of a direct chat", direct(removed("bob", "bob", domain.RoleOwner)), departing("ann", "", domain.Departure{}), []domain.Durable{removed("ann", "ann", domain.RoleOwner)}, nil},
		{"a chat that is being deleted", usual(deleted), departing("own", "", domain.Departure{}), []domain.Durable{left}, nil},
	})
}

// TestDepart_KeepsAnOwner has users depart from random groups: as long as somebody is a member, somebody is owner.
func TestDepart_KeepsAnOwner(t *testing.T) {
	users := []domain.UserID{"own", "adm", "ann", "bob"}
	rapid.Check(t, func(t *rapid.T) {
		w := given(usual()...)
		for _, user := range rapid.Permutation(users).Draw(t, "departures") {
			var d domain.Departure
			if others := w.others(user); len(others) > 0 {
				d.Successor = w.member(rapid.SampledFrom(others).Draw(t, "successor"))
			} else {
				d.Alone = true
			}
			for range 2 { // the second decision leaves an archived chat
				events, err := w.chat.Depart(w.member(user), d, noon)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range events {
					w.apply(e)
				}
			}
			if w.member(user).Current() {
				t.Fatalf("%s is still a member", user)
			}
			if there := len(w.others("")); (there > 0) != (len(w.chat.Owners) > 0) || (there == 0) != w.chat.Archived {
				t.Fatalf("%d members, owners %v, archived %t", there, w.chat.Owners, w.chat.Archived)
			}
		}
	})
}

// TestDepart_Rejoin has an admin and a muted user depart and join again: the role is gone, and the mute is not.
func TestDepart_Rejoin(t *testing.T) {
	w := given(usual(restricted("own", "adm", domain.Mute, noon.Add(1e9)), removed("adm", "adm", domain.RoleAdmin))...)
	events, err := w.chat.Add(w.member("own"), w.member("adm"), "adm", noon)
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, error %v", events, err)
	}
	w.apply(events[0])
	if m := w.member("adm"); m.Role != domain.RoleMember || !m.Muted.InForce(noon) {
		t.Errorf("%+v", m)
	}
}

// others returns the members beside a user.
func (w *world) others(user domain.UserID) (others []domain.UserID) {
	for id, m := range w.members {
		if id != user && m.Current() {
			others = append(others, id)
		}
	}
	slices.Sort(others)
	return others
}
