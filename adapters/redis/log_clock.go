package redis

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

// clockDrift bounds how far the process's monotonic clock and the server's clock drift apart in a second: what NTP may correct, 500 ppm.
const clockDrift = 500 * time.Microsecond

// clockStep is how far the log's clock may be ahead of the server's and still approach it without going back. From more than that the server's
// clock was set back, and the log's clock follows at once: approaching an hour would take two.
const clockStep = time.Minute

// Clock is the clock of an event log: the clock of one of its Redis servers, as this process estimates it. All processes on the log ask the same
// server, which is the master of the first partition, so that they agree whatever their own clocks say. Between two samples the clock advances
// with the process's monotonic clock, which no change of the machine's time moves.
//
// The estimate is off by at most half a round trip of TIME and by the drift since. It never goes back by less than a minute: where a newer
// sample is behind, the clock advances at half speed until both agree. A server's clock that was set back further is followed at once.
type Clock struct {
	client goredis.UniversalClient
	key    string // of the first partition
	logger *slog.Logger

	mu      sync.Mutex // serializes: observe
	present atomic.Pointer[clockEstimate]
}

var _ ports.LogClock = (*Clock)(nil)

// clockEstimate is the result of one sample. It is never changed.
type clockEstimate struct {
	at     time.Time     // of the process, monotonic
	server time.Time     // of the server at that time
	within time.Duration // how far server may be off
	ahead  time.Duration // how far the log's clock was ahead of server at that time
}

// serverTime returns the server's time at a time of the process.
func (e *clockEstimate) serverTime(at time.Time) time.Time { return e.server.Add(at.Sub(e.at)) }

// now returns the log's time at a time of the process.
func (e *clockEstimate) now(at time.Time) time.Time {
	return e.serverTime(at).Add(max(0, e.ahead-at.Sub(e.at)/2))
}

// uncertainty returns how far serverTime may be off at a time of the process.
func (e *clockEstimate) uncertainty(at time.Time) time.Duration {
	return e.within + time.Duration(at.Sub(e.at).Seconds()*float64(clockDrift))
}

func newClock(client goredis.UniversalClient, key string, logger *slog.Logger) *Clock {
	return &Clock{client: client, key: key, logger: logger}
}

// Now returns the log's time. It asks nobody.
func (c *Clock) Now() time.Time {
	at := time.Now()
	if e := c.present.Load(); e != nil {
		return e.now(at)
	}
	return at
}

// Sleep implements [ports.Clock].
func (c *Clock) Sleep(ctx context.Context, until time.Time) error {
	for {
		left := until.Sub(c.Now())
		if left <= 0 {
			return ctx.Err()
		}
		if err := pause(ctx, max(left, time.Millisecond)); err != nil {
			return err
		}
	}
}

// sample asks the server for its time: one round trip.
func (c *Clock) sample(ctx context.Context) error {
	node, err := c.server(ctx)
	if err != nil {
		return unavailable(ctx, err)
	}
	sent := time.Now()
	server, err := node.Time(ctx).Result()
	if err != nil {
		return unavailable(ctx, err)
	}
	c.observe(ctx, sent, time.Now(), server)
	return nil
}

// server returns the client of the server whose time counts. [goredis.ClusterClient.Time] would ask any node.
func (c *Clock) server(ctx context.Context) (goredis.Cmdable, error) {
	if cluster, ok := c.client.(*goredis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, c.key)
	}
	return c.client, nil
}

// observe takes a sample: the server's time was read between sent and received. A sample that is less exact than the present estimate, and does
// not contradict it, is ignored.
func (c *Clock) observe(ctx context.Context, sent, received, server time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	trip := received.Sub(sent)
	next := &clockEstimate{at: received, server: server.Add(trip / 2), within: trip / 2}
	if old := c.present.Load(); old != nil {
		apart := next.server.Sub(old.serverTime(received))
		agrees := apart.Abs() <= next.within+old.uncertainty(received)
		if agrees && next.within > old.uncertainty(received) {
			return
		}
		next.ahead = max(0, old.now(received).Sub(next.server))
		if next.ahead > clockStep {
			next.ahead = 0
			c.logger.WarnContext(ctx, "redis's clock was set back, and the log's with it", "by", -apart)
		}
	}
	c.present.Store(next)
}
