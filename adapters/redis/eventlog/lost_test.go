package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// attempt is an append of a writer and its outcome.
type attempt struct {
	writer   int
	append   ports.Append
	appended ports.Appended
	err      error
}

// createChats creates the chats of write.
func createChats(t *testing.T, log *eventlog.Log) {
	t.Helper()
	for c := range 4 {
		rig.Appended(t, log, rig.Created(domain.ChatID(fmt.Sprint("chat-", c))))
	}
}

// write has 64 writers append to a few chats until done is closed, or times times: plain sends, messages with another condition, erasures of messages that were just sent,
// and reactions. Reactions have no condition, so a repetition would append them twice.
func write(ctx context.Context, log ports.EventLog, times int, done <-chan struct{}) []attempt {
	const writers, chats = 64, 4
	var mu sync.Mutex
	var all []attempt
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			chat := domain.ChatID(fmt.Sprint("chat-", w%chats))
			var sent ports.Erasure // of the last message that was sent
			for i := 0; i < times; i++ {
				select {
				case <-done:
					return
				default:
				}
				a := ports.Append{Chat: chat, Events: reaction(chat, fmt.Sprintf("%d-%d", w, i)).Events}
				do := log.Append
				switch id := domain.MessageID(fmt.Sprintf("m-%d-%d", w, i)); i % 5 {
				case 0:
					a = rig.Sent(chat, id)
					a.Conditions = []domain.Condition{{Entity: domain.MessageEntity(id)}}
				case 1, 2:
					a = plainSend(chat, id, "ada", 1, 1)
				case 3:
					if eraser, ok := log.(ports.Eraser); ok && sent.Message != "" {
						a, do = sent.Append, func(ctx context.Context, a ports.Append) (ports.Appended, error) {
							erased, err := eraser.Erase(ctx, ports.Erasure{Append: a, Message: sent.Message})
							return erased.Appended, err
						}
					}
				}
				appended, err := do(ctx, a)
				if sent = (ports.Erasure{}); err == nil && i%5 == 2 {
					message, _ := a.Events[0].Event.(domain.MessageNew)
					sent = erasureBy("ada", chat, message.Message, appended.First, appended.First)
				}
				mu.Lock()
				all = append(all, attempt{w, a, appended, err})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return all
}

func reaction(c domain.ChatID, id string) ports.Append {
	e := domain.MessageReaction{Chat: c, Message: "hot", User: domain.UserID("u-" + id), Emoji: "👍", Action: domain.ReactionAdd, At: time.Now()}
	return ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("r-" + id), Event: e, Moves: domain.Moves(e)}}}
}

// check compares the outcomes with the log and the streams.
func check(t *testing.T, log *eventlog.Log, client goredis.UniversalClient, keys keyspace.Keys, all []attempt) {
	t.Helper()
	places := make(map[domain.EventID][]domain.Seq)
	for c := range 4 {
		chat := domain.ChatID(fmt.Sprint("chat-", c))
		var seq domain.Seq
		for {
			page, err := log.Read(t.Context(), chat, ports.Range{From: seq + 1, Limit: ports.MaxPage})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range page.Records {
				if seq++; r.Seq != seq {
					t.Fatalf("chat %s has seq %d after %d", chat, r.Seq, seq-1)
				}
				places[r.ID] = append(places[r.ID], seq)
			}
			if len(page.Records) < ports.MaxPage {
				break
			}
		}
	}
	delivered := make(map[domain.EventID]int)
	for _, partition := range keys.Log().Partitions() {
		stream := partition.Stream
		entries, err := client.XRange(t.Context(), stream, "-", "+").Result()
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			id, _ := entry.Values["_watermill_message_uuid"].(string)
			delivered[domain.EventID(id)]++
		}
	}
	last := make(map[int]domain.Seq)
	published := map[string]int{}
	for _, a := range all {
		id := a.append.Events[0].ID
		at := places[id]
		if len(at) > 1 {
			t.Errorf("event %s is there %d times", id, len(at))
		}
		if len(at) != delivered[id] {
			t.Errorf("event %s is in the log %d times and on the streams %d times", id, len(at), delivered[id])
		}
		switch {
		case a.err == nil:
			published["appended"]++
			if len(at) != 1 || at[0] != a.appended.First {
				t.Errorf("event %s was acknowledged at %d and is at %v", id, a.appended.First, at)
			}
			if a.appended.First <= last[a.writer] {
				t.Errorf("writer %d was given %d after %d", a.writer, a.appended.First, last[a.writer])
			}
			last[a.writer] = a.appended.First
		case errors.Is(a.err, ports.ErrOutcomeUnknown):
			published["unknown"]++
		case errors.Is(a.err, ports.ErrUnavailable):
			published["unavailable"]++
			if len(at) > 0 {
				t.Errorf("event %s was refused and is at %v: %v", id, at, a.err)
			}
		default:
			t.Errorf("event %s: %v", id, a.err)
		}
	}
	t.Logf("told: %v", published)
	if published["appended"] == 0 {
		t.Error("nothing was acknowledged")
	}
}

