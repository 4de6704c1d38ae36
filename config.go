package chatcore

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strconv"
	"time"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// Config is everything that can be set. The zero value of each field means its default.
type Config struct {
	// RedisURL is redis://[[user]:password@]host:port[/db], rediss:// for TLS, several separated by commas for a Cluster, or unix:// for a Unix
	// socket. With master_name=NAME in its query it is that of a Sentinel; see redis.ParseURL. New needs it, NewInMemory does not.
	RedisURL string
	// CacheURL is the URL of the server for the caches, which may be evicted: those of messages, of lists of chats and contacts, and of NewCache.
	// Values of helpers, sessions, limits, presence and typing marks stay on the server of RedisURL: other programs use them there. Defaults to
	// RedisURL: they share its connections.
	CacheURL string
	// TLS has the certificate authorities, a client certificate and the server's name for rediss:// URLs. Defaults to the system's authorities,
	// no client certificate, and the name that is dialed.
	TLS *tls.Config
	// PoolSize is how many connections each server is given at most for commands, as many for publishing and as many for the cache; reads of
	// streams have a pool of their own. Defaults to 10 × GOMAXPROCS.
	PoolSize int
	// Namespace and a colon go before every key and channel. Defaults to "": nothing does.
	Namespace string
	// Names are the names of keys, channels and the delivery stream, after the namespace. Defaults to the names of the wire contract, which the
	// TypeScript services use.
	Names keyspace.Names
	// Partitions is the number of partitions of the log, 1 to 1,024; fixed for the life of a log. Defaults to 16.
	Partitions int
	// DisablePubSub turns off the publishing of durable events on the plain pub/sub channel of their type. Defaults to false: they
	// are published.
	DisablePubSub bool

	// TTL holds the lifetimes of sessions, caches, typing marks and presence. Defaults to the guide's times.
	TTL TTLs

	// SessionLifetime is how long a session lives however much it is used; TTL.Session is how long it does unused. Defaults to 30 days.
	SessionLifetime time.Duration
	// SessionsPerUser is how many sessions a user may have, 1 to 1,000; one more closes the one that was opened first. Defaults to 32.
	SessionsPerUser int
	// SessionCompat keeps sessions under session: and their tokens, as the TypeScript guide does, and takes the tokens of its programs, whose
	// sessions must have a userId. A reader of the names of keys, also of those in a backup or a log of slow commands, can then act as any user. Not
	// on a Cluster. Defaults to false: Redis holds only the hashes of tokens.
	SessionCompat bool

	// EditWindow is how long after the send a message may be edited. Defaults to 0: at any time.
	EditWindow time.Duration

	// Limits are how often something may be done, by kind. The commands take those of app.LimitSend, app.LimitReact and the like; app.LimitLogin and
	// custom kinds are taken by calls of Core.Limits. Defaults to none: nothing is limited. A service may begin with app.ServiceLimits.
	Limits map[string]app.Limit
	// Caps are bounds on one user, message or command. Processes on a log should agree on them.
	Caps app.Caps

	// Queue is how many appends may wait for their turn, per server, or per partition of a Cluster; one chat may take a quarter. Beyond
	// it appends fail with ports.ErrOverloaded. Defaults to 4,096.
	Queue int
	// EntityCache is about how many bytes of entity states are kept in the process. Defaults to 64 MiB; below 0 nothing is.
	EntityCache int
	// Durability says how many replicas have to confirm an append before it is acknowledged, and how long to wait for them; if they do
	// not, the append stands and the command fails with ports.ErrUnconfirmed. Defaults to 0 replicas, and to 1 s.
	Durability eventlog.Durability

	// Lease is how long a process that no longer answers keeps the partitions that it delivers; another takes them then. Defaults to 3 s.
	Lease time.Duration
	// BuiltinPace is how often the built-in subscribers read the streams and write unread counts for other programs, at most a minute. Defaults to 1 s.
	BuiltinPace time.Duration
	// StreamBound is how many entries a partition's stream keeps for groups that are behind; older events they read from the log, which keeps all.
	// Where no group runs, appends keep a stream at about twice as many. Defaults to 100,000.
	StreamBound int
	// EffectTTL is how long it is remembered that an effect was made (see Core.Once). Defaults to a week.
	EffectTTL time.Duration

	// MaxGroups is how many consumer groups this process may run, the built-in ones included; one more is ErrTooManyGroups. On Redis each group costs
	// the server about 11 commands a second for each partition, also when nothing happens. Defaults to as many as have 4,352 partitions together (256 groups
	// with 16 partitions), at least 16; in memory and on a custom log to no bound.
	MaxGroups int

	// Retry says how often, and when, a failed handler is started again. Defaults to 10 attempts over about three minutes: pauses from 500 ms,
	// doubling up to 1 min. Transient failures are no attempts (see Transient).
	Retry pubsub.RetryPolicy
	// DeadLetterBound is how many dead letters a group keeps on a partition. At that number, a delivery that would become one more is retried
	// instead, Retry.Max apart: its chat waits until some are retried or dropped. Defaults to 10,000.
	DeadLetterBound int
	// Warn says from when on Health.Findings warns about a consumer group.
	Warn Thresholds
	// LiveBuffer is how many live messages wait for a slow listener before further ones are dropped. Defaults to 256.
	LiveBuffer int

	// CommandTimeout bounds a dial, and each write and read of a command. Defaults to 5 s, on a Cluster to 2 s: a command to a silent master then
	// goes to its successor.
	CommandTimeout time.Duration
	// ConnectAttempts is how often the first connection is tried, and then the opening of the log, for which all of a Cluster has to be there;
	// from 100 ms apart, doubling up to 3 s. An error that no attempt changes (ErrRejected) ends them at once. Defaults to 10.
	ConnectAttempts int
	// StopTimeout is how long Run takes in all to stop: handlers, commits, live listeners and connections. A fifth of it, at most 4 s, is for the
	// steps after the handlers. Defaults to 25 s, because Kubernetes kills after 30 s.
	StopTimeout time.Duration

	// Logger takes all logging; message contents and tokens are never logged. go-redis has one log per process, which goes to the Logger of the core
	// that was opened last, at debug level. Defaults to slog.Default() with the attribute component=chatcore; a given Logger is used as it is.
	Logger *slog.Logger
}

