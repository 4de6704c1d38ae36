package chatcore

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"chatcore/adapters/pubsub/redisgroup"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/logcopy"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Errors of [Restore], [Verify], [Export] and [ImportLog].
var (
	// ErrRestoring is returned for a log that a restore is writing, or has begun to write.
	ErrRestoring = ports.ErrRestoring
	// ErrOccupied is returned for a restore into a namespace that has keys of a log.
	ErrOccupied = eventlog.ErrOccupied
	// ErrLogNotFound is returned for a log that the vault does not have.
	ErrLogNotFound = logcopy.ErrLogNotFound
	// ErrSeveralLogs is returned if a vault has several logs, and none was named. The error lists them.
	ErrSeveralLogs = logcopy.ErrSeveralLogs
	// ErrIncompleteVault is returned for a vault that does not have a whole copy of the log yet.
	ErrIncompleteVault = logcopy.ErrIncomplete
)

// Ancestor is a log that a restore has continued without its last events.
type Ancestor struct {
	Log    string    // log id
	ForkAt time.Time // the restored moment, by the clock of Redis
}

// RestoreConfig configures [Restore].
type RestoreConfig struct {
	Vault ports.Vault
	Log   string    // log id. Defaults to the log that all others in the vault are ancestors of
	At    time.Time // the moment, by the clock of Redis. Defaults to the end of the log

	Partitions        int  // of the restored log. Defaults to those of the log in the vault
	ReplaceUnfinished bool // delete what an unfinished restore has left. Defaults to false: [ErrRestoring]

	// Progress is called after each chat, one call at a time. If it returns an error, the restore ends with it. Defaults to none.
	Progress func(CopyProgress) error
}

// CopyProgress is how far a log was copied or compared.
type CopyProgress struct {
	Partition, Partitions int // partitions before this one are done
	Chats, Events         int
}

// RestoreReport says what a restore or an import has written.
type RestoreReport struct {
	Log        string     // id of the log
	Source     string     // id of the log that was copied. It is Log if that went on under its id: nothing was lost
	Moment     time.Time  // up to which the log was restored, by the clock of Redis
	Ancestors  []Ancestor // the youngest first
	Partitions int
	Chats      int
	Events     int
	Groups     []string // consumer groups that go on where they were
}

// Restore writes a log from a vault into the empty namespace of a configuration: every event with its links, the index of each chat, and the checkpoints of
// consumer groups, which are at most the heads of their chats. Read models are not in a vault: the built-in group builds them again.
//
// A log that was closed keeps its id if its end is restored: nothing was lost. Otherwise the log has a new id and the other one as its ancestor, and processes that
// used that one stop with [ErrLogLost].
//
// Until the end no program can open the log ([ErrRestoring]). A restore that did not end leaves such a log; [RestoreConfig.ReplaceUnfinished] deletes it. Restore
// returns [ErrOccupied] for a namespace with keys of a log, [ErrRestoring], [ErrLogNotFound], [ErrSeveralLogs], [ErrIncompleteVault], an
// [*object.Error] for an object that cannot be used, a [*domain.InvalidError] for a moment that the vault cannot give, a [*ports.CorruptError] for an event that the vault contradicts, and the errors of
// [ports.Vault] and [FindLog].
func Restore(ctx context.Context, config Config, restore RestoreConfig) (report RestoreReport, err error) {
	copied, err := logcopy.Open(ctx, restore.Vault, logcopy.Config{Log: restore.Log, At: restore.At, Erase: wireformat.Erased})
	if err != nil {
		return report, err
	}
	m := copied.Manifest()
	into := eventlog.RestoreConfig{ReplaceUnfinished: restore.ReplaceUnfinished}
	for _, a := range m.Ancestors {
		into.Ancestors = append(into.Ancestors, eventlog.Ancestor(a))
	}
	if restore.Partitions == 0 {
		restore.Partitions = m.Partitions
	}
	if copied.Whole() && restore.Partitions == m.Partitions { // otherwise the log's objects in the vault are not those of the new log
		into.ID = m.Log
	} else {
		into.Ancestors = slices.Insert(into.Ancestors, 0, eventlog.Ancestor{Log: m.Log, ForkAt: uint64(copied.Reached().UnixMilli())}) //nolint:gosec // a time
	}
	config.Log.Partitions = restore.Partitions
	report = RestoreReport{Source: m.Log, Moment: copied.Reached()}
	err = fillLog(ctx, config, vaultSource{copied}, into, restore.Progress, &report)
	return report, err
}

// fillLog writes a source into an empty namespace.
func fillLog(ctx context.Context, config Config, source logSource, into eventlog.RestoreConfig, progress func(CopyProgress) error, report *RestoreReport) error {
	return onLog(ctx, config, func(client *conn.Client, keys keyspace.Keys) error {
		r, err := eventlog.BeginRestore(ctx, client.UniversalClient, keys, into)
		if err != nil {
			return err
		}
		report.Log, report.Partitions = r.ID(), keys.Log().PartitionCount()
		for _, a := range into.Ancestors {
			report.Ancestors = append(report.Ancestors, ancestorOf(a))
		}
		f := &filling{restore: r, groups: newRestoredGroups(client, keys, r), meter: copyMeter{report: progress, done: CopyProgress{Partitions: source.partitions()}}}
		if err := errors.Join(f.fill(ctx, source), f.groups.groups.Close()); err != nil {
			return err
		}
		report.Chats, report.Events, report.Groups = f.meter.done.Chats, f.meter.done.Events, f.groups.names()
		return r.Finish(ctx)
	})
}