// TestLostRepliesAreAskedForAgain drops one reply in twenty while Redis runs: every outcome can be determined.
func TestLostRepliesAreAskedForAgain(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	keys := rig.NewKeys(t, 4)
	log := rig.Open(t, rig.Connect(t, proxy.URL()), keys)
	createChats(t, log)
	var n, lost atomic.Int64
	drop := func(piece []byte) bool {
		// Only replies to appends: other calls are repeated by their callers.
		if bytes.HasPrefix(piece, []byte("$")) && n.Add(1)%20 == 0 {
			lost.Add(1)
			return false
		}
		return true
	}
	proxy.Reply.Store(&drop)
	all := write(t.Context(), log, 40, nil)
	proxy.Reply.Store(nil)
	check(t, log, rig.Connect(t, server.URL()), keys, all)
	for _, a := range all {
		if a.err != nil {
			t.Errorf("event %s: %v", a.append.Events[0].ID, a.err)
		}
	}
	if lost.Load() == 0 {
		t.Error("no reply was lost")
	}
}

// TestNoAcknowledgedEventIsLostWhenRedisDies kills and restarts Redis, resets connections and drops replies and requests at random.
func TestNoAcknowledgedEventIsLostWhenRedisDies(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	proxy := redistest.StartProxy(t, server)
	keys := rig.NewKeys(t, 4)
	log := rig.Open(t, rig.Connect(t, proxy.URL()), keys)
	createChats(t, log)
	cut := func([]byte) bool { return rand.IntN(200) > 0 }
	proxy.Reply.Store(&cut)
	proxy.Request.Store(&cut)
	done := make(chan struct{})
	result := make(chan []attempt)
	go func() { result <- write(t.Context(), log, 1<<20, done) }()
	direct := rig.Connect(t, server.URL())
	for range 4 {
		await(t, direct, keys, 300)
		server.Kill()
		server.Restart(t)
	}
	await(t, direct, keys, 300)
	close(done)
	all := <-result
	proxy.Reply.Store(nil)
	proxy.Request.Store(nil)
	check(t, log, direct, keys, all)
}

// await waits until a number of further entries were added to the streams. It does not use their lengths, because appends trim them.
func await(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, more int64) {
	t.Helper()
	added := func() (n int64) {
		for _, partition := range keys.Log().Partitions() {
			if info, err := client.XInfoStream(t.Context(), partition.Stream).Result(); err == nil { // a stream may not exist yet
				n += info.EntriesAdded
			}
		}
		return n
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(wait.Limit)
	for start := added(); added() < start+more; {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatal("no more entries came")
		}
	}
}

