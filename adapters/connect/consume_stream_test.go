package connect_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	"chatcore/ports/groups"
	"chatcore/tests/wait"
)

// TestConsume_Refused consumes groups that have no consumers, by each method.
func TestConsume_Refused(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		definitions, client := w.core.Definitions(), consumers(t, w.url)
		webhook, _, err := w.core.Webhooks().Create(t.Context(), groups.Definition{Group: w.id("hook"), Webhook: &groups.Webhook{URL: "https://example.com/"}, Paused: true})
		did(t, err)
		paused := w.defined(t)
		_, err = definitions.Pause(t.Context(), paused, "")
		did(t, err)
		deleted := w.defined(t)
		did(t, definitions.Delete(t.Context(), deleted))
		wait.Until(t, "the server knows that the group is deleted", func() bool { // until then consumers get group_deleted
			_, err := client.Fetch(t.Context(), &consumerv1.FetchRequest{Group: deleted})
			r, _ := errorAs[*refusal](refusalOf(err))
			return r != nil && r.code == rpc.CodeNotFound
		})
		for name, c := range map[string]struct {
			group, reason, field string
			code                 rpc.Code
		}{
			"not defined":    {"none", "group_not_defined", "", rpc.CodeNotFound},
			"deleted":        {deleted, "group_not_defined", "", rpc.CodeNotFound},
			"of code":        {failing, "group_not_defined", "", rpc.CodeNotFound},
			"a webhook":      {webhook.Group, "not_a_pull_group", "", rpc.CodeFailedPrecondition},
			"paused":         {paused, "group_paused", "", rpc.CodeFailedPrecondition},
			"no name":        {"", "invalid", "start.group", rpc.CodeInvalidArgument},
			"a name of none": {"a b", "invalid", "start.group", rpc.CodeInvalidArgument},
		} {
			t.Log(name)
			stream := consume(t, client, "")
			stream.start(&consumerv1.ConsumeStart{Group: c.group})
			stream.ends(c.code, c.reason, c.field)
			_, err := client.Fetch(t.Context(), &consumerv1.FetchRequest{Group: c.group})
			if r, _ := errorAs[*refusal](refusalOf(err)); r == nil || r.code != c.code || r.detail.GetReason() != c.reason || r.detail.GetField() != strings.TrimPrefix(c.field, "start.") {
				t.Errorf("Fetch: %v", err)
			}
		}
		user := withToken(w.token(t, "bob"))
		stream := consume(t, client, strings.TrimPrefix(user.Get("Authorization"), "Bearer "))
		stream.start(&consumerv1.ConsumeStart{Group: paused})
		stream.ends(rpc.CodePermissionDenied, "service_required", "")
	})
}

