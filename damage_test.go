package chatcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// damaged is a Redis with a log and views that a test damages key by key, and a core that caches nothing.
type damaged struct {
	t      *testing.T
	client *goredis.Client
	config chatcore.Config
	core   *chatcore.Core
	before map[string]string // dumps of all keys
	truth  map[string]string // answers of all queries
	chats  []domain.ChatID
	users  []domain.UserID   // that have a view
	whole  map[string]string // contents of all keys, once they were asked for
}

// newDamaged fills a log. The built-in views are as fresh as the log then.
func newDamaged(t *testing.T, fill func(t *testing.T, core *chatcore.Core)) *damaged {
	t.Helper()
	server := redistest.Start(t)
	d := &damaged{t: t, client: server.Client(t), config: chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1, EntityCache: -1}}}
	running := opened(t)(chatcore.New(t.Context(), d.config))
	if err := running.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	stop := start(t, running)
	fill(t, running)
	d.settle(running)
	d.chats = must[[]domain.ChatID](t)(running.Queries.Chats(t.Context()))
	stop()
	d.core = opened(t)(chatcore.New(t.Context(), d.config))
	d.before = d.dump()
	for key := range d.before {
		if user, ok := strings.CutPrefix(key, "cc:{cc:user-chats:"); ok {
			d.users = append(d.users, domain.UserID(strings.TrimSuffix(user, "}:v")))
		}
	}
	d.truth = d.answers()
	for query, answer := range d.truth {
		if strings.HasPrefix(answer, "error") {
			t.Fatalf("%s: %s", query, answer)
		}
	}
	return d
}

// twoSegments is how many messages make "big" somewhat longer than a segment of 1,024 events.
const twoSegments = 580

// filled makes chats: "big" with deletions, edits, reactions, leaves, read marks, commands with ids and a snapshot, "small" with a message, and
// "left" that everybody but its owner has left.
func filled(messages int) func(t *testing.T, core *chatcore.Core) {
	return func(t *testing.T, core *chatcore.Core) { fillChats(t, core, messages) }
}

func fillChats(t *testing.T, core *chatcore.Core, messages int) {
	t.Helper()
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "big", Actor: "ada", Title: "big", Members: []domain.UserID{"ben", "cyd", "dan"}, Command: "make"}))
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "small", Actor: "ben", Members: []domain.UserID{"ada"}}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "small", Actor: "ben", Content: "only"}))
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "left", Actor: "cyd", Members: []domain.UserID{"ada", "dan"}}))
	for _, user := range []domain.UserID{"ada", "dan"} {
		must[app.Done](t)(core.Chats.Leave(ctx, domain.Leave{Chat: "left", Actor: user}))
	}
	senders := []domain.UserID{"ada", "ben", "cyd"}
	jobs, done := make(chan int), make(chan error)
	const together = 8
	for range together {
		go func() {
			var failed error
			for i := range jobs {
				id := domain.MessageID(fmt.Sprint("m", i))
				_, err := core.Chats.Send(ctx, domain.Send{Chat: "big", Actor: senders[i%3], MessageID: id, Content: fmt.Sprint("text ", i)})
				if err == nil && i%10 == 0 {
					_, err = core.Chats.React(ctx, domain.React{Chat: "big", Actor: "dan", MessageID: id, Emoji: "👍"})
				}
				if err == nil && i%10 == 1 {
					_, err = core.Chats.Edit(ctx, domain.Edit{Chat: "big", Actor: senders[i%3], MessageID: id, Content: "edited"})
				}
				if err == nil && i%10 == 2 {
					_, err = core.Chats.Delete(ctx, domain.Delete{Chat: "big", Actor: "ada", MessageID: id})
				}
				failed = errors.Join(failed, err)
			}
			done <- failed
		}()
	}
	for i := range messages {
		jobs <- i
	}
	close(jobs)
	for range together {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 {
		must[app.Done](t)(core.Chats.React(ctx, domain.React{Chat: "big", Actor: senders[i%3], MessageID: "m0", Emoji: fmt.Sprintf(":e%d:", i)}))
	}
	toggled := domain.React{Chat: "big", Actor: "dan", MessageID: "m0", Emoji: ":e0:"}
	for range 130 { // enough for a snapshot
		must[app.Done](t)(core.Chats.React(ctx, toggled))
		must[app.Done](t)(core.Chats.Unreact(ctx, toggled))
	}
	must[app.Done](t)(core.Chats.Leave(ctx, domain.Leave{Chat: "big", Actor: "cyd"}))
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "big", Actor: "ben", MessageID: "last", Content: "the last"}))
}

