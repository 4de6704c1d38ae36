package feed

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	"chatcore/domain"
	"chatcore/ports"
)

// Kind is the kind of a [Message].
type Kind uint8

// The kinds of messages.
const (
	KindEvent      Kind = iota + 1 // Event is the next event of Chat
	KindEphemeral                  // Ephemeral happened in Chat, or to a user with whom the reader shares a chat
	KindCaughtUp                   // the reader has every event of Chat up to To; from here on they are live
	KindSkipped                    // the events of Chat from From to To are left out, because there were too many or, if Private is set, they are for others
	KindChatJoined                 // the feed follows Chat from now on; the events after To follow
	KindChatLeft                   // the feed does not follow Chat any more; To is the last event that the reader may have
	KindResync                     // the reader's positions of Chat, or of all chats if Chat is "", are not of this log, or may not be after a restart of its server: it continues after To, and loads its state anew
	KindHeartbeat                  // nothing happened for a while
)

// String returns the name of the kind, such as "event" and "caught_up".
func (k Kind) String() string {
	switch k {
	case KindEvent:
		return "event"
	case KindEphemeral:
		return "ephemeral"
	case KindCaughtUp:
		return "caught_up"
	case KindSkipped:
		return "skipped"
	case KindChatJoined:
		return "chat_joined"
	case KindChatLeft:
		return "chat_left"
	case KindResync:
		return "resync"
	case KindHeartbeat:
		return "heartbeat"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// Message is one message of a feed.
type Message struct {
	Kind      Kind
	Chat      domain.ChatID
	From, To  domain.Seq
	Private   bool // of KindSkipped: the events are for other users alone, so there is nothing to load
	Event     *Event
	Ephemeral *Ephemeral
}

// Event is a durable event. All feeds of a process share it.
type Event struct {
	Chat     domain.ChatID
	Record   ports.Record // content is left out if Redacted
	Redacted bool         // whether its message is deleted now, so that the reader does not get its content

	size     int                   // about how many bytes the event has in the log
	redacted atomic.Pointer[Event] // for users, once the message is deleted; nil before
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
	made atomic.Int64 // bytes of all

	mu sync.Mutex
	of []encoded // guarded by mu; few
}

type encoded struct {
	format string
	bytes  []byte
	err    error
}

// Encoded returns the event in a format. encode is called once for each format, whatever the number of feeds; the result must not be changed.
func (e *encodings) Encoded(format string, encode func() ([]byte, error)) ([]byte, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, done := range e.of {
		if done.format == format {
			return done.bytes, done.err
		}
	}
	done := encoded{format: format}
	done.bytes, done.err = encode()
	e.of = append(e.of, done)
	e.made.Add(int64(cap(done.bytes)))
	return done.bytes, done.err
}

// eventBytes is about how much memory the structs of a decoded event take.
const eventBytes = 480

// held returns about how many bytes of memory an event takes: decoded, with the encodings that were made. An event without an encoding counts as if it had
// one, since most get one soon.
func (e *Event) held() int {
	held := eventBytes + e.size + max(e.size, int(e.made.Load()))
	if r := e.redacted.Load(); r != nil {
		held += eventBytes + int(r.made.Load())
	}
	return held
}

// Errors that end a feed. The reader resumes from [Feed.Positions].
var (
	// ErrSlow is returned once the messages that the reader has not taken exceed the bounds of the queue.
	ErrSlow = errors.New("the reader of the feed is too slow")
	// ErrEnded is returned after Close of the feed or of the hub.
	ErrEnded = errors.New("the feed has ended")
)
