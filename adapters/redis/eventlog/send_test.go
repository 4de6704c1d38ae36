package eventlog_test

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// plainSend is an append of a message that send.lua can do, if chat and sender are at the versions.
func plainSend(c domain.ChatID, m domain.MessageID, by domain.UserID, chat, member domain.Seq) ports.Append {
	e := domain.MessageNew{Chat: c, Message: m, Sender: by, Content: "The tomatoes are ripe.", At: time.UnixMilli(1_800_000_000_000)}
	return ports.Append{
		Chat: c, Events: []ports.NewEvent{{ID: domain.EventID("e-" + string(m)), Event: e, Moves: domain.Moves(e)}}, EndsTyping: by,
		Conditions: []domain.Condition{{Entity: domain.ChatEntity(), Version: chat}, {Entity: domain.MemberEntity(by), Version: member}, {Entity: domain.MessageEntity(m)}},
	}
}

// inGeneral is the same append for append.lua: it has one of the conditions twice, the second time as a range.
func inGeneral(a ports.Append) ports.Append {
	a.Conditions = append(slices.Clone(a.Conditions), a.Conditions[0])
	a.Conditions[len(a.Conditions)-1].UpTo = a.Conditions[0].Version
	return a
}

// with is a plain send of another message, which may depend on other entities.
func with(a ports.Append, change func(m *domain.MessageNew), conditions ...domain.Condition) ports.Append {
	e, _ := a.Events[0].Event.(domain.MessageNew)
	change(&e)
	a.Events = []ports.NewEvent{{ID: a.Events[0].ID, Event: e, Moves: domain.Moves(e)}}
	a.Conditions = append(slices.Clone(a.Conditions), conditions...)
	return a
}

// side is one of two servers that get the same appends.
type side struct {
	client goredis.UniversalClient
	log    *eventlog.Log
	calls  *scriptCalls
	heard  *goredis.PubSub
	form   func(ports.Append) ports.Append // in which this side gets plain appends
}

// sides are a server whose plain appends go to their scripts, and one whose plain appends go to append.lua.
type sides struct {
	keys     keyspace.Keys
	ids      map[string]string // the identities of the partitions
	settings eventlog.Config
	// reordered is set once a batch was split: the commands of different chats may be in another order.
	reordered bool

	lean, general side
}

func newSides(t *testing.T, level int) *sides {
	t.Helper()
	s := &sides{keys: rig.NewKeys(t, 2), ids: make(map[string]string)}
	s.settings = eventlog.Config{Keys: s.keys, Announce: true, AnnouncePartitions: true, KnownLevel: level}
	s.lean = s.open(t, func(a ports.Append) ports.Append { return a })
	s.general = s.open(t, inGeneral)
	return s
}

func (s *sides) open(t *testing.T, form func(ports.Append) ports.Append) side {
	t.Helper()
	client := rig.Connect(t, redistest.Start(t).URL())
	for key, id := range s.ids { // the second log is the first one
		client.Set(t.Context(), key, id, 0)
	}
	calls := &scriptCalls{}
	client.AddHook(calls)
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), s.settings)
	if err != nil {
		t.Fatal(err)
	}
	for p := range s.keys.PartitionCount() {
		s.ids[s.keys.Log().ID(p)] = client.Get(t.Context(), s.keys.Log().ID(p)).Val()
	}
	channels := []string{"message:new", "message:delete", "message:erased", s.keys.Log().Live(0), "end"}
	heard := client.Subscribe(t.Context(), channels...)
	t.Cleanup(func() { _ = heard.Close() })
	for range channels {
		if _, err := heard.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return side{client: client, log: log, calls: calls, heard: heard, form: form}
}

// reset empties both servers, but for the identity of the log.
func (s *sides) reset(t *rapid.T) {
	s.reordered = false
	s.do(t, "flushall")
	for key, id := range s.ids {
		s.do(t, "set", key, id)
	}
}

// trim removes all entries of the streams, so that they compare equal.
func (s *sides) trim(t *rapid.T) {
	for p := range s.keys.PartitionCount() {
		s.do(t, "xtrim", s.keys.Log().Stream(p), "maxlen", 0)
	}
}

