package redis

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
)

// Names of keys, for tests that look at what is kept or change it.

func (k Keys) SessionKey(user domain.UserID, key string) string { return k.session(user, key) }

// Skew puts the process's clock on or back.
func (s *Sessions) Skew(by time.Duration) {
	s.now = func() time.Time { return time.Now().Add(by) }
}

func (k Keys) SessionsKey(user domain.UserID) string { return k.sessions(user) }

// IDKey and LogKey name the keys of a log's identity.
func (k Keys) IDKey(partition int) string { return k.id(partition) }

func (k Keys) LogKey() string { return k.log() }

// Namespaced is the names under the namespace of other keys.
func (n Names) Namespaced(k Keys, partitions int) Keys {
	return n.keys(k.prefix, partitions, k.cluster)
}

// UpgradeBy is Upgrade of a program that knows other levels.
func UpgradeBy(ctx context.Context, client goredis.UniversalClient, keys Keys, c UpgradeConfig, known int) ([]UpgradeStep, error) {
	return upgrade(ctx, bare(client), keys, c, known)
}

// Commands returns the commands of the rights, as ACL rules spell them.
func (r Rights) Commands() []string {
	var names []string
	for _, c := range r.commands {
		names = append(names, c.command)
	}
	return names
}

// RaiseWitnesses does at once what a timer does a second after something was learned.
func (l *Log) RaiseWitnesses(ctx context.Context) { l.witnesses.raiseAll(ctx) }

// DevicesKey names the list of a user's devices.
func (k Keys) DevicesKey(user domain.UserID) string { return k.presence(user) }

// RecordKey names the record of a user's presence.
func (k Keys) RecordKey(user domain.UserID) string { return k.record(user) }

// GuardedSources returns the scripts that check the identity, history and age of the data, as this program holds them.
func GuardedSources() map[string]string {
	return map[string]string{"append": takeSource + appendSource, "confirm": confirmSource, "snapshot": snapshotSource, "witness": witnessSource}
}
