package domain

import (
	"maps"
	"time"
)

// Visibility says who may see and join a chat.
type Visibility uint8

// The visibilities of a chat.
const (
	Private Visibility = iota + 1 // members alone see it, and add others; the default
	Public                        // everybody may join
)

// Action is something that takes a role, which the policy of a group may change.
type Action uint8

// The actions of a policy. Roles, archiving, the policy itself and acts on admins and owners are for owners, and the deletion of others' messages for admins, whatever
// the policy says.
const (
	ActionPost       Action = iota + 1 // a message on the main timeline
	ActionReply                        // a message in a thread
	ActionReact                        // a reaction; its removal is always allowed
	ActionRecord                       // a custom event
	ActionMentionAll                   // a mention of all members
	ActionPin                          // a pin, and its removal
	ActionMetadata
	ActionRename
	ActionAdd
	ActionRemove   // of a plain member
	ActionRestrict // a ban or a mute of a plain member
)

// Actions is the number of actions, and the last action.
const Actions = ActionRestrict

// DefaultRole returns the role that an action takes if the policy does not say otherwise.
func (a Action) DefaultRole() Role {
	switch a {
	case ActionPost, ActionReply, ActionReact, ActionRecord:
		return RoleMember
	case ActionMentionAll, ActionPin, ActionMetadata, ActionRename, ActionAdd, ActionRemove, ActionRestrict:
		return RoleAdmin
	}
	return RoleOwner
}

// LowestRole returns the lowest role that a policy may give an action.
func (a Action) LowestRole() Role {
	if a == ActionRemove || a == ActionRestrict {
		return RoleAdmin
	}
	return RoleMember
}

// RoleFor returns the role that an action takes in the chat. In a direct chat both participants may do everything that it takes.
func (c Chat) RoleFor(a Action) Role {
	if c.Kind == Direct {
		return RoleMember
	}
	if role, set := c.Permissions[a]; set {
		return role
	}
	return a.DefaultRole()
}

// IsPublic reports whether everybody may join the chat.
func (c Chat) IsPublic() bool { return c.Visibility == Public }

// PolicyChange is a change of a chat's policy. Settings that it lacks stay as they are.
type PolicyChange struct {
	Visibility  Visibility
	Permissions map[Action]Role // NoRole gives an action its default again
}

// Check returns an [*InvalidError] if the change is not valid.
func (p PolicyChange) Check() error {
	if p.Visibility > Public {
		return &InvalidError{Field: "visibility", Problem: "is " + p.Visibility.String(), Allowed: "private, public"}
	}
	if p.Visibility == 0 && len(p.Permissions) == 0 {
		return &InvalidError{Field: "policy", Problem: "changes nothing", Allowed: "a visibility, permissions or both"}
	}
	for action, role := range p.Permissions {
		if action < ActionPost || action > Actions {
			return &InvalidError{Field: "permissions", Problem: "has the action " + action.String(), Allowed: "one that this version knows"}
		}
		if role != NoRole && (role < action.LowestRole() || role > RoleOwner) {
			return &InvalidError{Field: "permissions." + action.String(), Problem: "is " + role.String(), Allowed: action.LowestRole().String() + " to owner, or the default"}
		}
	}
	return nil
}

// SetPolicy changes the policy of a group; an owner may. Settings that the chat has already are left out; without others there is no event.
func (c Chat) SetPolicy(by Member, p PolicyChange, at time.Time) ([]Durable, error) {
	if err := firstOf(c.permit(by, NoRole, "change the policy of"), c.notDirect("a policy"), c.permit(by, RoleOwner, "change the policy of"), p.Check()); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no policy until it is unarchived", c.ID)
	}
	e := ChatPolicy{Chat: c.ID, Actor: by.User, At: at}
	if p.Visibility != 0 && (p.Visibility == Public) != c.IsPublic() {
		e.Visibility = p.Visibility
	}
	for action, role := range p.Permissions {
		if c.Permissions[action] != role {
			if e.Permissions == nil {
				e.Permissions = make(map[Action]Role)
			}
			e.Permissions[action] = role
		}
	}
	if e.Visibility == 0 && e.Permissions == nil {
		return nil, nil
	}
	return []Durable{e}, nil
}

// applyPolicy folds a change of the policy.
func (c *Chat) applyPolicy(e ChatPolicy) {
	if e.Visibility != 0 {
		c.Visibility = e.Visibility
	}
	if len(e.Permissions) == 0 {
		return
	}
	c.Permissions = maps.Clone(c.Permissions)
	if c.Permissions == nil {
		c.Permissions = make(map[Action]Role)
	}
	for action, role := range e.Permissions {
		if role == NoRole {
			delete(c.Permissions, action)
		} else {
			c.Permissions[action] = role
		}
	}
}

// Join makes the user itself a plain member of a public chat. A member already: no event. A private chat is [ErrForbidden], and [ErrBanned] is for a banned user.
func (c Chat) Join(by Member, at time.Time) ([]Durable, error) {
	switch {
	case !c.Exists():
		return nil, refuse(ErrChatNotFound, "chat %q was never created", c.ID)
	case c.Deleted():
		return nil, refuse(ErrChatDeleted, "chat %q was deleted by %q", c.ID, c.DeletedBy)
	case by.Current():
		return nil, nil
	case c.Kind == Direct:
		return nil, c.notDirect("joins")
	case !c.IsPublic():
		return nil, refuse(ErrForbidden, "chat %q is private: a member adds others", c.ID)
	}
	if err := by.joinable(c.ID, at); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no new members until it is unarchived", c.ID)
	}
	return c.update(ChatUpdate{Actor: by.User, Change: MemberAdded, User: by.User, Role: RoleMember, At: at}), nil
}
