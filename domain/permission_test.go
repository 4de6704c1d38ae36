package domain_test

import (
	"testing"

	"chatcore/domain"
)

func policy(visibility domain.Visibility, permissions map[domain.Action]domain.Role) domain.ChatPolicy {
	return domain.ChatPolicy{Chat: "c", Actor: "own", Visibility: visibility, Permissions: permissions, At: noon}
}

// TestPolicy_Defaults compares the defaults of the actions with the rules of chats without a policy.
func TestPolicy_Defaults(t *testing.T) {
	for action, decide := range actions() {
		for by, role := range map[domain.UserID]domain.Role{"ann": domain.RoleMember, "adm": domain.RoleAdmin, "own": domain.RoleOwner} {
			checkAllowed(t, action, by, role >= action.DefaultRole(), usual(sent("m", "own")), decide)
		}
	}
}

// TestPolicy_Permissions gives each action each role that it may have.
func TestPolicy_Permissions(t *testing.T) {
	for action, decide := range actions() {
		for needed := action.LowestRole(); needed <= domain.RoleOwner; needed++ {
			history := usual(sent("m", "own"), policy(0, map[domain.Action]domain.Role{action: needed}))
			for by, role := range map[domain.UserID]domain.Role{"ann": domain.RoleMember, "adm": domain.RoleAdmin, "own": domain.RoleOwner} {
				checkAllowed(t, action, by, role >= needed, history, decide)
			}
			history = append(history, policy(0, map[domain.Action]domain.Role{action: domain.NoRole}))
			checkAllowed(t, action, "ann", action.DefaultRole() == domain.RoleMember, history, decide)
		}
	}
}

// actions are the actions that commands of this version take.
func actions() map[domain.Action]func(by domain.UserID) decision {
	return map[domain.Action]func(by domain.UserID) decision{
		domain.ActionPost: func(by domain.UserID) decision {
			return func(w *world) ([]domain.Durable, error) {
				return w.chat.Post(w.member(by), w.message("new"), domain.Draft{ID: "new", Content: "hi"}, domain.Referred{}, noon)
			}
		},
		domain.ActionReact: func(by domain.UserID) decision {
			return func(w *world) ([]domain.Durable, error) {
				return w.chat.React(w.member(by), w.message("m"), w.reacted("m"), "👍", noon)
			}
		},
		domain.ActionRecord: func(by domain.UserID) decision {
			return func(w *world) ([]domain.Durable, error) {
				return w.chat.Record(w.member(by), domain.Custom{Type: "poll:created"}, noon)
			}
		},
		domain.ActionRename: func(by domain.UserID) decision {
			return func(w *world) ([]domain.Durable, error) { return w.chat.Rename(w.member(by), "x", noon) }
		},
		domain.ActionAdd: func(by domain.UserID) decision {
			return func(w *world) ([]domain.Durable, error) {
				return w.chat.Add(w.member(by), w.member("eve"), "eve", noon)
			}
		},
		domain.ActionRemove: func(by domain.UserID) decision {
			return func(w *world) ([]domain.Durable, error) { return w.chat.Remove(w.member(by), w.member("bob"), noon) }
		},
		domain.ActionRestrict: func(by domain.UserID) decision {
			return restricting(by, "bob", domain.RestrictionChange{Kind: domain.Mute})
		},
	}
}

func checkAllowed(t *testing.T, action domain.Action, by domain.UserID, allowed bool, history []domain.Durable, decide func(by domain.UserID) decision) {
	t.Helper()
	r := rule{name: action.String() + " by " + string(by), given: history, when: decide(by), err: domain.ErrForbidden}
	if allowed {
		r.err = nil
		r.then, _ = r.when(given(history...)) // any
		if len(r.then) == 0 {
			t.Errorf("%s: no event", r.name)
		}
	}
	checkRules(t, []rule{r})
}

