package app_test

import (
	"context"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/app/entity"
	"chatcore/app/projection"
	"chatcore/domain"
	"chatcore/ports"
)

// query is a query of one chat, with its arguments.
type query struct {
	name string
	ask  func(ctx context.Context, q *app.Queries) (any, error)
}

// queriesOfAChat returns every query of one chat, for each of its users and messages. Typing is in no log.
func queriesOfAChat(chat domain.ChatID, users []domain.UserID, messages []domain.MessageID) (all []query) {
	add := func(name string, ask func(ctx context.Context, q *app.Queries) (any, error)) {
		all = append(all, query{name, ask})
	}
	type x = context.Context
	type q = *app.Queries
	add("chat", func(x x, q q) (any, error) { return q.Chat(x, chat) })
	add("members", func(x x, q q) (any, error) { return q.Members(x, chat) })
	add("metadata", func(x x, q q) (any, error) { return q.Metadata(x, chat) })
	add("pins", func(x x, q q) (any, error) { return q.Pins(x, chat) })
	add("history", func(x x, q q) (any, error) { return q.History(x, chat, domain.Span{Limit: 100, Changes: true}) })
	add("first messages", func(x x, q q) (any, error) { return q.History(x, chat, domain.Span{Limit: 3, First: true}) })
	add("events", func(x x, q q) (any, error) { return q.Events(x, chat, domain.Span{Limit: 100}) })
	add("restrictions", func(x x, q q) (any, error) { return q.Restrictions(x, chat, domain.Page{}) })
	add("settings", func(x x, q q) (any, error) { return q.Settings(x, chat, users...) })
	add("audit", func(x x, q q) (any, error) {
		var records []ports.Record
		for r, err := range q.Audit(x, chat, domain.Audit{User: users[0]}) {
			if err != nil {
				return nil, err
			}
			records = append(records, r)
		}
		return records, nil
	})
	for _, user := range users {
		add("member "+string(user), func(x x, q q) (any, error) { return q.Member(x, chat, user) })
		add("unread of "+string(user), func(x x, q q) (any, error) { return q.Unread(x, chat, user) })
		add("unread mentions of "+string(user), func(x x, q q) (any, error) { return q.UnreadMentions(x, chat, user) })
		add("threads of "+string(user), func(x x, q q) (any, error) { return q.Threads(x, chat, user, app.ThreadPage{}) })
		for _, threads := range []bool{false, true} {
			add(fmt.Sprint("mentions of ", user, threads), func(x x, q q) (any, error) { return q.MentionsOf(x, chat, user, app.MentionPage{Threads: threads}) })
		}
	}
	for _, m := range messages {
		add("message "+string(m), func(x x, q q) (any, error) { return q.Message(x, chat, m) })
		add("read by of "+string(m), func(x x, q q) (any, error) { return q.ReadBy(x, chat, m) })
		add("thread "+string(m), func(x x, q q) (any, error) { return q.Thread(x, chat, m, users[0]) })
		add("replies to "+string(m), func(x x, q q) (any, error) { return q.ThreadReplies(x, chat, m, domain.Page{}) })
	}
	return all
}

// asked returns an answer as text. Pointers are followed.
func asked(ctx context.Context, of query, q *app.Queries) (any, string) {
	answer, err := of.ask(ctx, q)
	if err != nil {
		return nil, err.Error()
	}
	return answer, ""
}

