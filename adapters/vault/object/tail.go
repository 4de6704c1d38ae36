package object

import (
	"fmt"

	"chatcore/domain"
)

// TailPart is a part of a tail: the state of a partition at a time that is in no sealed segment. The parts of a tail have the same partition and time, and the
// numbers 0, 1, … A tail without its last part is not complete.
type TailPart struct {
	Name    Name
	Last    bool   // no other part follows
	Full    bool   // the tail has every chat of the partition, and not only those that have changed since the tail before
	Ended   uint64 // when the tail was complete, in Unix milliseconds by the clock of the log; of the last part
	History string // of the log when the tail was written; see [ports.Histories]
	Chats   []TailChat
	Groups  []TailGroup
}

// TailChat is the part of a chat that is in no sealed segment.
type TailChat struct {
	Chat   domain.ChatID
	Head   domain.Seq // of the last event
	Events []Event    // up to Head, one after another
	Index  []byte     // of the events; see [EncodeIndex]
}

// seqsUpTo returns the seqs of n events, of which the last one has the seq head.
func seqsUpTo(head domain.Seq, n int) func(i int) domain.Seq {
	return func(i int) domain.Seq { return head - domain.Seq(n-1-i) } //nolint:gosec // an index
}

// TailGroup has the checkpoints of a consumer group in the partition.
type TailGroup struct {
	Group       string
	Checkpoints []Checkpoint
}

// Checkpoint is the last seq of a chat that a group has handled.
type Checkpoint struct {
	Chat domain.ChatID
	Seq  domain.Seq
}

// check returns why a part of a tail is none, "" if it is one.
func (t *TailPart) check() string {
	if t.Name.Kind != KindTail {
		return "its name is that of something else"
	}
	for _, c := range t.Chats {
		if c.Chat == "" || uint64(len(c.Events)) > uint64(c.Head) {
			return fmt.Sprintf("chat %q has %d events up to seq %d", c.Chat, len(c.Events), c.Head)
		}
	}
	return ""
}

// EncodeTail returns the bytes of a part of a tail. It returns a [*domain.InvalidError] for a chat with more events than seqs.
func (c *Codec) EncodeTail(t *TailPart) ([]byte, error) {
	if problem := t.check(); problem != "" {
		return nil, &domain.InvalidError{Field: "tail", Problem: "is not valid: " + problem, Allowed: "chats with at most as many events as their head"}
	}
	if err := t.Name.Check(); err != nil {
		return nil, err
	}
	var w writer
	w.flag(t.Last)
	w.flag(t.Full)
	w.number(t.Ended)
	w.text(t.History)
	w.count(len(t.Chats))
	for _, chat := range t.Chats {
		w.text(string(chat.Chat))
		w.number(uint64(chat.Head))
		w.bytes(chat.Index)
		w.count(len(chat.Events))
		w.events(chat.Events, seqsUpTo(chat.Head, len(chat.Events)))
	}
	w.count(len(t.Groups))
	for _, g := range t.Groups {
		w.text(g.Group)
		w.count(len(g.Checkpoints))
		for _, p := range g.Checkpoints {
			w.text(string(p.Chat))
			w.number(uint64(p.Seq))
		}
	}
	compressed, err := c.compress(w)
	if err != nil {
		return nil, err
	}
	return seal(KindTail, t.Name, compressed), nil
}

// DecodeTail decodes a part of a tail. The events share memory.
func (c *Codec) DecodeTail(name Name, data []byte) (*TailPart, error) {
	t, r, err := c.openTail(name, data)
	if err != nil {
		return nil, err
	}
	for range r.count() {
		t.Chats = append(t.Chats, r.tailChat())
	}
	for range r.count() {
		t.Groups = append(t.Groups, r.tailGroup())
	}
	if problem := t.check(); r.wrong == "" && problem != "" {
		r.fail("%s", problem)
	}
	return t, r.end(name)
}

// DecodeTailHead decodes a part of a tail without its chats and groups, which is about six times as fast. It compares the sum of the whole part.
func (c *Codec) DecodeTailHead(name Name, data []byte) (*TailPart, error) {
	t, r, err := c.openTail(name, data)
	if err == nil && r.wrong != "" {
		err = damaged(name, r.wrong)
	}
	return t, err
}

// openTail returns the head of a part of a tail, and a reader of the rest.
func (c *Codec) openTail(name Name, data []byte) (*TailPart, *reader, error) {
	body, err := unseal(KindTail, name, data)
	if err != nil {
		return nil, nil, err
	}
	r, err := c.decompress(name, body)
	if err != nil {
		return nil, nil, err
	}
	return &TailPart{Name: name, Last: r.flag(), Full: r.flag(), Ended: r.number(), History: r.text()}, r, nil
}

func (r *reader) tailChat() (c TailChat) {
	c.Chat, c.Head = domain.ChatID(r.text()), domain.Seq(r.number())
	c.Index = r.bytes()
	n := r.count()
	c.Events = r.events(n, seqsUpTo(c.Head, n))
	return c
}

func (r *reader) tailGroup() (g TailGroup) {
	g.Group = r.text()
	for range r.count() {
		g.Checkpoints = append(g.Checkpoints, Checkpoint{domain.ChatID(r.text()), domain.Seq(r.number())})
	}
	return g
}
