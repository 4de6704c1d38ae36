package feed

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"sync"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// Request says what a feed follows.
type Request struct {
	// User is the reader. The feed then follows only chats that the user is a member of, each until the user's removal. It gives the events of messages
	// that are deleted without their content. "" is a service that reads everything, of named chats.
	User domain.UserID

	// Chats are the chats to follow, with the reader's position in each. At most Config.MaxChats.
	Chats []Position

	// AllChats follows all chats of User, also those that User joins meanwhile. Chats may then hold the positions of some of them, from an earlier feed:
	// chats that are not among them begin at the event with which User became a member if Resume is set, and at their head otherwise.
	AllChats bool

	// Resume says that Chats are all positions of an earlier feed of all chats.
	Resume bool

	// LogID is the log to which the positions belong, "" for the present one. A feed with positions of another log begins with a resync message.
	LogID string

	// MaxCatchUp is the most events of a chat that the feed gives from the log at its beginning; older ones are skipped. 0 is Config.MaxCatchUp, which
	// is also the most.
	MaxCatchUp int

	// DurableOnly leaves typing and status events out.
	DurableOnly bool
}

// Position is the place of a reader in a chat.
type Position struct {
	Chat domain.ChatID
	Seq  domain.Seq // the last seq that the reader has
	Head bool       // from the chat's head on, instead of from Seq
}

// Kind is the kind of a [Message].
type Kind uint8

// The kinds of messages.
const (
	KindEvent      Kind = iota + 1 // Event is the next event of Chat
	KindEphemeral                  // Ephemeral happened in Chat, or to a user with whom the reader shares a chat
	KindCaughtUp                   // the reader has every event of Chat up to To; from here on they are live
	KindSkipped                    // the events of Chat from From to To are left out, because there were too many
	KindChatJoined                 // the feed follows Chat from now on; the events after To follow
	KindChatLeft                   // the feed does not follow Chat any more; To is the last event that the reader may have
	KindResync                     // the reader's positions of Chat, or of all chats if Chat is "", are not of this log: it continues after To, and loads its state anew
	KindHeartbeat                  // nothing happened for a while
)

// Message is one message of a feed.
type Message struct {
	Kind      Kind
	Chat      domain.ChatID
	From, To  domain.Seq
	Event     *Event
	Ephemeral *Ephemeral
}

// Event is a durable event. All feeds of a process share it.
type Event struct {
	Chat     domain.ChatID
	Record   ports.Record // content is left out if Redacted
	Redacted bool         // whether its message is deleted now, so that the reader does not get its content

	encodings
}

// Ephemeral is an ephemeral event. All feeds of a process share it.
type Ephemeral struct {
	Event domain.Ephemeral
	Meta  ports.Meta

	encodings
}

// encodings holds the encodings of an event, one for each format.
type encodings struct {
	mu sync.Mutex
	of map[string]encoded
}

type encoded struct {
	bytes []byte
	err   error
}

// Encoded returns the event in a format. encode is called once for each format, whatever the number of feeds; the result must not be changed.
func (e *encodings) Encoded(format string, encode func() ([]byte, error)) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if done, ok := e.of[format]; ok {
		return done.bytes, done.err
	}
	if e.of == nil {
		e.of = make(map[string]encoded, 1)
	}
	var done encoded
	done.bytes, done.err = encode()
	e.of[format] = done
	return done.bytes, done.err
}

// Errors that end a feed. The reader resumes from [Feed.Positions].
var (
	// ErrSlow is returned once the messages that the reader has not taken exceed the bounds of the queue.
	ErrSlow = errors.New("the reader of the feed is too slow")
	// ErrEnded is returned after Close of the feed or of the hub.
	ErrEnded = errors.New("the feed has ended")
)

// Dependencies are what a hub needs. All fields are required, but for Tail: without it every Open returns a [*domain.InvalidError].
type Dependencies struct {
	Log     ports.EventLog
	LogID   string
	Tail    ports.Tail
	Access  *app.Access
	Queries *app.Queries
	Clock   ports.Clock
	Logger  *slog.Logger
}

// Config are the bounds of feeds. Zero values mean the defaults.
type Config struct {
	MaxChats   int           // chats that one feed follows. Defaults to 1,000
	MaxCatchUp int           // events of a chat that a feed gives from the log at its beginning. Defaults to 10,000
	QueueCount int           // messages that wait for a reader. Defaults to 1,024
	QueueBytes int           // bytes of events, as they are in the log, that wait for a reader. Defaults to 1 MiB
	Reads      int           // reads of the log at once, of all feeds. Defaults to 8
	CacheBytes int           // bytes of events, as they are in the log, that are kept for feeds that catch up. Defaults to 32 MiB
	Heartbeat  time.Duration // silence after which a feed gives a heartbeat. Defaults to 15 s
}

// Hub serves the feeds of a process.
type Hub struct{}

// NewHub returns a hub. It watches nothing until a feed is opened.
func NewHub(d Dependencies, c Config) *Hub { return &Hub{} }

// Close ends all feeds.
func (h *Hub) Close() {}

// Open begins a feed. It returns a [*domain.InvalidError] for a malformed request or too many chats, and for a named chat that User may not follow the
// error of [app.Access.Check].
func (h *Hub) Open(ctx context.Context, r Request) (*Feed, error) { return nil, ErrEnded }

// Feed is a feed of one reader. Next and Positions belong to one goroutine; Close may be called by any. A feed has no goroutine of its own.
type Feed struct{}

// Next waits for the next message. It reads from the log what the reader has missed, one page at a time.
func (f *Feed) Next(ctx context.Context) (Message, error) { return Message{}, ErrEnded }

// TryNext returns the next message without waiting, and false if there is none now.
func (f *Feed) TryNext() (Message, bool) { return Message{}, false }

// LogID is the log that the positions belong to.
func (f *Feed) LogID() string { return "" }

// Positions returns the reader's position in each chat that the feed follows, after the messages that Next and TryNext have returned.
func (f *Feed) Positions() iter.Seq2[domain.ChatID, domain.Seq] {
	return func(func(domain.ChatID, domain.Seq) bool) {}
}

// Close ends the feed. Next then returns [ErrEnded].
func (f *Feed) Close() {}
