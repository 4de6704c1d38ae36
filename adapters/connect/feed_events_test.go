package connect_test

import (
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"chatcore/adapters/connect"
	"chatcore/app/feed"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// events opens a feed of server-sent events and returns it after its first event.
func (w *world) events(t *testing.T, query string, header http.Header) *eventFeed {
	t.Helper()
	f, err := openEvents(t.Context(), w.client(t), w.url+"/v1/feed?"+query, header)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.close)
	if m, err := f.next(); err != nil || m.GetStarted() == nil {
		t.Fatalf("the first event is %v, error %v", m, err)
	}
	return f
}

// refusedEvents returns the error of a request for events, and its status.
func (w *world) refusedEvents(t *testing.T, query string, header http.Header) (*refusal, *http.Response) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.url+"/v1/feed?"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = header.Clone()
	answer, err := w.client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil, answer
	}
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	refused, ok := errorAs[*refusal](jsonRefusal(answer, text))
	if !ok {
		t.Fatalf("%d %s", answer.StatusCode, text)
	}
	return refused, answer
}

func lastEvent(id string) http.Header { return http.Header{"Last-Event-Id": {id}} }

// TestEvents_Format checks the text of the events, and the headers.
func TestEvents_Format(t *testing.T) {
	w, feeds := feedWorld(t)
	answer, err := w.client(t).Get(w.url + "/v1/feed?chat=c:3")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	source := feeds.take(t)
	if p := source.request.Chats; len(p) != 1 || p[0] != (feed.Position{Chat: "c", Seq: 3}) {
		t.Errorf("the positions are %+v", p)
	}
	source.messages <- eventOf("c", 4, 2)
	source.messages <- feed.Message{Kind: feed.KindEphemeral, Ephemeral: &feed.Ephemeral{Event: domain.TypingStop{Chat: "c", User: "bob"}}}
	source.messages <- feed.Message{Kind: feed.KindHeartbeat}
	source.ended <- feed.ErrSlow
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	retry, rest, _ := strings.Cut(string(text), "\n")
	if ms, err := strconv.Atoi(strings.TrimPrefix(retry, "retry: ")); err != nil || ms < 500 || ms > 1500 {
		t.Errorf("the first line is %q", retry)
	}
	begin := `id: log,c:3
event: started
data: {"started":{"logId":"log"}}

id: log,c:4
event: event
data: {"event":{"id":"event","chatId":"c","seq":4,"type":"message:new","actorId":"ada","messageNew":{"messageId":"m","content":"xx"}}}

event: typingStopped
data: {"typingStopped":{"chatId":"c","userId":"bob"}}

event: heartbeat
data: {"heartbeat":{}}

event: error
data: {"code":"resource_exhausted","message":"the reader of the feed is too slow","details":[`
	if !strings.HasPrefix(rest, begin) || !strings.HasSuffix(rest, "\n\n") || strings.Count(rest, "\n\n") != 5 || strings.Contains(rest, "retry:") {
		t.Errorf("the events are\n%s\nwant\n%s", rest, begin)
	}
}

