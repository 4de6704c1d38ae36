package logcopy

import (
	"context"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// Config is the configuration of [Open].
type Config struct {
	Log string    // log id. Defaults to the log that all others in the vault are ancestors of
	At  time.Time // the moment, by the clock of the log. Defaults to the end of the log

	// Erase returns the JSON of an event without the content that an erasure removes. It must not change the result of another call. Defaults to none: a
	// vault with erasures is refused.
	Erase func(json []byte) ([]byte, error)
}

// Copy is a log as a vault has it at a moment. It is safe for concurrent use, except that [Copy.Partition] may be called by one goroutine at a time.
type Copy struct {
	vault    ports.Vault
	codec    *object.Codec
	config   Config
	manifest *object.ManifestObject
	at       uint64 // in Unix milliseconds; 0 for the end
	reached  uint64
	tails    [][]tail // of each partition, from a full one on
	later    [][]tail // of each partition, after the moment
	erased   map[domain.ChatID]map[domain.Seq]domain.EventID
	journals *journals
}

// Open finds a log in a vault, and reads enough of it to know that the moment can be given. It returns
//
//   - a [*LogError] if the vault does not have the log, or several ones and none was named
//   - an [*IncompleteError] if the copy of the log is not complete yet
//   - a [*domain.InvalidError] for a moment of which the vault does not have everything
//   - [ErrErased] if events were erased and Erase is nil
//   - an [*object.Error] for an object that cannot be used
//   - the errors of [ports.Vault]
func Open(ctx context.Context, vault ports.Vault, c Config) (*Copy, error) {
	codec, err := object.NewCodec()
	if err != nil {
		return nil, err
	}
	manifest, err := choose(ctx, vault, c.Log)
	if err != nil {
		return nil, err
	}
	l := &Copy{vault: vault, codec: codec, config: c, manifest: manifest, tails: make([][]tail, manifest.Partitions), later: make([][]tail, manifest.Partitions)}
	if !c.At.IsZero() {
		l.at = uint64(max(c.At.UnixMilli(), 1)) //nolint:gosec // positive
	}
	if err := l.readErasures(ctx); err != nil {
		return nil, err
	}
	if l.journals, err = l.listJournals(ctx); err != nil {
		return nil, err
	}
	if err := l.findTails(ctx); err != nil {
		return nil, err
	}
	if err := l.journals.begin(ctx); err != nil {
		return nil, err
	}
	return l, l.checkMoment(ctx)
}

// Manifest returns the manifest of the log. The caller must not change it.
func (l *Copy) Manifest() *object.ManifestObject { return l.manifest }

// Whole reports whether the copy is the whole log, which has taken no events since: a copy of its end, after it was closed.
func (l *Copy) Whole() bool { return l.at == 0 && l.manifest.Closed > 0 }

// Reached returns the moment of the copy by the clock of the log. Of the end of a log it is the last moment that the vault knows.
func (l *Copy) Reached() time.Time { return time.UnixMilli(int64(l.reached)).UTC() } //nolint:gosec // a time

// get returns a whole object.
func (l *Copy) get(ctx context.Context, name object.Name) ([]byte, error) {
	return l.vault.Get(ctx, name.String(), 0, ports.WholeObject)
}

// names returns the names of the objects with a prefix, in order.
func (l *Copy) names(ctx context.Context, prefix string) (names []object.Name, err error) {
	err = l.list(ctx, prefix, func(name object.Name, _ int64) { names = append(names, name) })
	return names, err
}

// list calls fn with the name and the size of each object with a prefix, in order.
func (l *Copy) list(ctx context.Context, prefix string, fn func(name object.Name, size int64)) error {
	for o, err := range l.vault.List(ctx, prefix, "") {
		if err != nil {
			return err
		}
		name, err := object.ParseName(o.Name)
		if err != nil {
			return err
		}
		fn(name, o.Size)
	}
	return nil
}

// readErasures reads the lists of erasures.
func (l *Copy) readErasures(ctx context.Context) error {
	names, err := l.names(ctx, object.Erasures(l.manifest.Log, 0).Siblings())
	if err != nil {
		return err
	}
	l.erased = make(map[domain.ChatID]map[domain.Seq]domain.EventID)
	for _, name := range names {
		data, err := l.get(ctx, name)
		if err != nil {
			return err
		}
		list, err := object.DecodeErasures(name, data)
		if err != nil {
			return err
		}
		for _, e := range list.Erasures {
			if l.erased[e.Chat] == nil {
				l.erased[e.Chat] = make(map[domain.Seq]domain.EventID)
			}
			for _, event := range e.Events {
				l.erased[e.Chat][event.Seq] = event.ID
			}
		}
	}
	if len(l.erased) > 0 && l.config.Erase == nil {
		return ErrErased
	}
	return nil
}

// Rules returns the newest retention policies and legal holds of a partition, whatever the moment of the copy. It returns nil if the vault has none.
func (l *Copy) Rules(ctx context.Context, partition int) (*object.RuleSet, error) {
	names, err := l.names(ctx, object.Rules(l.manifest.Log, partition, 0).Siblings())
	if err != nil || len(names) == 0 {
		return nil, err
	}
	last := names[len(names)-1]
	data, err := l.get(ctx, last)
	if err != nil {
		return nil, err
	}
	return object.DecodeRules(last, data)
}

// erasure reports whether an event is erased.
func (l *Copy) erasure(chat domain.ChatID, seq domain.Seq, id domain.EventID) bool {
	erased, found := l.erased[chat][seq]
	return found && erased == id
}

// withoutErased returns an event as a reader may see it.
func (l *Copy) withoutErased(chat domain.ChatID, seq domain.Seq, e object.Event) (object.Event, error) {
	if !l.erasure(chat, seq, e.ID) {
		return e, nil
	}
	json, err := l.config.Erase(e.JSON)
	if err != nil {
		return e, corrupt(chat, seq, "an erased event: %w", err)
	}
	e.JSON = json
	return e, nil
}
