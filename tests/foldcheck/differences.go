package foldcheck

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// Differences folds all logs anew and compares each user's chats and unread counts, both the stored read models and the results of queries. It
// returns the differences. The built-in subscribers of the core must have caught up; [Await] waits for them.
func Differences(ctx context.Context, core *chatcore.Core) ([]string, error) {
	return differences(ctx, core.Queries, math.MaxInt)
}

// differences returns at least most differences if there are so many, and all of one user.
func differences(ctx context.Context, queries *app.Queries, most int) ([]string, error) {
	folded, err := fold(ctx, queries)
	if err != nil {
		return nil, err
	}
	users := make(map[domain.UserID][]domain.ChatID)
	for chat, c := range folded {
		for user := range c.users {
			users[user] = append(users[user], chat)
		}
	}
	var found []string
	for _, user := range slices.Sorted(maps.Keys(users)) {
		some, err := differencesOf(ctx, queries, user, folded, users[user])
		if err != nil {
			return nil, err
		}
		if found = append(found, some...); len(found) >= most {
			break
		}
	}
	return found, nil
}

// Await waits until there are no differences or ctx ends, and returns the remaining ones. It pauses after each comparison for as long as it took, so
// as not to slow down the subscribers that it waits for.
func Await(ctx context.Context, core *chatcore.Core) ([]string, error) {
	const pause = 20 * time.Millisecond // at least
	for {
		began := time.Now()
		found, err := differences(ctx, core.Queries, 1)
		if err == nil && len(found) == 0 {
			return nil, nil
		}
		again := time.NewTimer(max(pause, time.Since(began)))
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return Differences(context.WithoutCancel(ctx), core)
		}
	}
}

func fold(ctx context.Context, queries *app.Queries) (map[domain.ChatID]*Chat, error) {
	chats, err := queries.Chats(ctx)
	if err != nil {
		return nil, err
	}
	folded := make(map[domain.ChatID]*Chat, len(chats))
	for _, chat := range chats {
		c := &Chat{}
		for span := (domain.Span{First: true, Limit: app.MaxEvents}); ; {
			page, err := queries.Events(ctx, chat, span)
			if err != nil {
				return nil, err
			}
			for _, r := range page {
				c.Apply(r.Seq, r.Event)
			}
			if len(page) < app.MaxEvents {
				break
			}
			span = domain.Span{After: page[len(page)-1].Seq, Limit: app.MaxEvents}
		}
		folded[chat] = c
	}
	return folded, nil
}

func differencesOf(ctx context.Context, queries *app.Queries, user domain.UserID, folded map[domain.ChatID]*Chat, chats []domain.ChatID) ([]string, error) {
	var in []domain.ChatID
	unread, kept := make(map[domain.ChatID]domain.Ordinal), make(map[domain.ChatID]domain.Ordinal)
	for _, chat := range slices.Sorted(slices.Values(chats)) {
		if c := folded[chat]; c.Member(user) {
			in = append(in, chat)
			if unread[chat] = c.Unread(user); c.kept() {
				kept[chat] = unread[chat]
			}
		}
	}
	var found []string
	say := func(what string, got, want any) {
		found = append(found, fmt.Sprintf("user %q %s %v, by the logs %v", user, what, got, want))
	}
	gotChats, err := queries.ChatsOf(ctx, user)
	if errors.Is(err, ports.ErrCorrupt) {
		say("has a view of chats that says", err, in)
		return found, nil
	}
	if err != nil {
		return nil, err
	}
	if !slices.Equal(gotChats, in) {
		say("is in the chats", gotChats, in)
	}
	for _, q := range []struct {
		what string
		ask  func(context.Context, domain.UserID) (map[domain.ChatID]domain.Ordinal, error)
		want map[domain.ChatID]domain.Ordinal
	}{
		{"has the kept counts", queries.KeptUnread, kept},
		{"has unread", queries.UnreadOf, unread},
	} {
		got, err := q.ask(ctx, user)
		if err != nil {
			return nil, err
		}
		if !maps.Equal(got, q.want) {
			say(q.what, got, q.want)
		}
	}
	return found, nil
}
