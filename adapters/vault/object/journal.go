package object

import (
	"fmt"
	"strconv"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// JournalObject is one flush of an archiver: the events that were appended to its partitions since the flush before.
type JournalObject struct {
	Name   Name
	Before Link    // to the journal object before, zero for the first one
	Blocks []Block // of one partition each, by rising partition
}

// Link names an object and fixes its bytes.
type Link struct {
	Name string
	Sum  Sum // as of SumOf
}

// Block is a part of the stream of a partition, without a gap.
type Block struct {
	Partition   int
	After, Last groups.StreamID // all entries of the log after After, up to Last
	Entries     []Entry         // in the order of the stream
}

// Entry is an entry of a partition's stream.
type Entry struct {
	ID   groups.StreamID
	Chat domain.ChatID
	Seq  domain.Seq
	Event
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
		last := b.After
		for _, e := range b.Entries {
			if e.ID.Compare(last) <= 0 {
				return fmt.Sprintf("entry %s follows %s in partition %d", e.ID, last, partition)
			}
			if e.Chat == "" || e.Seq == 0 {
				return fmt.Sprintf("entry %s of partition %d has no chat or no seq", e.ID, partition)
			}
			last = e.ID
		}
		if b.Last.Compare(last) < 0 {
			return fmt.Sprintf("the block of partition %d ends at %s, before %s", partition, b.Last, last)
		}
	}
	return ""
}

// EncodeJournal returns the bytes of a journal object. It returns a [*domain.InvalidError] for blocks or entries that are not in order.
func (c *Codec) EncodeJournal(j *JournalObject) ([]byte, error) {
	if problem := j.check(); problem != "" {
		return nil, &domain.InvalidError{Field: "journal object", Problem: "is not valid: " + problem, Allowed: "blocks by rising partition, with entries by rising ids within their bounds"}
	}
	if err := j.Name.Check(); err != nil {
		return nil, err
	}
	var head, plain writer
	head.text(j.Before.Name)
	head.b = append(head.b, j.Before.Sum[:]...)
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
	w.streamID(b.After)
	w.streamID(b.Last)
	w.count(len(b.Entries))
	time := b.After.Milliseconds
	for _, e := range b.Entries {
		w.number(e.ID.Milliseconds - time)
		w.number(e.ID.Number)
		time = e.ID.Milliseconds
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
	for range r.count() {
		j.Blocks = append(j.Blocks, r.block())
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
	b.After, b.Last = r.streamID(), r.streamID()
	b.Entries = make([]Entry, r.count())
	time := b.After.Milliseconds
	for i := range b.Entries {
		time += r.number()
		b.Entries[i].ID = groups.StreamID{Milliseconds: time, Number: r.number()}
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
