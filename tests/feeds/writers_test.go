package feeds

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports"
)

const (
	owner  = domain.UserID("owner") // of all chats
	remark = 10 * time.Millisecond  // between two commands of a writer, about
)

// writers change chats until they are stopped. Each chat has one writer.
type writers struct {
	t    *testing.T
	core *chatcore.Core
	ctx  context.Context
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	deleted map[string]time.Time // mu guards: when the deletion of a message was answered
}

// chat is a chat as its writer knows it.
type chat struct {
	*writers
	dice     *rand.Rand
	id       domain.ChatID
	commands int
	members  map[domain.UserID]struct{}
	messages map[domain.MessageID]domain.UserID // not deleted, with their senders
	order    []domain.MessageID
}

func newWriters(t *testing.T, core *chatcore.Core) *writers {
	return &writers{t: t, core: core, ctx: context.WithoutCancel(t.Context()), stop: make(chan struct{}), deleted: make(map[string]time.Time)}
}

// open creates a chat with members.
func (w *writers) open(id domain.ChatID, seed uint64, members ...domain.UserID) *chat {
	c := &chat{
		writers: w, id: id, dice: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // dice
		members: map[domain.UserID]struct{}{owner: {}}, messages: make(map[domain.MessageID]domain.UserID),
	}
	for _, m := range members {
		c.members[m] = struct{}{}
	}
	c.give(func(ctx context.Context, id domain.CommandID) error {
		_, err := w.core.Chats.Create(ctx, domain.Create{Chat: c.id, Actor: owner, Members: members, Command: id})
		return err
	})
	return c
}

// finish ends the writing, after the commands under way.
func (w *writers) finish() {
	close(w.stop)
	w.done.Wait()
}

func (w *writers) deletions() map[string]time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.deleted)
}

// write changes the chat until the writers are stopped.
func (c *chat) write(users []domain.UserID) {
	for {
		select {
		case <-c.stop:
			return
		default:
			c.change(users)
			pause(c.ctx, time.Duration(c.dice.Int64N(int64(2*remark))))
		}
	}
}

// change gives a random command, or several.
func (c *chat) change(users []domain.UserID) {
	switch n := c.dice.IntN(100); {
	case n < 58:
		c.send(c.sender())
	case n < 60:
		for range 2 * queueCount {
			c.send(owner)
		}
	case n < 70:
		c.edit()
	case n < 82:
		c.delete()
	case n < 88:
		c.react()
	case n < 90:
		_, _ = c.core.Chats.StartTyping(c.ctx, domain.Typing{Chat: c.id, Actor: c.sender()}) // may be lost
	default:
		c.move(users[c.dice.IntN(len(users))])
	}
}

// give gives a command until it is answered.
func (c *chat) give(command func(ctx context.Context, id domain.CommandID) error) {
	c.commands++
	id := domain.CommandID(fmt.Sprintf("%s.%d", c.id, c.commands))
	for {
		err := command(c.ctx, id)
		switch {
		case err == nil:
			return
		case errors.Is(err, ports.ErrUnavailable), errors.Is(err, ports.ErrOutcomeUnknown), errors.Is(err, ports.ErrOverloaded), errors.Is(err, ports.ErrConflict):
			pause(c.ctx, 20*time.Millisecond)
		default:
			c.t.Errorf("%s: %v", id, err)
			return
		}
	}
}

// sender returns any member.
func (c *chat) sender() domain.UserID {
	all := slices.Sorted(maps.Keys(c.members))
	return all[c.dice.IntN(len(all))]
}

// message returns any of the last messages that are not deleted, or "".
func (c *chat) message() domain.MessageID {
	const recent = 120 // more than a page, so that edits and deletions are about earlier pages too
	if len(c.order) == 0 {
		return ""
	}
	last := c.order[max(0, len(c.order)-recent):]
	return last[c.dice.IntN(len(last))]
}

func (c *chat) send(by domain.UserID) {
	content := strings.Repeat("word ", 1+c.dice.IntN(20))
	if c.dice.IntN(8) == 0 {
		content = strings.Repeat("many words ", 600)
	}
	c.give(func(ctx context.Context, id domain.CommandID) error {
		_, err := c.core.Chats.Send(ctx, domain.Send{Chat: c.id, Actor: by, MessageID: domain.MessageID(id), Content: content, Mentions: []domain.UserID{owner}})
		if err == nil {
			c.messages[domain.MessageID(id)] = by
			c.order = append(c.order, domain.MessageID(id))
		}
		return err
	})
}

func (c *chat) edit() {
	m := c.message()
	by := c.messages[m]
	if _, member := c.members[by]; !member || m == "" {
		return
	}
	c.give(func(ctx context.Context, id domain.CommandID) error {
		_, err := c.core.Chats.Edit(ctx, domain.Edit{Chat: c.id, Actor: by, MessageID: m, Content: "edited " + string(id), Command: id})
		return err
	})
}

func (c *chat) delete() {
	m := c.message()
	if m == "" {
		return
	}
	delete(c.messages, m)
	c.order = slices.DeleteFunc(c.order, func(other domain.MessageID) bool { return other == m })
	c.give(func(ctx context.Context, id domain.CommandID) error {
		_, err := c.core.Chats.Delete(ctx, domain.Delete{Chat: c.id, Actor: owner, MessageID: m, Command: id})
		return err
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deleted[string(m)] = time.Now()
}

func (c *chat) react() {
	m := c.message()
	if m == "" {
		return
	}
	by := c.sender()
	c.give(func(ctx context.Context, id domain.CommandID) error {
		_, err := c.core.Chats.React(ctx, domain.React{Chat: c.id, Actor: by, MessageID: m, Emoji: "👍", Command: id})
		return err
	})
}

// move removes a user that is a member, and adds one that is not.
func (c *chat) move(user domain.UserID) {
	_, member := c.members[user]
	c.give(func(ctx context.Context, id domain.CommandID) (err error) {
		if member {
			_, err = c.core.Chats.Remove(ctx, domain.Remove{Chat: c.id, Actor: owner, User: user, Command: id})
		} else {
			_, err = c.core.Chats.Add(ctx, domain.Add{Chat: c.id, Actor: owner, User: user, Command: id})
		}
		return err
	})
	if member {
		delete(c.members, user)
	} else {
		c.members[user] = struct{}{}
	}
}
