package conn

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// Probes of a lost server. Only one PING at a time is sent to it, regardless of commands.
const (
	firstProbe = 100 * time.Millisecond // pause after the loss; doubles
	lastProbe  = time.Second            // maximum pause, and timeout of a probe
)

func probePauses() backoff.Policy { return backoff.Policy{First: firstProbe, Max: lastProbe} }

// dialGap is the average time between dials to a server that has not been reached for a while, and dialBurst how many of them may follow each other at
// once after a pause. go-redis limits dials that fail. It does not limit dials to a port that accepts connections and drops them, such as a load balancer's
// with a stopped server: every command would dial.
//
// A burst is needed because go-redis tries a lost server with a dial each second, closes that connection, and only then lets commands dial. If its dial used
// up all that is allowed, busy callers would be refused until go-redis stops them again, for ever.
const (
	dialGap   = 10 * time.Millisecond
	dialBurst = 10
)

var errDialedJustNow = errors.New("it was dialed just now, and earlier dials have not reached it")

// connMonitor logs the state of a client's connections to its servers.
type connMonitor struct {
	logger *slog.Logger
	kept   *keptReplies // nil unless its connections keep replies

	ctx     context.Context // of probes: not a caller's, because the client outlives callers
	cancel  context.CancelFunc
	closing atomic.Bool // Close was called
	ready   atomic.Bool // the first connection is established; until then Connect logs
	mu      sync.Mutex
	closed  bool
	running sync.WaitGroup
}

func newWatch(purpose string, logger *slog.Logger) *connMonitor {
	if logger == nil {
		logger = slog.Default()
	}
	if purpose == "" {
		purpose = "redis"
	}
	w := &connMonitor{logger: logger.With("purpose", purpose)}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

func (w *connMonitor) begin(ctx context.Context, address string) {
	w.logger.DebugContext(ctx, "redis ready", "address", address)
	w.ready.Store(true)
}

// close waits until no probe runs. The client must be closed before, so that no probe waits for a reply.
func (w *connMonitor) close() {
	w.mu.Lock()
	first := !w.closed
	w.closed = true
	w.mu.Unlock()
	w.running.Wait()
	if first {
		w.logger.DebugContext(w.ctx, "redis end")
	}
}

// named replaces the errors of commands after the client was closed by [ports.ErrClosed]. go-redis returns the same error for a node that has left
// the Cluster, while the client remains open.
func (w *connMonitor) named(err error, cmds ...goredis.Cmder) error {
	if !w.closing.Load() {
		return err
	}
	for _, cmd := range cmds {
		if errors.Is(cmd.Err(), goredis.ErrClosed) && !errors.Is(cmd.Err(), ports.ErrClosed) {
			cmd.SetErr(rediscmd.Closed(cmd.Err()))
		}
	}
	if errors.Is(err, goredis.ErrClosed) && !errors.Is(err, ports.ErrClosed) {
		return rediscmd.Closed(err)
	}
	return err
}

// link is one server of a client: the only one, the master that Sentinels name, or a node of a Cluster. It is a hook of go-redis.
type link struct {
	watch   *connMonitor
	client  goredis.Cmdable
	address atomic.Pointer[string] // last address dialed; with Sentinels it changes
	lost    atomic.Bool

	open   int64        // maximum number of open connections
	failed atomic.Int64 // consecutive commands and dials that have not reached the server
	dialed atomic.Int64 // when the last dial was due at an even pace, in Unix nanoseconds
}

// node is a client of one server.
type node interface {
	goredis.Cmdable
	Options() *goredis.Options
}

func (w *connMonitor) link(client node, address string) *link {
	l := &link{watch: w, client: client, open: int64(client.Options().PoolSize)}
	l.address.Store(&address)
	return l
}

// mayDial limits dials once there are more consecutive failures than the loss of all open connections can cause: one command and one dial for each.
func (l *link) mayDial(now time.Time) bool {
	if l.failed.Load() <= 2*l.open {
		return true
	}
	earliest := now.Add(-dialBurst * dialGap).UnixNano()
	for {
		last := l.dialed.Load()
		due := max(last, earliest)
		if last > now.UnixNano() { // the clock was set back
			due = earliest
		}
		if due += dialGap.Nanoseconds(); due > now.UnixNano() {
			return false
		}
		if l.dialed.CompareAndSwap(last, due) {
			return true
		}
	}
}

func (l *link) DialHook(next goredis.DialHook) goredis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if !l.mayDial(time.Now()) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errDialedJustNow}
		}
		conn, err := next(ctx, network, addr)
		if err == nil {
			if at := conn.RemoteAddr(); at != nil {
				address := at.String()
				l.address.Store(&address)
			}
		}
		l.after(ctx, err)
		return keepRaw(conn, l.watch.kept), err
	}
}

func (l *link) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := l.watch.named(next(ctx, cmd), cmd)
		l.answered(err)
		l.after(ctx, err)
		return err
	}
}

func (l *link) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := l.watch.named(next(ctx, cmds), cmds...)
		l.answered(err)
		l.after(ctx, err)
		return err
	}
}

// answered resets the count of consecutive failures.
func (l *link) answered(err error) {
	if l.failed.Load() > 0 && (err == nil || rediscmd.Answered(err)) {
		l.failed.Store(0)
	}
}

// after evaluates the error of a command or a dial. It ignores errors of a caller whose context has ended.
func (l *link) after(ctx context.Context, err error) {
	if err == nil || ports.Ended(ctx, err) != nil || !l.watch.ready.Load() {
		return
	}
	var reply goredis.Error
	if errors.As(err, &reply) || errors.Is(err, goredis.ErrClosed) || errors.Is(err, goredis.ErrPoolTimeout) || errors.Is(err, context.Canceled) {
		return
	}
	l.failed.Add(1)
	if !l.lost.Load() {
		l.lose(err)
	}
}

// lose logs once that the server is lost, and starts probes until it is back.
func (l *link) lose(err error) {
	w := l.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || !l.lost.CompareAndSwap(false, true) {
		return
	}
	w.logger.WarnContext(w.ctx, "redis error", "address", *l.address.Load(), "error", err)
	w.running.Go(func() { l.await(time.Now()) })
}

// await probes until the server answers or the client is closed. It logs the 1st, 2nd, 4th, 8th … attempt, so that an outage of hours takes a few
// lines.
func (l *link) await(since time.Time) {
	w := l.watch
	for attempt := 1; ; attempt++ {
		wait := probePauses().Pause(attempt)
		if attempt&(attempt-1) == 0 {
			w.logger.WarnContext(w.ctx, "redis reconnecting", "address", *l.address.Load(), "attempt", attempt, "wait", wait)
		}
		if backoff.Sleep(w.ctx, wait) != nil {
			return
		}
		ctx, cancel := context.WithTimeout(w.ctx, lastProbe)
		err := l.client.Ping(ctx).Err()
		cancel()
		if w.ctx.Err() != nil {
			return
		}
		var reply goredis.Error
		if err == nil || errors.As(err, &reply) { // also LOADING, which the commands report
			w.logger.InfoContext(w.ctx, "redis ready", "address", *l.address.Load(), "lost_for", time.Since(since))
			l.lost.Store(false)
			return
		}
		if errors.Is(err, goredis.ErrClosed) { // the node has left the Cluster
			w.logger.InfoContext(w.ctx, "redis gone", "address", *l.address.Load())
			return
		}
	}
}
