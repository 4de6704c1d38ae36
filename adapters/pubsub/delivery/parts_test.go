package delivery

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// TestSeqSet compares a set of seqs with a map.
func TestSeqSet(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var s seqSet
		want := make(map[domain.Seq]bool)
		seq := rapid.Custom(func(r *rapid.T) domain.Seq { return domain.Seq(rapid.IntRange(1, 20).Draw(r, "seq")) }) //nolint:gosec // small
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			if rapid.IntRange(0, 9).Draw(r, "pass") > 0 {
				n := seq.Draw(r, "add")
				s.add(n)
				want[n] = true
			} else {
				from := seq.Draw(r, "last") - 1
				last := from
				for want[last+1] {
					last++
				}
				maps.DeleteFunc(want, func(n domain.Seq, _ bool) bool { return n <= last })
				if got := s.passTo(from); got != last {
					r.Fatalf("passTo(%d) = %d, want %d", from, got, last)
				}
			}
			for n := domain.Seq(1); n <= 21; n++ {
				if s.contains(n) != want[n] {
					r.Fatalf("contains(%d) = %v, set %v", n, s.contains(n), s)
				}
			}
			for i := range s {
				if s[i].From > s[i].To || i > 0 && s[i].From <= s[i-1].To+1 {
					r.Fatalf("the ranges of %v touch", s)
				}
			}
		}
	})
}

// TestTimers compares the order in which timers fire with a stable sort.
func TestTimers(t *testing.T) {
	type due struct {
		at    time.Time
		order int
	}
	rapid.Check(t, func(r *rapid.T) {
		m := New(Config{Slow: time.Hour}, nil)
		var want, got []due
		now := epoch
		for i := range rapid.IntRange(1, 60).Draw(r, "steps") {
			if rapid.Bool().Draw(r, "tick") {
				now = now.Add(time.Duration(rapid.IntRange(0, 5).Draw(r, "passes")))
				m.Tick(now)
				for len(want) > 0 && !want[0].at.After(now) {
					if len(got) == 0 || got[0] != want[0] {
						r.Fatalf("fired %v, want %v", got, want)
					}
					got, want = got[1:], want[1:]
				}
				if len(got) > 0 {
					r.Fatalf("fired %v before its time, now %v", got, now)
				}
			} else {
				d := due{now.Add(time.Duration(rapid.IntRange(0, 9).Draw(r, "wait"))), i}
				m.after(d.at, func(time.Time) { got = append(got, d) })
				want = append(want, d)
				slices.SortStableFunc(want, func(a, b due) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order)) })
			}
			switch wake := m.WakeAt(); {
			case len(want) == 0 && !wake.IsZero(), len(want) > 0 && !wake.Equal(want[0].at):
				r.Fatalf("WakeAt() = %v, want %v", wake, want)
			}
		}
	})
}

// TestWindow compares a window with a list of slots.
func TestWindow(t *testing.T) {
	type want struct {
		slot
		open bool
	}
	rapid.Check(t, func(r *rapid.T) {
		p := New(Config{}, []groups.Partition{{Stream: "s"}}).Acquired(0, &groups.Lease{Left: map[string]groups.ChatState{}}, epoch, epoch)
		chats := []*chat{p.newChat("a", 0), p.newChat("b", 0)}
		var w window
		var list []want
		last := groups.StreamID{}
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			c := chats[rapid.IntRange(0, 1).Draw(r, "chat")]
			switch rapid.IntRange(0, 4).Draw(r, "step") {
			case 0, 1:
				last.Number++
				s := slot{id: last, chat: c, seq: domain.Seq(rapid.IntRange(1, 9).Draw(r, "seq"))} //nolint:gosec // small
				w.push(s)
				list = append(list, want{s, true})
			case 2:
				c.ackedSeq = domain.Seq(rapid.IntRange(0, 9).Draw(r, "acked")) //nolint:gosec // small
			case 3:
				above := domain.Seq(rapid.IntRange(0, 9).Draw(r, "above")) //nolint:gosec // small
				w.free(c, above)
				for i := range list {
					list[i].open = list[i].open && (list[i].chat != c || list[i].seq <= above)
				}
			case 4:
				n := 0
				for n < len(list) && (!list[n].open || list[n].seq <= list[n].chat.ackedSeq) {
					n++
				}
				passed, id := w.pass()
				if passed != n || n > 0 && id != list[n-1].id {
					r.Fatalf("passed %d up to %v, want %d", passed, id, n)
				}
				list = list[n:]
			}
			for _, c := range chats {
				n := 0
				for _, s := range list {
					if s.open && s.chat == c {
						n++
					}
				}
				if c.slots != n || w.size() != len(list) {
					r.Fatalf("%s has %d slots of %d, want %d of %d", c.id, c.slots, w.size(), n, len(list))
				}
			}
		}
	})
}

