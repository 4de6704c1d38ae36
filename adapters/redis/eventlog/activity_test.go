package eventlog_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/view"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

func activity(chat domain.ChatID, seq domain.Seq) ports.ActivityEntry {
	return ports.ActivityEntry{Chat: chat, LastMessage: ports.LastMessage{Seq: seq, At: time.UnixMilli(1_700_000_000_000 + int64(seq)).UTC()}} //nolint:gosec // small
}

// TestActivityIndex writes entries late, again, by a rebuild, and over invalid values, in chats of several partitions.
func TestActivityIndex(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) { testActivityIndex(t, client, rig.NewKeys(t, 4)) })
}

func testActivityIndex(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	t.Helper()
	partitions := slices.DeleteFunc(keys.Log().Partitions(), func(l keyspace.Partition) bool { return l.Number < 0 })
	log, ctx := rig.Open(t, client, keys), t.Context()
	chats := make([]domain.ChatID, 1200)
	entries := make([]ports.ActivityEntry, len(chats))
	for i := range chats {
		chats[i] = domain.ChatID(fmt.Sprint("c", i))
		entries[i] = activity(chats[i], 10)
	}
	check := func(want domain.Seq) {
		t.Helper()
		found, err := log.IndexedLastMessages(ctx, append([]domain.ChatID{"none"}, chats...)...)
		if err != nil || len(found) != len(chats)+1 || found[0].Seq != 0 {
			t.Fatalf("%d entries, error %v", len(found), err)
		}
		for i, m := range found[1:] {
			if m != activity(chats[i], want).LastMessage && (want > 0 || m.Seq != 0) {
				t.Fatalf("chat %d has %+v, want seq %d", i, m, want)
			}
		}
	}
	put := func(seq domain.Seq, replace bool) {
		t.Helper()
		for i := range entries {
			entries[i] = activity(chats[i], seq)
			entries[i].Replace = replace
		}
		if err := log.IndexLastMessages(ctx, entries...); err != nil {
			t.Fatal(err)
		}
	}
	check(0)
	put(10, false)
	check(10)
	put(9, false) // a late batch
	check(10)
	put(11, false)
	check(11)
	put(5, true)
	check(5)
	checkBehind(t, log, chats[:3])
	for _, partition := range partitions {
		client.Del(ctx, partition.Base+"last")
		client.Set(ctx, partition.Base+"last", "foreign", 0)
	}
	check(0)
	put(3, false)
	check(3)
	for _, partition := range partitions {
		for i := range chats {
			client.HSet(ctx, partition.Base+"last", string(chats[i]), "7")
		}
	}
	check(0)
	put(4, false)
	check(4)
	for _, partition := range partitions {
		client.Set(ctx, partition.Base+"id", "another log", 0)
	}
	if err := log.IndexLastMessages(ctx, entries...); !errors.Is(err, ports.ErrLogLost) {
		t.Errorf("on another log: error %v", err)
	}
}

// checkBehind marks chats whose entries are at seq 5, and removes the mark with and without a message.
func checkBehind(t *testing.T, log *eventlog.Log, chats []domain.ChatID) {
	t.Helper()
	step := func(wantSeq domain.Seq, wantBehind bool, entry func(domain.ChatID) ports.ActivityEntry) {
		t.Helper()
		entries := []ports.ActivityEntry{{Chat: "none", LastMessage: ports.LastMessage{Behind: true}}}
		for _, c := range chats {
			entries = append(entries, entry(c))
		}
		if err := log.IndexLastMessages(t.Context(), entries...); err != nil {
			t.Fatal(err)
		}
		found, err := log.IndexedLastMessages(t.Context(), append([]domain.ChatID{"none"}, chats...)...)
		if err != nil || found[0] != (ports.LastMessage{}) {
			t.Fatalf("%+v, error %v", found, err)
		}
		for i, m := range found[1:] {
			want := activity(chats[i], wantSeq).LastMessage
			if want.Behind = wantBehind; m != want {
				t.Errorf("%+v, want %+v", m, want)
			}
		}
	}
	mark := func(behind bool) func(domain.ChatID) ports.ActivityEntry {
		return func(c domain.ChatID) ports.ActivityEntry {
			return ports.ActivityEntry{Chat: c, LastMessage: ports.LastMessage{Behind: behind}}
		}
	}
	message := func(seq domain.Seq) func(domain.ChatID) ports.ActivityEntry {
		return func(c domain.ChatID) ports.ActivityEntry { return activity(c, seq) }
	}
	step(5, true, mark(true))
	step(5, true, message(4))
	step(5, false, mark(false))
	step(5, true, mark(true))
	step(5, false, message(5))
}

