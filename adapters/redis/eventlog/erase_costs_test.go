package eventlog_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestCosts_OfAnErasure counts the calls of an erasure: one that loads the message, and one that erases it.
func TestCosts_OfAnErasure(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	log := rig.Open(t, client, rig.NewKeys(t, 4))
	rig.Appended(t, log, rig.Created("c"))
	erase := func(m domain.MessageID) {
		erased := domain.MessageErased{Chat: "c", Message: m, Sent: 2, By: "ada", At: time.Now()}
		deleted := domain.MessageDelete{Chat: "c", Message: m, By: "ada", At: time.Now()}
		e := ports.Erasure{Message: m, Append: ports.Append{Chat: "c", Events: []ports.NewEvent{
			{ID: domain.EventID("d" + m), Event: deleted, Moves: domain.Moves(deleted)}, {ID: domain.EventID("e" + m), Event: erased, Moves: domain.Moves(erased)},
		}}}
		if _, err := log.Erase(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	const n = 200
	var sends, erasures []time.Duration
	for i := range n {
		m := domain.MessageID(fmt.Sprint("m", i))
		began := time.Now()
		rig.Appended(t, log, rig.Sent("c", m))
		sent := time.Now()
		erase(m)
		sends, erasures = append(sends, sent.Sub(began)), append(erasures, time.Since(sent))
	}
	slices.Sort(sends)
	slices.Sort(erasures)
	t.Logf("p50 of a send %v, of an erasure %v", sends[n/2], erasures[n/2])
	rig.Appended(t, log, rig.Sent("c", "last"))
	counted := &rig.Pipelines{}
	client.AddHook(counted)
	erase("last")
	if counted.Calls+counted.Pipelines != 2 {
		t.Errorf("an erasure takes %d calls, want 2", counted.Calls+counted.Pipelines)
	}
}
