package live_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// never is longer than any test: a tail with this interval hears only announcements and what it reads because of them.
const never = time.Hour

// tailRig is a log with a tail.
type tailRig struct {
	*live.Tail
	t      testing.TB
	client goredis.UniversalClient // of the test
	keys   keyspace.Keys
	log    *eventlog.Log
	pubsub *live.PubSub
	config rigConfig

	mu   sync.Mutex
	sent map[domain.ChatID]int
}

// rigConfig says what differs between rigs.
type rigConfig struct {
	partitions int
	announce   bool
	pubsub     live.PubSubConfig // Client defaults to one of the server
	tail       live.TailConfig
}

// newTailRig returns a rig on a single server. The tail reads the streams only if it has to, unless c says otherwise.
func newTailRig(t testing.TB, server *redistest.Server, c rigConfig) *tailRig {
	t.Helper()
	open := func() goredis.UniversalClient { return goredis.NewClient(options(server.Addr())) }
	return newRigOn(t, open, false, c)
}

// newClusterRig returns a rig on a Cluster.
func newClusterRig(t testing.TB, cluster *redistest.Cluster, c rigConfig) *tailRig {
	t.Helper()
	user, password := redistest.Credentials()
	open := func() goredis.UniversalClient {
		var addrs []string
		for _, s := range cluster.Nodes() {
			addrs = append(addrs, s.Addr())
		}
		return goredis.NewClusterClient(&goredis.ClusterOptions{
			Addrs: addrs, Username: user, Password: password, ContextTimeoutEnabled: true, MaxRedirects: -1, MaxRetries: -1,
			DialTimeout: 2 * time.Second, ReadTimeout: 2 * time.Second,
		})
	}
	return newRigOn(t, open, true, c)
}

func newRigOn(t testing.TB, open func() goredis.UniversalClient, cluster bool, c rigConfig) *tailRig {
	t.Helper()
	keys, err := keyspace.New("tail-"+uuid.NewString(), max(c.partitions, 1), cluster)
	if err != nil {
		t.Fatal(err)
	}
	client := opened(t, open)
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, AnnouncePartitions: c.announce})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	r := &tailRig{t: t, client: client, keys: keys, log: log, config: c, sent: make(map[domain.ChatID]int)}
	r.start(open, c)
	return r
}

// newTailRigOf returns another tail of a rig's log, as another process has it.
func newTailRigOf(t testing.TB, server *redistest.Server, of *tailRig) *tailRig {
	t.Helper()
	r := &tailRig{t: t, client: of.client, keys: of.keys, log: of.log, config: of.config, sent: of.sent}
	r.start(func() goredis.UniversalClient { return goredis.NewClient(options(server.Addr())) }, of.config)
	return r
}

// opened returns a client that is closed when the test ends.
func opened(t testing.TB, open func() goredis.UniversalClient) goredis.UniversalClient {
	client := open()
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// start starts the tail.
func (r *tailRig) start(open func() goredis.UniversalClient, c rigConfig) {
	r.t.Helper()
	if c.pubsub.Client == nil {
		c.pubsub.Client = opened(r.t, open)
	}
	if c.pubsub.Probe == 0 {
		c.pubsub.Probe = patience
	}
	c.pubsub.Channel, c.pubsub.Logger = r.keys.Channel, slog.New(slog.DiscardHandler)
	r.pubsub = live.NewPubSub(c.pubsub)
	if c.tail.Client == nil {
		c.tail.Client = opened(r.t, open)
	}
	if c.tail.Sweep == 0 {
		c.tail.Sweep = never
	}
	for p := range max(c.partitions, 1) {
		c.tail.Partitions = append(c.tail.Partitions, live.TailPartition{Stream: r.keys.Log().Stream(p), Channel: r.keys.Log().Live(p)})
	}
	c.tail.PubSub, c.tail.PartitionOf, c.tail.Memberships = r.pubsub, r.keys.Partition, r.keys.Views().Memberships()
	c.tail.Codec, c.tail.Logger = wireformat.New(), slog.New(slog.DiscardHandler)
	r.Tail = live.NewTail(c.tail)
	r.t.Cleanup(func() {
		r.Close()
		if err := r.pubsub.Close(); err != nil {
			r.t.Error(err)
		}
	})
}

// chatIn returns a chat of a partition.
func (r *tailRig) chatIn(partition int) domain.ChatID {
	for i := 0; ; i++ {
		if chat := domain.ChatID(fmt.Sprintf("chat-%d", i)); r.PartitionOf(chat) == partition {
			return chat
		}
	}
}

// append appends messages to a chat, in one batch.
func (r *tailRig) append(ctx context.Context, chat domain.ChatID, count int) error {
	var appends []ports.Append
	for range count {
		r.mu.Lock()
		r.sent[chat]++
		id := fmt.Sprintf("%s-%d", chat, r.sent[chat])
		r.mu.Unlock()
		e := domain.MessageNew{Chat: chat, Message: domain.MessageID(id), Sender: "ada", Content: "hi", At: time.Now()}
		appends = append(appends, ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID("e-" + id), Event: e, Moves: domain.Moves(e)}}})
	}
	outcomes, err := r.log.AppendBatch(ctx, appends)
	for _, o := range outcomes {
		err = errors.Join(err, o.Err)
	}
	return err
}