// settle waits until the views agree with the logs and every group has handled all events.
func (d *damaged) settle(core *chatcore.Core) {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), wait.Limit)
	defer cancel()
	if differences, err := foldcheck.Await(ctx, core); err != nil || len(differences) > 0 {
		d.t.Fatal(err, differences)
	}
	d.idle(core)
}

// idle waits until every group has finished everything.
func (d *damaged) idle(core *chatcore.Core) {
	d.t.Helper()
	wait.Until(d.t, "the groups have finished every event", func() bool {
		for _, group := range must[[]chatcore.GroupState](d.t)(core.Groups().List(d.t.Context())) {
			for _, partition := range group.Partitions {
				if partition.Lag > 0 || partition.Behind > 0 || partition.CatchesUp {
					return false
				}
			}
		}
		return true
	})
}

func (d *damaged) keys(ctx context.Context) []string {
	d.t.Helper()
	keys := must[[]string](d.t)(d.client.Keys(ctx, "*").Result())
	slices.Sort(keys)
	return keys
}

func (d *damaged) dump() map[string]string {
	d.t.Helper()
	ctx, dumps, replies := d.t.Context(), make(map[string]string), make(map[string]*goredis.StringCmd)
	d.pipelined(func(p goredis.Pipeliner) {
		for _, key := range d.keys(ctx) {
			replies[key] = p.Dump(ctx, key)
		}
	})
	for key, reply := range replies {
		dumps[key] = reply.Val()
	}
	return dumps
}

// pipelined sends commands in one round trip.
func (d *damaged) pipelined(add func(p goredis.Pipeliner)) {
	d.t.Helper()
	_ = must[[]goredis.Cmder](d.t)(d.client.Pipelined(d.t.Context(), func(p goredis.Pipeliner) error {
		add(p)
		return nil
	}))
}

// restore puts every key back as it was.
func (d *damaged) restore() {
	d.t.Helper()
	present := d.dump()
	for key := range present {
		if _, known := d.before[key]; !known {
			must[int64](d.t)(d.client.Del(d.t.Context(), key).Result())
		}
	}
	for key, value := range d.before {
		if present[key] != value {
			must[string](d.t)(d.client.RestoreReplace(d.t.Context(), key, 0, value).Result())
		}
	}
}

