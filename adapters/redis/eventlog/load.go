package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	statusMissing = -2 // of a reply: a key or an element of the chat is missing

	segmentSize = 1024 // events of a chat in one list; the scripts have the same number
	walkLimit   = 256  // links that one script call walks; 1,000 block every other client for 1.9 ms

	bulkWalkLimit = 64  // the same for a call of LoadChats
	firstEvent    = 5   // place of the first event in the reply for an entity
	headField     = " " // of a chat's index, see chatHead

)

// Load implements [ports.EventLog] in one round trip, and one more for each 256 events beyond the first. The log only grows, so the later steps see
// the state of the first.
func (l *Log) Load(ctx context.Context, chat domain.ChatID, wants ...ports.LoadRequest) (ports.Loaded, error) {
	ld := l.newLoading(chat, wants)
	err := ld.run(ctx)
	return ld.loaded, err
}

// LoadChats implements [ports.BulkReader] in one round trip for each 80 chats, and one more for each 64 events of one chat.
func (l *Log) LoadChats(ctx context.Context, loads ...ports.ChatLoad) ([]ports.Loaded, error) {
	found, _, err := l.loadChats(ctx, loads, nil)
	return found, err
}

// loadChats is LoadChats, which asks further questions in its first round trip.
func (l *Log) loadChats(ctx context.Context, loads []ports.ChatLoad, beside []question) ([]ports.Loaded, []answer, error) {
	loadings := make([]*loading, len(loads))
	for i, load := range loads {
		loadings[i] = l.newLoading(load.Chat, load.Wants)
	}
	var answered []answer
	for open := loadings; len(open) > 0; {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		questions := make([]question, len(open), len(open)+len(beside))
		for i, ld := range open {
			questions[i] = question{script: l.scripts.load, partition: l.keys.Partition(ld.chat), args: ld.args(bulkWalkLimit)}
		}
		answers := l.askEach(ctx, append(questions, beside...))
		if beside != nil {
			answered, beside = answers[len(open):], nil
		}
		var again []*loading
		for i, ld := range open {
			reply, err := replyOf(ld.chat, answers[i].reply, answers[i].err)
			if err == nil {
				err = ld.take(ctx, reply)
			}
			if err != nil {
				return nil, nil, err
			}
			if !ld.ended {
				again = append(again, ld)
			}
		}
		open = again
	}
	found := make([]ports.Loaded, len(loads))
	for i, ld := range loadings {
		found[i] = ld.loaded
	}
	return found, answered, nil
}

// loading is the state of the load of one chat, which takes one or more steps.
type loading struct {
	log     *Log
	chat    domain.ChatID
	wants   []ports.LoadRequest
	pending []walk                // of incomplete entities
	history string                // replication ID at the first step, "" before it
	entries map[domain.Seq]string // receives the entries of the events as they are stored, unless it is nil
	loaded  ports.Loaded
	ended   bool
}

// walk is the state of loading one entity, newest event first.
type walk struct {
	want   ports.LoadRequest
	place  int        // of the entity in the request
	known  domain.Seq // where the walk ends: the version that the caller has, or that of the snapshot
	cursor domain.Seq // where the walk continues; 0 at the start and at the end
	events int        // events found so far
}

func (l *Log) newLoading(chat domain.ChatID, wants []ports.LoadRequest) *loading {
	ld := &loading{log: l, chat: chat, wants: wants, pending: make([]walk, len(wants))}
	for i, w := range wants {
		ld.pending[i] = walk{want: w, place: i, known: w.After, cursor: w.From}
	}
	ld.loaded.Entities = make([]ports.EntityHistory, len(wants))
	return ld
}

// run takes all steps. After an error nothing is loaded.
func (ld *loading) run(ctx context.Context) error {
	for !ld.ended {
		reply, err := ld.log.ask(ctx, ld.log.scripts.load, ld.chat, ld.args(walkLimit))
		if err == nil {
			err = ld.take(ctx, reply)
		}
		if err != nil {
			ld.loaded = ports.Loaded{}
			return err
		}
	}
	return nil
}

