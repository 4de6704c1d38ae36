package eventlog_test

import (
	"context"
	"crypto/sha1" //nolint:gosec // the digest of the script
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
)

// openKnowing opens a log in a program that knows levels up to known. It creates a new log at that level.
func openKnowing(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, known int) *eventlog.Log {
	t.Helper()
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, Announce: true, AnnouncePartitions: true, KnownLevel: known})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func raiseLevel(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	t.Helper()
	if steps, err := eventlog.Upgrade(t.Context(), client, keys, eventlog.UpgradeConfig{}); err != nil || len(steps) == 0 {
		t.Fatalf("%d steps, error %v", len(steps), err)
	}
}

// halfUpgraded is a log that is created at level 2 and raised to the present level before one of its first appends.
type halfUpgraded struct {
	*eventlog.Log
	raise func()
	left  atomic.Int32 // appends before the level is raised
}

//nolint:gochecknoglobals // each log is raised at another append
var logsOpened atomic.Int32

func openHalfUpgraded(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) *halfUpgraded {
	t.Helper()
	openKnowing(t, client, keys, 2)
	log := &halfUpgraded{Log: openKnowing(t, client, keys, eventlog.Level), raise: func() { raiseLevel(t, client, keys) }}
	log.left.Store(logsOpened.Add(1) % 9)
	return log
}

func (l *halfUpgraded) next() {
	if l.left.Add(-1) == 0 {
		l.raise()
	}
}

func (l *halfUpgraded) Append(ctx context.Context, a ports.Append) (ports.Appended, error) {
	l.next()
	return l.Log.Append(ctx, a)
}

func (l *halfUpgraded) AppendBatch(ctx context.Context, appends []ports.Append) ([]ports.Outcome, error) {
	l.next()
	return l.Log.AppendBatch(ctx, appends)
}

func TestEventLog_HalfUpgraded(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	porttest.EventLog(t, func(t *testing.T) porttest.Log { return openHalfUpgraded(t, client, rig.NewKeys(t, 2)) })
}

func TestEventLog_BelowTheCompactForm(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	porttest.EventLog(t, func(t *testing.T) porttest.Log { return openKnowing(t, client, rig.NewKeys(t, 2), 2) })
}

// aLog is everything that readers get of a chat.
func aLog(t *testing.T, log *eventlog.Log, chat domain.ChatID) (seen []any) {
	t.Helper()
	add := func(v any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, v)
	}
	for from := domain.Seq(1); from < 3000; from += 1000 {
		add(log.Read(t.Context(), chat, ports.Range{From: from, Limit: 1000}))
	}
	for _, r := range []ports.Range{{Limit: 60}, {Limit: 60, Backward: true}, {Limit: 60, Backward: true, From: 1500}, {Limit: 7, Backward: true, From: 900}} {
		for _, f := range []ports.Filter{{Messages: true}, {Tombstones: true}, {User: "u1"}} {
			add(log.Search(t.Context(), chat, f, r))
		}
	}
	for _, user := range []domain.UserID{"ada", "u0", "u1", "u2", "u3", "u4"} {
		add(log.CountUnread(t.Context(), user, chat))
		add(log.Load(t.Context(), chat, ports.LoadRequest{Entity: domain.ReadEntity(user), Latest: true}, ports.LoadRequest{Entity: domain.MemberEntity(user), Until: 1100}))
	}
	add(log.Load(t.Context(), chat, ports.LoadRequest{Entity: domain.MessageEntity("m1")}, ports.LoadRequest{Entity: domain.ReactionsEntity("m0"), Net: true}, ports.LoadRequest{Entity: domain.ReactionsEntity("m0"), Until: 300}))
	add(log.LastMessages(t.Context(), chat))
	add(log.LastRecords(t.Context(), chat))
	pages, _, err := log.ReadRaw(t.Context(), 0, "", []ports.EventRange{{Chat: chat, From: 1, Limit: 5000}})
	add(pages, err)
	return seen
}

