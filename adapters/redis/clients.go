package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/keyspace"
)

// Clients are the clients of a core, one for each purpose. A purpose that was not dialed has nil.
type Clients struct {
	Commands *conn.Client
	Blocking *conn.Client // reads of streams
	PubSub   *conn.Client
	Cache    *conn.Client // that of the commands, unless OwnCache is true
	OwnCache bool         // the caches have a server of their own

	cacheOnCluster bool
}

// Dial opens a client for each purpose and waits until their servers answer. cleanup closes them.
func Dial(ctx context.Context, s Servers) (c *Clients, cleanup func(), err error) {
	c = &Clients{}
	err = c.dial(ctx, s, func() (err error) {
		// The client has room for a read of every stream, and for the control of many groups.
		if c.Blocking, err = s.connect(ctx, "streams", conn.Options{PoolSize: 2*s.Streams + 32, KeepReplies: true}); err == nil {
			c.PubSub, err = s.connect(ctx, "pubsub", conn.Options{PoolSize: s.PoolSize})
		}
		return err
	})
	return c, func() { _ = c.Close() }, err
}

// DialToInspect opens the clients of commands and caches only.
func DialToInspect(ctx context.Context, s Servers) (*Clients, error) {
	c := &Clients{}
	return c, c.dial(ctx, s, func() error { return nil })
}

// DialCommands opens the client of commands.
func DialCommands(ctx context.Context, s Servers) (*conn.Client, error) {
	return s.connect(ctx, "commands", conn.Options{Waits: s.Waits, PoolSize: s.PoolSize})
}

// dial opens the client of commands, further ones, and that of the caches. After an error it closes what it has opened.
func (c *Clients) dial(ctx context.Context, s Servers, further func() error) (err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if c.Commands, err = DialCommands(ctx, s); err != nil {
		return err
	}
	if err = further(); err != nil {
		return err
	}
	if c.Cache = c.Commands; s.CacheURL == "" {
		return nil
	}
	if c.cacheOnCluster, err = conn.IsCluster(s.CacheURL); err != nil {
		return err
	}
	c.OwnCache = true
	c.Cache, err = s.connect(ctx, "cache", conn.Options{URL: s.CacheURL, PoolSize: s.PoolSize})
	return err
}

// connect opens a client for one purpose.
func (s Servers) connect(ctx context.Context, purpose string, o conn.Options) (*conn.Client, error) {
	o.Purpose, o.TLS, o.Timeout, o.Attempts, o.Logger = purpose, s.TLS, s.Timeout, s.Attempts, s.Logger
	if o.URL == "" {
		o.URL = s.URL
	}
	if strings.HasPrefix(strings.TrimSpace(o.URL), "redis://") && strings.Contains(s.URL+s.CacheURL, "rediss://") {
		o.TLS = nil // the settings are the other server's
	}
	client, err := conn.Connect(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("connecting for %s: %w", purpose, err)
	}
	return client, nil
}

// Close ends those clients first whose users need the others: reads of streams, live channels, caches, and then commands.
func (c *Clients) Close() error {
	err := errors.Join(c.Blocking.Close(), c.PubSub.Close())
	if c.OwnCache {
		err = errors.Join(err, c.Cache.Close())
	}
	return errors.Join(err, c.Commands.Close())
}

// checkCacheRights checks that the user of the caches' server has the rights that caches need.
func (c *Clients) checkCacheRights(ctx context.Context, keys keyspace.Keys) error {
	if !c.OwnCache {
		return nil
	}
	if err := health.CacheRights(keys, c.cacheOnCluster).Check(ctx, c.Cache.UniversalClient); err != nil {
		return fmt.Errorf("on the server of the caches: %w", err)
	}
	return nil
}
