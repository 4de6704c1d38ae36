package conn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"chatcore/adapters/redis/rediscmd"
)

// Errors of [Connect].
var (
	// ErrUnreachable is returned when Redis did not answer in any attempt.
	ErrUnreachable = errors.New("no answer from Redis")
	// ErrRejected is returned when the server answers and another attempt would get the same answer: missing or wrong credentials, a database that
	// the server does not have, or mismatching TLS. Connect then makes only one attempt.
	ErrRejected = errors.New("the connection is rejected")
)

// Options are the settings of a client.
type Options struct {
	URL      string        // in the form of [ParseURL]
	TLS      *tls.Config   // of a rediss:// URL. Defaults to the system's certificate authorities and no client certificate
	Purpose  string        // purpose of the client, for the log. Defaults to "redis"
	Timeout  time.Duration // of a dial, of a write and of a read. Defaults to 5 s, on a Cluster to 2 s
	Waits    time.Duration // additional read timeout for commands that wait for replicas. Defaults to 0
	Attempts int           // for the first connection. Defaults to 10
	Backoff  time.Duration // before the second attempt; doubles up to 3 s. Defaults to 100 ms
	PoolSize int           // connections per server. Defaults to go-redis's default, 10 × GOMAXPROCS
	Logger   *slog.Logger  // Defaults to slog.Default

	// KeepReplies is for a client whose replies to XREAD and XRANGE have many entries, and that gives these as raw commands alone. Its connections receive such a reply in one
	// piece, and give go-redis a number instead, with which [Client.TakeReply] returns it: go-redis would read it element by element into a buffer that grows, which takes a
	// fifth of the processor time of a delivery. Errors, and replies without entries, reach go-redis.
	KeepReplies bool
}

// Client is a go-redis client that logs the state of its connections: connect, ready, lost, reconnecting, ready again, and closed. It logs each
// change once per server, not per connection.
type Client struct {
	goredis.UniversalClient
	watch *connMonitor
}

// Close closes all connections. Commands fail from then on. A nil Client has none.
func (c *Client) Close() error {
	if c == nil {
		return nil
	}
	c.watch.closing.Store(true)
	c.watch.cancel()
	err := c.UniversalClient.Close() // interrupts a probe that waits for a reply
	c.watch.close()
	return err
}

// Connect opens a client and waits until Redis answers, for a bounded number of attempts. After that the client reconnects by itself without end.
// Meanwhile commands fail fast. None is retried, because a command whose reply was lost may have been executed. The caller must close the client.
func Connect(ctx context.Context, o Options) (*Client, error) {
	universal, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	if universal.TLSConfig, err = mergeTLS(universal.TLSConfig, o.TLS); err != nil {
		return nil, err
	}
	timeout := 5 * time.Second
	if universal.IsClusterMode { // another node may have replaced a silent one
		timeout = 2 * time.Second
	}
	timeout = cmp.Or(max(o.Timeout, 0), timeout)
	universal.DialTimeout, universal.ReadTimeout, universal.WriteTimeout = timeout, timeout+o.Waits, timeout
	// A connection that was idle for as long as a command's timeout is not trusted. Networks may silently drop packets, and a caller would otherwise
	// wait for one timeout after another.
	universal.ConnMaxIdleTime = timeout
	universal.ContextTimeoutEnabled = true
	universal.MaxRetries = -1
	universal.DialerRetries = 1
	universal.PoolSize = o.PoolSize
	universal.DisableIdentity = true
	universal.Protocol = 2 // with RESP3 go-redis checks for push messages around each command, which is another read from the socket
	universal.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logDriverTo(o.Logger)
	w := newWatch(o.Purpose, o.Logger)
	if o.KeepReplies {
		w.kept = &keptReplies{replies: make(map[int64][]byte)}
	}
	w.logger.DebugContext(ctx, "redis connect", "address", strings.Join(universal.Addrs, ","))
	client := &Client{newClient(universal, w), w}

	answer := func() error { return rejected(rediscmd.Unavailable(ctx, client.Ping(ctx).Err())) }
	if err := NewRetry(o.Attempts, o.Backoff, w.logger).Do(ctx, answer, func(err error) bool { return !errors.Is(err, ErrRejected) }); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	w.begin(ctx, strings.Join(universal.Addrs, ","))
	return client, nil
}

// Unwrap returns the client without the wrapper of [Connect], so that a Cluster can be distinguished from a single server.
func Unwrap(client goredis.UniversalClient) goredis.UniversalClient {
	if c, ok := client.(*Client); ok {
		return c.UniversalClient
	}
	return client
}

func newClient(universal *goredis.UniversalOptions, w *connMonitor) goredis.UniversalClient {
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
	cluster.AddHook(reloadTopology{cluster, w})
	cluster.OnNewNode(func(client *goredis.Client) {
		client.AddHook(topologyTimeout{})
		client.AddHook(w.link(client, client.Options().Addr))
	})
	return cluster
}

// Reloads of a Cluster's topology. By default go-redis reloads it after a minute or a redirection, which a dead node does not send, and a silent node
// blocks the reload for the timeout of a command.
const (
	stateAge  = time.Second // age after which a command starts a reload in the background
	nodeTells = time.Second // timeout for a node's reply; then another node is asked

)

// reloadTopology starts a reload of the topology after an unanswered command.
type reloadTopology struct {
	cluster *goredis.ClusterClient
	watch   *connMonitor
}

func (reloadTopology) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (l reloadTopology) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		err := l.watch.named(next(ctx, cmd), cmd)
		l.after(ctx, err)
		return err
	}
}

func (l reloadTopology) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		err := l.watch.named(next(ctx, cmds), cmds...)
		l.after(ctx, err)
		return err
	}
}

func (l reloadTopology) after(ctx context.Context, err error) {
	if err != nil && !rediscmd.Answered(err) {
		l.cluster.ReloadState(ctx)
	}
}

// topologyTimeout bounds the time a node may take to return the topology.
type topologyTimeout struct{}

func (topologyTimeout) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (topologyTimeout) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (topologyTimeout) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if cmd.Name() == "cluster" {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, nodeTells)
			defer cancel()
		}
		return next(ctx, cmd)
	}
}
