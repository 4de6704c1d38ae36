package chatcore

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"time"

	"chatcore/app"
)

// Config holds all settings of a core, in groups by concern. The zero value of each field means its default.
type Config struct {
	Redis    RedisConfig    // servers, connections and names in Redis
	Log      LogConfig      // the event log
	Delivery DeliveryConfig // consumer groups, effects and live listeners
	Presence PresenceConfig // lifetimes of presence and typing marks
	Sessions SessionsConfig // logins of users
	Caches   CachesConfig   // lifetimes of cached values
	Limits   LimitsConfig   // rate limits, caps and the edit window
	Access   AccessConfig   // rights of users to read
	Feeds    FeedsConfig    // live feeds
	Webhooks WebhooksConfig // keys and allowed endpoints of webhooks
	Vault    VaultConfig    // copies of the log beside Redis

	Retention RetentionConfig // messages that are kept

	// StopTimeout bounds how long Run takes in all to stop: handlers, commits, live listeners and connections. A fifth of it, at most 4 s, is for
	// the steps after the handlers. Defaults to 25 s, because Kubernetes kills after 30 s.
	StopTimeout time.Duration
	// Logger receives all logging; message contents and tokens are never logged. go-redis has one log per process, which goes to the Logger of the
	// core that was opened last, at debug level. Defaults to slog.Default() with the attribute component=chatcore; a given Logger is used as it is.
	Logger *slog.Logger
}

// RedisConfig names the Redis servers and says how a core uses them. A core in memory needs none of it.
type RedisConfig struct {
	// URL is redis://[[user]:password@]host:port[/db], rediss:// for TLS, several separated by commas for a Cluster, or unix:// for a Unix socket.
	// With master_name=NAME in its query it is the URL of a Sentinel; docs/operating.md has all forms. New needs it.
	URL string
	// CacheURL is the URL of the server for the caches, which may evict: those of messages, of lists of chats and contacts, and of NewCache. Values
	// of helpers, sessions, limits, presence and typing marks stay on the server of URL: other programs use them there. Defaults to URL: caches then
	// share its connections.
	CacheURL string
	// TLS has the certificate authorities, a client certificate and the server's name for rediss:// URLs. Defaults to the system's authorities,
	// no client certificate, and the name that is dialed.
	TLS *tls.Config
	// PoolSize is the highest number of connections to each server for commands, of as many for publishing, and of as many for the cache; reads of
	// streams have a pool of their own. Defaults to 10 × GOMAXPROCS.
	PoolSize int
	// CommandTimeout bounds a dial, and each write and read of a command. Defaults to 5 s, on a Cluster to 2 s: a command to a silent master then
	// goes to its successor.
	CommandTimeout time.Duration
	// ConnectAttempts is how often the first connection is tried, and then the opening of the log, which needs all nodes of a Cluster; from 100 ms
	// apart, doubling up to 3 s. An error that no attempt changes (ErrRejected) ends them at once. Defaults to 10.
	ConnectAttempts int
	// Namespace and a colon go before every key and channel. Defaults to "": nothing does.
	Namespace string
	// Names are the names of keys, channels and the delivery stream, after the namespace. Defaults to the names of the wire contract, which the
	// TypeScript services use.
	Names Names
	// Durability is the number of replicas that must confirm an append before it is acknowledged, and how long to wait for them. If they do not
	// confirm, the append stands and the command fails with ports.ErrUnconfirmed.
	Durability Durability
}

// Names are the names under which other programs know keys, channels and the delivery stream in Redis. Names of keys are prefixes, and end before the
// id that follows. The zero value of each field means its default. All programs that share the Redis must use the same names. Another name for the
// stream of a log does not rename the stream; core upgrade does.
type Names struct {
	Stream      string // delivery stream. Defaults to message-delivery-stream
	Session     string // sessions. Defaults to session:
	UserStatus  string // statuses of users. Defaults to user:status:
	UserOnline  string // set of users that are online, the whole key. Defaults to user:online:
	ChatList    string // cached lists of chats. Defaults to chat:list:
	ChatUnread  string // unread counts. Defaults to chat:unread:
	Message     string // cached messages. Defaults to message:
	ContactList string // cached lists of contacts. Defaults to contact:list:
	Typing      string // typing marks. Defaults to typing:
	Presence    string // devices of users. Defaults to presence:
	RateLimit   string // rate limits. Defaults to ratelimit:

	// Channels are the pub/sub channels by event type, such as message:new. Defaults to the name of the type, for each type that is missing.
	Channels map[string]string
}

