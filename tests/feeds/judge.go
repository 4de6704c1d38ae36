package feeds

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/feedreader"
)

// Log is the log at the end of a run in which it has lost nothing.
type Log struct {
	Chats   map[domain.ChatID][]*v1.Event
	Deleted map[string]time.Time // deleted messages, with the time of the answer to the deletion
	Closed  map[string]struct{}  // tokens of closed sessions
}

// defaultCatchUp is the most missed events of a chat that come if a reader names no number.
const defaultCatchUp = 1000

// Judge returns the messages of a reader that differ from the log.
func Judge(log Log, config feedreader.Config, messages []feedreader.Message) []string {
	j := judge{Log: log, config: config, user: userOf(config), read: make(map[domain.ChatID]struct{})}
	track := feedreader.NewTrack(config.AllChats, config.Chats)
	for i, m := range messages {
		j.place = i
		if f := track.Take(m); f != nil {
			j.found("%s", f)
		}
		j.message(m)
	}
	for _, missing := range Missing(log, config, track.Positions()) {
		j.found("at the end %s", missing)
	}
	return j.violations
}

// userOf returns the user that a reader reads as, "" for a service.
func userOf(c feedreader.Config) domain.UserID { return c.Actor }

type judge struct {
	Log
	config     feedreader.Config
	user       domain.UserID
	place      int
	opened     feedreader.Message
	read       map[domain.ChatID]struct{} // chats of which an event came since the reader opened the feed or joined the chat
	violations []string
}

func (j *judge) found(format string, args ...any) {
	j.violations = append(j.violations, fmt.Sprintf("%s, message %d: ", j.config.Name, j.place)+fmt.Sprintf(format, args...))
}

func (j *judge) message(m feedreader.Message) {
	switch m.Kind {
	case feedreader.Opened:
		j.opened, j.read = m, make(map[domain.ChatID]struct{})
	case feedreader.Ended:
		j.ended(m)
	case feedreader.Event:
		j.event(m)
		j.read[m.Chat] = struct{}{}
	case feedreader.Skipped:
		most := domain.Seq(defaultCatchUp)
		if j.config.MaxCatchUp > 0 {
			most = domain.Seq(j.config.MaxCatchUp)
		}
		if head := domain.Seq(len(j.Chats[m.Chat])); m.Seq+most > head {
			j.found("chat %s: skipped %d to %d, and the head was at most %d: less than %d events were missed", m.Chat, m.From, m.Seq, head, most)
		}
	case feedreader.Left:
		if e := j.at(m.Chat, m.Seq); e == nil || !removes(e, j.user) {
			j.found("chat %s: left at seq %d, which does not remove the user", m.Chat, m.Seq)
		}
	case feedreader.Joined:
		if e := j.at(m.Chat, m.Seq+1); e == nil || !adds(e, j.user) {
			j.found("chat %s: joined at seq %d, and the next event does not add the user", m.Chat, m.Seq)
		}
		delete(j.read, m.Chat)
	case feedreader.Resync:
		if _, read := j.read[m.Chat]; !read && m.Chat != "" { // Redis was restarted, and the server knows no event that proves that nothing is lost
			return
		}
		j.found("chat %q: resync to seq %d, and the log has lost nothing", m.Chat, m.Seq)
	default:
	}
}

// ended checks the error that a server states.
func (j *judge) ended(m feedreader.Message) {
	if !m.Stated {
		return
	}
	switch m.Code {
	case rpc.CodeUnavailable, rpc.CodeResourceExhausted, rpc.CodeDeadlineExceeded:
		return
	case rpc.CodeUnauthenticated:
		if _, closed := j.Closed[j.opened.Token]; closed {
			return
		}
	default:
	}
	j.found("ended with %s", m.Err)
}

func (j *judge) at(chat domain.ChatID, seq domain.Seq) *v1.Event {
	if seq < 1 || int(seq) > len(j.Chats[chat]) {
		return nil
	}
	return j.Chats[chat][seq-1]
}

