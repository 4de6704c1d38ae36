package chatcore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// shared returns a client of the shared server.
func shared(t testing.TB) *goredis.Client {
	t.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// keysOfChats returns the content of the keys of a log's chats, by chat and part. Snapshots are left out, and commands without events. unknown are the
// seqs of commands whose fingerprints are left out.
func keysOfChats(t checker, client goredis.UniversalClient, namespace string, partitions int, unknown func(chat domain.ChatID, last string) bool, chats ...domain.ChatID) map[string]any {
	t.Helper()
	ctx := t.Context()
	keys, err := keyspace.New(namespace, partitions, false)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]any)
	for _, chat := range chats {
		for n := 0; ; n++ {
			entries := client.LRange(ctx, keys.Log().Chat(chat, fmt.Sprint(n)), 0, -1).Val()
			if len(entries) == 0 {
				break
			}
			found[fmt.Sprintf("%s:%d", chat, n)] = entries
		}
		index := client.HGetAll(ctx, keys.Log().Chat(chat, "x")).Val()
		for field, value := range index {
			if !strings.HasPrefix(field, " k") {
				continue
			}
			switch parts := strings.Split(value, ":"); {
			case parts[1] == "0":
				delete(index, field)
			case unknown(chat, parts[0]):
				index[field] = parts[0] + ":" + parts[1]
			}
		}
		if len(index) > 0 {
			found[string(chat)+":x"] = index
		}
		found[string(chat)+":u"] = client.HGetAll(ctx, keys.Log().Chat(chat, "u")).Val()
		found[string(chat)+":d"] = client.ZRangeWithScores(ctx, keys.Log().Chat(chat, "d"), 0, -1).Val()
		p := keys.Log().Partition(chat)
		found[string(chat)+" listed"] = client.SIsMember(ctx, keys.Log().Chats(p), string(chat)).Val()
	}
	for p := range partitions {
		if n, count := client.SCard(ctx, keys.Log().Chats(p)).Val(), client.Get(ctx, keys.Log().Count(p)).Val(); fmt.Sprint(n) != count && n > 0 {
			t.Errorf("partition %d has %d chats, and the count %q", p, n, count)
		}
	}
	return found
}

// TestRestore_EqualsTheLog puts random logs into vaults in random ways. A log that is restored at its end has the same keys, to the byte, with any number of
// partitions, and a check of it finds nothing. One that is restored at a moment has the events of that moment.
func TestRestore_EqualsTheLog(t *testing.T) {
	client := shared(t)
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		from, to := "from-"+uuid.NewString(), "to-"+uuid.NewString()
		partitions, others := rapid.IntRange(1, 3).Draw(rt, "partitions"), rapid.IntRange(1, 3).Draw(rt, "other partitions")
		core, err := chatcore.New(ctx, on(t, from, partitions))
		if err != nil {
			rt.Fatal(err)
		}
		defer core.Close() //nolint:errcheck // nothing to lose
		w := newWorkload(core, 2)
		var moments []map[domain.ChatID]domain.Seq
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			w.step(ctx, rt)
			moments = append(moments, w.heads(ctx, rt))
		}
		l := storedLog(rt, client, from, moments)
		l.older = rapid.Bool().Draw(rt, "journals of an older program")
		l.manifest(0, 0)
		tailAt := firstMoment + rapid.Uint64Range(1, uint64(len(moments))).Draw(rt, "tail at")
		l.tails(tailAt, nil, nil)
		l.journal(firstMoment + rapid.Uint64Range(0, tailAt-firstMoment).Draw(rt, "journal from"))

		report, err := chatcore.Restore(ctx, on(t, to, 0), chatcore.RestoreConfig{Vault: l.vault, Partitions: others})
		if err != nil {
			rt.Fatal(err)
		}
		events := 0
		for _, c := range l.chats {
			events += len(c.events)
		}
		if report.Events != events || report.Chats != len(l.chats) || report.Source != l.log || report.Log == l.log || len(report.Ancestors) != 1 || report.Partitions != others {
			rt.Fatalf("report %+v of %d chats with %d events", report, len(l.chats), events)
		}
		unknown := func(chat domain.ChatID, last string) bool {
			i := slices.IndexFunc(l.chats, func(c *archivedChat) bool { return c.id == chat })
			var seq domain.Seq
			_, _ = fmt.Sscan(last, &seq)
			return l.older && seq > l.chats[i].head(tailAt)
		}
		want, got := keysOfChats(rt, client, from, partitions, unknown, w.chats...), keysOfChats(rt, client, to, others, unknown, w.chats...)
		for key := range maps.All(want) {
			if fmt.Sprint(got[key]) != fmt.Sprint(want[key]) {
				rt.Errorf("%s:\n%.2000q\nwant\n%.2000q", key, fmt.Sprint(got[key]), fmt.Sprint(want[key]))
			}
		}
		restored, err := chatcore.New(ctx, on(t, to, others))
		if err != nil {
			rt.Fatal(err)
		}
		defer restored.Close() //nolint:errcheck // nothing to lose
		for c, err := range restored.Fsck(ctx, chatcore.FsckConfig{}) {
			rt.Errorf("%+v %v", c, err)
		}
		w.repeat(ctx, rt, restored, func(chat domain.ChatID, seq domain.Seq) bool { return unknown(chat, fmt.Sprint(seq)) })

		at := rapid.Uint64Range(tailAt, l.end).Draw(rt, "at")
		l.compareAt(rt, client, on(t, "at-"+uuid.NewString(), 0), at)
	})
}

