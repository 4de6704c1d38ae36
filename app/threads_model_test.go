package app_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// striding is a clock on which each look is two seconds after the one before, so that no read mark comes too soon.
type striding struct{ looks *atomic.Int64 }

func (s striding) Now() time.Time {
	return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC).Add(time.Duration(s.looks.Add(2)) * time.Second)
}

func (striding) Sleep(context.Context, time.Time) error { return nil }

// threadEvent is an event of a model, as far as threads and mentions need it.
type threadEvent struct {
	seq    domain.Seq
	what   string
	user   domain.UserID
	id     domain.MessageID
	root   domain.MessageID
	inChat bool
	users  []domain.UserID // that a message mentions from then on
	all    bool
	mark   domain.Seq
}

// threadModel is a chat as a list of events: each answer is counted from the beginning.
type threadModel struct {
	events []threadEvent
	erased map[domain.MessageID]bool
}

// threadMessage is a message as of a seq.
type threadMessage struct {
	threadEvent
	deleted bool
}

func (m threadMessage) inTimeline() bool { return m.root == "" || m.inChat }

func (m threadMessage) names(user domain.UserID) bool {
	return m.user != user && (m.all || slices.Contains(m.users, user))
}

// messages returns the messages as of a seq, in their order.
func (t *threadModel) messages(at domain.Seq) (all []*threadMessage) {
	byID := make(map[domain.MessageID]*threadMessage)
	for _, e := range t.until(at) {
		switch e.what {
		case "send":
			byID[e.id] = &threadMessage{threadEvent: e}
			all = append(all, byID[e.id])
		case "edit":
			byID[e.id].users, byID[e.id].all = e.users, byID[e.id].all && e.all
		case "delete":
			byID[e.id].deleted = true
		}
		if t.erased[e.id] && byID[e.id] != nil {
			byID[e.id].users, byID[e.id].all = nil, false
		}
	}
	return all
}

func (t *threadModel) until(at domain.Seq) []threadEvent {
	i := slices.IndexFunc(t.events, func(e threadEvent) bool { return e.seq > at })
	if i < 0 {
		return t.events
	}
	return t.events[:i]
}

// since returns when a user joined, 0 for one that is no member.
func (t *threadModel) since(user domain.UserID, at domain.Seq) (joined domain.Seq) {
	for _, e := range t.until(at) {
		switch {
		case e.user == user && e.what == "join":
			joined = e.seq
		case e.user == user && e.what == "leave":
			joined = 0
		}
	}
	return joined
}

// read returns up to where a user has read the main timeline.
func (t *threadModel) read(user domain.UserID, at domain.Seq) (read domain.Seq) {
	for _, e := range t.until(at) {
		switch {
		case e.user != user:
		case e.what == "send" && (e.root == "" || e.inChat):
			read = e.seq
		case e.what == "read":
			read = max(read, e.mark)
		}
	}
	return read
}

// threadStanding returns above which seq replies are unread for a user, and whether the user follows.
func (t *threadModel) threadStanding(user domain.UserID, root threadMessage, at domain.Seq) (base domain.Seq, follows bool) {
	follows = root.user == user
	for _, e := range t.until(at) {
		switch {
		case e.user != user || e.root != root.id:
		case e.what == "send", e.what == "follow":
			base, follows = e.seq, true
		case e.what == "unfollow":
			follows = false
		case e.what == "mark":
			base = max(base, e.mark)
		}
	}
	return base, follows
}

// threadsRun gives random commands and follows them with the model.
type threadsRun struct {
	t       *rapid.T
	ctx     context.Context
	chat    domain.ChatID
	chats   *app.Chats
	queries *app.Queries
	model   threadModel
	n       int
}

var threadUsers = []domain.UserID{"own", "ann", "bob"} //nolint:gochecknoglobals // read-only

func (r *threadsRun) must(_ any, err error) {
	if err != nil {
		r.t.Helper()
		r.t.Fatal(err)
	}
}

func (r *threadsRun) record(e threadEvent) { r.model.events = append(r.model.events, e) }

