package app

import (
	"context"
	"sync/atomic"
	"time"

	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// Log is the part of the event log that queries need.
type Log = projection.Log

// Queries read chats. They check no membership: code that answers users must use Core.As, or [Access]. Every answer about a chat is folded from the log, as of the time it is asked for or, by [Queries.At], as of a seq. Answers
// about a user come from views that the built-in subscribers keep. In a process that runs these, single messages, chat lists and contacts come from
// caches that they keep right: a moment behind the log, but never behind the process's own changes of a message.
type Queries struct {
	log      Log
	entities *entity.Loader
	models   *projection.Models
	contacts ContactsOf              // nil: the users that share a chat
	caches   *atomic.Pointer[Caches] // nil in it: nothing is answered from caches
	until    domain.Seq              // 0: as of now
	clock    ports.LogClock          // nil: the process's
	directID DirectIDs               // nil: domain.DirectID
}

// NewQueries puts the queries on the given log, and on views of it.
func NewQueries(log Log, entities *entity.Loader, views projection.Views) *Queries {
	return &Queries{log: log, entities: entities, models: projection.NewModels(log, entities, views), caches: new(atomic.Pointer[Caches])}
}

// WithClock returns the same queries with another clock, by which restrictions end; nil is the process's.
func (q *Queries) WithClock(clock ports.LogClock) *Queries {
	other := *q
	other.clock = clock
	return &other
}

// now returns the present time.
func (q *Queries) now() time.Time {
	if q.clock == nil {
		return time.Now()
	}
	return q.clock.Now()
}

// WithDirectIDs returns the same queries with another naming of direct chats; nil is [domain.DirectID].
func (q *Queries) WithDirectIDs(ids DirectIDs) *Queries {
	other := *q
	other.directID = ids
	return &other
}

// WithContacts returns the same queries with another source of contacts; nil: the users that share a chat.
func (q *Queries) WithContacts(of ContactsOf) *Queries {
	other := *q
	other.contacts = of
	return &other
}

// uncached returns the same queries, which never use caches: caches load from them.
func (q *Queries) uncached() *Queries {
	other := *q
	other.caches = new(atomic.Pointer[Caches])
	return &other
}

// UseCaches makes the queries use caches: for processes that invalidate them ([projection.StaleCaches]).
func (q *Queries) UseCaches(caches *Caches) {
	q.entities.TrackChanges()
	q.caches.Store(caches)
}

// At returns the same queries as of a seq of the chat in question: later events do not count. They read all the events that they need, and cache
// nothing. A seq above the chat's last means now, and so does 0. Queries about a user span chats, and typing is in no log: as of a seq they return
// [ErrNoViews].
func (q *Queries) At(seq domain.Seq) *Queries {
	if seq == 0 {
		return q
	}
	return &Queries{log: q.log, entities: q.entities.At(seq), models: q.models.At(seq), caches: new(atomic.Pointer[Caches]), until: seq}
}

// read returns a page as of the queries' seq. It returns [domain.ErrChatNotFound] if there is no such chat.
func (q *Queries) read(ctx context.Context, chat domain.ChatID, r ports.Range) (ports.Page, error) {
	r.Until = q.until
	page, err := q.log.Read(ctx, chat, r)
	if err == nil {
		err = entity.Found(chat, page.Head)
	}
	return page, err
}

// search is read of the events that a filter selects.
func (q *Queries) search(ctx context.Context, chat domain.ChatID, f ports.Filter, r ports.Range) (ports.Page, error) {
	r.Until = q.until
	page, err := q.log.Search(ctx, chat, f, r)
	if err == nil {
		err = entity.Found(chat, page.Head)
	}
	return page, err
}

// load returns the states of entities for a query; see [Entities.Read].
func (q *Queries) load(ctx context.Context, chat domain.ChatID, entities []entity.Versioned) (domain.Seq, error) {
	return q.entities.Read(ctx, chat, entities)
}

// refresh brings entities up to date that were filled from a cache.
func (q *Queries) refresh(ctx context.Context, chat domain.ChatID, entities []entity.Versioned) (domain.Seq, map[int]*entity.Unreadable, error) {
	head, unread, err := q.entities.Fill(ctx, chat, entities)
	if err == nil {
		err = entity.Found(chat, head)
	}
	return head, unread, err
}

func (q *Queries) exists(ctx context.Context, chat domain.ChatID) error {
	_, err := q.load(ctx, chat, nil)
	return err
}
