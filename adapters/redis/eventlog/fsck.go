package eventlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/ports"
)

// fsckPage is the number of entries, fields or members that one step of a check reads. A step blocks other clients for less than a millisecond.
const fsckPage = 256

// FsckConfig is the configuration of Fsck.
type FsckConfig struct {
	Chat   domain.ChatID // only this chat; "" for the whole log
	Repair bool          // correct contradictions that the log resolves
	// Report is called for each contradiction. If it returns an error, the check ends.
	Report func(ports.Contradiction) error
}

// Fsck checks the structures of the log against each other: each chat's segments, links, index, members, tombstones and snapshots, the partitions'
// sets of chats and their delivery streams. It returns an error only if it cannot finish.
//
// Fsck may run beside writers: concurrent appends are no contradictions, and a correction is made only if the element has not changed since. It reads
// in small steps and pauses after each for as long as it took. Its memory holds the folded index of 200,000 events of one chat; it reads longer chats
// several times.
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
	for p := range l.keys.PartitionCount() {
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

// step runs one step, and then pauses for as long as the step took.
func (f *fsck) step(ctx context.Context, do func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	began := time.Now()
	if err := do(); err != nil && !errors.Is(err, goredis.Nil) {
		return rediscmd.ReadError(ctx, "", err)
	}
	return pause(ctx, began)
}

// pipelined runs several commands as one step.
func (f *fsck) pipelined(ctx context.Context, do func(p goredis.Pipeliner)) error {
	return f.step(ctx, func() error {
		_, err := f.client.Pipelined(ctx, func(p goredis.Pipeliner) error {
			do(p)
			return nil
		})
		return err
	})
}

// script runs a script that replies with a number as one step. It reports whether the script changed something.
func (f *fsck) script(ctx context.Context, script *goredis.Script, partition int, args ...any) (done bool, err error) {
	err = f.step(ctx, func() error {
		reply, err := f.guarded(ctx, partition, func(held *field) ([]any, error) {
			n, err := script.Run(ctx, f.client, []string{f.keys.ID(partition), f.keys.Stream(partition)}, append([]any{held}, args...)...).Int64()
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

// found reports a contradiction. If repairs are enabled and correct is not nil, it corrects the contradiction first.
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
	was, is             string // in the form of fsck_fix.lua
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

// correct makes corrections of a chat in one step, all or none. If head is not "", the chat must still have that head. recount recomputes the counts
// of members and tombstones; the caller must have checked all of them.
func (f *fsck) correct(
	ctx context.Context, chat domain.ChatID, head string, recount bool, corrections []correction, deliveries ...delivery,
) (bool, error) {
	counts := ""
	if recount {
		counts = "1"
	}
	args := []any{keyspace.Escape(string(chat)), string(chat), head, counts, len(corrections)}
	for _, c := range corrections {
		args = append(args, c.kind, c.part, c.element, c.was, c.is)
	}
	args = append(args, len(deliveries))
	for _, d := range deliveries {
		args = append(args, d.event, d.metadata, d.payload, uint64(d.seq))
	}
	return f.script(ctx, f.fix, f.keys.Partition(chat), args...)
}