// answers returns the result of each query, as text.
func (d *damaged) answers() map[string]string {
	ctx, q := d.t.Context(), d.core.Queries
	answers := make(map[string]string)
	say := func(query string, v any, err error) {
		text, _ := json.Marshal(v)
		if answers[query] = string(text); err != nil {
			answers[query] = "error: " + err.Error()
			if !errors.Is(err, ports.ErrCorrupt) && !errors.Is(err, chatcore.ErrNoViews) && !errors.Is(err, ports.ErrLogLost) {
				answers[query] = "untyped " + answers[query]
			}
		}
	}
	chats, err := q.Chats(ctx)
	slices.Sort(chats)
	say("Chats", chats, err)
	for _, chat := range d.chats {
		c, err := q.Chat(ctx, chat)
		say(fmt.Sprintf("Chat(%s)", chat), c, err)
		members, err := q.Members(ctx, chat)
		say(fmt.Sprintf("Members(%s)", chat), members, err)
		for name, span := range map[string]domain.Span{"the first page": {First: true, Limit: 100}, "the last page": {Limit: 100}} {
			page, err := q.History(ctx, chat, span)
			say(fmt.Sprintf("History(%s, %s)", chat, name), page, err)
		}
		var all []ports.Record
		for r, e := range q.Audit(ctx, chat, domain.Audit{}) {
			if err = e; e == nil {
				all = append(all, r)
			}
		}
		say(fmt.Sprintf("Audit(%s)", chat), all, err)
		var pages []ports.Record
		for span := (domain.Span{First: true, Limit: 1000}); ; span = (domain.Span{After: pages[len(pages)-1].Seq, Limit: 1000}) {
			var page []ports.Record
			page, err = q.Events(ctx, chat, span)
			if pages = append(pages, page...); err != nil || len(page) < 1000 {
				break
			}
		}
		say(fmt.Sprintf("Events(%s)", chat), pages, err)
		few, err := q.MemberPage(ctx, chat, domain.Page{})
		slices.SortFunc(few.Items, func(a, b domain.Member) int { return strings.Compare(string(a.User), string(b.User)) })
		say(fmt.Sprintf("MemberPage(%s)", chat), few, err)
		then, err := q.At(5).Members(ctx, chat)
		say(fmt.Sprintf("At(5).Members(%s)", chat), then, err)
	}
	for _, user := range []domain.UserID{"ben", "dan"} {
		n, err := q.Unread(ctx, "big", user)
		say(fmt.Sprintf("Unread(big, %s)", user), n, err)
		n, err = q.At(50).Unread(ctx, "big", user)
		say(fmt.Sprintf("At(50).Unread(big, %s)", user), n, err)
	}
	for _, id := range []domain.MessageID{"m0", "m1", "m2", "last"} {
		m, err := q.Message(ctx, "big", id)
		say(fmt.Sprintf("Message(%s)", id), m, err)
	}
	for _, user := range d.users {
		chats, err := q.ChatsOf(ctx, user)
		say(fmt.Sprintf("ChatsOf(%s)", user), chats, err)
		unread, err := q.UnreadOf(ctx, user)
		say(fmt.Sprintf("UnreadOf(%s)", user), unread, err)
		list, err := q.ChatList(ctx, user)
		say(fmt.Sprintf("ChatList(%s)", user), list, err)
		page, err := q.ChatListPage(ctx, user, domain.Page{})
		say(fmt.Sprintf("ChatListPage(%s)", user), page, err)
		some, err := q.ChatsOfPage(ctx, user, domain.Page{})
		slices.Sort(some.Items)
		say(fmt.Sprintf("ChatsOfPage(%s)", user), some, err)
	}
	return answers
}

// ofLog reports whether a key is of the log or of a view of it.
func ofLog(key string) bool {
	return strings.HasPrefix(key, "cc:{message-delivery-stream}:") && !strings.Contains(key, "}:g:") && !strings.HasSuffix(key, "}:groups") && !strings.Contains(key, ":fence:") && !strings.Contains(key, "}:witness:") ||
		strings.HasPrefix(key, "chat:unread:") || strings.HasPrefix(key, "cc:user-chats:") || strings.HasSuffix(key, ":v")
}

// exemplary reports whether a key of a log of [filled] is of the log or of a view of it, and is damaged in no way in which another key is not: of the
// users, ben is in all of his chats as ada is, and dan has left one as cyd has.
func exemplary(key string) bool {
	return ofLog(key) && !strings.HasSuffix(key, ":ada") && !strings.HasSuffix(key, ":cyd") && !strings.HasSuffix(key, ":ada}:v") && !strings.HasSuffix(key, ":cyd}:v")
}

