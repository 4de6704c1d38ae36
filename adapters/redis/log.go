package redis

import (
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

	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// Sentinels of opening a log.
var (
	// ErrTooOld is a Redis older than the log's scripts need.
	ErrTooOld = errors.New("redis is too old")
	// ErrLogDiffers is returned when a log has other settings than this program; the error is a [*LogDiffersError].
	ErrLogDiffers = errors.New("the log has other settings")
)

// LogDiffersError names a setting on which all programs on a log must agree. The number of partitions and the hash are fixed for the log's life;
// core upgrade changes names.
type LogDiffersError struct {
	Setting            string // a name as Names.Stream
	Stored, Configured string
}

func (e *LogDiffersError) Error() string {
	remedy := "use the stored one, or another namespace"
	if strings.HasPrefix(e.Setting, "Names.") {
		remedy += ", or change it with core upgrade --name"
	}
	return fmt.Sprintf("%v: %s is %s in Redis and %s here; %s", ErrLogDiffers, e.Setting, e.Stored, e.Configured, remedy)
}

// Is reports that a LogDiffersError is [ErrLogDiffers].
func (e *LogDiffersError) Is(target error) bool { return target == ErrLogDiffers }

// LogConfig says which log to open.
type LogConfig struct {
	Keys     Keys
	Announce bool // publish each event on the plain pub/sub channel of its type
	Queue    int  // appends that wait, per server or per partition of a Cluster; one chat may take a quarter. Defaults to 4,096

	// Epoch is the present one of what appends are decided on; an append of another is refused. Defaults to none: no append is.
	Epoch func() uint64
	// Forget ends the epoch. It is called when Redis answers out of another history than before, and may know less than it had told.
	Forget func()

	// KnownLevel is the highest level of a log that the program knows, for tests that stand for an older or a newer one. Defaults to [Level].
	KnownLevel int

	Durability Durability
	Attempts   int           // of opening, while a part of Redis does not answer. Defaults to 10
	Backoff    time.Duration // before the second attempt; doubles up to 3 s. Defaults to 100 ms
	// StreamBound is about how many entries appends let a delivery stream have, for where no group runs that trims it. Groups that are further
	// behind read the log. Defaults to 200,000.
	StreamBound int
	Meter       metric.Meter // Defaults to one that measures nothing
	Logger      *slog.Logger
}

// Log is the event log in Redis. See the package's keys for how it is laid out. It does not close the client it was given. It watches its servers
// every second from [Log.Watch] on until [Log.Close].
type Log struct {
	client   goredis.UniversalClient
	codec    *wireformat.Codec
	keys     Keys
	announce bool
	id       string
	known    int                     // the highest level that this program knows
	held     []atomic.Pointer[field] // the identity of each partition, as scripts compare it
	adopting sync.Mutex              // over a change of held
	monitor  *serverMonitor
	clock    *Clock
	watching sync.WaitGroup
	unwatch  context.CancelFunc
	scripts  scripts

	epoch               func() uint64 // nil if there are none
	forget              func()        // nil if nothing is kept
	observing           sync.Mutex    // of histories
	historyName         *historyName
	ids, streams, marks []any   // keys of each partition; marks are this process's witnesses
	places              []any   // the numbers from 1 to that of partitions, as text
	header              []any   // what every append begins with: evalsha, the script's hash
	bound               any     // what it ends with: entries that a delivery stream keeps
	lanes               []*lane // one, or one for each partition of a Cluster
	tokens              *tokens
	ctx                 context.Context // of appends: no caller's, because a batch is many callers'
	durability          Durability
	rights              Rights
	witnesses           *witnesses
	halted              atomic.Pointer[halt] // nil unless a batch was half written
	refused             atomic.Uint64        // announcements, and removals of typing marks
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
	_ ports.UserViewPager  = (*UserView)(nil)
	_ ports.Confirmer      = (*Log)(nil)
	_ ports.Histories      = (*Log)(nil)
)

// minVersion is where SET with GET, EXPIRE with GT and scripts that replicate their effects are all there.
func minVersion() version { return version{7, 0} }

// Open finds the log of a namespace, or makes one. Partitions that carry a log's identity are that log, whatever else is lost. It returns
// [ErrTooOld] if the server is too old, [ErrNoPermission] if the Redis user lacks a right that the core needs, a [*LogDiffersError] if partitions,
// hash or names are not the log's, a [*ports.LogLevelError] if the log is at a level that this program does not know, and a [*PartitionsError] if a
// partition does not belong to the log of the others. While a part of Redis does not answer it tries again, a bounded number of times
// ([ErrUnreachable]). The caller must call Close when the log is no longer used.
func Open(ctx context.Context, client goredis.UniversalClient, codec *wireformat.Codec, c LogConfig) (*Log, error) {
	client = bare(client)
	logger := c.Logger
	if logger == nil {
		logger = slog.Default()
	}
	l := &Log{
		client: client, codec: codec, keys: c.Keys, announce: c.Announce, scripts: newScripts(), tokens: newTokens(), ctx: context.Background(),
		durability: c.Durability, epoch: c.Epoch, forget: c.Forget, logger: logger, monitor: newServerMonitor(client, logger), clock: newClock(client, c.Keys.id(0), logger), unwatch: func() {},
		known: positive(c.KnownLevel, Level), held: make([]atomic.Pointer[field], len(c.Keys.tags)), historyName: newHistoryName(),
	}
	l.durability.Timeout = c.Durability.Waits()
	l.rights = c.Keys.Rights().Database(database(client))
	l.witnesses = newWitnesses(l, strings.TrimSuffix(l.tokens.process, "."))
	for p := range c.Keys.tags {
		l.ids, l.streams = append(l.ids, c.Keys.id(p)), append(l.streams, c.Keys.stream(p))
		l.marks = append(l.marks, l.witnesses.list[p].key)
		l.places = append(l.places, strconv.Itoa(p+1))
	}
	lanes := 1
	if c.Keys.cluster {
		lanes = len(c.Keys.tags)
	}
	for range lanes {
		l.lanes = append(l.lanes, newLane(l, positive(c.Queue, 4096)))
	}
	var err error
	if l.meters, err = newMeters(c.Meter, l); err != nil {
		return nil, err
	}
	var info server
	find := func() (err error) {
		if info, err = inspect(ctx, client); err != nil {
			return err
		}
		if err := info.newEnough(minVersion()); err != nil {
			return err
		}
		if err := l.rights.Check(ctx, client); err != nil {
			return err
		}
		if err := l.monitor.look(ctx); err != nil {
			return err
		}
		if err := l.clock.sample(ctx); err != nil {
			return err
		}
		return l.identify(ctx)
	}
	err = newPatience(c.Attempts, c.Backoff, c.Logger).try(ctx, find, func(err error) bool {
		return errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, ErrNoPermission) && !refusesCredentials(err)
	})
	if err != nil {
		return nil, err
	}
	l.bound = strconv.Itoa(positive(c.StreamBound, 200_000))
	l.observing.Lock()
	l.nameHistory()
	l.observing.Unlock()
	l.header = []any{"evalsha", l.scripts.append.Hash()}
	return l, nil
}