// args returns the arguments of the next step, which walks at most limit links. The first one is left for the partition's identity.
func (ld *loading) args(limit int) []any {
	whole := ""
	for _, w := range ld.wants {
		if w.Whole {
			whole = "1"
		}
	}
	args := make([]any, 0, 5+7*len(ld.pending))
	args = append(args, nil, keyspace.Escape(string(ld.chat)), limit, whole, len(ld.pending))
	for _, w := range ld.pending {
		latest, cursor := "", ""
		switch {
		case w.want.Latest:
			latest = "1"
		case w.want.Net:
			latest = "2"
		}
		if w.cursor > 0 {
			cursor = strconv.FormatUint(uint64(w.cursor), 10)
		}
		args = append(args, kindCode(w.want.Entity.Kind), appendField(nil, w.want.Entity), uint64(w.known), uint64(w.want.Until), latest, cursor, max(w.want.Last-w.events, 0))
	}
	return args
}

// take adds the reply of a step. The load starts again if the history has changed since the first step: the events read so far may be gone.
func (ld *loading) take(ctx context.Context, reply []any) error {
	present, _ := reply[1].(string)
	if present == "" {
		return errNoHistory()
	}
	l := ld.log
	partition := l.keys.Partition(ld.chat)
	l.queueOf(partition).observe(present)
	l.witnesses.learned(partition)
	switch ld.history {
	case "":
		ld.loaded.Head, ld.history = seqOf(reply[0]), present
	case present:
	default:
		entries := ld.entries
		clear(entries)
		*ld = *l.newLoading(ld.chat, ld.wants)
		ld.entries = entries
		return nil
	}
	var open []walk
	for n, w := range ld.pending {
		entity, _ := reply[n+2].([]any)
		if err := l.step(ctx, ld.chat, entity, &w, &ld.loaded.Entities[w.place]); err != nil {
			return err
		}
		if ld.entries != nil {
			for i := firstEvent; i+1 < len(entity); i += 2 {
				ld.entries[seqOf(entity[i])], _ = entity[i+1].(string)
			}
		}
		if w.cursor > 0 {
			open = append(open, w)
		}
	}
	if ld.pending = open; len(open) == 0 {
		ld.finish()
	}
	return nil
}

// finish ends the load and puts the events into ascending order.
func (ld *loading) finish() {
	ld.ended = true
	for i := range ld.loaded.Entities {
		e := &ld.loaded.Entities[i]
		slices.Reverse(e.Events)
		if ld.wants[i].Until > 0 && ld.wants[i].Entity.Kind != domain.KindCommand { // the current version is not the one at Until
			e.Version = e.Snapshot.Version
			if n := len(e.Events); n > 0 {
				e.Version = e.Events[n-1].Seq
			}
		}
	}
}

// step adds the events and the snapshot of one reply to the history of an entity. An unreadable snapshot is counted and ignored: the events yield the
// same state.
func (l *Log) step(ctx context.Context, chat domain.ChatID, reply []any, w *walk, into *ports.EntityHistory) error {
	if into.Version == 0 {
		into.Version = seqOf(reply[0])
	}
	if w.want.Entity.Kind == domain.KindCommand {
		return readCommandRecord(chat, reply, into)
	}
	if next, _ := reply[1].(int64); next < 0 {
		w.cursor, into.Older = 0, domain.Seq(-next)
	} else {
		w.cursor = domain.Seq(next)
	}
	var undecoded bool
	if version := seqOf(reply[2]); version > 0 {
		stored, _ := reply[3].(string)
		snapshot, err := readSnapshot(chat, w.want.Entity, version, stored)
		if undecoded = err != nil; undecoded {
			l.unreadable.Add(1)
			l.logger.WarnContext(ctx, "snapshot cannot be read, rebuilding from the log", "chat", chat, "entity", w.want.Entity.String(), "error", err)
		} else {
			into.Snapshot, w.known = snapshot, snapshot.Version
		}
	}
	into.Undone += int(seqOf(reply[4])) //nolint:gosec // at most walkLimit
	for i := firstEvent; i+1 < len(reply); i += 2 {
		record, err := l.decode(chat, seqOf(reply[i]), reply[i+1])
		if err != nil {
			return err
		}
		into.Events = append(into.Events, record)
		w.events++
	}
	if undecoded {
		return l.loadWhole(ctx, chat, w, into)
	}
	return nil
}

