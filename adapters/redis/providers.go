package redis

import (
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"

	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/effect"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/kv"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/redis/session"
	"chatcore/adapters/redis/typing"
	"chatcore/adapters/redis/view"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Config configures the stores beside the log. All lifetimes are required.
type Config struct {
	TypingTTL     time.Duration
	PresenceTTL   ports.PresenceTTL
	EffectTTL     time.Duration
	Sessions      domain.SessionPolicy
	SessionCompat bool // keys of sessions contain their tokens
}

// Clients are the clients of the stores. The stores do not close them.
type Clients struct {
	Commands goredis.UniversalClient
	Cache    goredis.UniversalClient // of the caches
}

// NewStores returns the stores beside the log.
func NewStores(c Config, clients Clients, keys keyspace.Keys, codec *wireformat.Codec, ids ports.IDs, meter metric.Meter) (ports.Stores, error) {
	client := clients.Commands
	present, err := presence.New(presence.Config{Client: client, Keys: keys.Presence(), Codec: codec, IDs: ids, TTL: c.PresenceTTL, Meter: meter})
	if err != nil {
		return ports.Stores{}, err
	}
	sessions := session.New(client, keys.Sessions(), c.Sessions)
	if c.SessionCompat {
		if sessions, err = session.NewCompat(client, keys.Sessions(), c.Sessions); err != nil {
			return ports.Stores{}, err
		}
	}
	values := kv.New(client, keys.Custom())
	return ports.Stores{
		Typing: typing.New(client, keys.Typing(), c.TypingTTL), Presence: present, Sessions: sessions, Limiter: limit.New(client, keys.Limits()),
		Effects: effect.New(client, keys.Custom(), c.EffectTTL), Caches: cache.New(clients.Cache, keys.Caches()),
		UserChats: view.NewUserChats(client, keys.Views()), Unread: view.NewUnreadCounts(client, keys.Views()),
		Values: values, Counters: values, Sets: values,
	}, nil
}