// TestWindow_Long passes more slots than the window keeps behind its first one.
func TestWindow_Long(t *testing.T) {
	var w window
	for i := range 5000 {
		w.push(slot{id: groups.StreamID{Number: uint64(i)}}) //nolint:gosec // small
	}
	c := (&Partition{m: New(Config{}, nil)}).newChat("a", 0)
	w.slots[4000].chat, w.slots[4000].seq = c, 1
	if n, last := w.pass(); n != 4000 || last.Number != 3999 || w.size() != 1000 || w.first != 0 {
		t.Errorf("passed %d up to %v, %d left from %d", n, last, w.size(), w.first)
	}
	c.ackedSeq = 1
	if n, last := w.pass(); n != 1000 || last.Number != 4999 || w.size() != 0 {
		t.Errorf("passed %d up to %v, %d left", n, last, w.size())
	}
}

// TestReadyQueue takes queues in the order in which they were added.
func TestReadyQueue(t *testing.T) {
	var q readyQueue
	queues := make([]queue, 3000)
	for i := range queues {
		q.push(&queues[i])
	}
	for i := range queues {
		if l := q.pop(); l != &queues[i] {
			t.Fatalf("pop %d returned another queue", i)
		}
		if i == 2000 {
			q.push(&queues[0])
		}
	}
	if l := q.pop(); l != &queues[0] || q.pop() != nil {
		t.Error("the last queue is missing, or there is one more")
	}
}

// TestAssigned checks that each partition has one member, that it changes only if that member comes or goes, and that the shares are alike.
func TestAssigned(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z]{1,4}`), 1, 6, rapid.ID).Draw(r, "members")
		p := groups.Partition{Stream: rapid.StringMatching(`[a-z0-9]{1,6}`).Draw(r, "stream")}
		declined := rapid.SliceOf(rapid.SampledFrom(names)).Draw(r, "declined")
		m := groups.Members{Living: names, Declined: map[string][]string{p.Stream: declined}}
		got := Assigned(p, m)
		if !slices.Contains(names, got) {
			r.Fatalf("assigned to %q", got)
		}
		willing := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(declined, n) })
		if len(willing) > 0 && slices.Contains(declined, got) {
			r.Fatalf("assigned to %q, who declines it", got)
		}
		slices.Reverse(names)
		if again := Assigned(p, m); again != got {
			r.Fatalf("assigned to %q or %q", got, again)
		}
		gone := rapid.SampledFrom(names).Draw(r, "gone")
		m.Living = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == gone })
		if now := Assigned(p, m); gone != got && now != got && (len(willing) > 1 || len(willing) == 1 && gone != willing[0]) {
			r.Fatalf("moved from %q to %q although %q left", got, now, gone)
		}
	})
	members := []string{"member-1", "member-2", "member-3", "member-4"}
	shares := make(map[string]int)
	for i := range 4000 {
		shares[Assigned(groups.Partition{Stream: fmt.Sprint("orders:", i)}, groups.Members{Living: members})]++
	}
	for _, m := range members {
		if n := shares[m]; n < 850 || n > 1150 {
			t.Errorf("%s has %d of 4000 partitions", m, n)
		}
	}
	if got := Assigned(groups.Partition{Stream: "s"}, groups.Members{}); got != "" {
		t.Errorf("assigned to %q without members", got)
	}
}
