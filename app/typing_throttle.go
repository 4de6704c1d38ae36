package app

import (
	"sync"
	"time"

	"chatcore/domain"
)

// typingThrottle holds back starts that the store would hold back too, so that they cost no round trip. It has room for two generations of users;
// those that are beyond it are held back by the store alone.
type typingThrottle struct {
	mu       sync.Mutex
	room     int
	since    time.Time // of the present generation
	now, old map[domain.Typing]*startedTyping
}

type startedTyping struct {
	at  time.Time
	err error // why it was refused
}

func newTypists() *typingThrottle { return &typingThrottle{room: 8192} }

// enter lets a start go on, and holds back those that follow; nil if it is held back itself, with the error of the one before.
func (t *typingThrottle) enter(who domain.Typing, at time.Time) (*startedTyping, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.now[who]
	if s == nil {
		s = t.old[who]
	}
	if s != nil {
		if since := at.Sub(s.at); since >= 0 && since < domain.TypingInterval { // below 0 the clock was set back
			return nil, s.err
		}
	}
	if since := at.Sub(t.since); t.now == nil || len(t.now) >= t.room || since < 0 || since >= domain.TypingInterval {
		t.now, t.old, t.since = make(map[domain.Typing]*startedTyping), t.now, at
	}
	delete(t.old, who)
	s = &startedTyping{at: at}
	t.now[who] = s
	return s, nil
}

// refuse has the starts that are held back after one end with its error.
func (t *typingThrottle) refuse(s *startedTyping, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s.err = err
}

// leave lets the next start pass.
func (t *typingThrottle) leave(who domain.Typing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.now, who)
	delete(t.old, who)
}
