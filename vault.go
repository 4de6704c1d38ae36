package chatcore

import (
	"context"
	"errors"
	"math"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/vault/archive"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// VaultGroup is the consumer group of the archiver, which runs where [VaultConfig].Store is set, and which no restore continues.
const VaultGroup = "chatcore.vault"

// VaultConfig configures the archiver: a process copies the partitions of the log that it owns to a vault while it runs. Processes with the same vault share the
// partitions; those without one take no part. The vault must be that of the log, or one without it. docs/vault.md says what it has, and what can be lost.
type VaultConfig struct {
	// Store is the vault. It needs a log on Redis. Defaults to nil: the process archives nothing.
	Store ports.Vault
	// Flush is the interval at which appended events are stored: a loss of Redis loses at most the events of about this time. 100 ms to 1 min. Defaults to 5 s.
	Flush time.Duration
	// TailEvery is the interval at which the state of each partition is stored that is in no sealed segment. Defaults to 24 h.
	TailEvery time.Duration
	// FullTailEvery is the interval at which that is done for all chats, and not only for those that have changed since. At least TailEvery. Defaults to 7 days.
	FullTailEvery time.Duration
	// Keep is how long journals are kept at least: each point in time of this period can be restored. Defaults to 7 days.
	Keep time.Duration
}

// The range of [VaultConfig].Flush.
const (
	minVaultFlush = 100 * time.Millisecond
	maxVaultFlush = time.Minute
)

func (v VaultConfig) withDefaults() VaultConfig {
	setDefault(&v.Flush, 5*time.Second)
	setDefault(&v.TailEvery, 24*time.Hour)
	setDefault(&v.FullTailEvery, max(7*24*time.Hour, v.TailEvery))
	setDefault(&v.Keep, 7*24*time.Hour)
	return v
}

func (v VaultConfig) check(faults *validation) {
	if v.Flush != 0 && (v.Flush < minVaultFlush || v.Flush > maxVaultFlush) {
		faults.refuse("Vault.Flush", v.Flush, minVaultFlush.String()+" to "+maxVaultFlush.String())
	}
	if d := v.withDefaults(); d.FullTailEvery < d.TailEvery {
		faults.refuse("Vault.FullTailEvery", d.FullTailEvery, "at least Vault.TailEvery, "+d.TailEvery.String())
	}
}

// Bounds of a call of the archiver: chats, and events of one chat.
const (
	vaultChats  = 8192
	vaultEvents = 512
)

// openVault adds the archiver if a vault is configured. It returns a [*domain.InvalidError] for a log that is not on Redis.
func (c *Core) openVault(ctx context.Context) (err error) {
	v := c.config.Vault
	if v.Store == nil {
		return nil
	}
	if c.backend.redis == nil {
		return &domain.InvalidError{Field: "Vault.Store", Problem: "is set", Allowed: "nil for a log that is not on Redis"}
	}
	log := c.backend.redis.log
	c.vault, err = archive.New(archive.Config{
		Vault: v.Store, Log: log, LogID: log.ID(), Partitions: c.config.Log.Partitions, Hash: keyspace.HashName, Ancestors: ancestorsOf(log), Rules: log.RawRules, Histories: log, Began: log.History(ctx), Clock: c.clock,
		Groups: c.backend.groups, Group: VaultGroup, Flush: v.Flush, TailEvery: v.TailEvery, FullTailEvery: v.FullTailEvery, Keep: v.Keep, Logger: c.config.Logger,
	})
	if err != nil {
		return err
	}
	if c.eraser, err = c.newVaultEraser(); err != nil {
		return err
	}
	c.erasures = c.eraser.Handler(log)
	return c.subscribe(&registration{group: VaultGroup, builtin: true, batch: c.archive, encoded: true, concurrency: vaultChats, poison: Park}, nil)
}

// ancestorsOf returns the logs that a log continues, as a vault has them.
func ancestorsOf(log *eventlog.Log) func(ctx context.Context) ([]object.Ancestor, error) {
	return func(ctx context.Context) ([]object.Ancestor, error) {
		found, err := log.Ancestors(ctx)
		ancestors := make([]object.Ancestor, len(found))
		for i, a := range found {
			ancestors[i] = object.Ancestor(a)
		}
		return ancestors, err
	}
}

// withVault completes a core that was opened. It closes the core after an error.
func (c *Core) withVault(ctx context.Context, err error) (*Core, error) {
	if err != nil {
		return nil, err
	}
	if err := c.openVault(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// encodedGroup completes the configuration of a group of encoded events.
func (c *Core) encodedGroup(config *group.Config) {
	config.Encoded, config.BatchChats, config.BatchEvents, config.Pace = true, vaultChats, vaultEvents, c.config.Vault.Flush
	config.Gather = min(config.Pace/20, 100*time.Millisecond)
	config.Retry = delivery.RetryPolicy{Attempts: math.MaxInt}
}

// runVault runs the archiver beside its group, until ctx ends.
func (c *Core) runVault(ctx context.Context) {
	if c.vault == nil {
		return
	}
	select {
	case <-c.running: // the group exists: what was appended before is in the first tail
		c.vault.Run(ctx, c.vaultPartitions)
	case <-ctx.Done():
	}
}

// vaultPartitions returns the partitions of the log that this process archives.
func (c *Core) vaultPartitions() []int { return c.ownedPartitions(VaultGroup) }

// ownedPartitions returns the partitions of the log that this process owns of a group.
func (c *Core) ownedPartitions(group string) (numbers []int) {
	c.mu.Lock()
	router := c.router
	c.mu.Unlock()
	for _, p := range router.Owned(group) {
		if p.Logged() {
			numbers = append(numbers, p.Number)
		}
	}
	return numbers
}

// Vault returns the archiver of this process, to back up the log and to see how far the vault has it. It returns nil unless [VaultConfig].Store is set.
func (c *Core) Vault() *archive.Archiver { return c.vault }

// The names of the metrics of the vault.
const (
	metricVaultEvents   = "chatcore.vault.events"
	metricVaultObjects  = "chatcore.vault.objects"
	metricVaultBytes    = "chatcore.vault.bytes"
	metricVaultSegments = "chatcore.vault.segments"
	metricVaultFailures = "chatcore.vault.failures"
	metricVaultLost     = "chatcore.vault.lost_events"
)

func vaultInstruments() []telemetry.Instrument {
	return []telemetry.Instrument{
		{Name: metricVaultEvents, Unit: "{event}", Description: "Events that this process has stored in journals of the vault."},
		{Name: metricVaultObjects, Unit: "{object}", Description: "Objects that this process has stored in the vault."},
		{Name: metricVaultBytes, Unit: "By", Description: "Bytes of these objects."},
		{Name: metricVaultSegments, Unit: "{segment}", Description: "Segments of chats that this process has sealed."},
		{Name: metricVaultFailures, Unit: "{object}", Description: "Objects that the vault did not take. They are stored later."},
		{Name: metricVaultLost, Unit: "{event}", Description: "Events that the log acknowledged and lost, and that this process has found in the vault."},
	}
}

// vaultPoints measures the archiver.
func (c *Core) vaultPoints() (points []telemetry.Point) {
	if c.vault == nil {
		return nil
	}
	s := c.vault.Stats()
	for _, n := range []struct {
		name  string
		value uint64
	}{
		{metricVaultEvents, s.Events},
		{metricVaultObjects, s.Objects},
		{metricVaultBytes, s.Bytes},
		{metricVaultSegments, s.Segments},
		{metricVaultFailures, s.FailedPuts},
		{metricVaultLost, s.Lost},
	} {
		points = append(points, telemetry.Point{Name: n.name, Value: float64(n.value)})
	}
	return points
}