func ancestorOf(a eventlog.Ancestor) Ancestor {
	return Ancestor{Log: a.Log, ForkAt: time.UnixMilli(int64(a.ForkAt)).UTC()} //nolint:gosec // a time
}

// filling is a log that is being written.
type filling struct {
	restore *eventlog.Restore
	groups  *restoredGroups
	meter   copyMeter
}

func (f *filling) fill(ctx context.Context, source logSource) error {
	for p := range source.partitions() {
		partition, err := source.partition(ctx, p)
		if err != nil {
			return err
		}
		f.meter.begin(p)
		writers, err := inParallel(ctx, partition.chats(ctx), f.restore.Chats, func(ctx context.Context, w *eventlog.ChatWriter, chat domain.ChatID) error {
			return f.write(ctx, w, chat, partition.parts(ctx, chat))
		})
		for _, w := range writers {
			if err == nil {
				err = w.Flush(ctx)
			}
		}
		if err == nil {
			err = f.groups.add(ctx, partition.checkpoints())
		}
		if err == nil {
			err = f.writeRules(ctx, source, p)
		}
		if err != nil {
			return err
		}
	}
	return f.groups.finish(ctx)
}

// writeRules writes the policies and holds of a partition, if the source has them.
func (f *filling) writeRules(ctx context.Context, source logSource, partition int) error {
	ruled, ok := source.(ruledSource)
	if !ok {
		return nil
	}
	policies, holds, err := ruled.rules(ctx, partition)
	if err != nil {
		return err
	}
	return f.restore.Rules(ctx, policies, holds)
}

func (f *filling) write(ctx context.Context, w *eventlog.ChatWriter, chat domain.ChatID, parts iter.Seq2[ports.ChatPart, error]) error {
	w.Begin(chat)
	for part, err := range parts {
		if err == nil {
			err = w.Add(ctx, part)
		}
		if err != nil {
			return err
		}
	}
	head, err := w.End(ctx)
	if err != nil {
		return err
	}
	return f.meter.chat(int(head)) //nolint:gosec // a count
}

// copyMeter counts what was copied, and reports it.
type copyMeter struct {
	mu     sync.Mutex // guards the others
	done   CopyProgress
	report func(CopyProgress) error
}

// begin notes the partition whose chats follow.
func (m *copyMeter) begin(partition int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done.Partition = partition
}

func (m *copyMeter) chat(events int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done.Chats++
	m.done.Events += events
	if m.report == nil {
		return nil
	}
	return m.report(m.done)
}

// restoredGroups writes the checkpoints of consumer groups into a log that is restored.
type restoredGroups struct {
	restore    *eventlog.Restore
	groups     *redisgroup.Groups
	partitions []groups.Partition
	known      map[string]map[int]bool // partitions on which a group was created
}

// restoredLog guards the partitions of a log that is restored. It has no heads: new groups get their checkpoints from the source.
type restoredLog struct {
	*eventlog.Restore
	ports.Backlog
}

func newRestoredGroups(client *conn.Client, keys keyspace.Keys, r *eventlog.Restore) *restoredGroups {
	g := &restoredGroups{restore: r, known: make(map[string]map[int]bool)}
	var partitions []redisgroup.Partition
	for p, k := range keys.Log().Partitions() {
		if p < keys.Log().PartitionCount() {
			partitions = append(partitions, redisgroup.Partition(k))
		}
	}
	g.groups = redisgroup.New(redisgroup.Config{
		Commands: client.UniversalClient, Blocking: client.UniversalClient, Partitions: partitions, Log: restoredLog{Restore: r}, Timeout: restoreStep,
	})
	g.partitions = g.groups.Partitions()
	return g
}

const (
	restoreStep      = 30 * time.Second // bounds a write of checkpoints
	restoredTogether = 500              // checkpoints of one write
)

// restored reports whether a restore continues a group. The built-in group begins again, and with it the read models.
func restored(group string) bool { return group != BuiltinGroup && group != VaultGroup }

// add writes checkpoints.
func (g *restoredGroups) add(ctx context.Context, checkpoints []groupCheckpoint) error {
	type place struct {
		group     string
		partition int
	}
	places := make(map[place][]groups.Checkpoint)
	for _, c := range checkpoints {
		if !restored(c.group) {
			continue
		}
		if g.known[c.group] == nil {
			g.known[c.group] = make(map[int]bool)
		}
		if c.chat != "" {
			at := place{c.group, g.restore.Partition(c.chat)}
			places[at] = append(places[at], groups.Checkpoint{Chat: string(c.chat), Seq: c.seq})
		}
	}
	for at, all := range places {
		if err := g.create(ctx, at.group, at.partition); err != nil {
			return err
		}
		for some := range slices.Chunk(all, restoredTogether) {
			if _, err := g.groups.Store(at.group).Seed(ctx, g.partitions[at.partition], some, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// create creates a group on a partition. It begins with a walk over all chats, because the streams are empty.
func (g *restoredGroups) create(ctx context.Context, group string, partition int) error {
	if g.known[group][partition] {
		return nil
	}
	g.known[group][partition] = true
	_, err := g.groups.Store(group).Create(ctx, g.partitions[partition], groups.Start{At: time.UnixMilli(1)})
	return err
}

// finish makes the groups ready on every partition.
func (g *restoredGroups) finish(ctx context.Context) error {
	for group := range g.known {
		for i, p := range g.partitions {
			if err := g.create(ctx, group, i); err != nil {
				return err
			}
			if _, err := g.groups.Store(group).Seed(ctx, p, nil, true); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *restoredGroups) names() []string { return slices.Sorted(maps.Keys(g.known)) }