// readCommandRecord reads the index entry of a command: version, number of events, fingerprint.
func readCommandRecord(chat domain.ChatID, reply []any, into *ports.EntityHistory) error {
	entry, _ := reply[3].(string)
	if entry == "" {
		return nil
	}
	parts := strings.Split(entry, ":")
	if len(parts) == 3 {
		events, err := strconv.Atoi(parts[1])
		fingerprint, err2 := strconv.ParseUint(parts[2], 16, 64)
		if err == nil && err2 == nil && events >= 0 && into.Version > 0 {
			into.Command = ports.CommandRecord{Fingerprint: fingerprint, Events: events}
			return nil
		}
	}
	return &ports.CorruptError{Chat: chat, Seq: into.Version, Cause: fmt.Errorf("the index entry of a command is %.80q", entry)}
}

// loadWhole loads one entity without its snapshot, up to the version of the first reply, so that the whole load is of one moment.
func (l *Log) loadWhole(ctx context.Context, chat domain.ChatID, w *walk, into *ports.EntityHistory) error {
	want := w.want
	want.Whole = true
	if want.Until == 0 {
		want.Until = into.Version
	}
	loaded, err := l.Load(ctx, chat, want)
	if err != nil {
		return err
	}
	into.Events, into.Undone = loaded.Entities[0].Events, loaded.Entities[0].Undone
	slices.Reverse(into.Events) // newest first, until the load is complete
	w.cursor = 0
	return nil
}

func readSnapshot(chat domain.ChatID, e domain.Entity, version domain.Seq, stored string) (ports.Snapshot, error) {
	s, err := wireformat.DecodeState(chat, e, []byte(stored))
	return ports.Snapshot{Version: version, State: s}, err
}

// SaveSnapshot implements [ports.Snapshots] in one round trip.
func (l *Log) SaveSnapshot(ctx context.Context, chat domain.ChatID, e domain.Entity, version domain.Seq, s domain.State) error {
	state, err := wireformat.EncodeState(s)
	if err != nil {
		return err
	}
	p := l.keys.Partition(chat)
	w := &l.witnesses.list[p]
	_, err = l.guarded(ctx, p, func(held *field) ([]any, error) {
		kept, err := l.run(ctx, l.scripts.snapshot, p, []string{w.key},
			held, keyspace.Escape(string(chat)), appendField(nil, e), uint64(version), state, string(l.queueOf(p).history.Load().bytes), w.known.Load()).Int64()
		return []any{kept}, err
	})
	return err
}

// UnreadableSnapshots returns the number of snapshots that could not be decoded and were rebuilt from the log.
func (l *Log) UnreadableSnapshots() uint64 { return l.unreadable.Load() }

// Read implements [ports.EventLog] in one round trip.
func (l *Log) Read(ctx context.Context, chat domain.ChatID, r ports.Range) (ports.Page, error) {
	if err := r.Check(); err != nil {
		return ports.Page{}, err
	}
	backward := ""
	if r.Backward {
		backward = "1"
	}
	reply, err := l.ask(ctx, l.scripts.read, chat, []any{nil, keyspace.Escape(string(chat)), uint64(r.From), backward, r.Limit, uint64(r.Until)})
	if err != nil {
		return ports.Page{}, err
	}
	page := ports.Page{Head: seqOf(reply[0])}
	for i, element := range reply[2:] {
		record, err := l.decode(chat, seqOf(reply[1])+domain.Seq(i), element) //nolint:gosec // an index
		if err != nil {
			return ports.Page{}, err
		}
		page.Records = append(page.Records, record)
	}
	if r.Backward {
		slices.Reverse(page.Records)
	}
	return page, nil
}

