package memory

import (
	"context"
	"sync"

	"chatcore/domain"
	"chatcore/ports"
)

var _ ports.UserView = (*UserView)(nil)

// UserView keeps numbers by user and chat.
type UserView struct {
	putting   sync.Mutex              // held during a put and the calls of the observers, acquired before mu: they come in the order of the changes
	observers []func([]domain.UserID) // putting guards observers

	mu    sync.Mutex // mu guards users
	users map[domain.UserID]userNumbers
}

type userNumbers struct {
	log   string
	chats map[domain.ChatID]ports.UserEntry
}

// NewUserView keeps none yet.
func NewUserView() *UserView { return &UserView{users: make(map[domain.UserID]userNumbers)} }

// Observe has fn called with the users that have gained or lost a chat by a put, before the put returns. fn must be quick, and must not put. A [Tail]
// that reports memberships observes the view of the users' chats.
func (v *UserView) Observe(fn func(users []domain.UserID)) {
	v.putting.Lock()
	defer v.putting.Unlock()
	v.observers = append(v.observers, fn)
}

// Put implements [ports.UserView].
func (v *UserView) Put(ctx context.Context, log string, puts ...ports.ChatEntries) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v.putting.Lock()
	defer v.putting.Unlock()
	moved := v.putAll(log, puts)
	for _, fn := range v.observers {
		fn(moved)
	}
	return nil
}

// putAll takes all entries. It returns the users that have gained or lost a chat.
func (v *UserView) putAll(log string, puts []ports.ChatEntries) (moved []domain.UserID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range puts {
		for _, e := range p.Entries {
			if v.put(log, p.Chat, e) {
				moved = append(moved, e.User)
			}
		}
	}
	return moved
}

// put takes one entry. It reports whether the user has gained or lost a chat. The caller holds mu.
func (v *UserView) put(log string, chat domain.ChatID, e ports.UserEntry) bool {
	numbers := v.users[e.User]
	if numbers.log != log || numbers.chats == nil {
		numbers = userNumbers{log: log, chats: make(map[domain.ChatID]ports.UserEntry)}
		v.users[e.User] = numbers
	}
	known, found := numbers.chats[chat]
	if e.Rebuild == 0 {
		e.Rebuild = known.Rebuild
	}
	if e.Rebuild > known.Rebuild || e.Rebuild == known.Rebuild && e.Version > known.Version {
		numbers.chats[chat] = e
		return (found && !known.Gone) == e.Gone
	}
	return false
}

// Of implements [ports.UserView].
func (v *UserView) Of(ctx context.Context, log string, user domain.UserID) (map[domain.ChatID]uint64, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	found := make(map[domain.ChatID]uint64)
	if numbers := v.users[user]; numbers.log == log {
		for chat, e := range numbers.chats {
			if !e.Gone {
				found[chat] = e.Number
			}
		}
	}
	return found, nil
}
