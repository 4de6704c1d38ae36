package delivery

import (
	"cmp"
	"time"
)

// timer is a call that is due at a time.
type timer struct {
	at    time.Time
	order uint64 // of timers that are due at the same time
	fire  func(now time.Time)
}

// timers is a binary heap, the next timer first.
type timers struct {
	heap []timer
	made uint64
}

func (t *timers) less(i, j int) bool {
	return cmp.Or(t.heap[i].at.Compare(t.heap[j].at), cmp.Compare(t.heap[i].order, t.heap[j].order)) < 0
}

func (t *timers) push(at time.Time, fire func(now time.Time)) {
	t.made++
	t.heap = append(t.heap, timer{at, t.made, fire})
	for i := len(t.heap) - 1; i > 0; {
		parent := (i - 1) / 2
		if !t.less(i, parent) {
			return
		}
		t.heap[i], t.heap[parent] = t.heap[parent], t.heap[i]
		i = parent
	}
}

func (t *timers) pop() timer {
	first, n := t.heap[0], len(t.heap)-1
	t.heap[0], t.heap[n] = t.heap[n], timer{}
	t.heap = t.heap[:n]
	for i := 0; ; {
		next := 2*i + 1
		if next >= n {
			return first
		}
		if next+1 < n && t.less(next+1, next) {
			next++
		}
		if !t.less(next, i) {
			return first
		}
		t.heap[i], t.heap[next] = t.heap[next], t.heap[i]
		i = next
	}
}

// after has Tick call fire at a time.
func (m *Member) after(at time.Time, fire func(now time.Time)) { m.timers.push(at, fire) }

// WakeAt returns when Tick is to be called next, zero if no timer waits.
func (m *Member) WakeAt() time.Time {
	if len(m.timers.heap) == 0 {
		return time.Time{}
	}
	return m.timers.heap[0].at
}

// Tick does what is due at a time: starts that waited, reads that are tried again, leases that lapse. It also reports the chats whose handlers run for
// long, which no timer does: the caller calls Tick every few hundred milliseconds as well.
func (m *Member) Tick(now time.Time) {
	for len(m.timers.heap) > 0 && !m.timers.heap[0].at.After(now) {
		m.timers.pop().fire(now)
	}
	m.reportSlow(now)
}
