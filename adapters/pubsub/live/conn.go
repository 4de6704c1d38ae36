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

// errUnused is returned by a connection that was closed because no channel has a receiver.
var errUnused = errors.New("no channel has a receiver")

// conn is one connection of a [link]. A goroutine writes subscriptions and another one reads, so that neither waits for the other.
type conn struct {
	link   *link
	pubsub *goredis.PubSub
	synced atomic.Uint64 // token of the last changes that were written
	worked bool          // whether anything was received
}

// run subscribes to all channels and passes messages on until ctx ends, the connection fails, or it is silent and no channel has a receiver.
func (c *conn) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer c.link.channels.reset()
	c.pubsub = c.link.open(ctx)
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
		case <-c.link.channels.changed:
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
	add, remove, token := c.link.channels.changes()
	subscribe, unsubscribe := c.pubsub.Subscribe, c.pubsub.Unsubscribe
	if c.link.sharded {
		subscribe, unsubscribe = single(c.pubsub.SSubscribe), single(c.pubsub.SUnsubscribe)
	}
	if len(remove) > 0 {
		if err := unsubscribe(ctx, remove...); err != nil {
			return err
		}
	}
	if len(add) > 0 {
		if err := subscribe(ctx, add...); err != nil {
			return err
		}
	}
	c.synced.Store(token)
	return c.ping(ctx)
}

// single calls a command once for each channel: a command about channels of several slots is refused.
func single(command func(context.Context, ...string) error) func(context.Context, ...string) error {
	return func(ctx context.Context, names ...string) error {
		for _, name := range names {
			if err := command(ctx, name); err != nil {
				return err
			}
		}
		return nil
	}
}

func (c *conn) ping(ctx context.Context) error {
	return c.pubsub.Ping(ctx, strconv.FormatUint(c.synced.Load(), 10))
}

// read passes received messages on until the connection fails, or stays silent for two probe intervals with a ping after the first.
func (c *conn) read(ctx context.Context) error {
	asked := false
	for {
		received, err := c.pubsub.ReceiveTimeout(ctx, c.link.probe)
		var timeout net.Error
		switch {
		case err == nil:
			asked, c.worked = false, true
			c.take(received)
		case errors.As(err, &timeout) && timeout.Timeout() && !asked:
			if c.link.channels.empty() {
				return errUnused
			}
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
	channels := c.link.channels
	switch m := received.(type) {
	case *goredis.Pong:
		if token, err := strconv.ParseUint(m.Payload, 10, 64); err == nil {
			c.link.failure.Store(nil)
			channels.confirm(token)
		}
	case *goredis.Message:
		for _, r := range channels.receivers(m.Channel) {
			r.message(m.Payload)
		}
	case *goredis.Subscription:
		if m.Kind == "unsubscribe" || m.Kind == "sunsubscribe" {
			channels.left(m.Channel)
		}
	}
}
