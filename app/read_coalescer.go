package app

import (
	"context"
	"hash/maphash"
	"sync"

	"chatcore/domain"
)

// readKey names the marks of one user in one chat.
type readKey struct {
	chat domain.ChatID
	user domain.UserID
}

// readCoalescer lets one call at a time record a read mark of a user in a chat. The first call leads a group; calls that come meanwhile
// join it, raise the mark that the leader records, and wait. Its cost does not depend on how many users there are: it keeps a group only
// as long as a leader is at work. The log knows when the last mark was recorded, so nothing is remembered between groups.
type readCoalescer struct {
	seed   maphash.Seed
	shards [64]readShard
}

type readShard struct {
	mu     sync.Mutex
	groups map[readKey]*readGroup // guarded by mu, as are the fields of the groups
}

// readGroup is a leader at work and the calls that wait for it.
type readGroup struct {
	highest domain.Message
	done    chan struct{} // closed when the leader is done
	outcome readOutcome   // readable once done is closed
}

// readOutcome is the result of a leader for the calls that joined it.
type readOutcome struct {
	recorded domain.Seq // marks up to here are in the log
	failed   domain.Seq // marks up to here share err
	err      error      // of the log; nil if the error concerns the leader alone
}

func newReadCoalescer() *readCoalescer {
	r := &readCoalescer{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].groups = make(map[readKey]*readGroup)
	}
	return r
}

func (r *readCoalescer) shard(key readKey) *readShard {
	return &r.shards[maphash.Comparable(r.seed, key)%uint64(len(r.shards))]
}

// do returns when the mark is in the log, or with the error why it may not be. It calls lead if no other call leads, or if the leader before
// left without recording as much as this mark: because it joined too late, or because of the leader's context or command id. Before the call
// joins another one for the first time it calls admit, whose error it returns. highest returns
// the highest mark of the group so far. led reports whether lead was called; its errors are then the caller's to know. do returns ctx's
// error when ctx ends while it waits for a leader.
func (r *readCoalescer) do(
	ctx context.Context, key readKey, mark domain.Message, admit func(context.Context) error, lead func(highest func() domain.Message) readOutcome,
) (led bool, err error) {
	for admitted := false; ; {
		group, leads := r.join(key, mark, admitted)
		switch {
		case group == nil:
			if err := admit(ctx); err != nil {
				return false, err
			}
			admitted = true
			continue
		case leads:
			r.lead(key, group, lead)
			return true, nil
		}
		select {
		case <-group.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		switch outcome := group.outcome; {
		case outcome.recorded >= mark.Seq:
			return false, nil
		case outcome.err != nil && outcome.failed >= mark.Seq:
			return false, outcome.err
		case ctx.Err() != nil:
			return false, ctx.Err()
		}
	}
}

// join adds a mark to the group of its user and chat, if it is admitted; otherwise it returns nil. Without a group it begins one, which the caller leads.
func (r *readCoalescer) join(key readKey, mark domain.Message, admitted bool) (group *readGroup, leads bool) {
	shard := r.shard(key)
	shard.mu.Lock()
	defer shard.mu.Unlock()
	group, there := shard.groups[key]
	switch {
	case there && !admitted:
		return nil, false
	case !there:
		group = &readGroup{highest: mark, done: make(chan struct{})}
		shard.groups[key] = group
	case mark.Seq > group.highest.Seq:
		group.highest = mark
	}
	return group, !there
}

// lead ends the group when the leader returns, also by a panic: then nothing is known to be recorded.
func (r *readCoalescer) lead(key readKey, group *readGroup, lead func(highest func() domain.Message) readOutcome) {
	shard := r.shard(key)
	var outcome readOutcome
	defer func() {
		shard.mu.Lock()
		delete(shard.groups, key)
		shard.mu.Unlock()
		group.outcome = outcome
		close(group.done)
	}()
	outcome = lead(func() domain.Message {
		shard.mu.Lock()
		defer shard.mu.Unlock()
		return group.highest
	})
}
