package archive

import (
	"context"
	"time"

	"chatcore/adapters/vault/object"
)

// retainEvery is the share of [Config.TailEvery] after which the objects that are no longer needed are deleted again.
const retainEvery = 24

// retainIfDue deletes journals and tails that are no longer needed, if that was done too long ago.
func (a *Archiver) retainIfDue(ctx context.Context) error {
	a.mu.Lock()
	due := time.Since(a.retained) >= a.config.TailEvery/retainEvery
	a.mu.Unlock()
	if !due {
		return nil
	}
	if err := a.retain(ctx); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.retained = time.Now()
	return nil
}

// retain deletes tails and journals that no point in time of the last [Config.Keep] needs, of all partitions. A state of the log at a time needs the last full tail
// that was complete then, the tails after it, and the journals after the last of these. Journals also stay until a full tail is complete that began later.
func (a *Archiver) retain(ctx context.Context) error {
	now, kept := a.now(), uint64(a.config.Keep.Milliseconds()) //nolint:gosec // from 0
	cut := now - min(kept, now)
	journals := cut
	for n := range a.partitions {
		tails, err := a.tailsOf(ctx, n)
		if err != nil {
			return err
		}
		base, state, newest := retainedTails(tails, cut)
		journals = min(journals, earlier(state), earlier(newest))
		if err := a.removeTails(ctx, n, tails, base); err != nil {
			return err
		}
	}
	return a.removeJournals(ctx, journals)
}

// retainedTails returns the times of tails of a partition: of the last full tail that was complete at a time, of the last tail of any kind that was complete then
// and has such a full one before it, and of the newest full one. They are 0 if there is none.
func retainedTails(tails []tail, at uint64) (base, state, newest uint64) {
	var then []tail
	for _, t := range tails {
		if t.complete && t.full {
			newest = t.time
		}
		if t.complete && t.ended <= at {
			then = append(then, t)
		}
	}
	if chain := chainOf(then); len(chain) > 0 {
		base, state = chain[0].time, chain[len(chain)-1].time
	}
	return base, state, newest
}

// removeTails deletes the tails of a partition before a time.
func (a *Archiver) removeTails(ctx context.Context, partition int, tails []tail, before uint64) error {
	var names []object.Name
	gone := 0
	for _, t := range tails {
		if t.time >= before {
			break
		}
		for part := range t.parts {
			names = append(names, t.name(a.config.LogID, partition, part))
		}
		gone++
	}
	if err := a.remove(ctx, names); err != nil || gone == 0 {
		return err
	}
	p := a.partitions[partition]
	a.mu.Lock()
	defer a.mu.Unlock()
	for len(p.tails) > 0 && p.tails[0].time < before {
		p.tails = p.tails[1:]
	}
	return nil
}

// removeJournals deletes the journals that were flushed before a time.
func (a *Archiver) removeJournals(ctx context.Context, before uint64) error {
	if before == 0 {
		return nil
	}
	epochs, err := a.epochs(ctx)
	if err != nil {
		return err
	}
	for _, names := range epochs {
		if names[0].Epoch >= before { // no object of an epoch is older than the epoch
			break
		}
		n, err := a.flushedSince(ctx, names, before)
		if err != nil {
			return err
		}
		if err := a.remove(ctx, names[:n]); err != nil {
			return err
		}
	}
	return nil
}