// repeat repeats sends and commands against a restored log: nothing is done twice.
func (w *workload) repeat(ctx context.Context, t checker, core *chatcore.Core, unknown func(domain.ChatID, domain.Seq) bool) {
	t.Helper()
	before := (&workload{core: core, chats: w.chats}).heads(ctx, t)
	for _, send := range w.sends {
		first, err := w.core.Chats.Send(ctx, send)
		again, err2 := core.Chats.Send(ctx, send)
		if fmt.Sprint(err) != fmt.Sprint(err2) || first.Seq != again.Seq {
			t.Errorf("sent again: %v %v, want %v %v", again, err2, first, err)
		}
	}
	for _, rename := range w.titles {
		first, err := w.core.Chats.Rename(ctx, rename)
		again, err2 := core.Chats.Rename(ctx, rename)
		if unknown(rename.Chat, first.Seq) {
			if !errors.Is(err2, domain.ErrCommandReused) {
				t.Errorf("a command of which the vault does not know the fingerprint: %v", err2)
			}
			continue
		}
		if fmt.Sprint(err) != fmt.Sprint(err2) || first.Seq != again.Seq {
			t.Errorf("given again: %v %v, want %v %v", again, err2, first, err)
		}
	}
	if after := (&workload{core: core, chats: w.chats}).heads(ctx, t); !maps.Equal(before, after) {
		t.Errorf("heads %v, and %v after repetitions", before, after)
	}
}

// compareAt restores the log at a moment, and compares its events.
func (l *archivedLog) compareAt(t checker, client goredis.UniversalClient, config chatcore.Config, at uint64) {
	t.Helper()
	ctx := t.Context()
	report, err := chatcore.Restore(ctx, config, chatcore.RestoreConfig{Vault: l.vault, At: time.UnixMilli(int64(at))}) //nolint:gosec // a time
	if err != nil {
		t.Fatal(err)
	}
	want := 0
	config.Log.Partitions = report.Partitions
	restored := storedLog(t, client, config.Redis.Namespace, nil)
	for _, c := range l.chats {
		head := c.head(at)
		if head == 0 {
			continue
		}
		want++
		i := slices.IndexFunc(restored.chats, func(r *archivedChat) bool { return r.id == c.id })
		if i < 0 || !slices.EqualFunc(restored.chats[i].events, c.events[:head], func(a, b object.Event) bool { return string(a.JSON) == string(b.JSON) }) {
			t.Errorf("chat %s at %d has other events", c.id, at)
		}
	}
	if len(restored.chats) != want || report.Moment.UnixMilli() != int64(at) { //nolint:gosec // a time
		t.Errorf("%d chats at %v, want %d", len(restored.chats), report.Moment, want)
	}
	core, err := chatcore.New(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer core.Close() //nolint:errcheck // nothing to lose
	for c, err := range core.Fsck(ctx, chatcore.FsckConfig{}) {
		t.Errorf("%+v %v", c, err)
	}
}
