package delivery

import (
	"testing"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// TestChat_Idle changes an idle chat in each way that the store does not have: it is not evicted then.
func TestChat_Idle(t *testing.T) {
	b := newBench(Config{Concurrency: 1})
	idle := func(change func(c *chat)) bool {
		c := b.p.newChat("ada", domain.Seq(1))
		change(c)
		return c.idle(1)
	}
	if !idle(func(c *chat) { c.commit = 1 }) {
		t.Error("a chat without a change is not idle")
	}
	for name, change := range map[string]func(c *chat){
		"queued":    func(c *chat) { c.queued = 1 },
		"running":   func(c *chat) { c.running = 1 },
		"waiting":   func(c *chat) { c.waiting = 1 },
		"dirty":     func(c *chat) { c.dirty = true },
		"slots":     func(c *chat) { c.slots = 1 },
		"mode":      func(c *chat) { c.mode = parked },
		"filling":   func(c *chat) { c.filling = true },
		"hole":      func(c *chat) { c.hole = true },
		"done":      func(c *chat) { c.done.add(3) },
		"savedMark": func(c *chat) { c.savedMark = groups.Behind },
		"commit":    func(c *chat) { c.commit = 2 },
	} {
		if idle(change) {
			t.Errorf("%s: the chat is idle", name)
		}
	}
}
