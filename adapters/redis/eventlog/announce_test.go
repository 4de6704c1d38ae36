package eventlog_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// listener collects the announcements on the channels of all partitions.
type listener struct {
	t      *testing.T
	client goredis.UniversalClient
	keys   keyspace.Keys
	mu     sync.Mutex // mu guards heard
	heard  map[string][]string
}

func newListener(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) *listener {
	t.Helper()
	l := &listener{t: t, client: client, keys: keys, heard: make(map[string][]string)}
	subscribe := client.Subscribe
	if keys.Cluster() {
		subscribe = client.SSubscribe
	}
	for p := range keys.PartitionCount() { // one subscription each: on a Cluster the channels are on different nodes
		subscription := subscribe(t.Context(), keys.Log().Live(p))
		t.Cleanup(func() { _ = subscription.Close() })
		if _, err := subscription.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
		go func() {
			for m := range subscription.Channel(goredis.WithChannelSize(10_000)) {
				l.mu.Lock()
				l.heard[m.Channel] = append(l.heard[m.Channel], m.Payload)
				l.mu.Unlock()
			}
		}()
	}
	return l
}

// events returns the number of events that were announced in a partition.
func (l *listener) events(p int) (n int) {
	for _, a := range l.announcements(p) {
		n += len(a.Events)
	}
	return n
}

func (l *listener) announcements(p int) []wireformat.Announcement {
	l.mu.Lock()
	defer l.mu.Unlock()
	texts := l.heard[l.keys.Log().Live(p)]
	found := make([]wireformat.Announcement, len(texts))
	for i, text := range texts {
		if err := found[i].Parse(text); err != nil {
			l.t.Errorf("partition %d: %v", p, err)
		}
		if len(text) > wireformat.MaxAnnouncement && len(found[i].Events) > 1 {
			l.t.Errorf("partition %d: an announcement of %d events has %d bytes", p, len(found[i].Events), len(text))
		}
	}
	return found
}

// isTheStream waits until all events of the streams were announced. It then compares the announcements with the streams: the events, and the ids before
// them, which chain the announcements.
func (l *listener) isTheStream() {
	l.t.Helper()
	for p := range l.keys.PartitionCount() {
		entries, err := l.client.XRange(l.t.Context(), l.keys.Log().Stream(p), "-", "+").Result()
		if err != nil {
			l.t.Fatal(err)
		}
		ours := 0
		for _, e := range entries {
			if e.Values[wireformat.FieldChat] != nil {
				ours++
			}
		}
		wait.Until(l.t, fmt.Sprintf("announcements of partition %d", p), func() bool { return l.events(p) >= ours })
		at, previous := 0, "0-0"
		for _, a := range l.announcements(p) {
			for at < len(entries) && entries[at].Values[wireformat.FieldChat] == nil { // of another program, which does not announce
				previous = entries[at].ID
				at++
			}
			if a.Previous.String() != previous {
				l.t.Errorf("partition %d: the announcement of %v follows %s, want %s", p, a.Events[0].ID, a.Previous, previous)
			}
			for _, e := range a.Events {
				if at == len(entries) {
					l.t.Fatalf("partition %d: %v is announced, and not in the stream", p, e)
				}
				values := entries[at].Values
				if e.ID.String() != entries[at].ID || string(e.Chat) != values["chat"] || fmt.Sprint(e.Seq) != values["seq"] || string(e.JSON) != values["payload"] {
					l.t.Fatalf("partition %d: announced %s %d %s %s, the stream has %v", p, e.ID, e.Seq, e.Chat, e.JSON, entries[at])
				}
				previous = entries[at].ID
				at++
			}
		}
		if at < len(entries) {
			l.t.Errorf("partition %d: %d of %d entries were announced", p, at, len(entries))
		}
	}
}

// customOf is a custom event with so many bytes of text.
func customOf(chat domain.ChatID, bytes int) ports.NewEvent {
	e := domain.Custom{Chat: chat, Type: "poll:voted", Version: 1, Actor: "ada", Data: `{"x":"` + strings.Repeat("x", bytes) + `"}`, At: rig.Now()}
	return ports.NewEvent{ID: domain.EventID(uuid.NewString()), Event: e, Moves: domain.Moves(e)}
}

// randomAppend is a message, a custom event or several of them in a chat. Some are so large that a batch needs several announcements.
func randomAppend(r *rand.Rand, chat domain.ChatID) ports.Append {
	if r.IntN(3) == 0 {
		return rig.Sent(chat, domain.MessageID(uuid.NewString()))
	}
	a := ports.Append{Chat: chat}
	for range 1 + r.IntN(4) {
		a.Events = append(a.Events, customOf(chat, []int{0, 100, 20_000, 64<<10 - 400}[r.IntN(4)]))
	}
	return a
}

