package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// Sentinels of connecting.
var (
	// ErrURL is a REDIS_URL that cannot be understood.
	ErrURL = errors.New("unusable Redis URL")
	// ErrUnreachable is a Redis that did not answer in any attempt.
	ErrUnreachable = errors.New("no answer from Redis")
)

const allowedURL = "redis://[[user]:password@]host:port[/db] or rediss://…, several separated by commas for a Cluster"

// Options say how to reach a Redis.
type Options struct {
	URL      string        // as [ParseURL] takes it
	Timeout  time.Duration // of a dial, and of a command's write and its read. Defaults to 5 s
	Attempts int           // of the first connection. Defaults to 10
	Backoff  time.Duration // before the second attempt; doubles up to 3 s. Defaults to 100 ms
	PoolSize int           // connections per node. Defaults to go-redis's own
	// NewServer is called when a connection reaches a server process that none reached before: at first, after a restart, a failover. It
	// reports whether decisions that were taken on what others said are void; then this connection carries nothing.
	NewServer func() bool
	Logger    *slog.Logger // Defaults to slog.Default
}

// ParseURL understands a REDIS_URL: one server, or with commas the seeds of a Cluster. The error says what is allowed and never
// repeats the URL, which may hold a password.
func ParseURL(s string) (*goredis.UniversalOptions, error) {
	if strings.TrimSpace(s) == "" {
		return nil, fmt.Errorf("%w: it is empty; allowed: %s", ErrURL, allowedURL)
	}
	universal := &goredis.UniversalOptions{}
	parts := strings.Split(s, ",")
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if i > 0 && !strings.Contains(part, "://") {
			scheme, _, _ := strings.Cut(strings.TrimSpace(parts[0]), "://")
			part = scheme + "://" + part
		}
		node, err := parseNode(part)
		if err != nil {
			return nil, fmt.Errorf("%w: address %d of %d %w; allowed: %s", ErrURL, i+1, len(parts), err, allowedURL)
		}
		universal.Addrs = append(universal.Addrs, node.Addr)
		if i == 0 {
			universal.Username, universal.Password, universal.DB, universal.TLSConfig = node.Username, node.Password, node.DB, node.TLSConfig
			continue
		}
		if (node.TLSConfig == nil) != (universal.TLSConfig == nil) {
			return nil, fmt.Errorf("%w: it mixes redis:// and rediss://; allowed: %s", ErrURL, allowedURL)
		}
		if (node.Password != "" && node.Password != universal.Password) || (node.Username != "" && node.Username != universal.Username) {
			return nil, fmt.Errorf("%w: its addresses have different credentials; allowed: the first address's for all", ErrURL)
		}
	}
	if len(parts) > 1 {
		if universal.DB != 0 {
			return nil, fmt.Errorf("%w: a Cluster has no database but 0", ErrURL)
		}
		universal.IsClusterMode = true
	}
	return universal, nil
}

func parseNode(s string) (*goredis.Options, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is no URL") // url's own error repeats the password
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, fmt.Errorf("has the scheme %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("names no host")
	}
	node, err := goredis.ParseURL(s)
	if err != nil {
		return nil, errors.New(strings.TrimPrefix(err.Error(), "redis: "))
	}
	if node.TLSConfig != nil {
		node.TLSConfig.MinVersion = tls.VersionTLS12
	}
	return node, nil
}

// Connect opens a client and waits until Redis answers, in a bounded number of attempts. From then on the client reconnects by
// itself for ever, and commands meanwhile fail fast: none is retried, because the reply to one that was carried out may have been
// lost. Whoever calls Connect closes the client.
func Connect(ctx context.Context, o Options) (goredis.UniversalClient, error) {
	universal, err := ParseURL(o.URL)
	if err != nil {
		return nil, err
	}
	timeout := positive(o.Timeout, 5*time.Second)
	universal.DialTimeout, universal.ReadTimeout, universal.WriteTimeout = timeout, timeout, timeout
	universal.ContextTimeoutEnabled = true
	universal.MaxRetries = -1
	universal.DialerRetries = 1
	universal.PoolSize = o.PoolSize
	universal.DisableIdentity = true
	if o.NewServer != nil {
		universal.OnConnect = (&servers{told: o.NewServer}).connected
	}
	universal.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	client := goredis.NewUniversalClient(universal)
	if o.NewServer != nil {
		client.AddHook(onceMore{})
	}

	if err := firstAnswer(ctx, client, o); err != nil {
		return nil, errors.Join(err, client.Close())
	}
	return client, nil
}

// servers are the processes that connections have reached, by their run ids.
type servers struct {
	told func() bool

	mu    sync.Mutex
	known map[string]struct{}
}

// errNewServer ends the first connection to a server process that came after another: nothing was sent over it. A command that was decided on
// what the one before said must not be carried out; others are made once more.
var errNewServer = errors.New("the server is another one than before")

// connected looks at who answers on a new connection, before anything else is asked there. A server that does not tell is taken for one
// that was there before.
func (s *servers) connected(ctx context.Context, conn *goredis.Conn) error {
	text, err := conn.Info(ctx, "server").Result()
	if err != nil {
		if answered(err) {
			return nil
		}
		return err
	}
	_, id, _ := strings.Cut(text, "run_id:")
	id, _, _ = strings.Cut(id, "\r")
	if id != "" && s.voids(id) {
		return errNewServer
	}
	return nil
}

// voids remembers a run id. The first time it tells of it, and reports what was said to that; other connections to the same server wait for
// that, so that none carries anything before.
func (s *servers) voids(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, seen := s.known[id]; seen {
		return false
	}
	if s.known == nil {
		s.known = make(map[string]struct{})
	}
	s.known[id] = struct{}{}
	return s.told()
}

// onceMore makes commands again that met a new server, save for appends.
type onceMore struct{}

type appendKey struct{}

func (onceMore) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (onceMore) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		return again(ctx, func() error { return next(ctx, cmd) })
	}
}

func (onceMore) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		return again(ctx, func() error { return next(ctx, cmds) })
	}
}

// again calls until no new server is met: on a Cluster there may be several.
func again(ctx context.Context, call func() error) error {
	const most = 16
	err := call()
	for range most {
		if !errors.Is(err, errNewServer) || ctx.Value(appendKey{}) != nil {
			break
		}
		err = call()
	}
	return err
}

func firstAnswer(ctx context.Context, client goredis.UniversalClient, o Options) error {
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	attempts, wait := positive(o.Attempts, 10), positive(o.Backoff, 100*time.Millisecond)
	for attempt := 1; ; attempt++ {
		err := client.Ping(ctx).Err()
		switch {
		case err == nil:
			logger.DebugContext(ctx, "redis ready", "attempt", attempt)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
		case attempt == attempts || refusesCredentials(err):
			return fmt.Errorf("%w in %d attempts; is it running, and is the URL right? %w", ErrUnreachable, attempt, err)
		}
		logger.WarnContext(ctx, "redis not reached, trying again", "attempt", attempt, "wait", wait, "error", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w: %w", ErrUnreachable, ctx.Err())
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

// IsCluster reports whether a URL names the seeds of a Cluster.
func IsCluster(s string) (bool, error) {
	universal, err := ParseURL(s)
	if err != nil {
		return false, err
	}
	return universal.IsClusterMode, nil
}
