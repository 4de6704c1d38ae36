package redisgroup_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

const (
	lease = time.Minute
	bound = 100 // of dead letters
)

// rig is a log with one partition, and the groups that read it.
type rig struct {
	t         *testing.T
	client    *goredis.Client
	log       *eventlog.Log
	groups    *redisgroup.Groups
	place     redisgroup.Partition
	partition groups.Partition
	sent      map[domain.ChatID]domain.Seq
}

func connect(t *testing.T, server *redistest.Server) *goredis.Client {
	t.Helper()
	user, password := redistest.Credentials()
	client := goredis.NewClient(&goredis.Options{Addr: server.Addr(), Username: user, Password: password, ContextTimeoutEnabled: true, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func newRig(t *testing.T, server *redistest.Server) *rig {
	t.Helper()
	client := connect(t, server)
	keys, err := keyspace.New("rig-"+uuid.NewString(), 1, false)
	if err != nil {
		t.Fatal(err)
	}
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	r := &rig{t: t, client: client, log: log, sent: make(map[domain.ChatID]domain.Seq)}
	var places []redisgroup.Partition
	for _, p := range keys.Log().Partitions() {
		places = append(places, redisgroup.Partition(p))
	}
	r.groups = redisgroup.New(redisgroup.Config{Commands: client, Blocking: client, Partitions: places, Log: log, Timeout: wait.Limit})
	r.place, r.partition = places[0], r.groups.Partitions()[0]
	t.Cleanup(func() { r.check(r.groups.Close()) })
	return r
}

func (r *rig) check(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// key returns a key of a group on the partition.
func (r *rig) key(name, group string) string { return r.place.Base + "g:" + name + ":" + group }

// send appends a message to each chat, and returns when Redis's clock is past these events' ms, with the time of the last one.
func (r *rig) send(chats ...domain.ChatID) time.Time {
	r.t.Helper()
	for _, chat := range chats {
		r.sent[chat]++
		id := fmt.Sprintf("%s-%d", chat, r.sent[chat])
		e := domain.MessageNew{Chat: chat, Message: domain.MessageID(id), Sender: "ada", Content: "hi", At: time.UnixMilli(1764057600000)}
		outcomes, err := r.log.AppendBatch(r.t.Context(), []ports.Append{{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID("e-" + id), Event: e, Moves: domain.Moves(e)}}}})
		r.check(err)
		r.check(outcomes[0].Err)
	}
	last, err := r.groups.Store("").Last(r.t.Context(), r.partition)
	r.check(err)
	wait.Until(r.t, "a later ms", func() bool { return r.now().UnixMilli() > int64(last.Milliseconds) }) //nolint:gosec // a time
	return time.UnixMilli(int64(last.Milliseconds))                                                      //nolint:gosec // a time
}

// now returns Redis's time.
func (r *rig) now() time.Time {
	r.t.Helper()
	now, err := r.client.Time(r.t.Context()).Result()
	r.check(err)
	return now
}

// create creates a group, with the checkpoints given.
func (r *rig) create(group string, at groups.Start, checkpoints ...groups.Checkpoint) groups.Store {
	r.t.Helper()
	store := r.groups.Store(group)
	for _, p := range r.groups.Partitions() {
		fresh, err := store.Create(r.t.Context(), p, at)
		r.check(err)
		if fresh {
			_, err = store.Seed(r.t.Context(), p, checkpoints, true)
			r.check(err)
		}
	}
	return store
}

// acquire acquires the partition for a member.
func (r *rig) acquire(store groups.Store, member string) *groups.Lease {
	r.t.Helper()
	leases, errs := store.Acquire(r.t.Context(), []groups.Partition{r.partition}, []bool{false}, groups.Applicant{Member: member, Lease: lease, DeadLetterBound: bound})
	r.check(errs[0])
	if leases[0] == nil {
		r.t.Fatal("another member owns the partition")
	}
	return leases[0]
}

// commit makes one change.
func (r *rig) commit(store groups.Store, epoch uint64, c groups.Commit) groups.CommitResult {
	r.t.Helper()
	return store.Commit(r.t.Context(), []groups.OwnedCommit{{Partition: r.partition, Epoch: epoch, Commit: &c}}, lease)[0]
}

// state returns the state of a group on the partition.
func (r *rig) state(group string) groups.PartitionState {
	r.t.Helper()
	s, err := r.groups.Inspect(r.t.Context(), group, []groups.Partition{r.partition})
	r.check(err)
	return s.Partitions[0]
}

// read returns chat:seq of the entries after an id.
func (r *rig) read(store groups.Store, after groups.StreamID) (entries []string) {
	r.t.Helper()
	b, err := store.Next(r.t.Context(), r.partition, after, false)
	r.check(err)
	for _, e := range b.Entries {
		entries = append(entries, fmt.Sprintf("%s:%d", e.Chat, e.Seq))
	}
	return entries
}

func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}
