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
	mu    sync.Mutex
	users map[domain.UserID]userNumbers
}

type userNumbers struct {
	log   string
	chats map[domain.ChatID]ports.UserEntry
}

// NewUserView keeps none yet.
func NewUserView() *UserView { return &UserView{users: make(map[domain.UserID]userNumbers)} }

// Put implements [ports.UserView].
func (v *UserView) Put(ctx context.Context, log string, puts ...ports.ChatEntries) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, p := range puts {
		for _, e := range p.Entries {
			v.put(log, p.Chat, e)
		}
	}
	return nil
}

// put takes one entry. The caller holds mu.
func (v *UserView) put(log string, chat domain.ChatID, e ports.UserEntry) {
	numbers := v.users[e.User]
	if numbers.log != log || numbers.chats == nil {
		numbers = userNumbers{log: log, chats: make(map[domain.ChatID]ports.UserEntry)}
		v.users[e.User] = numbers
	}
	known := numbers.chats[chat]
	if e.Rebuild == 0 {
		e.Rebuild = known.Rebuild
	}
	if e.Rebuild > known.Rebuild || e.Rebuild == known.Rebuild && e.Version > known.Version {
		numbers.chats[chat] = e
	}
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
