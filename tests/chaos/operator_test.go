package chaos

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/tests/wait"
)

// operator acts as the people that run a system: rebuilds, repairs, dead letters. It has its own core, with all rights.
type operator struct {
	t       *testing.T
	ctx     context.Context
	core    *chatcore.Core
	history *History
	crew    *crew
	outside *crew // nil until there is one

	tending sync.Mutex // held while dead letters are given again, or must not be

	mu       sync.Mutex
	letters  []Letter
	seen     map[string]bool // ids of letters
	unmended []string        // contradictions at the end
}

// untilDone tries an action until it succeeds. Redis may be away for a while.
func (o *operator) untilDone(what string, act func(context.Context) error) {
	const (
		rest = 100 * time.Millisecond
		long = 10 * time.Second
	)
	began := time.Now()
	limit := began.Add(wait.Limit)
	var last error
	for {
		err := act(o.ctx)
		if err == nil || o.ctx.Err() != nil {
			if took := time.Since(began); took > long {
				o.t.Logf("%s took %v, at last because of %v", what, took, last)
			}
			return
		}
		last = err
		if time.Now().After(limit) {
			o.t.Errorf("%s: not within %s: %v", what, wait.Limit, err)
			return
		}
		_ = pause(o.ctx, rest)
	}
}

// whileStopped stops the workers and the programs outside, does something, marks it in the history and has others start.
func (o *operator) whileStopped(mark Outcome, do func()) {
	o.crew.mu.Lock()
	defer o.crew.mu.Unlock()
	start := o.crew.stopAll()
	if o.outside != nil { // a handler that goes on would have an effect under an epoch of before
		o.outside.mu.Lock()
		defer o.outside.mu.Unlock()
		defer o.outside.stopAll()()
	}
	do()
	if err := o.history.Mark(o.ctx, mark, ""); err != nil {
		o.t.Error(err)
	}
	start()
}

const rebuild = "rebuild"

// rebuilds is the attack that has a group begin again while everything goes on.
func (o *operator) rebuilds() attack {
	return attack{rebuild, func(d dice) (string, func()) {
		groups := []string{skipping, parking, chatcore.BuiltinGroup}
		if o.crew.lateBegun() {
			groups = append(groups, late)
		}
		group := groups[d.IntN(len(groups))]
		o.untilDone("rebuild "+group, func(ctx context.Context) error {
			if err := o.history.Mark(ctx, Rebuilt, group); err != nil {
				return err
			}
			return o.core.Groups().Rebuild(ctx, group)
		})
		return group, nil
	}}
}

// lateBegun reports whether a worker has run the group that begins later.
func (c *crew) lateBegun() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.late
}

// fsck checks the log and returns the contradictions.
func (o *operator) fsck(ctx context.Context, repair bool) (found []string, err error) {
	for c, err := range o.core.Fsck(ctx, chatcore.FsckConfig{Repair: repair}) {
		if err != nil {
			return nil, err
		}
		found = append(found, fmt.Sprintf("%s, chat %q, seq %d, group %q, key %q: %s", c.Kind, c.Chat, c.Seq, c.Group, c.Key, c.What))
	}
	return found, nil
}

// repair corrects all that it can. The check for remaining contradictions follows at the end, without faults.
func (o *operator) repair() {
	o.untilDone("repair", func(ctx context.Context) error {
		_, err := o.fsck(ctx, true)
		return err
	})
}

// awaitWhole waits until all of the log can be read.
func (o *operator) awaitWhole() {
	o.untilDone("reading the log", func(ctx context.Context) error {
		_, err := logOf(ctx, o.core.Queries)
		return err
	})
}

// checkLog records the contradictions of a check.
func (o *operator) checkLog() {
	o.untilDone("check of the log", func(ctx context.Context) (err error) {
		o.unmended, err = o.fsck(ctx, false)
		return err
	})
}

// tendLetters gives dead letters of the parking group again until ctx ends, and pardons their events first.
func (o *operator) tendLetters(ctx context.Context) {
	const every = 200 * time.Millisecond
	for pause(ctx, every) == nil {
		o.retryLetters(ctx)
	}
}

func (o *operator) retryLetters(ctx context.Context) {
	o.tending.Lock()
	defer o.tending.Unlock()
	groups := o.core.Groups()
	var found []chatcore.DeadLetter
	for l, err := range groups.DeadLetters(ctx, parking) {
		if err != nil {
			break
		}
		found = append(found, l)
	}
	for _, l := range found {
		o.note(l)
		if o.history.Pardon(ctx, parking, l.Chat, l.Seq) == nil {
			_ = groups.Retry(ctx, parking, l.ID) // the next look tries again
		}
	}
}

func (o *operator) note(l chatcore.DeadLetter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	key := fmt.Sprint(l.Group, l.ID, l.Chat, l.Seq)
	if !o.seen[key] {
		o.seen[key] = true
		o.letters = append(o.letters, Letter{Group: l.Group, Chat: l.Chat, Seq: l.Seq, Attempts: l.Attempts, Reason: l.Reason})
	}
}

// allLetters are the letters that were seen, and those that other groups have at the end.
func (o *operator) allLetters() []Letter {
	o.untilDone("dead letters", func(ctx context.Context) error {
		groups := o.core.Groups()
		states, err := groups.List(ctx)
		if err != nil {
			return err
		}
		for _, s := range states {
			for l, err := range groups.DeadLetters(ctx, s.Group) {
				if err != nil {
					return err
				}
				o.note(l)
			}
		}
		return nil
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.letters)
}
