package chatcore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
)

// ErrNotRunning is returned by [Core.Attach] before the core runs.
var ErrNotRunning = errors.New("not running")

// Attachment is a consumer group that was added to a running core. Its methods are safe for concurrent use.
type Attachment struct {
	core      *Core
	name      string
	ephemeral bool
	group     *pubsub.Attachment // set before Attach returns
	done      chan struct{}      // closed when the attachment has ended
	err       error              // of the deletion of an ephemeral group; set before done is closed
}

// Attach adds a consumer group to a core that runs, as [Core.Subscribe] does to one that does not run yet: with the same options and guarantees. The group
// exists when Attach returns: all events appended from then on reach it. While Redis does not answer Attach waits, half a minute at most and until ctx ends;
// on a core that is starting it waits for the start. ctx bounds the call only: the attachment ends by [Attachment.Detach], by itself if the group is
// deleted, or with the core, which stops it as it stops the other groups.
//
// Attach returns [ErrNotRunning] before the start and [ErrClosed] after the end of the core, or if the core ends meanwhile; otherwise the errors of
// Subscribe. Attached groups count among [DeliveryConfig.MaxGroups]. A name is free again when its attachment has ended.
func (c *Core) Attach(ctx context.Context, group string, options ...SubscribeOption) (*Attachment, error) {
	return c.attachRegistration(ctx, &registration{group: group, handlers: make(map[string]pubsub.Handler)}, options)
}

// AttachMessages adds a consumer group with a plain Watermill handler to a core that runs: it is to [Core.Attach] what [Core.SubscribeMessages] is to
// [Core.Subscribe].
func (c *Core) AttachMessages(ctx context.Context, group string, handle message.NoPublishHandlerFunc, options ...SubscribeOption) (*Attachment, error) {
	return c.attachRegistration(ctx, messagesRegistration("AttachMessages", group, handle), options)
}

// Detach ends the attachment: no new deliveries; handlers finish, and their results are committed; the partitions are released. The group remains, with what
// it has not finished, unless it has [Ephemeral]. All of it takes at most as long as the groups have when the core stops ([Config.StopTimeout]). When ctx
// ends earlier, the contexts of the handlers end, and they have a moment to return; results are committed and partitions released all the same.
//
// Handlers that still run are left behind and named by the [*AbandonedError] that Detach then returns; the core names them again at its own end if they run
// until then. Detach may be called more than once, but not by a handler of the group, which it waits for.
func (a *Attachment) Detach(ctx context.Context) error {
	began := time.Now()
	running := a.group.Detach(ctx)
	<-a.done
	if len(running) == 0 {
		return a.err
	}
	abandoned := &AbandonedError{Timeout: time.Since(began).Round(time.Millisecond)}
	for _, h := range running {
		abandoned.Handlers = append(abandoned.Handlers, AbandonedHandler(h))
	}
	return errors.Join(abandoned, a.err)
}

// Done is closed when the attachment has ended: by Detach, with the core, or by itself.
func (a *Attachment) Done() <-chan struct{} { return a.done }

// Err returns why the attachment has ended by itself: [ErrGroupDeleted], or the error with which the core ends. It returns nil if it has not.
func (a *Attachment) Err() error { return a.group.Err() }

func (c *Core) attachRegistration(ctx context.Context, s *registration, options []SubscribeOption) (*Attachment, error) {
	if err := s.apply(options); err != nil {
		return nil, err
	}
	return c.attach(ctx, s, func() pubsub.Group { return c.routerGroup(s) }) //nolint:contextcheck // a handler has the context of its message
}

// attach joins a group of the running core.
func (c *Core) attach(ctx context.Context, s *registration, described func() pubsub.Group) (*Attachment, error) {
	if err := c.awaitRunning(ctx); err != nil {
		return nil, err
	}
	a := &Attachment{core: c, name: s.group, ephemeral: s.passing, done: make(chan struct{})}
	router, err := c.reserve(a, s)
	if err != nil {
		return nil, err
	}
	defer c.attaching.Done()
	if a.group, err = router.Attach(ctx, described()); err != nil {
		c.unreserve(a)
		if errors.Is(err, group.ErrClosed) {
			err = lateCall("Attach", ErrClosed)
		}
		return nil, err
	}
	c.attaching.Go(func() { c.finishAttachment(context.WithoutCancel(ctx), a) })
	return a, nil
}

// awaitRunning waits for the end of the start.
func (c *Core) awaitRunning(ctx context.Context) error {
	c.mu.Lock()
	err := c.fresh()
	c.mu.Unlock()
	switch {
	case err == nil:
		return fmt.Errorf("%w: call Attach after Start, or Subscribe before it", ErrNotRunning)
	case errors.Is(err, ErrClosed):
		return lateCall("Attach", err)
	}
	select {
	case <-c.running:
		return nil
	case <-c.ended:
		return lateCall("Attach", ErrClosed)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reserve adds an attachment to those of the core, with its name. The caller calls attaching.Done.
func (c *Core) reserve(a *Attachment, s *registration) (*pubsub.Router, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.stopped {
		return nil, lateCall("Attach", ErrClosed)
	}
	if err := c.admit(s); err != nil {
		return nil, err
	}
	if c.attachments == nil {
		c.attachments = make(map[string]*Attachment)
	}
	c.attachments[a.name] = a
	c.counters.Of(a.name) // exported from now on
	c.attaching.Add(1)
	return c.router, nil
}

func (c *Core) unreserve(a *Attachment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.attachments, a.name)
}

// finishAttachment waits until the group is no longer read, removes an ephemeral one, and frees the name.
func (c *Core) finishAttachment(ctx context.Context, a *Attachment) {
	<-a.group.Done()
	if a.ephemeral {
		finish, end := context.WithTimeout(ctx, c.config.stopPlan().finish())
		defer end()
		if a.err = c.pass(finish, a.name); a.err != nil {
			c.config.Logger.WarnContext(ctx, "ephemeral group not removed", "group", a.name, "error", a.err)
		}
	}
	c.unreserve(a)
	close(a.done)
}

// joiner returns the function that joins groups with handlers outside of the process.
func (c *Core) joiner() group.Joiner {
	return func(ctx context.Context, config group.Config, h group.Handler) (group.Membership, error) {
		s := &registration{
			group: config.Group, start: config.Start, poison: config.OnPoison, retry: RetryPolicy(config.Retry), concurrency: config.Concurrency,
			unordered: config.Order == delivery.Unordered,
		}
		if err := checkGroup(s); err != nil {
			return nil, err
		}
		a, err := c.attach(ctx, s, func() pubsub.Group {
			described := c.groupConfig(s)
			described.Order, described.Key, described.CountHandled = config.Order, config.Key, true
			return pubsub.Group{Topic: pubsub.Topic, Config: described, Calls: h}
		})
		if err != nil {
			return nil, err
		}
		return membership{a}, nil
	}
}

// membership is the [group.Membership] of an attachment.
type membership struct{ *Attachment }

// SetConcurrency implements [group.Membership].
func (m membership) SetConcurrency(n int) { m.group.SetConcurrency(n) }

// Leave implements [group.Membership].
func (m membership) Leave(ctx context.Context) error { return m.Detach(ctx) }

// orDefault returns the policy with the fields of another one where its own are 0.
func (p RetryPolicy) orDefault(other RetryPolicy) RetryPolicy {
	return RetryPolicy{Attempts: cmp.Or(p.Attempts, other.Attempts), First: cmp.Or(p.First, other.First), Max: cmp.Or(p.Max, other.Max)}
}
