package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// aclLine is a line of `core acl`.
func aclLine(t *testing.T, args ...string) []any {
	t.Helper()
	out := &buffer{}
	cmd := command(out, &buffer{})
	cmd.SetArgs(append([]string{"acl", "--user", "least", "--password", "secret"}, args...))
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	var words []any
	for _, word := range strings.Fields(out.String()) {
		words = append(words, word)
	}
	return words
}

func obey(t *testing.T, server *redistest.Server, words ...any) {
	t.Helper()
	if err := server.Client(t).Do(t.Context(), words...).Err(); err != nil {
		t.Fatalf("%v: %v", words, err)
	}
}

// TestACL_IsEnoughForAWholeCore runs everything that a core has as the user that `core acl` prints: with and without a namespace, on a single server
// and on a Cluster, with the caches on a server of their own.
func TestACL_IsEnoughForAWholeCore(t *testing.T) {
	own := []string{"--key", "counter:*", "--key", "profile:*", "--key", "cc:{profile:*", "--channel", "news"}
	t.Run("single", func(t *testing.T) {
		server := redistest.Start(t)
		obey(t, server, aclLine(t, own...)...)
		wholeCore(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: least(server.URL())}})
	})
	t.Run("namespace and database", func(t *testing.T) {
		server := redistest.Start(t)
		obey(t, server, aclLine(t, "--namespace", "ns", "--redis-url", server.URL()+"/3", "--key", "counter:*")...)
		wholeCore(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: least(server.URL()) + "/3", Namespace: "ns"}})
	})
	t.Run("cluster and caches", func(t *testing.T) {
		cluster, cache := redistest.StartCluster(t, 3), redistest.Start(t)
		for _, server := range cluster.Masters {
			obey(t, server, aclLine(t, append(own, "--redis-url", cluster.URL())...)...)
		}
		obey(t, cache, aclLine(t, append(own, "--cache")...)...)
		wholeCore(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: least(cluster.URL()), CacheURL: least(cache.URL())}})

		obey(t, cache, "acl", "setuser", "least", "-set")
		_, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: least(cluster.URL()), CacheURL: least(cache.URL())}})
		var missing *ports.RightsError
		if !errors.Is(err, chatcore.ErrNoPermission) || !errors.As(err, &missing) || len(missing.Commands) != 1 || missing.Commands[0] != "set" {
			t.Errorf("without SET on the caches' server: %v", err)
		}
	})
}

func least(url string) string { return strings.ReplaceAll(url, "redis://", "redis://least:secret@") }

