// Package chatcoretest provides a core for the tests of programs that use chatcore: in memory, with a clock that the test moves. It takes
// milliseconds and needs no Redis.
//
//	core := chatcoretest.New(t)
//	core.Subscribe("welcome", chatcore.On(welcome))
//	core.Start()
//	core.Chats.Create(ctx, domain.Create{Chat: "garden", Actor: "ada"})
//	core.WaitIdle() // welcome has been called
package chatcoretest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"chatcore"
)

// TB is the part of a *testing.T that a core needs.
type TB interface {
	Helper()
	Cleanup(func())
	Fatalf(format string, args ...any)
}

// Core is a core of one test. It ends with the test.
type Core struct {
	*chatcore.Core
	Clock *Clock

	t TB
}

// New makes a core. Options may replace more of it; those that replace the clock leave Clock without effect.
func New(t TB, options ...chatcore.Option) *Core {
	t.Helper()
	config := chatcore.Config{Logger: slog.New(slog.DiscardHandler)}
	config.Delivery.Retry.First, config.Delivery.Retry.Max = time.Millisecond, 10*time.Millisecond
	clock := NewClock(time.Date(2024, time.May, 6, 7, 8, 9, 0, time.UTC))
	core, err := chatcore.NewInMemory(config, append([]chatcore.Option{chatcore.WithClock(clock)}, options...)...)
	if err != nil {
		t.Fatalf("chatcoretest: %v", err)
	}
	c := &Core{Core: core, Clock: clock, t: t}
	t.Cleanup(func() {
		c.endMarks()
		_ = core.Close()
	})
	return c
}

// endMarks moves the clock to the time at which the next pending read mark is due, if there is one. Otherwise nothing would record it while the clock
// stands.
func (c *Core) endMarks() {
	if early := c.Chats.MarkStats().NextDue.Sub(c.Clock.Now()); early > 0 {
		c.Clock.Advance(early)
	}
}

// Start runs the core until the test ends, with the groups and listeners that it has by now. Events appended after it returns reach them.
func (c *Core) Start() {
	c.t.Helper()
	if err := c.Core.Start(context.Background()); err != nil {
		c.t.Fatalf("chatcoretest: start: %v", err)
	}
	c.t.Cleanup(func() {
		c.endMarks()
		if err := c.Close(); err != nil {
			c.t.Fatalf("chatcoretest: close: %v", err)
		}
		if err := c.Wait(); err != nil {
			c.t.Fatalf("chatcoretest: run: %v", err)
		}
	})
}

// WaitIdle waits until every accepted read mark is recorded, every group has handled all appended events, and every listener all live events, including
// those that handlers cause. While a read mark is pending, WaitIdle moves the clock to the time at which the mark is due, at most a second after the
// user's mark before. Otherwise it leaves the clock alone. A core that is not idle within two minutes fails the test.
func (c *Core) WaitIdle() {
	c.t.Helper()
	const patience = 2 * time.Minute
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.waitIdle(ctx); err != nil {
		c.t.Fatalf("chatcoretest: not idle after %v; was the core started, and does every handler return? %v", patience, err)
	}
}

// waitIdle waits in short steps, since handlers may make marks that become pending meanwhile.
func (c *Core) waitIdle(ctx context.Context) error {
	for {
		c.endMarks()
		step, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		err := c.Core.WaitIdle(step)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return err
		}
	}
}
