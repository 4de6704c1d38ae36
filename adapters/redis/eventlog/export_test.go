package eventlog

import (
	"context"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
)

// UpgradeBy is Upgrade in a program that knows other levels.
func UpgradeBy(ctx context.Context, client goredis.UniversalClient, keys keyspace.Keys, c UpgradeConfig, known int) ([]UpgradeStep, error) {
	return upgrade(ctx, conn.Unwrap(client), keys.Log(), c, known)
}

// RaiseWitnesses raises the witnesses at once; a timer would do it a second later.
func (l *Log) RaiseWitnesses(ctx context.Context) { l.witnesses.raiseAll(ctx) }

// GuardedSources returns the scripts that check the identity, history and age of the data.
func GuardedSources() map[string]string {
	return map[string]string{"append": limit.TakeScript + appendSource, "confirm": confirmSource, "snapshot": snapshotSource, "witness": witnessSource}
}
