package redis

import (
	"crypto/tls"
	"log/slog"
	"time"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
)

// Config configures everything that a core has on Redis.
type Config struct {
	Servers  Servers
	Keyspace Keyspace
	Log      LogConfig
	Stores   StoresConfig
}

// Servers are the servers of a core, and how it connects to them. Package conn has the defaults.
type Servers struct {
	URL      string
	CacheURL string // of the server of the caches; "" for that of URL
	TLS      *tls.Config
	PoolSize int           // connections to a server for each purpose
	Streams  int           // that are read at the same time: each read may occupy a connection
	Timeout  time.Duration // of a dial, of a write and of a read
	Waits    time.Duration // additional timeout of commands that wait for replicas
	Attempts int           // of the first connection
	Logger   *slog.Logger
}

// Keyspace determines the names of keys.
type Keyspace struct {
	URL        string // of the log: keys of a Cluster have hash tags
	Namespace  string
	Names      keyspace.Names
	Partitions int
}

// LogConfig configures the event log. Package eventlog has the defaults.
type LogConfig struct {
	Announce           bool // publish each event on the plain pub/sub channel of its type
	AnnouncePartitions bool // publish the events of each batch on the channels of their partitions
	Queue              int
	StreamBound        int
	Durability         eventlog.Durability
	Attempts           int
	Logger             *slog.Logger
}

// StoresConfig configures the stores beside the log. All lifetimes are required.
type StoresConfig struct {
	TypingTTL     time.Duration
	PresenceTTL   ports.PresenceTTL
	EffectTTL     time.Duration
	Sessions      domain.SessionPolicy
	SessionCompat bool // keys of sessions contain their tokens
}
