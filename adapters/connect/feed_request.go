package connect

import (
	"cmp"
	"context"
	"fmt"

	"chatcore/adapters/connect/auth"
	"chatcore/app/feed"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// Bounds of requests of feeds.
const (
	maxFeedChats   = 1000
	maxCatchUp     = 10_000
	defaultCatchUp = 1000
	maxLogID       = 128 // bytes
)

// feedRequest returns the request of a feed. Its errors name fields as the protos do.
func (c *calls) feedRequest(ctx context.Context, req *v1.WatchRequest) (feed.Request, error) {
	in := c.read(ctx)
	r := feed.Request{
		User: in.feedReader(req.GetActorId()), AllChats: req.GetAllChats(), Resume: req.GetResume(), LogID: req.GetLogId(),
		MaxCatchUp: int(cmp.Or(req.GetMaxCatchUp(), defaultCatchUp)), DurableOnly: req.GetDurableOnly(),
	}
	if n := len(req.GetChats()); n > maxFeedChats {
		in.keep(&domain.InvalidError{Field: "chats", Problem: fmt.Sprintf("has %d", n), Allowed: fmt.Sprintf("at most %d", maxFeedChats)})
	} else if n == 0 && !r.AllChats {
		in.keep(&domain.InvalidError{Field: "chats", Problem: "is empty", Allowed: fmt.Sprintf("1 to %d, or all_chats", maxFeedChats)})
	}
	if r.AllChats && r.User == "" && in.err == nil {
		in.keep(&domain.InvalidError{Field: "all_chats", Problem: "is set without a user", Allowed: "an actor_id beside it"})
	}
	if r.Resume && !r.AllChats {
		in.keep(&domain.InvalidError{Field: "resume", Problem: "is set without all_chats", Allowed: "all_chats beside it"})
	}
	if r.MaxCatchUp > maxCatchUp {
		in.keep(&domain.InvalidError{Field: "max_catch_up", Problem: fmt.Sprintf("is %d", r.MaxCatchUp), Allowed: fmt.Sprintf("1 to %d, or 0 for %d", maxCatchUp, defaultCatchUp)})
	}
	if n := len(r.LogID); n > maxLogID {
		in.keep(&domain.InvalidError{Field: "log_id", Problem: fmt.Sprintf("has %d bytes", n), Allowed: "the log_id of an earlier feed, or empty"})
	}
	if in.err == nil {
		r.Chats = in.positions(req.GetChats())
	}
	return r, in.err
}

// feedReader returns the user that reads a feed: "" for a service that names none.
func (in *input) feedReader(named string) domain.UserID {
	if _, service := auth.From(in.ctx).(auth.Service); service && named == "" {
		return ""
	}
	return in.actor(named)
}

// positions returns the positions of a reader, each of another chat.
func (in *input) positions(given []*v1.ChatPosition) []feed.Position {
	positions := make([]feed.Position, len(given))
	seen := make(map[domain.ChatID]struct{}, len(given))
	for i, p := range given {
		field := fmt.Sprintf("chats[%d].chat_id", i)
		chat, err := domain.ParseChatID(p.GetChatId())
		in.keep(inField(field, err))
		if _, twice := seen[chat]; twice && in.err == nil {
			in.keep(&domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %q again", chat), Allowed: "each chat once"})
		}
		seen[chat] = struct{}{}
		positions[i] = feed.Position{Chat: chat, Seq: domain.Seq(p.GetAfterSeq()), Head: p.AfterSeq == nil}
	}
	return positions
}
