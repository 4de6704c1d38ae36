package eventlog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// clockDrift bounds the drift between the process's monotonic clock and the server's clock per second: NTP corrects at most 500 ppm.
const clockDrift = 500 * time.Microsecond

// clockStep is the largest lead of the log's clock over the server's that is reduced gradually. A larger lead means that the server's clock was set
// back, and the log's clock follows at once: an hour would take two to reduce.
const clockStep = time.Minute

// Clock is the clock of an event log: this process's estimate of the clock of one Redis server. All processes on the log ask the same server, the
// master of the first partition, so that they agree even if their machines' clocks differ. Between two samples the clock advances with the process's
// monotonic clock, which does not follow changes of the machine's time.
//
// The estimate is off by at most half a round trip of TIME plus the drift since the sample. It never goes back by less than a minute: if a newer
// sample is behind, the clock advances at half speed until both agree. If the server's clock was set back further, the estimate follows at once.
type Clock struct {
	client goredis.UniversalClient
	key    string // of the first partition
	logger *slog.Logger

	mu      sync.Mutex // serializes: observe
	present atomic.Pointer[clockEstimate]
}

var _ ports.LogClock = (*Clock)(nil)

// clockEstimate is the result of one sample. It is immutable.
type clockEstimate struct {
	at     time.Time     // of the process, monotonic
	server time.Time     // of the server at that time
	within time.Duration // maximum error of server
	ahead  time.Duration // lead of the log's clock over server at that time
}

// serverTime returns the server's time at a time of the process.
func (e *clockEstimate) serverTime(at time.Time) time.Time { return e.server.Add(at.Sub(e.at)) }

// now returns the log's time at a time of the process.
func (e *clockEstimate) now(at time.Time) time.Time {
	return e.serverTime(at).Add(max(0, e.ahead-at.Sub(e.at)/2))
}

// uncertainty returns the maximum error of serverTime at a time of the process.
func (e *clockEstimate) uncertainty(at time.Time) time.Duration {
	return e.within + time.Duration(at.Sub(e.at).Seconds()*float64(clockDrift))
}

func newClock(client goredis.UniversalClient, key string, logger *slog.Logger) *Clock {
	return &Clock{client: client, key: key, logger: logger}
}

// Now returns the log's time, without a round trip.
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
		if err := backoff.Sleep(ctx, max(left, time.Millisecond)); err != nil {
			return err
		}
	}
}

// sample asks the server for its time: one round trip.
func (c *Clock) sample(ctx context.Context) error {
	node, err := c.server(ctx)
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	sent := time.Now()
	server, err := node.Time(ctx).Result()
	if err != nil {
		return rediscmd.Unavailable(ctx, err)
	}
	c.observe(ctx, sent, time.Now(), server)
	return nil
}

// server returns the client of the server whose clock is the log's. [goredis.ClusterClient.Time] would ask any node.
func (c *Clock) server(ctx context.Context) (goredis.Cmdable, error) {
	if cluster, ok := c.client.(*goredis.ClusterClient); ok {
		return cluster.MasterForKey(ctx, c.key)
	}
	return c.client, nil
}

// observe adds a sample: the server's time, read between sent and received. It ignores a sample that is less exact than the current estimate and does
// not contradict it.
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
