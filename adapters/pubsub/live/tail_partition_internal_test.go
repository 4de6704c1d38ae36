package live

import (
	"context"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// stream is a delivery stream of a model. Its entries are numbered over all its lives.
type stream struct {
	entries []entry
	last    groups.StreamID // of all entries that there were
	added   int             // events that there were
}

// add appends entries, and returns their announcement. An entry in three is no event of a chat.
func (s *stream) add(t *rapid.T, count int) string {
	a := wireformat.Announcement{}
	if n := len(s.entries); n > 0 {
		a.Previous = s.entries[n-1].id
	}
	for range count {
		s.entries = append(s.entries, s.event(t))
		e := s.entries[len(s.entries)-1]
		a.Events = append(a.Events, wireformat.Announced{ID: e.id, Seq: e.notice.Seq, Chat: e.notice.Chat, JSON: e.notice.JSON})
	}
	return string(a.Append(nil))
}

func (s *stream) event(t *rapid.T) entry {
	if rapid.Bool().Draw(t, "in the same millisecond") {
		s.last.Number++
	} else {
		s.last = groups.StreamID{Milliseconds: s.last.Milliseconds + rapid.Uint64Range(1, 3).Draw(t, "milliseconds")}
	}
	s.added++
	return entry{s.last, ports.Notice{Chat: "c", Seq: domain.Seq(s.added), JSON: []byte(strconv.Itoa(s.added))}} //nolint:gosec // a few
}

// after returns what a read after an id gives.
func (s *stream) after(id groups.StreamID, count int) (entries []entry, more bool) {
	for _, e := range s.entries {
		if e.id.Compare(before(id)) > 0 || id == (groups.StreamID{}) {
			entries = append(entries, e)
		}
	}
	if len(entries) >= count {
		return entries[:count:count], true
	}
	return entries, false
}

// modelEar checks what a watcher of a model hears.
type modelEar struct {
	t     *rapid.T
	heard int // the last event
	lost  bool
	calls int
}

func (e *modelEar) Appended(_ int, notices []ports.Notice) {
	for _, n := range notices {
		switch seq := int(n.Seq); { //nolint:gosec // a few
		case seq <= e.heard && e.calls > 0: // a delayed announcement, of a stream that was emptied meanwhile
		case seq <= e.heard:
			e.t.Fatalf("event %d comes after %d", seq, e.heard)
		case seq > e.heard+1 && !e.lost:
			e.t.Fatalf("event %d comes after %d without a loss", seq, e.heard)
		default:
			e.heard, e.lost = seq, false
		}
	}
}

func (e *modelEar) Lost(int) { e.lost, e.calls = true, e.calls+1 }

// TestPartition_HearsTheStream has announcements that are lost, delayed and doubled, reads that are late, and streams that are trimmed or deleted.
func TestPartition_HearsTheStream(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const count = 4 // entries of one read
		bound := rapid.SampledFrom([]int{6, 4096}).Draw(t, "bound")
		tail := &Tail{config: TailConfig{Partitions: []TailPartition{{}}, Bound: bound}}
		tail.ctx = context.Background()
		p, s, e := newPartition(tail, 0), &stream{}, &modelEar{t: t}
		s.add(t, rapid.IntRange(0, 3).Draw(t, "entries before"))
		p.confirmed()
		begin := func() {
			last := groups.StreamID{}
			if n := len(s.entries); n > 0 {
				last = s.entries[n-1].id
			}
			p.begin(last)
		}
		if last, entries, _ := p.next(); !last || entries {
			t.Fatal("the last entry is not read at the beginning")
		}
		begin()
		e.heard = s.added
		p.add(e)
		mayLose := false
		var announced []string // that are not delivered yet
		type reply struct {
			after   groups.StreamID
			entries []entry
			more    bool
		}
		var reading *reply
		read := func() {
			last, some, after := p.next()
			if last {
				begin()
			}
			if some {
				entries, more := s.after(after, count)
				reading = &reply{after, slices.Clone(entries), more}
			}
		}
		finish := func() {
			if r := reading; r != nil {
				reading = nil
				p.took(r.after, r.entries, r.more)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				if text := s.add(t, rapid.IntRange(1, 3).Draw(t, "events")); rapid.IntRange(0, 3).Draw(t, "announced") > 0 {
					announced = append(announced, text)
				}
			},
			"add a foreign entry": func(t *rapid.T) {
				added := s.event(t)
				added.notice = ports.Notice{}
				s.added--
				s.entries = append(s.entries, added)
			},
			"announce": func(t *rapid.T) {
				if len(announced) == 0 {
					return
				}
				p.message(announced[0])
				if rapid.IntRange(0, 5).Draw(t, "doubled") > 0 {
					announced = announced[1:]
				}
			},
			"begin a read": func(*rapid.T) {
				if reading == nil {
					read()
				}
			},
			"finish a read": func(*rapid.T) { finish() },
			"fail a read": func(*rapid.T) {
				if reading != nil {
					reading = nil
					p.retry()
				}
			},
			"sweep":     func(*rapid.T) { p.retry() },
			"reconnect": func(*rapid.T) { announced = nil; p.confirmed() },
			"trim": func(t *rapid.T) {
				if n := len(s.entries); n > 0 {
					s.entries, mayLose = s.entries[rapid.IntRange(1, n).Draw(t, "entries"):], true
					e.lost = e.lost || p.last == groups.StreamID{} // nothing shows that the stream had an entry
				}
			},
			"": func(t *rapid.T) {
				if e.calls > 0 && !mayLose && bound == 4096 {
					t.Fatalf("a loss is told, and nothing was lost")
				}
			},
		})
		for { // a last sweep hears everything
			finish()
			p.retry()
			read()
			if r := reading; r != nil && !r.more && len(p.pending) == 0 && !p.lost && (len(r.entries) == 0 || r.entries[len(r.entries)-1].id == p.last) {
				finish()
				if !p.lost {
					break
				}
			}
		}
		if e.heard != s.added && !e.lost {
			t.Fatalf("heard %d of %d without a loss", e.heard, s.added)
		}
	})
}

