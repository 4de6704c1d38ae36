package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// quick is a lease that lets a test see it end.
const quick = 600 * time.Millisecond

// rig is a log and its delivery streams. Members of groups read them as processes would, each over its own client.
type rig struct {
	t          *testing.T
	server     *redistest.Server
	client     *goredis.Client // of the test
	keys       keyspace.Keys
	log        *eventlog.Log
	partitions []redisgroup.Partition
	counters   *group.Counters
	plain      bool // handlers are called without Watermill

	mu   sync.Mutex
	sent map[domain.ChatID]domain.Seq
}

func newRig(t *testing.T, server *redistest.Server, partitions int) *rig {
	t.Helper()
	client := connect(t, server.Addr())
	keys, err := keyspace.New("rig-"+uuid.NewString(), partitions, false)
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return &rig{
		t: t, server: server, client: client, keys: keys, log: log, partitions: partitionsOf(keys), counters: &group.Counters{}, sent: make(map[domain.ChatID]domain.Seq),
	}
}

// plainly decides whether handlers are called without Watermill.
func (r *rig) plainly(plain bool) *rig {
	r.plain = plain
	return r
}

// partitionsOf returns the partitions of a log, and the stream of other programs as the last one.
func partitionsOf(keys keyspace.Keys) (partitions []redisgroup.Partition) {
	for _, p := range keys.Log().Partitions() {
		partitions = append(partitions, redisgroup.Partition(p))
	}
	return partitions
}

// ways runs a test with handlers of both kinds: Watermill's, and plain functions without Watermill.
func ways(t *testing.T, test func(t *testing.T, plain bool)) {
	t.Helper()
	for name, plain := range map[string]bool{"watermill": false, "plain": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, plain)
		})
	}
}

// topic is the stream of other programs, and the only one of a rig with one partition.
func (r *rig) topic() string { return r.partitions[len(r.partitions)-1].Stream }

// send appends count messages to each chat, in turns.
func (r *rig) send(count int, chats ...domain.ChatID) {
	r.t.Helper()
	const batch = 100
	var appends []ports.Append
	flush := func() {
		outcomes, err := r.log.AppendBatch(r.t.Context(), appends)
		for _, o := range outcomes {
			err = errors.Join(err, o.Err)
		}
		if err != nil {
			r.t.Fatal(err)
		}
		appends = appends[:0]
	}
	for range count {
		for _, chat := range chats {
			r.mu.Lock()
			r.sent[chat]++
			id := fmt.Sprintf("%s-%d", chat, r.sent[chat])
			r.mu.Unlock()
			e := domain.MessageNew{Chat: chat, Message: domain.MessageID(id), Sender: "ada", Content: "hi", At: fixedClock{}.Now()}
			appends = append(appends, ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID("e-" + id), Event: e, Moves: domain.Moves(e)}}})
			if len(appends) == batch {
				flush()
			}
		}
	}
	if len(appends) > 0 {
		flush()
	}
}

// chats returns n chat IDs.
func chats(n int) []domain.ChatID {
	names := make([]domain.ChatID, n)
	for i := range names {
		names[i] = domain.ChatID(fmt.Sprintf("chat-%d", i))
	}
	return names
}

// instance is a member of a group. To other members it looks like a separate process.
type instance struct {
	t      *testing.T
	client *goredis.Client
	router *pubsub.Router
	cancel context.CancelFunc
	ended  chan error
	once   sync.Once
}

// settings are those of a member of a group.
type settings struct {
	pubsub.SubscriberConfig
	client goredis.UniversalClient // nil: one of its own
	guard  redisgroup.LogGuard
}

// guardedLog is a log whose parts come from different places.
type guardedLog struct {
	redisgroup.LogGuard
	ports.Backlog
}

// config returns the settings of a member of a group. Tests change them before they start one.
func (r *rig) config(name string) settings {
	return settings{guard: r.log, SubscriberConfig: pubsub.SubscriberConfig{Config: group.Config{
		Group: name, LogID: r.log.ID(), Backlog: r.log, Codec: wireformat.New(),
		Retry: delivery.RetryPolicy{Attempts: 3, First: 10 * time.Millisecond, Max: 50 * time.Millisecond},
		Lease: quick, Drain: 5 * time.Second, Counters: r.counters, Logger: slog.New(slog.DiscardHandler),
	}}}
}

// beginning configures a group that begins with the first event.
func beginning(c settings) settings {
	c.Start.Beginning = true
	return c
}

// open gives settings their stores, over a client of their own unless they have one.
func (r *rig) open(c settings) settings {
	r.t.Helper()
	if c.client == nil {
		c.client = goredis.NewClient(options(r.server.Addr()))
		r.t.Cleanup(func() { _ = c.client.Close() })
	}
	stores := redisgroup.New(redisgroup.Config{Commands: c.client, Blocking: c.client, Partitions: r.partitions, Log: guardedLog{c.guard, c.Backlog}})
	r.t.Cleanup(func() {
		if err := stores.Close(); err != nil {
			r.t.Error(err)
		}
	})
	c.Stores = stores
	return c
}

