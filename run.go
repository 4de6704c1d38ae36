package chatcore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/telemetry"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Start runs the core in the background until ctx ends, as [Core.Run] does. It returns nil when every group and listener is in place: all events
// appended from then on reach them. Otherwise it returns why the core does not run, and the core has ended: the error that Run would return, or ctx's
// if ctx ended before. [Core.Wait] returns how the core has ended later.
func (c *Core) Start(ctx context.Context) error {
	running, err := c.begin(ctx)
	if err != nil {
		return err
	}
	go func() { _ = c.run(running) }() // Wait returns its error
	select {
	case <-c.running:
		return nil
	case <-c.ended:
		return cmp.Or(c.runErr, ctx.Err(), ErrClosed)
	}
}

// Wait waits until a core that was started has ended, and returns what [Core.Run] returns. It returns nil at once if the core was not started.
func (c *Core) Wait() error {
	c.mu.Lock()
	started := c.stop != nil
	c.mu.Unlock()
	if !started {
		return nil
	}
	<-c.ended
	return c.runErr
}

// Run delivers events to the handlers until ctx ends, or Close is called, and then stops in this order: no new deliveries; handlers finish, and their
// results are committed; live listeners and the presence sweeper; accepted read marks are recorded; handlers of the helpers' channels; connections. All of it together takes at most
// [Config.StopTimeout], counted from the end of ctx. The contexts of handlers end shortly before; a handler that runs on is left behind and named by
// the [*AbandonedError] that Run then returns. Otherwise no handler runs any more when Run returns.
//
// Run returns nil if it ended because ctx did, or by Close, and otherwise the cause: [ports.ErrLogLost] if Redis no longer holds the log,
// [ErrGroupDeleted] if a group was deleted. A deleted group ends alone: the core goes on with the others, Health reports the group at once, and Run
// returns the error when it ends, which it does at once if no group is left. A core runs once: it is [ErrRunning] while it runs, and [ErrClosed]
// afterwards.
func (c *Core) Run(ctx context.Context) error {
	ctx, err := c.begin(ctx)
	if err != nil {
		return err
	}
	return c.run(ctx)
}

// begin makes the core one that runs, under the context that it returns.
func (c *Core) begin(ctx context.Context) (context.Context, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch err := c.fresh(); {
	case errors.Is(err, ErrRunning):
		return nil, fmt.Errorf("%w: call Start or Run once; Wait returns when the core has ended", err)
	case err != nil:
		return nil, err
	}
	ctx, c.stop = context.WithCancel(ctx)
	if c.answers {
		c.Queries.UseCaches(c.caches)
	}
	return ctx, nil
}

// run is Run of a core that has begun.
func (c *Core) run(ctx context.Context) error {
	limits, release := c.config.stopPlan().limits(ctx)
	defer release()
	delivered, quiet := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(quiet)
		var live sync.WaitGroup
		live.Go(func() {
			c.runDefined(ctx, limits.delivery)
			c.consumers.Close()
		})
		err := c.deliver(ctx, &live)
		c.stop()
		delivered <- err
		live.Wait()
	}()
	go func() { // beside the handlers, since it takes about a second
		<-ctx.Done()
		c.Chats.Close(limits.channels)
	}()
	go func() { // beside the marks, since it waits for reads of the log
		<-ctx.Done()
		c.Feeds.Close()
	}()
	waitFor(limits.delivery, quiet)
	var err error
	select {
	case err = <-delivered:
	default: // Redis does not answer, or a subscriber of a custom log does not end
	}
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.runErr = errors.Join(err, c.release(limits))
	close(c.ended)
	return c.runErr
}

// deliver runs listeners, the sweeper and the groups until ctx ends or one of them fails.
func (c *Core) deliver(ctx context.Context, live *sync.WaitGroup) error {
	if err := c.live.open(ctx, c.listeners, c.backend.watchChannel, live); err != nil {
		return ended(ctx, err)
	}
	live.Go(func() { c.sweeper.Run(ctx) })
	live.Go(func() { c.runVault(ctx) })
	live.Go(func() { c.runRetention(ctx) })
	live.Go(func() { c.runVaultRetention(ctx) })
	return ended(ctx, c.route(ctx))
}

