package app

import (
	"context"
	"maps"
	"slices"
	"strings"

	"chatcore/domain"
)

// SetPolicy changes who may see and join a group, and which roles actions take. A policy that the chat has already changes nothing. Messages that are being sent meanwhile are
// decided again.
func (c *Chats) SetPolicy(ctx context.Context, cmd domain.SetPolicy) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), cmd.Policy.Check()); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "set-policy", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().SetPolicy(s.member(cmd.Actor), cmd.Policy, c.now())
		},
		args: arguments{cmd.Policy.Visibility.String(), permissionsText(cmd.Policy.Permissions)},
	})
}

// permissionsText is the text of permissions for a fingerprint.
func permissionsText(permissions map[domain.Action]domain.Role) string {
	var texts []string
	for _, action := range slices.Sorted(maps.Keys(permissions)) {
		texts = append(texts, action.String()+"="+permissions[action].String())
	}
	return strings.Join(texts, " ")
}

// Join makes the actor a plain member of a public chat. For a member it changes nothing. A chat that is not public is [domain.ErrForbidden], or for callers of the
// network not to be found; a banned user gets [domain.ErrBanned], a [*domain.RestrictedError] with the time at which the ban ends. It returns a [*domain.CapError]
// if the user is in [Caps.ChatsPerUser] chats.
func (c *Chats) Join(ctx context.Context, cmd domain.Join) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	return c.run(ctx, command{
		name: "join", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command, admits: true,
		wants: want(domain.ChatEntity(), domain.MemberEntity(cmd.Actor)),
		decide: func(s *state) ([]domain.Durable, error) {
			return s.theChat().Join(s.member(cmd.Actor), c.now())
		},
		joins:  []domain.UserID{cmd.Actor},
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitJoin),
		gate:   GateQuestion{Kind: GateJoin, Actor: cmd.Actor, Chat: cmd.Chat},
	})
}
