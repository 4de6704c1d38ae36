package domain

import (
	"maps"
	"time"
)

// Chat is a conversation: its kind, title, owners and policy, and whether it is archived. Its other members are separate entities, so that a join does not
// conflict with a send.
//
// Rights by role in a group: a member leaves; an owner removes admins and owners, changes roles, archives and unarchives, and changes the policy, which says what
// all other actions take ([Action]). A group always has an owner. In a direct chat both participants are owners, and stay so.
type Chat struct {
	ID        ChatID
	Title     Title
	Archived  bool
	CreatedBy UserID
	CreatedAt time.Time
	Owners    map[UserID]struct{} // read-only
	DeletedBy UserID              `json:",omitzero"` // "" unless the chat is deleted
	Emptied   bool                `json:",omitzero"` // whether the content of the deleted chat was erased

	Kind         ChatKind        `json:",omitzero"`
	Participants [2]UserID       `json:",omitzero"` // of a direct chat
	Blocks       []UserID        `json:",omitzero"` // participants who block the other one; read-only
	Visibility   Visibility      `json:",omitzero"` // 0 is Private
	Permissions  map[Action]Role `json:",omitzero"` // the roles of actions that are not the default; read-only
}

// Deleted reports whether the chat was deleted. A deleted chat exists: its id is taken.
func (c Chat) Deleted() bool { return c.DeletedBy != "" }

// Exists reports whether the chat was created.
func (c Chat) Exists() bool { return c.CreatedBy != "" }

// Apply folds an event that moved the chat.
func (c *Chat) Apply(_ Seq, e Durable) {
	switch e := e.(type) {
	case ChatUpdate:
		c.applyUpdate(e)
	case ChatPolicy:
		c.applyPolicy(e)
	case MemberRestriction:
		c.applyBlock(e)
	case ChatDeleted:
		c.DeletedBy, c.Title, c.Emptied = e.By, "", e.ContentErased
	}
}

func (c *Chat) applyUpdate(u ChatUpdate) {
	switch u.Change {
	case Created:
		*c = Chat{
			ID: u.Chat, Kind: u.Kind, Title: u.Title, CreatedBy: u.Actor, CreatedAt: u.At,
			Owners: map[UserID]struct{}{u.Actor: {}},
		}
		if c.Kind == Direct { // the other participant joins next
			c.Participants = [2]UserID{u.Actor, u.Actor}
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
		if c.Kind == Direct && c.Participants[0] == c.Participants[1] {
			c.Participants[1] = u.User
		}
		if u.Role == RoleOwner {
			c.Owners[u.User] = struct{}{}
		} else {
			delete(c.Owners, u.User)
		}
	}
}

// Create starts a chat with its metadata, which may lack; by becomes its owner and the others plain members.
func (c Chat) Create(id ChatID, title Title, by UserID, others []UserID, metadata MetadataChange, at time.Time) ([]Durable, error) {
	if c.Exists() {
		return nil, refuse(ErrChatExists, "chat %q was created by %q", id, c.CreatedBy)
	}
	events := []Durable{ChatUpdate{Chat: id, Actor: by, Change: Created, Title: title, At: at}}
	if len(metadata.Set) > 0 {
		described, err := metadata.event(id, by, Metadata{}, at)
		if err := firstOf(metadata.Check(), err); err != nil {
			return nil, err
		}
		events = append(events, described...)
	}
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
	if err := firstOf(c.permit(by, NoRole, "rename"), c.notDirect("a title"), c.permit(by, c.RoleFor(ActionRename), "rename")); err != nil {
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
	if err := firstOf(c.permit(by, RoleOwner, "archive"), c.notDirect("an archiving")); err != nil || c.Archived {
		return nil, err
	}
	return c.update(ChatUpdate{Actor: by.User, Change: Archived, At: at}), nil
}

// Unarchive opens the chat again. Not archived: no event.
func (c Chat) Unarchive(by Member, at time.Time) ([]Durable, error) {
	if err := firstOf(c.permit(by, RoleOwner, "unarchive"), c.notDirect("an archiving")); err != nil || !c.Archived {
		return nil, err
	}
	return c.update(ChatUpdate{Actor: by.User, Change: Unarchived, At: at}), nil
}

// Add makes user a plain member. A member already, in any role: no event. A banned user is [ErrBanned].
func (c Chat) Add(by, target Member, user UserID, at time.Time) ([]Durable, error) {
	if err := c.mayAdd(by); err != nil {
		return nil, err
	}
	if target.Current() {
		return nil, nil
	}
	if err := target.joinable(c.ID, at); err != nil {
		return nil, err
	}
	return c.update(ChatUpdate{Actor: by.User, Change: MemberAdded, User: user, Role: RoleMember, At: at}), nil
}

func (c Chat) mayAdd(by Member) error {
	if err := firstOf(c.permit(by, NoRole, "add members to"), c.notDirect("further members"), c.permit(by, c.RoleFor(ActionAdd), "add members to")); err != nil {
		return err
	}
	if c.Archived {
		return refuse(ErrArchived, "chat %q takes no new members until it is unarchived", c.ID)
	}
	return nil
}

// Admission is what became of a user in [Chat.AddAll].
type Admission uint8

// The admissions of users.
const (
	Admitted      Admission = iota + 1
	AlreadyMember           // in any role
	NotAdmitted             // the user is banned
	BlocksActor             // the user blocks the actor in their direct chat
)

// AddAll makes users plain members, in one step. It returns what became of each, in their order; of a user who is named twice only the first time counts. blocks reports
// whether a user blocks the actor.
func (c Chat) AddAll(by Member, targets []Member, blocks func(UserID) bool, at time.Time) ([]Durable, []Admission, error) {
	if err := c.mayAdd(by); err != nil {
		return nil, nil, err
	}
	var events []Durable
	admissions := make([]Admission, len(targets))
	for i, target := range targets {
		switch {
		case target.Current():
			admissions[i] = AlreadyMember
		case target.joinable(c.ID, at) != nil:
			admissions[i] = NotAdmitted
		case blocks(target.User):
			admissions[i] = BlocksActor
		default:
			admissions[i] = Admitted
			events = append(events, ChatUpdate{Chat: c.ID, Actor: by.User, Change: MemberAdded, User: target.User, Role: RoleMember, At: at})
		}
	}
	return events, admissions, nil
}

// Remove ends someone's membership. Not a member: no event.
func (c Chat) Remove(by, target Member, at time.Time) ([]Durable, error) {
	if by.Current() && by.User == target.User {
		return c.Leave(by, at)
	}
	needed := c.RoleFor(ActionRemove)
	if target.Role >= RoleAdmin {
		needed = RoleOwner
	}
	what := "remove a " + target.Role.String() + " from"
	if err := firstOf(c.permit(by, NoRole, what), c.notDirect("a removal"), c.permit(by, needed, what)); err != nil {
		return nil, err
	}
	return c.drop(by.User, target, at)
}

// Leave ends the member's own membership. Not a member: [ErrNotMember].
func (c Chat) Leave(who Member, at time.Time) ([]Durable, error) {
	if err := firstOf(c.permit(who, RoleMember, "leave"), c.notDirect("a departure")); err != nil {
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
	if err := firstOf(c.permit(by, RoleOwner, "change roles in"), c.notDirect("other roles")); err != nil {
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

// allow refuses an action of a user who is no member, restricted, or of too low a role: in this order.
func (c Chat) allow(by Member, a Action, what string, at time.Time) error {
	return firstOf(c.permit(by, NoRole, what), by.unmuted(c.ID, at), c.reachable(by), c.permit(by, c.RoleFor(a), what))
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