// missingIn returns a [*ports.CorruptError] if a script's reply reports a damaged chat, or nil.
func missingIn(chat domain.ChatID, reply []any) error {
	if len(reply) < 3 || reply[0] != int64(statusMissing) {
		return nil
	}
	what, _ := reply[2].(string)
	return &ports.CorruptError{Chat: chat, Seq: seqOf(reply[1]), Cause: errors.New(what)}
}

// guarded runs a script that compares the partition's identity with the given one. If they differ, the reply begins with a negative number. Then
// guarded calls [Log.Recheck], and runs the script again if the log is at another level that this program knows.
func (l *Log) guarded(ctx context.Context, partition int, run func(held *field) ([]any, error)) ([]any, error) {
	for range rediscmd.Routes {
		held := l.held[partition].Load()
		reply, err := run(held)
		if err != nil {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		if !foreign(reply) {
			return reply, nil
		}
		if err := l.Recheck(ctx, partition, string(held.bytes)); err != nil {
			return nil, err
		}
	}
	return nil, errIdentityMoves
}

// decode decodes one stored entry: links to earlier events, then the event as JSON or in the compact form. An event that only a newer program can decode
// becomes a [domain.Unknown].
func (l *Log) decode(chat domain.ChatID, seq domain.Seq, element any) (ports.Record, error) {
	text, _ := element.(string)
	event, err := eventIn(text)
	if err != nil {
		return ports.Record{}, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
	}
	record, err := l.decodeEvent(chat, seq, event)
	switch {
	case err != nil:
		return ports.Record{}, &ports.CorruptError{Chat: chat, Seq: seq, Cause: err}
	case record.Seq != seq || record.Event.ChatID() != chat:
		return ports.Record{}, &ports.CorruptError{
			Chat: chat, Seq: seq, Cause: fmt.Errorf("the entry is that of seq %d of chat %q", record.Seq, record.Event.ChatID()),
		}
	}
	return record, nil
}

func (l *Log) decodeEvent(chat domain.ChatID, seq domain.Seq, event string) (record ports.Record, err error) {
	if !wireformat.IsCompact(event) {
		if record, err = l.codec.Decode([]byte(event)); !newer(err) {
			return record, err
		}
		return l.codec.DecodeUnknown([]byte(event))
	}
	if record, err = l.codec.DecodeCompact(chat, seq, event); !newer(err) {
		return record, err
	}
	json, err := wireformat.CompactJSON(chat, seq, event)
	if err != nil {
		return ports.Record{}, err
	}
	return l.codec.DecodeUnknown(json)
}

// newer reports whether only a newer program can decode an event.
func newer(err error) bool {
	return errors.Is(err, wireformat.ErrNewerVersion) || errors.Is(err, wireformat.ErrUnknownType)
}

// eventIn returns the event of an entry, without the links before it.
func eventIn(entry string) (string, error) {
	at := strings.IndexByte(entry, '{')
	if at < 0 {
		return "", errors.New("there is no event in the entry")
	}
	return entry[at:], nil
}

// jsonIn returns the JSON of an entry, as the delivery stream has it. It does not look into an event that is JSON already.
func jsonIn(chat domain.ChatID, seq domain.Seq, entry string) ([]byte, error) {
	_, json, err := recordIn(chat, seq, entry)
	return json, err
}

// recordIn is jsonIn that also returns an event in the compact form, and the zero record for JSON.
func recordIn(chat domain.ChatID, seq domain.Seq, entry string) (ports.Record, []byte, error) {
	event := entry[max(strings.IndexByte(entry, '{'), 0):]
	if !wireformat.IsCompact(event) {
		return ports.Record{}, []byte(event), nil
	}
	return wireformat.CompactRecord(chat, seq, event)
}

func seqOf(v any) domain.Seq {
	n, _ := v.(int64)
	return domain.Seq(n) //nolint:gosec // seqs are not negative
}
