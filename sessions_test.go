package chatcore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestSessionsOfACore has two processes share sessions; the settings of each apply to the sessions that it opened.
func TestSessionsOfACore(t *testing.T) {
	server := redistest.Start(t)
	ctx, client := t.Context(), server.Client(t)
	open := opened(t)
	one := open(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Sessions: chatcore.SessionsConfig{PerUser: 2, Lifetime: 10 * time.Hour, Idle: 4 * time.Hour}}))
	two := open(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Sessions: chatcore.SessionsConfig{Idle: time.Minute}}))
	session := must[app.OpenedSession](t)(one.Sessions.Open(ctx, domain.OpenSession{User: "ada", Device: domain.Device{ID: "phone"}}))
	if session.EndsAt.Sub(session.OpenedAt) != 10*time.Hour || session.ExpiresAt().Sub(session.OpenedAt) != 4*time.Hour {
		t.Errorf("opened %+v", session.Session)
	}
	if found := must[domain.Session](t)(two.Sessions.Get(ctx, session.Token)); found != session.Session {
		t.Errorf("found %+v", found)
	}
	if list := must[[]domain.Session](t)(two.Sessions.List(ctx, "ada")); len(list) != 1 || list[0] != session.Session {
		t.Errorf("listed %+v", list)
	}
	for range 2 {
		must[app.OpenedSession](t)(one.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	}
	if _, err := two.Sessions.Get(ctx, session.Token); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("beyond the cap: %v", err)
	}
	session = must[app.OpenedSession](t)(two.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	for _, key := range client.Keys(ctx, "session:ada:*").Val() {
		client.Set(ctx, key, "foreign", time.Hour)
	}
	if _, err := two.Sessions.Get(ctx, session.Token); !errors.Is(err, domain.ErrNoSession) || two.Stats().SessionsUnreadable != 1 {
		t.Errorf("foreign: %v, stats %+v", err, two.Stats())
	}
	session = must[app.OpenedSession](t)(two.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	client.FlushAll(ctx)
	if _, err := two.Sessions.Get(ctx, session.Token); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("flushed: %v", err)
	}
}

// TestSessionsAreSharedWithTheGuidesPrograms reads and writes as they do: get, set and del of session: and the token.
func TestSessionsAreSharedWithTheGuidesPrograms(t *testing.T) {
	server := redistest.Start(t)
	ctx, client := t.Context(), server.Client(t)
	core := opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Sessions: chatcore.SessionsConfig{Compat: true}}))
	ours := must[app.OpenedSession](t)(core.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	var data map[string]any
	key := "session:" + string(ours.Token)
	if err := json.Unmarshal([]byte(client.Get(ctx, key).Val()), &data); err != nil || data["userId"] != "ada" {
		t.Errorf("they read %v, error %v", data, err)
	}
	if ttl := client.TTL(ctx, key).Val(); ttl > time.Hour || ttl < time.Hour-time.Minute {
		t.Errorf("it lives for %v", ttl)
	}
	client.Del(ctx, key)
	if _, err := core.Sessions.Get(ctx, ours.Token); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("after their logout: %v", err)
	}
	for _, token := range []app.SessionToken{"f00d", app.SessionToken(uuid.NewString()), "eyJhbGciOi.eyJ1c2VySWQi.c2ln-_", "a=b+c/d~"} {
		client.Set(ctx, "session:"+string(token), `{"userId":"ben","role":"admin"}`, time.Hour)
		if theirs := must[domain.Session](t)(core.Sessions.Get(ctx, token)); theirs != (domain.Session{User: "ben"}) {
			t.Errorf("we read %+v", theirs)
		}
		if _, err := core.Sessions.Rotate(ctx, token); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("rotated: %v", err)
		}
	}
	// A hash of a token, which is the key, opens no session.
	hashed := opened(t)(chatcore.New(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}))
	must[app.OpenedSession](t)(hashed.Sessions.Open(ctx, domain.OpenSession{User: "eve"}))
	for _, key := range client.Keys(ctx, "session:eve:*").Val() {
		if _, err := core.Sessions.Get(ctx, app.SessionToken(key[len("session:"):])); !errors.Is(err, domain.ErrNoSession) {
			t.Errorf("%s: %v", key, err)
		}
	}
	if n := core.Stats().SessionsUnreadable; n != 0 {
		t.Errorf("%d are unreadable", n)
	}
}

