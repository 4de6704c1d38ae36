package app

import (
	"context"

	"chatcore/app/entity"
	"chatcore/domain"
)

// UnreadTotals are a user's unread messages over all chats.
type UnreadTotals struct {
	Chats    int            // chats with unread messages
	Messages domain.Ordinal // unread messages of others
}

// UnreadTotals returns the totals of [Queries.UnreadOf], without the chats that the user has muted now or set to [domain.NotifyNone]; with muted, those count too. It takes
// what UnreadOf takes and, without muted, a round trip for each 64 chats with unread messages.
func (q *Queries) UnreadTotals(ctx context.Context, user domain.UserID, muted bool) (UnreadTotals, error) {
	counts, err := q.UnreadOf(ctx, user)
	if err != nil {
		return UnreadTotals{}, err
	}
	var loads []entity.ChatEntities
	for chat, n := range counts {
		if n > 0 {
			loads = append(loads, entity.ChatEntities{Chat: chat, Entities: []entity.Versioned{{Entity: domain.SettingsEntity(user)}}})
		}
	}
	if !muted {
		for i := range loads {
			q.entities.Cached(loads[i].Chat, loads[i].Entities)
		}
		if err := q.entities.FillChats(ctx, q.log, loads); err != nil {
			return UnreadTotals{}, err
		}
	}
	var totals UnreadTotals
	for _, l := range loads {
		if err := l.CheckVersions(0); err != nil {
			return UnreadTotals{}, err
		}
		if s, _ := l.Entities[0].State.(*domain.Settings); !muted && s.Silent(q.now()) {
			continue
		}
		totals.Chats++
		totals.Messages += counts[l.Chat]
	}
	return totals, nil
}
