package eventlog_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestAnAppendWaitsForReplicas(t *testing.T) {
	primary := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(primary.Addr(), ":")
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	client := rig.Connect(t, primary.URL())
	online := func() {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.After(wait.Limit); !strings.Contains(client.Info(t.Context(), "replication").Val(), "state=online"); {
			select {
			case <-tick.C:
			case <-deadline:
				t.Fatal("the replica does not come online")
			}
		}
	}
	online()
	keys := rig.NewKeys(t, 2)
	confirmed := func(timeout time.Duration) *eventlog.Log {
		t.Helper()
		log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{
			Keys: keys, Durability: eventlog.Durability{Replicas: 1, Timeout: timeout},
		})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	patient, hasty := confirmed(wait.Limit), confirmed(50*time.Millisecond)
	rig.Appended(t, patient, rig.Created("c"))
	if n := rig.Connect(t, replica.URL()).DBSize(t.Context()).Val(); n == 0 {
		t.Error("confirmed, and the replica has nothing")
	}

	replica.Stop()
	_, err := hasty.Append(t.Context(), rig.Sent("c", "m"))
	var unconfirmed *ports.UnconfirmedError
	if !errors.Is(err, ports.ErrUnconfirmed) || !errors.As(err, &unconfirmed) || unconfirmed.Confirmed != 0 || unconfirmed.Wanted != 1 || unconfirmed.Appended.First != 2 {
		t.Errorf("without the replica: %v", err)
	}
	outcomes, err := hasty.AppendBatch(t.Context(), []ports.Append{rig.Sent("c", "m2"), rig.Created("d")})
	if err != nil || !errors.Is(outcomes[0].Err, ports.ErrUnconfirmed) || !errors.Is(outcomes[1].Err, ports.ErrUnconfirmed) {
		t.Errorf("a batch without the replica: %v, %v", outcomes, err)
	}
	if page, err := hasty.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10}); err != nil || len(page.Records) != 3 {
		t.Errorf("what was not confirmed is there all the same: %d events, error %v", len(page.Records), err)
	}

	replica.Restart(t)
	online()
	rig.Appended(t, patient, rig.Sent("c", "m3"))
}