// TestSessionsAreTraced records a span and a duration for every call, without secrets.
func TestSessionsAreTraced(t *testing.T) {
	o := observe(t)
	ctx := t.Context()
	session := must[app.OpenedSession](t)(o.Sessions.Open(ctx, domain.OpenSession{User: "ada"}))
	must[domain.Session](t)(o.Sessions.Get(ctx, session.Token))
	rotated := must[app.OpenedSession](t)(o.Sessions.Rotate(ctx, session.Token))
	must[[]domain.Session](t)(o.Sessions.List(ctx, "ada"))
	if err := o.Sessions.Close(ctx, "ada", rotated.ID); err != nil {
		t.Error(err)
	}
	must[int](t)(o.Sessions.CloseAll(ctx, "ada"))
	if _, err := o.Sessions.Get(ctx, session.Token); !errors.Is(err, domain.ErrNoSession) {
		t.Error(err)
	}
	for name, n := range map[string]int{"session open": 1, "session get": 2, "session rotate": 1, "session list": 1, "session close": 1, "session close all": 1} {
		if spans := o.named(t, name, n); len(spans) != n || spans[n-1].Status.Code == otelcodes.Error != (name == "session get") {
			t.Errorf("%s: %d spans, the last with %+v", name, len(spans), spans[len(spans)-1].Status)
		}
	}
	_, secret, _ := strings.Cut(string(session.Token), ".")
	if all := fmt.Sprintf("%+v", o.spans.GetSpans()); strings.Contains(all, secret) || !strings.Contains(all, "no_session") {
		t.Error("the spans tell the secret, or not what became of the call")
	}
	var measured metricdata.ResourceMetrics
	if err := o.reader.Collect(ctx, &measured); err != nil || !strings.Contains(fmt.Sprintf("%+v", measured), "session rotate") {
		t.Errorf("its time is not measured, error %v", err)
	}
}

func TestSessionSettings(t *testing.T) {
	for field, c := range map[string]chatcore.Config{
		"Sessions.PerUser":  {Sessions: chatcore.SessionsConfig{PerUser: domain.MaxSessionsPerUser + 1}},
		"Sessions.Lifetime": {Sessions: chatcore.SessionsConfig{Lifetime: -1}},
		"Sessions.Compat":   {Sessions: chatcore.SessionsConfig{Compat: true}, Redis: chatcore.RedisConfig{URL: "redis://a:1,b:2"}},
	} {
		var invalid *domain.InvalidError
		if err := c.Validate(); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestSessionsByTheTestsClock(t *testing.T) {
	clock := chatcoretest.NewClock(time.Now())
	mine := memory.NewSessions(clock, domain.SessionPolicy{Idle: time.Minute, Lifetime: time.Hour, PerUser: 1})
	core := chatcoretest.New(t, chatcore.WithSessions(mine), chatcore.WithClock(clock))
	session := must[app.OpenedSession](t)(core.Sessions.Open(t.Context(), domain.OpenSession{User: "ada"}))
	if list, err := mine.List(t.Context(), "ada"); err != nil || len(list) != 1 {
		t.Errorf("listed %+v, error %v", list, err)
	}
	clock.Advance(time.Minute)
	if _, err := core.Sessions.Get(t.Context(), session.Token); !errors.Is(err, domain.ErrNoSession) {
		t.Errorf("after its idle time: %v", err)
	}
}