// TestASendingThatArrivesLateDoesNothing delays an append until its caller has sent it again. A plain send is sent again by the other script.
func TestASendingThatArrivesLateDoesNothing(t *testing.T) {
	appending := func(a ports.Append) func(*eventlog.Log) (ports.Appended, error) {
		return func(log *eventlog.Log) (ports.Appended, error) { return log.Append(t.Context(), a) }
	}
	t.Run("append", func(t *testing.T) { arrivesLate(t, 1, appending(reaction("chat-0", "late"))) })
	t.Run("send", func(t *testing.T) { arrivesLate(t, 1, appending(plainSend("chat-0", "r-late", "ada", 1, 1))) })
	for name, command := range map[string]domain.Entity{"erase": {}, "erase by a recorded command": domain.CommandEntity("ada", "erase")} {
		t.Run(name, func(t *testing.T) {
			arrivesLate(t, 2, func(log *eventlog.Log) (ports.Appended, error) {
				e := erasureBy("ada", "chat-0", "first", 2, 2)
				e.Events[0].ID, e.Command = "r-late", command
				erased, err := log.Erase(t.Context(), e)
				return erased.Appended, err
			})
		})
	}
}

func arrivesLate(t *testing.T, events int, do func(*eventlog.Log) (ports.Appended, error)) {
	t.Helper()
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	client, err := conn.Connect(t.Context(), conn.Options{URL: proxy.URL(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	keys := rig.NewKeys(t, 1)
	log := rig.Open(t, client, keys)
	rig.Appended(t, log, rig.Created("chat-0"))
	rig.Appended(t, log, plainSend("chat-0", "first", "ada", 1, 1)) // so that Redis has the scripts
	rig.Appended(t, log, plainSend("chat-0", "other", "ada", 1, 1))
	eraseMessage(t, log, "chat-0", "other", 3, "ada")
	release, answer := make(chan struct{}), make(chan []byte, 1)
	var held atomic.Bool
	hold := func(piece []byte) bool {
		if bytes.Contains(piece, []byte("r-late")) && held.CompareAndSwap(false, true) {
			<-release
		}
		return true
	}
	proxy.Request.Store(&hold)
	first, err := do(log)
	if err != nil || !held.Load() {
		t.Fatalf("held back %v, error %v", held.Load(), err)
	}
	listen := func(piece []byte) bool { // nothing else is in flight
		answer <- bytes.Clone(piece)
		return true
	}
	proxy.Reply.Store(&listen)
	close(release)
	select {
	case said := <-answer:
		if !bytes.Contains(said, []byte("-2")) {
			t.Errorf("the late sending was answered with %q", said)
		}
	case <-time.After(wait.Limit):
		t.Fatal("the late sending was not answered")
	}
	proxy.Reply.Store(nil)
	page, err := log.Read(t.Context(), "chat-0", ports.Range{From: 1, Limit: 10})
	if err != nil || len(page.Records) != 5+events || page.Records[5].Seq != first.First {
		t.Errorf("%d events after the late sending, error %v", len(page.Records), err)
	}
}

// TestContentIsNoEarlierSending cuts the connection before an append arrives. The message that it edits has content that names the edit's event id.
func TestContentIsNoEarlierSending(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	log := rig.Open(t, rig.Connect(t, proxy.URL()), rig.NewKeys(t, 1))
	rig.Appended(t, log, rig.Created("chat-0"))
	victim := rig.Sent("chat-0", "m")
	e, _ := victim.Events[0].Event.(domain.MessageNew)
	e.ClientMeta = `{"eventId":"edit-1"}`
	victim.Events[0].Event = e
	rig.Appended(t, log, victim)
	var cut atomic.Bool
	once := func(piece []byte) bool {
		return !bytes.Contains(piece, []byte("edit-1")) || !cut.CompareAndSwap(false, true)
	}
	proxy.Request.Store(&once)
	edit := domain.MessageEdit{Chat: "chat-0", Message: "m", Editor: e.Sender, Content: "edited", Revision: 1, At: time.Now()}
	got, err := log.Append(t.Context(), ports.Append{Chat: "chat-0", Events: []ports.NewEvent{{ID: "edit-1", Event: edit, Moves: domain.Moves(edit)}}})
	if err != nil || !cut.Load() || got.First != 3 {
		t.Fatalf("cut %v, appended %+v, error %v", cut.Load(), got, err)
	}
}