// do sends a command to both servers.
func (s *sides) do(t *rapid.T, words ...any) {
	for _, one := range []*side{&s.lean, &s.general} {
		if err := one.client.Do(t.Context(), words...).Err(); err != nil && !errors.Is(err, goredis.Nil) && !goredis.HasErrorPrefix(err, "WRONGTYPE") && words[0] != "lset" { // a list may be shorter
			t.Fatalf("%v: %v", words, err)
		}
	}
}

// shown is all that an observer sees of a batch: the outcomes, and the announcements since the last call.
func (s *side) shown(t *rapid.T, batch []ports.Append) string {
	text := make([]string, 0, len(batch))
	ended := make(map[string]bool)
	appends := make([]ports.Append, len(batch))
	for i, a := range batch {
		if appends[i] = a; len(a.Conditions) >= 3 { // a send
			appends[i] = s.form(a)
		}
	}
	outcomes, err := s.log.AppendBatch(t.Context(), appends)
	if len(batch) == 1 && err == nil && outcomes[0].Err == nil && outcomes[0].Appended.First == 0 {
		t.Fatal("an append has no seq")
	}
	for i, o := range outcomes {
		if o.Appended.EndedTyping { // append.lua reports it for each command of a batch that removes the same mark
			mark := string(batch[i].Chat) + " " + string(batch[i].EndsTyping)
			o.Appended.EndedTyping, ended[mark] = !ended[mark], true
		}
		text = append(text, fmt.Sprintf("%+v %v", o.Appended, o.Err))
	}
	text = append(text, s.announced(t)...)
	return fmt.Sprintf("%s\nerror %v", strings.Join(text, "\n"), err)
}

// announced returns the announcements since the last call.
func (s *side) announced(t *rapid.T) (text []string) {
	s.client.Publish(t.Context(), "end", "")
	for {
		m, err := s.heard.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m.Channel == "end" {
			return text
		}
		text = append(text, m.Channel+" "+regexp.MustCompile(`\d{13}-\d+`).ReplaceAllString(m.Payload, "ID"))
	}
}

// agree sends a batch to both servers, and compares what an observer sees. Commands that send.lua leaves to append.lua come after the others: then
// streams and announcements have another order.
func (s *sides) agree(t *rapid.T, batch ...ports.Append) {
	calls := s.lean.calls.count("append")
	lean, general := s.lean.shown(t, batch), s.general.shown(t, batch)
	if len(batch) > 1 && s.lean.calls.count("append") > calls {
		s.reordered = true
		lean, general = unordered(lean), unordered(general)
	}
	same(t, fmt.Sprint(batch), lean, general)
}

// compare compares all keys of the servers.
func (s *sides) compare(rt *rapid.T, t *testing.T) {
	lean, general := rig.State(t, s.lean.client), rig.State(t, s.general.client)
	if s.reordered {
		lean, general = unordered(lean), unordered(general)
	}
	same(rt, "keys", lean, general)
}

// unordered sorts the entries of streams and the events of announcements, and omits what separates announcements.
func unordered(text string) string {
	text = regexp.MustCompile(`(?m)^\S+:live ID$`).ReplaceAllString(strings.ReplaceAll(text, " {TIME", "\n{TIME"), "")
	text = regexp.MustCompile(`\[?(\{TIME.*\} seq:\d+\] 0 0\})\]?`).ReplaceAllString(text, "\n$1\n")
	lines := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(text, " ", "·"), "\n", " "))
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// same compares two texts, and shows the first line in which they differ.
func same(t *rapid.T, when, lean, general string) {
	if lean == general {
		return
	}
	leanLines, generalLines := strings.Split(lean, "\n"), strings.Split(general, "\n")
	i := 0
	for i < len(leanLines) && i < len(generalLines) && leanLines[i] == generalLines[i] {
		i++
	}
	line := func(lines []string) string { return strings.Join(lines[min(i, len(lines)):min(i+1, len(lines))], "") }
	t.Fatalf("%.300s, line %d: plain\n%.3000s\nappend.lua\n%.3000s", when, i, line(leanLines), line(generalLines))
}

