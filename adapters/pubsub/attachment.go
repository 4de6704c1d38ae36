package pubsub

import (
	"context"
	"fmt"

	"chatcore/adapters/pubsub/group"
)

// Attachment is a group that a running [Router] reads. Its methods are safe for concurrent use.
type Attachment struct {
	router   *Router
	read     *reading
	member   *subscription
	attached bool // the router ran already

	detached bool // among the groups of the router no more; its mutex guards it
}

// Attach adds a consumer group to a running router. The group exists when Attach returns: events appended from then on reach it. While the store is
// unavailable Attach waits, until ctx ends and half a minute at most. It returns [group.ErrClosed] if the router does not run, or ends meanwhile. The name
// of a group that was deleted, or has been detached, may be attached again.
func (r *Router) Attach(ctx context.Context, g Group) (*Attachment, error) {
	read, err := newReading(g)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	run := r.run
	if run == nil || run.Err() != nil || r.ended {
		r.mu.Unlock()
		return nil, group.ErrClosed
	}
	if err := r.reserve(read); err != nil {
		r.mu.Unlock()
		return nil, err
	}
	r.attaching.Add(1)
	r.mu.Unlock()
	defer r.attaching.Done()

	joining, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(run, cancel)() //nolint:contextcheck // that of Run: the router may end meanwhile
	a, err := r.begin(joining, run, read)  //nolint:contextcheck // the member outlives the call
	if err == nil && run.Err() == nil {
		a.attached = true
		r.mu.Lock()
		r.left++
		r.mu.Unlock()
		go r.watch(run, a) //nolint:contextcheck // ends with the router
		return a, nil
	}
	if err == nil {
		a.Detach(joining)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.remove(read)
	if run.Err() != nil {
		return nil, fmt.Errorf("joining %s: %w", g.Config.Group, group.ErrClosed)
	}
	return nil, err
}

// Detach stops reading, waits for running handlers, for at most [group.Config].Drain and until ctx ends, commits their outcomes and releases the
// partitions. The group remains. When ctx ends, the contexts of the handlers end, and they have a moment to return. Detach returns the handlers that still
// run: they are left behind. It may be called more than once, and by several goroutines.
func (a *Attachment) Detach(ctx context.Context) (running []group.RunningHandler) {
	a.member.Stop()
	stop := context.AfterFunc(ctx, a.member.EndDrain)
	defer stop()
	<-a.Done()
	running = a.member.Running()
	a.router.mu.Lock()
	defer a.router.mu.Unlock()
	if a.attached && !a.detached && a.Err() == nil { // one that has failed is not among the groups that are left
		a.router.left--
	}
	a.detached = true
	a.router.remove(a.read)
	return running
}

// SetConcurrency changes the most deliveries in flight, from 0: those beyond it end first. It has no effect on groups of Watermill handlers, which have the
// room that they began with.
func (a *Attachment) SetConcurrency(n int) {
	if !a.read.routed() {
		a.member.SetConcurrency(n)
	}
}

// Done is closed when the group is no longer read: it is detached, has ended by itself, or the router has ended.
func (a *Attachment) Done() <-chan struct{} { return a.read.done }

// Err returns why the group has ended by itself: [groups.ErrGroupDeleted] or an error that ends the router. It returns nil if it has not.
func (a *Attachment) Err() error { return a.member.Err() }
