package delivery

import (
	"testing"

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