// TestSend_IsAnAppend gives random histories to two servers. The plain sends and erasures of one go to their scripts, those of the other to append.lua. The outcomes,
// keys, streams and announcements are the same.
func TestSend_IsAnAppend(t *testing.T) {
	for _, level := range []int{2, eventlog.Level} {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) { sendIsAnAppend(t, level) })
	}
}

// TestSend_ManyConditions sends messages with more conditions than a message with the most mentions has. The last one counts.
func TestSend_ManyConditions(t *testing.T) {
	s := newSides(t, eventlog.Level).lean
	rig.Appended(t, s.log, filled("a", 3))
	for i, test := range []struct{ conditions, calls int }{{1, 1}, {domain.MaxMentions + 1, 1}, {255 - '`', 1}, {256 - '`', 0}} {
		a := plainSend("a", domain.MessageID(fmt.Sprint("m", i)), "ada", 1, 1)
		for n := range test.conditions {
			a.Conditions = append(a.Conditions, domain.Condition{Entity: domain.MemberEntity(domain.UserID(fmt.Sprint("user-", n)))})
		}
		last := &a.Conditions[len(a.Conditions)-1]
		*last = domain.Condition{Entity: domain.MemberEntity("bob"), Version: 3}
		if _, err := s.log.Append(t.Context(), a); !errors.Is(err, ports.ErrConflict) {
			t.Errorf("%d conditions, the last one not met: error %v", test.conditions, err)
		}
		last.Version = 2
		calls, general := s.calls.count("send"), s.calls.count("append")
		rig.Appended(t, s.log, a)
		if calls, general = s.calls.count("send")-calls, s.calls.count("append")-general; calls != test.calls || general != 1-test.calls {
			t.Errorf("%d conditions: %d calls of send.lua and %d of append.lua, want %d and %d", test.conditions, calls, general, test.calls, 1-test.calls)
		}
	}
}

func sendIsAnAppend(t *testing.T, level int) {
	s := newSides(t, level)
	rapid.Check(t, func(rt *rapid.T) { s.history(rt, t) })
	for _, script := range []string{"send", "erase_message"} {
		if script == "erase_message" && level < eventlog.Level {
			continue
		}
		if s.lean.calls.count(script) == 0 || s.general.calls.count(script) > 0 {
			t.Errorf("calls of %s: %d and %d", script, s.lean.calls.count(script), s.general.calls.count(script))
		}
		t.Logf("%d calls of %s, %d and %d of append", s.lean.calls.count(script), script, s.lean.calls.count("append"), s.general.calls.count("append"))
	}
}

