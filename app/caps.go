package app

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// MaxMembersPerCommand is the highest cap on the users that one command makes members: with the creation of the chat and its metadata they are one append.
const MaxMembersPerCommand = 1000

var _ [ports.MaxAppend - 2 - MaxMembersPerCommand]struct{}

// The highest caps on the reactions of a message.
const (
	MaxEmojisPerMessage = 200
	MaxReactionsPerUser = 50
)

// Caps are bounds on one user, message or command. Commands that would exceed one fail with a [*domain.CapError]. The zero value of each field means
// its default.
type Caps struct {
	// EmojisPerMessage is how many distinct emojis a message may have among its reactions; at most [MaxEmojisPerMessage]. Defaults to 50.
	EmojisPerMessage int
	// ReactionsPerUser is how many reactions one user may have on a message; at most [MaxReactionsPerUser]. Defaults to 20.
	ReactionsPerUser int
	// ChatsPerUser is how many chats a user may be in. It is counted in the view of users' chats, a moment behind the log: users may exceed it by as many
	// chats as they join at the same moment. Nothing is refused for it where no process keeps that view. Defaults to 10,000.
	ChatsPerUser int
	// MembersPerCommand is how many users one Create or Add makes members, beside the actor; at most [MaxMembersPerCommand]. Defaults to 256.
	MembersPerCommand int
	// PinsPerChat is how many messages of a chat may be pinned; at most [MaxPins]. Defaults to 50.
	PinsPerChat int
	// MetadataKeys is how many keys the metadata of a chat may have; at most [domain.MaxMetadataKeys]. Defaults to 64.
	MetadataKeys int
	// MetadataValue is how many bytes a value of the metadata may have; at most [domain.MaxMetadataValue]. Defaults to 4 KiB.
	MetadataValue int
	// MetadataBytes is how many bytes all keys and values of a chat's metadata may have; at most [domain.MaxMetadataBytes]. Defaults to 16 KiB.
	MetadataBytes int
}

// Check returns an error if the caps are not valid.
func (c Caps) Check() error {
	var errs []error
	for _, f := range []struct {
		field       string
		value, most int
	}{
		{"Limits.Caps.EmojisPerMessage", c.EmojisPerMessage, MaxEmojisPerMessage},
		{"Limits.Caps.ReactionsPerUser", c.ReactionsPerUser, MaxReactionsPerUser},
		{"Limits.Caps.ChatsPerUser", c.ChatsPerUser, math.MaxInt},
		{"Limits.Caps.MembersPerCommand", c.MembersPerCommand, MaxMembersPerCommand},
		{"Limits.Caps.PinsPerChat", c.PinsPerChat, MaxPins},
		{"Limits.Caps.MetadataKeys", c.MetadataKeys, domain.MaxMetadataKeys},
		{"Limits.Caps.MetadataValue", c.MetadataValue, domain.MaxMetadataValue},
		{"Limits.Caps.MetadataBytes", c.MetadataBytes, domain.MaxMetadataBytes},
	} {
		if f.value < 0 || f.value > f.most {
			allowed := "a number from 0"
			if f.most < math.MaxInt {
				allowed = fmt.Sprintf("0 to %d", f.most)
			}
			errs = append(errs, &domain.InvalidError{Field: f.field, Problem: fmt.Sprintf("is %d", f.value), Allowed: allowed})
		}
	}
	return errors.Join(errs...)
}

// WithDefaults returns the caps with defaults in the place of zeros.
func (c Caps) WithDefaults() Caps {
	for _, f := range []struct {
		field    *int
		fallback int
	}{
		{&c.EmojisPerMessage, 50},
		{&c.ReactionsPerUser, 20},
		{&c.ChatsPerUser, 10_000},
		{&c.MembersPerCommand, 256},
		{&c.MetadataKeys, 64},
		{&c.MetadataValue, 4 << 10},
		{&c.MetadataBytes, 16 << 10},
		{&c.PinsPerChat, 50},
	} {
		if *f.field == 0 {
			*f.field = f.fallback
		}
	}
	return c
}

func (c Caps) reactions() domain.ReactionCaps {
	return domain.ReactionCaps{Emojis: c.EmojisPerMessage, PerUser: c.ReactionsPerUser}
}

func (c Caps) metadata() domain.MetadataCaps {
	return domain.MetadataCaps{Keys: c.MetadataKeys, Value: c.MetadataValue, Bytes: c.MetadataBytes}
}

// checkMembers returns an error if one command has too many users to make members. Users that it has twice count once.
func (c Caps) checkMembers(chat domain.ChatID, by domain.UserID, users []domain.UserID) error {
	if c.MembersPerCommand == 0 || len(users) <= c.MembersPerCommand {
		return nil
	}
	distinct := slices.Clone(users)
	slices.Sort(distinct)
	distinct = slices.DeleteFunc(slices.Compact(distinct), func(u domain.UserID) bool { return u == by })
	if len(distinct) <= c.MembersPerCommand {
		return nil
	}
	return &domain.CapError{
		Cap: domain.CapMembers, Max: c.MembersPerCommand,
		Detail: fmt.Sprintf("the command has %d members for chat %q; add more afterwards", len(distinct), chat),
	}
}

// checkChats returns a [*domain.CapError] if events make a user a member that is in the highest allowed number of chats. It takes one round trip if
// the view can count.
func (c *Chats) checkChats(ctx context.Context, joins []domain.UserID, events []domain.Durable) error {
	view, most := c.policy.Views.Chats, c.policy.Caps.ChatsPerUser
	if view == nil || most == 0 {
		return nil
	}
	counts, err := countChats(ctx, view, c.policy.Views.Log, joins)
	if err != nil {
		return err
	}
	for i, n := range counts {
		if n >= most && slices.ContainsFunc(events, func(e domain.Durable) bool { return domain.MovesEntity(e, domain.MemberEntity(joins[i])) }) {
			return &domain.CapError{Cap: domain.CapChats, Max: most, Detail: fmt.Sprintf("user %q is in %d chats", joins[i], n)}
		}
	}
	return nil
}

func countChats(ctx context.Context, view ports.UserView, log string, users []domain.UserID) ([]int, error) {
	if counter, ok := view.(ports.UserViewCounter); ok {
		return counter.Count(ctx, log, users...)
	}
	counts := make([]int, len(users))
	for i, user := range users {
		chats, err := view.Of(ctx, log, user)
		if err != nil {
			return nil, err
		}
		counts[i] = len(chats)
	}
	return counts, nil
}
