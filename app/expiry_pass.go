package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// expiryPass is one pass of retention over a partition. It is used by one goroutine.
type expiryPass struct {
	*Retention
	partition int
	count     func(chat domain.ChatID) // instead of erasing; nil to erase

	rules  ports.PartitionRules // at the beginning
	began  time.Time            // of the present page
	done   Expiration
	failed error         // the first error of a chat
	due    domain.ChatID // the last chat in which a message was due
}

// run goes through all chats that have a policy. An error of one chat does not stop the others, unless the log does not answer.
func (p *expiryPass) run(ctx context.Context) error {
	rules, err := p.config.Rules.Rules(ctx, p.partition)
	if err == nil && p.count == nil {
		err = p.clamp(ctx, rules)
	}
	if err != nil {
		return err
	}
	p.rules = rules
	if rules.Log.Applied(domain.Retention{}, p.now()).KeepsAll() {
		err = p.chats(ctx, slices.Sorted(maps.Keys(rules.Chats)))
	} else {
		err = p.allChats(ctx)
	}
	if err == nil {
		err = p.failed
	}
	return err
}

func (p *expiryPass) allChats(ctx context.Context) error {
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		heads, next, _, err := p.config.Backlog.ListHeads(ctx, p.partition, cursor)
		if err != nil {
			return err
		}
		chats := make([]domain.ChatID, len(heads))
		for i, h := range heads {
			chats[i] = h.Chat
		}
		if err := p.chats(ctx, chats); err != nil {
			return err
		}
		cursor = next
	}
	return nil
}

func (p *expiryPass) chats(ctx context.Context, chats []domain.ChatID) error {
	const together = 256
	for some := range slices.Chunk(chats, together) {
		ofLog, err1 := p.config.Rules.Expiries(ctx, p.partition, ports.ExpiryOfLog, some)
		ofThreads, err2 := p.config.Rules.Expiries(ctx, p.partition, ports.ExpiryOfThreads, some)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		for i, chat := range some {
			err := p.threads(ctx, chat, ofThreads[i])
			if err == nil {
				err = p.chat(ctx, chat, ofLog[i])
			}
			switch {
			case err == nil:
			case ctx.Err() != nil, errors.Is(err, ports.ErrUnavailable), errors.Is(err, ports.ErrClosed):
				return err
			case p.failed == nil:
				p.failed = fmt.Errorf("chat %q: %w", chat, err)
			}
		}
	}
	return nil
}

// chat erases what is due in a chat, page by page.
func (p *expiryPass) chat(ctx context.Context, chat domain.ChatID, known ports.Expiry) error {
	now := p.now()
	c := &chatExpiry{expiryPass: p, id: chat, kept: known, policy: appliedTo(p.rules.Chats[chat], p.rules.Log.Applied(domain.Retention{}, now), now)}
	if c.policy.MaxMessages == 0 && (c.policy.KeepsAll() || c.settled(known)) { // without a round trip
		return nil
	}
	for from := max(known.Next, 1); ; {
		p.began = p.config.Clock.Now()
		if err := c.apply(ctx); err != nil || c.policy.KeepsAll() || from == known.Next && c.settled(known) {
			return err
		}
		before := c.done
		next, err := c.page(ctx, from)
		if c.kept != known && p.count == nil {
			err = errors.Join(err, p.config.Rules.SaveExpiry(ctx, p.partition, ports.ExpiryOfLog, chat, c.kept))
			known = c.kept
		}
		if err == nil && c.done.Erased > before.Erased {
			err = p.pause(ctx, c.done.Erased-before.Erased)
		}
		if err != nil || next == 0 {
			return err
		}
		from = next
	}
}

// pause waits as long as so many erasures take at the configured rate, from the beginning of the page on.
func (p *expiryPass) pause(ctx context.Context, erasures int) error {
	return p.config.Clock.Sleep(ctx, p.began.Add(time.Duration(erasures)*time.Second/time.Duration(p.config.Rate)))
}

// chatExpiry is the pass over one chat.
type chatExpiry struct {
	*expiryPass
	id     domain.ChatID
	policy domain.Retention // that applies
	last   domain.Ordinal   // of the last message of the chat
	kept   ports.Expiry     // the first message that is not erased, as far as the pass has come
	left   bool             // kept has a message that this pass has left
}