// history is a random history of a few chats: each step is a batch, or damage.
func (s *sides) history(rt *rapid.T, t *testing.T) {
	s.reset(rt)
	chats := []domain.ChatID{"a", "b:c", "0197b8a0-1c2d-7e3f-8a4b-000000000001", "a", "missing"}
	users := []domain.UserID{"ada", "ada", "bob", "bob", "bob", "no member"}
	for _, c := range chats[:3] {
		a := []ports.Append{filled(c, rapid.SampledFrom([]int{0, 3, 5, 8, 118, 120, 124, 1018}).Draw(rt, "messages"))}
		s.lean.shown(rt, a) // are not compared: how announcements are split depends on the times
		s.general.shown(rt, a)
	}
	s.trim(rt)
	n := 0
	send := func() ports.Append {
		n++
		c := rapid.SampledFrom(chats).Draw(rt, "chat")
		m := domain.MessageID(fmt.Sprint("m", rapid.OneOf(rapid.Just(n), rapid.Just(n), rapid.Just(n), rapid.IntRange(1, n)).Draw(rt, "message")))
		if rapid.Bool().Draw(rt, "uuid") {
			m = domain.MessageID(fmt.Sprintf("0197b8a0-1c2d-7e3f-8a4c-%012d", n))
		}
		version := func(e domain.Entity) domain.Seq {
			loaded, err := s.general.log.Load(rt.Context(), c, ports.LoadRequest{Entity: e, Latest: true})
			if err != nil || rapid.IntRange(0, 29).Draw(rt, "stale") == 0 {
				return 1
			}
			return loaded.Entities[0].Version
		}
		by := rapid.SampledFrom(users).Draw(rt, "user")
		a := plainSend(c, m, by, version(domain.ChatEntity()), version(domain.MemberEntity(by)))
		if s.settings.KnownLevel >= eventlog.Level && rapid.Bool().Draw(rt, "in a thread") {
			root := domain.MessageID(rapid.SampledFrom([]string{"old0", "m1", "0197b8a0-1c2d-7e3f-8a4c-000000000001"}).Draw(rt, "root"))
			inChat := rapid.Bool().Draw(rt, "in the chat too")
			a = with(a, func(e *domain.MessageNew) { e.Thread, e.InChat = root, inChat })
		}
		if rapid.Bool().Draw(rt, "quotes") {
			quoted := domain.MessageID(fmt.Sprint("old", rapid.IntRange(0, 5).Draw(rt, "quoted")))
			a = with(a, func(e *domain.MessageNew) { e.ReplyTo = quoted }, domain.Condition{Entity: domain.MessageEntity(quoted), Exists: true})
		}
		if rapid.Bool().Draw(rt, "mentions") {
			mentioned := rapid.SampledFrom(users[1:]).Draw(rt, "mentioned")
			a = with(a, func(e *domain.MessageNew) { e.Mentions, e.Mentioned = []domain.UserID{mentioned}, true },
				domain.Condition{Entity: domain.MemberEntity(mentioned), Version: version(domain.MemberEntity(mentioned))})
		}
		return a
	}
	actions := map[string]func(){
		"send": func() { s.agree(rt, send()) },
		"sends": func() {
			batch := make([]ports.Append, rapid.IntRange(2, 12).Draw(rt, "sends"))
			for i := range batch {
				batch[i] = send()
			}
			s.agree(rt, batch...)
		},
		"other": func() {
			n++
			s.agree(rt, other(rt, rapid.SampledFrom(chats[:3]).Draw(rt, "chat"), n))
		},
		"mixed": func() {
			n++
			c := rapid.SampledFrom(chats[:3]).Draw(rt, "chat")
			s.agree(rt, send(), other(rt, c, n), send())
		},
		"erase": func() {
			n++
			s.agreeErased(rt, s.erasure(rt, rapid.SampledFrom(chats[:3]).Draw(rt, "chat"), n))
		},
		"typing": func() {
			s.do(rt, "set", s.keys.Typing().Mark(rapid.SampledFrom(chats).Draw(rt, "chat"), "ada"), "1")
		},
		"damage": func() { s.do(rt, damage(rt, s.keys, rapid.SampledFrom(chats).Draw(rt, "chat"))...) },
	}
	names := []string{"send", "send", "send", "sends", "sends", "sends", "sends", "sends", "other", "mixed", "typing", "typing", "erase", "erase", "erase", "damage"}
	for range rapid.IntRange(1, 12).Draw(rt, "steps") {
		actions[rapid.SampledFrom(names).Draw(rt, "step")]()
	}
	s.compare(rt, t)
}

// filled creates a chat of two members with a number of messages.
func filled(c domain.ChatID, messages int) ports.Append {
	at := time.UnixMilli(1_800_000_000_000)
	events := []domain.Durable{
		domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.Created, Title: "t", At: at},
		domain.ChatUpdate{Chat: c, Actor: "ada", User: "bob", Change: domain.MemberAdded, Role: domain.RoleMember, At: at},
	}
	for i := range messages {
		events = append(events, domain.MessageNew{Chat: c, Message: domain.MessageID(fmt.Sprint("old", i)), Sender: "ada", Content: "x", At: at})
	}
	a := ports.Append{Chat: c}
	for i, e := range events {
		a.Events = append(a.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprint(c, i)), Event: e, Moves: domain.Moves(e)})
	}
	return a
}