// TestEvents_Resume continues from ids: in the header of a browser, and in the parameter of a new EventSource. The header is the later one.
func TestEvents_Resume(t *testing.T) {
	w, feeds := feedWorld(t)
	named := "chat=a:1&chat=b&chat=gone:4"
	for name, c := range map[string]struct {
		query  string
		header http.Header
		want   feed.Request
	}{
		"without an id":      {named, nil, feed.Request{Chats: []feed.Position{{Chat: "a", Seq: 1}, {Chat: "b", Head: true}, {Chat: "gone", Seq: 4}}}},
		"in the header":      {named, lastEvent("log,a:7,b:8,gone:-,other:9"), feed.Request{LogID: "log", Chats: []feed.Position{{Chat: "a", Seq: 7}, {Chat: "b", Seq: 8}}}},
		"in the parameter":   {named + "&last_event_id=log,a:7", nil, feed.Request{LogID: "log", Chats: []feed.Position{{Chat: "a", Seq: 7}, {Chat: "b", Head: true}, {Chat: "gone", Seq: 4}}}},
		"in both":            {named + "&last_event_id=log,a:7", lastEvent("new%2Clog,a:8,b:0,gone:5"), feed.Request{LogID: "new,log", Chats: []feed.Position{{Chat: "a", Seq: 8}, {Chat: "b"}, {Chat: "gone", Seq: 5}}}},
		"an empty parameter": {"chat=a:1&last_event_id=", nil, feed.Request{Chats: []feed.Position{{Chat: "a", Seq: 1}}}},
		"all chats":          {"all_chats=true&actor_id=ada&chat=z:3", lastEvent("log,a:7,gone:-"), feed.Request{User: "ada", AllChats: true, Resume: true, LogID: "log", Chats: []feed.Position{{Chat: "a", Seq: 7}}}},
		"all that are left":  {"chat=gone:4", lastEvent("log,gone:-"), feed.Request{LogID: "log", Chats: []feed.Position{{Chat: "gone", Seq: 4}}}},
		"all parameters": {
			"all_chats=true&actor_id=ada&chat=z:3&resume=true&log_id=log&max_catch_up=5&durable_only=true", nil,
			feed.Request{User: "ada", AllChats: true, Resume: true, LogID: "log", MaxCatchUp: 5, DurableOnly: true, Chats: []feed.Position{{Chat: "z", Seq: 3}}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := w.events(t, c.query, c.header)
			got := feeds.take(t).request
			if c.want.MaxCatchUp == 0 {
				c.want.MaxCatchUp = 1000
			}
			if fmt.Sprint(got) != fmt.Sprint(c.want) {
				t.Errorf("the request is %+v, want %+v", got, c.want)
			}
			if foreign := c.want.LogID != "" && c.want.LogID != "log"; foreign != (f.id == "") {
				t.Errorf("the first event has the id %q", f.id)
			}
		})
	}
}

// TestEvents_ResumeOfAnotherLog gives no id before the resync: a reader that loses its connection in between must get it again.
func TestEvents_ResumeOfAnotherLog(t *testing.T) {
	w, feeds := feedWorld(t)
	f := w.events(t, "chat=a", lastEvent("old,a:7"))
	source := feeds.take(t)
	source.messages <- feed.Message{Kind: feed.KindHeartbeat}
	source.messages <- feed.Message{Kind: feed.KindResync}
	for range 2 {
		if _, err := f.next(); err != nil {
			t.Fatal(err)
		}
	}
	if f.event != "resync" || f.id != "log,a:7" {
		t.Errorf("the event %q has the id %q", f.event, f.id)
	}
}

// TestEvents_EveryIDResumes has feeds of few and many chats give random messages. Each id of an event, and of feeds that were resumed from such ids, is the whole
// position after it; none has much more than 1 KiB.
func TestEvents_EveryIDResumes(t *testing.T) {
	w, feeds := feedWorld(t)
	for _, all := range []bool{true, false} {
		for _, chats := range []int{1, 5, 300} {
			t.Run(fmt.Sprint(all, chats), func(t *testing.T) {
				names := make([]domain.ChatID, chats)
				query := url.Values{}
				for i := range names {
					names[i] = domain.ChatID(fmt.Sprintf("chat:%d,%%*é", i))
					if !all {
						query.Add("chat", fmt.Sprintf("%s:%d", url.PathEscape(strings.ReplaceAll(string(names[i]), ":", "\x00")), 1))
					}
				}
				if all {
					query = url.Values{"all_chats": {"true"}, "actor_id": {"ada"}}
				}
				for i, q := range query["chat"] {
					query["chat"][i] = strings.ReplaceAll(q, "%00", "%3A")
				}
				feeds.positions = make(map[domain.ChatID]domain.Seq)
				for _, name := range names {
					feeds.positions[name] = 1
				}
				state := maps.Clone(feeds.positions)
				left := make(map[domain.ChatID]bool)
				id := ""
				for range 4 {
					f := w.events(t, query.Encode(), lastEvent(id))
					source := feeds.take(t)
					source.mu.Lock()
					if id != "" && !all || id != "" {
						got := make(map[domain.ChatID]domain.Seq)
						for _, p := range source.request.Chats {
							got[p.Chat] = p.Seq
						}
						want := maps.Clone(state)
						maps.DeleteFunc(want, func(c domain.ChatID, _ domain.Seq) bool { return left[c] })
						if len(want) > 0 && !maps.Equal(got, want) {
							t.Fatalf("resumed from %q the positions are %v, want %v", id, got, want)
						}
						source.positions = want
					}
					source.mu.Unlock()
					feeds.positions = nil
					for range 60 {
						live := slices.DeleteFunc(slices.Clone(names), func(c domain.ChatID) bool { return left[c] })
						if len(live) == 0 {
							break
						}
						chat := live[rand.N(len(live))]
						m := feed.Message{Kind: feed.KindCaughtUp, Chat: chat, To: state[chat] + 1}
						switch rand.N(10) {
						case 0:
							if len(live) > 1 {
								m = feed.Message{Kind: feed.KindChatLeft, Chat: chat, To: state[chat]}
								left[chat] = true
							}
						case 1:
							m.Kind = feed.KindSkipped
						}
						if m.Kind != feed.KindChatLeft {
							state[chat]++
						}
						source.messages <- m
						if _, err := f.next(); err != nil {
							t.Fatal(err)
						}
						if len(f.id) > 1100 {
							t.Fatalf("an id has %d bytes", len(f.id))
						}
						check(t, w, feeds, query.Encode(), f.id, state, left)
					}
					id = f.id
					f.close()
				}
			})
		}
	}
}