// damages gives the ways to damage a key: to delete it, and to take one element of each kind away.
func (d *damaged) damages(key string) map[string]func() {
	d.t.Helper()
	ctx, c := d.t.Context(), d.client
	damages := map[string]func(){"DEL " + key: func() { c.Del(ctx, key) }}
	switch must[string](d.t)(c.Type(ctx, key).Result()) {
	case "list":
		damages["LPOP "+key] = func() { c.LPop(ctx, key) }
		damages["RPOP "+key] = func() { c.RPop(ctx, key) }
	case "set":
		for _, member := range must[[]string](d.t)(c.SMembers(ctx, key).Result()) {
			damages["SREM "+key+" "+member] = func() { c.SRem(ctx, key, member) }
		}
	case "zset":
		member := must[[]string](d.t)(c.ZRange(ctx, key, 0, 0).Result())[0]
		damages["ZREM "+key+" "+member] = func() { c.ZRem(ctx, key, member) }
	case "hash":
		fields := must[[]string](d.t)(c.HKeys(ctx, key).Result())
		slices.Sort(fields)
		kinds := make(map[string]int)
		for _, field := range fields {
			kind := ""
			if strings.HasPrefix(field, " ") && len(field) > 1 {
				kind = field[:2]
			}
			if kinds[kind]++; strings.HasSuffix(key, ":x") && field != " " && kind != " #" && kinds[kind] > 2 && field != "m0" && field != " xm0" && field != " rdan" {
				continue // one or two of a kind suffice
			}
			damages["HDEL "+key+" "+field] = func() { c.HDel(ctx, key, field) }
		}
	}
	return damages
}

// invisible reports whether a loss is one that docs/failures.md names: a single index entry of a message, its reactions, a read mark or a
// command, which only "core fsck" finds.
func invisible(damage string) bool {
	_, field, _ := strings.Cut(damage, ":x ")
	if !strings.HasPrefix(damage, "HDEL ") || field == "" || field == " " {
		return false
	}
	return !strings.HasPrefix(field, " ") || strings.ContainsAny(field[1:2], "rxk")
}

// TestWhatIsMissingIsNeverTakenForNothing damages every key of a log and of its views in every way, and compares the answers of all queries with
// the true ones: each is the same, or says that the log is corrupt.
func TestWhatIsMissingIsNeverTakenForNothing(t *testing.T) {
	d := newDamaged(t, filled(twoSegments))
	noticed := 0
	for _, key := range d.keys(t.Context()) {
		if !exemplary(key) {
			continue
		}
		for damage, inflict := range d.damages(key) {
			inflict()
			silent := true
			for query, answer := range d.answers() {
				if answer == d.truth[query] {
					continue
				}
				if strings.HasPrefix(answer, "error") {
					silent = false
				} else if !invisible(damage) {
					t.Errorf("%s: %s answers %.300s", damage, query, answer)
				}
			}
			if !silent {
				noticed++
			}
			d.append(damage)
			d.restore()
		}
	}
	if noticed < 30 {
		t.Errorf("only %d damages were noticed", noticed)
	}
}

// append tries to write to every chat: it goes on where the chat ended, or is refused as corrupt.
func (d *damaged) append(damage string) {
	d.t.Helper()
	for chat, by := range map[domain.ChatID]domain.UserID{"big": "ben", "small": "ben", "left": "cyd"} {
		sent, err := d.core.Chats.Send(d.t.Context(), domain.Send{Chat: chat, Actor: by, Content: "after"})
		_, created := d.core.Chats.Create(d.t.Context(), domain.Create{Chat: chat, Actor: "eve"})
		switch {
		case err == nil && sent.Seq <= 3:
			d.t.Errorf("%s: a send to %s got seq %d", damage, chat, sent.Seq)
		case err != nil && !errors.Is(err, ports.ErrCorrupt) && !errors.Is(err, ports.ErrLogLost):
			d.t.Errorf("%s: a send to %s: %v", damage, chat, err)
		}
		if created == nil {
			d.t.Errorf("%s: %s was created once more", damage, chat)
		}
	}
}