func (r *tailRig) send(chat domain.ChatID, count int) {
	r.t.Helper()
	if err := r.append(r.t.Context(), chat, count); err != nil {
		r.t.Fatal(err)
	}
}

// unannounced adds an event to a partition's stream, as a program does that announces nothing.
func (r *tailRig) unannounced(chat domain.ChatID, seq int) {
	r.t.Helper()
	if err := r.client.XAdd(r.t.Context(), r.entry(chat, seq)).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// entry returns the entry of an event for a partition's stream.
func (r *tailRig) entry(chat domain.ChatID, seq int) *goredis.XAddArgs {
	r.t.Helper()
	e := domain.MessageNew{Chat: chat, Message: domain.MessageID(fmt.Sprintf("m%d", seq)), Sender: "ada", Content: "hi", At: time.Now()}
	encoded, err := wireformat.New().Encode("e", e, ports.Meta{})
	if err != nil {
		r.t.Fatal(err)
	}
	return &goredis.XAddArgs{
		Stream: r.keys.Log().Stream(r.PartitionOf(chat)),
		Values: []any{"payload", string(encoded.Splice(domain.Seq(seq), 0)), "chat", string(chat), "seq", fmt.Sprint(seq)},
	}
}

// add adds an entry to a partition's stream.
func (r *tailRig) add(partition int, fields ...any) {
	r.t.Helper()
	if err := r.client.XAdd(r.t.Context(), &goredis.XAddArgs{Stream: r.keys.Log().Stream(partition), Values: fields}).Err(); err != nil {
		r.t.Fatal(err)
	}
}

// subscribers returns the number of connections that are subscribed to the channel of a partition of a single server.
func (r *tailRig) subscribers(partition int) int64 {
	channel := r.keys.Log().Live(partition)
	return r.client.PubSubNumSub(r.t.Context(), channel).Val()[channel]
}

// watch watches a partition until the test ends.
func (r *tailRig) watch(partition int) *ear {
	r.t.Helper()
	e := &ear{t: r.t, partition: partition}
	stop, err := r.Watch(r.t.Context(), partition, e)
	if err != nil {
		r.t.Fatal(err)
	}
	e.stop = func() {
		stop()
		e.mu.Lock()
		defer e.mu.Unlock()
		e.stopped = true
	}
	r.t.Cleanup(stop)
	return e
}

// ear is a watcher of one partition that keeps what it hears.
type ear struct {
	t         testing.TB
	partition int
	stop      func()

	mu      sync.Mutex
	notices []ports.Notice
	lost    int
	stopped bool
}

var _ ports.TailWatcher = (*ear)(nil)

func (e *ear) Appended(partition int, notices []ports.Notice) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopped {
		e.t.Error("a watcher that has stopped is called")
	}
	if partition != e.partition {
		e.t.Errorf("events of partition %d come to a watcher of %d", partition, e.partition)
	}
	e.notices = append(e.notices, notices...)
}

func (e *ear) Lost(partition int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if partition != e.partition {
		e.t.Errorf("a loss of partition %d comes to a watcher of %d", partition, e.partition)
	}
	e.lost++
}

// heard returns the seqs of a chat that were heard, and the number of losses.
func (e *ear) heard(chat domain.ChatID) (seqs []int, lost int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, n := range e.notices {
		if n.Chat == chat {
			seqs = append(seqs, int(n.Seq)) //nolint:gosec // a few
		}
	}
	return seqs, e.lost
}

func (e *ear) losses() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.lost
}

// hears waits until exactly the seqs from one to another one of a chat were heard, in order and once each, without a loss.
func (e *ear) hears(chat domain.ChatID, from, to int) {
	e.t.Helper()
	var want []int
	for seq := from; seq <= to; seq++ {
		want = append(want, seq)
	}
	wait.Until(e.t, fmt.Sprintf("seq %d of %s is heard", to, chat), func() bool {
		seqs, lost := e.heard(chat)
		if len(seqs) > len(want) || lost > 0 {
			e.t.Fatalf("heard %v of %s and %d losses, want %d to %d", seqs, chat, lost, from, to)
		}
		return len(seqs) == len(want)
	})
	if seqs, _ := e.heard(chat); !slices.Equal(seqs, want) {
		e.t.Fatalf("heard %v of %s, want %d to %d", seqs, chat, from, to)
	}
}
