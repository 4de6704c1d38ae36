package connect

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"chatcore/app/feed"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// feedFrame is one message of a feed, as the codecs take it. The encoding of an event is made once for each format, and shared by all feeds.
type feedFrame struct {
	message feed.Message
	started string // log id of the first message, which is no message of the engine
}

// encoded returns the frame in a format: codecProto or codecJSON. The result must not be changed.
func (f *feedFrame) encoded(format string) ([]byte, error) {
	encode := func() ([]byte, error) {
		response, err := f.response()
		if err != nil {
			return nil, err
		}
		if format == codecProto {
			return proto.Marshal(response)
		}
		return jsonCodec{}.Marshal(response)
	}
	switch {
	case f.message.Event != nil:
		return f.message.Event.Encoded(format, encode)
	case f.message.Ephemeral != nil:
		return f.message.Ephemeral.Encoded(format, encode)
	}
	return encode()
}

// response returns the frame as a message of the API.
func (f *feedFrame) response() (*v1.WatchResponse, error) {
	var out output
	m := f.message
	from, to, chat := out.seq(m.From), out.seq(m.To), string(m.Chat)
	response := &v1.WatchResponse{}
	switch m.Kind {
	case 0:
		response.Message = &v1.WatchResponse_Started{Started: &v1.FeedStarted{LogId: f.started}}
	case feed.KindEvent:
		event := out.event(m.Event.Record)
		event.Redacted = m.Event.Redacted
		response.Message = &v1.WatchResponse_Event{Event: event}
	case feed.KindEphemeral:
		if err := setEphemeral(response, m.Ephemeral.Event); err != nil {
			return nil, err
		}
	case feed.KindCaughtUp:
		response.Message = &v1.WatchResponse_CaughtUp{CaughtUp: &v1.CaughtUp{ChatId: chat, Seq: to}}
	case feed.KindSkipped:
		response.Message = &v1.WatchResponse_Skipped{Skipped: &v1.Skipped{ChatId: chat, FromSeq: from, ToSeq: to, Private: m.Private}}
	case feed.KindChatJoined:
		response.Message = &v1.WatchResponse_ChatJoined{ChatJoined: &v1.ChatJoined{ChatId: chat, Seq: to}}
	case feed.KindChatLeft:
		response.Message = &v1.WatchResponse_ChatLeft{ChatLeft: &v1.ChatLeft{ChatId: chat, Seq: to}}
	case feed.KindResync:
		response.Message = &v1.WatchResponse_Resync{Resync: &v1.Resync{ChatId: chat, Seq: to}}
	case feed.KindHeartbeat:
		response.Message = &v1.WatchResponse_Heartbeat{Heartbeat: &v1.Heartbeat{}}
	default:
		return nil, fmt.Errorf("message of kind %d of a feed", m.Kind)
	}
	return answer(&out, response)
}

// setEphemeral sets the message of an ephemeral event.
func setEphemeral(response *v1.WatchResponse, event domain.Ephemeral) error {
	switch e := event.(type) {
	case domain.TypingStart:
		response.Message = &v1.WatchResponse_TypingStarted{TypingStarted: &v1.TypingStarted{ChatId: string(e.Chat), UserId: string(e.User), ExpiresAt: timeOf(e.ExpiresAt)}}
	case domain.TypingStop:
		response.Message = &v1.WatchResponse_TypingStopped{TypingStopped: &v1.TypingStopped{ChatId: string(e.Chat), UserId: string(e.User)}}
	case domain.UserStatus:
		response.Message = &v1.WatchResponse_UserStatus{UserStatus: userStatusOf(e)}
	default:
		return fmt.Errorf("ephemeral event %T in a feed", event)
	}
	return nil
}

// kind returns the name of the frame's field in the JSON of WatchResponse.
func (f *feedFrame) kind() string {
	switch f.message.Kind {
	case 0:
		return "started"
	case feed.KindEvent:
		return "event"
	case feed.KindEphemeral:
		switch f.message.Ephemeral.Event.(type) {
		case domain.TypingStart:
			return "typingStarted"
		case domain.TypingStop:
			return "typingStopped"
		}
		return "userStatus"
	case feed.KindCaughtUp:
		return "caughtUp"
	case feed.KindSkipped:
		return "skipped"
	case feed.KindChatJoined:
		return "chatJoined"
	case feed.KindChatLeft:
		return "chatLeft"
	case feed.KindResync:
		return "resync"
	case feed.KindHeartbeat:
	}
	return "heartbeat"
}
