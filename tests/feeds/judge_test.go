package feeds

import (
	"slices"
	"strings"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/feedreader"
)

// at is a time of a story, in seconds from its beginning.
func at(s int) time.Time { return time.Unix(int64(s), 0) }

// storyLog returns the log of a story: the owner creates a chat, adds ada, says one thing and another, removes ada, speaks, adds ada again, and speaks. The first
// message is deleted.
func storyLog() Log {
	change := func(kind v1.ChatChange, user string) *v1.Event {
		return &v1.Event{ActorId: "owner", Event: &v1.Event_ChatUpdate{ChatUpdate: &v1.ChatUpdate{Change: kind, UserId: user}}}
	}
	says := func(id string) *v1.Event {
		return &v1.Event{ActorId: "owner", Event: &v1.Event_MessageNew{MessageNew: &v1.MessageNew{MessageId: id, Content: "hi"}}}
	}
	log := []*v1.Event{
		change(v1.ChatChange_CHAT_CHANGE_CREATED, ""), change(v1.ChatChange_CHAT_CHANGE_MEMBER_ADDED, "ada"), says("m3"), says("m4"),
		change(v1.ChatChange_CHAT_CHANGE_MEMBER_REMOVED, "ada"), says("m6"), change(v1.ChatChange_CHAT_CHANGE_MEMBER_ADDED, "ada"), says("m8"),
		{ActorId: "owner", Event: &v1.Event_MessageDelete{MessageDelete: &v1.MessageDelete{MessageId: "m3"}}},
	}
	for i, e := range log {
		e.ChatId, e.Seq, e.Id, e.OccurredAt = "c", uint32(i+1), string(rune('a'+i)), timestamppb.New(at(10*(i+1))) //nolint:gosec // small
	}
	return Log{Chats: map[domain.ChatID][]*v1.Event{"c": log}, Deleted: map[string]time.Time{"m3": at(95)}, Closed: map[string]struct{}{"old": {}}}
}

// story is a reader with its messages. Each comes 5 s after its event, or after the message before.
type story struct {
	config   feedreader.Config
	messages []feedreader.Message
	log      Log
	now      int
}

func read(c feedreader.Config) *story {
	return &story{config: c, log: storyLog()}
}

func (s *story) message(m feedreader.Message) *story {
	m.At = at(s.now)
	s.messages = append(s.messages, m)
	return s
}

func (s *story) opens(now int) *story {
	s.now = now
	return s.message(feedreader.Message{Kind: feedreader.Opened, Token: "new"})
}

// gets adds the events of the log from a seq to a seq.
func (s *story) gets(from, to int) *story {
	for seq := from; seq <= to; seq++ {
		e := s.log.Chats["c"][seq-1]
		s.now = max(s.now, 10*seq+5)
		s.message(feedreader.Message{Kind: feedreader.Event, Chat: "c", Seq: domain.Seq(e.GetSeq()), ID: domain.EventID(e.GetId()), Event: proto.CloneOf(e)}) //nolint:gosec // small
	}
	return s
}

// redacted redacts the event of the last message.
func (s *story) redacted() *story {
	redact(s.messages[len(s.messages)-1].Event)
	return s
}

func (s *story) is(kind feedreader.Kind, from, seq domain.Seq) *story {
	return s.message(feedreader.Message{Kind: kind, Chat: "c", From: from, Seq: seq})
}

func (s *story) ends(code rpc.Code) *story {
	return s.message(feedreader.Message{Kind: feedreader.Ended, Code: code, Stated: true, Err: code.String()})
}

