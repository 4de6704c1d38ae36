package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"chatcore/ports"
)

// Errors of [Connect].
var (
	// ErrUnreachable is returned when Redis did not answer in any attempt.
	ErrUnreachable = errors.New("no answer from Redis")
	// ErrRejected is returned when the server answers, and another attempt would be answered the same: no or wrong credentials, a database that the
	// server does not have, or TLS that does not fit. Connect makes one attempt then.
	ErrRejected = errors.New("the connection is rejected")
)

// Options say how to reach a Redis.
type Options struct {
	URL      string        // as [ParseURL] takes it
	TLS      *tls.Config   // of a rediss:// URL. Defaults to the system's certificate authorities and no certificate of one's own
	Purpose  string        // what the client is for, told in the log. Defaults to "redis"
	Timeout  time.Duration // of a dial, and of a command's write and its read. Defaults to 5 s, on a Cluster to 2 s
	Waits    time.Duration // that a command may take beyond that because it waits for replicas. Defaults to 0
	Attempts int           // of the first connection. Defaults to 10
	Backoff  time.Duration // before the second attempt; doubles up to 3 s. Defaults to 100 ms
	PoolSize int           // connections per server. Defaults to go-redis's own, 10 × GOMAXPROCS
	Logger   *slog.Logger  // Defaults to slog.Default
}

// Client is a go-redis client whose connections are told of in the log: that it connects, is ready, has lost Redis, tries again, is ready
// again, and is closed. Of each server it tells these changes only, however many connections there are.
type Client struct {
	goredis.UniversalClient
	watch *watch
}

// Close closes all connections. Commands fail from then on. A nil Client has none.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.watch.closing.Store(true)
	c.watch.cancel()
	err := c.UniversalClient.Close() // wakes a probe that waits for an answer
	c.watch.close()
	return err
}

// Connect opens a client and waits until Redis answers, in a bounded number of attempts. From then on the client reconnects by
// itself for ever, and commands meanwhile fail fast: none is retried, because the reply to one that was carried out may have been
// lost. Whoever calls Connect closes the client.
func Connect(ctx context.Context, o Options) (*Client, error) {
	universal, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if universal.TLSConfig, err = mergeTLS(universal.TLSConfig, o.TLS); err != nil {
		return nil, err
	}
	timeout := 5 * time.Second
	if universal.IsClusterMode { // another node may have taken over from one that is silent
		timeout = 2 * time.Second
	}
	timeout = positive(o.Timeout, timeout)
	universal.DialTimeout, universal.ReadTimeout, universal.WriteTimeout = timeout, timeout+o.Waits, timeout
	// What was idle for as long as a command may take is not trusted: where connections swallow what they are given, a caller would otherwise wait
	// out one after another.
	universal.ConnMaxIdleTime = timeout
	universal.ContextTimeoutEnabled = true
	universal.MaxRetries = -1
	universal.DialerRetries = 1
	universal.PoolSize = o.PoolSize
	universal.DisableIdentity = true
	universal.Protocol = 2 // with RESP3 go-redis looks for push messages around each command, which is another read from the socket
	universal.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logDriverTo(o.Logger)
	w := newWatch(o.Purpose, o.Logger)
	w.logger.DebugContext(ctx, "redis connect", "address", strings.Join(universal.Addrs, ","))
	client := &Client{newClient(universal, w), w}

	answer := func() error { return rejected(unavailable(ctx, client.Ping(ctx).Err())) }
	if err := newPatience(o.Attempts, o.Backoff, w.logger).try(ctx, answer, func(err error) bool { return !errors.Is(err, ErrRejected) }); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	w.begin(ctx, strings.Join(universal.Addrs, ","))
	return client, nil
}

// bare is a client without what [Connect] puts around it, so that a Cluster can be told from a single server.
func bare(client goredis.UniversalClient) goredis.UniversalClient {
	if c, ok := client.(*Client); ok {
		return c.UniversalClient
	}
	return client
}

func newClient(universal *goredis.UniversalOptions, w *watch) goredis.UniversalClient {
	if !universal.IsClusterMode {
		client := goredis.NewUniversalClient(universal)
		if single, ok := client.(node); ok {
			client.AddHook(w.link(single, universal.Addrs[0]))
		}
		return client
	}
	options := universal.Cluster()
	options.ClusterStateReloadInterval = stateAge
	cluster := goredis.NewClusterClient(options)
	cluster.AddHook(lookAround{cluster, w})
	cluster.OnNewNode(func(client *goredis.Client) {
		client.AddHook(briefly{})
		client.AddHook(w.link(client, client.Options().Addr))
	})
	return cluster
}

// How a Cluster is followed. go-redis alone looks at it again after a minute, or when a node sends it elsewhere, which a dead one does not;
// and a node that is silent holds up the look for as long as a command may take.
const (
	stateAge  = time.Second     // after which a command has the Cluster looked at again, beside it
	nodeTells = time.Second     // within which a node has to say how the Cluster is; then another one is asked
	lookLimit = 3 * time.Second // of one look
)

// lookAround looks at the Cluster again after a command without an answer.
type lookAround struct {
	cluster *goredis.ClusterClient
	watch   *watch
}

func (lookAround) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (l lookAround) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := l.watch.named(next(ctx, cmd), cmd)
		l.after(ctx, err)
		return err
	}
}

func (l lookAround) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := l.watch.named(next(ctx, cmds), cmds...)
		l.after(ctx, err)
		return err
	}
}

func (l lookAround) after(ctx context.Context, err error) {
	if err != nil && !answered(err) {
		l.cluster.ReloadState(ctx)
	}
}

// briefly bounds how long a node may take to say how the Cluster is.
type briefly struct{}

func (briefly) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (briefly) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (briefly) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if cmd.Name() == "cluster" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, nodeTells)
			defer cancel()
		}
		return next(ctx, cmd)
	}
}

// patience is how often something is tried that needs Redis, and how far apart.
type patience struct {
	attempts int
	wait     time.Duration
	logger   *slog.Logger
}

func newPatience(attempts int, backoff time.Duration, logger *slog.Logger) patience {
	if logger == nil {
		logger = slog.Default()
	}
	return patience{attempts: positive(attempts, 10), wait: positive(backoff, 100*time.Millisecond), logger: logger}
}

// try calls until there is no error, or one that another attempt does not change. Then, at the last attempt, the error is [ErrUnreachable] with the
// cause.
func (p patience) try(ctx context.Context, call func() error, passes func(error) bool) error {
	wait := p.wait
	for attempt := 1; ; attempt++ {
		err := call()
		ended := ports.Ended(ctx, err)
		switch {
		case err == nil:
			return nil
		case ended != nil:
			return fmt.Errorf("%w: %w", ErrUnreachable, ended)
		case !passes(err):
			return err
		case attempt == p.attempts:
			return fmt.Errorf("%w in %d attempts; is it running, all of it, and is the URL right? %w", ErrUnreachable, attempt, err)
		}
		p.logger.WarnContext(ctx, "redis not reached, trying again", "attempt", attempt, "wait", wait, "error", err)
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("%w: %w", ErrUnreachable, err)
		}
		wait = min(2*wait, 3*time.Second)
	}
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}