// ended is nil for an error that only says that ctx ended.
func ended(ctx context.Context, err error) error {
	if cause := ports.Ended(ctx, err); cause != nil && errors.Is(err, cause) {
		return nil
	}
	return err
}

// route runs the consumer groups until ctx ends.
func (c *Core) route(ctx context.Context) error {
	plan := c.config.stopPlan()
	router, err := pubsub.NewRouter(plan.handlers, c.config.Logger)
	if err != nil {
		return err
	}
	for _, s := range c.groups {
		if err := router.Add(c.routerGroup(s)); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.router = router // with all its groups: metrics read it from now on
	c.mu.Unlock()
	go func() { // ends with the router
		select {
		case <-router.Running():
			close(c.running)
		case <-ctx.Done():
			return
		}
		select { // everything stops at once when a group fails
		case <-router.Stopping():
			c.stop()
		case <-ctx.Done():
		}
	}()
	err = router.Run(ctx)
	c.mu.Lock()
	c.stopped = true
	c.mu.Unlock()
	c.attaching.Wait()
	finish, end := context.WithTimeout(context.WithoutCancel(ctx), plan.finish())
	defer end()
	for _, s := range c.groups {
		if s.passing {
			err = errors.Join(err, c.pass(finish, s.group))
		}
	}
	return err
}

// pass removes a group of this run only, if it was created.
func (c *Core) pass(ctx context.Context, group string) error {
	if err := c.backend.groups.Delete(ctx, group); err != nil && !errors.Is(err, ErrGroupNotFound) {
		return err
	}
	return nil
}

// routerGroup describes a group to the router. Watermill takes part only in groups with a Watermill handler or middlewares.
func (c *Core) routerGroup(s *registration) pubsub.Group {
	g := pubsub.Group{Topic: pubsub.Topic, Config: c.groupConfig(s)}
	if s.batch != nil {
		return g
	}
	if s.chats != nil {
		g.Wants = func(chat domain.ChatID, _ string) bool { return s.chats(chat) }
	}
	g.Middlewares = slices.Concat(c.middlewares, s.middlewares)
	if s.plain == nil && len(g.Middlewares) == 0 {
		calls := group.Calls(c.handlersOf(s).Handle)
		if s.timeout > 0 {
			calls = calls.WithTimeout(s.timeout)
		}
		g.Calls = calls
		return g
	}
	g.Messages = c.tracedMessages(s)
	if s.plain == nil {
		g.Messages = c.handlersOf(s).Consume(c.codec)
	}
	if s.timeout > 0 {
		g.Messages = pubsub.WithTimeout(s.timeout, g.Messages)
	}
	return g
}

// handlersOf returns the handlers of a group, which continue the trace of each event.
func (c *Core) handlersOf(s *registration) *pubsub.Handlers {
	handlers := make(map[string]pubsub.Handler, len(s.handlers))
	for typ, h := range s.handlers {
		handlers[typ] = c.telemetry.Handler(s.group, wireformat.Type, h)
	}
	return pubsub.NewHandlers(handlers, c.counters.Of(s.group))
}

// tracedMessages returns a group's Watermill handler, which continues the trace of each event. Watermill starts a goroutine for each message: what a handler
// without a trace does not need is in a function of its own, so that its frame does not make the stack grow.
func (c *Core) tracedMessages(s *registration) message.NoPublishHandlerFunc {
	return func(msg *message.Message) error {
		if !c.telemetry.Processes(msg.Context()) {
			return s.plain(msg)
		}
		return c.traceMessage(s, msg)
	}
}

func (c *Core) traceMessage(s *registration, msg *message.Message) error {
	before := msg.Context()
	ctx, end := c.telemetry.Process(before, telemetry.Received{
		Type: msg.Metadata.Get(wireformat.MetaType), Group: s.group, ID: domain.EventID(msg.UUID),
		Chat: domain.ChatID(msg.Metadata.Get(wireformat.MetaChatID)), TraceParent: msg.Metadata.Get(wireformat.MetaTraceParent),
		Attempt: pubsub.Attempt(msg),
	})
	msg.SetContext(ctx)
	defer msg.SetContext(before)
	err := s.plain(msg)
	end(err)
	return err
}
