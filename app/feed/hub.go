package feed

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/internal/flight"
	"chatcore/ports"
)

// Dependencies are what a hub needs. All fields are required, but for Tail: without it every Open returns a [*domain.InvalidError].
type Dependencies struct {
	Log     app.Log
	LogID   string
	Tail    ports.Tail
	Access  *app.Access
	Queries *app.Queries
	Logger  *slog.Logger
}

// Config are the bounds of feeds. Zero values mean the defaults.
type Config struct {
	MaxChats   int           // chats that one feed follows. Defaults to 1,000
	MaxCatchUp int           // events of a chat that a feed gives from the log at its beginning. Defaults to 10,000
	QueueCount int           // messages that wait for a reader. Defaults to 1,024
	QueueBytes int           // bytes of events, as they are in the log, that wait for a reader. Defaults to 1 MiB
	Opens      int           // feeds that open in a second, beyond a fifth of that many at once; further ones wait. Defaults to 200 for each processor of Go
	Reads      int           // reads of the log at once, of all feeds. Defaults to 8
	CacheBytes int           // bytes of memory for events, decoded and encoded, that are kept for feeds that catch up. Defaults to 32 MiB
	Heartbeat  time.Duration // silence after which a feed gives a heartbeat. Defaults to 15 s
}

// WithDefaults returns the configuration with defaults in the place of zero values.
func (c Config) WithDefaults() Config {
	for _, field := range []struct {
		value     *int
		otherwise int
	}{
		{&c.MaxChats, 1000},
		{&c.MaxCatchUp, 10_000},
		{&c.QueueCount, 1024},
		{&c.QueueBytes, 1 << 20},
		{&c.Opens, 200 * runtime.GOMAXPROCS(0)},
		{&c.Reads, 8},
		{&c.CacheBytes, 32 << 20},
	} {
		if *field.value <= 0 {
			*field.value = field.otherwise
		}
	}
	if c.Heartbeat <= 0 {
		c.Heartbeat = 15 * time.Second
	}
	return c
}

// Hub serves the feeds of a process.
//
// A feed has no goroutine. Its reader's goroutine takes what is queued, and waits. Jobs of the hub read the log and the users' chats; their number is
// bounded, and there is none while there is nothing to read.
//
// Lock order: partition.mu; then pageCache.mu, Feed.mu, the locks of flights, pool.mu; then Hub.mu. interest.mu is acquired before Hub.mu only. No lock is
// held during a read of the log, a call of Access or Queries, or a call of the tail that may wait.
type Hub struct {
	d          Dependencies
	c          Config
	partitions []*partition
	pace       *pace
	cache      *pageCache
	reads      pool // of the log, for feeds that catch up
	chores     pool // other reads
	pages      *flight.Group[readKey, []*Feed, pageResult]
	ephemeral  interest
	statuses   statuses
	members    interest
	counts     counters

	generations atomic.Uint64   // the last one of a chat
	ctx         context.Context //nolint:containedctx // of the hub's jobs; Close ends it
	end         context.CancelFunc
	background  sync.WaitGroup

	// mu guards the fields below.
	mu     sync.Mutex
	closed bool
	feeds  map[*Feed]struct{}
	users  map[domain.UserID]*user // with feeds of all chats

	unreadable map[domain.ChatID]struct{} // that were logged
}

// NewHub returns a hub. It watches nothing until a feed is opened.
func NewHub(d Dependencies, c Config) *Hub {
	h := &Hub{
		d: d, c: c.WithDefaults(), pages: flight.New[readKey, []*Feed, pageResult](),
		feeds: make(map[*Feed]struct{}), users: make(map[domain.UserID]*user), unreadable: make(map[domain.ChatID]struct{}),
	}
	h.pace, h.cache = newPace(h.c.Opens), newPageCache(h.c.CacheBytes)
	h.reads, h.chores = pool{hub: h, limit: h.c.Reads}, pool{hub: h, limit: h.c.Reads}
	h.statuses.pending = make(map[domain.UserID]ports.EphemeralNotice)
	h.ctx, h.end = context.WithCancel(context.Background())
	if d.Tail != nil {
		for i := range d.Tail.Partitions() {
			h.partitions = append(h.partitions, &partition{hub: h, index: i, chats: make(map[domain.ChatID]*chat)})
		}
	}
	return h
}

// Close ends all feeds.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	feeds := make([]*Feed, 0, len(h.feeds))
	for f := range h.feeds {
		feeds = append(feeds, f)
	}
	h.mu.Unlock()
	h.end()
	for _, f := range feeds {
		f.Close()
	}
	h.background.Wait()
}

// spawn runs a job in the background. It reports false after the end of the hub.
func (h *Hub) spawn(job func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.background.Go(job)
	return true
}

// partitionOf returns the partition of a chat.
func (h *Hub) partitionOf(chat domain.ChatID) *partition {
	return h.partitions[h.d.Tail.PartitionOf(chat)]
}
