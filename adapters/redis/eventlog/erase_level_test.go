package eventlog_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// appendEvents appends events in one batch.
func appendEvents(t *testing.T, log *eventlog.Log, events ...domain.Durable) {
	t.Helper()
	batch := make([]ports.Append, len(events))
	for i, e := range events {
		batch[i] = ports.Append{Chat: e.ChatID(), Events: []ports.NewEvent{{ID: domain.EventID(uuid.NewString()), Event: e, Moves: domain.Moves(e)}}}
	}
	outcomes, err := log.AppendBatch(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for _, outcome := range outcomes {
		if outcome.Err != nil {
			t.Fatal(outcome.Err)
		}
	}
}

// eraseMessage deletes a message and erases its content, as one command does.
func eraseMessage(t *testing.T, log *eventlog.Log, chat domain.ChatID, m domain.MessageID, sent domain.Seq, by domain.UserID) {
	t.Helper()
	meta := ports.Meta{CorrelationID: uuid.NewString()}
	e := ports.Erasure{Message: m, Append: ports.Append{Chat: chat}}
	for _, event := range []domain.Durable{
		domain.MessageDelete{Chat: chat, Message: m, By: by, Sent: sent, At: time.Now()}, domain.MessageErased{Chat: chat, Message: m, Sent: sent, By: by, At: time.Now()},
	} {
		e.Events = append(e.Events, ports.NewEvent{ID: domain.EventID(uuid.NewString()), Event: event, Moves: domain.Moves(event), Meta: meta})
	}
	if _, err := log.Erase(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

// jsonEntries returns the seqs of a chat's entries that have JSON.
func jsonEntries(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, chat domain.ChatID) (seqs []int) {
	t.Helper()
	for segment := 0; ; segment++ {
		entries := client.LRange(t.Context(), keys.Log().Chat(chat, fmt.Sprint(segment)), 0, -1).Val()
		if len(entries) == 0 {
			return seqs
		}
		for i, entry := range entries {
			if _, event, _ := strings.Cut(entry, "{"); !strings.HasPrefix(event, "\x02") {
				seqs = append(seqs, segment*1024+i+1)
			}
		}
	}
}

// TestErase_FormByLevel erases below level 4, where older programs read the log: erased forms and message:erased are JSON, also after a rewrite. From level 4 on both are
// compact. Readers see the same log at each step.
func TestErase_FormByLevel(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)
	openKnowing(t, client, keys, 3)
	log := openKnowing(t, client, keys, eventlog.Level)
	at := domain.Instant(time.Now())
	edit := func(m domain.MessageID) domain.Durable {
		return domain.MessageEdit{Chat: "c", Message: m, Editor: "ada", Content: "other", Revision: 1, At: at}
	}
	send := func(m domain.MessageID) domain.Durable {
		return domain.MessageNew{Chat: "c", Message: m, Sender: "ada", Content: "content", At: at}
	}
	appendEvents(t, log, domain.ChatUpdate{Chat: "c", Actor: "ada", Change: domain.Created, Title: "t", At: at}, send("m0"), edit("m0"), send("m1"), edit("m1"))
	eraseMessage(t, log, "c", "m0", 2, "ada") // seqs 6 and 7
	var more []domain.Durable
	for i := range 1100 {
		more = append(more, send(domain.MessageID(fmt.Sprint("n", i))))
	}
	appendEvents(t, log, more...)
	same := func(when string, want []int, do func()) {
		t.Helper()
		before := aLog(t, log, "c")
		do()
		if after := aLog(t, log, "c"); !reflect.DeepEqual(after, before) {
			t.Errorf("%s: readers see another log", when)
		}
		if seqs := jsonEntries(t, client, keys, "c"); !reflect.DeepEqual(seqs, want) {
			t.Errorf("%s: the seqs with JSON are %v, want %v", when, seqs, want)
		}
	}
	rewrite := func(want int) func() {
		return func() {
			if done, err := eventlog.Rewrite(t.Context(), client, keys, nil); err != nil || done.Events != want {
				t.Errorf("a rewrite: %+v, error %v, want %d events", done, err, want)
			}
		}
	}
	same("a rewrite at level 3", []int{2, 3, 7}, rewrite(0))
	same("level 4", []int{2, 3, 7}, func() { raiseLevel(t, client, keys) })
	eraseMessage(t, log, "c", "m1", 4, "ada")
	same("an erasure at level 4", []int{2, 3, 7}, func() {})
	same("a rewrite at level 4", nil, rewrite(3))
	client.XTrimMaxLen(t.Context(), keys.Log().Stream(0), 0) // erasures of the stream are tested elsewhere
	if err := log.Fsck(t.Context(), eventlog.FsckConfig{Repair: true, Report: func(c ports.Contradiction) error {
		t.Errorf("%+v", c)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
	for _, m := range []domain.MessageID{"m0", "m1"} {
		loaded, err := log.Load(t.Context(), "c", ports.LoadRequest{Entity: domain.MessageEntity(m)})
		if err != nil {
			t.Fatal(err)
		}
		if e := loaded.Entities[0].Events; len(e) != 4 || !domain.IsErased(e[0].Event) || !domain.IsErased(e[1].Event) {
			t.Errorf("the events of %s are %+v", m, e)
		}
	}
}

// TestErase_Memory measures the keys of a chat before and after the erasure of all of its messages. An erased message takes about 460 bytes, whatever its content was: 280
// in the list, 80 in the index and 94 in the tombstones.
func TestErase_Memory(t *testing.T) {
	const messages, most = 1000, 500
	client := rig.Connect(t, redistest.Shared(t).URL())
	for _, size := range []int{40, 200, 400, 1000} {
		keys := rig.NewKeys(t, 1)
		log := rig.Open(t, client, keys)
		chat, user := domain.ChatID(uuid.NewString()), domain.UserID(uuid.NewString())
		appendEvents(t, log, domain.ChatUpdate{Chat: chat, Actor: user, Change: domain.Created, Title: "t", At: time.Now()})
		used := func() (bytes int64) {
			for _, key := range client.Keys(t.Context(), keys.Log().Chat(chat, "*")).Val() {
				bytes += client.MemoryUsage(t.Context(), key, 0).Val()
			}
			return bytes
		}
		empty := used()
		ids := make([]domain.MessageID, messages)
		for i := range ids {
			ids[i] = domain.MessageID(uuid.NewString())
			e := domain.MessageNew{Chat: chat, Message: ids[i], Sender: user, Content: domain.Content(strings.Repeat("x", size)), At: time.Now()}
			rig.Appended(t, log, ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: domain.EventID(uuid.NewString()), Event: e, Moves: domain.Moves(e), Meta: ports.Meta{CorrelationID: uuid.NewString()}}}})
		}
		before := used() - empty
		for i, m := range ids {
			eraseMessage(t, log, chat, m, domain.Seq(i)+2, user) //nolint:gosec // an index
		}
		after := used() - empty
		t.Logf("a message with %d bytes of content takes %d bytes, and erased %d", size, before/messages, after/messages)
		if after > most*messages || size >= 400 && after >= before {
			t.Errorf("messages with %d bytes of content take %d bytes, and erased %d", size, before/messages, after/messages)
		}
	}
}
