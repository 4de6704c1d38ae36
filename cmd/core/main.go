// Command core runs chatcore: as a service, as a demo, and as a tool to look into chats and to change them.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	goredis "github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/cmd/core/signals"
	"chatcore/embedded"
)

func main() {
	goredis.SetLogger(redisLog{})
	ctx, stop := signals.Context()
	quiet := context.AfterFunc(ctx, func() { fmt.Fprintln(os.Stderr, "core: stopping; a second signal ends it at once") })
	err := command(os.Stdout, os.Stderr).ExecuteContext(ctx)
	quiet()
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "core:", err)
		os.Exit(1)
	}
}

// errNoRedis says what to do when no command line or environment names a Redis.
var errNoRedis = errors.New("no Redis is named: set REDIS_URL (for example REDIS_URL=redis://localhost:6379), give --redis-url, or use --embedded where the command has it to try without one")

// cli is what the commands share.
type cli struct {
	out, errs  io.Writer
	redisURL   string
	cacheURL   string
	poolSize   int
	tls        tlsFiles
	namespace  string
	partitions int
	embedded   bool
	json       bool
	verbose    bool
	limits     limits
	defaults   map[string]app.Limit // of kinds that limits does not name
	logger     *slog.Logger
}

func command(out, errs io.Writer) *cobra.Command {
	c := &cli{out: out, errs: errs}
	root := &cobra.Command{
		Use:           "core",
		Short:         "An event-sourced messaging core on Redis",
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRun: func(*cobra.Command, []string) {
			level := slog.LevelError
			if c.verbose {
				level = slog.LevelDebug
			}
			c.logger = slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: level}))
			slog.SetDefault(c.logger)
		},
	}
	root.SetOut(out)
	root.SetErr(errs)
	flags := root.PersistentFlags()
	flags.StringVar(&c.redisURL, "redis-url", os.Getenv("REDIS_URL"), "URL of Redis: redis://[[user]:password@]host:port[/db], rediss://…, unix://…, several with commas for a Cluster, ?master_name=NAME for Sentinels (REDIS_URL)")
	flags.Lookup("redis-url").DefValue = ""
	flags.StringVar(&c.cacheURL, "redis-cache-url", os.Getenv("REDIS_CACHE_URL"), "where what other programs cache is, if it is elsewhere (REDIS_CACHE_URL)")
	flags.Lookup("redis-cache-url").DefValue = ""
	flags.IntVar(&c.poolSize, "redis-pool-size", 0, "connections for commands to each server (default 10 for each CPU)")
	c.tls.flags(flags)
	flags.StringVar(&c.namespace, "namespace", os.Getenv("CHATCORE_NAMESPACE"), "goes before every key and channel (CHATCORE_NAMESPACE)")
	flags.IntVar(&c.partitions, "partitions", 0, "partitions of the log, fixed for its life (default 16)")
	flags.Var(&c.limits, "limit", "how often a user may do something: send=30/1m, send-in-chat, typing, react, edit, delete, read, record, create, add, or a kind of your own; with a burst (send=30/1m/5) one after the other instead of so many in a window; send=off for no limit")
	flags.BoolVarP(&c.verbose, "verbose", "v", false, "log what happens, to standard error")
	root.AddCommand(
		c.demo(), c.serve(), c.importer(),
		c.chat(), c.send(), c.edit(), c.delete(), c.react(), c.unreact(), c.read(), c.typing(),
		c.session(), c.status(), c.presence(), c.limit(),
		c.history(), c.audit(), c.unread(), c.tail(),
		c.groups(), c.rebuild(), c.deadLetters(),
		c.doctor(), c.fsck(), c.acl(), c.upgrade(),
	)
	return root
}

// open gives a core on the Redis that was named, or on an embedded one. Both end with close.
func (c *cli) open(ctx context.Context) (core *chatcore.Core, closeAll func() error, err error) {
	url, closeServer := c.redisURL, func() error { return nil }
	if c.embedded {
		server, err := embedded.Start()
		if err != nil {
			return nil, nil, err
		}
		fmt.Fprintln(c.errs, "embedded Redis: in memory only, gone when this ends")
		url, closeServer = server.URL(), server.Close
	}
	if url == "" {
		return nil, nil, errNoRedis
	}
	telemetry := newExporters(ctx, c.errs)
	config, err := c.config(url)
	if err == nil && !c.embedded {
		config, err = c.likeTheLog(ctx, config)
	}
	if err == nil {
		core, err = chatcore.New(ctx, config, telemetry.options()...)
	}
	if err != nil {
		telemetry.close(ctx)
		return nil, nil, errors.Join(err, closeServer())
	}
	return core, func() error {
		err := core.Close()
		telemetry.close(ctx)
		return errors.Join(err, closeServer())
	}, nil
}

// config are the settings of a core on a Redis.
func (c *cli) config(url string) (chatcore.Config, error) {
	tls, err := c.tls.load()
	return chatcore.Config{
		RedisURL: url, CacheURL: c.cacheURL, TLS: tls, PoolSize: c.poolSize, Namespace: c.namespace, Partitions: c.partitions, Limits: c.limits.over(c.defaults), Logger: c.logger,
	}, err
}

// with runs one command on a core.
func (c *cli) with(ctx context.Context, run func(core *chatcore.Core) error) error {
	core, closeAll, err := c.open(ctx)
	if err != nil {
		return err
	}
	err = run(core)
	if errors.Is(err, chatcore.ErrNoViews) {
		err = fmt.Errorf("%w; start \"core serve\", which runs them, and ask again", err)
	}
	return errors.Join(err, closeAll())
}

// untilSignal returns the error of a command that a signal ends. A signal that came while the command started is no error, handlers that were left
// running are one.
func untilSignal(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, chatcore.ErrAbandoned) {
		return nil
	}
	return err
}

func (c *cli) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON")
	return cmd
}

func (c *cli) embeddedFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.embedded, "embedded", false, "use a Redis in this process: nothing to install, nothing kept")
	return cmd
}

// redisLog takes what go-redis says about its connections.
type redisLog struct{}

func (redisLog) Printf(ctx context.Context, format string, v ...any) {
	slog.DebugContext(ctx, "go-redis", "said", fmt.Sprintf(format, v...))
}
