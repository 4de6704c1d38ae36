package live

import "sync"

// channelSet is the set of channels that the process subscribes to. It records which of them the present connection has asked for. It does no I/O.
type channelSet struct {
	changed chan struct{} // of capacity 1: signals that changes has something to return

	// mu guards: all below and the fields of the channels.
	mu      sync.Mutex
	byName  map[string]*channel
	dirty   map[string]struct{}        // names whose subscription may have to change
	waiting []chan struct{}            // of subscribers without a token yet
	token   uint64                     // of the last batch; grows over all connections
	batches map[uint64][]chan struct{} // of subscribers by the token that confirms them
}

// channel is one subscription at the server.
type channel struct {
	name, topic string
	users       int
	asked       bool // the present connection was asked to subscribe
}

func newChannelSet() *channelSet {
	return &channelSet{
		changed: make(chan struct{}, 1), byName: make(map[string]*channel), dirty: make(map[string]struct{}), batches: make(map[uint64][]chan struct{}),
	}
}

// join adds a user of a channel. The returned channel is closed once the server has answered on a connection that is subscribed. That holds for a
// channel with other users too, because its connection may be dead.
func (s *channelSet) join(name, topic string) (*channel, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.byName[name]
	if ch == nil {
		ch = &channel{name: name, topic: topic}
		s.byName[name] = ch
	}
	ch.users++
	confirmed := make(chan struct{})
	s.waiting = append(s.waiting, confirmed)
	s.touch(name)
	return ch, confirmed
}

// leave removes a user of a channel.
func (s *channelSet) leave(ch *channel) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch.users--; ch.users == 0 {
		s.touch(ch.name)
	}
}

func (s *channelSet) touch(name string) {
	s.dirty[name] = struct{}{}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// changes returns the names to subscribe to and to unsubscribe from, and the token whose reply confirms them and all earlier ones.
func (s *channelSet) changes() (add, remove []string, token uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.token++
	for name := range s.dirty {
		ch := s.byName[name]
		switch {
		case ch == nil:
		case ch.users == 0:
			delete(s.byName, name)
			if ch.asked {
				remove = append(remove, name)
			}
		case !ch.asked:
			ch.asked = true
			add = append(add, name)
		}
	}
	clear(s.dirty)
	if len(s.waiting) > 0 {
		s.batches[s.token], s.waiting = s.waiting, nil
	}
	return add, remove, s.token
}

// confirm releases the subscribers of all batches up to the token's.
func (s *channelSet) confirm(token uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, batch := range s.batches {
		if of > token {
			continue
		}
		for _, confirmed := range batch {
			close(confirmed)
		}
		delete(s.batches, of)
	}
}

// reset is called when the connection is lost. The next connection is asked for all channels again.
func (s *channelSet) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, batch := range s.batches {
		s.waiting = append(s.waiting, batch...)
	}
	clear(s.batches)
	for name, ch := range s.byName {
		ch.asked = false
		s.touch(name)
	}
}

// topic returns the topic of a channel's subscribers.
func (s *channelSet) topic(name string) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.byName[name]
	if ch == nil {
		return "", false
	}
	return ch.topic, true
}
