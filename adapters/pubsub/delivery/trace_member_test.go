package delivery_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/ports/groups"
)

func (r *trace) acquire(m *traceMember, args []string, _ string) error {
	i, _ := r.partition(args)
	s := r.stores[i]
	lease := s.acquire(m.name, m.LostRecords(i), r.config.Lease, r.now)
	if lease == nil {
		r.print("%s is owned by %s", s.Stream, s.owner)
		return nil
	}
	r.printLease(s.Stream, lease)
	m.last = m.Acquired(i, lease, r.now, r.now)
	return nil
}

func (r *trace) overlapped(m *traceMember, args []string, _ string) error {
	p, s, _, err := r.owned(m, args)
	if err == nil {
		p.OverlapEnded(s.last())
	}
	return err
}

// traceFetch is a read of the stream between its two halves.
type traceFetch struct {
	p       *delivery.Partition
	records []*delivery.Record
	last    groups.StreamID
	known   delivery.Checkpoints
	unknown []string
	seqs    []domain.Seq
}

func (r *trace) fetch(m *traceMember, args []string, _ string) error {
	half := ""
	if len(args) > 0 && (args[0] == "begin" || args[0] == "end") {
		half, args = args[0], args[1:]
	}
	if half != "end" {
		p, s, args, err := r.owned(m, args)
		if err != nil {
			return err
		}
		if err := r.beginFetch(m, p, s, args); err != nil || m.fetch == nil {
			return err
		}
	}
	if half == "begin" {
		return nil
	}
	f := m.fetch
	m.fetch = nil
	for len(f.unknown) > 0 {
		f.known.Add(f.unknown, f.seqs)
		r.print("checkpoints of %s read: %v", abbreviate(f.unknown), compact(f.seqs))
		r.ask(f)
	}
	r.print("read up to %s", f.last)
	return nil
}

// ask calls Fetched, and reads the checkpoints that it needs.
func (r *trace) ask(f *traceFetch) {
	f.unknown = f.p.Fetched(f.records, f.last, &f.known)
	for _, s := range r.stores {
		if s.Partition == f.p.Partition {
			f.seqs = s.checkpointsOf(f.unknown)
		}
	}
}

func (r *trace) beginFetch(m *traceMember, p *delivery.Partition, s *traceStore, args []string) error {
	if !p.HasRoom(r.now) {
		r.print("no room")
		return nil
	}
	most := 1 << 20
	if len(args) > 0 {
		var err error
		if most, err = strconv.Atoi(strings.TrimPrefix(args[0], "most=")); err != nil {
			return err
		}
	}
	cursor, known := m.cursors[p]
	if !known {
		cursor = p.Position()
	}
	entries, gap := s.after(cursor, most)
	if gap && s.Logged() {
		if over := r.resolveGap(m, p, s, cursor); over {
			return nil
		}
	}
	if len(entries) == 0 {
		r.print("nothing to read")
		return nil
	}
	f := &traceFetch{p: p, last: entries[len(entries)-1].id}
	for _, e := range entries {
		f.records = append(f.records, e.record(e.id))
	}
	m.cursors[p] = f.last
	r.ask(f)
	m.fetch = f
	return nil
}

func (e *traceEvent) record(id groups.StreamID) *delivery.Record {
	return &delivery.Record{Key: e.key, Entry: groups.Entry{
		ID: id, UUID: e.uuid, Metadata: "metadata of " + e.uuid, Payload: []byte(e.uuid), Chat: e.chat, Seq: e.seq, Broken: e.broken, Half: e.half,
	}}
}

// resolveGap does what package group does if an entry is gone after which it has read. It reports whether the lease is over.
func (r *trace) resolveGap(m *traceMember, p *delivery.Partition, s *traceStore, gone groups.StreamID) bool {
	if s.gone(gone) {
		r.print("%s is trimmed, the first entry is %s", gone, s.first())
		p.Truncated(s.first())
		return false
	}
	r.print("%s is lost", gone)
	m.Lost(p, true)
	return true
}

