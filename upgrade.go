package chatcore

import (
	"context"
	"errors"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
)

// LogLevel is the highest level of a log that this program knows; a new log is made at it. See docs/upgrading.md.
const LogLevel = eventlog.Level

type (
	// LogDiffersError names a setting on which all programs on a log must agree. It is [ErrLogDiffers].
	LogDiffersError = eventlog.LogDiffersError
	// LogInfo is the identity record of a log.
	LogInfo = eventlog.Info
	// UpgradeConfig configures [Upgrade].
	UpgradeConfig = eventlog.UpgradeConfig
	// UpgradeStep is one change of a partition.
	UpgradeStep = eventlog.UpgradeStep
)

// FindLog finds the log of a configuration's namespace without opening a core, for any number of partitions and any names. It changes nothing. An ID
// of "" means that there is no log yet. It returns [ErrURL], [ErrUnreachable], [ErrRejected] or [ports.ErrUnavailable].
func FindLog(ctx context.Context, config Config) (info LogInfo, err error) {
	err = onLog(ctx, config, func(client commandClient, keys keyspace.Keys) error {
		info, err = eventlog.Find(ctx, client.UniversalClient, keys)
		return err
	})
	return info, err
}

// Upgrade raises the level of a log, or changes its names, in every partition. Programs that do not know the level, or have other names, stop with
// [ports.ErrNewerLog] or [ErrLogDiffers]; the others go on. An upgrade that was interrupted is finished by the next one. It returns the steps that it
// took or, with DryRun, would take.
func Upgrade(ctx context.Context, config Config, upgrade UpgradeConfig) (steps []UpgradeStep, err error) {
	err = onLog(ctx, config, func(client commandClient, keys keyspace.Keys) error {
		steps, err = eventlog.Upgrade(ctx, client.UniversalClient, keys, upgrade)
		return err
	})
	return steps, err
}

// onLog calls use with a client and the keys of a configuration.
func onLog(ctx context.Context, config Config, use func(client commandClient, keys keyspace.Keys) error) error {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return err
	}
	keys, err := newKeys(config)
	if err != nil {
		return err
	}
	client, err := newCommandClient(ctx, config)
	if err != nil {
		return err
	}
	return errors.Join(use(client, keys), client.Close())
}
