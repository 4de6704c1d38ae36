package app_test

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// listedBytes is the most bytes of a preview in the lists of the model.
const listedBytes = 8

// listModel is chats as lists of events: each list is counted from the beginning.
type listModel struct {
	t        *rapid.T
	log      *memory.Log
	clock    *stepping
	chats    *app.Chats
	queries  []*app.Queries // with caches of entities, and without
	builtins *projection.Builtins
	ids      []domain.ChatID
	users    []domain.UserID
	handled  map[domain.ChatID]domain.Seq
	sends    []domain.Send
}

func newListModel(t *rapid.T) *listModel {
	m := &listModel{
		t: t, clock: &stepping{At: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}, users: []domain.UserID{"ann", "bob", "cem"}, handled: map[domain.ChatID]domain.Seq{},
	}
	m.log = memory.New(wireformat.New(), m.clock, nil)
	entities := entity.NewLoader(m.log, m.log, 1<<20)
	m.chats = app.NewChats(m.log, entities, silent{}, m.log.Typing(), m.clock, ids{}, nil, app.Policy{}, nil)
	views := projection.Views{
		Log: m.log.ID(), Chats: memory.NewUserView(), Favourites: memory.NewUserView(), Hidden: memory.NewUserView(), Preview: listedBytes,
	}
	plain := entity.NewLoader(m.log, nil, 0)
	m.queries = []*app.Queries{app.NewQueries(m.log, entities, views), app.NewQueries(m.log, plain, views)}
	m.builtins = projection.NewBuiltins(projection.NewModels(m.log, plain, views), nil, false)
	return m
}

// done ignores the refusals of the domain: a random command may be one that is not allowed.
func (m *listModel) done(_ any, err error) {
	m.t.Helper()
	for _, wrong := range []error{ports.ErrUnavailable, ports.ErrCorrupt, ports.ErrConflict} {
		if err != nil && strings.Contains(err.Error(), wrong.Error()) {
			m.t.Fatalf("%v", err)
		}
	}
}

// step does something in a chat.
func (m *listModel) step() {
	ctx, t := m.t.Context(), m.t
	chat := rapid.SampledFrom(m.ids).Draw(t, "chat")
	by := rapid.SampledFrom(m.users).Draw(t, "by")
	id, of := domain.MessageID(fmt.Sprint("m", len(m.sends))), domain.Send{Chat: chat, Actor: by, MessageID: "none"}
	if len(m.sends) > 0 {
		of = m.sends[rapid.IntRange(max(len(m.sends)-5, 0), len(m.sends)-1).Draw(t, "message")]
	}
	content := strings.Repeat("aö", rapid.IntRange(1, 5).Draw(t, "content"))
	named := rapid.SliceOfNDistinct(rapid.SampledFrom(m.users), 0, 2, rapid.ID).Draw(t, "mentions")
	switch rapid.SampledFrom([]string{"send", "send", "reply", "edit", "delete", "erase", "pin", "react", "read", "favourite", "hide", "notify", "leave", "add", "archive"}).Draw(t, "what") {
	case "send":
		send := domain.Send{Chat: chat, Actor: by, MessageID: id, Content: content, Mentions: named}
		if rapid.Bool().Draw(t, "attached") {
			send.Attachments = []domain.Attachment{{Name: "n", URL: "u"}}
		}
		m.send(send)
	case "reply":
		m.send(domain.Send{Chat: of.Chat, Actor: by, MessageID: id, Content: content, Thread: of.MessageID, InChat: rapid.Bool().Draw(t, "in chat")})
	case "edit":
		m.done(m.chats.Edit(ctx, domain.Edit{Chat: of.Chat, Actor: of.Actor, MessageID: of.MessageID, Content: content, Mentions: named}))
	case "delete":
		m.done(m.chats.Delete(ctx, domain.Delete{Chat: of.Chat, Actor: of.Actor, MessageID: of.MessageID}))
	case "erase":
		m.done(m.chats.Erase(ctx, domain.Erase{Chat: of.Chat, Actor: of.Actor, MessageID: of.MessageID}))
	case "pin":
		m.done(m.chats.Pin(ctx, domain.Pin{Chat: of.Chat, Actor: "own", MessageID: of.MessageID}))
	case "react":
		m.done(m.chats.React(ctx, domain.React{Chat: of.Chat, Actor: by, MessageID: of.MessageID, Emoji: "👍"}))
	case "read":
		m.done(m.chats.MarkRead(ctx, domain.MarkRead{Chat: of.Chat, Actor: by, MessageID: of.MessageID, AwaitRecorded: true}))
	case "favourite":
		m.set(chat, by, domain.SettingsChange{Favourite: new(rapid.Bool().Draw(t, "favourite"))})
	case "hide":
		m.set(chat, by, domain.SettingsChange{Hidden: new(domain.Hiding(rapid.IntRange(0, 2).Draw(t, "hiding")))}) //nolint:gosec // small
	case "notify":
		m.set(chat, by, domain.SettingsChange{Notify: new(domain.NotifyLevel(rapid.IntRange(0, 3).Draw(t, "level")))}) //nolint:gosec // small
	case "leave":
		m.done(m.chats.Leave(ctx, domain.Leave{Chat: chat, Actor: by}))
	case "add":
		m.done(m.chats.Add(ctx, domain.Add{Chat: chat, Actor: "own", User: by}))
	case "archive":
		m.done(m.chats.Archive(ctx, domain.Archive{Chat: chat, Actor: "own"}))
	}
}

