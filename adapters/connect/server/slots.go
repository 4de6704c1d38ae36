package server

import (
	"net/http"
	"sync"
	"time"
)

// slots bounds the requests in flight.
type slots struct {
	most int

	mu    sync.Mutex // guards taker
	taker map[*request]struct{}
}

func newSlots(most int) slots { return slots{most: most, taker: make(map[*request]struct{})} }

// take takes a slot for a request. It reports whether there was one.
func (s *slots) take(r *request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.taker) >= s.most {
		return false
	}
	s.taker[r] = struct{}{}
	return true
}

// free ends what take began. Afterwards the request's connection is left alone.
func (s *slots) free(r *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.taker, r)
}

func (s *slots) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taker)
}

// endWaiting ends the requests whose handlers wait for a body, of a request that began before a time, or for a client that has not accepted a write
// since then. Their handlers get an error and return, so that clients that send or read slowly do not keep the slots of others.
func (s *slots) endWaiting(before time.Time) {
	past := time.Unix(1, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.taker {
		if r.reading.Load() && r.began.Before(before) {
			_ = http.NewResponseController(r.writer).SetReadDeadline(past) // it fails only for a connection that is gone
		}
		if since := r.writing.Load(); since != 0 && since < before.UnixNano() {
			_ = http.NewResponseController(r.writer).SetWriteDeadline(past) // likewise
		}
	}
}
