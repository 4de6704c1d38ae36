package domain

import (
	"maps"
	"time"
)

// Chat is a conversation: its title, its owners, and whether it is archived. Its other members are separate entities, so that a join does not
// conflict with a send.
//
// Rights by role: a member leaves; an admin renames, adds members and removes plain members; an owner also removes admins and owners, changes roles,
// archives and unarchives. A chat always has an owner.
type Chat struct {
	ID        ChatID
	Title     Title
	Archived  bool
	CreatedBy UserID
	CreatedAt time.Time
	Owners    map[UserID]struct{} // read-only
	DeletedBy UserID              `json:",omitzero"` // "" unless the chat is deleted
}

// Deleted reports whether the chat was deleted. A deleted chat exists: its id is taken.
func (c Chat) Deleted() bool { return c.DeletedBy != "" }

// Exists reports whether the chat was created.
func (c Chat) Exists() bool { return c.CreatedBy != "" }

// Apply folds an event that moved the chat.
func (c *Chat) Apply(_ Seq, e Durable) {
	if deleted, ok := e.(ChatDeleted); ok {
		c.DeletedBy, c.Title = deleted.By, ""
	}
	u, ok := e.(ChatUpdate)
	if !ok {
		return
	}
	switch u.Change {
	case Created:
		*c = Chat{
			ID: u.Chat, Title: u.Title, CreatedBy: u.Actor, CreatedAt: u.At,
			Owners: map[UserID]struct{}{u.Actor: {}},
		}
	case Renamed:
		c.Title = u.Title
	case Archived:
		c.Archived = true
	case Unarchived:
		c.Archived = false
	case MemberAdded, MemberRemoved, RoleChanged:
		c.Owners = maps.Clone(c.Owners)
		if c.Owners == nil {
			c.Owners = map[UserID]struct{}{}
		}
		if u.Role == RoleOwner {
			c.Owners[u.User] = struct{}{}
		} else {
			delete(c.Owners, u.User)
		}
	}
}

// Create starts a chat; by becomes its owner and the others plain members.
func (c Chat) Create(id ChatID, title Title, by UserID, others []UserID, at time.Time) ([]Durable, error) {
	if c.Exists() {
		return nil, refuse(ErrChatExists, "chat %q was created by %q", id, c.CreatedBy)
	}
	events := []Durable{ChatUpdate{Chat: id, Actor: by, Change: Created, Title: title, At: at}}
	seen := map[UserID]struct{}{by: {}}
	for _, user := range others {
		if _, twice := seen[user]; twice {
			continue
		}
		seen[user] = struct{}{}
		events = append(events, ChatUpdate{Chat: id, Actor: by, Change: MemberAdded, User: user, Role: RoleMember, At: at})
	}
	return events, nil
}

// Rename changes the title. The same title again: no event.
func (c Chat) Rename(by Member, title Title, at time.Time) ([]Durable, error) {
	if err := c.permit(by, RoleAdmin, "rename"); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no new title until it is unarchived", c.ID)
	}
	if title == c.Title {
		return nil, nil
	}
	return c.update(ChatUpdate{Actor: by.User, Change: Renamed, Title: title, At: at}), nil
}

// Archive closes the chat to new messages, reactions and members. Archived already: no event.
func (c Chat) Archive(by Member, at time.Time) ([]Durable, error) {
	if err := c.permit(by, RoleOwner, "archive"); err != nil || c.Archived {
		return nil, err
	}
	return c.update(ChatUpdate{Actor: by.User, Change: Archived, At: at}), nil
}

// Unarchive opens the chat again. Not archived: no event.
func (c Chat) Unarchive(by Member, at time.Time) ([]Durable, error) {
	if err := c.permit(by, RoleOwner, "unarchive"); err != nil || !c.Archived {
		return nil, err
	}
	return c.update(ChatUpdate{Actor: by.User, Change: Unarchived, At: at}), nil
}

// Add makes user a plain member. A member already, in any role: no event.
func (c Chat) Add(by, target Member, user UserID, at time.Time) ([]Durable, error) {
	if err := c.permit(by, RoleAdmin, "add members to"); err != nil {
		return nil, err
	}
	if c.Archived {
		return nil, refuse(ErrArchived, "chat %q takes no new members until it is unarchived", c.ID)
	}
	if target.Current() {
		return nil, nil
	}
	return c.update(ChatUpdate{Actor: by.User, Change: MemberAdded, User: user, Role: RoleMember, At: at}), nil
}

