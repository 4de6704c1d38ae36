package relay

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// Subscriptions subscribes to channels: adapters/pubsub/live has one that replaces lost connections.
type Subscriptions interface {
	// Watch has fn called with each payload of a channel that is published after Watch has returned, until stop is called. fn must be quick.
	Watch(ctx context.Context, channel string, fn func(payload []byte)) (stop func(), err error)
}

// Config configures a [Relay]. All fields are required unless they say otherwise.
type Config struct {
	Client        goredis.UniversalClient // publishes; is not closed
	Subscriptions Subscriptions           // is not closed
	Keys          keyspace.Relays
	// Timeout bounds the wait for an answer. Defaults to 3 seconds.
	Timeout time.Duration
	// Grace is how long a request without a receiver is sent again. Defaults to 2 seconds: a lost connection is noticed and replaced within them.
	Grace time.Duration
	// Logger receives requests that are dropped. Defaults to slog.Default().
	Logger *slog.Logger
}

// Relay implements [ports.Relay] for one process.
type Relay struct {
	config Config
	asker  string // name of the channel of answers
	last   atomic.Uint64

	mu sync.Mutex
	// mu guards: stop, asked.
	stop  func()                 // ends the subscription of answers; nil before the first request
	asked map[uint64]chan []byte // requests without an answer, by number
}

var _ ports.Relay = (*Relay)(nil)

// New returns a relay. It subscribes with the first request.
func New(c Config) *Relay {
	c.Timeout = cmp.Or(c.Timeout, 3*time.Second)
	c.Grace = cmp.Or(c.Grace, 2*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return &Relay{config: c, asker: uuid.NewString(), asked: make(map[uint64]chan []byte)}
}

// A request is its number in 8 bytes, the channel name of the asker in 36, and the body. An answer is the number and the body.
const (
	numberBytes = 8
	askerBytes  = 36
)

// maxAnswering is the most requests that a process answers at a time. Further ones are dropped.
const maxAnswering = 64

// Answer implements [ports.Relay].
func (r *Relay) Answer(ctx context.Context, instance string, answer func(ctx context.Context, request []byte) []byte) (stop func(), err error) {
	answering, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	slots := make(chan struct{}, maxAnswering)
	unwatch, err := r.config.Subscriptions.Watch(ctx, r.config.Keys.Channel(instance), func(payload []byte) {
		if len(payload) < numberBytes+askerBytes {
			return
		}
		select {
		case slots <- struct{}{}:
		default:
			r.config.Logger.WarnContext(answering, "a request of another process was dropped: too many are being answered")
			return
		}
		request := bytes.Clone(payload)
		running.Go(func() {
			defer func() { <-slots }()
			r.reply(answering, request, answer)
		})
	})
	if err != nil {
		cancel()
		return nil, err
	}
	return func() {
		unwatch()
		cancel()
		running.Wait()
	}, nil
}

// reply answers a request.
func (r *Relay) reply(ctx context.Context, request []byte, answer func(ctx context.Context, request []byte) []byte) {
	asker, body := request[numberBytes:numberBytes+askerBytes], request[numberBytes+askerBytes:]
	message := append(request[:numberBytes:numberBytes], answer(ctx, body)...)
	if len(message) > numberBytes+ports.MaxRelayed {
		r.config.Logger.WarnContext(ctx, "an answer to another process is too large", "bytes", len(message))
		return
	}
	if err := r.config.Client.Publish(ctx, r.config.Keys.Channel(string(asker)), message).Err(); err != nil {
		r.config.Logger.WarnContext(ctx, "an answer to another process was not sent", "error", err)
	}
}

// Ask implements [ports.Relay].
func (r *Relay) Ask(ctx context.Context, instance string, request []byte) ([]byte, error) {
	if len(request) > ports.MaxRelayed {
		return nil, fmt.Errorf("%w: a request of %d bytes; allowed: at most %d", ports.ErrTooLarge, len(request), ports.MaxRelayed)
	}
	waiting, cancel := context.WithTimeout(ctx, r.config.Timeout)
	defer cancel()
	if err := r.listen(waiting); err != nil {
		return nil, ports.Unavailable(ctx, err)
	}
	number := r.last.Add(1)
	answered := make(chan []byte, 1)
	r.mu.Lock()
	r.asked[number] = answered
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		delete(r.asked, number)
		r.mu.Unlock()
	}()
	message := make([]byte, 0, numberBytes+askerBytes+len(request))
	message = append(append(binary.BigEndian.AppendUint64(message, number), r.asker...), request...)
	if err := r.send(waiting, r.config.Keys.Channel(instance), message); errors.Is(err, ports.ErrNoInstance) {
		return nil, err
	} else if err != nil {
		return nil, rediscmd.Unavailable(ctx, err)
	}
	select {
	case answer := <-answered:
		return answer, nil
	case <-waiting.Done():
		return nil, ports.Unavailable(ctx, fmt.Errorf("process %s has not answered within %v", instance, r.config.Timeout))
	}
}

// listen subscribes to the answers, once.
func (r *Relay) listen(ctx context.Context) error {
	r.mu.Lock()
	listening := r.stop != nil
	r.mu.Unlock()
	if listening {
		return nil
	}
	stop, err := r.config.Subscriptions.Watch(ctx, r.config.Keys.Channel(r.asker), r.receive)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stop != nil { // another request was earlier
		go stop()
		return nil
	}
	r.stop = stop
	return nil
}

// receive passes an answer on.
func (r *Relay) receive(payload []byte) {
	if len(payload) < numberBytes {
		return
	}
	r.mu.Lock()
	answered := r.asked[binary.BigEndian.Uint64(payload)]
	r.mu.Unlock()
	if answered != nil {
		select {
		case answered <- bytes.Clone(payload[numberBytes:]):
		default: // it has one
		}
	}
}

// sendPauses are the pauses between two attempts to reach a process.
func sendPauses() backoff.Policy {
	return backoff.Policy{First: 50 * time.Millisecond, Max: 400 * time.Millisecond}
}

// send publishes a request. It returns [ports.ErrNoInstance] if nobody has received it, again and again.
func (r *Relay) send(ctx context.Context, channel string, message []byte) error {
	for began, failed := time.Now(), 1; ; failed++ {
		receivers, err := r.config.Client.Publish(ctx, channel, message).Result()
		if err == nil && receivers == 0 {
			receivers, err = r.receivers(ctx, channel)
		}
		switch {
		case err != nil:
			return err
		case receivers > 0:
			return nil
		case time.Since(began) >= r.config.Grace:
			return ports.ErrNoInstance
		}
		if err := sendPauses().Wait(ctx, failed); err != nil {
			return err
		}
	}
}

// receivers returns the number of receivers of a channel on all nodes of a Cluster, 0 on a single server.
func (r *Relay) receivers(ctx context.Context, channel string) (int64, error) {
	cluster, ok := r.config.Client.(*goredis.ClusterClient)
	if !ok {
		return 0, nil
	}
	var all atomic.Int64
	err := cluster.ForEachShard(ctx, func(ctx context.Context, node *goredis.Client) error {
		counts, err := node.PubSubNumSub(ctx, channel).Result()
		all.Add(counts[channel])
		return err
	})
	return all.Load(), err
}

// Close ends the subscription of answers.
func (r *Relay) Close() {
	r.mu.Lock()
	stop := r.stop
	r.stop = func() {}
	r.mu.Unlock()
	if stop != nil {
		stop()
	}
}
