package chatcore_test

import (
	"errors"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestRestoreInPlace_AuthorizesNothing brings older data back while a core runs, on servers that keep the log id and the replication id, and
// has other events take the same seqs.
func TestRestoreInPlace_AuthorizesNothing(t *testing.T) {
	t.Run("single", func(t *testing.T) {
		server := redistest.Start(t)
		restoreInPlace(t, server.URL(), []*redistest.Server{server})
	})
	t.Run("cluster", func(t *testing.T) {
		cluster := redistest.StartCluster(t, 3)
		restoreInPlace(t, cluster.URL(), cluster.Masters)
	})
}

func restoreInPlace(t *testing.T, url string, servers []*redistest.Server) {
	ctx := t.Context()
	open := func() *chatcore.Core {
		return opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: url}}))
	}
	one := open()
	must[app.Done](t)(one.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"bob"}}))
	before := dumpAll(t, servers)
	promoted := must[app.Done](t)(one.Chats.Promote(ctx, domain.Promote{Chat: "c", Actor: "ada", User: "bob", Role: domain.RoleAdmin}))
	must[app.Sent](t)(one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: "I am an admin"})) // cached: bob at that version
	awaitWitness(t, servers, before)

	for i, s := range servers {
		client := s.Client(t)
		if err := client.FlushAll(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		for key, value := range before[i] {
			if err := client.Restore(ctx, key, max(value.ttl, 0), value.dump).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	removed := must[app.Done](t)(open().Chats.Remove(ctx, domain.Remove{Chat: "c", Actor: "ada", User: "bob"}))
	if removed.Seq != promoted.Seq {
		t.Fatalf("bob was promoted at %d and removed at %d; the test wants the same", promoted.Seq, removed.Seq)
	}
	if _, err := one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "bob", Content: "am I still here?"}); !errors.Is(err, domain.ErrNotMember) {
		t.Errorf("bob was removed, and his message: %v", err)
	}
	must[app.Sent](t)(one.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "life goes on"}))
}

type dumped struct {
	dump string
	ttl  time.Duration
}

// dumpAll returns the data of each server, as DUMP returns it.
func dumpAll(t *testing.T, servers []*redistest.Server) []map[string]dumped {
	t.Helper()
	all := make([]map[string]dumped, len(servers))
	for i, s := range servers {
		client := s.Client(t)
		all[i] = make(map[string]dumped)
		for _, key := range client.Keys(t.Context(), "*").Val() {
			all[i][key] = dumped{client.Dump(t.Context(), key).Val(), client.PTTL(t.Context(), key).Val()}
		}
	}
	return all
}

// awaitWitness waits until a core has written down that it has seen more than the dump holds: about a second after it has.
func awaitWitness(t *testing.T, servers []*redistest.Server, before []map[string]dumped) {
	t.Helper()
	wait.Until(t, "a witness is raised", func() bool {
		for i, s := range servers {
			client := s.Client(t)
			for _, key := range client.Keys(t.Context(), "cc:{*}:witness:*").Val() {
				if client.Dump(t.Context(), key).Val() != before[i][key].dump {
					return true
				}
			}
		}
		return false
	})
}