func (r *trace) deliver(m *traceMember, args []string, _ string) error {
	most := 1 << 14
	if len(args) > 0 {
		var err error
		if most, err = strconv.Atoi(args[0]); err != nil {
			return err
		}
	}
	into := make([]*delivery.Record, most)
	n := m.Deliver(r.now, into)
	var lines []string
	for _, rec := range into[:n] {
		m.flights = append(m.flights, &traceFlight{records: []*delivery.Record{rec}, start: rec.Start(), epoch: rec.Partition().Epoch()})
		lines = append(lines, r.delivery(rec))
	}
	r.printLines(lines)
	return nil
}

func (r *trace) batch(m *traceMember, args []string, _ string) error {
	queues, err1 := strconv.Atoi(args[0])
	events, err2 := strconv.Atoi(args[1])
	for _, batch := range m.DeliverBatches(r.now, queues, events) {
		m.flights = append(m.flights, &traceFlight{records: batch, start: batch[0].Start(), epoch: batch[0].Partition().Epoch()})
		line := r.delivery(batch[0])
		for _, rec := range batch[1:] {
			line += ", " + r.delivery(rec)
		}
		r.print("%s", line)
	}
	return errors.Join(err1, err2)
}

// flightsOf returns the flights that a word names: an event, a range of events or an entry, if need be with the epoch, as in ada/1@2. If none flies, it
// returns the last one that has landed.
func (m *traceMember) flightsOf(word string) (flights []*traceFlight, err error) {
	name, epoch, _ := strings.Cut(word, "@")
	names := []string{name}
	if events, err := parseEvents(name); err == nil {
		names = nil
		for _, e := range events {
			names = append(names, e.uuid)
		}
	}
	for _, name := range names {
		var found, landed *traceFlight
		for _, f := range m.flights {
			switch {
			case f.records[0].UUID != name || epoch != "" && strconv.FormatUint(f.epoch, 10) != epoch:
			case f.landed:
				landed = f
			case found != nil:
				return nil, fmt.Errorf("%s is in flight twice: name the epoch", name)
			default:
				found = f
			}
		}
		if found == nil {
			found = landed
		}
		if found == nil {
			return nil, fmt.Errorf("%s is not in flight", word)
		}
		flights = append(flights, found)
	}
	return flights, nil
}

func (r *trace) begin(m *traceMember, args []string, _ string) error {
	for _, word := range args {
		flights, err := m.flightsOf(word)
		if err != nil {
			return err
		}
		for _, f := range flights {
			r.print("%s may begin: %t", f.records[0].UUID, m.MayBegin(f.records[0], r.now))
		}
	}
	return nil
}

func complete(kind delivery.OutcomeKind) traceCommand {
	return func(r *trace, m *traceMember, args []string, cause string) error {
		after := time.Duration(0)
		for _, word := range args {
			if text, found := strings.CutPrefix(word, "after="); found {
				var err error
				if after, err = time.ParseDuration(text); err != nil {
					return err
				}
				continue
			}
			flights, err := m.flightsOf(word)
			if err != nil {
				return err
			}
			for _, f := range flights {
				f.landed = true
				o := delivery.Outcome{Kind: kind, Cause: cause, After: after, Unreadable: f.records[0].Broken != ""}
				m.Completed(f.records[0], f.start, o, r.now)
			}
		}
		return nil
	}
}

func (r *trace) completeBatch(m *traceMember, args []string, cause string) error {
	flights, err := m.flightsOf(args[0])
	if err != nil {
		return err
	}
	f := flights[0]
	done, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	o, later := delivery.Outcome{Cause: cause}, time.Duration(0)
	for _, arg := range args[2:] {
		if text, found := strings.CutPrefix(arg, "later="); found {
			if later, err = time.ParseDuration(text); err != nil {
				return err
			}
			continue
		}
		kinds := map[string]delivery.OutcomeKind{"failed": delivery.Failed, "reject": delivery.FailedForGood, "transient": delivery.FailedTransiently, "not-begun": delivery.NotBegun}
		kind, known := kinds[arg]
		if !known {
			return fmt.Errorf("no outcome %q", arg)
		}
		o.Kind = kind
	}
	f.landed = true
	m.CompletedBatch(f.records, f.start, done, o, later, r.now)
	return nil
}

