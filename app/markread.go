package app

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// MarkRead says up to where a user has read a chat: by a message's id or by its seq.
type MarkRead struct {
	Chat      domain.ChatID
	By        domain.UserID
	MessageID domain.MessageID // or
	Seq       domain.Seq       // of a message
	Command   domain.CommandID
}

// MarkRead moves the user's mark forward; read that far already, it changes nothing. Marks are recorded at most once a second for a
// user and chat: one that comes too soon waits for its turn, and those that wait together are recorded as one, the highest. The
// Done of a mark that a higher one covered is not Changed.
func (c *Chats) MarkRead(ctx context.Context, cmd MarkRead) (Done, error) {
	if err := firstError(checkChat(cmd.Chat, cmd.By), checkCommand(cmd.Command)); err != nil {
		return Done{}, err
	}
	if cmd.MessageID == "" {
		id, err := c.messageAt(ctx, cmd.Chat, cmd.Seq)
		if err != nil {
			return Done{}, err
		}
		cmd.MessageID = id
	}
	if err := checkMessage(cmd.MessageID); err != nil {
		return Done{}, err
	}
	// Who may not mark, or marks nothing new, learns so at once and holds up nobody.
	target, err := c.readTarget(ctx, cmd)
	if err != nil || target.Seq == 0 {
		return Done{}, err
	}
	key := readKey{cmd.Chat, cmd.By}
	for {
		flight, leader := c.reads.join(key, target)
		if !leader {
			select {
			case <-flight.done:
			case <-ctx.Done():
				return Done{}, ctx.Err()
			}
			if flight.err == nil || ctx.Err() != nil || !errors.Is(flight.err, context.Canceled) && !errors.Is(flight.err, context.DeadlineExceeded) {
				return Done{}, flight.err
			}
			continue // the one who went ahead gave up; take its place
		}
		done, err := c.recordRead(ctx, cmd, key)
		c.reads.land(key, flight, err)
		return done, err
	}
}

// readTarget gives the message to mark, a zero one if it is marked already.
func (c *Chats) readTarget(ctx context.Context, cmd MarkRead) (domain.Message, error) {
	wanted := readCommand(cmd)
	s := newState(&wanted)
	c.entities.cached(cmd.Chat, s.slots)
	head, err := c.entities.load(ctx, cmd.Chat, s.slots)
	if err != nil {
		return domain.Message{}, err
	}
	events, err := s.readMark(cmd.By).Advance(s.member(cmd.By), s.message(cmd.MessageID), head, c.now())
	switch {
	case err != nil && !errors.Is(err, domain.ErrTooSoon):
		return domain.Message{}, err
	case err == nil && len(events) == 0:
		return domain.Message{}, c.confirm(ctx, s, s.slot(domain.ReadEntity(cmd.By)).version)
	}
	return s.message(cmd.MessageID), nil
}

// recordRead appends the highest mark that was asked for, when its time has come.
func (c *Chats) recordRead(ctx context.Context, cmd MarkRead, key readKey) (Done, error) {
	read := domain.ReadEntity(cmd.By)
	var tooSoon *domain.TooSoonError
	for range decisions {
		cmd.MessageID = c.reads.highest(key).ID
		marking := readCommand(cmd)
		marking.decide = func(s *state) ([]domain.Durable, error) {
			mark := s.readMark(cmd.By)
			if last := c.reads.last(key); last.After(mark.ReceiptAt) {
				mark.ReceiptAt = last
			}
			return mark.Advance(s.member(cmd.By), s.message(cmd.MessageID), s.head, c.now())
		}
		marking.unconditional = func(e domain.Entity) bool { return e == read || e.Kind == domain.KindMessage }
		marking.repeats = func(e domain.Durable) bool {
			r, ok := e.(domain.ReadReceipt)
			return ok && r.User == cmd.By
		}
		done, err := c.run(ctx, marking)
		if !errors.As(err, &tooSoon) {
			if done.Changed && !done.Duplicate {
				c.reads.recorded(key, c.now())
			}
			return done, err
		}
		if err := c.clock.Sleep(ctx, tooSoon.Until); err != nil {
			return Done{}, err
		}
	}
	return Done{}, tooSoon
}

// readCommand wants the read mark as its last event left it, which is never from the cache.
func readCommand(cmd MarkRead) command {
	return command{
		name: "read", chat: cmd.Chat, by: cmd.By, id: cmd.Command,
		wants:  want(domain.MemberEntity(cmd.By), domain.MessageEntity(cmd.MessageID), domain.ReadEntity(cmd.By)),
		latest: domain.ReadEntity(cmd.By),
	}
}

// messageAt finds the message that was sent at seq.
func (c *Chats) messageAt(ctx context.Context, chat domain.ChatID, seq domain.Seq) (domain.MessageID, error) {
	if seq == 0 {
		return "", &domain.InvalidError{Field: "seq", Problem: "is 0 and there is no messageId", Allowed: "the id or the seq of a message"}
	}
	page, err := c.log.Read(ctx, chat, ports.Range{From: seq, Limit: 1})
	if err != nil {
		return "", err
	}
	if len(page.Records) == 0 {
		return "", &domain.Refusal{
			Reason: domain.ErrSeqRange, Detail: fmt.Sprintf("chat %q has not reached seq %d, its last is %d", chat, seq, page.Head),
		}
	}
	sent, ok := page.Records[0].Event.(domain.MessageNew)
	if !ok {
		return "", &domain.Refusal{
			Reason: domain.ErrSeqRange, Detail: fmt.Sprintf("seq %d of chat %q is no message; give that of the last message read", seq, chat),
		}
	}
	return sent.Message, nil
}

type readKey struct {
	chat domain.ChatID
	user domain.UserID
}

// readCoalescer lets one mark of a user in a chat be recorded at a time; those that come meanwhile raise it.
type readCoalescer struct {
	mu      sync.Mutex
	flights map[readKey]*readFlight
	recent  map[readKey]time.Time // when a mark was recorded, kept for a while
}

type readFlight struct {
	highest domain.Message
	done    chan struct{}
	err     error // readable once done is closed
}

func newReadCoalescer() *readCoalescer {
	return &readCoalescer{flights: make(map[readKey]*readFlight), recent: make(map[readKey]time.Time)}
}

// join adds a mark to the flight of its user and chat; the first one leads it.
func (r *readCoalescer) join(key readKey, m domain.Message) (flight *readFlight, leader bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	flight, there := r.flights[key]
	if !there {
		flight = &readFlight{highest: m, done: make(chan struct{})}
		r.flights[key] = flight
	} else if m.Seq > flight.highest.Seq {
		flight.highest = m
	}
	return flight, !there
}

func (r *readCoalescer) land(key readKey, flight *readFlight, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, key)
	flight.err = err
	close(flight.done)
}

func (r *readCoalescer) highest(key readKey) domain.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.flights[key].highest
}

func (r *readCoalescer) last(key readKey) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.recent[key]
}

func (r *readCoalescer) recorded(key readKey, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	const many = 4096 // entries worth a look at which are still of use
	if len(r.recent) >= many {
		for k, t := range r.recent {
			if at.Sub(t) >= domain.ReadCoalescing {
				delete(r.recent, k)
			}
		}
	}
	r.recent[key] = at
}
