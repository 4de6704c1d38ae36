package live

import (
	"context"
	"slices"
	"sync"
)

// receiver takes the messages of a channel. Its methods are called by the goroutine that reads the connection, and must be quick.
type receiver interface {
	message(payload string)
	resubscribed() // messages may have been missed: the channel is subscribed again, on another connection
	evicted()      // messages are missed from now on: the server has ended the subscription, because the channel's slot has moved
}

// channelSet is the set of channels that a link subscribes to. It records which of them the present connection has asked for. It does no I/O.
type channelSet struct {
	changed chan struct{} // of capacity 1: signals that changes has something to return

	// mu guards: all below and the fields of the channels.
	mu      sync.Mutex
	byName  map[string]*channel
	dirty   map[string]struct{} // names whose subscription may have to change
	waiting []func()            // of joins without a token yet: what is called when they are confirmed
	token   uint64              // of the last batch; grows over all connections
	batches map[uint64][]func() // of joins by the token that confirms them
	leaving map[string]int      // names that the present connection was asked to unsubscribe from, without an answer yet
}

// channel is one subscription at the server.
type channel struct {
	receivers []counted // replaced when it changes
	asked     uint64    // token of the batch in which the present connection was asked to subscribe; 0 if it was not
	live      bool      // whether the present connection is subscribed
	before    bool      // whether an earlier connection was
}

// counted is a receiver and the number of its joins.
type counted struct {
	receiver
	joins int
}

func newChannelSet() *channelSet {
	return &channelSet{
		changed: make(chan struct{}, 1), byName: make(map[string]*channel), dirty: make(map[string]struct{}), batches: make(map[uint64][]func()),
		leaving: make(map[string]int),
	}
}

// join adds a receiver to a channel, once more if it is there. confirmed is called once the server has answered on a connection that is subscribed.
// That holds for a channel with other receivers too, because its connection may be dead.
func (s *channelSet) join(name string, r receiver, confirmed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.byName[name]
	if ch == nil {
		ch = &channel{}
		s.byName[name] = ch
	}
	receivers := slices.Clone(ch.receivers)
	if i := ch.find(r); i >= 0 {
		receivers[i].joins++
	} else {
		receivers = append(receivers, counted{r, 1})
	}
	ch.receivers = receivers
	s.waiting = append(s.waiting, confirmed)
	s.touch(name)
}

// leave removes one join of a receiver. The receiver may still get a message.
func (s *channelSet) leave(name string, r receiver) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.byName[name]
	if ch == nil {
		return
	}
	i := ch.find(r)
	if i < 0 {
		return
	}
	receivers := slices.Clone(ch.receivers)
	if receivers[i].joins--; receivers[i].joins == 0 {
		receivers = slices.Delete(receivers, i, i+1)
	}
	if ch.receivers = receivers; len(receivers) == 0 {
		s.touch(name)
	}
}

func (c *channel) find(r receiver) int {
	return slices.IndexFunc(c.receivers, func(other counted) bool { return other.receiver == r })
}

// ask has the present connection asked again for a channel of which the server has ended the subscription.
func (s *channelSet) ask(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.touch(name)
}

func (s *channelSet) touch(name string) {
	s.dirty[name] = struct{}{}
	s.signal()
}

func (s *channelSet) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// empty reports whether no channel has a receiver.
func (s *channelSet) empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.byName {
		if len(ch.receivers) > 0 {
			return false
		}
	}
	return true
}

// await waits until a channel has a receiver, or until ctx ends, whose error it then returns.
func (s *channelSet) await(ctx context.Context) error {
	for s.empty() {
		select {
		case <-s.changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
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
		case len(ch.receivers) == 0:
			delete(s.byName, name)
			if ch.asked > 0 {
				s.leaving[name]++
				remove = append(remove, name)
			}
		case ch.asked == 0:
			ch.asked = s.token
			add = append(add, name)
		}
	}
	clear(s.dirty)
	if len(s.waiting) > 0 {
		s.batches[s.token], s.waiting = s.waiting, nil
	}
	return add, remove, s.token
}

// confirm is called with the token of the last batch that the server has processed.
func (s *channelSet) confirm(token uint64) {
	var calls []func()
	s.mu.Lock()
	for of, batch := range s.batches {
		if of <= token {
			calls = append(calls, batch...)
			delete(s.batches, of)
		}
	}
	for _, ch := range s.byName {
		if ch.live || ch.asked == 0 || ch.asked > token {
			continue
		}
		ch.live = true
		if ch.before {
			for _, r := range ch.receivers {
				calls = append(calls, r.resubscribed)
			}
		}
		ch.before = true
	}
	s.mu.Unlock()
	for _, call := range calls {
		call()
	}
}

// left is called when the server has ended a subscription.
func (s *channelSet) left(name string) {
	s.mu.Lock()
	if s.leaving[name] > 0 { // it was asked to
		if s.leaving[name]--; s.leaving[name] == 0 {
			delete(s.leaving, name)
		}
		s.mu.Unlock()
		return
	}
	var receivers []counted
	if ch := s.byName[name]; ch != nil {
		receivers, ch.asked, ch.live = ch.receivers, 0, false
	}
	s.mu.Unlock()
	for _, r := range receivers {
		r.evicted()
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
	clear(s.leaving)
	for name, ch := range s.byName {
		ch.asked, ch.live = 0, false
		s.touch(name)
	}
}

// receivers returns the receivers of a channel's messages.
func (s *channelSet) receivers(name string) []counted {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.byName[name]; ch != nil {
		return ch.receivers
	}
	return nil
}
