package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
)

// fsckPage is how many entries, fields or members one step of a check reads. It holds up other clients for less than a millisecond.
const fsckPage = 256

// FsckConfig says what Fsck checks.
type FsckConfig struct {
	Chat   domain.ChatID // only this chat; "" for all of the log
	Repair bool          // correct what follows from the log
	// Report takes each contradiction. An error of it ends the check.
	Report func(ports.Contradiction) error
}

// Fsck checks the structures of the log against each other: each chat's segments, links, index, members, tombstones and snapshots, the partitions'
// sets of chats and their delivery streams. It returns an error only if it could not finish.
//
// It runs beside writers: what is appended meanwhile is no contradiction, and a correction is made only where nothing has changed since. It reads
// in small steps, rests as long as each took, and keeps in memory what one chat of 200,000 events folds into; longer ones are read several times.
func (l *Log) Fsck(ctx context.Context, c FsckConfig) error {
	f := &fsck{
		Log: l, config: c,
		page: goredis.NewScript(fsckPageSource), fix: goredis.NewScript(fsckFixSource), list: goredis.NewScript(fsckListSource), stream: goredis.NewScript(fsckStreamSource),
	}
	if c.Chat != "" {
		p := l.keys.Partition(c.Chat)
		if err := f.listed(ctx, p, c.Chat); err != nil {
			return err
		}
		return f.chat(ctx, c.Chat)
	}
	if err := f.unlisted(ctx); err != nil {
		return err
	}
	for p := range l.keys.tags {
		if err := f.partition(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// fsck is one check.
type fsck struct {
	*Log
	config                  FsckConfig
	page, fix, list, stream *goredis.Script
}

// step runs one step, and rests for as long as it took.
func (f *fsck) step(ctx context.Context, do func() error) error {
	const longest = 100 * time.Millisecond
	if err := ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	if err := do(); err != nil && !errors.Is(err, goredis.Nil) {
		return readError(ctx, "", err)
	}
	timer := time.NewTimer(min(time.Since(began), longest))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// pipelined runs one step of several commands.
func (f *fsck) pipelined(ctx context.Context, do func(p goredis.Pipeliner)) error {
	return f.step(ctx, func() error {
		_, err := f.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			do(p)
			return nil
		})
		return err
	})
}

// script runs one step of a script that replies with a number, and reports whether it has done something.
func (f *fsck) script(ctx context.Context, script *goredis.Script, partition int, args ...any) (done bool, err error) {
	err = f.step(ctx, func() error {
		reply, err := f.guarded(ctx, partition, func(held *field) ([]any, error) {
			n, err := script.Run(ctx, f.client, []string{f.keys.id(partition), f.keys.stream(partition)}, append([]any{held}, args...)...).Int64()
			return []any{n}, err
		})
		if err == nil {
			n, _ := reply[0].(int64)
			done = n > 0
		}
		return err
	})
	return done, err
}

// found reports a contradiction, and corrects it first where that is wanted and something follows.
func (f *fsck) found(ctx context.Context, c ports.Contradiction, correct func() (bool, error)) error {
	if correct != nil && f.config.Repair {
		done, err := correct()
		if err != nil {
			return fmt.Errorf("repairing %s: %w", c.Key, err)
		}
		c.Repaired = done
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return f.config.Report(c)
}

// correction is a change of one element of a chat's keys.
type correction struct {
	kind, part, element string
	was, is             string // as in fsck_fix.lua
}

const (
	ofHash      = "h"
	ofSortedSet = "z"
	ofList      = "l"
	none        = "-"
)

func present(value string) string { return "+" + value }

// delivery is an entry for the delivery stream.
type delivery struct {
	event, metadata, payload string
	seq                      domain.Seq
}

// correct makes corrections of a chat in one step, all or none, where the chat has the given head, if one is given. It may count members and
// tombstones anew, once all of them were checked.
func (f *fsck) correct(
	ctx context.Context, chat domain.ChatID, head string, recount bool, corrections []correction, deliveries ...delivery,
) (bool, error) {
	counts := ""
	if recount {
		counts = "1"
	}
	args := []any{escape(string(chat)), string(chat), head, counts, len(corrections)}
	for _, c := range corrections {
		args = append(args, c.kind, c.part, c.element, c.was, c.is)
	}
	args = append(args, len(deliveries))
	for _, d := range deliveries {
		args = append(args, d.event, d.metadata, d.payload, uint64(d.seq))
	}
	return f.script(ctx, f.fix, f.keys.Partition(chat), args...)
}
