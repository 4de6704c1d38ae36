package redis

import (
	"context"

	"go.opentelemetry.io/otel/metric"

	"chatcore/adapters/redis/attempt"
	"chatcore/adapters/redis/cache"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/effect"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/feedstate"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/kv"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/redis/presence"
	"chatcore/adapters/redis/session"
	"chatcore/adapters/redis/typing"
	"chatcore/adapters/redis/view"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
)

// NewKeys returns the names of the keys.
func NewKeys(k Keyspace) (keyspace.Keys, error) {
	cluster, err := conn.IsCluster(k.URL)
	if err != nil {
		return keyspace.Keys{}, err
	}
	return k.Names.Keys(k.Namespace, k.Partitions, cluster)
}

// History has the callbacks by which a log invalidates the states that its process caches; [eventlog.Config] explains them.
type History struct {
	Epoch  func() uint64
	Forget func()
}

// OpenLog opens the event log, and watches its servers until cleanup or [eventlog.Log.Close].
func OpenLog(
	ctx context.Context, c LogConfig, clients *Clients, keys keyspace.Keys, codec *wireformat.Codec, meter metric.Meter, h History,
) (log *eventlog.Log, cleanup func(), err error) {
	if err := clients.checkCacheRights(ctx, keys); err != nil {
		return nil, nil, err
	}
	log, err = eventlog.Open(ctx, clients.Commands.UniversalClient, codec, eventlog.Config{
		Keys: keys, Announce: c.Announce, AnnouncePartitions: c.AnnouncePartitions, Queue: c.Queue, StreamBound: c.StreamBound,
		Durability: c.Durability, Attempts: c.Attempts, Epoch: h.Epoch, Forget: h.Forget, Meter: meter, Logger: c.Logger,
	})
	if err != nil {
		return nil, nil, err
	}
	log.Watch(context.WithoutCancel(ctx))
	return log, log.Close, nil
}

// NewStores returns the stores beside the log. They do not close the clients.
func NewStores(c StoresConfig, clients *Clients, keys keyspace.Keys, codec *wireformat.Codec, ids ports.IDs, meter metric.Meter) (ports.Stores, error) {
	client := clients.Commands.UniversalClient
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
		Effects: effect.New(client, keys.Custom(), c.EffectTTL), Caches: cache.New(clients.Cache.UniversalClient, keys.Caches()),
		UserChats: view.NewUserChats(client, keys.Views()), Unread: view.NewUnreadCounts(client, keys.Views()), Blocks: view.NewUserBlocks(client, keys.Views()),
		Favourites: view.NewUserFavourites(client, keys.Views()), Hidden: view.NewUserHidden(client, keys.Views()),
		Values: values, Counters: values, Sets: values, FeedState: feedstate.New(client, keys.Feeds()),
		WebhookAttempts: attempt.New(client, keys.Webhooks()),
	}, nil
}
