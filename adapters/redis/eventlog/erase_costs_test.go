package eventlog_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestCosts_OfAnErasure counts the calls of an erasure, and those of scripts: one that reads the message, and one that erases it. A message that was only sent is read
// without a script if the erasure requires its version. Known events are not read, unless an entry has another form than the compact one.
func TestCosts_OfAnErasure(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Start(t).URL()), rig.NewKeys(t, 4)
	log := rig.Open(t, client, keys)
	rig.Appended(t, log, rig.Created("c"))
	calls, head, n := &rig.Pipelines{}, domain.Seq(1), 0
	client.AddHook(calls)
	for name, test := range map[string]struct {
		deleted, required, known, json bool
		calls, scripts                 int // of the erasure
	}{
		"sent": {required: true, calls: 2, scripts: 1}, "sent, of any version": {calls: 2, scripts: 2}, "deleted": {deleted: true, required: true, calls: 2, scripts: 2},
		"known": {deleted: true, required: true, known: true, calls: 1, scripts: 1}, "known, and stored as JSON": {deleted: true, required: true, known: true, json: true, calls: 3, scripts: 3},
	} {
		erase := func() {
			n++
			m := domain.MessageID(fmt.Sprint("m", n))
			rig.Appended(t, log, rig.Sent("c", m))
			head++
			sent := head
			if test.deleted {
				rig.Appended(t, log, rig.Deleted("c", m))
				head++
			}
			erased := domain.MessageErased{Chat: "c", Message: m, Sent: sent, By: "ada", At: time.Now()}
			e := ports.Erasure{Message: m, Append: ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: domain.EventID("e-" + m), Event: erased, Moves: domain.Moves(erased)}}}}
			if test.required {
				e.Conditions = []domain.Condition{{Entity: domain.MessageEntity(m), Version: head}}
			}
			if test.known {
				page, err := log.Read(t.Context(), "c", ports.Range{From: sent, Limit: int(head - sent + 1)}) //nolint:gosec // a count
				if err != nil {
					t.Fatal(err)
				}
				e.Known = page.Records
			}
			if test.json {
				asJSON(t, client, keys, "c", sent)
			}
			before := redistest.AllCommands(t, client)["evalsha"]
			*calls = rig.Pipelines{}
			if _, err := log.Erase(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			got := calls.Calls + calls.Pipelines
			scripts := redistest.AllCommands(t, client)["evalsha"] - before
			head++
			if n > 1 && (got != test.calls || scripts != test.scripts) { // at first Redis has no script
				t.Errorf("%s: %d calls, %d of them of scripts; want %d and %d", name, got, scripts, test.calls, test.scripts)
			}
			stored, err := log.Read(t.Context(), "c", ports.Range{From: sent, Limit: 1})
			if err != nil || !domain.IsErased(stored.Records[0].Event) {
				t.Errorf("%s: the message is %+v, error %v", name, stored.Records, err)
			}
		}
		erase()
		erase()
	}
}

// asJSON stores an event of a chat as JSON, as programs did before there was the compact form.
func asJSON(t *testing.T, client goredis.UniversalClient, keys keyspace.Keys, chat domain.ChatID, seq domain.Seq) {
	t.Helper()
	key, at := keys.Log().Chat(chat, "0"), int64(seq-1) //nolint:gosec // of the first segment
	entry, err := client.LIndex(t.Context(), key, at).Result()
	if err != nil {
		t.Fatal(err)
	}
	links, event, _ := strings.Cut(entry, "{")
	json, err := wireformat.CompactJSON(chat, seq, "{"+event)
	if err == nil {
		err = client.LSet(t.Context(), key, at, links+string(json)).Err()
	}
	if err != nil {
		t.Fatal(err)
	}
}
