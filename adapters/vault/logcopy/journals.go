package logcopy

import (
	"context"
	"math"
	"sort"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
)

const (
	// journalsAtOnce is how many bytes of journals are decoded for one reading of them. Their events stay in memory: about ten times as many bytes.
	journalsAtOnce = 32 << 20
	// clockMargin is how far the clocks of the servers that a log was on may be apart, in milliseconds.
	clockMargin = 10 * 60 * 1000
	// epochMargin is how far an archiver may have raised its epoch above the time of its start, in milliseconds.
	epochMargin = 1000
)

// journals are the journal objects of a log. They have blocks of all partitions; so they are read for some partitions together.
type journals struct {
	copy   *Copy
	epochs []epoch

	since   uint64 // the first moment whose events are needed
	through uint64 // since when no journal may be gone; never if the newest tails are used, which are after everything that was deleted
	later   uint64 // a moment that the newest tails give
	gap     bool   // journals since through may be gone

	rounds      int // in how many readings all partitions are read
	first, last int // partitions whose entries are loaded, up to last − 1
	entries     map[int]map[domain.ChatID]map[domain.Seq]entry
}

// epoch has the journal objects of one archiver, by their numbers.
type epoch struct {
	names []object.Name
	sizes int64
}

// entry is an event that is in no sealed segment.
type entry struct {
	object.Event
	fingerprint uint64 // of the command whose last event it is; 0 if none is known
	history     string // of the log when it was read
	at          uint64 // of its append; 0 if it is from a tail
}

func (l *Copy) listJournals(ctx context.Context) (*journals, error) {
	j := &journals{copy: l, since: never, through: never}
	err := l.list(ctx, object.Journal(l.manifest.Log, 0, 0).Siblings(), func(name object.Name, size int64) {
		if n := len(j.epochs); n == 0 || j.epochs[n-1].names[0].Epoch != name.Epoch {
			j.epochs = append(j.epochs, epoch{})
		}
		e := &j.epochs[len(j.epochs)-1]
		e.names, e.sizes = append(e.names, name), e.sizes+size
	})
	return j, err
}

// never is later than any moment.
const never = math.MaxUint64

// need notes that events from a moment on are needed. later is not 0 if there is a newer tail, from that moment on.
func (j *journals) need(from, later uint64) {
	j.since = min(j.since, from-min(from, clockMargin))
	if later > 0 {
		j.through, j.later = min(j.through, from), max(j.later, later)
	}
}

// begin leaves out the objects that are not needed, and finds out whether needed ones may have been deleted.
func (j *journals) begin(ctx context.Context) error {
	l := j.copy
	j.gap = j.through != never && (len(j.epochs) == 0 || j.epochs[0].names[0].Epoch > j.through+epochMargin)
	size := int64(0)
	for i := range j.epochs {
		e := &j.epochs[i]
		for k := 1; k < len(e.names); k++ {
			if e.names[k].Number != e.names[k-1].Number+1 {
				before := e.names[k-1]
				before.Number++
				return missing(before.String())
			}
		}
		last, err := j.flushed(ctx, e.names[len(e.names)-1])
		if err != nil {
			return err
		}
		l.reached = max(l.reached, last)
		if j.through != never && e.names[0].Number > 0 {
			first, err := j.flushed(ctx, e.names[0])
			if err != nil {
				return err
			}
			j.gap = j.gap || first > j.through
		}
		n := len(e.names)
		if last >= j.since {
			n = sort.Search(n-1, func(k int) bool {
				at, failed := j.flushed(ctx, e.names[k])
				if failed != nil {
					err = failed
				}
				return at >= j.since
			})
		}
		if err != nil {
			return err
		}
		size += e.sizes / int64(len(e.names)) * int64(len(e.names)-n)
		e.names = e.names[n:]
	}
	j.rounds = min(int(size/journalsAtOnce)+1, l.manifest.Partitions)
	if l.reached = max(l.reached, l.manifest.Closed); l.at > 0 {
		l.reached = l.at
	}
	return nil
}

func (j *journals) flushed(ctx context.Context, name object.Name) (uint64, error) {
	o, _, err := j.read(ctx, name)
	if err != nil {
		return 0, err
	}
	return o.Flushed, nil
}