func (r *threadsRun) begin() {
	r.must(r.chats.Create(r.ctx, domain.Create{Chat: r.chat, Actor: "own", Members: []domain.UserID{"ann", "bob"}}))
	for i, user := range threadUsers {
		r.record(threadEvent{seq: domain.Seq(i + 1), what: "join", user: user}) //nolint:gosec // an index
	}
	r.model.erased = make(map[domain.MessageID]bool)
	r.send("own", "", false)
}

func (r *threadsRun) mentions(by domain.UserID) (users []domain.UserID, all bool) {
	users = slices.Clone(rapid.SampledFrom([][]domain.UserID{nil, {"ann"}, {"bob", "ann"}}).Draw(r.t, "mentions"))
	return users, by == "own" && rapid.IntRange(0, 3).Draw(r.t, "all") == 0
}

func (r *threadsRun) send(by domain.UserID, root domain.MessageID, inChat bool) {
	r.n++
	users, all := r.mentions(by)
	cmd := domain.Send{
		Chat: r.chat, Actor: by, MessageID: domain.MessageID(fmt.Sprint("m", r.n)), Content: "x", Thread: root, InChat: inChat, Mentions: users,
	}
	if all {
		cmd.Broadcast = domain.BroadcastAll
	}
	done, err := r.chats.Send(r.ctx, cmd)
	r.must(done, err)
	r.record(threadEvent{seq: done.Seq, what: "send", user: by, id: cmd.MessageID, root: root, inChat: inChat, users: r.members(users), all: all})
}

// members returns the users that are members: of the others no mention is recorded.
func (r *threadsRun) members(users []domain.UserID) (members []domain.UserID) {
	for _, user := range users {
		if r.model.since(user, 1<<62) > 0 {
			members = append(members, user)
		}
	}
	return members
}

func (r *threadsRun) step() {
	by := rapid.SampledFrom(threadUsers).Draw(r.t, "by")
	messages := r.model.messages(1 << 62)
	message := rapid.SampledFrom(messages).Draw(r.t, "message")
	what := rapid.SampledFrom([]string{"send", "reply", "reply", "reply", "shown", "edit", "delete", "erase", "read", "mark", "mark", "follow", "unfollow", "leave"}).Draw(r.t, "what")
	if r.model.since(by, 1<<62) == 0 {
		done, err := r.chats.Add(r.ctx, domain.Add{Chat: r.chat, Actor: "own", User: by})
		r.must(done, err)
		r.record(threadEvent{seq: done.Seq, what: "join", user: by})
		return
	}
	root := message.id
	if message.root != "" {
		root = message.root
	}
	switch what {
	case "send":
		r.send(by, "", false)
	case "reply", "shown":
		r.send(by, root, what == "shown")
	case "edit":
		r.edit(message)
	case "delete", "erase":
		r.remove(message, what == "erase")
	case "read":
		done, err := r.chats.MarkRead(r.ctx, domain.MarkRead{Chat: r.chat, Actor: by, MessageID: message.id, AwaitRecorded: true})
		r.must(done, err)
		r.changed(done.Done, threadEvent{what: "read", user: by, mark: message.seq})
	case "mark":
		if message.root != "" {
			done, err := r.chats.MarkThread(r.ctx, domain.MarkThread{Chat: r.chat, Actor: by, Thread: root, MessageID: message.id})
			r.must(done, err)
			r.changed(done.Done, threadEvent{what: "mark", user: by, root: root, mark: message.seq})
		}
	case "follow", "unfollow":
		to := map[string]domain.Following{"follow": domain.Follow, "unfollow": domain.Unfollow}[what]
		done, err := r.chats.MarkThread(r.ctx, domain.MarkThread{Chat: r.chat, Actor: by, Thread: root, Following: to})
		r.must(done, err)
		r.changed(done.Done, threadEvent{what: what, user: by, root: root})
	case "leave":
		if by != "own" {
			done, err := r.chats.Leave(r.ctx, domain.Leave{Chat: r.chat, Actor: by})
			r.must(done, err)
			r.record(threadEvent{seq: done.Seq, what: "leave", user: by})
		}
	}
}

func (r *threadsRun) changed(done app.Done, e threadEvent) {
	if done.Changed {
		e.seq = done.Seq
		r.record(e)
	}
}