// apply reads what applies to the chat.
func (c *chatExpiry) apply(ctx context.Context) error {
	log, own, err := c.config.Rules.Policies(ctx, c.id)
	if err != nil {
		return err
	}
	now := c.now()
	c.policy = appliedTo(own, log.Applied(domain.Retention{}, now), now)
	if c.policy.MaxMessages == 0 {
		return nil
	}
	counts, err := c.config.Log.Count(ctx, c.id, maxSeq)
	if err == nil {
		c.last = counts[0].Head
	}
	return err
}

// maxSeq is above the seqs of all events.
const maxSeq = 1<<53 - 1

// settled reports whether neither the first message that an earlier pass has left nor any later one is due.
func (c *chatExpiry) settled(known ports.Expiry) bool {
	if known.At == 0 {
		return false
	}
	due, later := c.policy.Due(time.UnixMilli(known.At), known.Ordinal, c.last, c.now())
	return !due && !later
}

// page erases what is due of a page of messages. It returns the seq at which the pass continues, 0 at its end.
func (c *chatExpiry) page(ctx context.Context, from domain.Seq) (domain.Seq, error) {
	page, err := c.config.Log.Search(ctx, c.id, ports.Filter{Messages: true}, ports.Range{From: from, Limit: expirePage})
	if err != nil || len(page.Records) == 0 {
		return 0, err
	}
	held, err := c.heldOf(ctx, page.Records)
	if err != nil {
		return 0, err
	}
	now := c.now()
	for i, r := range page.Records {
		sent, readable := r.Event.(domain.MessageNew)
		c.kept.Until = r.Seq // until the next one
		if sent.Erased {
			c.pass(r)
			continue
		}
		if !readable { // of a later version of the program, which erases it
			c.leave(r, time.Time{})
			continue
		}
		due, later := c.policy.Due(sent.At, r.Ordinal, c.last, now)
		switch {
		case !due && !later:
			c.leave(r, sent.At)
			return 0, nil
		case !due:
			c.leave(r, time.Time{})
			continue
		}
		if err := c.expire(ctx, r, sent.Message, held[i]); err != nil {
			return 0, err
		}
	}
	next := page.Records[len(page.Records)-1].Seq + 1
	if c.kept.Until = next; len(page.Records) < expirePage {
		return 0, nil
	}
	return next, nil
}

// heldOf reports for each message of a page whether it is under a legal hold.
func (c *chatExpiry) heldOf(ctx context.Context, records []ports.Record) ([]bool, error) {
	subjects := []domain.HoldSubject{{}, {Chat: c.id}}
	places := make(map[domain.UserID]int)
	for _, r := range records {
		if sent, ok := r.Event.(domain.MessageNew); ok {
			if _, known := places[sent.Sender]; !known {
				places[sent.Sender] = len(subjects)
				subjects = append(subjects, domain.HoldSubject{User: sent.Sender})
			}
		}
	}
	found, err := c.config.Rules.Held(ctx, c.id, subjects...)
	if err != nil {
		return nil, err
	}
	held := make([]bool, len(records))
	for i, r := range records {
		sent, _ := r.Event.(domain.MessageNew)
		held[i] = found[0] || found[1] || found[places[sent.Sender]]
	}
	return held, nil
}

// expire erases a message that is due, unless a legal hold protects it.
func (c *chatExpiry) expire(ctx context.Context, r ports.Record, message domain.MessageID, held bool) error {
	if c.due != c.id {
		c.due = c.id
		c.done.Chats++
	}
	if c.count != nil {
		c.count(c.id)
		return nil
	}
	var err error
	if !held {
		err = c.erase(ctx, c.id, message)
	}
	switch {
	case held || errors.Is(err, domain.ErrLegalHold):
		c.leave(r, time.Time{})
		c.done.Held++
		c.counts.Held.Add(1)
		return nil
	case err != nil:
		c.leave(r, time.Time{})
		return err
	}
	c.done.Erased++
	c.pass(r)
	return nil
}

// pass notes a message that is erased.
func (c *chatExpiry) pass(r ports.Record) {
	if !c.left {
		c.kept = ports.Expiry{Next: r.Seq + 1, Until: r.Seq + 1}
	}
}

// leave notes a message that is not erased. at is its time, the zero time if it is passed over: later passes read it again.
func (c *chatExpiry) leave(r ports.Record, at time.Time) {
	if c.left {
		return
	}
	c.left, c.kept = true, ports.Expiry{Next: r.Seq, Ordinal: r.Ordinal, Until: r.Seq}
	if !at.IsZero() {
		c.kept.At = at.UnixMilli()
	}
}
