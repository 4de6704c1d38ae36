package chatcore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
)

// ErrAbandoned is returned by Run and Close when handlers still run at the end of [Config.StopTimeout], and by [Attachment.Detach] when handlers of the
// group still run at its end. The error is an [*AbandonedError].
var ErrAbandoned = errors.New("handlers abandoned")

// AbandonedHandler names the call of a handler that did not return: of a consumer group by Group, Chat, Seq and Event, of a live channel by Channel.
type AbandonedHandler struct {
	Group   string // of a consumer group; "" for a handler of a live channel
	Channel string // of a handler of a live channel; "" for one of a consumer group
	Chat    domain.ChatID
	Seq     domain.Seq     // 0 if the event is in no log
	Event   domain.EventID // "" if the message has none
}

// String returns the text by which an [AbandonedError] names the handler.
func (h AbandonedHandler) String() string { return group.RunningHandler(h).String() }

// AbandonedError names the handlers that a core, or an attachment, has left behind at its end. Their goroutines go on until they return. An event of theirs is not
// finished: its group delivers it again.
type AbandonedError struct {
	Handlers []AbandonedHandler
	Timeout  time.Duration // that they outlasted: the StopTimeout, or that of [Attachment.Detach]
}

// maxNamed is how many handlers the text of an AbandonedError names.
const maxNamed = 10

func (e *AbandonedError) Error() string {
	named := make([]string, 0, maxNamed)
	for _, h := range e.Handlers[:min(maxNamed, len(e.Handlers))] {
		named = append(named, h.String())
	}
	text := strings.Join(named, "; ")
	if more := len(e.Handlers) - len(named); more > 0 {
		text += fmt.Sprintf("; and %d more", more)
	}
	return fmt.Sprintf("%v: %d did not return within %v: %s", ErrAbandoned, len(e.Handlers), e.Timeout, text)
}

// Is reports that an AbandonedError is [ErrAbandoned].
func (e *AbandonedError) Is(target error) bool { return target == ErrAbandoned }

// stopPlan divides [Config.StopTimeout]. All times count from the end of Run's context, or the call of Close.
type stopPlan struct {
	handlers time.Duration // handlers of consumer groups may run
	delivery time.Duration // results are committed, partitions are released, live handlers have returned
	channels time.Duration // handlers of channels of the helpers have returned
	all      time.Duration // connections are closed
}

// stopReserve is the most of the StopTimeout that is reserved for the steps after the handlers.
const stopReserve = 4 * time.Second

func (c Config) stopPlan() stopPlan {
	reserve := min(c.StopTimeout/5, stopReserve)
	return stopPlan{
		handlers: c.StopTimeout - reserve, delivery: c.StopTimeout - reserve/2, channels: c.StopTimeout - reserve/4, all: c.StopTimeout,
	}
}

// finish is how long commits and the release of partitions may take.
func (p stopPlan) finish() time.Duration { return p.delivery - p.handlers }

// stopLimits are contexts that end as the core's stopPlan says.
type stopLimits struct {
	delivery, channels, all context.Context
}

// limits returns the limits of a stop that begins when ctx ends. The caller calls release when the stop is over.
func (p stopPlan) limits(ctx context.Context) (limits stopLimits, release func()) {
	delivery, endDelivery := after(ctx, p.delivery)
	channels, endChannels := after(ctx, p.channels)
	all, endAll := after(ctx, p.all)
	return stopLimits{delivery, channels, all}, func() {
		endDelivery()
		endChannels()
		endAll()
	}
}

// after returns a context that ends d after ctx has ended, or when release is called.
func after(ctx context.Context, d time.Duration) (late context.Context, release func()) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(d, cancel)
		context.AfterFunc(late, func() { timer.Stop() })
	})
	return late, func() {
		stop()
		cancel()
	}
}

// waitFor waits for done, or until limit ends. It reports whether done was closed.
func waitFor(limit context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	case <-limit.Done():
	}
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// inBackground returns a channel that is closed when f has returned.
func inBackground(f func()) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// effectsDrain is how long the effects of the last appends may take. The built-in group makes up for the others.
const effectsDrain = time.Second

// release closes the connections and stores that the core has opened, once, within the limits.
func (c *Core) release(limits stopLimits) error {
	c.closing.Do(func() {
		if unrecorded := c.Chats.Close(limits.channels); unrecorded > 0 {
			c.config.Logger.WarnContext(limits.all, "accepted read marks were not recorded before the end", "marks", unrecorded)
		}
		applying, applied := context.WithTimeout(limits.channels, effectsDrain)
		c.after.Close(applying)
		applied()
		c.helpers.Close()
		waitFor(limits.channels, inBackground(c.helpers.Wait))
		closed := make(chan error, 1)
		done := inBackground(func() { closed <- c.closeConnections() })
		if waitFor(limits.all, done) {
			c.closeErr = <-closed
		} else {
			c.config.Logger.WarnContext(limits.all, "connections are still being closed at the end of the stop timeout", "timeout", c.config.StopTimeout)
		}
		c.closeErr = errors.Join(c.closeErr, c.abandoned())
	})
	return c.closeErr
}

// closeConnections closes the connections that no handler needs any more.
func (c *Core) closeConnections() error {
	c.readiness.close()
	c.Feeds.Close()
	c.flushMetrics()
	err := c.unwatch()
	c.closeCaches() // before their loaders' connections
	c.entities.Close()
	return errors.Join(err, c.backend.close())
}

// abandoned returns an [*AbandonedError] if handlers run, or nil.
func (c *Core) abandoned() error {
	c.mu.Lock()
	router := c.router
	c.mu.Unlock()
	running := c.live.calls.Running()
	for _, call := range c.helpers.Running() {
		running = append(running, AbandonedHandler{Channel: call.Channel, Event: call.Message})
	}
	if router != nil {
		for _, h := range router.InFlight() {
			running = append(running, AbandonedHandler(h))
		}
	}
	if len(running) == 0 {
		return nil
	}
	slices.SortStableFunc(running, func(a, b AbandonedHandler) int {
		return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Chat, b.Chat), cmp.Compare(a.Seq, b.Seq))
	})
	return &AbandonedError{Handlers: running, Timeout: c.config.StopTimeout}
}