// Watch begins to watch the servers in the background: when an eviction policy that may take keys of the log is switched on, appends return
// [ErrEvicting] within a second and the time of an answer, and work again as soon after it is switched off. Watch also keeps [Log.Clock] exact. The end of
// ctx and [Log.Close] end it. Watch is called once.
func (l *Log) Watch(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l.unwatch = cancel
	l.watching.Go(func() { l.monitor.watch(ctx, l.clock) })
}

// Close ends what Watch has begun, and the raising of witnesses. The client stays open.
func (l *Log) Close() {
	l.unwatch()
	l.watching.Wait()
	l.witnesses.close()
}

// TakesFrom implements [ports.LimitTaker]: of a [Limiter] with the same client and names, unless they are on a Cluster.
func (l *Log) TakesFrom(limiter ports.Limiter) bool {
	other, ok := limiter.(*Limiter)
	return ok && !l.keys.cluster && other.client == l.client && other.keys.prefix == l.keys.prefix && other.keys.names.RateLimit == l.keys.names.RateLimit
}

// Clock returns the log's clock. It is sampled when the log is opened and, from [Log.Watch] on, every second.
func (l *Log) Clock() *Clock { return l.clock }

// ID is the log's own id, made when the log was. Another id means another log, whose seqs have nothing to do with this one's.
func (l *Log) ID() string { return l.id }

// database returns the number of the database that a client uses.
func database(client goredis.UniversalClient) int {
	if single, ok := client.(*goredis.Client); ok {
		return single.Options().DB
	}
	return 0
}

type version [2]int

func (v version) String() string { return fmt.Sprintf("%d.%d", v[0], v[1]) }

// server is what matters of the servers behind a client.
type server struct {
	version version // the oldest; zero if no server tells
}

func (s server) newEnough(least version) error {
	if s.version == (version{}) || s.version[0] > least[0] || s.version[0] == least[0] && s.version[1] >= least[1] {
		return nil
	}
	return fmt.Errorf("%w: it is %s; needed: %s or newer", ErrTooOld, s.version, least)
}

func inspect(ctx context.Context, client goredis.UniversalClient) (server, error) {
	var found server
	look := func(ctx context.Context, node goredis.Cmdable) error {
		// Not every Redis tells everything: what is missing is taken to be fine.
		text, err := node.Info(ctx).Result()
		if err != nil {
			if answered(err) {
				return nil
			}
			return unavailable(ctx, err)
		}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			switch name {
			case "redis_version":
				var v version
				if _, err := fmt.Sscanf(value, "%d.%d", &v[0], &v[1]); err == nil && (found.version == version{} || v[0] < found.version[0] || v[0] == found.version[0] && v[1] < found.version[1]) {
					found.version = v
				}
			}
		}
		return nil
	}
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		// ForEachMaster looks at several nodes at once.
		results := make(chan server, 1)
		results <- found
		err := cluster.ForEachMaster(ctx, func(ctx context.Context, node *goredis.Client) error {
			found = <-results
			defer func() { results <- found }()
			return look(ctx, node)
		})
		return <-results, err
	}
	return found, look(ctx, client)
}