// Thresholds say from when on [Health.Findings] warns about a consumer group. The zero value of each field means its default.
type Thresholds struct {
	Lag     int           // events that it has not finished. Defaults to 10,000
	LagAge  time.Duration // age of the oldest of them that waits on a stream. Defaults to 5 min
	Waiting int           // chats whose next event fails, or which are parked. Defaults to 1,000
}

func (t Thresholds) withDefaults() Thresholds {
	if t.Lag == 0 {
		t.Lag = 10_000
	}
	if t.LagAge == 0 {
		t.LagAge = 5 * time.Minute
	}
	if t.Waiting == 0 {
		t.Waiting = 1000
	}
	return t
}

// TTLs are how long things are kept.
type TTLs struct {
	Session     time.Duration // without being used. Defaults to 1 h
	UserStatus  time.Duration // Defaults to 5 min
	ChatList    time.Duration // cached. Defaults to 10 min
	Message     time.Duration // cached. Defaults to 30 min
	ContactList time.Duration // cached. Defaults to 10 min
	Typing      time.Duration // of a start that no stop follows. Defaults to 5 s
	Presence    time.Duration // of the list of a user's devices and, after the last heartbeat has ended, of the chosen status. Defaults to 5 min
	// Heartbeat is how long a device is there after a heartbeat: three times as long as devices wait between two. At most half of UserStatus and of
	// Presence; the same in all processes. Defaults to 90 s.
	Heartbeat time.Duration
}

func (t TTLs) withDefaults() TTLs {
	for _, d := range []struct {
		field    *time.Duration
		fallback time.Duration
	}{
		{&t.Session, time.Hour},
		{&t.UserStatus, 5 * time.Minute},
		{&t.ChatList, 10 * time.Minute},
		{&t.Message, 30 * time.Minute},
		{&t.ContactList, 10 * time.Minute},
		{&t.Typing, domain.TypingTTL},
		{&t.Presence, 5 * time.Minute},
		{&t.Heartbeat, 90 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.fallback
		}
	}
	return t
}

// minHeartbeat is the shortest lifetime of a heartbeat; the sweeper runs once a second.
const minHeartbeat = time.Second

func (t TTLs) presence() ports.PresenceTTL {
	return ports.PresenceTTL{Heartbeat: t.Heartbeat, Kept: t.Presence, Status: t.UserStatus}
}