func wholeCore(t *testing.T, config chatcore.Config) {
	ctx := t.Context()
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	config.Redis.Durability = chatcore.Durability{}
	config.Limits.Rates = map[string]app.Limit{app.LimitSend: {Rate: 100, Per: time.Minute}, app.LimitSendInChat: {Rate: 100, Per: time.Minute, Algorithm: ports.GCRA, Burst: 50}}
	core, err := chatcore.New(ctx, config)
	check("opening", err)
	defer func() { check("closing", core.Close()) }()
	handled, failed, heard := make(chan domain.MessageID, 8), make(chan struct{}, 8), make(chan struct{}, 8)
	check("builtins", core.SubscribeBuiltins())
	check("subscribe", core.Subscribe("g", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		made, err := core.Once(ctx, "count", d.ID, chatcore.Effect{Commands: []chatcore.Command{{"INCR", "counter:{x}"}, {"EXPIRE", "counter:{x}", "100"}}})
		if err == nil && made {
			handled <- d.Event.Message
		}
		return err
	})))
	check("subscribe", core.Subscribe("failing", chatcore.OnPoison(chatcore.Park), chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
		select {
		case failed <- struct{}{}:
		default:
		}
		return chatcore.Permanent(errors.New("never"))
	})))
	check("listen", core.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageNew]) { heard <- struct{}{} })))
	running, stop := context.WithCancel(ctx)
	check("start", core.Start(running))
	defer func() {
		stop()
		check("running", core.Wait())
	}()

	_, err = core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Members: []domain.UserID{"bob"}})
	check("create", err)
	_, err = core.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"})
	check("typing", err)
	_, err = core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "hi"})
	check("send", err)
	for what, c := range map[string]chan struct{}{"heard": heard, "failed": failed} {
		select {
		case <-c:
		case <-time.After(wait.Limit):
			t.Fatalf("the message was not %s", what)
		}
	}
	select {
	case <-handled:
	case <-time.After(wait.Limit):
		t.Fatal("the message was not handled")
	}
	_, err = core.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "ada", MessageID: "m"})
	check("delete", err)
	_, err = core.Queries.Message(ctx, "c", "m")
	check("message", err)
	_, err = core.Queries.Unread(ctx, "c", "bob")
	check("unread", err)
	_, err = core.Queries.Typing(ctx, "c")
	check("who types", err)
	_, err = core.Queries.Members(ctx, "c")
	check("members", err)

	check("heartbeat", core.Presence.Heartbeat(ctx, "ada", "phone", ""))
	_, err = core.Presence.IsOnline(ctx, "ada")
	check("online", err)
	session, err := core.Sessions.Open(ctx, domain.OpenSession{User: "ada"})
	check("session", err)
	session, err = core.Sessions.Rotate(ctx, session.Token)
	check("rotate", err)
	_, err = core.Sessions.List(ctx, "ada")
	check("sessions", err)
	_, err = core.Sessions.CloseAll(ctx, "ada")
	check("close sessions", err)

	check("set", core.Helpers.Set(ctx, "counter:a", 1, time.Minute))
	_, err = core.Helpers.IncrWithExpiry(ctx, "counter:b", time.Minute)
	check("incr", err)
	_, err = core.Helpers.SAdd(ctx, "counter:c", "x")
	check("sadd", err)
	_, err = core.Helpers.DelPattern(ctx, "counter:*")
	check("delpattern", err)
	check("publish", core.Helpers.Publish(ctx, "news", 1))
	profiles, err := chatcore.NewCache(core, chatcore.CacheConfig{Prefix: "profile:"}, func(context.Context, string) (int, error) { return 7, nil })
	check("cache", err)
	for range 2 {
		if n, err := profiles.Get(ctx, "ada"); err != nil || n != 7 {
			t.Errorf("cached %d, error %v", n, err)
		}
	}
	check("invalidate", profiles.Invalidate(ctx, "ada"))

	groups := core.Groups()
	deadline := time.After(wait.Limit)
	for retried := false; !retried; {
		for letter, err := range groups.DeadLetters(ctx, "failing") {
			check("letters", err)
			check("drop", groups.Drop(ctx, "failing", letter.ID))
			retried = true
		}
		select {
		case <-deadline:
			t.Fatal("there is no dead letter")
		default:
		}
	}
	check("rebuild", groups.Rebuild(ctx, "g"))
	h := core.Health(ctx)
	check("readiness", h.NotReady)
	check("groups", h.GroupsErr)
	for _, f := range h.Findings() {
		if f.Code == "refused" || f.Code == "not_opened" {
			t.Errorf("found %+v", f)
		}
	}
	if s := core.Stats(); s.Refused > 0 || s.Unchecked > 0 || s.HelperFailures > 0 {
		t.Errorf("%+v", s)
	}
	for name, s := range core.Stats().Caches {
		if s.StoreErrors > 0 {
			t.Errorf("cache %s: %+v", name, s)
		}
	}
}

// TestDoctor_KnowsTheLeastRights: without more rights the doctor names the values that it cannot read; with them it reads all.
func TestDoctor_KnowsTheLeastRights(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes")
	for _, more := range [][]string{nil, {"--doctor"}} {
		obey(t, server, aclLine(t, more...)...)
		s := &shell{t: t, base: []string{"--redis-url", least(server.URL())}}
		s.do("chat", "create", fmt.Sprint("c", len(more)), "--as", "ada")
		out := &buffer{}
		cmd := command(out, &buffer{})
		cmd.SetArgs([]string{"doctor", "--redis-url", least(server.URL())})
		_ = cmd.ExecuteContext(t.Context()) // beside other findings
		if unknown := strings.Contains(out.String(), "this user cannot read"); unknown != (more == nil) || strings.Contains(out.String(), "cannot be opened") {
			t.Errorf("%v:\n%s", more, out.String())
		}
	}
}
