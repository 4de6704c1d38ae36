package app

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"chatcore/app/entity"
	"chatcore/domain"
)

// MaxSettings is the largest number of users in a call of [Queries.Settings].
const MaxSettings = 256

// SetSettings changes the settings that the actor has for a chat. Settings that have the value already change nothing, except that UnreadFrom is recorded each time.
//
// UnreadFrom has the messages from one on count as unread, also those that the user has read and those that the user has sent. That lasts until the user marks one of
// these messages as read, or sends a message in the main timeline. Others see no difference: the read mark stays. A message from before the join is
// [domain.ErrSeqRange]. A chat that is hidden until the next message is shown with the first message after the decision.
func (c *Chats) SetSettings(ctx context.Context, cmd domain.SetSettings) (Done, error) {
	change := cmd.Settings
	if err := firstError(checkChat(cmd.Chat, cmd.Actor), checkCommand(cmd.Command), change.Check()); err != nil {
		return Done{}, err
	}
	set := command{
		name: "set-settings", chat: cmd.Chat, by: cmd.Actor, id: cmd.Command,
		wants:  want(domain.MemberEntity(cmd.Actor), domain.SettingsEntity(cmd.Actor)),
		limits: c.limitsOf(cmd.Actor, cmd.Chat, LimitSettings),
		args: arguments{
			optionText(change.Notify) + " " + optionText(change.Hidden), optionText(change.MutedUntil), optionText(change.Favourite), optionText(change.UnreadFrom),
		},
	}
	var from domain.MessageID
	if change.UnreadFrom != nil && *change.UnreadFrom != "" {
		from = *change.UnreadFrom
		if err := checkMessage(from); err != nil {
			return Done{}, err
		}
		set.wants.add(domain.MessageEntity(from))
		set.unconditional = func(_ *state, e domain.Entity) bool { return e.Kind == domain.KindMessage }
	}
	set.decide = func(s *state) ([]domain.Durable, error) {
		if s.head == 0 && change.Hidden != nil && *change.Hidden == domain.HiddenUntilMessage {
			return nil, nil // decided again on the chat's last seq, which the cache does not have
		}
		var m domain.Message
		if from != "" {
			m = s.message(from)
		}
		return s.settings(cmd.Actor).Change(cmd.Chat, s.member(cmd.Actor), change, m, s.head, c.now())
	}
	return c.run(ctx, set)
}

// optionText is the text of an optional argument for a fingerprint, "" for one that is missing.
func optionText[T any](value *T) string {
	if value == nil {
		return ""
	}
	switch v := any(*value).(type) {
	case time.Time:
		if v.IsZero() {
			return "="
		}
		return "=" + strconv.FormatInt(v.UnixMilli(), 10)
	default:
		return fmt.Sprintf("=%v", v)
	}
}

// Settings returns the settings that users have for a chat, in the order of the users, in one round trip. Users without settings, and users that are not members, have what
// they would have as members. There may be [MaxSettings] users. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) Settings(ctx context.Context, chat domain.ChatID, users ...domain.UserID) ([]domain.Settings, error) {
	if err := firstError(checkChat(chat), checkUsers(users)); err != nil {
		return nil, err
	}
	if len(users) > MaxSettings {
		return nil, &domain.InvalidError{Field: "users", Problem: fmt.Sprintf("are %d", len(users)), Allowed: fmt.Sprintf("at most %d", MaxSettings)}
	}
	entities := make([]entity.Versioned, len(users))
	for i, user := range users {
		entities[i].Entity = domain.SettingsEntity(user)
	}
	if _, err := q.load(ctx, chat, entities); err != nil {
		return nil, err
	}
	all := make([]domain.Settings, len(users))
	for i, e := range entities {
		s, _ := e.State.(*domain.Settings)
		all[i] = *s
	}
	return all, nil
}