// Remove ends someone's membership. Not a member: no event.
func (c Chat) Remove(by, target Member, at time.Time) ([]Durable, error) {
	if by.Current() && by.User == target.User {
		return c.Leave(by, at)
	}
	needed := RoleAdmin
	if target.Role >= RoleAdmin {
		needed = RoleOwner
	}
	if err := c.permit(by, needed, "remove a "+target.Role.String()+" from"); err != nil {
		return nil, err
	}
	return c.drop(by.User, target, at)
}

// Leave ends the member's own membership. Not a member: [ErrNotMember].
func (c Chat) Leave(who Member, at time.Time) ([]Durable, error) {
	if err := c.permit(who, RoleMember, "leave"); err != nil {
		return nil, err
	}
	return c.drop(who.User, who, at)
}

func (c Chat) drop(actor UserID, target Member, at time.Time) ([]Durable, error) {
	if !target.Current() {
		return nil, nil
	}
	if err := c.keepsOwner(target); err != nil {
		return nil, err
	}
	return c.update(ChatUpdate{Actor: actor, Change: MemberRemoved, User: target.User, Previous: target.Role, At: at}), nil
}

// Promote raises a member to role. In that role already: no event.
func (c Chat) Promote(by, target Member, role Role, at time.Time) ([]Durable, error) {
	if role != RoleAdmin && role != RoleOwner {
		return nil, &InvalidError{Field: "role", Problem: "is " + role.String(), Allowed: "admin, owner"}
	}
	if err := c.mayChangeRole(by, target); err != nil || role == target.Role {
		return nil, err
	}
	if role < target.Role {
		return nil, &InvalidError{Field: "role", Problem: role.String() + " is below the member's present role " + target.Role.String(), Allowed: "a higher role"}
	}
	return c.changeRole(by, target, role, at), nil
}

// Demote lowers a member to role. In that role already: no event.
func (c Chat) Demote(by, target Member, role Role, at time.Time) ([]Durable, error) {
	if role != RoleMember && role != RoleAdmin {
		return nil, &InvalidError{Field: "role", Problem: "is " + role.String(), Allowed: "member, admin"}
	}
	if err := c.mayChangeRole(by, target); err != nil || role == target.Role {
		return nil, err
	}
	if role > target.Role {
		return nil, &InvalidError{Field: "role", Problem: role.String() + " is above the member's present role " + target.Role.String(), Allowed: "a lower role"}
	}
	if err := c.keepsOwner(target); err != nil {
		return nil, err
	}
	return c.changeRole(by, target, role, at), nil
}

func (c Chat) mayChangeRole(by, target Member) error {
	if err := c.permit(by, RoleOwner, "change roles in"); err != nil {
		return err
	}
	if !target.Current() {
		return NotMember(c.ID, target.User)
	}
	return nil
}

func (c Chat) changeRole(by, target Member, role Role, at time.Time) []Durable {
	return c.update(ChatUpdate{
		Actor: by.User, Change: RoleChanged, User: target.User, Role: role, Previous: target.Role, At: at,
	})
}

// permit refuses when the chat does not exist, or the actor is no member or of too low a role.
func (c Chat) permit(by Member, needed Role, what string) error {
	switch {
	case !c.Exists():
		return refuse(ErrChatNotFound, "chat %q was never created", c.ID)
	case !by.Current():
		return NotMember(c.ID, by.User)
	case c.Deleted():
		return refuse(ErrChatDeleted, "chat %q was deleted by %q", c.ID, c.DeletedBy)
	case by.Role < needed:
		return refuse(ErrForbidden, "to %s chat %q takes %s, user %q is %s", what, c.ID, needed, by.User, by.Role)
	}
	return nil
}

func (c Chat) keepsOwner(target Member) error {
	if _, owner := c.Owners[target.User]; owner && len(c.Owners) == 1 {
		return refuse(ErrLastOwner, "user %q is the only owner of chat %q; promote someone to owner first", target.User, c.ID)
	}
	return nil
}

func (c Chat) update(u ChatUpdate) []Durable {
	u.Chat = c.ID
	return []Durable{u}
}
