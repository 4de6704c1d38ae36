package app

import (
	"context"
	"slices"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/ports"
)

// BlockedUser is a user whom another one blocks.
type BlockedUser struct {
	User domain.UserID
	Chat domain.ChatID // their direct chat
}

// Blocked returns a page of the users whom a user blocks, in no particular order, as far as the built-in subscriber has come: a moment behind the log. It takes a
// round trip for the page, and one for each 64 users. It returns [projection.ErrNoViews] where no process has ever run the built-in subscribers.
func (q *Queries) Blocked(ctx context.Context, user domain.UserID, page domain.Page) (List[BlockedUser], error) {
	page, err := checkPage(page)
	if err := firstError(checkUsers([]domain.UserID{user}), err); err != nil {
		return List[BlockedUser]{}, err
	}
	chats, next, err := q.models.BlocksPage(ctx, user, page.Cursor, page.Limit)
	if err != nil {
		return List[BlockedUser]{}, err
	}
	list := List[BlockedUser]{Next: next}
	err = directChats(ctx, q.entities, q.log, chats, func(chat domain.Chat) {
		if slices.Contains(chat.Blocks, user) {
			list.Items = append(list.Items, BlockedUser{User: chat.Peer(user), Chat: chat.ID})
		}
	})
	return list, err
}

// blockers are users who block the actor of a command, with their direct chats.
type blockers map[domain.UserID]domain.ChatID

// findBlockers returns what a command does first to find those of some users who block the actor; nil if that is not checked.
func (c *Chats) findBlockers(found *blockers, by domain.UserID, users []domain.UserID) func(ctx context.Context) error {
	if !c.policy.CheckBlocks || c.policy.DirectChats == nil {
		return nil
	}
	return func(ctx context.Context) error {
		chats := make([]domain.ChatID, 0, len(users))
		for _, user := range users {
			if user != by {
				chats = append(chats, c.policy.DirectIDs.of(by, user))
			}
		}
		*found = make(blockers)
		return directChats(ctx, c.entities, c.policy.DirectChats, chats, func(chat domain.Chat) {
			if peer := chat.Peer(by); slices.Contains(chat.Blocks, peer) {
				(*found)[peer] = chat.ID
			}
		})
	}
}

// refuse returns a decision, or [domain.ErrBlocked] if it has events that make a user a member who blocks the actor.
func (b blockers) refuse(by domain.UserID, users []domain.UserID, events []domain.Durable, err error) ([]domain.Durable, error) {
	if err != nil || len(events) == 0 {
		return events, err
	}
	for _, user := range users {
		if chat, blocks := b[user]; blocks {
			return nil, &domain.RestrictedError{Kind: domain.Block, Chat: chat, User: by}
		}
	}
	return events, nil
}

// directChats calls fn for the states of the chats that exist, in one round trip for each 64.
func directChats(ctx context.Context, entities *entity.Loader, log ports.BulkReader, chats []domain.ChatID, fn func(domain.Chat)) error {
	if len(chats) == 0 {
		return nil
	}
	loads := make([]entity.ChatEntities, len(chats))
	for i, chat := range chats {
		loads[i] = entity.ChatEntities{Chat: chat, Entities: []entity.Versioned{{Entity: domain.ChatEntity()}}}
		entities.Cached(chat, loads[i].Entities)
	}
	if err := entities.FillChats(ctx, log, loads); err != nil {
		return err
	}
	for _, l := range loads {
		if err := l.CheckVersions(0); err != nil {
			return err
		}
		if chat, _ := l.Entities[0].State.(*domain.Chat); chat.Exists() {
			fn(*chat)
		}
	}
	return nil
}
