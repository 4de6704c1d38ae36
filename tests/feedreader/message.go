package feedreader

import (
	"time"

	rpc "connectrpc.com/connect"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// Kind is the kind of a [Message].
type Kind string

// The kinds of messages. The first two are of the reader itself.
const (
	Opened   Kind = "opened" // a connection begins; At is before the request
	Ended    Kind = "ended"  // it has ended; Err is the reason, and Code that of the server
	Started  Kind = "started"
	Event    Kind = "event"
	CaughtUp Kind = "caught up"
	Skipped  Kind = "skipped"
	Joined   Kind = "joined"
	Left     Kind = "left"
	Resync   Kind = "resync"
	Typing   Kind = "typing"
	Status   Kind = "status"
	Silence  Kind = "heartbeat"
)

// Message is one message of a feed, or the beginning or the end of a connection.
type Message struct {
	Kind Kind
	Chat domain.ChatID
	From domain.Seq // first seq of a Skipped
	Seq  domain.Seq // seq of an Event, or the position that the message states
	ID   domain.EventID
	// Event is nil unless Kind is Event.
	Event *v1.Event
	At    time.Time // when it came

	Instance string // of Opened
	Token    string // of Opened
	Resumed  bool   // of Opened: the request names the reader's positions of all chats
	Log      string // of Started
	Err      string // of Ended
	Code     rpc.Code
	Stated   bool // of Ended: the server stated Code
}

// messageOf returns a response as a message.
func messageOf(r *v1.WatchResponse) Message {
	switch m := r.GetMessage().(type) {
	case *v1.WatchResponse_Started:
		return Message{Kind: Started, Log: m.Started.GetLogId()}
	case *v1.WatchResponse_Event:
		e := m.Event
		return Message{Kind: Event, Chat: domain.ChatID(e.GetChatId()), Seq: domain.Seq(e.GetSeq()), ID: domain.EventID(e.GetId()), Event: e}
	case *v1.WatchResponse_CaughtUp:
		return Message{Kind: CaughtUp, Chat: domain.ChatID(m.CaughtUp.GetChatId()), Seq: domain.Seq(m.CaughtUp.GetSeq())}
	case *v1.WatchResponse_Skipped:
		return Message{
			Kind: Skipped, Chat: domain.ChatID(m.Skipped.GetChatId()), From: domain.Seq(m.Skipped.GetFromSeq()), Seq: domain.Seq(m.Skipped.GetToSeq()),
		}
	case *v1.WatchResponse_ChatJoined:
		return Message{Kind: Joined, Chat: domain.ChatID(m.ChatJoined.GetChatId()), Seq: domain.Seq(m.ChatJoined.GetSeq())}
	case *v1.WatchResponse_ChatLeft:
		return Message{Kind: Left, Chat: domain.ChatID(m.ChatLeft.GetChatId()), Seq: domain.Seq(m.ChatLeft.GetSeq())}
	case *v1.WatchResponse_Resync:
		return Message{Kind: Resync, Chat: domain.ChatID(m.Resync.GetChatId()), Seq: domain.Seq(m.Resync.GetSeq())}
	case *v1.WatchResponse_TypingStarted:
		return Message{Kind: Typing, Chat: domain.ChatID(m.TypingStarted.GetChatId())}
	case *v1.WatchResponse_TypingStopped:
		return Message{Kind: Typing, Chat: domain.ChatID(m.TypingStopped.GetChatId())}
	case *v1.WatchResponse_UserStatus:
		return Message{Kind: Status}
	}
	return Message{Kind: Silence}
}
