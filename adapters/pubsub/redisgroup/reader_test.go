package redisgroup_test

import (
	"context"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestNext_NoticesATrimDuringItsWait trims the entry that a read waits after, and one that it has not read, while the read waits.
func TestNext_NoticesATrimDuringItsWait(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Start(t))
	store := r.create("g", groups.Start{Beginning: true})
	r.send("a")
	last, err := store.Last(t.Context(), r.partition)
	r.check(err)

	type result struct {
		batch *groups.Batch
		err   error
	}
	read := make(chan result, 1)
	go func() {
		for {
			b, err := store.Next(context.WithoutCancel(t.Context()), r.partition, last, true)
			if err != nil || b.Gap || len(b.Entries) > 0 {
				read <- result{b, err}
				return
			}
		}
	}()
	wait.Until(t, "the read waits", func() bool {
		info, err := r.client.Info(t.Context(), "clients").Result()
		r.check(err)
		return strings.Contains(info, "blocked_clients:1")
	})
	_, err = r.client.TxPipelined(t.Context(), func(p goredis.Pipeliner) error {
		for _, seq := range []string{"2", "3"} {
			p.XAdd(t.Context(), &goredis.XAddArgs{Stream: r.partition.Stream, Values: []any{"_watermill_message_uuid", "e-" + seq, "chat", "a", "seq", seq, "payload", "{}"}})
		}
		p.XTrimMaxLen(t.Context(), r.partition.Stream, 1)
		return nil
	})
	r.check(err)
	got := <-read
	r.check(got.err)
	if !got.batch.Gap {
		t.Errorf("%d entries, and no gap where one was trimmed", len(got.batch.Entries))
	}
}

// TestNext_ReadsAhead takes batches that others follow: the next two are read before anyone asks for them, one if that is large, and nothing is read twice.
func TestNext_ReadsAhead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ payload, ahead int }{"small": {2, 2}, "large": {4 << 10, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, redistest.Start(t))
			store := r.create("g", groups.Start{Beginning: true})
			const entries, perRead = 2300, 512
			payload := strings.Repeat("x", c.payload)
			_, err := r.client.Pipelined(t.Context(), func(p goredis.Pipeliner) error {
				for seq := range entries {
					p.XAdd(t.Context(), &goredis.XAddArgs{Stream: r.partition.Stream, Values: []any{"_watermill_message_uuid", "e", "chat", "a", "seq", seq + 1, "payload", payload}})
				}
				return nil
			})
			r.check(err)
			reads := func() int { return redistest.AllCommands(t, r.client)["xrange"] }
			before, got := reads(), 0
			for after := (groups.StreamID{}); got < entries; {
				b, err := store.Next(t.Context(), r.partition, after, true)
				r.check(err)
				for _, e := range b.Entries {
					if got++; e.Seq != domain.Seq(got) { //nolint:gosec // a count
						t.Fatalf("entry %d has the seq %d", got, e.Seq)
					}
				}
				after = b.Last()
				want := min(got/perRead+c.ahead, entries/perRead+1)
				wait.Until(t, "the next reads", func() bool { return reads()-before >= want })
				if n := reads() - before; n > want {
					t.Errorf("%d reads after %d entries, want %d", n, got, want)
				}
			}
		})
	}
}