func (j *journals) read(ctx context.Context, name object.Name) (*object.JournalObject, []byte, error) {
	data, err := j.copy.get(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	o, err := j.copy.codec.DecodeJournal(name, data)
	return o, data, err
}

// of returns the entries of a partition. It reads the journals unless they were read for the partition before.
func (j *journals) of(ctx context.Context, partition int) (map[domain.ChatID]map[domain.Seq]entry, error) {
	if partition < j.first || partition >= j.last {
		together := (j.copy.manifest.Partitions + j.rounds - 1) / j.rounds
		j.first = partition / together * together
		j.last = j.first + together
		if err := j.load(ctx); err != nil {
			j.last = 0
			return nil, err
		}
	}
	return j.entries[partition], nil
}

// load reads the journals for the partitions from first to last − 1.
func (j *journals) load(ctx context.Context) error {
	forks := make(map[int]forks)
	j.entries = make(map[int]map[domain.ChatID]map[domain.Seq]entry)
	for p := j.first; p < min(j.last, j.copy.manifest.Partitions); p++ {
		f, err := j.copy.forksOf(ctx, p)
		if err != nil {
			return err
		}
		forks[p], j.entries[p] = f, make(map[domain.ChatID]map[domain.Seq]entry)
	}
	return j.walk(ctx, func(o *object.JournalObject) error {
		for _, b := range o.Blocks {
			if b.Partition < j.first || b.Partition >= j.last || forks[b.Partition].unnoticed(b.History, o.Flushed) {
				continue
			}
			for _, e := range b.Entries {
				if err := j.copy.add(j.entries[b.Partition], forks[b.Partition], e.Chat, e.Seq, entry{e.Event, e.Fingerprint, b.History, max(e.Appended, 1)}); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// walk reads the journals of each archiver in order, and checks that each object follows the one before.
func (j *journals) walk(ctx context.Context, visit func(o *object.JournalObject) error) error {
	type decoded struct {
		*object.JournalObject
		data []byte
	}
	for _, e := range j.epochs {
		var before decoded
		read := func(ctx context.Context, i int) (decoded, error) {
			o, data, err := j.read(ctx, e.names[i])
			return decoded{o, data}, err
		}
		for o, err := range inOrder(ctx, len(e.names), read) {
			switch {
			case err != nil:
				return err
			case before.data != nil:
				if o.Before != (object.Link{Name: before.Name.String(), Sum: object.SumOf(before.data)}) {
					return o.CheckLink(before.Name, before.data)
				}
			case o.Name.Number == 0 && o.Before.Name != "":
				return &object.Error{Name: o.Name.String(), Reason: object.ErrSwapped, Problem: "it follows " + o.Before.Name + ", and is the first one"}
			}
			before = o
			if err := visit(o.JournalObject); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds an entry of a chat. Two entries with one seq must be the same event, or be of different histories: then that of the newer one holds.
func (l *Copy) add(chats map[domain.ChatID]map[domain.Seq]entry, f forks, chat domain.ChatID, seq domain.Seq, e entry) (err error) {
	if f.lost(chat, seq, e.history) {
		return nil
	}
	if e.Event, err = l.withoutErased(chat, seq, e.Event); err != nil {
		return err
	}
	seqs := chats[chat]
	if seqs == nil {
		seqs = make(map[domain.Seq]entry)
		chats[chat] = seqs
	}
	other, twice := seqs[seq]
	switch {
	case !twice:
	case same(e.Event, other.Event):
		e.at, e.fingerprint = min(e.at, other.at), max(e.fingerprint, other.fingerprint) // an older program journals none
	case f.newer(other.history, e.history):
		return nil
	case !f.newer(e.history, other.history):
		return corrupt(chat, seq, "the vault has event %s and event %s there, with other bytes", other.ID, e.ID)
	}
	seqs[seq] = e
	return nil
}

func same(a, b object.Event) bool {
	return a.ID == b.ID && a.Ordinal == b.Ordinal && string(a.JSON) == string(b.JSON)
}

// Journals calls fn for each journal object that is there, with the number of its events, and checks that each follows the one before.
func (l *Copy) Journals(ctx context.Context, fn func(events int) error) error {
	all, err := l.listJournals(ctx)
	if err != nil {
		return err
	}
	return all.walk(ctx, func(o *object.JournalObject) error {
		n := 0
		for _, b := range o.Blocks {
			n += len(b.Entries)
		}
		return fn(n)
	})
}
