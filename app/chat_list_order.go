package app

import (
	"context"
	"maps"
	"slices"

	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
)

// listOrder returns the chats of a user in the order of the list, without those that the views show to be left out by a filter.
func (q *Queries) listOrder(ctx context.Context, user domain.UserID, filter ChatFilter) ([]projection.Activity, error) {
	listed, err := q.models.ListedChats(ctx, user)
	if err != nil {
		return nil, err
	}
	chats := slices.Collect(maps.Keys(listed.Joined))
	if filter.Favourite && listed.Favourites != nil {
		chats = slices.DeleteFunc(chats, func(chat domain.ChatID) bool { return listed.Favourites[chat] == 0 })
	}
	last, err := q.models.LastMessages(ctx, chats)
	if err != nil {
		return nil, err
	}
	order := make([]projection.Activity, 0, len(chats))
	var late []int // places of chats that the user has joined after their last message
	for i, chat := range chats {
		joined := domain.Seq(listed.Joined[chat])
		if last[i].Seq == 0 || listed.Hidden != nil && filter.Hidden != hides(listed.Hidden, chat, max(joined, last[i].Seq)) {
			continue
		}
		if joined > last[i].Seq {
			late = append(late, len(order))
		}
		order = append(order, projection.Activity{Chat: chat, LastMessage: last[i]})
	}
	if err := q.setJoinTimes(ctx, user, order, late, listed.Joined); err != nil {
		return nil, err
	}
	slices.SortFunc(order, projection.CompareActivity)
	return order, nil
}

// hides reports whether the view of hidden chats leaves a chat out. last is the seq of the last message of the main timeline, or of the user's join if that is later.
func hides(hidden map[domain.ChatID]uint64, chat domain.ChatID, last domain.Seq) bool {
	until, is := hidden[chat]
	return is && uint64(last) <= until
}

// setJoinTimes sets the times of chats at some places to those of the user's joins, if these are later. It takes a load of the memberships that the process has not
// seen since the join.
func (q *Queries) setJoinTimes(ctx context.Context, user domain.UserID, order []projection.Activity, places []int, joined map[domain.ChatID]uint64) error {
	var unknown []int
	var loads []entity.ChatEntities
	set := func(place int, membership []entity.Versioned) bool {
		m, _ := membership[0].State.(*domain.Member)
		if m == nil || uint64(m.Since) != joined[order[place].Chat] {
			return false
		}
		order[place].At = later(order[place].At, m.JoinedAt)
		return true
	}
	for _, place := range places {
		membership := []entity.Versioned{{Entity: domain.MemberEntity(user)}}
		q.entities.Cached(order[place].Chat, membership)
		if !set(place, membership) {
			unknown, loads = append(unknown, place), append(loads, entity.ChatEntities{Chat: order[place].Chat, Entities: membership})
		}
	}
	if len(loads) == 0 {
		return nil
	}
	if err := q.entities.FillChats(ctx, q.log, loads); err != nil {
		return err
	}
	for i, place := range unknown {
		set(place, loads[i].Entities) // not if the user has left or joined again meanwhile: the row has it
	}
	return nil
}
