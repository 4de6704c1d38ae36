package session_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestSessionsLive_AsTheGuideEndsThem deletes and replaces the keys of a session as other programs may: it is live if and only if its token opens it.
func TestSessionsLive_AsTheGuideEndsThem(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	store := hashedSessions(t, client, rig.PlainKeys(t))
	const record, sessions = "session:ada:HASH", "cc:sessions:ada"
	for how, end := range map[string]func(){
		"not at all":          func() {},
		"DEL of the record":   func() { client.Del(t.Context(), record) },
		"DEL of the hash":     func() { client.Del(t.Context(), sessions) },
		"another value":       func() { client.Set(t.Context(), record, "x", time.Hour) },
		"another type":        func() { client.Del(t.Context(), record); client.HSet(t.Context(), record, "a", "b") },
		"another hash's type": func() { client.Del(t.Context(), sessions); client.Set(t.Context(), sessions, "a", 0) },
		"another one's record": func() {
			opensSession(t, store, "ada", "OTHER", "OTHERHASH")
			client.Copy(t.Context(), "session:ada:OTHERHASH", record, 0, true)
		},
		"a field without times": func() { client.HSet(t.Context(), sessions, "ID", "HASH") },
		"a longer TTL": func() {
			field := strings.Split(client.HGet(t.Context(), sessions, "ID").Val(), " ")
			field[3], field[4] = "1", "1"
			client.HSet(t.Context(), sessions, "ID", strings.Join(field, " "))
			client.Persist(t.Context(), record)
		},
	} {
		client.FlushAll(t.Context())
		opensSession(t, store, "ada", "ID", "HASH")
		end()
		before := rig.Dump(t, client)
		live, err := store.Live(t.Context(), []ports.SessionRef{{User: "ada", ID: "ID", Key: "HASH"}})
		if !maps.Equal(before, rig.Dump(t, client)) {
			t.Errorf("%s: the check has written", how)
		}
		_, found := store.Find(t.Context(), "ada", "HASH")
		if err != nil || live[0] != (found == nil) || live[0] != (how == "not at all") {
			t.Errorf("%s: live %v, %v; found %v", how, live, err, found)
		}
	}
}

// TestSessionsLive_OfTheGuidesPrograms checks sessions that other programs have opened, in compat mode.
func TestSessionsLive_OfTheGuidesPrograms(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1)
	store := guideSessions(t, client, keys)
	record, theirs := keys.Prefix()+"session:THEIRS", []ports.SessionRef{{User: " ", Key: "THEIRS"}}
	for value, want := range map[string]bool{`{"userId":"ada"}`: true, `{"userId":""}`: false, `"ada"`: false, "": false} {
		client.Set(t.Context(), record, value, time.Hour)
		if live, err := store.Live(t.Context(), theirs); err != nil || live[0] != want {
			t.Errorf("%q: %v, %v", value, live, err)
		}
	}
	client.Del(t.Context(), record)
	if live, err := store.Live(t.Context(), theirs); err != nil || live[0] {
		t.Errorf("after its DEL: %v, %v", live, err)
	}
}

// TestSessionsLive_RoundTrips checks 1,000 sessions: two commands each, in four pipelines.
func TestSessionsLive_RoundTrips(t *testing.T) {
	client := rig.Connect(t, redistest.Start(t).URL())
	store := hashedSessions(t, client, rig.PlainKeys(t))
	refs := make([]ports.SessionRef, 1000)
	for i := range refs {
		refs[i] = ports.SessionRef{User: domain.UserID(fmt.Sprint("u", i)), ID: "ID", Key: "HASH"}
	}
	pipelines := 0
	client.AddHook(pipelineCounter{&pipelines})
	client.ConfigResetStat(t.Context())
	if _, err := store.Live(t.Context(), refs); err != nil {
		t.Fatal(err)
	}
	stats := client.Info(t.Context(), "commandstats").Val()
	if pipelines != 4 || !strings.Contains(stats, "cmdstat_getrange:calls=1000,") || !strings.Contains(stats, "cmdstat_hget:calls=1000,") || !strings.Contains(stats, "cmdstat_time:calls=4,") {
		t.Errorf("%d pipelines, %s", pipelines, stats)
	}
}

// pipelineCounter counts pipelines.
type pipelineCounter struct{ n *int }

func (pipelineCounter) DialHook(next goredis.DialHook) goredis.DialHook          { return next }
func (pipelineCounter) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook { return next }
func (c pipelineCounter) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		*c.n++
		return next(ctx, cmds)
	}
}

// TestSessionsLive_WithoutRedis stops the server: the check returns an error, and no session as ended.
func TestSessionsLive_WithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	store := hashedSessions(t, client, rig.PlainKeys(t))
	server.Kill()
	if live, err := store.Live(t.Context(), []ports.SessionRef{{User: "ada", ID: "ID", Key: "HASH"}}); live != nil || !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("%v, %v", live, err)
	}
}
