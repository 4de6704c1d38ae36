package chatcore

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"chatcore/adapters/vault/archive"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	vaultFollowEvery = time.Hour   // between two passes of [vaultRetention]
	vaultIdleEvery   = time.Minute // the same of a process that owns no partition, as each does right after its start
)

// vaultRetention has the sealed segments of a vault follow what retention has erased in the log: each one once, when every message in it is erased. A segment of which
// a part is erased is rewritten at most once in the time for which journals are kept anyway.
type vaultRetention struct {
	rules    ports.RetentionRules
	backlog  ports.Backlog
	archiver *archive.Archiver
	eraser   *erase.Eraser
	now      func() time.Time
	keep     time.Duration
}

// runVaultRetention runs it in the partitions that this process archives, and deletes earlier generations of their segments, until ctx ends.
func (c *Core) runVaultRetention(ctx context.Context) {
	if c.vault == nil {
		return
	}
	select {
	case <-c.running:
	case <-ctx.Done():
	}
	c.newVaultRetention().run(ctx, c.vaultPartitions, c.config.Logger)
}

// run makes a pass over the partitions now and then, until ctx ends. A partition whose pass fails does not stop the others, and has the next one.
func (v *vaultRetention) run(ctx context.Context, owned func() []int, logger *slog.Logger) {
	for ctx.Err() == nil {
		partitions, pause := owned(), vaultFollowEvery
		for _, p := range partitions {
			if err := errors.Join(v.follow(ctx, p), v.eraser.Collect(ctx, p)); err != nil && ctx.Err() == nil {
				logger.WarnContext(ctx, "the vault does not follow erasures, trying again in an hour", "partition", p, "error", err)
			}
		}
		if len(partitions) == 0 {
			pause = vaultIdleEvery
		}
		_ = systemClock{}.Sleep(ctx, time.Now().Add(pause))
	}
}

func (c *Core) newVaultRetention() *vaultRetention {
	return &vaultRetention{
		rules: c.backend.retained, backlog: c.backend.backlog, archiver: c.vault, eraser: c.eraser, now: c.clock.Now, keep: c.config.Vault.Keep,
	}
}

// follow goes through the chats of a partition. It returns the first error of a chat once it has tried all others.
func (v *vaultRetention) follow(ctx context.Context, partition int) (failed error) {
	for cursor, first := uint64(0), true; first || cursor != 0; first = false {
		heads, next, _, err := v.backlog.ListHeads(ctx, partition, cursor)
		if err != nil {
			return err
		}
		chats := make([]domain.ChatID, len(heads))
		for i, h := range heads {
			chats[i] = h.Chat
		}
		erased, err1 := v.rules.Expiries(ctx, partition, ports.ExpiryOfLog, chats)
		gone, err2 := v.rules.Expiries(ctx, partition, ports.ExpiryOfVault, chats)
		if err := cmp.Or(err1, err2); err != nil {
			return err
		}
		for i, chat := range chats {
			failed = cmp.Or(failed, v.chat(ctx, partition, chat, erased[i], gone[i]))
		}
		cursor = next
	}
	return failed
}

// chat rewrites segments of a chat: those before the first message that the log still has and, now and then, those up to which retention has passed. It notes the first
// segment that may have content of erased events, and when it was last rewritten.
func (v *vaultRetention) chat(ctx context.Context, partition int, chat domain.ChatID, erased, gone ports.Expiry) error {
	if erased.Until <= 1 {
		return nil
	}
	next, now := gone, v.now()
	whole, end := segmentOf(erased.Next), segmentOf(erased.Until-1)+1
	if gone.At == 0 {
		next.At = now.UnixMilli()
	} else if now.Sub(time.UnixMilli(gone.At)) >= v.keep {
		next.At, whole = now.UnixMilli(), max(whole, end)
	}
	settled := true
	for number := segmentOf(gone.Next); number < whole; number++ {
		events, err := v.archiver.Segment(ctx, partition, chat, number)
		if err != nil {
			return err
		}
		done, err := v.eraser.Follow(ctx, chat, number, events)
		if err != nil {
			return err
		}
		if settled = settled && done && number < segmentOf(erased.Next); settled {
			next.Next = domain.Seq((number+1)*object.SegmentEvents + 1)
		}
	}
	if next == gone {
		return nil
	}
	return v.rules.SaveExpiry(ctx, partition, ports.ExpiryOfVault, chat, next)
}

// segmentOf returns the number of the segment of a seq, 0 for none.
func segmentOf(seq domain.Seq) uint64 {
	return uint64(max(seq, 1)-1) / object.SegmentEvents
}
