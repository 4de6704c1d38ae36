package chatcore

import (
	"context"
	"errors"
	"sync"
	"time"

	"chatcore/adapters/logdir"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/logcopy"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// ErrDamagedExport is returned by [ImportLog] for a directory that is not as [Export] has written it.
var ErrDamagedExport = logdir.ErrDamaged

// ExportConfig configures [Export].
type ExportConfig struct {
	Dir   string      // that does not exist, or is empty
	Vault ports.Vault // to export the log of a vault. Defaults to the log in Redis
	Log   string      // log id, with Vault. Defaults to the log that all others in the vault are ancestors of
	At    time.Time   // the moment, with Vault. Defaults to the end of the log

	// Progress is called after each chat, one call at a time. If it returns an error, the export ends with it. Defaults to none.
	Progress func(CopyProgress) error
}

// ExportReport says what an export has written.
type ExportReport struct {
	Log    string // log id
	Chats  int
	Events int
}

// Export writes a log into a directory: a file of JSON lines for each chat, with the events as the log has them. docs/vault.md describes the files. The directory
// is whole or absent. Programs may use the log meanwhile: each chat is exported up to a seq at which it was. Consumer groups are not exported.
//
// It returns a [*domain.InvalidError] for a directory that is not empty, and the errors of [Restore] that are about reading.
func Export(ctx context.Context, config Config, export ExportConfig) (report ExportReport, err error) {
	if export.Vault == nil {
		err = onLog(ctx, config, func(client *conn.Client, keys keyspace.Keys) error {
			stored, err := eventlog.FindStored(ctx, client.UniversalClient, keys)
			if err != nil {
				return err
			}
			ancestors, err := stored.Ancestors()
			if err != nil {
				return err
			}
			m := logdir.Manifest{Log: stored.ID(), Partitions: stored.Partitions(), Hash: stored.Hash()}
			for _, a := range ancestors {
				m.Ancestors = append(m.Ancestors, logdir.Ancestor(a))
			}
			report, err = exportLog(ctx, export, redisSource{stored}, m, stored.Check)
			return err
		})
		return report, err
	}
	copied, err := logcopy.Open(ctx, export.Vault, logcopy.Config{Log: export.Log, At: export.At, Erase: wireformat.Erased})
	if err != nil {
		return report, err
	}
	log := copied.Manifest()
	m := logdir.Manifest{Log: log.Log, Partitions: log.Partitions, Hash: log.Hash}
	for _, a := range log.Ancestors {
		m.Ancestors = append(m.Ancestors, logdir.Ancestor(a))
	}
	return exportLog(ctx, export, vaultSource{copied}, m, func(context.Context) error { return nil })
}

// exportLog writes a source into a directory. check is called when everything was read.
func exportLog(ctx context.Context, export ExportConfig, source logSource, m logdir.Manifest, check func(context.Context) error) (ExportReport, error) {
	w, err := logdir.Create(export.Dir)
	if err != nil {
		return ExportReport{}, err
	}
	e := &exporting{writer: w, codec: wireformat.New(), meter: copyMeter{report: export.Progress, done: CopyProgress{Partitions: source.partitions()}}}
	err = e.export(ctx, source)
	if err == nil {
		err = check(ctx)
	}
	if err == nil {
		m.Moment = e.moment
		err = w.Finish(m)
	}
	if err != nil {
		return ExportReport{}, errors.Join(err, w.Discard())
	}
	return ExportReport{Log: m.Log, Chats: e.meter.done.Chats, Events: e.meter.done.Events}, nil
}

// exporting is a directory that is being written.
type exporting struct {
	writer *logdir.Writer
	codec  *wireformat.Codec
	meter  copyMeter

	mu     sync.Mutex // guards moment
	moment int64
}

func (e *exporting) export(ctx context.Context, source logSource) error {
	for p := range source.partitions() {
		partition, err := source.partition(ctx, p)
		if err != nil {
			return err
		}
		e.meter.begin(p)
		none := func() struct{} { return struct{}{} }
		_, err = inParallel(ctx, partition.chats(ctx), none, func(ctx context.Context, _ struct{}, chat domain.ChatID) error {
			return e.chat(ctx, partition, chat)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (e *exporting) chat(ctx context.Context, partition sourcePartition, chat domain.ChatID) error {
	var last []byte
	events, err := e.writer.Chat(chat, func(yield func(ports.ChatPart, error) bool) {
		for part, err := range partition.parts(ctx, chat) {
			if n := len(part.Events); n > 0 {
				last = part.Events[n-1]
			}
			if !yield(part, err) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	r, err := e.codec.Decode(last)
	if err != nil {
		return &ports.CorruptError{Chat: chat, Seq: domain.Seq(events), Cause: err} //nolint:gosec // a count
	}
	e.mu.Lock()
	e.moment = max(e.moment, r.Event.OccurredAt().UnixMilli())
	e.mu.Unlock()
	return e.meter.chat(events)
}

// ImportConfig configures [ImportLog].
type ImportConfig struct {
	Dir string // of an export

	// KeepID has the log go on under its id. It must be set only if nothing was appended since the export, and no other namespace goes on with the log:
	// caches of processes would not notice otherwise. Defaults to false: the log has a new id, and the exported one as its ancestor.
	KeepID            bool
	Partitions        int  // of the log. Defaults to those of the exported one
	ReplaceUnfinished bool // delete what an unfinished restore or import has left. Defaults to false: [ErrRestoring]

	// Progress is called after each chat, one call at a time. If it returns an error, the import ends with it. Defaults to none.
	Progress func(CopyProgress) error
}

// ImportLog writes the log of a directory that [Export] has written into the empty namespace of a configuration, as [Restore] does. All files are compared with their
// sums first. Consumer groups begin where their programs say.
//
// It returns [ErrDamagedExport], [ErrOccupied], [ErrRestoring], a [*ports.CorruptError] for an event that is not in its place, and the errors of [FindLog].
func ImportLog(ctx context.Context, config Config, from ImportConfig) (report RestoreReport, err error) {
	dir, err := logdir.Open(ctx, from.Dir)
	if err != nil {
		return report, err
	}
	m := dir.Manifest()
	into := eventlog.RestoreConfig{ReplaceUnfinished: from.ReplaceUnfinished}
	for _, a := range m.Ancestors {
		into.Ancestors = append(into.Ancestors, eventlog.Ancestor(a))
	}
	if from.KeepID {
		into.ID = m.Log
	} else {
		into.Ancestors = append([]eventlog.Ancestor{{Log: m.Log, ForkAt: uint64(max(m.Moment, 0))}}, into.Ancestors...)
	}
	if config.Log.Partitions = from.Partitions; from.Partitions == 0 {
		config.Log.Partitions = m.Partitions
	}
	report = RestoreReport{Source: m.Log, Moment: time.UnixMilli(m.Moment).UTC()}
	err = fillLog(ctx, config, dirSource{dir}, into, from.Progress, &report)
	return report, err
}