// TestConsume_WrongMessages sends messages that are none. The stream ends with an error that names the field, and what it has taken has failed.
func TestConsume_WrongMessages(t *testing.T) {
	w := redisWorld(t, worldConfig{})
	client, group := consumers(t, w.url), w.defined(t)
	start := &consumerv1.ConsumeStart{Group: group, Credit: 1}
	for name, c := range map[string]struct {
		send  func(c *consuming)
		field string
	}{
		"no message":      {func(c *consuming) { did(t, c.stream.CloseRequest()) }, "start"},
		"an empty one":    {func(c *consuming) { c.send(&consumerv1.ConsumeRequest{}) }, "start"},
		"a settlement":    {func(c *consuming) { c.settle() }, "start"},
		"a credit":        {func(c *consuming) { c.credit(1) }, "start"},
		"too much credit": {func(c *consuming) { c.start(&consumerv1.ConsumeStart{Group: group, Credit: 4097}) }, "start.credit"},
		"a short lease": {func(c *consuming) {
			c.start(&consumerv1.ConsumeStart{Group: group, Lease: durationpb.New(time.Millisecond)})
		}, "start.lease"},
		"a long lease": {func(c *consuming) {
			c.start(&consumerv1.ConsumeStart{Group: group, Lease: durationpb.New(2 * time.Hour)})
		}, "start.lease"},
		"no lease": {func(c *consuming) {
			c.start(&consumerv1.ConsumeStart{Group: group, Lease: &durationpb.Duration{Nanos: -1, Seconds: 1}})
		}, "start.lease"},
		"a long name": {func(c *consuming) {
			c.start(&consumerv1.ConsumeStart{Group: group, Consumer: strings.Repeat("x", 129)})
		}, "start.consumer"},
	} {
		t.Log(name)
		stream := consume(t, client, "")
		c.send(stream)
		stream.ends(rpc.CodeInvalidArgument, "invalid", c.field)
	}
	chat := w.chat(t)
	attempt := uint32(0)
	outcome := func(s *consumerv1.Settlement) func(c *consuming, d *consumerv1.Delivery) {
		return func(c *consuming, d *consumerv1.Delivery) {
			s.Token = d.GetToken()
			c.settle(s)
		}
	}
	many := make([]*consumerv1.Settlement, 1025)
	for i := range many {
		many[i] = &consumerv1.Settlement{Token: "x", Outcome: &consumerv1.Settlement_Ack{Ack: &consumerv1.Ack{}}}
	}
	reason := strings.Repeat("x", 1025)
	long := durationpb.New(25 * time.Hour)
	_, err := w.core.Definitions().Update(t.Context(), group, 0, func(d *groups.Definition) error {
		d.Retry = groups.Retry{Attempts: 100, First: time.Millisecond, Max: time.Millisecond}
		return nil
	})
	did(t, err)
	for _, c := range []struct {
		name, field string
		send        func(c *consuming, d *consumerv1.Delivery)
	}{
		{"a second start", "start", func(c *consuming, _ *consumerv1.Delivery) { c.start(start) }},
		{"an empty message", "message", func(c *consuming, _ *consumerv1.Delivery) { c.send(&consumerv1.ConsumeRequest{}) }},
		{"too much credit", "credit.credit", func(c *consuming, _ *consumerv1.Delivery) { c.credit(4097) }},
		{"too many settlements", "settle.settlements", func(c *consuming, _ *consumerv1.Delivery) { c.settle(many...) }},
		{"no token", "settle.settlements[0].token", func(c *consuming, _ *consumerv1.Delivery) { c.settle(acked(nil)) }},
		{"a token of none", "settle.settlements[0].token", func(c *consuming, _ *consumerv1.Delivery) { c.settle(acked(&consumerv1.Delivery{Token: "x"})) }},
		{"a second token of none", "settle.settlements[1].token", func(c *consuming, d *consumerv1.Delivery) {
			c.settle(acked(d), acked(&consumerv1.Delivery{Token: d.GetToken() + "A"}))
		}},
		{"no outcome", "settle.settlements[0].outcome", outcome(&consumerv1.Settlement{})},
		{"a long reason", "settle.settlements[0].retry.reason", outcome(&consumerv1.Settlement{Outcome: &consumerv1.Settlement_Retry{Retry: &consumerv1.Retry{Reason: reason}}})},
		{"a long reason of death", "settle.settlements[0].dead.reason", outcome(&consumerv1.Settlement{Outcome: &consumerv1.Settlement_Dead{Dead: &consumerv1.Dead{Reason: reason}}})},
		{"a long pause", "settle.settlements[0].retry.after", outcome(&consumerv1.Settlement{Outcome: &consumerv1.Settlement_Retry{Retry: &consumerv1.Retry{After: long}}})},
		{"a long postponement", "settle.settlements[0].postpone.after", outcome(&consumerv1.Settlement{Outcome: &consumerv1.Settlement_Postpone{Postpone: &consumerv1.Postpone{After: long}}})},
		{"a long extension", "settle.settlements[0].extend.lease", outcome(&consumerv1.Settlement{Outcome: &consumerv1.Settlement_Extend{Extend: &consumerv1.Extend{Lease: long}}})},
	} {
		t.Log(c.name)
		stream := started(t, client, "", start)
		d := stream.delivery()
		if d.GetEvent().GetChatId() != chat || d.GetEvent().GetSeq() != 1 || d.GetAttempt() <= attempt {
			t.Fatalf("attempt %d of seq %d of %s follows attempt %d", d.GetAttempt(), d.GetEvent().GetSeq(), d.GetEvent().GetChatId(), attempt)
		}
		attempt = d.GetAttempt()
		c.send(stream, d)
		stream.ends(rpc.CodeInvalidArgument, "invalid", c.field)
	}
}