func (m *listModel) set(chat domain.ChatID, by domain.UserID, change domain.SettingsChange) {
	m.t.Helper()
	m.done(m.chats.SetSettings(m.t.Context(), domain.SetSettings{Chat: chat, Actor: by, Settings: change}))
}

func (m *listModel) send(send domain.Send) {
	m.t.Helper()
	_, err := m.chats.Send(m.t.Context(), send)
	if m.done(nil, err); err == nil {
		m.sends = append(m.sends, send)
	}
}

// deliver has the built-in group handle events of a chat that it has not handled, or some again.
func (m *listModel) deliver(chat domain.ChatID, from domain.Seq) {
	m.t.Helper()
	page, err := m.log.Read(m.t.Context(), chat, ports.Range{From: from, Limit: ports.MaxPage})
	if err != nil || len(page.Records) == 0 {
		return
	}
	b := &ports.ChatBatch{}
	for _, r := range page.Records {
		b.Deliveries = append(b.Deliveries, ports.Delivery{ID: ports.DeliveryID{Log: m.log.ID(), Chat: chat, Seq: r.Seq, Event: r.ID}, Event: r.Event})
		m.handled[chat] = max(m.handled[chat], r.Seq)
	}
	if m.builtins.HandleBatch(m.t.Context(), []*ports.ChatBatch{b}); b.Err != nil || b.Done != len(b.Deliveries) {
		m.t.Fatalf("%d of %d events handled, error %v", b.Done, len(b.Deliveries), b.Err)
	}
}

// listedChat is a chat as a plain fold of its events shows it to a user.
type listedChat struct {
	app.ListedChat
	since, read domain.Seq
	creator     domain.UserID
	hiding      domain.Hiding
	hiddenSeq   domain.Seq
	messages    map[domain.MessageID]*listedMessage
	last        *listedMessage
}

type listedMessage struct {
	ports.LastPreview
	users  []domain.UserID
	thread bool // in a thread alone
}

