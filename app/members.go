package app

import (
	"context"
	"math"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
)

// about is a command by one member about another user, which may set that user's role. The chat is a condition because its owners and whether it is
// archived decide. with sets further fields of the command.
func (c *Chats) about(
	ctx context.Context, name string, chat domain.ChatID, by, user domain.UserID, role domain.Role, id domain.CommandID,
	decide func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error), with ...func(*command),
) (Done, error) {
	if err := firstError(checkChat(chat, by, user), checkCommand(id)); err != nil {
		return Done{}, err
	}
	entities := []domain.Entity{domain.ChatEntity(), domain.MemberEntity(by), domain.MemberEntity(user)}
	cmd := command{
		name: name, chat: chat, by: by, id: id,
		wants: want(slices.Compact(entities)...),
		decide: func(s *state) ([]domain.Durable, error) {
			return decide(s.theChat(), s.member(by), s.member(user))
		},
		args: arguments{string(user), role.String()},
	}
	for _, set := range with {
		set(&cmd)
	}
	return c.run(ctx, cmd)
}

// Add makes a user a plain member. For a present member of any role it changes nothing. It returns a [*domain.CapError] if the user is in
// [Caps.ChatsPerUser] chats, and [domain.ErrBlocked] if the user blocks the actor and [Policy.CheckBlocks] is set.
func (c *Chats) Add(ctx context.Context, cmd domain.Add) (Done, error) {
	var blockers blockers
	return c.about(ctx, "add", cmd.Chat, cmd.Actor, cmd.User, domain.NoRole, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			events, err := chat.Add(by, target, cmd.User, c.now())
			return blockers.refuse(cmd.Actor, []domain.UserID{cmd.User}, events, err)
		},
		func(add *command) {
			add.joins = []domain.UserID{cmd.User}
			add.prepare = c.findBlockers(&blockers, cmd.Actor, add.joins)
			add.limits = c.limitsOf(cmd.Actor, cmd.Chat, LimitAdd)
			add.gate = GateQuestion{Kind: GateAdd, Actor: cmd.Actor, Chat: cmd.Chat, Targets: add.joins}
		})
}

// AddedMembers is the result of [Chats.AddMembers].
type AddedMembers struct {
	Done
	Users []AddedMember // each user once, in the order of the command
}

// AddedMember says what became of a user.
type AddedMember struct {
	User      domain.UserID
	Admission domain.Admission
}

// AddMembers makes users plain members, in one step and one round trip; one more if their memberships are not cached. Present members stay as they are, and
// banned users, and with [Policy.CheckBlocks] those who block the actor, are not added: the result says so. It returns a [*domain.CapError] if there are more than [Caps.MembersPerCommand] users, or one of them is in
// [Caps.ChatsPerUser] chats. A command that is given again returns as added the users that joined with its events and are still members.
func (c *Chats) AddMembers(ctx context.Context, cmd domain.AddMembers) (AddedMembers, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkUsers(cmd.Users), checkCommand(cmd.Command)); err != nil {
		return AddedMembers{}, err
	}
	if len(cmd.Users) == 0 {
		return AddedMembers{}, &domain.InvalidError{Field: "userIds", Problem: "is empty", Allowed: "one user or more"}
	}
	if err := c.policy.Caps.checkMembers(cmd.Chat, "", cmd.Users); err != nil {
		return AddedMembers{}, err
	}
	users := domain.EachOnce(cmd.Users)
	result := AddedMembers{Users: make([]AddedMember, len(users))}
	var blockers blockers
	add := command{
		name: "add-members", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants:   want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		joins:   users,
		prepare: c.findBlockers(&blockers, cmd.Actor, users),
		decide: func(s *state) ([]domain.Durable, error) {
			targets := make([]domain.Member, len(users))
			for i, user := range users {
				targets[i] = s.member(user)
			}
			blocks := func(user domain.UserID) bool { return blockers[user] != "" }
			events, admissions, err := s.theChat().AddAll(s.member(cmd.Actor), targets, blocks, c.now())
			for i, admission := range admissions {
				result.Users[i] = AddedMember{users[i], admission}
			}
			return events, err
		},
		again: func(s *state, done Done, events int) {
			for i, user := range users {
				result.Users[i] = AddedMember{user, repeatedAdmission(s.member(user), done, events)}
				if blockers[user] != "" && !s.member(user).Current() {
					result.Users[i].Admission = domain.BlocksActor
				}
			}
		},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitAdd),
		gate:   GateQuestion{Kind: GateAdd, Actor: cmd.Actor, Chat: cmd.Chat, Targets: users},
		args:   arguments{userSet("", users)},
	}
	add.wants.addMembers(cmd.Actor, users)
	var err error
	result.Done, err = c.run(ctx, add)
	if err != nil {
		return AddedMembers{}, err
	}
	return result, nil
}