// TestRewrite_KeepsTheLog writes a log at level 2, raises it, continues it and rewrites its closed segments: readers see the same before and after, the
// stream's bytes come back, and fsck finds nothing at any step.
func TestRewrite_KeepsTheLog(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)
	openKnowing(t, client, keys, 2)
	log := openKnowing(t, client, keys, eventlog.Level)
	random := rand.New(rand.NewPCG(5, 6)) //nolint:gosec // reproducible
	r := &readers{
		chat: "c", messages: map[domain.MessageID]domain.Seq{}, deleted: map[domain.MessageID]bool{},
		since: map[domain.UserID]domain.Seq{}, mark: map[domain.UserID]domain.Seq{}, moves: map[domain.UserID]int{}, marks: map[domain.UserID][]domain.Seq{},
	}
	record := func(to domain.Seq) {
		t.Helper()
		for r.head < to {
			var batch []ports.Append
			for range 16 {
				e := r.draw(random, int(r.head)) //nolint:gosec // small
				if r.head == 0 {
					e = domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created, At: time.Now()}
				}
				batch = append(batch, ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e", r.head)), Event: e, Moves: domain.Moves(e)}}})
				r.apply(e)
			}
			if outcomes, err := log.AppendBatch(t.Context(), batch); err != nil || outcomes[0].Err != nil {
				t.Fatal(outcomes, err)
			}
		}
	}
	sound := func(when string) {
		t.Helper()
		for _, repair := range []bool{false, true} {
			err := log.Fsck(t.Context(), eventlog.FsckConfig{Repair: repair, Report: func(c ports.Contradiction) error {
				t.Errorf("%s: %+v", when, c)
				return nil
			}})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	record(1500)
	if _, err := eventlog.Rewrite(t.Context(), client, keys, nil); err == nil {
		t.Error("a log at level 2 is rewritten")
	}
	before := aLog(t, log, "c")
	raiseLevel(t, client, keys)
	if after := aLog(t, log, "c"); !reflect.DeepEqual(after, before) {
		t.Error("readers see another log after the upgrade")
	}
	sound("raised")
	record(2200)
	sound("continued")
	before = aLog(t, log, "c")
	segment := keys.Log().Chat("c", "0")
	old := client.LRange(t.Context(), segment, 0, -1).Val()
	done, err := eventlog.Rewrite(t.Context(), client, keys, nil)
	if err != nil || done.Segments != 2 || done.Rewritten != 2 || done.Events < 1400 || done.Saved < 100*1400 || done.Changed > 0 {
		t.Fatalf("%+v, error %v", done, err)
	}
	now := client.LRange(t.Context(), segment, 0, -1).Val()
	for i, entry := range now {
		links, form, _ := strings.Cut(entry, "{")
		if !strings.HasPrefix(form, "\x02") || !strings.HasPrefix(old[i], links+"{") {
			t.Fatalf("entry %d is %q, and was %q", i, entry, old[i])
		}
	}
	if after := aLog(t, log, "c"); !reflect.DeepEqual(after, before) {
		t.Error("readers see another log after the rewrite")
	}
	sound("rewritten")
	if again, err := eventlog.Rewrite(t.Context(), client, keys, nil); err != nil || again.Rewritten+again.Changed > 0 || again.Segments != 2 {
		t.Errorf("a second rewrite: %+v, error %v", again, err)
	}
	if left := client.Keys(t.Context(), keys.Prefix()+"*rewrite*").Val(); len(left) > 0 || client.TTL(t.Context(), segment).Val() != -1 {
		t.Errorf("left are %v, and the segment expires in %v", left, client.TTL(t.Context(), segment).Val())
	}
	record(2400)
	sound("continued after the rewrite")
}

func TestScript_Rewrite(t *testing.T) {
	digests := ""
	for from := 1; from <= 1024; from += 128 {
		entries := ""
		for i := from; i < from+128; i++ {
			entries += fmt.Sprint("e", i)
		}
		sum := sha1.Sum([]byte(entries)) //nolint:gosec // see the import
		digests += " " + hex.EncodeToString(sum[:])
	}
	list := "; EVAL for·i=1,1024·do·redis.call('RPUSH',KEYS[1],'n'..i)·end·return·1 1 p:new; EXPIRE p:new 60"
	args := "L c 0" + digests
	rig.RunScript(t, eventlog.Sources()["rewrite"], []rig.ScriptCase{
		{Name: "a closed segment", Setup: segments(1025) + list, Keys: "p:id p:new", Args: args, Reply: "1", After: "LINDEX p:c:0 0 = n1; LLEN p:c:0 = 1024; TTL p:c:0 = -1; EXISTS p:new = 0"},
		{Name: "the segment of the head", Setup: segments(1024) + list, Keys: "p:id p:new", Args: args, Reply: "0"},
		{Name: "an entry that has changed", Setup: segments(1025) + list + "; LSET p:c:0 700 x", Keys: "p:id p:new", Args: args, Reply: "0"},
		{Name: "a list that is short", Setup: segments(1025) + list + "; RPOP p:new", Keys: "p:id p:new", Args: args, Reply: "0"},
		{Name: "a segment that is short", Setup: segments(1025) + list + "; RPOP p:c:0", Keys: "p:id p:new", Args: args, Reply: "0"},
		{Name: "no head", Setup: segments(1025) + list + "; DEL p:c:x", Keys: "p:id p:new", Args: args, Reply: "0"},
		{Name: "another log", Setup: strings.Replace(segments(1025), "SET p:id L", "SET p:id M", 1) + list, Keys: "p:id p:new", Args: args, Reply: "-1"},
	})
}
