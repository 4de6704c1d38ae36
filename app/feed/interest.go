package feed

import (
	"context"
	"sync"
)

// interest is a watch of the tail that exists while it has users. The zero value has none.
type interest struct {
	mu    sync.Mutex // mu guards the fields below
	users int
	watch *watch // nil while nothing is watched
}

// watch is one call of a tail's method that watches something.
type watch struct {
	begun chan struct{} // closed once stop and err are set
	stop  func()
	err   error

	abandoned bool // has no user any more; interest.mu guards it
}

// acquire adds a user, and returns once what it is interested in is watched. The first user begins the watch, which outlives ctx.
func (i *interest) acquire(ctx context.Context, h *Hub, begin func(context.Context) (stop func(), err error)) error {
	i.mu.Lock()
	w := i.watch
	if w == nil {
		w = &watch{begun: make(chan struct{})}
		if !h.spawn(func() { i.begin(h.ctx, w, begin) }) {
			i.mu.Unlock()
			return ErrEnded
		}
		i.watch = w
	}
	i.users++
	i.mu.Unlock()
	select {
	case <-w.begun:
		if w.err == nil {
			return nil
		}
		i.release()
		return w.err
	case <-ctx.Done():
		i.release()
		return ctx.Err()
	}
}

func (i *interest) begin(ctx context.Context, w *watch, begin func(context.Context) (func(), error)) {
	w.stop, w.err = begin(ctx)
	i.mu.Lock()
	if w.err != nil && i.watch == w { // the next user tries again
		i.watch = nil
	}
	close(w.begun)
	abandoned := w.abandoned
	i.mu.Unlock()
	if abandoned && w.err == nil {
		w.stop()
	}
}

// release removes a user. The last one ends the watch.
func (i *interest) release() {
	i.mu.Lock()
	i.users--
	w := i.watch
	if i.users > 0 || w == nil {
		i.mu.Unlock()
		return
	}
	i.watch = nil
	select {
	case <-w.begun:
	default:
		w.abandoned = true
	}
	abandoned := w.abandoned
	i.mu.Unlock()
	if !abandoned && w.err == nil {
		w.stop()
	}
}