// repeatedAdmission returns what became of a user by a command that recorded a number of events up to done.Seq.
func repeatedAdmission(m domain.Member, done Done, events int) domain.Admission {
	switch {
	case !m.Current():
		return domain.NotAdmitted
	case done.Changed && m.Since <= done.Seq && m.Since+domain.Seq(events) > done.Seq: //nolint:gosec // a count
		return domain.Admitted
	}
	return domain.AlreadyMember
}

// Remove ends a user's membership. Not a member: it changes nothing.
func (c *Chats) Remove(ctx context.Context, cmd domain.Remove) (Done, error) {
	return c.about(ctx, "remove", cmd.Chat, cmd.Actor, cmd.User, domain.NoRole, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Remove(by, target, c.now())
		})
}

// Promote raises a member's role. In that role already: it changes nothing.
func (c *Chats) Promote(ctx context.Context, cmd domain.Promote) (Done, error) {
	return c.about(ctx, "promote", cmd.Chat, cmd.Actor, cmd.User, cmd.Role, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Promote(by, target, cmd.Role, c.now())
		})
}

// Demote lowers a member's role. In that role already: it changes nothing.
func (c *Chats) Demote(ctx context.Context, cmd domain.Demote) (Done, error) {
	return c.about(ctx, "demote", cmd.Chat, cmd.Actor, cmd.User, cmd.Role, cmd.Command,
		func(chat domain.Chat, by, target domain.Member) ([]domain.Durable, error) {
			return chat.Demote(by, target, cmd.Role, c.now())
		})
}

// Leave ends the user's own membership. The last owner cannot leave: [domain.ErrLastOwner].
func (c *Chats) Leave(ctx context.Context, cmd domain.Leave) (Done, error) {
	return c.about(ctx, "leave", cmd.Chat, cmd.Actor, cmd.Actor, domain.NoRole, cmd.Command,
		func(chat domain.Chat, who, _ domain.Member) ([]domain.Durable, error) {
			return chat.Leave(who, c.now())
		})
}

// Members gives the chat's current members, in the order in which they joined. [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) Members(ctx context.Context, chat domain.ChatID) ([]domain.Member, error) {
	if err := firstError(checkChat(chat)); err != nil {
		return nil, err
	}
	return q.models.Members(ctx, chat, math.MaxInt)
}

// Member returns one member of a chat, in one round trip. It returns [domain.ErrNotMember] for anyone else.
func (q *Queries) Member(ctx context.Context, chat domain.ChatID, user domain.UserID) (domain.Member, error) {
	if err := checkChat(chat, user); err != nil {
		return domain.Member{}, err
	}
	entities := []entity.Versioned{{Entity: domain.MemberEntity(user)}}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return domain.Member{}, err
	}
	m, _ := entities[0].State.(*domain.Member)
	if !m.Current() {
		return domain.Member{}, domain.NotMember(chat, user)
	}
	return *m, nil
}

// MemberPage returns a page of a chat's current members, in no particular order. A user that is a member from the first page to the last comes at
// least once. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) MemberPage(ctx context.Context, chat domain.ChatID, page domain.Page) (List[domain.Member], error) {
	page, err := checkPage(page)
	if err := firstError(checkChat(chat), err); err != nil {
		return List[domain.Member]{}, err
	}
	users, next, err := q.log.MemberPage(ctx, chat, page.Cursor, page.Limit)
	if err != nil {
		return List[domain.Member]{}, err
	}
	entities := make([]entity.Versioned, len(users))
	for i, user := range users {
		entities[i] = entity.Versioned{Entity: domain.MemberEntity(user)}
	}
	if _, err := q.load(ctx, chat, entities); err != nil { // also if there are none: does the chat exist?
		return List[domain.Member]{}, err
	}
	list := List[domain.Member]{Next: next}
	for _, s := range entities {
		if m, _ := s.State.(*domain.Member); m.Current() {
			list.Items = append(list.Items, *m)
		}
	}
	return list, nil
}
