package object

import (
	"encoding/binary"
	"fmt"
	"strconv"

	"chatcore/domain"
)

// JournalObject is one flush of an archiver: events that were appended to its partitions since the flush before.
type JournalObject struct {
	Name    Name
	Flushed uint64 // when its events were collected, in Unix milliseconds by the clock of the log
	Before  Link   // to the archiver's journal object before, zero for its first one
	Blocks  []Block
}

// Link names an object and fixes its bytes.
type Link struct {
	Name string
	Sum  Sum // as of SumOf
}

// Block has events of a partition.
type Block struct {
	Partition int
	History   string  // of the log when the events were read; see [ports.Histories]
	Entries   []Entry // of each chat by rising seqs
}

// Entry is an event of a partition.
type Entry struct {
	Appended uint64 // in Unix milliseconds by the clock of the log; the event's own time if it was read back from the log
	Chat     domain.ChatID
	Seq      domain.Seq
	Event
	Fingerprint uint64 // of the command whose last event it is; 0 for none, or if that is unknown
}

// check returns why a journal object is none, "" if it is one.
func (j *JournalObject) check() string {
	if j.Name.Kind != KindJournal {
		return "its name is that of something else"
	}
	partition := -1
	for _, b := range j.Blocks {
		if b.Partition <= partition || b.Partition > MaxPartition {
			return fmt.Sprintf("a block of partition %d follows one of partition %d", b.Partition, partition)
		}
		partition = b.Partition
		last := make(map[domain.ChatID]domain.Seq)
		for i, e := range b.Entries {
			if e.Chat == "" || e.Seq <= last[e.Chat] {
				return fmt.Sprintf("entry %d of partition %d has seq %d of chat %q, after seq %d", i, partition, e.Seq, e.Chat, last[e.Chat])
			}
			last[e.Chat] = e.Seq
		}
	}
	return ""
}

// EncodeJournal returns the bytes of a journal object. It returns a [*domain.InvalidError] for blocks or entries that are not in order.
func (c *Codec) EncodeJournal(j *JournalObject) ([]byte, error) {
	if problem := j.check(); problem != "" {
		return nil, &domain.InvalidError{Field: "journal object", Problem: "is not valid: " + problem, Allowed: "blocks by rising partition, with entries by rising seqs of each chat"}
	}
	if err := j.Name.Check(); err != nil {
		return nil, err
	}
	var head, plain writer
	head.text(j.Before.Name)
	head.b = append(head.b, j.Before.Sum[:]...)
	plain.number(j.Flushed)
	plain.count(len(j.Blocks))
	for _, b := range j.Blocks {
		plain.block(b)
	}
	compressed, err := c.compress(plain)
	if err != nil {
		return nil, err
	}
	return seal(KindJournal, j.Name, head.b, compressed), nil
}

func (w *writer) block(b Block) {
	w.count(b.Partition)
	w.text(b.History)
	w.count(len(b.Entries))
	time := uint64(0)
	for _, e := range b.Entries {
		w.step(time, e.Appended)
		time = e.Appended
	}
	// A chat is written before its first entry; entries name it by its place.
	places, seqs := make(map[domain.ChatID]int), make([]domain.Seq, 0, len(b.Entries))
	for _, e := range b.Entries {
		place, known := places[e.Chat]
		if !known {
			place = len(seqs)
			places[e.Chat], seqs = place, append(seqs, 0)
		}
		w.count(place)
		if !known {
			w.text(string(e.Chat))
		}
		w.step(uint64(seqs[place]), uint64(e.Seq))
		seqs[place] = e.Seq
	}
	events := make([]Event, len(b.Entries))
	for i, e := range b.Entries {
		events[i] = e.Event
	}
	w.events(events, func(i int) domain.Seq { return b.Entries[i].Seq })
	w.fingerprints(b.Entries)
}

