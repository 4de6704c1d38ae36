package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// unstreamed adds an event to a chat's log and not to the stream, as an append does that fails after its first writes.
func (r *rig) unstreamed(chat domain.ChatID) {
	r.t.Helper()
	base := r.partitions[r.keys.Partition(chat)].Base + string(chat)
	head, err := r.client.HGet(r.t.Context(), base+":x", " ").Result()
	if err != nil {
		r.t.Fatal(err)
	}
	var seq, number, deleted, sent int
	if _, err := fmt.Sscanf(head, "%d:%d:%d:%d", &seq, &number, &deleted, &sent); err != nil {
		r.t.Fatal(err)
	}
	event := r.storedJSON(chat, domain.Seq(seq))
	event = regexp.MustCompile(`"seq":\d+,"ordinal":\d+`).ReplaceAllString(event, fmt.Sprintf(`"seq":%d,"ordinal":%d`, seq+1, number+1))
	event = strings.ReplaceAll(event, fmt.Sprintf(`%s-%d"`, chat, seq), fmt.Sprintf(`%s-%d"`, chat, seq+1))
	if _, err := r.client.TxPipelined(r.t.Context(), func(p goredis.Pipeliner) error {
		p.RPush(r.t.Context(), base+":0", event)
		p.HSet(r.t.Context(), base+":x", " ", fmt.Sprintf("%d:%d:%d:%d", seq+1, number+1, deleted, seq+1), fmt.Sprintf("%s-%d", chat, seq+1), seq+1)
		return nil
	}); err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	r.sent[chat]++
	r.mu.Unlock()
}

// storedJSON returns a stored event of the first segment, with its links and as JSON, which the list of a log at any level may have.
func (r *rig) storedJSON(chat domain.ChatID, seq domain.Seq) string {
	r.t.Helper()
	key := r.partitions[r.keys.Partition(chat)].Base + string(chat) + ":0"
	entry, err := r.client.LIndex(r.t.Context(), key, int64(seq-1)).Result() //nolint:gosec // of the first segment
	if err != nil {
		r.t.Fatal(err)
	}
	at := strings.IndexByte(entry, '{')
	if !wireformat.IsCompact(entry[at:]) {
		return entry
	}
	event, err := wireformat.CompactJSON(chat, seq, entry[at:])
	if err != nil {
		r.t.Fatal(err)
	}
	return entry[:at] + string(event)
}

// TestHeadScan_TailWithoutStreamEntry guards against a chat whose last events wait for its next event, because only the log has them.
func TestHeadScan_TailWithoutStreamEntry(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(r *rig, start func()){
		"while a member owns the partition": func(r *rig, start func()) {
			start()
			r.reading("g")
			r.unstreamed("c")
			r.unstreamed("c")
		},
		"before a member acquires it": func(r *rig, start func()) {
			r.unstreamed("c")
			start()
		},
		"with the stream empty": func(r *rig, start func()) {
			start()
			r.reading("g")
			if err := r.client.Del(r.t.Context(), r.topic()).Err(); err != nil {
				r.t.Fatal(err)
			}
			r.unstreamed("c")
		},
		"after the deletion of an entry": func(r *rig, start func()) {
			r.send(1, "c")
			last, err := r.client.XRevRangeN(r.t.Context(), r.topic(), "+", "-", 1).Result()
			if err != nil || len(last) != 1 {
				r.t.Fatal(last, err)
			}
			if err := r.client.XDel(r.t.Context(), r.topic(), last[0].ID).Err(); err != nil {
				r.t.Fatal(err)
			}
			start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, redistest.Shared(t), 1)
			effects := map[string]*effects{"g": newEffects(), "other": newEffects()}
			var running []*instance
			start := func() {
				for group, e := range effects {
					running = append(running, r.start(beginning(r.config(group)), e.around(nothing)))
				}
			}
			start() // the groups exist
			r.send(5, "c")
			r.send(2, "d")
			for group, e := range effects {
				e.complete(r)
				r.idle(group)
			}
			for _, i := range running {
				i.stop()
			}
			prepare(r, start)
			for group, e := range effects {
				e.complete(r)
				r.idle(group)
			}
			if n := r.counters.Unstreamed.Load(); n == 0 && name != "with the stream empty" {
				t.Error("nothing is counted")
			}
			r.send(1, "c", "d")
			for _, e := range effects {
				e.complete(r)
			}
		})
	}
}

// TestHeadScan_LagCountsTheTail checks that the lag counts the tail until a handler has finished it.
func TestHeadScan_LagCountsTheTail(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	release := make(chan struct{})
	r.start(beginning(r.config("g")), e.around(func(_ context.Context, d ports.Delivery) error {
		if d.ID.Seq > 3 {
			<-release
		}
		return nil
	}))
	r.send(3, "c")
	e.complete(r)
	r.idle("g")
	r.unstreamed("c")
	r.unstreamed("c")
	until(t, "the lag tells of both events", func() bool { l := r.partition("g"); return l.Lag == 2 && l.Behind == 1 })
	close(release)
	e.complete(r)
	r.idle("g")
}

// TestHeadScan_LeavesTheRestAlone checks that a chat counts as complete if its entries are read, or wait for handlers, a decision or the next
// attempt.
func TestHeadScan_LeavesTheRestAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 2)
	log := &comparedLog{Backlog: r.log}
	config := beginning(r.config("g"))
	config.OnPoison, config.Backlog = delivery.Park, log
	e := newEffects()
	i := r.start(config, func(ctx context.Context, d ports.Delivery) error {
		if d.ID.Chat == "refused" {
			return group.Permanent(errRefused)
		}
		return e.around(nothing)(ctx, d)
	})
	r.send(2, "refused")
	e.skip("refused", 2)
	all := chats(50)
	for round := domain.Seq(0); log.pages.Load() < 8; round++ {
		if round == 20_000 {
			t.Fatalf("%d pages of heads are compared", log.pages.Load())
		}
		r.send(3, all...)
		until(t, "a good part is handled", func() bool { return e.done(all[0])+30 >= 3*round })
	}
	e.complete(r)
	e.once(t)
	i.stop()
	if n := r.counters.Unstreamed.Load(); n != 0 {
		t.Errorf("%d events are said to have no entry", n)
	}
}

var errRefused = errors.New("refused")

// comparedLog counts pages of compared heads.
type comparedLog struct {
	ports.Backlog
	pages atomic.Int64
}

func (l *comparedLog) CompareHeads(ctx context.Context, partition int, checkpoints string, cursor uint64, count int) (ports.HeadPage, error) {
	l.pages.Add(1)
	return l.Backlog.CompareHeads(ctx, partition, checkpoints, cursor, count)
}
