package archive

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/internal/backoff"
	"chatcore/ports/groups"
)

// ErrShared is returned by [Archiver.Close] if other processes archive the log too: they may append events.
var ErrShared = errors.New("other processes archive the log")

// BackupStep is a step of [Archiver.Backup].
type BackupStep uint8

// The steps, in their order.
const (
	BackupJournals BackupStep = iota // partitions whose events are in journals
	BackupTails                      // partitions with a tail
)

// String returns "journals" or "tails".
func (s BackupStep) String() string {
	switch s {
	case BackupJournals:
		return "journals"
	case BackupTails:
		return "tails"
	}
	return fmt.Sprintf("BackupStep(%d)", uint8(s))
}

// Backup waits until the vault has every event that was appended before the call, and then writes a tail of each partition. Members of the group must run, in this
// process or in others. progress, unless nil, is called with each step, and with how many partitions are done.
func (a *Archiver) Backup(ctx context.Context, progress func(step BackupStep, done, of int)) error {
	if progress == nil {
		progress = func(BackupStep, int, int) {}
	}
	if err := a.await(ctx, func(done int) { progress(BackupJournals, done, len(a.partitions)) }); err != nil {
		return err
	}
	began := a.now()
	for i, p := range a.partitions {
		if err := a.backUp(ctx, p, began); err != nil {
			return fmt.Errorf("a tail of partition %d: %w", p.number, err)
		}
		progress(BackupTails, i+1, len(a.partitions))
	}
	return nil
}

// backUp seals the full segments of a partition, and writes a tail of the rest, unless one has begun since a time: a full one if there is none.
func (a *Archiver) backUp(ctx context.Context, p *partition, began uint64) error {
	if err := a.prepare(ctx); err != nil {
		return err
	}
	if err := a.follow(ctx, a.config.Histories.History(ctx), p); err != nil {
		return err
	}
	if err := a.findGrown(ctx, p); err != nil {
		return err
	}
	if err := a.seal(ctx, p); err != nil && !errors.Is(err, errHistoryMoved) { // another process seals the same segment
		return err
	}
	p.tailing.Lock()
	defer p.tailing.Unlock()
	p.rules = nil // another process may archive the partition
	if err := a.copyRules(ctx, p); err != nil {
		return err
	}
	tails, err := a.tailsOf(ctx, p.number)
	if err != nil {
		return err
	}
	a.mu.Lock()
	p.tails = tails
	a.mu.Unlock()
	chain := chainOf(tails)
	if len(chain) > 0 && chain[len(chain)-1].time > began {
		return nil
	}
	return a.writeTail(ctx, p, len(chain) == 0)
}

// await waits until the group has passed the present end of each stream. It calls progress when further partitions have got there.
func (a *Archiver) await(ctx context.Context, progress func(done int)) error {
	const poll = 50 * time.Millisecond
	ends, err := a.ends(ctx)
	if err != nil {
		return err
	}
	logged := make([]groups.Partition, len(a.partitions))
	for i, p := range a.partitions {
		logged[i] = p.group
	}
	for last := -1; ; {
		state, err := a.config.Groups.Inspect(ctx, a.config.Group, logged)
		if err != nil {
			return err
		}
		done := 0
		for i, p := range state.Partitions {
			position, err := groups.ParseStreamID(p.Position)
			if err != nil {
				return err
			}
			if position.Compare(ends[i]) >= 0 && !p.CatchesUp && p.Behind+p.Parked+p.Failing == 0 {
				done++
			}
		}
		if done > last {
			last = done
			progress(done)
		}
		if done == len(state.Partitions) {
			return nil
		}
		if err := backoff.Sleep(ctx, poll); err != nil {
			return err
		}
	}
}

// ends returns the last entry of each partition's stream.
func (a *Archiver) ends(ctx context.Context) ([]groups.StreamID, error) {
	store := a.config.Groups.Store(a.config.Group)
	defer func() { _ = store.Close() }()
	ends := make([]groups.StreamID, len(a.partitions))
	for i, p := range a.partitions {
		var err error
		if ends[i], err = store.Last(ctx, p.group); err != nil {
			return nil, err
		}
	}
	return ends, nil
}

// Close is a backup after which the manifest says that the log takes no events any more, and that the vault has all of them. The caller has made sure that nothing
// is appended. An archiver that sees an event afterwards writes a manifest that says otherwise. It returns [ErrShared] if other processes archive the log.
func (a *Archiver) Close(ctx context.Context) error {
	states, err := a.config.Groups.List(ctx)
	if err != nil {
		return err
	}
	for _, s := range states {
		if s.Group == a.config.Group && s.Members > 1 {
			return fmt.Errorf("%w: %d in all; stop them first", ErrShared, s.Members)
		}
	}
	if err := a.Backup(ctx, nil); err != nil {
		return err
	}
	return a.close(ctx)
}