func (r *threadsRun) edit(message *threadMessage) {
	if message.deleted || r.model.since(message.user, 1<<62) == 0 {
		return
	}
	users, remove := r.mentions(message.user)
	if users == nil {
		users = []domain.UserID{}
	}
	done, err := r.chats.Edit(r.ctx, domain.Edit{
		Chat: r.chat, Actor: message.user, MessageID: message.id, Content: fmt.Sprint("edit ", r.n), Mentions: users, RemoveBroadcast: remove,
	})
	r.must(done, err)
	r.changed(done, threadEvent{what: "edit", user: message.user, id: message.id, users: r.members(users), all: !remove})
}

func (r *threadsRun) remove(message *threadMessage, erase bool) {
	if r.model.erased[message.id] {
		return
	}
	deleted, err := r.chats.Delete(r.ctx, domain.Delete{Chat: r.chat, Actor: "own", MessageID: message.id})
	r.must(deleted, err)
	r.changed(deleted, threadEvent{what: "delete", user: "own", id: message.id})
	if erase {
		erased, err := r.chats.Erase(r.ctx, domain.Erase{Chat: r.chat, Actor: "own", MessageID: message.id})
		r.must(erased, err)
		r.model.erased[message.id] = true
	}
}

// check compares every query with the model, as of a seq.
func (r *threadsRun) check(q *app.Queries, at domain.Seq) {
	messages := r.model.messages(at)
	r.checkHistory(q, at, messages)
	var threads []domain.MessageID
	for _, m := range slices.Backward(messages) {
		if m.root != "" && !slices.Contains(threads, m.root) {
			threads = append(threads, m.root)
		}
	}
	for _, user := range threadUsers {
		r.checkMentions(q, at, user, messages)
		var listed, followed []app.ThreadView
		for _, root := range threads {
			if view := r.checkThread(q, at, user, root, messages); view.Replies > 0 {
				listed = append(listed, view)
				if view.Following {
					followed = append(followed, view)
				}
			}
		}
		r.checkThreads(q, at, user, false, listed)
		r.checkThreads(q, at, user, true, followed)
	}
}

func (r *threadsRun) checkHistory(q *app.Queries, at domain.Seq, messages []*threadMessage) {
	history, err := q.History(r.ctx, r.chat, domain.Span{Limit: 100})
	r.must(history, err)
	for _, m := range messages {
		if !m.inTimeline() {
			continue
		}
		if len(history) == 0 || history[0].ID != m.id || history[0].Thread != m.root || history[0].Summary.Replies != replies(messages, m.id) {
			r.t.Fatalf("as of %d the history goes on with %+v, want %+v and %d replies", at, history, m, replies(messages, m.id))
		}
		history = history[1:]
	}
	if len(history) > 0 {
		r.t.Fatalf("as of %d the history has %+v", at, history)
	}
}

func replies(messages []*threadMessage, root domain.MessageID) (n int) {
	for _, m := range messages {
		if m.root == root && !m.deleted {
			n++
		}
	}
	return n
}

