package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
)

// Names of keys, for tests that read or change them.

func (k Keys) SessionKey(user domain.UserID, key string) string { return k.session(user, key) }

// Skew shifts the process's clock.
func (s *Sessions) Skew(by time.Duration) {
	s.now = func() time.Time { return time.Now().Add(by) }
}

func (k Keys) SessionsKey(user domain.UserID) string { return k.sessions(user) }

// IDKey and LogKey return the keys of a log's identity.
func (k Keys) IDKey(partition int) string { return k.id(partition) }

func (k Keys) LogKey() string { return k.log() }

// Namespaced returns the names under the namespace of other keys.
func (n Names) Namespaced(k Keys, partitions int) Keys {
	return n.keys(k.prefix, partitions, k.cluster)
}

// UpgradeBy is Upgrade in a program that knows other levels.
func UpgradeBy(ctx context.Context, client goredis.UniversalClient, keys Keys, c UpgradeConfig, known int) ([]UpgradeStep, error) {
	return upgrade(ctx, bare(client), keys, c, known)
}

// Commands returns the commands of the rights in the form of ACL rules.
func (r Rights) Commands() []string {
	var names []string
	for _, c := range r.commands {
		names = append(names, c.command)
	}
	return names
}

// RaiseWitnesses raises the witnesses at once; a timer would do it a second later.
func (l *Log) RaiseWitnesses(ctx context.Context) { l.witnesses.raiseAll(ctx) }

// DevicesKey returns the key of the list of a user's devices.
func (k Keys) DevicesKey(user domain.UserID) string { return k.presence(user) }

// RecordKey returns the key of a user's presence record.
func (k Keys) RecordKey(user domain.UserID) string { return k.record(user) }

// GuardedSources returns the scripts that check the identity, history and age of the data.
func GuardedSources() map[string]string {
	return map[string]string{"append": takeSource + appendSource, "confirm": confirmSource, "snapshot": snapshotSource, "witness": witnessSource}
}