// fold folds the events of a chat for a user.
func (m *listModel) fold(chat domain.ChatID, user domain.UserID) listedChat {
	page, err := m.log.Read(m.t.Context(), chat, ports.Range{Limit: ports.MaxPage})
	if err != nil || page.Head > domain.Seq(len(page.Records)) { //nolint:gosec // small
		m.t.Fatalf("%d of %d events, error %v", len(page.Records), page.Head, err)
	}
	c := listedChat{ListedChat: app.ListedChat{ID: chat}, messages: map[domain.MessageID]*listedMessage{}}
	for _, r := range page.Records {
		switch e := r.Event.(type) {
		case domain.ChatUpdate:
			c.change(r.Seq, e, user)
		case domain.ChatSettings:
			c.set(e, user)
		case domain.MessageNew:
			c.send(r.Seq, e, user)
		case domain.MessageEdit:
			if sent := c.messages[e.Message]; !sent.Deleted {
				sent.Preview = begin(string(e.Content))
				if e.Mentions != nil {
					sent.users = e.Mentions
				}
			}
		case domain.MessageDelete:
			sent := c.messages[e.Message]
			sent.Preview, sent.Attachments, sent.Deleted = "", 0, true
		case domain.ReadReceipt:
			if e.User == user {
				c.read = max(c.read, e.ReadSeq)
			}
		}
	}
	c.sum(user)
	return c
}

func (c *listedChat) change(seq domain.Seq, e domain.ChatUpdate, user domain.UserID) {
	joins := e.Change == domain.MemberAdded && e.User == user || e.Change == domain.Created && e.Actor == user
	switch {
	case joins:
		c.since, c.JoinedAt, c.Role = seq, e.At, max(e.Role, domain.RoleMember)
		if e.Change == domain.Created {
			c.Role = domain.RoleOwner
		}
	case e.Change == domain.MemberRemoved && e.User == user:
		c.Role = domain.NoRole
	case e.Change == domain.RoleChanged && e.User == user:
		c.Role = e.Role
	case e.Change == domain.Archived:
		c.Archived = true
	}
	if e.Change == domain.Created {
		c.Title, c.Kind, c.creator = e.Title, e.Kind, e.Actor
	}
	if c.Kind == domain.Direct && e.User != user && e.User != "" {
		c.Peer = e.User
	} else if c.Kind == domain.Direct && e.Change == domain.Created && e.Actor != user {
		c.Peer = e.Actor
	}
}

func (c *listedChat) set(e domain.ChatSettings, user domain.UserID) {
	if e.User != user {
		return
	}
	if e.Notify != nil {
		c.Notify = *e.Notify
	}
	if e.Favourite != nil {
		c.Favourite = *e.Favourite
	}
	if e.Hidden != nil {
		c.hiding, c.hiddenSeq = *e.Hidden, e.HiddenSeq
	}
}

func (c *listedChat) send(seq domain.Seq, e domain.MessageNew, user domain.UserID) {
	sent := &listedMessage{users: e.Mentions, thread: e.Thread != "" && !e.InChat, LastPreview: ports.LastPreview{
		Message: e.Message, Seq: seq, Sender: e.Sender, At: e.At, Preview: begin(string(e.Content)), Attachments: len(e.Attachments),
	}}
	c.messages[e.Message] = sent
	if sent.thread {
		return
	}
	c.last = sent
	if e.Sender == user {
		c.read = seq
	}
}

// sum sets what follows from the messages.
func (c *listedChat) sum(user domain.UserID) {
	base := max(c.since, c.read)
	for _, sent := range c.messages {
		if sent.thread || sent.Deleted || sent.Seq <= base {
			continue
		}
		c.Unread++
		if sent.Sender != user && slices.Contains(sent.users, user) {
			c.Mentions++
		}
	}
	shown := c.since
	c.LastAt = c.JoinedAt
	if c.last != nil {
		c.Preview, shown = c.last.LastPreview, max(c.since, c.last.Seq)
		if c.last.Seq > c.since {
			c.LastAt = c.last.At
		}
	}
	c.Hidden = c.hiding == domain.HiddenAlways || c.hiding == domain.HiddenUntilMessage && shown <= c.hiddenSeq
}

func begin(text string) string {
	for len(text) > listedBytes || text != strings.ToValidUTF8(text, "") {
		text = text[:len(text)-1]
	}
	return text
}