// TestPartition_RestoredEntries has a stream vanish, and come back with entries that were heard before, as a restore of older data does. They are not heard
// again: the loss is reported again instead, since some of them may be new.
func TestPartition_RestoredEntries(t *testing.T) {
	tail := &Tail{config: TailConfig{Partitions: []TailPartition{{}}, Bound: 100}}
	tail.ctx = context.Background()
	p, e := newPartition(tail, 0), &countingEar{}
	numbered := func(numbers ...uint64) (entries []entry) {
		for _, n := range numbers {
			entries = append(entries, entry{groups.StreamID{Milliseconds: n}, ports.Notice{Chat: "c", Seq: domain.Seq(n)}}) //nolint:gosec // small
		}
		return entries
	}
	p.confirmed()
	p.begin(groups.StreamID{Milliseconds: 1})
	p.add(e)
	p.took(groups.StreamID{Milliseconds: 1}, numbered(1, 2, 3), false)
	p.took(groups.StreamID{Milliseconds: 3}, nil, false)
	p.begin(groups.StreamID{}) // the stream is gone
	p.took(groups.StreamID{}, numbered(1, 2, 3), false)
	p.begin(groups.StreamID{Milliseconds: 3})
	p.took(groups.StreamID{Milliseconds: 3}, numbered(3, 4), false)
	if want := []domain.Seq{2, 3, 4}; !slices.Equal(e.heard, want) || e.lost != 2 {
		t.Errorf("heard %v and %d losses, want %v and 2", e.heard, e.lost, want)
	}
}

// countingEar keeps what it hears.
type countingEar struct {
	heard []domain.Seq
	lost  int
}

func (e *countingEar) Appended(_ int, notices []ports.Notice) {
	for _, n := range notices {
		e.heard = append(e.heard, n.Seq)
	}
}

func (e *countingEar) Lost(int) { e.lost++ }

// TestPartition_PendingAnnouncements has announcements that arrive during a read because of an earlier one: they follow what was read, without another read.
func TestPartition_PendingAnnouncements(t *testing.T) {
	tail := &Tail{config: TailConfig{Partitions: []TailPartition{{}}, Bound: 100}}
	tail.ctx = context.Background()
	p := newPartition(tail, 0)
	id := func(n uint64) groups.StreamID { return groups.StreamID{Milliseconds: 1, Number: n} }
	announcement := func(n uint64) string {
		a := wireformat.Announcement{Previous: id(n - 1), Events: []wireformat.Announced{{ID: id(n), Seq: domain.Seq(n), Chat: "c", JSON: []byte("{}")}}}
		return string(a.Append(nil))
	}
	p.confirmed()
	p.begin(id(1))
	heard := &ear{}
	p.add(heard)
	p.message(announcement(3))
	if _, entries, after := p.next(); !entries || after != id(1) {
		t.Fatalf("reads entries: %v, after %s", entries, after)
	}
	p.message(announcement(4))
	p.message(announcement(5))
	p.message(announcement(9)) // of a server that has failed over: the stream lacks what is before
	added := func(n uint64) entry {
		return entry{id(n), ports.Notice{Chat: "c", Seq: domain.Seq(n), JSON: []byte("{}")}}
	}
	p.took(id(1), []entry{added(1), added(2), added(3)}, false)
	if want := []domain.Seq{2, 3, 4, 5}; !slices.Equal(heard.seqs, want) {
		t.Errorf("heard %d, want %d", heard.seqs, want)
	}
	if _, entries, after := p.next(); !entries || after != id(5) {
		t.Fatalf("reads entries: %v, after %s", entries, after)
	}
	p.took(id(5), []entry{added(5)}, false)
	p.message(announcement(5))
	p.message(announcement(3))
	if last, entries, _ := p.next(); last || entries {
		t.Error("something is read at the end")
	}
	if tail.found.Load() != 2 || tail.holes.Load() != 1 || tail.losts.Load() != 0 {
		t.Errorf("%d found, %d holes, %d losses", tail.found.Load(), tail.holes.Load(), tail.losts.Load())
	}
}

// ear keeps the seqs that it hears.
type ear struct{ seqs []domain.Seq }

func (e *ear) Appended(_ int, notices []ports.Notice) {
	for _, n := range notices {
		e.seqs = append(e.seqs, n.Seq)
	}
}

func (*ear) Lost(int) {}

// TestReceivers_AfterTheEnd passes messages on that were on their way when the watch was stopped.
func TestReceivers_AfterTheEnd(t *testing.T) {
	tail, c := &Tail{}, &calls{}
	called := 0
	memberships := &membershipReceiver{tail: tail, calls: c, fn: func(domain.UserID) { called++ }}
	ephemeral := &ephemeralReceiver{tail: tail, calls: c, typ: wireformat.TypeTypingStart, fn: func(ports.EphemeralNotice) { called++ }}
	pass := func() {
		memberships.message("ada")
		memberships.resubscribed()
		ephemeral.message(`{"chatId":"c","userId":"u"}`)
	}
	if pass(); called != 3 {
		t.Errorf("%d calls, want 3", called)
	}
	c.end()
	if pass(); called != 3 {
		t.Errorf("%d calls after the end", called-3)
	}
}
