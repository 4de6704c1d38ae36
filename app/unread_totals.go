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
	Mentions int            // of these the ones that mention the user, as [UnreadMentions] has them
}

// UnreadTotals returns the totals of [Queries.UnreadOf], without the chats that the user has muted now or set to [domain.NotifyNone]; with muted, those count too. It takes
// what UnreadOf takes, a round trip for each 64 chats with unread messages, and as many again for unread mentions that this process has not seen.
func (q *Queries) UnreadTotals(ctx context.Context, user domain.UserID, muted bool) (UnreadTotals, error) {
	counts, err := q.UnreadOf(ctx, user)
	if err != nil {
		return UnreadTotals{}, err
	}
	var loads []entity.ChatEntities
	entities := q.rowEntities(user, false)
	for chat, n := range counts {
		if n > 0 {
			loads = append(loads, entity.ChatEntities{Chat: chat, Entities: entities(chat)})
		}
	}
	if err := q.entities.FillChats(ctx, q.log, loads); err != nil {
		return UnreadTotals{}, err
	}
	var totals UnreadTotals
	var chats []domain.ChatID
	var rows []listRow
	for _, l := range loads {
		if err := l.CheckVersions(0); err != nil {
			return UnreadTotals{}, err
		}
		if s, _ := l.Entities[rowSettings].State.(*domain.Settings); !muted && s.Silent(q.now()) {
			continue
		}
		totals.Chats++
		totals.Messages += counts[l.Chat]
		chats, rows = append(chats, l.Chat), append(rows, listRow{entities: l.Entities})
	}
	mentions, err := q.listedMentions(ctx, user, chats, rows)
	for _, n := range mentions {
		totals.Mentions += n
	}
	return totals, err
}
