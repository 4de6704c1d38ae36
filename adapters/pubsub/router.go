package pubsub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
)

// RetryPolicy says how often and when a failed handler is tried again. While it waits, the entries behind wait too.
type RetryPolicy struct {
	Attempts int           // handler starts before a delivery is set aside. Defaults to 5
	First    time.Duration // before the second start; doubles, give or take a half. Defaults to 100 ms
	Max      time.Duration // between two starts at most. Defaults to 10 s
}

func (p RetryPolicy) withDefaults() RetryPolicy {
	if p.Attempts <= 0 {
		p.Attempts = 5
	}
	if p.First <= 0 {
		p.First = 100 * time.Millisecond
	}
	if p.Max <= 0 {
		p.Max = 10 * time.Second
	}
	return p
}

// DeadLetter is a delivery that was set aside.
type DeadLetter struct {
	Stream   string // where it came from
	Group    string
	Reason   string
	Attempts int // handler starts
	Message  *message.Message
}

// DeadLetters keeps what was set aside.
type DeadLetters interface {
	// Put keeps a letter. Given again after an error it may keep it twice.
	Put(ctx context.Context, letter DeadLetter) error
}

// StreamDeadLetters keeps dead letters in Redis: for each delivery stream and group a stream of its own, named
// <stream>:dead:<group>, with fields group, reason and attempts before those of the entry.
type StreamDeadLetters struct {
	client goredis.UniversalClient
}

// NewStreamDeadLetters keeps dead letters through a client, which it does not close.
func NewStreamDeadLetters(client goredis.UniversalClient) *StreamDeadLetters {
	return &StreamDeadLetters{client: client}
}

// DeadStream names the stream of a group's dead letters.
func DeadStream(stream, group string) string { return stream + ":dead:" + group }

// Put implements [DeadLetters].
func (s *StreamDeadLetters) Put(ctx context.Context, d DeadLetter) error {
	metadata := make(map[string]string, len(d.Message.Metadata))
	for key, value := range d.Message.Metadata {
		switch key {
		case metaSeq, metaChat, metaBroken, metaAttempt:
		default:
			metadata[key] = value
		}
	}
	values := []any{
		"group", d.Group, "reason", d.Reason, "attempts", d.Attempts,
		wireformat.FieldUUID, d.Message.UUID,
		wireformat.FieldMetadata, wireformat.EncodeMetadata(metadata),
		wireformat.FieldPayload, []byte(d.Message.Payload),
	}
	if seq := d.Message.Metadata.Get(metaSeq); seq != "" {
		values = append(values, wireformat.FieldChat, d.Message.Metadata.Get(metaChat), wireformat.FieldSeq, seq)
	}
	return s.client.XAdd(ctx, &goredis.XAddArgs{Stream: DeadStream(d.Stream, d.Group), Values: values}).Err()
}

// MemoryDeadLetters keeps dead letters in the process.
type MemoryDeadLetters struct {
	mu      sync.Mutex
	letters []DeadLetter
}

// Put implements [DeadLetters].
func (m *MemoryDeadLetters) Put(_ context.Context, d DeadLetter) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letters = append(m.letters, d)
	return nil
}

// ErrDuplicateGroup is a consumer group that was added twice.
var ErrDuplicateGroup = errors.New("consumer group added twice")

// Router runs consumer groups over streams with a Watermill router.
type Router struct {
	*message.Router
	letters  DeadLetters
	counters *Counters
	retry    RetryPolicy
	logger   *slog.Logger
	groups   map[string]struct{}
}

// NewRouter makes a router. closeTimeout is how long handlers may still run when it is closed.
func NewRouter(letters DeadLetters, counters *Counters, retry RetryPolicy, closeTimeout time.Duration, logger *slog.Logger) (*Router, error) {
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: closeTimeout}, watermill.NewSlogLogger(logger))
	if err != nil {
		return nil, err
	}
	return &Router{Router: router, letters: letters, counters: counters, retry: retry.withDefaults(), logger: logger, groups: make(map[string]struct{})}, nil
}

// AddGroup adds a consumer group that reads each of the streams. Around its handler stand, from outside: setting aside as a dead
// letter, the router's middlewares, trying again, counting attempts, catching panics.
func (r *Router) AddGroup(group string, streams []string, subscriber message.Subscriber, handle message.NoPublishHandlerFunc, middlewares ...message.HandlerMiddleware) error {
	if _, twice := r.groups[group]; twice {
		return fmt.Errorf("%w: %q", ErrDuplicateGroup, group)
	}
	r.groups[group] = struct{}{}
	for _, stream := range streams {
		h := r.AddConsumerHandler(group+"@"+stream, stream, subscriber, handle)
		h.AddMiddleware(r.setAside(stream, group))
		h.AddMiddleware(middlewares...)
		h.AddMiddleware(r.tryAgain(), countAttempts, middleware.Recoverer)
	}
	return nil
}

// tryAgain starts a handler that failed again, save for permanent errors. (Retry's own ShouldRetry draws a delay each time it is asked,
// and so would double the doubling.)
func (r *Router) tryAgain() message.HandlerMiddleware {
	again := middleware.Retry{
		MaxRetries:          r.retry.Attempts - 1,
		InitialInterval:     r.retry.First,
		MaxInterval:         r.retry.Max,
		Multiplier:          2,
		RandomizationFactor: 0.5,
	}
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			var final error
			produced, err := again.Middleware(func(msg *message.Message) ([]*message.Message, error) {
				produced, err := next(msg)
				if IsPermanent(err) {
					final = err
					return nil, nil
				}
				return produced, err
			})(msg)
			return produced, errors.Join(err, final)
		}
	}
}

func countAttempts(next message.HandlerFunc) message.HandlerFunc {
	return func(msg *message.Message) ([]*message.Message, error) {
		msg.Metadata.Set(metaAttempt, strconv.Itoa(Attempt(msg)+1))
		return next(msg)
	}
}

// setAside makes a dead letter of what failed for good and finishes it. What failed because the process stops comes again, and so does
// what could not be set aside.
func (r *Router) setAside(stream, group string) message.HandlerMiddleware {
	return func(next message.HandlerFunc) message.HandlerFunc {
		return func(msg *message.Message) ([]*message.Message, error) {
			produced, err := next(msg)
			if err == nil || msg.Context().Err() != nil {
				return produced, err
			}
			attempts := Attempt(msg)
			letter := DeadLetter{Stream: stream, Group: group, Reason: err.Error(), Attempts: attempts, Message: msg}
			if putErr := r.letters.Put(msg.Context(), letter); putErr != nil {
				return nil, errors.Join(err, fmt.Errorf("setting it aside: %w", putErr))
			}
			r.counters.DeadLetters.Add(1)
			r.logger.WarnContext(msg.Context(), "delivery set aside",
				"group", group, "stream", stream, "event_id", msg.UUID, "attempts", attempts, "error", err)
			return nil, nil
		}
	}
}