func (r *threadsRun) checkThread(q *app.Queries, at domain.Seq, user domain.UserID, id domain.MessageID, messages []*threadMessage) app.ThreadView {
	root := *messages[slices.IndexFunc(messages, func(m *threadMessage) bool { return m.id == id })]
	view, err := q.Thread(r.ctx, r.chat, id, user)
	r.must(view, err)
	base, follows := r.model.threadStanding(user, root, at)
	joined, unread := r.model.since(user, at), 0
	var all, last []domain.MessageID
	for _, m := range messages {
		if m.root != id {
			continue
		}
		all = append(all, m.id)
		if !m.deleted {
			last = append(last, m.id)
			if m.seq > max(base, joined) {
				unread++
			}
		}
	}
	if follows = follows && joined > 0; !follows {
		unread = 0
	}
	if view.Root.Deleted() != root.deleted || view.Replies != len(last) || view.Following != follows || view.Unread != unread || view.AtLeast ||
		len(last) > 0 && view.Last.Message != last[len(last)-1] {
		r.t.Fatalf("as of %d %s sees %+v; want following %v, %d unread of %v", at, user, view, follows, unread, last)
	}
	var got []domain.MessageID
	for page := (domain.Page{Limit: 2}); ; {
		list, err := q.ThreadReplies(r.ctx, r.chat, id, page)
		r.must(list, err)
		for _, m := range list.Items {
			got = append(got, m.ID)
		}
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	if slices.Reverse(got); !slices.Equal(got, all) {
		r.t.Fatalf("as of %d the replies are %v, want %v", at, got, all)
	}
	return view
}

func (r *threadsRun) checkThreads(q *app.Queries, at domain.Seq, user domain.UserID, followed bool, want []app.ThreadView) {
	var got []app.ThreadView
	for page := (app.ThreadPage{Page: domain.Page{Limit: 2}, Followed: followed}); ; {
		list, err := q.Threads(r.ctx, r.chat, user, page)
		r.must(list, err)
		got = append(got, list.Items...)
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	if !reflect.DeepEqual(got, want) {
		r.t.Fatalf("as of %d, followed %v, %s has the threads\n%+v\nwant\n%+v", at, followed, user, got, want)
	}
}

func (r *threadsRun) checkMentions(q *app.Queries, at domain.Seq, user domain.UserID, messages []*threadMessage) {
	joined, read := r.model.since(user, at), r.model.read(user, at)
	var want app.UnreadMentions
	named := map[bool][]domain.MessageID{}
	for _, m := range messages {
		if !m.deleted && m.names(user) {
			named[m.inTimeline()] = append(named[m.inTimeline()], m.id)
		}
		switch {
		case m.deleted || m.user == user || m.seq <= joined:
		case m.inTimeline() && m.seq > read:
			want.Messages++
			if m.names(user) {
				want.Mentions++
			}
		case !m.inTimeline() && m.names(user):
			root := *messages[slices.IndexFunc(messages, func(o *threadMessage) bool { return o.id == m.root })]
			if base, _ := r.model.threadStanding(user, root, at); m.seq > base {
				want.ThreadMentions++
			}
		}
	}
	got, err := q.UnreadMentions(r.ctx, r.chat, user)
	if joined == 0 {
		if !isNotMember(err) {
			r.t.Fatalf("as of %d %s, who has left, has %+v, error %v", at, user, got, err)
		}
	} else if r.must(got, err); got != want {
		r.t.Fatalf("as of %d %s has %+v, want %+v", at, user, got, want)
	}
	for _, inThreads := range []bool{false, true} {
		var ids []domain.MessageID
		for page := (app.MentionPage{Page: domain.Page{Limit: 2}, Threads: inThreads}); ; {
			list, err := q.MentionsOf(r.ctx, r.chat, user, page)
			r.must(list, err)
			for _, m := range list.Items {
				if !slices.Contains(ids, m.ID) {
					ids = append(ids, m.ID)
				}
			}
			if page.Cursor = list.Next; page.Cursor == "" {
				break
			}
		}
		slices.Sort(ids)
		if slices.Sort(named[!inThreads]); !slices.Equal(ids, named[!inThreads]) {
			r.t.Fatalf("as of %d, in threads %v, %v mention %s, want %v", at, inThreads, ids, user, named[!inThreads])
		}
	}
}

// TestThreads_Model gives random commands and compares every query of threads and mentions with a plain list of events, now and as of earlier seqs.
func TestThreads_Model(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		log, n := open(), 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			clock := striding{new(atomic.Int64)}
			run := threadsRun{t: rt, ctx: t.Context(), chat: domain.ChatID(fmt.Sprint("c", n)), chats: process(log, clock), queries: queriesOf(log)}
			run.begin()
			for range rapid.IntRange(1, 20).Draw(rt, "steps") {
				run.step()
				if rapid.IntRange(0, 4).Draw(rt, "check") == 0 {
					run.check(run.queries, 1<<62)
				}
			}
			run.check(run.queries, 1<<62)
			head := run.model.events[len(run.model.events)-1].seq
			for range min(head, 5) {
				at := domain.Seq(rapid.Uint64Range(4, uint64(head)).Draw(rt, "as of"))
				run.check(run.queries.At(at), at)
			}
		})
	})
}

var _ ports.Clock = striding{}