// TestConsume_Credentials removes the token of a consumer, takes its scope away, or lets it expire: its stream ends, and its deliveries are made to the consumers
// that remain, without another attempt. A token for other groups is refused.
func TestConsume_Credentials(t *testing.T) {
	w := redisWorld(t, worldConfig{})
	file := filepath.Join(t.TempDir(), "tokens.json")
	token := func(id string, expires time.Time, scopes ...auth.Scope) string {
		text, entry, err := auth.NewServiceToken(id, scopes)
		did(t, err)
		entry.Expires = expires
		did(t, auth.EditTokensFile(file, func(all []auth.TokenEntry) ([]auth.TokenEntry, error) { return append(all, entry), nil }))
		return string(text)
	}
	group := w.defined(t)
	scope := auth.ScopeConsume(group)
	ways := map[string]string{
		"removed": token("removed", time.Time{}, scope), "narrowed": token("narrowed", time.Time{}, scope, auth.ScopeConsume("other")),
		"expiring": token("expiring", time.Now().Add(5*time.Second), scope),
	}
	stays, other := token("stays", time.Time{}, scope), token("other", time.Time{}, auth.ScopeConsume("other"), auth.ScopeChatsRead)
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{File: file, Poll: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	did(t, err)
	authenticator, err := auth.New(auth.Config{Tokens: tokens, Sessions: w.core.Sessions, OnError: connect.OnAuthError(nil)})
	did(t, err)
	running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var ended sync.WaitGroup
	ended.Go(func() { authenticator.Run(running) })
	t.Cleanup(func() { stop(); ended.Wait() })
	handler, err := connect.New(w.core, connect.Config{})
	did(t, err)
	guarded := &world{core: w.core, log: &logText{}}
	guarded.listen(t, authenticator.Middleware(handler))
	client := consumers(t, guarded.url)

	start := &consumerv1.ConsumeStart{Group: group, Credit: 1}
	refused := consume(t, client, other)
	refused.start(start)
	refused.ends(rpc.CodePermissionDenied, "scope_missing", "")
	anonymous := consume(t, client, "")
	anonymous.start(start)
	anonymous.ends(rpc.CodeUnauthenticated, "unauthenticated", "")

	held := make(map[string]*consumerv1.Delivery)
	streams := make(map[string]*consuming)
	for way, token := range ways {
		streams[way] = started(t, client, token, start)
	}
	for range ways {
		w.chat(t)
	}
	for way, stream := range streams {
		held[way] = stream.delivery()
	}
	did(t, auth.EditTokensFile(file, func(all []auth.TokenEntry) ([]auth.TokenEntry, error) {
		for i := range all {
			if all[i].ID == "narrowed" {
				all[i].Scopes = auth.Scopes{auth.ScopeConsume("other")}
			}
		}
		return all[1:], nil
	}))
	for way, stream := range streams {
		t.Log(way)
		stream.ends(rpc.CodeUnauthenticated, "credential_ended", "")
	}
	remaining := started(t, client, stays, &consumerv1.ConsumeStart{Group: group, Credit: 10})
	again := make(map[string]*consumerv1.Delivery)
	missing := make(map[string]bool)
	for _, d := range held {
		missing[d.GetEvent().GetId()] = true
	}
	for len(missing) > 0 { // later events of a chat may come before those of another one
		d := remaining.delivery()
		again[d.GetEvent().GetId()] = d
		delete(missing, d.GetEvent().GetId())
		remaining.ack(d)
	}
	for way, d := range held {
		if a := again[d.GetEvent().GetId()]; a.GetAttempt() != 1 {
			t.Errorf("%s: seq %d of %s comes again in attempt %d", way, d.GetEvent().GetSeq(), d.GetEvent().GetChatId(), a.GetAttempt())
		}
		remaining.settle(acked(d))
		if s := remaining.status(d.GetToken()); s != consumerv1.SettleStatus_SETTLE_STATUS_STALE {
			t.Errorf("%s: a settlement of what was given back is %v", way, s)
		}
	}
}

// TestConsume_Heartbeat receives heartbeats of a silent stream, again and again.
func TestConsume_Heartbeat(t *testing.T) {
	w := memoryWorld(t, worldConfig{api: connect.Config{}.WithHeartbeat(20 * time.Millisecond)})
	stream := started(t, consumers(t, w.url), "", &consumerv1.ConsumeStart{Group: w.defined(t)})
	for range 3 {
		if m, err := stream.next(); err != nil || m.GetHeartbeat() == nil {
			t.Fatalf("a silent stream has %v, %v", m, err)
		}
	}
}

// TestConsume_StreamLimit has a principal open 100 streams, and one more once one of them has ended.
func TestConsume_StreamLimit(t *testing.T) {
	w := memoryWorld(t, worldConfig{})
	start := &consumerv1.ConsumeStart{Group: w.defined(t), Credit: 1}
	client, other := consumers(t, w.url), consumers(t, w.url) // a connection takes 100 streams too
	var first *consuming
	for i := range 100 {
		c := started(t, client, "", start)
		if i == 0 {
			first = c
		}
	}
	refused := consume(t, other, "")
	refused.start(start)
	refused.ends(rpc.CodeResourceExhausted, "too_many_streams", "")
	did(t, first.stream.CloseRequest())
	wait.Until(t, "a stream opens once another has ended", func() bool {
		c := consume(t, other, "")
		c.start(start)
		m, err := c.next()
		return err == nil && m.GetStarted() != nil
	})
}

// TestConsume_Changes pauses, resumes, changes and deletes the definition of a group while it has a consumer.
func TestConsume_Changes(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		definitions, client, group := w.core.Definitions(), consumers(t, w.url), w.defined(t)
		start := &consumerv1.ConsumeStart{Group: group, Credit: 1}
		stream := started(t, client, "", start)
		chat := w.chat(t)
		d := stream.delivery()
		_, err := definitions.Pause(t.Context(), group, "")
		did(t, err)
		stream.ack(d) // within the drain
		stream.ends(rpc.CodeFailedPrecondition, "group_paused", "")
		_, err = definitions.Resume(t.Context(), group)
		did(t, err)

		stream = started(t, client, "", start)
		d = stream.delivery()
		if d.GetEvent().GetChatId() != chat || d.GetEvent().GetSeq() != 2 || d.GetAttempt() != 1 {
			t.Fatalf("seq %d of %s comes in attempt %d after the pause", d.GetEvent().GetSeq(), d.GetEvent().GetChatId(), d.GetAttempt())
		}
		_, err = definitions.Update(t.Context(), group, 0, func(d *groups.Definition) error {
			d.Filter, d.Concurrency = groups.Filter{Types: []string{"message:delete", "message:edit"}}, 3
			return nil
		})
		did(t, err)
		stream.ack(d) // the stream stays, and the process joins the group anew once it is settled
		wait.Until(t, "the filter is in effect", func() bool {
			id := w.message(t, chat)
			edit := domain.Edit{Chat: domain.ChatID(chat), Actor: "ada", MessageID: domain.MessageID(id), Content: "changed"}
			if _, err := w.core.Chats.Edit(t.Context(), edit); err != nil {
				t.Fatal(err)
			}
			for {
				d := stream.delivery()
				stream.ack(d)
				if d.GetEvent().GetMessageEdit().GetMessageId() == id {
					return true
				}
				if d.GetEvent().GetMessageNew().GetMessageId() == id {
					return false
				}
			}
		})
		w.message(t, chat)
		did(t, definitions.Delete(t.Context(), group))
		stream.ends(rpc.CodeFailedPrecondition, "group_deleted", "")
	})
}