func (r *trace) commit(m *traceMember, args []string, _ string) error {
	answerLost, notSent := slices.Contains(args, "answer-lost"), slices.Contains(args, "not-sent")
	commits, partitions := m.Commits(r.now, nil, nil)
	for i, c := range commits {
		p := partitions[i]
		s := r.storeOf(p)
		r.printCommit(c)
		if notSent {
			continue
		}
		result := s.commitChanges(c, r.config.Lease, r.now)
		switch {
		case answerLost:
		case result.Err != nil:
			r.print("refused: %v", result.Err)
			m.Lost(p, errors.Is(result.Err, groups.ErrLostWrites))
		case p.Committed(r.now, result):
			r.reload(p, s, result.Revision)
		}
	}
	if len(commits) == 0 {
		r.print("no changes")
	}
	return nil
}

func (r *trace) storeOf(p *delivery.Partition) *traceStore {
	for _, s := range r.stores {
		if s.Partition == p.Partition {
			return s
		}
	}
	return nil
}

// reload reads the changes of others, as package group does.
func (r *trace) reload(p *delivery.Partition, s *traceStore, revision string) {
	changes := groups.Changes{Walk: s.walk, Left: s.left, Retries: s.retries}
	what := p.Reload(changes)
	var letters []delivery.Retried
	for _, id := range what.Letters {
		l := s.letter(id)
		key := ""
		if events := s.events[l.Chat]; l.Seq > 0 && int(l.Seq) <= len(events) { //nolint:gosec // small
			key = events[l.Seq-1].key
		}
		rec := &delivery.Record{Key: key, Entry: groups.Entry{UUID: l.UUID, Metadata: l.Metadata, Payload: l.Payload, Chat: l.Chat, Seq: l.Seq}}
		if !l.Entry.IsZero() {
			rec.Broken = l.Reason
		}
		letters = append(letters, delivery.Retried{Record: rec, Letter: *l, Checkpoint: s.checkpoints[l.Chat]})
	}
	r.print("others have changed it: chats that resume %v, letters %v", what.Resumed, what.Letters)
	p.Updated(changes, what, s.checkpointsOf(what.Resumed), letters, revision)
}

// others returns the group's members: this one, and another that the partitions in away are assigned to.
func (r *trace) others(m *traceMember) groups.Members {
	const another = "another"
	living := groups.Members{Living: []string{m.name, another}, Declined: make(map[string][]string)}
	for _, s := range r.stores {
		if living.Declined[s.Stream] = []string{another}; slices.Contains(m.away, s.Stream) {
			living.Declined[s.Stream] = []string{m.name}
		}
	}
	return living
}

func (r *trace) move(m *traceMember, args []string, _ string) error {
	i, _ := r.partition(args)
	m.away = append(m.away, r.stores[i].Stream)
	m.Rebalance(r.others(m), m.name, r.now)
	return nil
}

func (r *trace) keep(m *traceMember, args []string, _ string) error {
	i, _ := r.partition(args)
	m.away = slices.DeleteFunc(m.away, func(stream string) bool { return stream == r.stores[i].Stream })
	for _, i := range m.Rebalance(r.others(m), m.name, r.now) {
		r.print("%s is to be acquired", r.stores[i].Stream)
	}
	return nil
}

func (r *trace) lost(m *traceMember, _ []string, _ string) error {
	if !m.Lost(m.last, true) {
		r.print("the lease was over")
	}
	return nil
}

func (r *trace) release(m *traceMember, _ []string, _ string) error {
	r.released(m.ReleaseDrained())
	return nil
}

func (r *trace) leave(m *traceMember, _ []string, _ string) error {
	r.released(m.Leave())
	return nil
}

func (r *trace) released(held []groups.Release) {
	for _, h := range held {
		text := ""
		if h.Overlap > 0 {
			text = fmt.Sprintf(", an earlier owner may start handlers for %v", h.Overlap)
		}
		r.print("%s released%s", h.Partition.Stream, text)
		for _, s := range r.stores {
			if s.Partition == h.Partition {
				s.release(h)
			}
		}
	}
	if len(held) == 0 {
		r.print("nothing to release")
	}
}

func (r *trace) drain(m *traceMember, _ []string, _ string) error {
	m.Drain(r.now)
	return nil
}
