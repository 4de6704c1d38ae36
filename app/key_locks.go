package app

import (
	"context"
	"sync"

	"chatcore/domain"
)

// keyLocks are locks by message, which exist as long as somebody holds or wants them.
type keyLocks struct {
	mu    sync.Mutex
	locks map[lockKey]*keyLock // guarded by mu
}

type lockKey struct {
	chat    domain.ChatID
	message domain.MessageID
}

type keyLock struct {
	held  chan struct{} // has room for the one that holds it
	users int           // that hold or want it; guarded by keyLocks.mu
}

func newKeyLocks() *keyLocks { return &keyLocks{locks: make(map[lockKey]*keyLock)} }

// acquire waits for the lock of a message, as long as ctx allows, and returns its release.
func (k *keyLocks) acquire(ctx context.Context, key lockKey) (release func(), err error) {
	k.mu.Lock()
	lock := k.locks[key]
	if lock == nil {
		lock = &keyLock{held: make(chan struct{}, 1)}
		k.locks[key] = lock
	}
	lock.users++
	k.mu.Unlock()
	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if lock.users--; lock.users == 0 {
			delete(k.locks, key)
		}
	}
	select {
	case lock.held <- struct{}{}:
		return func() { <-lock.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