// TestConsume_Filters delivers the events that a group selects by type and chat, and finishes the others.
func TestConsume_Filters(t *testing.T) {
	onEachBackend(t, func(t *testing.T, w *world) {
		client, mine, other, group := consumers(t, w.url), w.chat(t), w.chat(t), w.id("filtered")
		filter := groups.Filter{Types: []string{"message:new"}, Chats: []domain.ChatID{domain.ChatID(mine)}}
		_, err := w.core.Definitions().Create(t.Context(), groups.Definition{Group: group, Kind: groups.KindPull, Filter: filter})
		did(t, err)
		var want []string
		for range 5 {
			w.message(t, other)
			want = append(want, w.message(t, mine))
			_, err := w.core.Chats.Rename(t.Context(), domain.Rename{Chat: domain.ChatID(mine), Actor: "ada", Title: w.id("title")})
			did(t, err)
		}
		stream := started(t, client, "", &consumerv1.ConsumeStart{Group: group})
		for _, id := range want {
			d := stream.delivery()
			if d.GetEvent().GetMessageNew().GetMessageId() != id {
				t.Fatalf("%v comes, want message %s", d.GetEvent(), id)
			}
			stream.ack(d)
		}
		wait.Until(t, "the group has finished everything", func() bool { return w.lag(t, group) == 0 })
		if len(stream.waiting) > 0 {
			t.Errorf("%v come as well", stream.waiting)
		}
	})
}
