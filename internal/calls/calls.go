// Package calls has what the callers of live handlers share: the set of calls that have not returned, and a loop over messages that a handler cannot
// end.
package calls

import "sync"

// Set is a set of calls that have not returned, each described by a T. The zero value is empty. All methods are safe for concurrent use.
type Set[T any] struct {
	mu  sync.Mutex // mu guards all
	all map[*T]struct{}
}

// Begin adds a call. The caller calls end when it has returned.
func (s *Set[T]) Begin(call T) (end func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[*T]struct{})
	}
	key := &call
	s.all[key] = struct{}{}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, key)
	}
}

// Running returns the calls that have not returned, in no order.
func (s *Set[T]) Running() []T {
	s.mu.Lock()
	defer s.mu.Unlock()
	var running []T
	for call := range s.all {
		running = append(running, *call)
	}
	return running
}

// Each calls handle with one message after another until the channel is closed, and then done, on a goroutine that running counts. A call that ends in
// [runtime.Goexit] ends its goroutine too: another one goes on with the next message.
func Each[M any](running *sync.WaitGroup, messages <-chan M, handle func(M), done func()) {
	running.Go(func() {
		closed := false
		defer func() {
			if closed {
				done()
				return
			}
			Each(running, messages, handle, done)
		}()
		for msg := range messages {
			handle(msg)
		}
		closed = true
	})
}
