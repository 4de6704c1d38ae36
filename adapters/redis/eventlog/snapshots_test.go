package eventlog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// reacting has users of a chat react to one message through the use cases, like one process.
func reacting(t *testing.T, log *eventlog.Log, users int) *app.Queries {
	t.Helper()
	clock := chatcoretest.NewClock(time.Now())
	entities := entity.NewLoader(log, log, 1<<20)
	chats := app.NewChats(log, entities, nil, memory.NewTyping(clock), clock, &counted{}, nil, app.Policy{}, nil)
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	must(chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", MessageID: "hot", Content: "x"}))
	for i := range users {
		user := domain.UserID(fmt.Sprint("user-", i))
		must(chats.Add(t.Context(), domain.Add{Chat: "c", Actor: "ada", User: user}))
		must(chats.React(t.Context(), domain.React{Chat: "c", Actor: user, MessageID: "hot", Emoji: "👍"}))
	}
	for tick := time.NewTicker(time.Millisecond); entities.Stats().SnapshotsPending > 0; <-tick.C { // the number of writes is bounded
	}
	return app.NewQueries(log, entity.NewLoader(log, log, 0), projection.Views{}) // of a process with empty caches
}

// counted generates ids that are numbers.
type counted struct{ n int }

func (c *counted) NewID() string {
	c.n++
	return fmt.Sprint("id-", c.n)
}

func TestAHotMessageIsLoadedInOneStep(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	queries := reacting(t, rig.Open(t, client, rig.NewKeys(t, 2)), 1000)
	if _, err := queries.Chat(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	before := redistest.AllCommands(t, client)["evalsha"]
	m, err := queries.Message(t.Context(), "c", "hot")
	if err != nil || len(m.Reactions) != 1 || len(m.Reactions[0].Users) != 1000 || m.Reactions[0].Users[999] != "user-999" {
		t.Errorf("%d groups, error %v", len(m.Reactions), err)
	}
	// Without snapshots it would take four, of 256 events each.
	if n := redistest.AllCommands(t, client)["evalsha"] - before; n != 1 {
		t.Errorf("it took %d scripts", n)
	}
}

func TestASnapshotThatDoesNotDecodeIsRebuiltAndCounted(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 2))
	reacting(t, log, 600)
	queries := app.NewQueries(log, entity.NewLoader(log, nil, 0), projection.Views{}) // must not replace the snapshots that this test damages
	want, err := queries.Message(t.Context(), "c", "hot")
	if err != nil {
		t.Fatal(err)
	}
	key := ""
	for k, kind := range rig.Kinds(t, client) {
		if kind == "hash" && strings.HasSuffix(k, ":c:s") {
			key = k
		}
	}
	fields, err := client.HGetAll(t.Context(), key).Result()
	if err != nil || len(fields) != 2 {
		t.Fatal(key, fields, err)
	}
	broken := uint64(0)
	for field, value := range fields {
		if !strings.HasPrefix(field, "=") {
			continue
		}
		for _, bad := range []string{"", "{", `{"v":1}`, strings.Replace(value, `"v":2`, `"v":99`, 1), strings.Replace(value, `"v":2`, `"v":1`, 1), `{"v":1,"chat":{"ID":"c"}}`} {
			if err := client.HSet(t.Context(), key, field, bad).Err(); err != nil {
				t.Fatal(err)
			}
			got, err := queries.Message(t.Context(), "c", "hot")
			if err != nil || len(got.Reactions) != 1 || fmt.Sprint(got.Reactions) != fmt.Sprint(want.Reactions) {
				t.Errorf("with the snapshot %.20q: %d groups, error %v", bad, len(got.Reactions), err)
			}
			if broken++; log.UnreadableSnapshots() != broken {
				t.Errorf("%d unreadable snapshots, want %d", log.UnreadableSnapshots(), broken)
			}
		}
	}
	early, err := queries.At(300).Message(t.Context(), "c", "hot")
	if err != nil || len(early.Reactions[0].Users) != 149 { // seqs 4, 6, …, 300
		t.Errorf("as of 300: %d, error %v", len(early.Reactions[0].Users), err)
	}
}

// TestALatestReadMarkCostsOneEvent counts the events that Redis reads, with messages whose content imitates fields.
func TestALatestReadMarkCostsOneEvent(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 1))
	rig.Appended(t, log, rig.Created("c"))
	for i := range 500 {
		a := rig.Sent("c", domain.MessageID(fmt.Sprint("m", i)))
		e, _ := a.Events[0].Event.(domain.MessageNew)
		e.ClientMeta = `{"type":"read:receipt","v":1,"timestamp":"x","seq":1,"ordinal":1,"readSeq":0}`
		a.Events[0].Event = e
		rig.Appended(t, log, a)
	}
	sender := domain.Actor(rig.Sent("c", "x").Events[0].Event)
	before := redistest.AllCommands(t, client)["lindex"]
	loaded, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.ReadEntity(sender), Latest: true})
	if err != nil || len(loaded.Entities[0].Events) != 1 {
		t.Fatalf("%+v, error %v", loaded, err)
	}
	if n := redistest.AllCommands(t, client)["lindex"] - before; n != 1 {
		t.Errorf("it looked at %d events", n)
	}
}
