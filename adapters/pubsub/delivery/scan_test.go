package delivery

import (
	"errors"
	"slices"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// TestScan_DeletedTail deletes the last entry of the stream while the head scan waits for it: the scan reads the tail again and goes on.
func TestScan_DeletedTail(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	last := groups.StreamID{Milliseconds: 5}
	ahead := []ports.ChatHead{{Chat: "ada", Head: 1}}
	if s := b.m.NextScan(b.now); s.Partition == nil || s.Resolve {
		t.Fatalf("the first step is %+v", s)
	}
	b.p.Compared(ports.HeadPage{Ahead: ahead, Compared: 1, Total: 1}, last, scanPage, b.now)
	checks := 0
	s := b.m.NextScan(b.now)
	for ; s.Partition == nil; s = b.m.NextScan(b.now) {
		if checks++; checks > 1000 {
			t.Fatal("the scan never reads the tail again")
		}
		b.now = b.now.Add(s.Wait)
	}
	if waited := b.now.Sub(epoch); s.Resolve || s.Count != 1 || waited < scanEvery*9/10 || waited > 2*scanEvery {
		t.Fatalf("after %v the step is %+v, want a small comparison after a second", waited, s)
	}
	b.p.Compared(ports.HeadPage{Ahead: ahead, Compared: 1, Total: 1}, groups.StreamID{Milliseconds: 9}, s.Count, b.now)
	if b.now = b.now.Add(scanAwait); b.m.NextScan(b.now).Partition != nil {
		t.Fatal("a later tail ends the wait: heads that the stream still has would count as missing")
	}
	b.p.Compared(ports.HeadPage{Ahead: ahead, Compared: 1, Total: 1}, groups.StreamID{}, s.Count, b.now)
	b.now = b.now.Add(scanAwait)
	if s := b.m.NextScan(b.now); s.Partition == nil || !s.Resolve {
		t.Fatalf("the step is %+v, want the heads to be resolved", s)
	}
	known := &Checkpoints{}
	known.Add(b.p.Resolved(known, b.now), []domain.Seq{0})
	b.p.Resolved(known, b.now)
	if step := b.p.NextStep(); step.Pages == nil || step.Pages.Ranges[0].Chat != "ada" {
		t.Errorf("the next step is %+v, want a page of ada", step)
	}
}

// TestScan_Pace follows the steps of a scan through two passes. The first pass has full pages, one right after another. A later one is spread: its pages are a
// 180th of the chats, one a second.
func TestScan_Pace(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	step := func(after time.Duration, cursor uint64, count int) {
		t.Helper()
		if s := b.m.NextScan(b.now.Add(after - time.Millisecond)); after > 0 && s.Partition != nil {
			t.Errorf("a step is due before %v", after)
		}
		b.now = b.now.Add(after)
		if s := b.m.NextScan(b.now); s.Partition != b.p || s.Resolve || s.Cursor != cursor || s.Count != count {
			t.Errorf("the step is %+v, want %d chats from %d on", s, count, cursor)
		}
	}
	page := func(next uint64, compared, count int) {
		b.p.Compared(ports.HeadPage{Next: next, Compared: compared, Total: 36_000}, groups.StreamID{}, count, b.now)
	}
	step(0, 0, scanPage)
	page(7, scanPage, scanPage)
	step(scanFirst, 7, scanPage)
	page(0, scanPage, scanPage)
	step(scanEvery, 0, 200)
	page(9, 200, 200)
	step(scanEvery, 9, 200)
	page(0, 600, 200) // a small set is returned as a whole
	step(3*scanEvery, 0, 200)
}

// TestScan_Resolve compares pages whose heads are ahead. They are resolved at once if the stream was read up to its tail. The next page is compared shortly
// after in the first pass, a second after in a later one, and heads that were read meanwhile are no events without an entry.
func TestScan_Resolve(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	b.take(t, entryOf("ada", 1))
	b.m.TakeEvents()
	ahead := []ports.ChatHead{{Chat: "ada", Head: 1}}
	for _, next := range []uint64{7, 0} {
		b.p.Compared(ports.HeadPage{Ahead: ahead, Next: next, Compared: 1, Total: 1}, groups.StreamID{Milliseconds: 1}, scanPage, b.now)
		if s := b.m.NextScan(b.now); !s.Resolve {
			t.Fatalf("the step is %+v, want the heads to be resolved", s)
		}
		b.m.TakeEvents()
		if unknown := b.p.Resolved(&Checkpoints{}, b.now); len(unknown) > 0 {
			t.Fatalf("%v are unknown", unknown)
		}
		if events := b.m.TakeEvents(); len(events) > 0 {
			t.Errorf("events %+v, want none", events)
		}
		wait := map[uint64]time.Duration{7: scanFirst, 0: scanEvery}[next]
		if s := b.m.NextScan(b.now.Add(wait - time.Millisecond)); s.Partition != nil {
			t.Errorf("a step is due within %v", wait)
		}
		b.now = b.now.Add(wait)
		if s := b.m.NextScan(b.now); s.Partition == nil || s.Resolve || s.Cursor != next {
			t.Errorf("the step is %+v, want a comparison from %d on", s, next)
		}
	}
}

// TestScan_LaterTail compares heads again while the first comparison waits for its tail. The heads of the first one are kept, and its tail is not replaced by a
// later one.
func TestScan_LaterTail(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	b.p.Compared(ports.HeadPage{Ahead: []ports.ChatHead{{Chat: "ada", Head: 2}}, Next: 7}, groups.StreamID{Milliseconds: 1}, scanPage, b.now)
	b.p.Compared(ports.HeadPage{Ahead: []ports.ChatHead{{Chat: "bob", Head: 2}}, Next: 9}, groups.StreamID{Milliseconds: 2}, 1, b.now)
	b.take(t, entryOf("ada", 1))
	if s := b.m.NextScan(b.now); !s.Resolve {
		t.Fatalf("the step is %+v, want the heads to be resolved", s)
	}
	b.p.Resolved(&Checkpoints{}, b.now)
	if step := b.p.NextStep(); step.Pages == nil || len(step.Pages.Ranges) != 1 || step.Pages.Ranges[0].Chat != "ada" {
		t.Errorf("the next step is %+v, want a page of ada", step)
	}
	b.now = b.now.Add(scanFirst)
	if s := b.m.NextScan(b.now); s.Cursor != 7 {
		t.Errorf("the step is %+v, want a comparison from 7 on", s)
	}
}

// TestScan_Holes reports a page of heads that cannot be read as a hole, until a pass ends without one. After the lease nothing is reported.
func TestScan_Holes(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	kinds := func(page ports.HeadPage) (kinds []EventKind) {
		b.p.Compared(page, groups.StreamID{}, scanPage, b.now)
		for _, e := range b.m.TakeEvents() {
			kinds = append(kinds, e.Kind)
		}
		return kinds
	}
	if got := kinds(ports.HeadPage{Err: errHeads}); !slices.Equal(got, []EventKind{HoleFound}) {
		t.Errorf("a page with an error: %v", got)
	}
	if got := kinds(ports.HeadPage{Next: 7}); len(got) > 0 {
		t.Errorf("a page before the last one: %v", got)
	}
	if got := kinds(ports.HeadPage{}); !slices.Equal(got, []EventKind{HoleClosed}) {
		t.Errorf("the last page: %v", got)
	}
	b.p.Compared(ports.HeadPage{Ahead: []ports.ChatHead{{Chat: "ada", Head: 1}}}, groups.StreamID{}, scanPage, b.now)
	b.m.Lost(b.p, false)
	b.m.TakeEvents()
	if got := kinds(ports.HeadPage{Err: errHeads}); len(got) > 0 {
		t.Errorf("after the lease: %v", got)
	}
	if unknown := b.p.Resolved(&Checkpoints{}, b.now); len(unknown) > 0 {
		t.Errorf("checkpoints of %v are asked for after the lease", unknown)
	}
}

var errHeads = errors.New("no heads")

// TestScan_LeftOut leaves out partitions without a log, those that are walked, and those that drain.
func TestScan_LeftOut(t *testing.T) {
	for name, change := range map[string]func(p *Partition){
		"walking":  func(p *Partition) { p.startWalk() },
		"draining": func(p *Partition) { p.draining = true },
		"no log":   func(p *Partition) { p.Number = -1 },
	} {
		b := newBench(Config{Concurrency: 1})
		change(b.p)
		if s := b.m.NextScan(b.now); s.Partition != nil || s.Wait != scanEvery {
			t.Errorf("%s: the step is %+v", name, s)
		}
	}
}
