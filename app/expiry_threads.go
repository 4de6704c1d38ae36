package app

import (
	"context"
	"slices"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// threads erases what is due of the messages of a chat that are in threads alone, the oldest first. It reads all replies of the chat, newest first, unless an
// earlier pass has noted that none can be due yet.
func (p *expiryPass) threads(ctx context.Context, chat domain.ChatID, known ports.Expiry) error {
	now := p.now()
	c := &chatExpiry{expiryPass: p, id: chat, policy: appliedTo(p.rules.Chats[chat], p.rules.Log.Applied(domain.Retention{}, now), now)}
	if c.policy.KeepsAll() || c.policy.MaxMessages == 0 && c.settled(known) { // without a round trip
		return nil
	}
	if err := c.apply(ctx); err != nil || c.policy.KeepsAll() || c.settled(known) {
		return err
	}
	due, oldest, err := c.dueReplies(ctx)
	if err != nil {
		return err
	}
	for page := range slices.Chunk(due, expirePage) {
		if err := c.eraseReplies(ctx, page); err != nil {
			return err
		}
	}
	if c.left { // the next pass reads them again
		oldest = ports.Expiry{}
	}
	if p.count != nil || oldest == known {
		return nil
	}
	return p.config.Rules.SaveExpiry(ctx, p.partition, ports.ExpiryOfThreads, chat, oldest)
}

// dueReplies returns the replies that are due, the oldest first, and the least time and ordinal of the others, or those of a reply that would be sent now.
func (c *chatExpiry) dueReplies(ctx context.Context) (due []ports.Record, oldest ports.Expiry, err error) {
	now := c.now()
	oldest = ports.Expiry{Next: 1, At: now.UnixMilli(), Ordinal: c.last}
	for r, err := range recordsMoving(ctx, c.config.Log, c.id, domain.ThreadsEntity()) {
		if err != nil {
			return nil, oldest, err
		}
		sent, ok := r.Event.(domain.MessageNew)
		if !ok || sent.InTimeline() || sent.Erased {
			continue
		}
		if is, _ := c.policy.Due(sent.At, r.Ordinal, c.last, now); is {
			due = append(due, r)
		} else { // times need not rise with seqs
			oldest.At, oldest.Ordinal = min(oldest.At, sent.At.UnixMilli()), min(oldest.Ordinal, r.Ordinal)
		}
	}
	slices.Reverse(due)
	return due, oldest, nil
}

// eraseReplies erases a page of replies, unless policies have changed meanwhile so that they are not due.
func (c *chatExpiry) eraseReplies(ctx context.Context, page []ports.Record) error {
	c.began = c.config.Clock.Now()
	if err := c.apply(ctx); err != nil {
		return err
	}
	held, err := c.heldOf(ctx, page)
	if err != nil {
		return err
	}
	before := c.done.Erased
	for i, r := range page {
		sent, _ := r.Event.(domain.MessageNew)
		if is, _ := c.policy.Due(sent.At, r.Ordinal, c.last, c.now()); !is {
			c.leave(r, time.Time{})
			continue
		}
		if err := c.expire(ctx, r, sent.Message, held[i]); err != nil {
			return err
		}
	}
	if erased := c.done.Erased - before; erased > 0 {
		return c.pause(ctx, erased)
	}
	return nil
}