// TestJudge_FindsPlantedViolations shows that each rule can be broken, and that what is right is not a violation.
func TestJudge_FindsPlantedViolations(t *testing.T) {
	service := feedreader.Config{Name: "s", Chats: from(0, "c")}
	ada := feedreader.Config{Name: "a", Actor: "ada", Chats: from(0, "c")}
	all := feedreader.Config{Name: "all", Actor: "ada", AllChats: true}
	few := feedreader.Config{Name: "few", Chats: from(0, "c"), MaxCatchUp: 3}
	for name, c := range map[string]struct {
		story *story
		want  []string
	}{
		"a service":             {read(service).opens(0).gets(1, 9), nil},
		"a service that lags":   {read(service).opens(100).gets(1, 9), nil},
		"a member":              {read(ada).opens(100).gets(1, 3).redacted().gets(4, 9), nil},
		"a former member":       {read(ada).opens(25).gets(1, 5).is(feedreader.Left, 0, 5), nil},
		"a member that is back": {read(all).opens(0).gets(2, 5).is(feedreader.Left, 0, 5).is(feedreader.Joined, 0, 6).gets(7, 9), nil},
		"skipped":               {read(few).opens(100).is(feedreader.Skipped, 1, 6).gets(7, 9), nil},
		"resync without events": {read(service).opens(0).gets(1, 4).opens(60).is(feedreader.Resync, 0, 6).gets(7, 9), nil},
		"ends":                  {read(service).opens(0).ends(rpc.CodeUnavailable).opens(100).gets(1, 9), nil},

		"an event twice":       {read(service).opens(0).gets(1, 4).gets(4, 9), []string{"an event comes twice: chat c: event d at seq 4"}},
		"an event missing":     {read(service).opens(0).gets(1, 4).gets(6, 9), []string{"events are missing, and the feed does not say so: chat c: event from seq 6 after seq 4"}},
		"one missing between":  {read(service).opens(0).gets(1, 4).opens(0).gets(6, 9), []string{"events are missing"}},
		"the last one missing": {read(service).opens(0).gets(1, 8), []string{"at the end chat c: the reader is at seq 8 of 9"}},
		"in another order":     {read(service).opens(0).gets(1, 3).gets(5, 5).gets(4, 9), []string{"events are missing", "a feed goes back", "an event comes twice"}},
		"another event": {
			read(service).opens(0).gets(1, 9).but(func(s *story) { s.messages[3].ID = "other" }),
			[]string{"event other at seq 3, which the log does not have there"},
		},
		"other content": {
			read(service).opens(0).gets(1, 9).but(func(s *story) { s.messages[3].Event.GetMessageNew().Content = "ho" }),
			[]string{"event at seq 3 is"},
		},
		"a service gets a redacted event": {read(service).opens(100).gets(1, 3).redacted().gets(4, 9), []string{"event at seq 3 is redacted, and must not be"}},
		"a redacted event of a message that is there": {
			read(ada).opens(25).gets(1, 4).redacted().gets(5, 5).is(feedreader.Left, 0, 5), []string{"event at seq 4 is redacted, and must not be"},
		},
		"a redacted event with content": {
			read(ada).opens(100).gets(1, 3).redacted().gets(4, 9).but(func(s *story) { s.messages[3].Event.GetMessageNew().Content = "hi" }),
			[]string{"event at seq 3 is"},
		},
		"content of a deleted message": {read(ada).opens(100).gets(1, 9), []string{"seq 3 has the content of message m3, which was deleted before the connection"}},
		"an event after the removal": {
			read(ada).opens(25).gets(1, 6).is(feedreader.Left, 0, 6),
			[]string{"event at seq 6 came at", "left at seq 6, which does not remove the user"},
		},
		"joined elsewhere": {
			read(all).opens(0).gets(2, 5).is(feedreader.Left, 0, 5).is(feedreader.Joined, 0, 5).gets(6, 9),
			[]string{"joined at seq 5, and the next event does not add the user", "event at seq 6 came at"},
		},
		"events of a chat that was left": {
			read(all).opens(0).gets(2, 5).is(feedreader.Left, 0, 5).gets(7, 7),
			[]string{"a message is of a chat that the feed does not follow: chat c: event at seq 7", "at the end chat c: the user is a member, and does not follow it"},
		},
		"not followed":         {read(all).opens(0), []string{"at the end chat c: the user is a member, and does not follow it"}},
		"skipped without need": {read(few).opens(100).is(feedreader.Skipped, 1, 7).gets(8, 9), []string{"skipped 1 to 7, and the head was at most 9: less than 3 events were missed"}},
		"resync":               {read(service).opens(0).gets(1, 4).is(feedreader.Resync, 0, 4).gets(5, 9), []string{`chat "c": resync to seq 4, and the log has lost nothing`}},
		"refused":              {read(service).opens(0).ends(rpc.CodeUnauthenticated).opens(100).gets(1, 9), []string{"ended with unauthenticated"}},
		"a log that is lost":   {read(service).opens(0).ends(rpc.CodeDataLoss).opens(100).gets(1, 9), []string{"ended with data_loss"}},
		"caught up too early":  {read(service).opens(0).gets(1, 4).is(feedreader.CaughtUp, 0, 6).gets(7, 9), []string{"events are missing"}},
	} {
		t.Run(name, func(t *testing.T) {
			found := Judge(c.story.log, c.story.config, c.story.messages)
			for _, want := range c.want {
				if !slices.ContainsFunc(found, func(v string) bool { return strings.Contains(v, want) }) {
					t.Errorf("not found: %s", want)
				}
			}
			if len(found) != len(c.want) {
				t.Errorf("found:\n%s", strings.Join(found, "\n"))
			}
		})
	}
}

func (s *story) but(change func(*story)) *story {
	change(s)
	return s
}