// check resumes from an id sometimes, and compares the positions.
func check(t *testing.T, w *world, feeds *scriptedFeeds, query, id string, state map[domain.ChatID]domain.Seq, left map[domain.ChatID]bool) {
	t.Helper()
	if rand.N(10) > 0 {
		return
	}
	w.events(t, query, lastEvent(id)).close()
	got := make(map[domain.ChatID]domain.Seq)
	for _, p := range feeds.take(t).request.Chats {
		got[p.Chat] = p.Seq
	}
	want := maps.Clone(state)
	maps.DeleteFunc(want, func(c domain.ChatID, _ domain.Seq) bool { return left[c] })
	if !maps.Equal(got, want) {
		t.Fatalf("%q has the positions %v, want %v", id, got, want)
	}
}

// TestEvents_CursorGone resumes from a cursor that is not kept any more, or that another reader has.
func TestEvents_CursorGone(t *testing.T) {
	w, feeds := feedWorld(t)
	feeds.positions = make(map[domain.ChatID]domain.Seq)
	for i := range 300 {
		feeds.positions[domain.ChatID(fmt.Sprint("chat-", i))] = 1
	}
	const all = "all_chats=true&actor_id="
	f := w.events(t, all+"ada", nil)
	if _, cursor, found := strings.Cut(f.id, ",*"); !found || len(cursor) < 20 {
		t.Fatalf("the id is %q", f.id)
	}
	if w.events(t, all+"ada", lastEvent(f.id)); len(feeds.take(t).request.Chats)+len(feeds.take(t).request.Chats) != 300 {
		t.Error("the reader does not get its positions")
	}
	for who, c := range map[string]struct {
		query string
		id    string
		user  string
	}{
		"another user": {all + "bob", f.id, ""}, "the user itself": {"all_chats=true", f.id, "ada"}, "the service": {"chat=c", f.id, ""},
		"no cursor": {all + "ada", "log,*NONE", ""}, "another log's": {all + "ada", "x" + f.id, ""}, "a long one": {all + "ada", "log,*" + strings.Repeat("x", 2000), ""},
	} {
		header := w.header(t, c.user)
		header.Set("Last-Event-ID", c.id)
		refused, answer := w.refusedEvents(t, c.query, header)
		if refused == nil || refused.detail.GetReason() != "cursor_gone" || answer.StatusCode != http.StatusGone || refused.detail.GetRetryable() {
			t.Errorf("%s: %d, %v", who, answer.StatusCode, refused)
		}
	}
}

