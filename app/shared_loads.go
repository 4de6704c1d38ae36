package app

import (
	"context"

	"chatcore/app/entity"
	"chatcore/domain"
	"chatcore/internal/flight"
)

// sharedLoads lets one call at a time load an entity that many calls of this process move at once. Each load begins where the one before it ended, so
// the loads of all calls together return each event once.
type sharedLoads struct {
	flights *flight.Group[sharedKey, struct{}, sharedLoad]
}

type sharedKey struct {
	chat   domain.ChatID
	entity domain.Entity
}

// sharedLoad is the result of a leader.
type sharedLoad struct {
	entity entity.Versioned // as loaded
	failed bool             // whether the calls that waited load for themselves
}

func newSharedLoads() *sharedLoads {
	return &sharedLoads{flights: flight.New[sharedKey, struct{}, sharedLoad]()}
}

// refresh brings the command's hot entity to a version of at least atLeast, and to the last one that this process knows of: from the cache, or else by
// a load that it shares with other calls. It reports false if the command needs a load of its own: the log may have lost events since the command
// began, or the shared load failed. A command without a hot entity needs none.
func (c *Chats) refresh(ctx context.Context, cmd *command, s *state, atLeast domain.Seq) bool {
	hot := s.entity(cmd.hot)
	if hot == nil {
		return true
	}
	needed := max(atLeast, c.entities.TakeNewer(cmd.chat, hot))
	switch {
	case hot.State == nil:
		return false
	case hot.Version >= needed:
		return true
	}
	loaded, _, err := c.shared.flights.Do(ctx, sharedKey{cmd.chat, cmd.hot}, flight.Call[struct{}, sharedLoad]{
		Lead:   func(func() struct{}) sharedLoad { return c.loadShared(ctx, cmd.chat, *hot) },
		Accept: func(l sharedLoad) bool { return l.failed || l.entity.Version >= needed },
	})
	if err != nil || loaded.failed || loaded.entity.Epoch != hot.Epoch || loaded.entity.Version < needed {
		return false
	}
	*hot = loaded.entity
	return true
}

// loadShared loads an entity for several calls. A leader whose ctx ends has not failed: another call takes over.
func (c *Chats) loadShared(ctx context.Context, chat domain.ChatID, known entity.Versioned) sharedLoad {
	c.entities.TakeNewer(chat, &known)
	entities := []entity.Versioned{known}
	_, unread, err := c.entities.Fill(ctx, chat, entities)
	if err != nil || len(unread) > 0 {
		return sharedLoad{failed: ctx.Err() == nil}
	}
	return sharedLoad{entity: entities[0]}
}
