package session_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/session"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestSessionsInAFailover has users log in, use sessions and log out while a master of the Cluster dies. Each call returns the user's session, none,
// or an error that Redis is unavailable. Sessions work again once a replica was promoted.
func TestSessionsInAFailover(t *testing.T) {
	cluster := redistest.StartReplicatedCluster(t, 3, 1)
	client, err := conn.Connect(t.Context(), conn.Options{URL: cluster.URL(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	cluster.Settle(t)
	store := session.New(client, rig.ClusterKeys(t).Sessions(), porttest.SessionPolicy())
	const users = 24
	var opened [users]atomic.Int64
	var unavailable atomic.Int64
	expected := func(err error) bool {
		if errors.Is(err, ports.ErrUnavailable) {
			unavailable.Add(1)
		}
		return err == nil || errors.Is(err, ports.ErrUnavailable) || errors.Is(err, domain.ErrNoSession)
	}
	done := make(chan struct{})
	var all sync.WaitGroup
	for i := range users {
		all.Go(func() {
			user := domain.UserID(fmt.Sprint("user-", i))
			for n := 0; ; n++ {
				select {
				case <-done:
					return
				default:
				}
				id, key := domain.SessionID(uuid.NewString()), ports.SessionKey(uuid.NewString())
				if _, _, err := store.Open(t.Context(), domain.Session{ID: id, User: user}, key); err != nil {
					if !expected(err) || errors.Is(err, domain.ErrNoSession) {
						t.Errorf("open: %v", err)
					}
					continue
				}
				next := ports.SessionKey(uuid.NewString())
				for _, call := range []func() (domain.Session, error){
					func() (domain.Session, error) { return store.Find(t.Context(), user, key) },
					func() (domain.Session, error) { return store.Rotate(t.Context(), user, key, next) },
					func() (domain.Session, error) { return store.Find(t.Context(), user, next) },
				} {
					if found, err := call(); !expected(err) || err == nil && (found.User != user || found.ID != id) {
						t.Errorf("%s of %s: found %+v, error %v", id, user, found, err)
					} else if err == nil {
						opened[i].Add(1)
					}
				}
				if n%8 == 7 {
					if _, err := store.CloseAll(t.Context(), user); !expected(err) {
						t.Errorf("close all: %v", err)
					}
				}
			}
		})
	}
	everybody := func(when string) {
		t.Helper()
		var before [users]int64
		for i := range before {
			before[i] = opened[i].Load()
		}
		deadline, tick := time.After(wait.Limit), time.NewTicker(10*time.Millisecond)
		defer tick.Stop()
		for i := range before {
			for opened[i].Load() < before[i]+3 {
				select {
				case <-deadline:
					t.Errorf("%s user %d has no session", when, i)
					return
				case <-tick.C:
				}
			}
		}
	}
	everybody("at first")
	cluster.KillMaster(t, 0)
	everybody("after the promotion")
	close(done)
	all.Wait()
	if unavailable.Load() == 0 {
		t.Error("nobody noticed that a master was gone")
	}
}