// TestFeedRequest_Invalid has malformed requests refused with the name of the field: of the proto in Watch, of the parameter in a query.
func TestFeedRequest_Invalid(t *testing.T) {
	w, _ := feedWorld(t)
	many := make([]*v1.ChatPosition, 1001)
	for i := range many {
		many[i] = &v1.ChatPosition{ChatId: fmt.Sprint("c", i)}
	}
	for field, req := range map[string]*v1.WatchRequest{
		"chats":            {},
		"chats ":           {Chats: many},
		"chats[1].chat_id": {Chats: []*v1.ChatPosition{{ChatId: "a"}, {ChatId: "b c"}}},
		"chats[0].chat_id": {Chats: []*v1.ChatPosition{{}}},
		"chats[2].chat_id": {Chats: []*v1.ChatPosition{{ChatId: "a"}, {ChatId: "b"}, {ChatId: "a"}}},
		"all_chats":        {AllChats: true},
		"resume":           {Resume: true, Chats: many[:1]},
		"max_catch_up":     {MaxCatchUp: 10_001, Chats: many[:1]},
		"log_id":           {LogId: strings.Repeat("x", 129), Chats: many[:1]},
		"actor_id":         {ActorId: "a b", Chats: many[:1]},
	} {
		field := strings.TrimSpace(field)
		for _, c := range feedClients(t) {
			want := field
			if strings.HasPrefix(c.name, "server") {
				want = strings.TrimSuffix(strings.Replace(field, "chats[", "chat[", 1), ".chat_id")
				if want == "chats" {
					want = "chat"
				}
			}
			f, err := c.open(t.Context(), w.url, req, nil)
			if err == nil {
				_, err = f.next()
				f.close()
			}
			if r, _ := errorAs[*refusal](err); r == nil || r.code.String() != "invalid_argument" || r.detail.GetField() != want || r.detail.GetAllowed() == "" {
				t.Errorf("%s, %s: %v", c.name, field, err)
			}
		}
	}
}

// TestEvents_InvalidQueries sends what only a query can have.
func TestEvents_InvalidQueries(t *testing.T) {
	w, _ := feedWorld(t)
	for query, c := range map[string]struct{ field, header string }{
		"chat=a&chat=b%20c":        {field: "chat[1]"},
		"chat=a:x":                 {field: "chat[0]"},
		"chat=a:4294967296":        {field: "chat[0]"},
		"chat=a:-1":                {field: "chat[0]"},
		"chat=a:1:2":               {field: "chat[0]"},
		"chat=a%25zz":              {field: "chat[0]"},
		"chat=a&chats=b":           {field: "chats"},
		"chat=a&Durable_only=true": {field: "Durable_only"},
		"chat=a&" + strings.Repeat("x", 50) + "=1": {field: "query"},
		"chat=a&durable_only=1":                    {field: "durable_only"},
		"chat=a&durable_only=":                     {field: "durable_only"},
		"chat=a&all_chats=true&all_chats=true":     {field: "all_chats"},
		"chat=a&max_catch_up=0":                    {field: "max_catch_up"},
		"chat=a&max_catch_up=x":                    {field: "max_catch_up"},
		"chat=a&last_event_id=x&last_event_id=y":   {field: "last_event_id"},
		"chat=a&x=%zz":                             {field: "query"},
		"chat=a;chat=b":                            {field: "query"},
		"chat=a&n=1":                               {field: "n"},
		"chat=a":                                   {field: "Last-Event-ID", header: "log,a"},
		"chat=a&":                                  {field: "Last-Event-ID", header: ",a:1"},
		"chat=a&&":                                 {field: "Last-Event-ID", header: "log,a:1,*CURSOR"},
		"chat=a&&&":                                {field: "Last-Event-ID", header: "log,a:4294967296"},
		"chat=a&&&&":                               {field: "Last-Event-ID", header: "log,a%20b:1"},
		"chat=a&&&&&":                              {field: "Last-Event-ID", header: strings.Repeat("l", 129)},
		"chat=a&&&&&&":                             {field: "Last-Event-ID", header: "log,%zz:1"},
		"chat=a&&&&&&&":                            {field: "Last-Event-ID", header: "log,"},
	} {
		refused, answer := w.refusedEvents(t, query, lastEvent(c.header))
		if refused == nil || answer.StatusCode != http.StatusBadRequest || refused.detail.GetField() != c.field || refused.detail.GetAllowed() == "" {
			t.Errorf("%s, %s: %d, %v", query, c.header, answer.StatusCode, refused)
		}
	}
	twice := http.Header{"Last-Event-Id": {"log", "log"}}
	if refused, _ := w.refusedEvents(t, "chat=a", twice); refused == nil || refused.detail.GetField() != "Last-Event-ID" {
		t.Errorf("two headers: %v", refused)
	}
	for _, verb := range []string{http.MethodPost, http.MethodHead, http.MethodOptions, http.MethodDelete} {
		r, err := http.NewRequestWithContext(t.Context(), verb, w.url+"/v1/feed?chat=a", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		answer, err := w.client(t).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET" {
			t.Errorf("%s: %d, allowed: %s", verb, answer.StatusCode, answer.Header.Get("Allow"))
		}
	}
}

var _ = connect.Config{}
