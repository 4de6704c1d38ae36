package live

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// conn is one connection of a [PubSub]. A goroutine writes subscriptions and another one reads, so that neither waits for the other.
type conn struct {
	live   *PubSub
	pubsub *goredis.PubSub
	synced atomic.Uint64 // token of the last changes that were written
	worked bool          // whether anything was received
}

// run subscribes to all channels and dispatches messages until ctx ends or the connection fails.
func (c *conn) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.live.channels.reset()
	c.pubsub = c.live.config.Client.Subscribe(ctx) // dials with the first command
	stop := context.AfterFunc(ctx, func() { _ = c.pubsub.Close() })
	defer func() {
		if stop() {
			_ = c.pubsub.Close()
		}
	}()
	if err := c.sync(ctx); err != nil {
		return err
	}
	var failed error
	var writer sync.WaitGroup
	writer.Go(func() {
		defer cancel()
		failed = c.write(ctx)
	})
	err := c.read(ctx)
	cancel()
	writer.Wait()
	return errors.Join(failed, err)
}

// write sends every change of the channels until ctx ends or the connection fails.
func (c *conn) write(ctx context.Context) error {
	for {
		select {
		case <-c.live.channels.changed:
			if err := c.sync(ctx); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// sync makes the server's subscriptions those of the channel set. The PING after them carries a token: its reply proves that the server has processed
// everything written before it. A confirmation does not, because it may answer an earlier SUBSCRIBE of the same channel.
func (c *conn) sync(ctx context.Context) error {
	add, remove, token := c.live.channels.changes()
	if len(remove) > 0 {
		if err := c.pubsub.Unsubscribe(ctx, remove...); err != nil {
			return err
		}
	}
	if len(add) > 0 {
		if err := c.pubsub.Subscribe(ctx, add...); err != nil {
			return err
		}
	}
	c.synced.Store(token)
	return c.ping(ctx)
}

func (c *conn) ping(ctx context.Context) error {
	return c.pubsub.Ping(ctx, strconv.FormatUint(c.synced.Load(), 10))
}

// read dispatches received messages until the connection fails, or stays silent for two probe intervals with a ping after the first.
func (c *conn) read(ctx context.Context) error {
	asked := false
	for {
		received, err := c.pubsub.ReceiveTimeout(ctx, c.live.config.Probe)
		var timeout net.Error
		switch {
		case err == nil:
			asked, c.worked = false, true
			c.take(received)
		case errors.As(err, &timeout) && timeout.Timeout() && !asked:
			asked = true
			if err := c.ping(ctx); err != nil {
				return err
			}
		default:
			return err
		}
	}
}

func (c *conn) take(received any) {
	switch m := received.(type) {
	case *goredis.Pong:
		if token, err := strconv.ParseUint(m.Payload, 10, 64); err == nil {
			c.live.channels.confirm(token)
		}
	case *goredis.Message:
		if topic, known := c.live.channels.topic(m.Channel); known {
			c.live.hub.dispatch(topic, []byte(m.Payload))
		}
	}
}