// check compares the lists of all users with the model, in pages of each size.
func (m *listModel) check() {
	m.t.Helper()
	for _, user := range m.users {
		all := make(map[domain.ChatID]app.ListedChat)
		for _, chat := range m.ids {
			if c := m.fold(chat, user); c.Role != domain.NoRole && (c.Kind != domain.Direct || c.creator == user || c.last != nil) {
				all[chat] = c.ListedChat
			}
		}
		for _, filter := range []app.ChatFilter{{}, {Hidden: true}, {Favourite: true}, {Unread: true}, {Kinds: []domain.ChatKind{domain.Direct}}, {Archived: new(true)}} {
			var want []app.ListedChat
			for _, c := range slices.SortedFunc(maps.Values(all), func(a, b app.ListedChat) int { return cmp.Or(b.LastAt.Compare(a.LastAt), cmp.Compare(a.ID, b.ID)) }) {
				if filter.Hidden == c.Hidden && (!filter.Favourite || c.Favourite) && (!filter.Unread || c.Unread > 0) && (filter.Kinds == nil || c.Kind == domain.Direct) && (filter.Archived == nil || c.Archived) {
					want = append(want, c)
				}
			}
			for i, q := range m.queries {
				for _, limit := range []int{1, 2, 10} {
					if got := m.pages(q, user, filter, limit); !reflect.DeepEqual(got, want) {
						m.t.Fatalf("the list of %s, filter %+v, limit %d, queries %d:\n%+v, want\n%+v", user, filter, limit, i, got, want)
					}
				}
			}
		}
	}
}

// checkItems compares what lists say of the chats that they have, while the built-in group is behind.
func (m *listModel) checkItems() {
	m.t.Helper()
	for i, q := range m.queries {
		for _, user := range m.users {
			for _, c := range slices.Concat(m.pages(q, user, app.ChatFilter{}, 10), m.pages(q, user, app.ChatFilter{Hidden: true}, 10)) {
				if want := m.fold(c.ID, user).ListedChat; !reflect.DeepEqual(c, want) {
					m.t.Fatalf("the list of %s, queries %d, has\n%+v, want\n%+v", user, i, c, want)
				}
			}
		}
	}
}

// pages returns all pages of a list.
func (m *listModel) pages(q *app.Queries, user domain.UserID, filter app.ChatFilter, limit int) (all []app.ListedChat) {
	for page := (domain.Page{Limit: limit}); ; {
		list, err := q.FilteredChatList(m.t.Context(), user, filter, page)
		if err != nil || len(list.Items) > limit {
			m.t.Fatalf("%d of %d chats, error %v", len(list.Items), limit, err)
		}
		all = append(all, list.Items...)
		if page.Cursor = list.Next; list.Next == "" {
			return all
		}
	}
}

// TestChatList_Model compares lists after random histories with a plain fold of the events: order, previews, settings, counts and pages. The built-in group handles the
// events late, and some of them again.
func TestChatList_Model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		m := newListModel(rt)
		for i := range 3 {
			chat := domain.ChatID(fmt.Sprint("c", i))
			members := rapid.SliceOfNDistinct(rapid.SampledFrom(m.users), 0, 3, rapid.ID).Draw(rt, "members")
			m.done(m.chats.Create(rt.Context(), domain.Create{Chat: chat, Actor: "own", Title: "t", Members: members}))
			m.ids = append(m.ids, chat)
		}
		direct, err := m.chats.OpenDirect(rt.Context(), domain.OpenDirect{Actor: "ann", With: "bob"})
		if err != nil {
			rt.Fatal(err)
		}
		m.ids = append(m.ids, direct.Chat)
		for range rapid.IntRange(1, 25).Draw(rt, "steps") {
			m.step()
			chat := rapid.SampledFrom(m.ids).Draw(rt, "delivered")
			switch rapid.IntRange(0, 5).Draw(rt, "how") {
			case 0:
				m.deliver(chat, m.handled[chat]+1)
			case 1:
				if m.handled[chat] > 0 {
					m.deliver(chat, domain.Seq(rapid.Uint64Range(1, uint64(m.handled[chat])).Draw(rt, "again")))
				}
			case 2:
				for _, chat := range m.ids {
					m.deliver(chat, m.handled[chat]+1)
				}
				m.check()
			}
			m.checkItems()
		}
		for _, chat := range m.ids {
			m.deliver(chat, m.handled[chat]+1)
		}
		m.check()
	})
}
