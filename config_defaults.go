package chatcore

import (
	"log/slog"
	"runtime"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/redis/keyspace"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// WithDefaults returns the configuration with the default of every field that is zero. Redis.CommandTimeout stays 0 where the kind of server decides it.
func (c Config) WithDefaults() Config {
	c.Redis, c.Log, c.Delivery = c.Redis.withDefaults(), c.Log.withDefaults(), c.Delivery.withDefaults()
	c.Presence, c.Sessions, c.Caches = c.Presence.withDefaults(), c.Sessions.withDefaults(), c.Caches.withDefaults()
	c.Limits.Caps, c.Feeds = c.Limits.Caps.WithDefaults(), c.Feeds.withDefaults()
	setDefault(&c.Limits.PreviewBytes, 200)
	c.Vault, c.Retention = c.Vault.withDefaults(), c.Retention.withDefaults()
	setDefault(&c.StopTimeout, 25*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default().With("component", "chatcore")
	}
	return c
}

// setDefault gives a setting that is zero its default.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (r RedisConfig) withDefaults() RedisConfig {
	r.Names = Names(keyspace.Names(r.Names).WithDefaults())
	setDefault(&r.PoolSize, 10*runtime.GOMAXPROCS(0))
	setDefault(&r.ConnectAttempts, 10)
	setDefault(&r.Durability.Timeout, time.Second)
	return r
}

func (l LogConfig) withDefaults() LogConfig {
	setDefault(&l.Partitions, keyspace.DefaultPartitions)
	setDefault(&l.Queue, 4096)
	setDefault(&l.EntityCache, 64<<20)
	return l
}

func (d DeliveryConfig) withDefaults() DeliveryConfig {
	retry := delivery.RetryPolicy{}.WithDefaults()
	d.Warn = d.Warn.withDefaults()
	setDefault(&d.Lease, group.DefaultLease)
	setDefault(&d.Retry.First, retry.First)
	setDefault(&d.Retry.Max, retry.Max)
	setDefault(&d.BuiltinPace, time.Second)
	setDefault(&d.EffectTTL, ports.EffectTTL)
	setDefault(&d.Retry.Attempts, retry.Attempts)
	setDefault(&d.DeadLetterBound, 10_000)
	setDefault(&d.StreamBound, 100_000)
	setDefault(&d.LiveBuffer, 256)
	return d
}

func (t Thresholds) withDefaults() Thresholds {
	setDefault(&t.Lag, 10_000)
	setDefault(&t.Waiting, 1000)
	setDefault(&t.LagAge, 5*time.Minute)
	return t
}

func (p PresenceConfig) withDefaults() PresenceConfig {
	setDefault(&p.HeartbeatTTL, 90*time.Second)
	setDefault(&p.DevicesTTL, 5*time.Minute)
	setDefault(&p.StatusTTL, 5*time.Minute)
	setDefault(&p.TypingTTL, domain.TypingTTL)
	return p
}

func (p PresenceConfig) ttl() ports.PresenceTTL {
	return ports.PresenceTTL{Heartbeat: p.HeartbeatTTL, Kept: p.DevicesTTL, Status: p.StatusTTL}
}

func (s SessionsConfig) withDefaults() SessionsConfig {
	setDefault(&s.Idle, time.Hour)
	setDefault(&s.Lifetime, 30*24*time.Hour)
	setDefault(&s.PerUser, 32)
	return s
}

func (s SessionsConfig) policy() domain.SessionPolicy {
	return domain.SessionPolicy{Idle: s.Idle, Lifetime: s.Lifetime, PerUser: s.PerUser}
}

func (c CachesConfig) withDefaults() CachesConfig {
	setDefault(&c.MessageTTL, 30*time.Minute)
	setDefault(&c.ChatListTTL, 10*time.Minute)
	setDefault(&c.ContactListTTL, 10*time.Minute)
	return c
}

func (c Config) policy() app.Policy {
	return app.Policy{EditWindow: c.Limits.EditWindow, TypingTTL: c.Presence.TypingTTL, Caps: c.Limits.Caps, CheckBlocks: c.Limits.CheckBlocks}
}

func (f FeedsConfig) withDefaults() FeedsConfig {
	setDefault(&f.MaxChats, 1000)
	setDefault(&f.MaxCatchUp, 10_000)
	setDefault(&f.QueueCount, 1024)
	setDefault(&f.QueueBytes, 1<<20)
	setDefault(&f.Opens, 200*runtime.GOMAXPROCS(0))
	setDefault(&f.Reads, 8)
	setDefault(&f.CacheBytes, 32<<20)
	setDefault(&f.Heartbeat, 15*time.Second)
	return f
}
