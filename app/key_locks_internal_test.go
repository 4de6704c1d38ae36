package app

import (
	"context"
	"errors"
	"testing"
)

// TestKeyLocks_ExcludeAndLeaveNothing has one caller at a time hold the lock of a message, also one that waited for it, and finds no lock left at the end.
func TestKeyLocks_ExcludeAndLeaveNothing(t *testing.T) {
	locks := newKeyLocks()
	key, other := lockKey{"c", "m"}, lockKey{"c", "n"}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	held := func(when string) {
		t.Helper()
		if _, err := locks.acquire(ended, key); !errors.Is(err, context.Canceled) {
			t.Errorf("%s, another caller got %v", when, err)
		}
	}
	acquire := func(key lockKey) func() {
		t.Helper()
		release, err := locks.acquire(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
	first := acquire(key)
	held("while the first holds it")
	acquire(other)()
	waiting := make(chan func())
	go func() {
		release, err := locks.acquire(t.Context(), key)
		if err != nil {
			t.Error(err)
		}
		waiting <- release
	}()
	wanted := func() int {
		locks.mu.Lock()
		defer locks.mu.Unlock()
		return locks.locks[key].users
	}
	for wanted() < 2 {
		if t.Context().Err() != nil {
			t.Fatal("nobody waits")
		}
	}
	held("while the second waits")
	first()
	second := <-waiting
	held("while the second holds it")
	second()
	acquire(key)()
	if n := len(locks.locks); n != 0 {
		t.Errorf("%d locks are left", n)
	}
}
