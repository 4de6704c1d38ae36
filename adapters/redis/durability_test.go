package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/redis"
	"chatcore/adapters/wireformat"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestAnAppendWaitsForReplicas(t *testing.T) {
	primary := redistest.Start(t, "--repl-diskless-sync-delay", "0")
	host, port, _ := strings.Cut(primary.Addr(), ":")
	replica := redistest.Start(t, "--replicaof", host+" "+port)
	client := connect(t, primary.URL())
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
	keys := newKeys(t, 2)
	confirmed := func(timeout time.Duration) *redis.Log {
		t.Helper()
		log, err := redis.Open(t.Context(), client, wireformat.New(), redis.LogConfig{
			Keys: keys, Durability: redis.Durability{Replicas: 1, Timeout: timeout},
		})
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	patient, hasty := confirmed(wait.Limit), confirmed(50*time.Millisecond)
	appended(t, patient, created("c"))
	if n := connect(t, replica.URL()).DBSize(t.Context()).Val(); n == 0 {
		t.Error("confirmed, and the replica has nothing")
	}

	replica.Stop()
	_, err := hasty.Append(t.Context(), sent("c", "m"))
	var unconfirmed *ports.UnconfirmedError
	if !errors.Is(err, ports.ErrUnconfirmed) || !errors.As(err, &unconfirmed) || unconfirmed.Confirmed != 0 || unconfirmed.Wanted != 1 || unconfirmed.Appended.First != 2 {
		t.Errorf("without the replica: %v", err)
	}
	outcomes, err := hasty.AppendBatch(t.Context(), []ports.Append{sent("c", "m2"), created("d")})
	if err != nil || !errors.Is(outcomes[0].Err, ports.ErrUnconfirmed) || !errors.Is(outcomes[1].Err, ports.ErrUnconfirmed) {
		t.Errorf("a batch without the replica: %v, %v", outcomes, err)
	}
	if page, err := hasty.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10}); err != nil || len(page.Records) != 3 {
		t.Errorf("what was not confirmed is there all the same: %d events, error %v", len(page.Records), err)
	}

	replica.Restart(t)
	online()
	appended(t, patient, sent("c", "m3"))
}
