package delivery

import (
	"fmt"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// bench is a member that owns one partition, and the caller of it: it reads, delivers and commits without a store.
type bench struct {
	m       *Member
	p       *Partition
	now     time.Time
	last    groups.StreamID
	into    []*Record
	commits []groups.OwnedCommit
	parts   []*Partition
}

func newBench(c Config) *bench {
	c.Lease, c.Slow, c.CoolDown, c.DeadLetterBound, c.Retry = time.Minute, time.Minute, time.Minute, plenty, RetryPolicy{}.WithDefaults()
	b := &bench{m: New(c, []groups.Partition{{Stream: "s"}}), now: epoch, into: make([]*Record, c.Concurrency)}
	b.p = b.m.Acquired(0, &groups.Lease{Epoch: 1, Left: map[string]groups.ChatState{}, Failing: map[string]groups.Progress{}}, epoch, epoch)
	return b
}

// fetch gives the partition one event of each of the records' chats.
func (b *bench) fetch(t testing.TB, records []*Record, known *Checkpoints) {
	for _, r := range records {
		b.last.Number++
		*r = Record{Entry: groups.Entry{ID: b.last, Chat: r.Chat, Seq: r.Seq + 1, Payload: r.Payload}, Key: r.Key}
	}
	if unknown := b.p.Fetched(records, b.last, known); len(unknown) > 0 {
		known.Add(unknown, make([]domain.Seq, len(unknown)))
		if unknown = b.p.Fetched(records, b.last, known); len(unknown) > 0 {
			t.Fatalf("%v are unknown again", unknown)
		}
	}
}

// deliver delivers and finishes everything, and returns the number of records.
func (b *bench) deliver() (delivered int) {
	for n := b.m.Deliver(b.now, b.into); n > 0; n = b.m.Deliver(b.now, b.into) {
		delivered += n
		for _, r := range b.into[:n] {
			b.m.Completed(r, r.Start(), Outcome{}, b.now)
		}
	}
	return delivered
}

func (b *bench) commit() {
	b.commits, b.parts = b.m.Commits(b.now, b.commits, b.parts)
	for _, p := range b.parts {
		p.Committed(b.now, groups.CommitResult{})
	}
	b.m.TakeSignals()
	b.m.TakeEvents()
}

func events(chats int) []*Record {
	records := make([]*Record, chats)
	for i := range records {
		records[i] = &Record{Entry: groups.Entry{Chat: fmt.Sprint("c", i)}}
	}
	return records
}

// TestAllocations counts what one delivery allocates once the chats are open. Records are the caller's.
func TestAllocations(t *testing.T) {
	for order, most := range map[Order]float64{ByChat: 0, ByKey: 1, Unordered: 1} {
		t.Run(order.String(), func(t *testing.T) {
			const chats = 64
			b, records, known := newBench(Config{Order: order, Concurrency: 16}), events(chats), &Checkpoints{}
			round := func() {
				b.fetch(t, records, known)
				if n := b.deliver(); n != chats {
					t.Fatalf("%d of %d delivered", n, chats)
				}
				b.commit()
			}
			for range 64 {
				round()
			}
			if got := testing.AllocsPerRun(200, round) / chats; got > most+0.05 {
				t.Errorf("%.2f allocations for each delivery, want at most %v", got, most)
			}
		})
	}
}

// TestBounds reads for a member whose handlers do not return: what it keeps is bounded.
func TestBounds(t *testing.T) {
	t.Run("window", func(t *testing.T) {
		b, known := newBench(Config{Concurrency: 8}), &Checkpoints{}
		read := 0
		for i := 0; b.p.HasRoom(b.now); i++ {
			b.fetch(t, []*Record{{Entry: groups.Entry{Chat: fmt.Sprint("c", i)}}}, known)
			b.m.Deliver(b.now, b.into)
			read++
		}
		if read != 2048 || b.m.InFlight() != 8 {
			t.Errorf("%d entries read, %d in flight, want 2048 and 8", read, b.m.InFlight())
		}
	})
	t.Run("chat", func(t *testing.T) {
		b, known, record := newBench(Config{Concurrency: 8}), &Checkpoints{}, &Record{Entry: groups.Entry{Chat: "c"}}
		for range 2000 {
			next := *record
			b.fetch(t, []*Record{&next}, known)
			*record = next
			b.m.Deliver(b.now, b.into)
		}
		c := b.p.chats["c"]
		if c.mode != backfilling || c.queued != 1 {
			t.Errorf("the chat is %v with %d events, want it to keep the one in flight", c.mode, c.queued)
		}
	})
	t.Run("log", func(t *testing.T) {
		b := newBench(Config{Concurrency: 8})
		b.p.startWalk()
		chats := uint64(0)
		for step := b.p.NextStep(); step.Pages != nil || step.Walk; step = b.p.NextStep() {
			if step.Walk {
				chats++
				known := &Checkpoints{}
				heads := []ports.ChatHead{{Chat: domain.ChatID(fmt.Sprint("c", chats)), Head: 1000}}
				known.Add(b.p.Walked(heads, chats, 1000, known), []domain.Seq{0})
				b.p.Walked(heads, chats, 1000, known)
				continue
			}
			pages := make([]Page, len(step.Pages.Ranges))
			for i, r := range step.Pages.Ranges {
				pages[i].Head = 1000
				for seq := r.From; seq < r.From+domain.Seq(r.Limit); seq++ { //nolint:gosec // small
					pages[i].Records = append(pages[i].Records, &Record{Entry: groups.Entry{Chat: string(r.Chat), Seq: seq}})
				}
			}
			b.p.Backfilled(step.Pages, pages, groups.StreamID{}, b.now)
			b.m.Deliver(b.now, b.into)
		}
		if b.p.loaded < 2048 || b.p.loaded > 2048+64 {
			t.Errorf("%d events of the log are loaded, want 2048 and at most a page more", b.p.loaded)
		}
	})
	t.Run("chats that catch up", func(t *testing.T) {
		m := New(Config{Lease: time.Minute}, []groups.Partition{{Stream: "s"}})
		left := make(map[string]groups.ChatState)
		for i := range 1000 {
			left[fmt.Sprint("c", i)] = groups.Behind
		}
		p := m.Acquired(0, &groups.Lease{Left: left}, epoch, epoch)
		opened := 0
		for step := p.NextStep(); step.Pages != nil || step.Open != nil; step = p.NextStep() {
			p.Opened(step.Open, make([]domain.Seq, len(step.Open)))
			opened += len(step.Open)
		}
		if opened != 256 {
			t.Errorf("%d chats catch up, want 256", opened)
		}
		if p.startWalk(); p.NextStep().Walk {
			t.Error("a walk goes on although as many chats catch up as may")
		}
	})
	t.Run("retries", func(t *testing.T) {
		b, known := newBench(Config{Order: Unordered, Concurrency: 8}), &Checkpoints{}
		for i := range 3000 {
			if !b.p.HasRoom(b.now) {
				break
			}
			b.fetch(t, []*Record{{Entry: groups.Entry{Chat: fmt.Sprint("c", i)}}}, known)
			for n := b.m.Deliver(b.now, b.into); n > 0; n = b.m.Deliver(b.now, b.into) {
				for _, r := range b.into[:n] {
					b.m.Completed(r, r.Start(), Outcome{Kind: Failed}, b.now)
				}
			}
		}
		if b.p.waiting != 1024 {
			t.Errorf("%d records wait, want 1024", b.p.waiting)
		}
	})
	t.Run("chats", func(t *testing.T) {
		b, known := newBench(Config{Concurrency: 8}), &Checkpoints{}
		for i := range 20000 {
			b.fetch(t, []*Record{{Entry: groups.Entry{Chat: fmt.Sprint("c", i)}}}, known)
			b.deliver()
			b.commit()
			if n := len(b.p.chats); n > 8192 {
				t.Fatalf("%d chats are kept", n)
			}
		}
	})
}
