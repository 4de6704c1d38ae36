package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// Metadata keys: the event's type, which is also the name of its live channel, and its chat.
const (
	MetaType = wireformat.MetaType
	MetaChat = wireformat.MetaChatID
)

// Topic is the topic of a [Subscriber] that has the partitions of the log.
const Topic = "log"

// SubscriberConfig is the configuration of a [Subscriber].
type SubscriberConfig struct {
	group.Config // without Store and Partitions, which Stores gives

	Stores groups.Stores // of [Topic]; nil: it is no topic
	// Stream returns the groups of a stream that carries no log, for topics other than [Topic]. nil: there are no other topics. One of Stores and Stream
	// is required.
	Stream func(name string) groups.Stores
}

// Subscriber is a Watermill subscriber that reads as a consumer group; see package group for order and guarantees. Each Subscribe is one member. Its
// messages are settled by the router of this package, or by their acks.
//
// A message's context has the values and the end of the member's handlers; [InfoOf] describes its delivery.
type Subscriber struct {
	config  SubscriberConfig
	settled bool // the router reports the outcomes of its messages

	mu      sync.Mutex // guards the fields below
	members []*subscription
	closed  bool
	failure error // of members that have ended by themselves and are not among the others
}

var _ message.Subscriber = (*Subscriber)(nil)

// subscription is one Subscribe.
type subscription struct {
	*group.Member
	store    groups.Store
	messages chan *message.Message // closed when the member has ended; nil: it has none
	ended    chan struct{}         // closed when the member has ended, its store is closed and its messages are
}

// NewSubscriber returns a subscriber of a consumer group.
func NewSubscriber(c SubscriberConfig) (*Subscriber, error) {
	if c.Stores == nil && c.Stream == nil {
		return nil, &domain.InvalidError{Field: "Stores", Problem: "are missing", Allowed: "the stores of a log's groups, or Stream"}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	c.Metadata = true
	return &Subscriber{config: c}, nil
}

// Subscribe reads a topic until ctx ends. The group exists when Subscribe returns: events appended from then on reach it. While the store is unavailable
// Subscribe waits, half a minute at most. A message whose handler runs when ctx ends may still be acked, and its context lives, until the drain is
// over.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	_, messages, err := s.subscribe(ctx, topic)
	return messages, err
}

func (s *Subscriber) subscribe(ctx context.Context, topic string) (*subscription, <-chan *message.Message, error) {
	out := newOutput(s.config.Concurrency, !s.settled)
	member, err := s.join(ctx, topic, out)
	if err != nil {
		return nil, nil, fmt.Errorf("subscribing to %s as %s: %w", topic, s.config.Group, err)
	}
	member.messages = out.messages
	go s.run(ctx, member)
	return member, out.messages, nil
}

// storesOf returns the stores of a topic.
func (s *Subscriber) storesOf(topic string) (groups.Stores, error) {
	switch {
	case topic == Topic && s.config.Stores != nil:
		return s.config.Stores, nil
	case s.config.Stream != nil:
		return s.config.Stream(topic), nil
	}
	return nil, &domain.InvalidError{Field: "topic", Problem: fmt.Sprintf("is %q", topic), Allowed: Topic}
}

// join makes a member that reads a topic.
func (s *Subscriber) join(ctx context.Context, topic string, h group.Handler) (*subscription, error) {
	stores, err := s.storesOf(topic)
	if err != nil {
		return nil, err
	}
	if s.isClosed() { // a group that does not exist is not created
		return nil, group.ErrClosed
	}
	config := s.config.Config
	config.Store, config.Partitions = stores.Store(config.Group), stores.Partitions()
	m, err := group.Join(ctx, config, h)
	if err != nil {
		return nil, errors.Join(err, config.Store.Close())
	}
	member := &subscription{Member: m, store: config.Store, ended: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errors.Join(group.ErrClosed, config.Store.Close())
	}
	s.members = append(s.members, member)
	return member, nil
}

func (s *Subscriber) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// run runs a member, and removes it when it has ended, unless its handlers still run.
func (s *Subscriber) run(ctx context.Context, member *subscription) {
	defer close(member.ended)
	member.Run(ctx)
	if err := member.store.Close(); err != nil {
		s.config.Logger.WarnContext(ctx, "store of a group not closed", "group", s.config.Group, "error", err)
	}
	if member.messages != nil {
		close(member.messages)
	}
	running := len(member.Running()) > 0
	s.mu.Lock()
	defer s.mu.Unlock()
	if running {
		return
	}
	s.failure = errors.Join(s.failure, member.Err())
	for i := range s.members {
		if s.members[i] == member {
			s.members = append(s.members[:i], s.members[i+1:]...)
			return
		}
	}
}

// Err returns why members have ended by themselves: [ports.ErrLogLost], [ports.ErrNewerLog] or [groups.ErrGroupDeleted]. It returns nil if none has.
func (s *Subscriber) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.failure
	for _, m := range s.members {
		err = errors.Join(err, m.Err())
	}
	return err
}

func (s *Subscriber) subscriptions() []*subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*subscription(nil), s.members...)
}

// Close stops reading, waits for running handlers, for at most [group.Config].Drain, commits their outcomes, releases the partitions and closes the
// channels of messages. Handlers that it leaves behind still run.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	members := s.subscriptions()
	for _, m := range members {
		m.Stop()
	}
	for _, m := range members {
		<-m.ended
	}
	return nil
}
