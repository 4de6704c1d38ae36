package chaos

import (
	"context"
	"testing"

	"chatcore"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/tests/wait"
)

const raiseLevel = "raise level"

// startLower creates the log of a run at the level before the present one, as older programs do: its entries are JSON until the level is raised. From then on
// the chats have entries of both forms.
func startLower(t *testing.T, url string, cluster bool) {
	t.Helper()
	keys, err := keyspace.New("", partitions, cluster)
	if err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the log is created", func() bool {
		client, err := conn.Connect(t.Context(), conn.Options{URL: url})
		if err != nil {
			return false
		}
		defer func() { _ = client.Close() }()
		_, err = eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, KnownLevel: eventlog.Level - 1})
		return err == nil
	})
}

// raise raises the log to the present level, if it is below, and rewrites what is JSON, while everything goes on. A restore may lower the level again.
func (o *operator) raise(config chatcore.Config) {
	o.untilDone(raiseLevel, func(ctx context.Context) error {
		_, err := chatcore.Upgrade(ctx, config, chatcore.UpgradeConfig{})
		return err
	})
	o.untilDone("rewrite segments", func(ctx context.Context) error {
		if info, err := chatcore.FindLog(ctx, config); err != nil || info.Level < chatcore.LogLevel {
			return err
		}
		_, err := chatcore.Rewrite(ctx, config, nil)
		return err
	})
}

// raises is the attack that raises the level.
func (o *operator) raises(config chatcore.Config) attack {
	return attack{raiseLevel, func(dice) (string, func()) {
		o.raise(config)
		return "", nil
	}}
}
