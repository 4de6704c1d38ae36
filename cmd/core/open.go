package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"reflect"

	"chatcore"
	"chatcore/embedded"
)

// errNoRedis is returned when no setting names a Redis.
var errNoRedis = usageErrorf("no Redis is named: set REDIS_URL (for example REDIS_URL=redis://localhost:6379), give --redis-url, or use --embedded where the command has it to try without one")

// open opens a core on the Redis that was named, or on an embedded one. Both end with close.
func (c *cli) open(ctx context.Context) (core *chatcore.Core, closeAll func() error, err error) {
	config, err := c.config()
	if err != nil {
		return nil, nil, err
	}
	if err := c.openVault(ctx, &config); err != nil {
		return nil, nil, err
	}
	closeServer := func() error { return nil }
	if c.embedded {
		setEmbeddedFlush(&config)
		server, err := embedded.Start()
		if err != nil {
			return nil, nil, err
		}
		if config.Vault.Store == nil {
			fmt.Fprintln(c.errs, "embedded Redis: in memory only, gone when this ends")
		} else {
			fmt.Fprintln(c.errs, "embedded Redis: in memory; its log is copied to the vault each", config.Vault.Flush)
		}
		config.Redis.URL, config.Redis.CacheURL, closeServer = server.URL(), "", server.Close
		if len(config.Webhooks.Keys) == 0 { // the secrets end with the server
			key := make(chatcore.WebhookKey, 32)
			_, _ = rand.Read(key) // never fails
			config.Webhooks.Keys = []chatcore.WebhookKey{key}
		}
	}
	if config.Redis.URL == "" {
		return nil, nil, errNoRedis
	}
	telemetry := newExporters(ctx, c.errs, c.scraped())
	c.telemetry = telemetry
	if !c.embedded {
		config, err = c.likeTheLog(ctx, config)
	} else if config.Vault.Store != nil {
		err = c.restoreEmbedded(ctx, config, config.Vault.Store)
	}
	if err == nil {
		core, err = chatcore.New(ctx, config, telemetry.options()...)
	}
	if err == nil && c.embedded && core.Vault() != nil {
		if err = core.Vault().Open(ctx); err != nil {
			err = errors.Join(err, core.Close())
		}
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

// setEmbeddedFlush sets the interval of flushes of an embedded Redis, unless a setting does.
func setEmbeddedFlush(config *chatcore.Config) {
	if config.Vault.Flush == 0 {
		config.Vault.Flush = embeddedFlush
	}
}

// config returns the settings of a core. A command that ends by itself connects once, so that it fails at once where there is no Redis.
func (c *cli) config() (chatcore.Config, error) {
	config := c.settings.config
	config.Logger, config.Limits.Rates = c.logger, c.settings.limits.on()
	if config.Redis.ConnectAttempts == 0 && !c.patient {
		config.Redis.ConnectAttempts = 1
	}
	var err error
	config.Redis.TLS, err = c.settings.tls.load()
	return config, err
}

// named returns the settings of a core on the Redis that was named.
func (c *cli) named() (chatcore.Config, error) {
	config, err := c.config()
	if err == nil && config.Redis.URL == "" {
		err = errNoRedis
	}
	return config, err
}

// located returns the settings of a core on the Redis that was named, with the partitions and names of the log that is there, where none are set.
func (c *cli) located(ctx context.Context) (chatcore.Config, error) {
	config, err := c.named()
	if err != nil {
		return config, err
	}
	return c.likeTheLog(ctx, config)
}

func (c *cli) likeTheLog(ctx context.Context, config chatcore.Config) (chatcore.Config, error) {
	info, err := chatcore.FindLog(ctx, config)
	if err != nil || info.ID == "" {
		return config, err
	}
	if reflect.ValueOf(config.Redis.Names).IsZero() {
		config.Redis.Names = info.Names
	}
	if config.Log.Partitions == 0 {
		config.Log.Partitions = info.Partitions
	}
	return config, nil
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