// Durability is the number of replicas that confirm an append. The zero value of each field means its default.
type Durability struct {
	Replicas int           // Defaults to 0: the server's own persistence decides
	Timeout  time.Duration // how long to wait for the replicas. Defaults to 1 s
}

// Announce selects the pub/sub channels on which durable events are published as they are appended. Ephemeral events are published in any case.
type Announce uint8

// The selections of channels.
const (
	// AnnounceBoth publishes each event on the channel of its type, and the events of each batch on the channels of their partitions.
	AnnounceBoth Announce = iota
	// AnnouncePartition publishes on the channels of partitions only. Other programs that listen to the channels of the wire contract then hear no
	// durable events.
	AnnouncePartition
	// AnnounceLegacy publishes on the channels of types only. Processes then read the streams of partitions to hear events as they happen, four times a
	// second.
	AnnounceLegacy
)

// String returns the name of the selection, as cmd/core writes it.
func (a Announce) String() string {
	switch a {
	case AnnounceBoth:
		return "both"
	case AnnouncePartition:
		return "partition"
	case AnnounceLegacy:
		return "legacy"
	}
	return fmt.Sprintf("Announce(%d)", uint8(a))
}

func (a Announce) onTypes() bool { return a != AnnouncePartition }

func (a Announce) onPartitions() bool { return a != AnnounceLegacy }

// LogConfig configures the event log.
type LogConfig struct {
	// Partitions is the number of partitions of the log, 1 to 1,024; fixed for the life of a log. Defaults to 16.
	Partitions int
	// Announce selects the pub/sub channels on which appends publish durable events. Defaults to AnnounceBoth.
	Announce Announce
	// Queue is the highest number of appends that wait, per server, or per partition of a Cluster; one chat may take a quarter of it. Beyond it
	// appends fail with ports.ErrOverloaded. Defaults to 4,096.
	Queue int
	// EntityCache is the approximate number of bytes of entity states that the process caches. Defaults to 64 MiB; below 0 nothing is cached.
	EntityCache int
}

// DeliveryConfig configures consumer groups, effects and live listeners.
type DeliveryConfig struct {
	// Lease is how long a process that no longer answers keeps the partitions that it delivers; then another process acquires them. Defaults to 3 s.
	Lease time.Duration
	// Retry says how often, and when, a failed handler is started again.
	Retry RetryPolicy
	// DeadLetterBound is the highest number of dead letters of a group on a partition. At that number, a delivery that would become one more is
	// retried instead, Retry.Max apart: its chat waits until some are retried or dropped. Defaults to 10,000.
	DeadLetterBound int
	// StreamBound is how many entries a partition's stream keeps for groups that are behind; they read older events from the log, which keeps all.
	// Where no group runs, appends keep a stream at about twice as many. Defaults to 100,000.
	StreamBound int
	// MaxGroups is the highest number of consumer groups in this process, including the built-in one; one more is ErrTooManyGroups. On Redis each
	// group costs the server about 20 commands a second for each partition, also when nothing happens. Defaults to as many as have 4,352 partitions
	// together (256 groups with 16 partitions), at least 16; in memory and on a custom log to no bound.
	MaxGroups int
	// BuiltinPace is the interval at which the built-in subscribers read the streams and write unread counts for other programs, at most a minute.
	// Defaults to 1 s.
	BuiltinPace time.Duration
	// EffectTTL is the lifetime of the marker of an effect (see Core.Once). Defaults to a week.
	EffectTTL time.Duration
	// LiveBuffer is how many events of a type wait for its live handlers before further ones are dropped, and how many messages for a handler of a
	// helper's channel. Defaults to 256.
	LiveBuffer int
	// Warn holds the values from which on Health.Findings warns about a consumer group.
	Warn Thresholds
}

// RetryPolicy says how often, and when, a failed handler is started again. Only the event's chat waits meanwhile. The zero value of each field means
// its default.
//
// The defaults span about three minutes: pauses of 0.5, 1, 2, 4, 8, 16, 32, 60 and 60 seconds, each varied by half. Transient failures (see
// [Transient]) are no attempts: they use the same pauses, up to 15 seconds, and never end.
type RetryPolicy struct {
	Attempts int           // handler starts before a delivery becomes a dead letter. Defaults to 10
	First    time.Duration // pause before the second start; doubles, varied by half. Defaults to 500 ms
	Max      time.Duration // longest pause between two starts. Defaults to 1 min
}

// Thresholds are the values from which on [Health.Findings] warns about a consumer group. The zero value of each field means its default.
type Thresholds struct {
	Lag     int           // events that it has not finished. Defaults to 10,000
	LagAge  time.Duration // age of the oldest of them that waits on a stream. Defaults to 5 min
	Waiting int           // chats whose next event fails, or which are parked. Defaults to 1,000
}

