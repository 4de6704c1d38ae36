package logcopy_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

const worldLog = "0123abcd"

// appended is an event of the simulated log.
type appended struct {
	object.Event
	at     uint64
	stored bool // a journal or a tail has it
}

// worldChat is a chat of the simulated log.
type worldChat struct {
	id        domain.ChatID
	partition int
	events    []appended
	flushed   int // events that the archiver has put into journals
	sealed    int // segments
	root      object.Root
	commands  []object.Command
	tailed    int // events up to which a tail has the chat
}

// journalWriter is an archiver.
type journalWriter struct {
	epoch, number uint64
	before        object.Link
}

// world is a log with an archiver: it appends events, and writes them into a vault in random ways.
type world struct {
	t         fataler
	vault     *memory.Vault
	codec     *object.Codec
	now       uint64
	chats     []*worldChat
	parts     int
	histories []string
	archivers []*journalWriter
	next      int // number of the next event
	forks     []uint64
	erasures  uint64
	erased    map[domain.EventID]bool
	atTail    map[int]map[domain.ChatID]domain.Seq // checkpoints of the group "g" in the newest tail, by partition
}

type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func newWorld(t fataler, partitions, chats int) *world {
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	w := &world{
		t: t, vault: memory.NewVault(), codec: codec, now: 1_700_000_000_000, parts: partitions, histories: []string{"h0"}, forks: make([]uint64, partitions),
		erased: make(map[domain.EventID]bool), atTail: make(map[int]map[domain.ChatID]domain.Seq),
	}
	for i := range chats {
		w.chats = append(w.chats, &worldChat{id: domain.ChatID(fmt.Sprintf("c%d", i)), partition: i % partitions})
	}
	w.put(object.Manifest(worldLog, 0), func() ([]byte, error) {
		return object.EncodeManifest(&object.ManifestObject{Name: object.Manifest(worldLog, 0), Log: worldLog, Partitions: partitions, Hash: "h", CreatedAt: w.now})
	})
	w.archiver()
	return w
}

