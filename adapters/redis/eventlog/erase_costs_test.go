package eventlog_test

import (
	"fmt"
	"testing"
	"time"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestCosts_OfAnErasure counts the calls of an erasure: one that reads the message, and one that erases it. A message that was only sent is read without a
// script if the erasure requires its version, as that of the use case does.
func TestCosts_OfAnErasure(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 4))
	rig.Appended(t, log, rig.Created("c"))
	calls, head, n := &rig.Pipelines{}, domain.Seq(1), 0
	client.AddHook(calls)
	for name, test := range map[string]struct {
		deleted, required bool
		scripts           int // of the erasure
	}{"sent": {false, true, 1}, "sent, of any version": {false, false, 2}, "deleted": {true, true, 2}} {
		erase := func() {
			n++
			m := domain.MessageID(fmt.Sprint("m", n))
			rig.Appended(t, log, rig.Sent("c", m))
			head++
			erased := domain.MessageErased{Chat: "c", Message: m, Sent: head, By: "ada", At: time.Now()}
			if test.deleted {
				rig.Appended(t, log, rig.Deleted("c", m))
				head++
			}
			e := ports.Erasure{Message: m, Append: ports.Append{Chat: "c", Events: []ports.NewEvent{{ID: domain.EventID("e-" + m), Event: erased, Moves: domain.Moves(erased)}}}}
			if test.required {
				e.Conditions = []domain.Condition{{Entity: domain.MessageEntity(m), Version: head}}
			}
			*calls = rig.Pipelines{}
			if _, err := log.Erase(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			head++
			if calls.Calls+calls.Pipelines != 2 {
				t.Errorf("%s: %d calls, want 2", name, calls.Calls+calls.Pipelines)
			}
		}
		erase() // Redis then has the scripts
		appends := 1
		if test.deleted {
			appends++
		}
		if scripts := redistest.CommandsOf(t, client, erase)["evalsha"] - appends; scripts != test.scripts {
			t.Errorf("%s: %d calls of scripts, want %d", name, scripts, test.scripts)
		}
	}
}