func TestPolicy(t *testing.T) {
	set := func(by domain.UserID, p domain.PolicyChange) decision {
		return on(by, func(c domain.Chat, m domain.Member) ([]domain.Durable, error) { return c.SetPolicy(m, p, noon) })
	}
	permit := func(a domain.Action, r domain.Role) domain.PolicyChange {
		return domain.PolicyChange{Permissions: map[domain.Action]domain.Role{a: r}}
	}
	public := policy(domain.Public, nil)
	join := func(by domain.UserID) decision {
		return on(by, func(c domain.Chat, m domain.Member) ([]domain.Durable, error) { return c.Join(m, noon) })
	}
	joins := change("eve", domain.MemberAdded)
	joins.User, joins.Role = "eve", domain.RoleMember
	posts := policy(0, map[domain.Action]domain.Role{domain.ActionPost: domain.RoleAdmin})
	checkRules(t, []rule{
		{"an owner", usual(), set("own", domain.PolicyChange{Visibility: domain.Public}), []domain.Durable{public}, nil},
		{"an admin", usual(), set("adm", domain.PolicyChange{Visibility: domain.Public}), nil, domain.ErrForbidden},
		{"an outsider", usual(), set("eve", domain.PolicyChange{Visibility: domain.Public}), nil, domain.ErrNotMember},
		{"archived", usual(change("own", domain.Archived)), set("own", domain.PolicyChange{Visibility: domain.Public}), nil, domain.ErrArchived},
		{"private already", usual(), set("own", domain.PolicyChange{Visibility: domain.Private}), nil, nil},
		{"public already", usual(public), set("own", domain.PolicyChange{Visibility: domain.Public}), nil, nil},
		{"private again", usual(public), set("own", domain.PolicyChange{Visibility: domain.Private}), []domain.Durable{policy(domain.Private, nil)}, nil},
		{"a permission", usual(), set("own", permit(domain.ActionPost, domain.RoleAdmin)), []domain.Durable{posts}, nil},
		{"the same again", usual(posts), set("own", permit(domain.ActionPost, domain.RoleAdmin)), nil, nil},
		{"the default", usual(posts), set("own", permit(domain.ActionPost, domain.NoRole)), []domain.Durable{policy(0, map[domain.Action]domain.Role{domain.ActionPost: domain.NoRole})}, nil},
		{"the default already", usual(), set("own", permit(domain.ActionPost, domain.NoRole)), nil, nil},
		{"nothing", usual(), set("own", domain.PolicyChange{}), nil, domain.ErrInvalid},
		{"an unknown visibility", usual(), set("own", domain.PolicyChange{Visibility: domain.Public + 1}), nil, domain.ErrInvalid},
		{"an unknown action", usual(), set("own", permit(domain.Actions+1, domain.RoleMember)), nil, domain.ErrInvalid},
		{"an unknown role", usual(), set("own", permit(domain.ActionPost, domain.RoleOwner+1)), nil, domain.ErrInvalid},
		{"members remove", usual(), set("own", permit(domain.ActionRemove, domain.RoleMember)), nil, domain.ErrInvalid},
		{"members restrict", usual(), set("own", permit(domain.ActionRestrict, domain.RoleMember)), nil, domain.ErrInvalid},

		{"join", usual(public), join("eve"), []domain.Durable{joins}, nil},
		{"join as a member", usual(public), join("ann"), nil, nil},
		{"join a private chat", usual(), join("eve"), nil, domain.ErrForbidden},
		{"join a private chat again", usual(public, policy(domain.Private, nil)), join("eve"), nil, domain.ErrForbidden},
		{"join an archived chat", usual(public, change("own", domain.Archived)), join("eve"), nil, domain.ErrArchived},
		{"join a deleted chat", usual(public, domain.ChatDeleted{Chat: "c", By: "own", At: noon}), join("eve"), nil, domain.ErrChatDeleted},
		{"join no chat", nil, join("eve"), nil, domain.ErrChatNotFound},
	})
	var untouched domain.Chat
	for _, e := range usual(posts) {
		untouched.Apply(1, e)
	}
	clone, _ := untouched.Clone().(*domain.Chat)
	clone.Apply(9, policy(0, map[domain.Action]domain.Role{domain.ActionPost: domain.RoleOwner}))
	if untouched.RoleFor(domain.ActionPost) != domain.RoleAdmin || clone.RoleFor(domain.ActionPost) != domain.RoleOwner {
		t.Errorf("a clone shares its policy: %v and %v", untouched.Permissions, clone.Permissions)
	}
}
