package eventlog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// Config is the configuration of a log.
type Config struct {
	Keys               keyspace.Keys
	Announce           bool // publish each event on the plain pub/sub channel of its type
	AnnouncePartitions bool // publish the events of each batch on the channels of their partitions; see [wireformat.Announcement]
	Queue              int  // queued appends per server, or per partition of a Cluster; one chat may use a quarter. Defaults to 4,096

	// Epoch returns the current epoch of the caller's caches. An append with another epoch is refused. Defaults to none: no append is refused.
	Epoch func() uint64
	// Forget ends the epoch. It is called when Redis replies from another history than before, which may lack events of earlier replies.
	Forget func()

	// KnownLevel is the highest level of a log that the program knows. Tests set it to simulate an older or a newer program. Defaults to [Level].
	KnownLevel int

	Durability Durability
	Attempts   int           // to open the log while a part of Redis does not answer. Defaults to 10
	Backoff    time.Duration // before the second attempt; doubles up to 3 s. Defaults to 100 ms
	// StreamBound is the approximate number of entries to which an append trims a delivery stream, in case no running group trims it. Groups that lag
	// further behind read the log. Defaults to 200,000.
	StreamBound int
	Meter       metric.Meter // Defaults to a meter that measures nothing
	Logger      *slog.Logger
}

// Log is the event log in Redis. Package keyspace describes its keys. The caller owns the client: Log does not close it. Log checks its servers every second
// from [Log.Watch] until [Log.Close].
type Log struct {
	client   goredis.UniversalClient
	codec    *wireformat.Codec
	keys     keyspace.Log
	limits   keyspace.Limits
	typing   keyspace.Typing
	announce bool
	id       string
	oldest   string                  // id of the oldest log that this one continues, or id
	known    int                     // the highest level that this program knows
	held     []atomic.Pointer[field] // the identity of each partition, which scripts compare
	adopting sync.Mutex              // serializes changes of held
	monitor  *health.Monitor
	clock    *Clock
	watching sync.WaitGroup
	unwatch  context.CancelFunc
	scripts  scripts

	epoch               func() uint64 // nil: no append is refused
	forget              func()        // nil: there are no caches to drop
	observing           sync.Mutex    // guards the histories of all partitions and historyName
	historyName         *historyName
	ids, streams, marks []any          // keys of each partition; marks are this process's witnesses
	places              []any          // the numbers from 1 to the number of partitions, as text
	header              []any          // the first words of every append: evalsha and the script's hash
	sendHeader          []any          // the same of plain sends
	eraseHeader         []any          // the same of plain erasures
	bound               any            // the number of entries that a delivery stream keeps
	announcing          any            // the command that publishes on the channels of partitions, or ""
	live                []any          // the channel of each partition
	public              [3]any         // the channels of message:new, message:delete and message:erased, or ""
	fences              []string       // the start of the key of a batch's fence, for each partition
	queues              []*appendQueue // one, or one for each partition of a Cluster
	tokens              *tokens
	ctx                 context.Context // of appends: not a caller's, because a batch has many callers
	durability          Durability
	rights              health.Rights
	witnesses           *witnesses
	halted              atomic.Pointer[halt] // nil unless a batch was half written
	refused             atomic.Uint64        // publications, and removals of typing marks
	meters              meters
	logger              *slog.Logger
	unreadable          atomic.Uint64 // snapshots
}

var (
	_ ports.EventLog       = (*Log)(nil)
	_ ports.BatchAppender  = (*Log)(nil)
	_ ports.LimitTaker     = (*Log)(nil)
	_ ports.Snapshots      = (*Log)(nil)
	_ ports.ChatIndex      = (*Log)(nil)
	_ ports.MessageCounter = (*Log)(nil)
	_ ports.EventSearch    = (*Log)(nil)
	_ ports.Lister         = (*Log)(nil)
	_ ports.Confirmer      = (*Log)(nil)
	_ ports.Histories      = (*Log)(nil)
	_ ports.Eraser         = (*Log)(nil)
	_ ports.Prober         = (*Log)(nil)
)

