package pull

import (
	"container/heap"
	"fmt"
	"time"
)

// leases are the deliveries that consumers have taken, the one whose lease ends first at the top. One timer serves all.
type leases struct {
	heap  leaseHeap
	timer *time.Timer
	at    time.Time // when the timer fires; zero: never
}

// leaseHeap implements [heap.Interface].
type leaseHeap []*delivery

func (h leaseHeap) Len() int           { return len(h) }
func (h leaseHeap) Less(i, j int) bool { return h[i].deadline.Before(h[j].deadline) }
func (h leaseHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements [heap.Interface].
func (h *leaseHeap) Push(x any) {
	e, _ := x.(*delivery)
	e.index = len(*h)
	*h = append(*h, e)
}

// Pop implements [heap.Interface].
func (h *leaseHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.index = -1
	return e
}

// begin begins or extends the lease of a delivery.
func (g *Group) begin(e *delivery, deadline time.Time) {
	e.deadline = deadline
	if e.index < 0 {
		heap.Push(&g.leases.heap, e)
	} else {
		heap.Fix(&g.leases.heap, e.index)
	}
	g.arm()
}

// end ends the lease of a delivery, if it has one.
func (g *Group) end(e *delivery) {
	if e.index >= 0 {
		heap.Remove(&g.leases.heap, e.index)
	}
}

// arm sets the timer to the end of the first lease, unless it fires before.
func (g *Group) arm() {
	l := &g.leases
	if len(l.heap) == 0 || !l.at.IsZero() && !l.heap[0].deadline.Before(l.at) {
		return
	}
	l.at = l.heap[0].deadline
	if l.timer == nil {
		l.timer = time.AfterFunc(time.Until(l.at), g.lapse)
		return
	}
	l.timer.Reset(time.Until(l.at))
}

// lapse ends the deliveries whose leases have ended as failed attempts.
func (g *Group) lapse() {
	var ended []ending
	now := time.Now()
	g.mu.Lock()
	g.leases.at = time.Time{}
	for len(g.leases.heap) > 0 && !now.Before(g.leases.heap[0].deadline) {
		e := g.leases.heap[0]
		g.close(e)
		ended = append(ended, ending{e, fmt.Errorf("the lease of %v ended before the consumer had settled the delivery", e.lease)})
	}
	g.arm()
	g.unlockAndFinish(ended)
}