// testAnnouncements appends at random, alone and in batches, some of which fail.
func testAnnouncements(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	log := rig.Open(t, client, keys)
	l := newListener(t, client, keys)
	chats := make([]domain.ChatID, 12)
	for i := range chats {
		chats[i] = domain.ChatID(fmt.Sprintf("room:%d", i))
		rig.Appended(t, log, rig.Created(chats[i]))
	}
	var writers sync.WaitGroup
	for w := range uint64(4) {
		writers.Go(func() {
			r := rand.New(rand.NewPCG(w, 1)) //nolint:gosec // a test
			for range 15 {
				var batch []ports.Append
				for range 1 + r.IntN(8) {
					chat := chats[r.IntN(len(chats))]
					batch = append(batch, randomAppend(r, chat))
					if r.IntN(4) == 0 {
						batch = append(batch, rig.Created(chat)) // fails: it exists
						batch[len(batch)-1].Conditions = []domain.Condition{{Entity: domain.ChatEntity()}}
					}
				}
				if _, err := log.AppendBatch(context.WithoutCancel(t.Context()), batch); err != nil {
					t.Error(err)
				}
				if _, err := log.Append(context.WithoutCancel(t.Context()), randomAppend(r, chats[r.IntN(len(chats))])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	l.isTheStream()

	// An entry of another program is the one before the next announcement.
	for p := range keys.PartitionCount() {
		if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: keys.Log().Stream(p), Values: []string{"payload", "{}"}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, chat := range chats {
		rig.Appended(t, log, rig.Sent(chat, "last"))
	}
	for p := range keys.PartitionCount() { // a partition without a chat has only the foreign entry
		if client.XLen(t.Context(), keys.Log().Stream(p)).Val() == 1 {
			client.Del(t.Context(), keys.Log().Stream(p))
		}
	}
	l.isTheStream()
}

func TestAnnouncements_AreTheStream(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		for _, partitions := range []int{1, 5} {
			t.Run(fmt.Sprint(partitions), func(t *testing.T) { testAnnouncements(t, client, rig.NewKeys(t, partitions)) })
		}
	})
}

func TestAnnouncements_OnACluster(t *testing.T) {
	cluster := redistest.StartCluster(t, 3)
	testAnnouncements(t, rig.Connect(t, cluster.URL()), rig.ClusterKeys(t))
}

// TestAnnouncements_FollowTheSettings appends under each setting of the log, and counts the messages on the channels of types and of partitions.
func TestAnnouncements_FollowTheSettings(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		for _, want := range []struct {
			config               eventlog.Config
			types, announcements int
		}{
			{eventlog.Config{Announce: true, AnnouncePartitions: true}, 3, 2},
			{eventlog.Config{Announce: true}, 3, 0},
			{eventlog.Config{AnnouncePartitions: true}, 0, 2},
			{eventlog.Config{}, 0, 0},
		} {
			keys := rig.NewKeys(t, 1)
			want.config.Keys = keys
			log, err := eventlog.Open(t.Context(), client, wireformat.New(), want.config)
			if err != nil {
				t.Fatal(err)
			}
			heard := client.PSubscribe(t.Context(), keys.Prefix()+"*")
			if _, err := heard.Receive(t.Context()); err != nil {
				t.Fatal(err)
			}
			subscribeLive(t, client, keys)
			rig.Appended(t, log, rig.Created("c"))
			rig.Appended(t, log, ports.Append{Chat: "c", Events: []ports.NewEvent{rig.Sent("c", "m").Events[0], customOf("c", 1)}})
			if err := client.Publish(t.Context(), keys.Prefix()+"end", "").Err(); err != nil {
				t.Fatal(err)
			}
			count := make(map[string]int)
			for count[keys.Prefix()+"end"] == 0 {
				m, err := heard.ReceiveMessage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				count[m.Channel]++
			}
			_ = heard.Close()
			types := count[keys.Channel("chat:update")] + count[keys.Channel("message:new")] + count[keys.Channel("poll:voted")]
			if live := count[keys.Log().Live(0)]; types != want.types || live != want.announcements {
				t.Errorf("%+v: %d messages on the channels of types and %d announcements, want %d and %d", want.config, types, live, want.types, want.announcements)
			}
		}
	})
}

// subscribeLive subscribes to the channels of all partitions: a channel without a subscriber gets no announcement.
func subscribeLive(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys) {
	t.Helper()
	channels := make([]string, keys.PartitionCount())
	for p := range channels {
		channels[p] = keys.Log().Live(p)
	}
	subscription := client.Subscribe(t.Context(), channels...)
	t.Cleanup(func() { _ = subscription.Close() })
	for range channels {
		if _, err := subscription.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAnnouncements_Commands counts the commands of a batch of two commands in one partition and one in another.
func TestAnnouncements_Commands(t *testing.T) {
	for _, want := range []struct {
		partitions, types, subscribed    bool
		pubsub, xrevrange, xlen, publish int
	}{
		{partitions: true, subscribed: true, pubsub: 2, xrevrange: 2, publish: 2},
		{partitions: true, types: true, subscribed: true, pubsub: 2, xrevrange: 2, publish: 5},
		{partitions: true, pubsub: 2, xlen: 2},
		{partitions: true, types: true, pubsub: 2, xlen: 2, publish: 3},
		{types: true, subscribed: true, xlen: 2, publish: 3},
	} {
		client := rig.Connect(t, redistest.Start(t).URL())
		keys := rig.NewKeys(t, 2)
		log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, Announce: want.types, AnnouncePartitions: want.partitions})
		if err != nil {
			t.Fatal(err)
		}
		other := domain.ChatID("d")
		for i := 0; keys.Partition(other) == keys.Partition("c"); i++ {
			other = domain.ChatID(fmt.Sprint("d", i))
		}
		if want.subscribed {
			subscribeLive(t, client, keys)
		}
		if err := client.Do(t.Context(), "CONFIG", "RESETSTAT").Err(); err != nil {
			t.Fatal(err)
		}
		outcomes, err := log.AppendBatch(t.Context(), []ports.Append{rig.Created("c"), rig.Created(other), rig.Sent("c", "m")})
		if err != nil || outcomes[0].Err != nil || outcomes[1].Err != nil || outcomes[2].Err != nil {
			t.Fatalf("%v, error %v", outcomes, err)
		}
		all := redistest.AllCommands(t, client)
		for command, n := range map[string]int{"pubsub|numsub": want.pubsub, "xrevrange": want.xrevrange, "xlen": want.xlen, "publish": want.publish} {
			if calls := all[command]; calls != n {
				t.Errorf("partitions %t, types %t, subscribed %t: %d %s, want %d", want.partitions, want.types, want.subscribed, calls, command, n)
			}
		}
	}
}