// anything gives a command of a chat: one of the interaction matrix, or one about a random message by a random user. It may be refused.
func anything(ctx context.Context, rt *rapid.T, chats *app.Chats, chat domain.ChatID, users []domain.UserID, messages []domain.MessageID) {
	rows := interactions()
	if n := rapid.IntRange(-2*len(rows), len(rows)-1).Draw(rt, "row"); n >= 0 && rows[n].name != "leave" {
		_ = rows[n].act(ctx, chats, chat)
		return
	}
	by := rapid.SampledFrom(users).Draw(rt, "by")
	m := rapid.SampledFrom(messages).Draw(rt, "message")
	other := rapid.SampledFrom(append([]domain.MessageID{""}, messages...)).Draw(rt, "other")
	switch rapid.SampledFrom([]string{"send", "send", "reply", "reply", "edit", "delete", "erase", "react", "pin", "read", "mark", "mute", "unread", "hide", "add"}).Draw(rt, "what") {
	case "send":
		_, _ = chats.Send(ctx, domain.Send{Chat: chat, Actor: by, MessageID: m, Content: "x", ReplyTo: other, Mentions: users[:rapid.IntRange(0, len(users)).Draw(rt, "mentions")]})
	case "reply":
		_, _ = chats.Send(ctx, domain.Send{Chat: chat, Actor: by, MessageID: m, Content: "x", Thread: other, InChat: rapid.Bool().Draw(rt, "in chat"), Mentions: users[:1]})
	case "edit":
		_, _ = chats.Edit(ctx, domain.Edit{Chat: chat, Actor: by, MessageID: m, Content: "y", Mentions: users[1:2]})
	case "delete":
		_, _ = chats.Delete(ctx, domain.Delete{Chat: chat, Actor: by, MessageID: m})
	case "erase":
		_, _ = chats.Erase(ctx, domain.Erase{Chat: chat, Actor: "ops", MessageID: m, Trusted: true})
	case "react":
		_, _ = chats.React(ctx, domain.React{Chat: chat, Actor: by, MessageID: m, Emoji: "👍"})
	case "pin":
		_, _ = chats.Pin(ctx, domain.Pin{Chat: chat, Actor: by, MessageID: m})
	case "read":
		_, _ = chats.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: by, MessageID: m, AwaitRecorded: true})
	case "mark":
		_, _ = chats.MarkThread(ctx, domain.MarkThread{Chat: chat, Actor: by, Thread: other, MessageID: m})
	case "mute":
		_, _ = chats.Restrict(ctx, domain.Restrict{Chat: chat, Actor: by, User: "ann", Kind: domain.Mute, Lift: rapid.Bool().Draw(rt, "lift")})
	case "unread":
		_, _ = chats.SetSettings(ctx, domain.SetSettings{Chat: chat, Actor: by, Settings: domain.SettingsChange{UnreadFrom: &m}})
	case "hide":
		_, _ = chats.SetSettings(ctx, domain.SetSettings{Chat: chat, Actor: by, Settings: domain.SettingsChange{Hidden: new(domain.HiddenUntilMessage)}})
	case "add":
		_, _ = chats.Add(ctx, domain.Add{Chat: chat, Actor: by, User: "act"})
	}
}

// TestAsOf_EveryQuery gives a chat random commands. As of each seq, every query gives what it gives now in a log that ends there.
func TestAsOf_EveryQuery(t *testing.T) {
	users := []domain.UserID{actor, "ann", "own", "new"}
	messages := []domain.MessageID{"m", "m1", "m2", "m3", "m4"}
	rapid.Check(t, func(rt *rapid.T) {
		clock := striding{new(atomic.Int64)}
		log := memory.New(wireformat.New(), clock, nil)
		chats := app.NewChats(log, entity.NewLoader(log, log, 1<<20), silent{}, log.Typing(), clock, ids{}, nil, app.Policy{}, nil)
		ctx, chat := t.Context(), domain.ChatID("c")
		if rapid.Bool().Draw(rt, "direct") {
			chat = domain.DirectID(actor, "ann")
			if _, err := chats.OpenDirect(ctx, domain.OpenDirect{Actor: actor, With: "ann"}); err != nil {
				rt.Fatal(err)
			}
		} else if _, err := chats.Create(ctx, domain.Create{Chat: chat, Actor: "own", Members: []domain.UserID{actor, "ann"}}); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(1, 30).Draw(rt, "commands") {
			anything(ctx, rt, chats, chat, users, messages)
		}
		page, err := log.Read(ctx, chat, ports.Range{Limit: 1000})
		if err != nil {
			rt.Fatal(err)
		}
		now := striding{new(atomic.Int64)}
		whole := app.NewQueries(log, entity.NewLoader(log, log, 1<<20), projection.Views{}).WithClock(now)
		prefix := memory.New(wireformat.New(), clock, nil)
		short := app.NewQueries(prefix, entity.NewLoader(prefix, prefix, 0), projection.Views{}).WithClock(now)
		for _, r := range page.Records {
			if _, err := prefix.Append(ctx, ports.Append{Chat: chat, Events: []ports.NewEvent{{ID: r.ID, Event: r.Event, Moves: domain.Moves(r.Event), Meta: r.Meta}}}); err != nil {
				rt.Fatal(err)
			}
			for _, of := range queriesOfAChat(chat, users, messages) {
				got, failure := asked(ctx, of, whole.At(r.Seq))
				want, refusal := asked(ctx, of, short)
				if !reflect.DeepEqual(got, want) || failure != refusal {
					rt.Fatalf("%s as of %d gives %+v %s, want %+v %s", of.name, r.Seq, got, failure, want, refusal)
				}
			}
		}
	})
}