// PresenceConfig holds the lifetimes of presence and typing marks. All processes on a log must have the same.
type PresenceConfig struct {
	// HeartbeatTTL is how long a device is online after a heartbeat: three times the interval at which devices send them. At least 1 s, and at most
	// half of DevicesTTL and of StatusTTL. Defaults to 90 s.
	HeartbeatTTL time.Duration
	// DevicesTTL is the lifetime of the list of a user's devices and, after the last heartbeat has expired, of the status that the user has chosen.
	// Defaults to 5 min.
	DevicesTTL time.Duration
	// StatusTTL is the lifetime of a user's status, which other programs read, unless it is renewed. Defaults to 5 min.
	StatusTTL time.Duration
	// TypingTTL is the lifetime of a typing mark that no stop follows. Defaults to 5 s.
	TypingTTL time.Duration
}

// SessionsConfig configures the sessions of users.
type SessionsConfig struct {
	// Idle is the lifetime of a session that is not used. Defaults to 1 h.
	Idle time.Duration
	// Lifetime is the lifetime of a session however much it is used. Defaults to 30 days.
	Lifetime time.Duration
	// PerUser is the highest number of sessions of a user, 1 to 1,000; one more closes the session that was opened first. Defaults to 32.
	PerUser int
	// Compat keeps sessions under session: and their tokens, as the TypeScript guide does, and accepts the tokens of its programs, whose sessions
	// must have a userId. A reader of the names of keys, also of those in a backup or a log of slow commands, can then act as any user. Not on a
	// Cluster. Defaults to false: Redis holds only the hashes of tokens.
	Compat bool
}

// CachesConfig holds the lifetimes of the values that [Core.Queries] caches.
type CachesConfig struct {
	MessageTTL     time.Duration // of a message. Defaults to 30 min
	ChatListTTL    time.Duration // of a user's list of chats. Defaults to 10 min
	ContactListTTL time.Duration // of a user's list of contacts. Defaults to 10 min
}

// LimitsConfig bounds what users may do.
type LimitsConfig struct {
	// Rates are rate limits by kind. Commands take from the kinds app.LimitSend, app.LimitReact and so on; calls of Core.Limits take from app.LimitLogin
	// and custom kinds. Defaults to none: nothing is limited. A service may begin with app.ServiceLimits.
	Rates map[string]app.Limit
	// Caps are bounds on one user, message or command. Processes on a log should agree on them.
	Caps app.Caps
	// EditWindow is how long after its send a message may be edited. Defaults to 0: at any time.
	EditWindow time.Duration
	// CheckBlocks has nobody become a member by a command of a user whom they block in their direct chat: Create and Add are refused, and AddMembers leaves the
	// user out. It costs a read of the direct chats before the command; a block at the same moment may come too late. Defaults to false.
	CheckBlocks bool
	// PreviewBytes is how many bytes of its content the last message of a chat has in lists of chats ([app.Queries.FilteredChatList]). They are kept in Redis beside
	// the log until the message is deleted, erased, or no more the last one. At most 256; below 0 no text is kept. Defaults to 200.
	PreviewBytes int
}

// AccessConfig says what users may read through [Core.As] and [Core.Access].
type AccessConfig struct {
	// FormerMembers is what a former member of a chat may read of it. Defaults to app.FormerMembersUntilRemoval: the chat as of the removal.
	FormerMembers app.FormerMembers
	// HideReads refuses users the list of those who have read a message ([app.UserQueries.ReadBy]). Receipts are still events of the chat. Defaults to false.
	HideReads bool
}

// FeedsConfig bounds the live feeds of a process ([Core.Feeds]). The zero value of each field means its default.
type FeedsConfig struct {
	MaxChats   int // chats that one feed follows. Defaults to 1,000
	MaxCatchUp int // events of a chat that a feed reads from the log at its beginning; older ones are skipped. Defaults to 10,000
	// QueueCount and QueueBytes bound the messages that wait for the reader of a feed. Beyond either of them the feed ends with feed.ErrSlow.
	QueueCount int // number of messages. Defaults to 1,024
	QueueBytes int // bytes of their events, as they are in the log. Defaults to 1 MiB
	// Opens is the number of feeds that open in a second, beyond a fifth of it at once; further ones wait. Defaults to 200 for each processor of Go.
	Opens      int
	Reads      int           // reads of the log at once, for all feeds. Defaults to 8
	CacheBytes int           // bytes of memory for events, decoded and encoded, that are cached for feeds that catch up. Defaults to 32 MiB
	Heartbeat  time.Duration // silence after which a feed returns a heartbeat. Defaults to 15 s
}
