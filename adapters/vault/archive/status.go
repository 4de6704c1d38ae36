package archive

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// counters count what an archiver has done since it was made.
type counters struct {
	flushes, events, objects, bytes, segments, tails, lost, failedPuts atomic.Uint64
}

// Keys of failures that are of no partition.
const (
	flushFailure     = -1
	retentionFailure = -2
)

// Stats are counts since the archiver was made.
type Stats struct {
	Flushes    uint64 // journal objects
	Events     uint64 // in them
	Objects    uint64 // that were stored, of all kinds
	Bytes      uint64 // of them
	Segments   uint64 // that were sealed
	Tails      uint64
	Lost       uint64 // events that the log acknowledged and lost
	FailedPuts uint64 // objects that could not be stored; each is stored again
}

// Stats returns the counts.
func (a *Archiver) Stats() Stats {
	c := &a.counts
	return Stats{
		Flushes: c.flushes.Load(), Events: c.events.Load(), Objects: c.objects.Load(), Bytes: c.bytes.Load(), Segments: c.segments.Load(), Tails: c.tails.Load(), Lost: c.lost.Load(),
		FailedPuts: c.failedPuts.Load(),
	}
}

// failure is why the last attempt at something failed.
type failure struct {
	err error // nil if it did not
	at  time.Time
}

// failureAge is how long a failure counts beyond [Config.Flush]. Everything that fails is tried again every 15 s, unless another process does it by then.
const failureAge = time.Minute

// Err returns why this process does not archive now: the error of the last attempt at each thing that failed. It returns nil if all went well.
func (a *Archiver) Err() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for key := retentionFailure; key < len(a.partitions); key++ {
		if f := a.failures[key]; f.err != nil && time.Since(f.at) < failureAge+a.config.Flush {
			errs = append(errs, f.err)
		}
	}
	return errors.Join(errs...)
}

// report remembers the outcome of an attempt, and logs the first failure and the end of failures.
func (a *Archiver) report(ctx context.Context, key int, err error) {
	if err != nil && ctx.Err() != nil {
		return
	}
	a.mu.Lock()
	before := a.failures[key].err
	a.failures[key] = failure{err, time.Now()}
	a.mu.Unlock()
	switch {
	case err != nil && before == nil:
		a.config.Logger.WarnContext(ctx, "not archived, trying again", "partition", key, "error", err)
	case err == nil && before != nil:
		a.config.Logger.InfoContext(ctx, "archived again", "partition", key)
	}
}

// PartitionStatus says how far a vault has a partition.
type PartitionStatus struct {
	Partition int
	Owner     string        // member that archives it, "" if none does
	Lag       uint64        // events that are in no journal yet
	Age       time.Duration // of the oldest of them; 0 if there is none
	Sealed    uint64        // segments
	Tail      time.Time     // when the last complete tail began, by the clock of the log; zero if there is none
	FullTail  time.Time     // when the last complete full tail began; zero if there is none: the partition cannot be restored yet
}

// Status reads from log and vault how far the vault has each partition, whichever processes archive it. It costs a list of the vault and a few reads for each
// partition. It returns [groups.ErrGroupNotFound] if no process has archived the log yet.
func (a *Archiver) Status(ctx context.Context) ([]PartitionStatus, error) {
	var logged []groups.Partition
	for _, p := range a.partitions {
		logged = append(logged, p.group)
	}
	state, err := a.config.Groups.Inspect(ctx, a.config.Group, logged)
	if err != nil {
		return nil, err
	}
	var all []PartitionStatus
	for _, of := range state.Partitions {
		s := PartitionStatus{Partition: of.Partition, Owner: of.Owner, Lag: of.Lag, Age: of.Age}
		if s.Sealed, err = a.config.Log.CountSealed(ctx, of.Partition); err != nil {
			return nil, err
		}
		tails, err := a.tailsOf(ctx, of.Partition)
		if err != nil {
			return nil, err
		}
		if chain := chainOf(tails); len(chain) > 0 {
			s.FullTail, s.Tail = timeOf(chain[0].time), timeOf(chain[len(chain)-1].time)
		}
		all = append(all, s)
	}
	return all, nil
}

func timeOf(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() } //nolint:gosec // a time

// LostEvent is an event that the log acknowledged and lost.
type LostEvent struct {
	Partition int
	At        time.Time // when that was found, by the clock of the log
	Chat      domain.ChatID
	Seq       domain.Seq
	Event     domain.EventID
	JSON      []byte
}

// Lost yields the events of all forks, by partition, fork, chat and seq. Iteration stops at the first error.
func (a *Archiver) Lost(ctx context.Context) iter.Seq2[LostEvent, error] {
	return func(yield func(LostEvent, error) bool) {
		for _, p := range a.partitions {
			c := &comparison{archiver: a, partition: p}
			if err := c.readForks(ctx); err != nil {
				yield(LostEvent{}, err)
				return
			}
			for _, f := range c.forks {
				if !yieldFork(f, yield) {
					return
				}
			}
		}
	}
}

func yieldFork(f *object.ForkObject, yield func(LostEvent, error) bool) bool {
	for _, chat := range f.Chats {
		for i, e := range chat.Lost {
			lost := LostEvent{Partition: f.Name.Partition, At: timeOf(f.At), Chat: chat.Chat, Seq: chat.Head + 1 + domain.Seq(i), Event: e.ID, JSON: e.JSON} //nolint:gosec // an index
			if !yield(lost, nil) {
				return false
			}
		}
	}
	return true
}