// event compares an event with that of the log.
func (j *judge) event(m feedreader.Message) {
	logged := j.at(m.Chat, m.Seq)
	if logged == nil || logged.GetId() != string(m.ID) {
		j.found("chat %s: event %s at seq %d, which the log does not have there", m.Chat, m.ID, m.Seq)
		return
	}
	if until := j.readable(m.Chat, m.At); m.Seq > until {
		j.found("chat %s: event at seq %d came at %s, after the removal at %d", m.Chat, m.Seq, m.At.Format("15:04:05.000"), until)
	}
	message := contentOf(logged)
	deleted, gone := j.Deleted[message]
	want := proto.CloneOf(logged)
	if m.Event.GetRedacted() {
		if !gone || j.user == "" {
			j.found("chat %s: event at seq %d is redacted, and must not be", m.Chat, m.Seq)
		}
		redact(want)
	} else if gone && j.user != "" && message != "" && deleted.Before(j.opened.At) {
		j.found("chat %s: seq %d has the content of message %s, which was deleted before the connection at %s", m.Chat, m.Seq, message, j.opened.At.Format("15:04:05.000"))
	}
	if !proto.Equal(m.Event, want) {
		j.found("chat %s: event at seq %d is %v, the log has %v", m.Chat, m.Seq, m.Event, want)
	}
}

// contentOf returns the message of which an event has content, or "".
func contentOf(e *v1.Event) string {
	if sent := e.GetMessageNew(); sent != nil {
		return sent.GetMessageId()
	}
	return e.GetMessageEdit().GetMessageId()
}

// redact leaves out the content of an event.
func redact(e *v1.Event) {
	e.Redacted = true
	if m := e.GetMessageNew(); m != nil {
		m.Content, m.Mentions, m.Attachments, m.ClientMeta = "", nil, nil, ""
	}
	if m := e.GetMessageEdit(); m != nil {
		m.Content, m.Mentions, m.Attachments, m.MentionsChanged, m.AttachmentsChanged = "", nil, nil, false, false
	}
}

func removes(e *v1.Event, user domain.UserID) bool {
	u := e.GetChatUpdate()
	return user != "" && u.GetChange() == v1.ChatChange_CHAT_CHANGE_MEMBER_REMOVED && u.GetUserId() == string(user)
}

func adds(e *v1.Event, user domain.UserID) bool {
	u := e.GetChatUpdate()
	switch u.GetChange() {
	case v1.ChatChange_CHAT_CHANGE_CREATED:
		return e.GetActorId() == string(user)
	case v1.ChatChange_CHAT_CHANGE_MEMBER_ADDED:
		return u.GetUserId() == string(user)
	default:
		return false
	}
}

// readable returns the last seq that the user may read at a time. A membership that began later counts for nothing.
func (j *judge) readable(chat domain.ChatID, at time.Time) domain.Seq {
	until := domain.Seq(math.MaxUint32)
	if j.user == "" {
		return until
	}
	until = 0
	for _, e := range j.Chats[chat] {
		switch {
		case adds(e, j.user):
			if e.GetOccurredAt().AsTime().After(at) {
				return until
			}
			until = math.MaxUint32
		case removes(e, j.user):
			until = domain.Seq(e.GetSeq())
		}
	}
	return until
}

// Missing returns what a reader has still to get, by its positions.
func Missing(log Log, config feedreader.Config, positions map[domain.ChatID]feedreader.Position) (missing []string) {
	user := userOf(config)
	for _, chat := range slices.Sorted(maps.Keys(log.Chats)) {
		p, known := positions[chat]
		head := domain.Seq(len(log.Chats[chat]))
		member := user == "" || isMember(log.Chats[chat], user)
		switch {
		case !known && (!config.AllChats || !member), known && p.Left && (!config.AllChats || !member):
		case !member:
			missing = append(missing, fmt.Sprintf("chat %s: the user is no member, and follows it up to seq %d", chat, p.Seq))
		case !known || p.Left:
			missing = append(missing, fmt.Sprintf("chat %s: the user is a member, and does not follow it", chat))
		case !p.Known || p.Seq != head:
			missing = append(missing, fmt.Sprintf("chat %s: the reader is at seq %d of %d", chat, p.Seq, head))
		}
	}
	return missing
}

func isMember(events []*v1.Event, user domain.UserID) bool {
	for _, e := range slices.Backward(events) {
		if adds(e, user) {
			return true
		}
		if removes(e, user) {
			return false
		}
	}
	return false
}
