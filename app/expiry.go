package app

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// How retention works. A pass reads and erases in pages; before each it reads policies and holds again.
const (
	expirePage  = 64
	expireEvery = 10 * time.Minute // between the beginnings of two passes of a process
	expireRetry = 30 * time.Second // after a pass that failed
	expiryNote  = "retention"      // reason of the erasures
)

// RetentionStats counts what the retention of a process has done.
type RetentionStats struct {
	Passes  atomic.Uint64 // passes over a partition
	Erased  atomic.Uint64 // messages
	Held    atomic.Uint64 // messages that were due in a pass and under a legal hold
	Failed  atomic.Uint64 // passes that ended with an error
	Failure atomic.Value  // error text of the last pass; "" if it succeeded
}

// Stats returns the counts. They are not changed by the caller.
func (r *Retention) Stats() *RetentionStats { return &r.counts }

// Expiration is the result of a pass.
type Expiration struct {
	Chats  int // with messages that were due
	Erased int // messages
	Held   int // messages that were due and under a legal hold
}

// Run erases what is due in the partitions that owned returns, every ten minutes, until ctx ends. It logs the first failure of several.
func (r *Retention) Run(ctx context.Context, owned func() []int) {
	declared, failing := false, false
	for ctx.Err() == nil {
		next, err := r.config.Clock.Now().Add(expireEvery), error(nil)
		if !declared {
			err = r.Declare(ctx)
			declared = err == nil
		}
		if err == nil {
			for _, p := range owned() {
				if _, failed := r.Expire(ctx, p); failed != nil && err == nil {
					err = failed
				}
			}
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			next = r.config.Clock.Now().Add(expireRetry)
			if !failing {
				r.config.Logger.WarnContext(ctx, "retention failed, trying again", "error", err)
			}
		}
		failing = err != nil
		if r.config.Clock.Sleep(ctx, next) != nil {
			return
		}
	}
}

// Expire erases what is due in a partition: at most the configured rate of messages in a second. A pass that ends early is given again and continues; two at a time
// do no harm. Policies and holds that change meanwhile apply from the next page of 64 messages on, holds from the next message on.
func (r *Retention) Expire(ctx context.Context, partition int) (done Expiration, err error) {
	pass := &expiryPass{Retention: r, partition: partition}
	err = pass.run(ctx)
	done = pass.done
	r.counts.Passes.Add(1)
	failure := ""
	if err != nil {
		r.counts.Failed.Add(1)
		failure = err.Error()
	}
	r.counts.Failure.Store(failure)
	return done, err
}

// ExpireAll is [Retention.Expire] of all partitions, one after the other. An error of one does not stop the others.
func (r *Retention) ExpireAll(ctx context.Context) (all Expiration, err error) {
	for p := range r.config.Partitions {
		done, failed := r.Expire(ctx, p)
		all.Chats, all.Erased, all.Held = all.Chats+done.Chats, all.Erased+done.Erased, all.Held+done.Held
		err = errors.Join(err, failed)
	}
	return all, err
}

// erase erases a message that is due.
func (r *Retention) erase(ctx context.Context, chat domain.ChatID, message domain.MessageID) error {
	erased, err := r.config.Erase(ctx, domain.Erase{Chat: chat, MessageID: message, Actor: domain.RetentionActor, Reason: expiryNote, Trusted: true})
	if err != nil {
		return err
	}
	r.counts.Erased.Add(1)
	if r.config.Files != nil && len(erased.Attachments) > 0 {
		r.config.Files(ctx, chat, message, erased.Attachments)
	}
	return nil
}

// clamp shortens graces that end later than a grace takes.
func (r *Retention) clamp(ctx context.Context, rules ports.PartitionRules) error {
	clamp := func(chat domain.ChatID, p domain.RetentionPolicy) error {
		if _, changed := p.Clamp(r.now()); !changed {
			return nil
		}
		return r.config.Rules.SetPolicy(ctx, chat, func(_, present domain.RetentionPolicy) (domain.RetentionPolicy, error) {
			present, _ = present.Clamp(r.now())
			return present, nil
		})
	}
	for chat, p := range rules.Chats {
		if err := clamp(chat, p); err != nil {
			return err
		}
	}
	return clamp("", rules.Log)
}