// TestActivityIndex_PageOfManyChats compares the cost of the first page of a user in 20,000 chats with its cost when the user was only in the page's
// chats.
func TestActivityIndex_PageOfManyChats(t *testing.T) {
	const many, limit = 20_000, 50
	m := newMetered(t)
	keys, client := m.keys, m.client
	last := keys.Log().Partitions()[0].Base + "last"
	chats := view.NewUserChats(m.direct, keys.Views())
	builtins := projection.NewBuiltins(projection.NewModels(m.filler, entity.NewLoader(m.filler, nil, 0), projection.Views{Log: m.log.ID(), Chats: chats}), nil, true)
	var want []domain.ChatID
	for i := range limit {
		chat := domain.ChatID(fmt.Sprint("top-", limit-i))
		m.fill(chat, domain.ChatUpdate{Chat: chat, Actor: "ada", Change: domain.Created, Title: "t", At: time.Now()})
		sentAt := domain.MessageNew{Chat: chat, Message: "m", Sender: "ada", Content: "x", At: time.Now().Add(-time.Duration(i) * time.Minute)}
		m.fill(chat, sentAt)
		batch := &ports.ChatBatch{}
		page, err := m.filler.Read(t.Context(), chat, ports.Range{Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page.Records {
			batch.Deliveries = append(batch.Deliveries, ports.Delivery{ID: ports.DeliveryID{Log: m.log.ID(), Chat: chat, Seq: r.Seq, Event: r.ID}, Event: r.Event})
		}
		if builtins.HandleBatch(t.Context(), []*ports.ChatBatch{batch}); batch.Err != nil || batch.Done != 2 {
			t.Fatalf("%d handled, error %v", batch.Done, batch.Err)
		}
		want = append(want, chat)
	}
	reading := view.NewUserChats(client, keys.Views())
	page := func(more bool) (c cost, hmgets int) {
		t.Helper()
		hmgets = redistest.AllCommands(t, m.direct)["hmget"]
		c = m.cost(func(*app.Queries) error {
			q := app.NewQueries(m.log, entity.NewLoader(m.log, nil, 0), projection.Views{Log: m.log.ID(), Chats: reading})
			list, err := q.ChatListPage(t.Context(), "ada", domain.Page{Limit: limit})
			for i, chat := range list.Items {
				if chat.ID != want[i] || chat.Last == nil || !chat.LastAt.Equal(chat.Last.SentAt) {
					t.Errorf("place %d has %+v, want %s", i, chat, want[i])
				}
			}
			if len(list.Items) != limit || (list.Next != "") != more {
				t.Errorf("%d items, cursor %q", len(list.Items), list.Next)
			}
			return err
		})
		return c, redistest.AllCommands(t, m.direct)["hmget"] - hmgets
	}
	few, hmgetsOfFew := page(false)
	old := make([]ports.ActivityEntry, many-limit)
	puts := make([]ports.ChatEntries, len(old))
	for i := range old { // these chats are not in the log: the index does not prove that a chat exists, and the order takes no reads of the log
		chat := domain.ChatID("chat-" + strconv.Itoa(i))
		old[i], puts[i] = activity(chat, 2), ports.ChatEntries{Chat: chat, Entries: []ports.UserEntry{{User: "ada", Version: 1, Number: 1}}}
	}
	if err := errors.Join(m.filler.IndexLastMessages(t.Context(), old...), chats.Put(t.Context(), m.log.ID(), puts...)); err != nil {
		t.Fatal(err)
	}
	all, hmgets := page(true)
	if all.scripts != few.scripts || all.lookups != few.lookups || hmgets != hmgetsOfFew+many/1000-1 || all.bytes > few.bytes+60*many {
		t.Errorf("a user in %d chats: %+v and %d HMGETs, in %d chats: %+v and %d", many, all, hmgets, limit, few, hmgetsOfFew)
	}
	for _, chat := range want[10:20] {
		m.direct.HDel(t.Context(), last, string(chat))
	}
	some, _ := page(true)
	if some.scripts != all.scripts+2 { // one that reads the last messages and one that writes them
		t.Errorf("with 10 chats missing: %d scripts, before %d", some.scripts, all.scripts)
	}
	if again, _ := page(true); again.scripts != all.scripts {
		t.Errorf("after that: %d scripts, before %d", again.scripts, all.scripts)
	}
}