func (w *world) put(name object.Name, encode func() ([]byte, error)) []byte {
	w.t.Helper()
	data, err := encode()
	if err == nil {
		err = w.vault.Put(w.t.(contexter).Context(), name.String(), data)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// archiver starts another archiver.
func (w *world) archiver() {
	w.archivers = append(w.archivers, &journalWriter{epoch: w.now + uint64(len(w.archivers))})
}

func (w *world) history() string { return w.histories[len(w.histories)-1] }

// append appends some events to a chat, each with its own moment.
func (w *world) append(c *worldChat, n int) {
	for range n {
		w.now += 3
		seq := domain.Seq(len(c.events) + 1)
		id := domain.EventID(fmt.Sprintf("e%d", w.next))
		w.next++
		json := fmt.Appendf(nil, `{"id":%q,"text":"secret %s","seq":%d,"ordinal":%d}`, id, id, seq, seq)
		c.events = append(c.events, appended{Event: object.Event{ID: id, Ordinal: domain.Ordinal(seq), JSON: json}, at: w.now})
		if w.next%3 == 0 {
			c.commands = append(c.commands, object.Command{Last: seq, Fingerprint: uint64(w.next)})
		}
	}
	w.now += 5
}

// flush has an archiver write a journal object with the events of some chats after their first ones.
func (w *world) flush(a *journalWriter, history string, froms map[*worldChat]int) {
	w.now += 2
	j := &object.JournalObject{Name: object.Journal(worldLog, a.epoch, a.number), Flushed: w.now, Before: a.before}
	for p := range w.parts {
		b := object.Block{Partition: p, History: history}
		for _, c := range w.chats {
			from, listed := froms[c]
			if c.partition != p || !listed {
				continue
			}
			for i := from; i < len(c.events); i++ {
				e := &c.events[i]
				e.stored = true
				entry := object.Entry{Appended: e.at, Chat: c.id, Seq: domain.Seq(i + 1), Event: e.Event}
				if command := commandsIn(c.commands, entry.Seq, entry.Seq); len(command) > 0 {
					entry.Fingerprint = command[0].Fingerprint
				}
				b.Entries = append(b.Entries, entry)
			}
		}
		if len(b.Entries) > 0 {
			j.Blocks = append(j.Blocks, b)
		}
	}
	data := w.put(j.Name, func() ([]byte, error) { return w.codec.EncodeJournal(j) })
	a.before, a.number = object.Link{Name: j.Name.String(), Sum: object.SumOf(data)}, a.number+1
}

// flushAll flushes what no journal has.
func (w *world) flushAll(a *journalWriter) {
	froms := make(map[*worldChat]int)
	for _, c := range w.chats {
		if c.flushed < len(c.events) {
			froms[c] = c.flushed
		}
	}
	w.flush(a, w.history(), froms)
	for c := range froms {
		c.flushed = len(c.events)
	}
}

// seal seals the segments of a chat that are full and flushed.
func (w *world) seal(c *worldChat) {
	for ; (c.sealed+1)*object.SegmentEvents < c.flushed; c.sealed++ {
		name := object.Segment(worldLog, c.partition, c.id, uint64(c.sealed), 0)
		var events []object.Event
		for _, e := range c.events[c.sealed*object.SegmentEvents:][:object.SegmentEvents] {
			events = append(events, e.Event)
		}
		first := name.FirstSeq()
		s, err := object.Seal(name, events, object.EncodeIndex(commandsIn(c.commands, first, first+object.SegmentEvents-1)), c.root, [32]byte{byte(c.sealed), byte(c.partition)})
		if err != nil {
			w.t.Fatal(err)
		}
		c.root = s.Root()
		w.put(name, func() ([]byte, error) { return w.codec.EncodeSegment(s) })
	}
}

func commandsIn(commands []object.Command, first, last domain.Seq) (in []object.Command) {
	for _, c := range commands {
		if c.Last >= first && c.Last <= last {
			in = append(in, c)
		}
	}
	return in
}

// tail writes a tail of a partition in parts of one chat.
func (w *world) tail(p int, full, complete bool) {
	w.now += 2
	began := w.now
	var parts []*object.TailPart
	checkpoints := make(map[domain.ChatID]domain.Seq)
	for _, c := range w.chats {
		head := len(c.events)
		if c.partition != p || head == 0 {
			continue
		}
		checkpoints[c.id] = domain.Seq(head) + 3 - domain.Seq(head%5)
		if !full && c.tailed == head {
			continue
		}
		part := &object.TailPart{Name: object.Tail(worldLog, p, began, uint64(len(parts))), Full: full, History: w.history()}
		chat := object.TailChat{Chat: c.id, Head: domain.Seq(head)}
		first := c.sealed * object.SegmentEvents
		for i := first; i < head; i++ {
			c.events[i].stored = true
			chat.Events = append(chat.Events, c.events[i].Event)
		}
		chat.Index = object.EncodeIndex(commandsIn(c.commands, domain.Seq(first+1), domain.Seq(head)))
		part.Chats = append(part.Chats, chat)
		parts = append(parts, part)
		if complete {
			c.tailed = head
		}
	}
	w.now += 4
	last := &object.TailPart{Name: object.Tail(worldLog, p, began, uint64(len(parts))), Full: full, History: w.history(), Last: complete, Ended: w.now}
	group := object.TailGroup{Group: "g"}
	for _, chat := range slices.Sorted(maps.Keys(checkpoints)) {
		group.Checkpoints = append(group.Checkpoints, object.Checkpoint{Chat: chat, Seq: checkpoints[chat]})
	}
	last.Groups = append(last.Groups, group)
	for _, part := range append(parts, last) {
		w.put(part.Name, func() ([]byte, error) { return w.codec.EncodeTail(part) })
	}
	if complete {
		w.atTail[p] = checkpoints
	}
}

// fail has the log lose the last events of some chats of a partition, none of which is sealed, and go on with another history.
func (w *world) fail(p int, lose func(most int) int) {
	old := w.history()
	w.now++
	fork := &object.ForkObject{Name: object.Fork(worldLog, p, w.forks[p]), At: w.now, Superseded: slices.Clone(w.histories)}
	w.histories = append(w.histories, fmt.Sprintf("h%d", len(w.histories)))
	fork.History = w.history()
	froms := make(map[*worldChat]int)
	for _, c := range w.chats {
		if c.partition != p {
			continue
		}
		n := lose(len(c.events) - c.sealed*object.SegmentEvents)
		kept := len(c.events) - n
		chat := object.ForkedChat{Chat: c.id, Head: domain.Seq(kept)}
		for _, e := range c.events[kept:] {
			if e.stored {
				chat.Lost = append(chat.Lost, e.Event)
			}
		}
		if len(chat.Lost) > 0 {
			fork.Chats = append(fork.Chats, chat)
			froms[c] = kept
		}
	}
	w.put(fork.Name, func() ([]byte, error) { return w.codec.EncodeFork(fork) })
	w.forks[p]++
	w.flush(w.archivers[0], old, froms) // an archiver that has not noticed
	for _, c := range w.chats {
		if c.partition != p {
			continue
		}
		kept := len(c.events)
		if from, lost := froms[c]; lost {
			kept = from
		} else {
			for kept > 0 && !c.events[kept-1].stored && kept > c.sealed*object.SegmentEvents {
				kept--
			}
		}
		c.events = c.events[:kept:kept]
		c.flushed, c.tailed = min(c.flushed, kept), min(c.tailed, kept)
		for len(c.commands) > 0 && c.commands[len(c.commands)-1].Last > domain.Seq(kept) {
			c.commands = c.commands[:len(c.commands)-1]
		}
	}
}

// erase erases an event: the list first, and perhaps the content of the log and of its segment.
func (w *world) erase(c *worldChat, i int, rewrite bool) {
	e := &c.events[i]
	list := &object.ErasureList{Name: object.Erasures(worldLog, w.erasures), Erasures: []object.Erasure{{Chat: c.id, By: domain.Seq(len(c.events)), Events: []object.ErasedEvent{{Seq: domain.Seq(i + 1), ID: e.ID}}}}}
	w.erasures++
	w.put(list.Name, func() ([]byte, error) { return object.EncodeErasures(list) })
	w.erased[e.ID] = true
	if rewrite {
		e.JSON = erased(e.JSON)
	}
	if n := i / object.SegmentEvents; rewrite && n < c.sealed {
		w.rewriteSegment(c, n, domain.Seq(i+1), e.JSON)
	}
}

func (w *world) rewriteSegment(c *worldChat, n int, seq domain.Seq, json []byte) {
	ctx := w.t.(contexter).Context()
	var newest object.Name
	for o, err := range w.vault.List(ctx, object.Segment(worldLog, c.partition, c.id, 0, 0).Siblings(), "") {
		name, parseErr := object.ParseName(o.Name)
		if err != nil || parseErr != nil {
			w.t.Fatal(err, parseErr)
		}
		if name.Number == uint64(n) {
			newest = name
		}
	}
	data, err := w.vault.Get(ctx, newest.String(), 0, ports.WholeObject)
	if err != nil {
		w.t.Fatal(err)
	}
	s, err := w.codec.DecodeSegment(newest, data)
	if err != nil {
		w.t.Fatal(err)
	}
	next, err := s.Erase(map[domain.Seq][]byte{seq: json}, s.Index)
	if err != nil {
		w.t.Fatal(err)
	}
	w.put(next.Name, func() ([]byte, error) { return w.codec.EncodeSegment(next) })
	if err := w.vault.Delete(ctx, newest.String()); err != nil {
		w.t.Fatal(err)
	}
}

// erased is an erased form: it has the id, the seq and the ordinal. It does not change its own results.
func erased(json []byte) []byte {
	before, rest, found := strings.Cut(string(json), `,"text":"`)
	if !found {
		return json
	}
	_, after, _ := strings.Cut(rest, `"`)
	return []byte(before + after)
}

// expected returns the events of a chat at a moment, 0 for the end, and its commands.
func (w *world) expected(c *worldChat, at uint64) (events []object.Event) {
	for _, e := range c.events {
		if at > 0 && e.at > at {
			break
		}
		if w.erased[e.ID] {
			e.JSON = erased(e.JSON)
		}
		events = append(events, e.Event)
	}
	return events
}

func sameEvents(a, b []object.Event) bool {
	return slices.EqualFunc(a, b, func(a, b object.Event) bool {
		return a.ID == b.ID && a.Ordinal == b.Ordinal && bytes.Equal(a.JSON, b.JSON)
	})
}

func moment(ms uint64) time.Time { return time.UnixMilli(int64(ms)) } //nolint:gosec // a time

// step makes a random change.
func (w *world) step(t *rapid.T) {
	c := w.chats[rapid.IntRange(0, len(w.chats)-1).Draw(t, "chat")]
	p := c.partition
	switch rapid.IntRange(0, 9).Draw(t, "step") {
	case 0, 1:
		w.append(c, rapid.IntRange(1, 5).Draw(t, "events"))
	case 2:
		w.append(c, rapid.IntRange(1, object.SegmentEvents+20).Draw(t, "many"))
	case 3:
		w.flushAll(w.archivers[rapid.IntRange(0, len(w.archivers)-1).Draw(t, "archiver")])
	case 4:
		w.seal(c)
	case 5:
		if len(w.atTail[p]) > 0 || rapid.Bool().Draw(t, "first") {
			w.tail(p, rapid.Bool().Draw(t, "full"), rapid.IntRange(0, 4).Draw(t, "complete") > 0)
		}
	case 6:
		if len(w.archivers) < 3 {
			w.archiver()
		}
		froms := make(map[*worldChat]int) // events that a journal has already
		if n := c.flushed; n > 0 {
			froms[c] = rapid.IntRange(0, n).Draw(t, "again from")
			w.flush(w.archivers[len(w.archivers)-1], w.history(), froms)
			c.flushed = len(c.events)
		}
	case 7:
		w.fail(p, func(most int) int { return rapid.IntRange(0, min(most, 9)).Draw(t, "lost") })
	case 8:
		if n := len(c.events); n > 0 {
			w.erase(c, rapid.IntRange(0, n-1).Draw(t, "erased"), rapid.Bool().Draw(t, "rewrite"))
		}
	case 9:
		w.now += uint64(rapid.IntRange(1, 1000).Draw(t, "pause")) //nolint:gosec // positive
	}
}
