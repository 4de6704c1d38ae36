package chatcore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"chatcore"
	"chatcore/adapters/redis/keyspace"
	"chatcore/app"
	"chatcore/app/feed"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestTail_StreamDeletedMeanwhile has a stream deleted while a process has no connection: the events before that are in the log alone. Listeners count
// what they miss. Feeds give everything.
func TestTail_StreamDeletedMeanwhile(t *testing.T) {
	server := redistest.Start(t)
	proxy := redistest.StartProxy(t, server)
	config := func(url string) chatcore.Config {
		return chatcore.Config{Redis: chatcore.RedisConfig{URL: url}, Log: chatcore.LogConfig{Partitions: 1}}
	}
	sender, listener := opened(t)(chatcore.New(t.Context(), config(server.URL()))), opened(t)(chatcore.New(t.Context(), config(proxy.URL())))
	heard := hearAll[domain.MessageNew](t, listener)
	start(t, listener)
	send := func(n int) {
		for range n {
			must[app.Sent](t)(sender.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		}
	}
	must[app.Done](t)(sender.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	send(2)
	eventually(t, "the listener hears", func() bool { return heard.all() == "domain.MessageNew domain.MessageNew" })
	f := must[*feed.Feed](t)(listener.Feeds.Open(t.Context(), feed.Request{User: "ada", Chats: []feed.Position{{Chat: "c", Head: true}}}))
	defer f.Close()
	got := make([]string, 0, 9)
	next := func() {
		m, err := f.Next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		switch m.Kind { //nolint:exhaustive // the others have no seq
		case feed.KindEvent:
			got = append(got, fmt.Sprint("event ", m.Event.Record.Seq))
		case feed.KindCaughtUp:
			got = append(got, fmt.Sprint("caught up ", m.To))
		case feed.KindResync, feed.KindSkipped:
			t.Fatalf("the feed gives %v", m)
		}
	}
	next()
	proxy.Swallow(true)
	send(5)
	keys := must[keyspace.Keys](t)(keyspace.New("", 1, false))
	if err := server.Client(t).Del(t.Context(), keys.Log().Stream(0)).Err(); err != nil {
		t.Fatal(err)
	}
	send(1)
	proxy.Swallow(false)
	proxy.Cut()
	eventually(t, "the loss is noticed", func() bool { return listener.Stats().LiveLosses == 1 })
	send(2)
	eventually(t, "every message is handled or missed", func() bool {
		s := listener.Stats()
		return s.LiveHandled+s.LiveDropped+s.LiveMissed == 10
	})
	if s := listener.Stats(); s.LiveMissed < 5 || s.LiveMissed > 6 || s.LiveLosses != 1 || s.Feeds.Losts != 1 {
		t.Errorf("%+v", s)
	}
	for len(got) < 9 {
		next()
	}
	if want := []string{"caught up 3", "event 4", "event 5", "event 6", "event 7", "event 8", "event 9", "event 10", "event 11"}; !slices.Equal(got, want) {
		t.Errorf("the feed gave %q, want %q", got, want)
	}
	if found := codes(listener.Health(t.Context()).Findings(), chatcore.Note); !slices.Contains(found, "live_losses") {
		t.Errorf("the findings are %q", found)
	}
}

// TestHealth_LiveErr takes the right to subscribe away from a process that listens, and gives it back.
func TestHealth_LiveErr(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	core := opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 1}}))
	heard := hearAll[domain.MessageNew](t, core)
	start(t, core)
	must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	finding := func() bool {
		return slices.Contains(codes(core.Health(t.Context()).Findings(), chatcore.Warning), "live")
	}
	if finding() {
		t.Error("there is a finding before the fault")
	}
	acl := func(rule string) {
		if err := client.Do(context.Background(), "ACL", "SETUSER", "default", rule).Err(); err != nil {
			t.Fatal(err)
		}
	}
	acl("-subscribe")
	if err := client.ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the fault is found", finding)
	acl("+subscribe")
	eventually(t, "the fault has ended", func() bool { return !finding() })
	must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	eventually(t, "the listener hears", func() bool { return heard.all() == "domain.MessageNew" })
}
