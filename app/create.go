package app

import (
	"context"
	"slices"
	"strings"

	"chatcore/domain"
)

// Create starts a chat, with its owner and its first members in one step. It returns [domain.ErrChatExists] if the id is taken, and
// [domain.ErrInvalid] if it is reserved ([domain.ReservedChatID]). It returns a [*domain.CapError] if there are more than [Caps.MembersPerCommand]
// members, or if one of them or the owner is in [Caps.ChatsPerUser] chats.
func (c *Chats) Create(ctx context.Context, cmd domain.Create) (Done, error) {
	title, err := domain.NewTitle(cmd.Title)
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), domain.ReservedChatID(cmd.Chat), checkUsers(cmd.Members), checkCommand(cmd.Command), err); err != nil {
		return Done{}, err
	}
	if err := c.policy.Caps.checkMembers(cmd.Chat, cmd.Actor, cmd.Members); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "create", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity()),
		joins: append([]domain.UserID{cmd.Actor}, cmd.Members...),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Create(cmd.Chat, title, cmd.Actor, cmd.Members, c.now())
		},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitCreate),
		gate:   GateQuestion{Kind: GateCreate, Actor: cmd.Actor, Chat: cmd.Chat, Targets: cmd.Members},
		args:   arguments{string(title), userSet(cmd.Actor, cmd.Members)},
	})
}

// userSet is the text of a set of users, without one of them. User ids have no spaces.
func userSet(without domain.UserID, users []domain.UserID) string {
	set := make([]string, 0, len(users))
	for _, user := range users {
		if user != without {
			set = append(set, string(user))
		}
	}
	slices.Sort(set)
	return strings.Join(slices.Compact(set), " ")
}