// fingerprints appends those of the entries that have one: how many places the entry is after the one before, and the fingerprint.
func (w *writer) fingerprints(entries []Entry) {
	var some writer
	n, before := 0, -1
	for i, e := range entries {
		if e.Fingerprint != 0 {
			some.count(i - before)
			some.b = binary.BigEndian.AppendUint64(some.b, e.Fingerprint)
			n, before = n+1, i
		}
	}
	w.count(n)
	w.b = append(w.b, some.b...)
}

// DecodeJournal decodes a journal object. The events share memory.
func (c *Codec) DecodeJournal(name Name, data []byte) (*JournalObject, error) {
	body, err := unseal(KindJournal, name, data)
	if err != nil {
		return nil, err
	}
	j := &JournalObject{Name: name}
	head := &reader{rest: body}
	j.Before.Name = head.text()
	copy(j.Before.Sum[:], head.take(sumSize))
	if head.wrong != "" {
		return nil, damaged(name, head.wrong)
	}
	r, err := c.decompress(name, head.rest)
	if err != nil {
		return nil, err
	}
	j.Flushed = r.number()
	for range r.count() {
		b := r.block()
		if data[atFormat] > 1 {
			r.fingerprints(b.Entries)
		}
		j.Blocks = append(j.Blocks, b)
	}
	if problem := j.check(); r.wrong == "" && problem != "" {
		r.fail("%s", problem)
	}
	return j, r.end(name)
}

func (r *reader) block() (b Block) {
	partition := r.number()
	if partition > MaxPartition {
		r.fail("a block of partition %d", partition)
	}
	b.Partition = int(partition) //nolint:gosec // checked
	b.History = r.text()
	b.Entries = make([]Entry, r.count())
	time := uint64(0)
	for i := range b.Entries {
		time = r.step(time)
		b.Entries[i].Appended = time
	}
	var chats []domain.ChatID
	var seqs []domain.Seq
	for i := range b.Entries {
		place := r.number()
		switch {
		case place == uint64(len(chats)):
			chats, seqs = append(chats, domain.ChatID(r.text())), append(seqs, 0)
		case place > uint64(len(chats)):
			r.fail("an entry of chat %d of %d", place, len(chats))
			return b
		}
		seqs[place] = domain.Seq(r.step(uint64(seqs[place])))
		b.Entries[i].Chat, b.Entries[i].Seq = chats[place], seqs[place]
	}
	for i, e := range r.events(len(b.Entries), func(i int) domain.Seq { return b.Entries[i].Seq }) {
		b.Entries[i].Event = e
	}
	return b
}

// fingerprints reads those of the entries that have one.
func (r *reader) fingerprints(entries []Entry) {
	place := -1
	for range r.count() {
		step := r.number()
		if step == 0 || step >= uint64(len(entries)-place) { //nolint:gosec // positive
			r.fail("a fingerprint of entry %d after %d of %d", step, place, len(entries))
			return
		}
		place += int(step) //nolint:gosec // checked
		if raw := r.take(fingerprintBytes); raw != nil {
			entries[place].Fingerprint = binary.BigEndian.Uint64(raw)
		}
		if entries[place].Fingerprint == 0 {
			r.fail("entry %d has no fingerprint", place)
		}
	}
}

// CheckLink returns an error if a journal object does not follow another one: [ErrDamaged] if that has other bytes than those it followed, [ErrSwapped] if it
// followed another object. before is the encoded object, under its name.
func (j *JournalObject) CheckLink(name Name, before []byte) error {
	if j.Before.Name != name.String() {
		return &Error{Name: j.Name.String(), Reason: ErrSwapped, Problem: "it follows " + strconv.Quote(j.Before.Name) + ", not " + name.String()}
	}
	if _, err := unseal(KindJournal, name, before); err != nil {
		return err
	}
	if SumOf(before) != j.Before.Sum {
		return &Error{Name: name.String(), Reason: ErrDamaged, Problem: "its sum is not the one that " + j.Name.String() + " follows"}
	}
	return nil
}