// other is an append without conditions that is no plain send.
func other(t *rapid.T, c domain.ChatID, n int) ports.Append {
	at := time.UnixMilli(1_800_000_000_000)
	e := rapid.SampledFrom([]domain.Durable{
		domain.ChatUpdate{Chat: c, Actor: "ada", Change: domain.Renamed, Title: "u", At: at},
		domain.ChatUpdate{Chat: c, Actor: "ada", User: "bob", Change: domain.MemberRemoved, At: at},
		domain.ChatUpdate{Chat: c, Actor: "ada", User: "bob", Change: domain.MemberAdded, Role: domain.RoleMember, At: at},
		domain.MessageEdit{Chat: c, Message: "m1", Editor: "ada", Content: "edited", Revision: 1, At: at},
		domain.MessageDelete{Chat: c, Message: "m1", By: "ada", At: at},
		domain.MessageReaction{Chat: c, Message: "m1", User: "bob", Emoji: "👍", Action: domain.ReactionAdd, At: at},
		domain.ReadReceipt{Chat: c, Message: "m1", User: "bob", ReadSeq: 1, At: at},
	}).Draw(t, "event")
	a := ports.Append{Chat: c, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("o", n)), Event: e, Moves: domain.Moves(e)}}}
	if e, ok := e.(domain.MessageDelete); ok {
		a.Conditions = []domain.Condition{{Entity: domain.MessageEntity(e.Message), Exists: true}}
	}
	return a
}

// damage is a command that damages a chat.
func damage(t *rapid.T, keys keyspace.Keys, c domain.ChatID) []any {
	log := keys.Log()
	return rapid.SampledFrom([][]any{
		{"set", log.Chat(c, "x"), "planted"},
		{"set", log.Chat(c, "0"), "planted"},
		{"rpush", log.Chat(c, "0"), "planted"},
		{"rpop", log.Chat(c, "0")},
		{"rpush", log.Chat(c, "1"), "planted"},
		{"del", log.Chat(c, "0")},
		{"hdel", log.Chat(c, "x"), " "},
		{"hset", log.Chat(c, "x"), " ", "planted"},
		{"hset", log.Chat(c, "x"), " ", "0:0"},
		{"hset", log.Chat(c, "x"), " c", "planted"},
		{"hset", log.Chat(c, "x"), " c", "1:planted"},
		{"hset", log.Chat(c, "x"), " uada", "1:2:1"},
		{"hset", log.Chat(c, "x"), " rada", "planted"},
		{"hset", log.Chat(c, "x"), " rada", "1"},
		{"hset", log.Chat(c, "x"), " rada", "1:-"},
		{"hset", log.Chat(c, "x"), " ", "3:1"},
		{"hdel", log.Chat(c, "x"), " rada"},
		{"hset", log.Chat(c, "x"), "m1", "planted"},
		{"hset", log.Chat(c, "x"), "old0", "planted"},
		{"hset", log.Chat(c, "x"), " told0", "planted"},
		{"hset", log.Chat(c, "x"), " told0", "1:254:1"},
		{"hset", log.Chat(c, "x"), " l", "1:255:1"},
		{"hset", log.Chat(c, "x"), " l", "0:-"},
		{"hset", log.Chat(c, "x"), " ubob", "planted"},
		{"hset", keys.Typing().Mark(c, "ada"), "f", "v"},
		{"del", log.Stream(0), log.Stream(1)},
		{"zadd", log.Chat(c, "d"), 3, 3},
		{"set", log.Chat(c, "d"), "planted"},
		{"hset", log.Chat(c, "s"), "old0", 3, "=old0", "planted"},
		{"set", log.Chat(c, "s"), "planted"},
		{"lset", log.Chat(c, "0"), 2, "planted"},
		{"hset", log.Holds(0), "", "{}"},
		{"hset", log.Holds(1), "c" + string(c), "{}"},
		{"hset", log.Holds(1), "uada", "{}"},
		{"hset", log.Previews(0), string(c), "planted"},
	}).Draw(t, "damage")
}