// subscriber returns a subscriber with settings.
func (r *rig) subscriber(c settings) *pubsub.Subscriber {
	r.t.Helper()
	s, err := pubsub.NewSubscriber(r.open(c).SubscriberConfig)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// subscribe returns a subscriber with settings, and its messages.
func (r *rig) subscribe(c settings) (*pubsub.Subscriber, <-chan *message.Message) {
	r.t.Helper()
	s := r.subscriber(c)
	messages, err := s.Subscribe(r.t.Context(), pubsub.Topic)
	if err != nil {
		r.t.Fatal(err)
	}
	return s, messages
}

// streams returns groups of which only those of streams are used.
func streams(t *testing.T, client goredis.UniversalClient) *redisgroup.Groups {
	t.Helper()
	stores := redisgroup.New(redisgroup.Config{Commands: client, Blocking: client})
	t.Cleanup(func() {
		if err := stores.Close(); err != nil {
			t.Error(err)
		}
	})
	return stores
}

// start runs a member on a router, with middlewares around the handler, until it is stopped or the test ends.
func (r *rig) start(c settings, handle pubsub.Handler, around ...message.HandlerMiddleware) *instance {
	r.t.Helper()
	c = r.open(c)
	i := &instance{t: r.t, ended: make(chan error, 1)}
	i.client, _ = c.client.(*goredis.Client)
	var err error
	if i.router, err = pubsub.NewRouter(patience, slog.New(slog.DiscardHandler)); err != nil {
		r.t.Fatal(err)
	}
	handlers := pubsub.NewHandlers(map[string]pubsub.Handler{pubsub.AnyType: handle}, c.Counters)
	switch {
	case c.Batch != nil:
		err = i.router.AddCalls(pubsub.Topic, c.SubscriberConfig, nil)
	case r.plain:
		err = i.router.AddCalls(pubsub.Topic, c.SubscriberConfig, group.Calls(handlers.Handle))
	default:
		err = i.router.AddGroup(pubsub.Topic, c.SubscriberConfig, handlers.Consume(c.Codec), around...)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(r.t.Context())
	i.cancel = cancel
	go func() { i.ended <- i.router.Run(ctx) }()
	r.t.Cleanup(i.stop)
	select {
	case <-i.router.Running():
	case err := <-i.ended:
		i.once.Do(func() {})
		r.t.Fatal(err)
	}
	return i
}

// stop shuts the member down in order, and waits for it.
func (i *instance) stop() {
	i.once.Do(func() {
		i.cancel()
		if err := receive(i.t, i.ended); err != nil {
			i.t.Error(err)
		}
	})
}

// crash closes the member's connections for good. To Redis and other members it is gone.
func (i *instance) crash() { _ = i.client.Close() }

// groups administers the groups.
func (r *rig) groups() *redisgroup.Groups {
	return redisgroup.New(redisgroup.Config{Commands: r.client, Blocking: r.client, Partitions: r.partitions, Log: r.log})
}

// lettersOf returns the dead letters of a group.
func lettersOf(t *testing.T, admin groups.Admin, name string) (letters []groups.DeadLetter) {
	t.Helper()
	for letter, err := range admin.DeadLettersAfter(t.Context(), name, "") {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
}

func (r *rig) letters(name string) []groups.DeadLetter {
	r.t.Helper()
	return lettersOf(r.t, r.groups(), name)
}

// partition returns the state of a group on the first partition.
func (r *rig) partition(name string) groups.PartitionState {
	r.t.Helper()
	list, err := r.groups().List(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, state := range list {
		if state.Group == name {
			return state.Partitions[0]
		}
	}
	r.t.Fatalf("there is no group %q", name)
	return groups.PartitionState{}
}

// reading waits until a group's first partition has an owner that has checked all chats: events sent from then on arrive by the stream.
func (r *rig) reading(group string) {
	r.t.Helper()
	until(r.t, "the partition is read", func() bool { l := r.partition(group); return l.Owner != "" && !l.CatchesUp && l.Behind == 0 })
}

// idle waits until everything on a group's first partition is finished and committed.
func (r *rig) idle(group string) {
	r.t.Helper()
	until(r.t, "nothing is left to do", func() bool {
		l := r.partition(group)
		return l.Lag == 0 && l.Behind+l.Parked+l.Failing == 0 && !l.CatchesUp
	})
}

// checkpoint returns a chat's checkpoint in Redis.
func (r *rig) checkpoint(group string, chat domain.ChatID) string {
	r.t.Helper()
	seq, err := r.client.HGet(r.t.Context(), r.partitions[r.keys.Partition(chat)].Base+"g:chats:"+group, string(chat)).Result()
	if err != nil && !errors.Is(err, goredis.Nil) {
		r.t.Fatal(err)
	}
	return seq
}