// Validate reports everything that is wrong with the settings at once.
func (c Config) Validate() error {
	var errs []error
	refuse := func(field string, problem any, allowed string) {
		errs = append(errs, &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %v", problem), Allowed: allowed})
	}
	if _, err := c.Names.Keys(c.Namespace, c.WithDefaults().Partitions, false); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, app.CheckLimits(c.Limits), c.Caps.Check())
	for _, d := range []struct {
		field string
		value time.Duration
	}{
		{"EditWindow", c.EditWindow},
		{"SessionLifetime", c.SessionLifetime},
		{"EffectTTL", c.EffectTTL},
		{"TTL.Session", c.TTL.Session},
		{"TTL.UserStatus", c.TTL.UserStatus},
		{"TTL.ChatList", c.TTL.ChatList},
		{"TTL.Message", c.TTL.Message},
		{"TTL.ContactList", c.TTL.ContactList},
		{"TTL.Typing", c.TTL.Typing},
		{"TTL.Presence", c.TTL.Presence},
		{"TTL.Heartbeat", c.TTL.Heartbeat},
		{"CommandTimeout", c.CommandTimeout},
		{"StopTimeout", c.StopTimeout},
		{"Lease", c.Lease},
		{"BuiltinPace", c.BuiltinPace},
		{"Warn.LagAge", c.Warn.LagAge},
		{"Retry.First", c.Retry.First},
		{"Retry.Max", c.Retry.Max},
		{"Durability.Timeout", c.Durability.Timeout},
	} {
		if d.value < 0 {
			refuse(d.field, d.value, "a duration from 0")
		}
	}
	if t := c.TTL.withDefaults(); t.Heartbeat > min(t.Presence, t.UserStatus)/2 {
		refuse("TTL.Heartbeat", t.Heartbeat, "at most half of TTL.Presence and of TTL.UserStatus")
	}
	if c.TTL.Heartbeat > 0 && c.TTL.Heartbeat < minHeartbeat {
		refuse("TTL.Heartbeat", c.TTL.Heartbeat, "at least "+minHeartbeat.String())
	}
	if c.Lease > 0 && c.Lease < pubsub.MinLease {
		refuse("Lease", c.Lease, "at least "+pubsub.MinLease.String())
	}
	if c.BuiltinPace > maxBuiltinPace {
		refuse("BuiltinPace", c.BuiltinPace, "at most "+maxBuiltinPace.String())
	}
	if c.SessionsPerUser < 0 || c.SessionsPerUser > domain.MaxSessionsPerUser {
		refuse("SessionsPerUser", c.SessionsPerUser, "1 to "+strconv.Itoa(domain.MaxSessionsPerUser))
	}
	if cluster, err := conn.IsCluster(c.RedisURL); c.SessionCompat && err == nil && cluster {
		refuse("SessionCompat", true, "false on a Cluster")
	}
	for _, n := range []struct {
		field string
		value int
	}{
		{"LiveBuffer", c.LiveBuffer},
		{"ConnectAttempts", c.ConnectAttempts},
		{"PoolSize", c.PoolSize},
		{"Retry.Attempts", c.Retry.Attempts},
		{"Queue", c.Queue},
		{"StreamBound", c.StreamBound},
		{"MaxGroups", c.MaxGroups},
		{"DeadLetterBound", c.DeadLetterBound},
		{"Warn.Lag", c.Warn.Lag},
		{"Warn.Waiting", c.Warn.Waiting},
		{"Durability.Replicas", c.Durability.Replicas},
	} {
		if n.value < 0 {
			refuse(n.field, n.value, "a number from 0")
		}
	}
	return errors.Join(errs...)
}

// maxBuiltinPace is the longest pace of the built-in subscribers.
const maxBuiltinPace = time.Minute

// WithDefaults returns the configuration with the default of every field that is zero. CommandTimeout stays 0 where the kind of server decides it.
func (c Config) WithDefaults() Config {
	c.Names = c.Names.WithDefaults()
	c.TTL = c.TTL.withDefaults()
	c.Warn = c.Warn.withDefaults()
	c.Caps = c.Caps.WithDefaults()
	retry := pubsub.RetryPolicy{}.WithDefaults()
	for _, d := range []struct {
		field    *time.Duration
		fallback time.Duration
	}{
		{&c.SessionLifetime, 30 * 24 * time.Hour},
		{&c.Durability.Timeout, time.Second},
		{&c.Lease, pubsub.DefaultLease},
		{&c.EffectTTL, ports.EffectTTL},
		{&c.Retry.First, retry.First},
		{&c.Retry.Max, retry.Max},
		{&c.StopTimeout, 25 * time.Second},
		{&c.BuiltinPace, time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.fallback
		}
	}
	for _, n := range []struct {
		field    *int
		fallback int
	}{
		{&c.PoolSize, 10 * runtime.GOMAXPROCS(0)},
		{&c.Partitions, keyspace.DefaultPartitions},
		{&c.SessionsPerUser, 32},
		{&c.Queue, 4096},
		{&c.EntityCache, 64 << 20},
		{&c.StreamBound, 100_000},
		{&c.DeadLetterBound, 10_000},
		{&c.Retry.Attempts, retry.Attempts},
		{&c.LiveBuffer, 256},
		{&c.ConnectAttempts, 10},
	} {
		if *n.field == 0 {
			*n.field = n.fallback
		}
	}
	if c.Logger == nil {
		c.Logger = slog.Default().With("component", "chatcore")
	}
	return c
}

func (c Config) sessions() domain.SessionPolicy {
	return domain.SessionPolicy{Idle: c.TTL.Session, Lifetime: c.SessionLifetime, PerUser: c.SessionsPerUser}
}

func (c Config) policy() app.Policy {
	return app.Policy{EditWindow: c.EditWindow, TypingTTL: c.TTL.Typing, Caps: c.Caps}
}