// Open opens the log of a namespace, or creates it. Partitions with a log's identity are that log, even if everything else is lost. While a part of Redis
// does not answer, Open tries again, a bounded number of times. The caller must call Close when the log is no longer used. Open returns
//
//   - [ErrUnreachable] if a part of Redis did not answer at the last attempt
//   - [ErrTooOld] if a server is too old
//   - [ErrNoPermission] if the Redis user lacks a right that the core needs
//   - a [*ports.LogDiffersError] if the partitions, the hash or the names differ from the log's
//   - a [*ports.LogLevelError] if the log is at a level that this program does not know
//   - a [*PartitionsError] if a partition does not belong to the log of the others
func Open(ctx context.Context, client goredis.UniversalClient, codec *wireformat.Codec, c Config) (*Log, error) {
	client = conn.Unwrap(client)
	logger := c.Logger
	if logger == nil {
		logger = slog.Default()
	}
	l := &Log{
		client: client, codec: codec, keys: c.Keys.Log(), limits: c.Keys.Limits(), typing: c.Keys.Typing(), announce: c.Announce, scripts: newScripts(), tokens: newTokens(), ctx: context.Background(),
		durability: c.Durability, epoch: c.Epoch, forget: c.Forget, logger: logger, monitor: health.NewMonitor(client, logger), clock: newClock(client, c.Keys.Log().ID(0), logger), unwatch: func() {},
		known: cmp.Or(max(c.KnownLevel, 0), Level), held: make([]atomic.Pointer[field], c.Keys.PartitionCount()), historyName: newHistoryName(),
	}
	l.durability.Timeout = c.Durability.Waits()
	l.rights = health.LogRights(c.Keys).Database(database(client))
	l.witnesses = newWitnesses(l, strings.TrimSuffix(l.tokens.process, "."))
	for p := range c.Keys.PartitionCount() {
		l.ids, l.streams = append(l.ids, l.keys.ID(p)), append(l.streams, l.keys.Stream(p))
		l.marks = append(l.marks, l.witnesses.list[p].key)
		l.live, l.fences = append(l.live, l.keys.Live(p)), append(l.fences, l.keys.Fence(p, ""))
		l.places = append(l.places, strconv.Itoa(p+1))
	}
	partitions := 1
	if c.Keys.Cluster() {
		partitions = c.Keys.PartitionCount()
	}
	for range partitions {
		l.queues = append(l.queues, newAppendQueue(l, cmp.Or(max(c.Queue, 0), 4096)))
	}
	var err error
	if l.meters, err = newMeters(ctx, c.Meter, l); err != nil {
		return nil, err
	}
	find := func() error {
		if err := health.CheckVersion(ctx, client); err != nil {
			return err
		}
		if err := l.rights.Check(ctx, client); err != nil {
			return err
		}
		if err := l.monitor.Look(ctx); err != nil {
			return err
		}
		if err := l.clock.sample(ctx); err != nil {
			return err
		}
		return l.identify(ctx)
	}
	err = conn.NewRetry(c.Attempts, c.Backoff, c.Logger).Do(ctx, find, func(err error) bool {
		return errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ports.ErrNoPermission) && !rediscmd.RefusesCredentials(err)
	})
	if err != nil {
		return nil, err
	}
	l.announcing = announceCommand(c)
	for i, typ := range [...]string{wireformat.TypeMessageNew, wireformat.TypeMessageDelete, wireformat.TypeMessageErased} {
		if l.public[i] = ""; c.Announce {
			l.public[i] = string(l.keys.AppendChannel(nil, typ))
		}
	}
	l.bound = strconv.Itoa(cmp.Or(max(c.StreamBound, 0), 200_000))
	l.observing.Lock()
	l.nameHistory()
	l.observing.Unlock()
	l.header, l.sendHeader, l.eraseHeader = []any{"evalsha", l.scripts.append.Hash()}, []any{"evalsha", l.scripts.send.Hash()}, []any{"evalsha", l.scripts.eraseMessage.Hash()}
	return l, nil
}

// announceCommand returns the command that publishes on the channel of a partition. On a Cluster that is SPUBLISH: a plain PUBLISH would reach all nodes.
func announceCommand(c Config) string {
	switch {
	case !c.AnnouncePartitions:
		return ""
	case c.Keys.Cluster():
		return "SPUBLISH"
	}
	return "PUBLISH"
}

// Watch starts to check the servers in the background. If an eviction policy is set that may remove keys of the log, appends return [ErrEvicting]
// within a second and the time of a reply. They work again as soon after the policy is reset. Watch also keeps [Log.Clock] exact. It ends with ctx or
// [Log.Close]. Watch must be called at most once.
func (l *Log) Watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l.unwatch = cancel
	l.watching.Go(func() { l.monitor.Watch(ctx, l.clock.sample) })
}

// Close stops the work of Watch and the raises of witnesses. The client remains open.
func (l *Log) Close() {
	l.unwatch()
	l.watching.Wait()
	l.witnesses.close()
}

// TakesFrom implements [ports.LimitTaker]: it reports whether limiter is a [Limiter] with the same client and names. On a Cluster it returns false.
func (l *Log) TakesFrom(limiter ports.Limiter) bool {
	other, ok := limiter.(*limit.Limiter)
	return ok && !l.keys.Cluster() && other.Shares(l.client, l.limits)
}

// Clock returns the log's clock. It is sampled when the log is opened and, from [Log.Watch] on, every second.
func (l *Log) Clock() *Clock { return l.clock }

// ID returns the log's id, which is generated when the log is created. A log with another id is another log, and its seqs are unrelated.
func (l *Log) ID() string { return l.id }

// Oldest returns the id of the oldest log that this one continues through restores, or the log's own id. Events have it in their identities, which a restore does
// not change.
func (l *Log) Oldest() string { return l.oldest }

// database returns the number of the database that a client uses.
func database(client goredis.UniversalClient) int {
	if single, ok := client.(*goredis.Client); ok {
		return single.Options().DB
	}
	return 0
}

// node returns the client of the partition's server. Commands for one partition are sent to it directly: go-redis's routing in a Cluster repeats
// unanswered commands and keeps asking a failed node.
func (l *Log) node(ctx context.Context, partition int) (*goredis.Client, error) {
	switch client := l.client.(type) {
	case *goredis.ClusterClient:
		return rediscmd.MasterFor(ctx, client, l.keys.ID(partition))
	case *goredis.Client:
		return client, nil
	}
	return nil, fmt.Errorf("a log cannot be on a %T", l.client)
}

// moved reports whether the call must be sent to another node, because the slot has moved or the node could not be reached. It reloads the Cluster's
// topology. It returns false if the command may have been executed.
func (l *Log) moved(ctx context.Context, err error) bool { return rediscmd.Moved(ctx, l.client, err) }

// run runs a script on one partition. The script may be executed twice. more are further keys after the partition's id key.
func (l *Log) run(ctx context.Context, script *goredis.Script, partition int, more []string, args ...any) (reply *goredis.Cmd) {
	keys := append([]string{l.keys.ID(partition)}, more...)
	for range rediscmd.Routes {
		node, err := l.node(ctx, partition)
		if err != nil {
			reply = goredis.NewCmd(ctx)
			reply.SetErr(err)
			return reply
		}
		if reply = script.Run(ctx, node, keys, args...); !l.moved(ctx, reply.Err()) {
			break
		}
	}
	return reply
}
