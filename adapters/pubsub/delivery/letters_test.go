package delivery

import (
	"strings"
	"testing"
	"time"

	"chatcore/ports/groups"
)

// TestLetter_LongFields makes dead letters of an entry with long fields: if it cannot be read, the letter has the beginning of each.
func TestLetter_LongFields(t *testing.T) {
	long := strings.Repeat("x", letterBytes+1)
	for _, unreadable := range []bool{true, false} {
		b := newBench(Config{Concurrency: 1})
		r := &Record{Entry: groups.Entry{ID: groups.StreamID{Number: 1}, UUID: long, Metadata: long, Payload: []byte(long)}}
		b.p.Fetched([]*Record{r}, r.ID, &Checkpoints{})
		if b.m.Deliver(b.now, b.into) != 1 {
			t.Fatal("the entry is not delivered")
		}
		b.m.Completed(r, r.Start(), Outcome{Kind: FailedForGood, Unreadable: unreadable}, b.now)
		commits, _ := b.m.Commits(b.now, nil, nil)
		if len(commits) != 1 || len(commits[0].Letters) != 1 {
			t.Fatalf("the commits are %+v, want one letter", commits)
		}
		want := letterBytes
		if !unreadable {
			want++
		}
		l := commits[0].Letters[0]
		if len(l.UUID) != want || len(l.Metadata) != want || len(l.Payload) != want || l.Cut != unreadable || l.Entry.IsZero() == unreadable {
			t.Errorf("unreadable %v: %d, %d and %d bytes, cut %v, entry %v", unreadable, len(l.UUID), len(l.Metadata), len(l.Payload), l.Cut, l.Entry)
		}
	}
}

// TestTransientPauses lets a handler fail transiently again and again: it is started again within 23 seconds each time.
func TestTransientPauses(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	b.p.deadline = b.now.Add(time.Hour)
	r := &Record{Entry: groups.Entry{ID: groups.StreamID{Number: 1}}}
	b.p.Fetched([]*Record{r}, r.ID, &Checkpoints{})
	for i := range 20 {
		if b.m.Deliver(b.now, b.into) != 1 {
			t.Fatalf("the handler is not started again after failure %d", i)
		}
		b.m.Completed(r, r.Start(), Outcome{Kind: FailedTransiently}, b.now)
		b.now = b.now.Add(transientMax*3/2 + time.Second/2)
		b.m.Tick(b.now)
	}
}

// TestLetter_OfAnEvent makes a dead letter of an event whose entry cannot be read, and of an entry with fields of the bound: no letter is cut, and that of an
// event is its group's alone.
func TestLetter_OfAnEvent(t *testing.T) {
	most := strings.Repeat("x", letterBytes)
	for _, chat := range []string{"ada", ""} {
		b := newBench(Config{Concurrency: 1})
		r := entryOf(chat, 1)
		r.UUID, r.Metadata, r.Payload = most, most, []byte(most)
		b.take(t, r)
		b.m.Deliver(b.now, b.into)
		b.m.Completed(r, r.Start(), Outcome{Kind: FailedForGood, Unreadable: true}, b.now)
		commits, _ := b.m.Commits(b.now, nil, nil)
		l := commits[0].Letters[0]
		if l.Cut || l.Entry.IsZero() != (chat != "") || l.Mark != (groups.RetryMark{}) {
			t.Errorf("%q: cut %v, entry %v, mark %+v", chat, l.Cut, l.Entry, l.Mark)
		}
	}
}
