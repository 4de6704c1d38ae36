package chatcore_test

import (
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
	"chatcore/tests/redistest"
)

// raiseLevel puts every partition of the only log of a server at another level, as a program that knows it does.
func raiseLevel(t *testing.T, client *goredis.Client, from, to int) {
	t.Helper()
	for _, key := range must[[]string](t)(client.Keys(t.Context(), "cc:{*}:id").Result()) {
		value := strings.Replace(client.Get(t.Context(), key).Val(), fmt.Sprintf(";%d;", from), fmt.Sprintf(";%d;", to), 1)
		if err := client.Set(t.Context(), key, value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCore_NewerLog raises the level of a log under a core that does not know it: everything fails closed, with one error.
func TestCore_NewerLog(t *testing.T) {
	server := redistest.Start(t, durable()...)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 4}}
	core := opened(t)(chatcore.New(t.Context(), config))
	ended := idle(t, config, "g")
	ctx := t.Context()
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
	if h := core.Health(ctx); h.Level != chatcore.LogLevel || h.Highest != chatcore.LogLevel || !h.Ready {
		t.Errorf("%+v", h)
	}
	raiseLevel(t, server.Client(t), chatcore.LogLevel, chatcore.LogLevel+1)
	for name, call := range map[string]func() error{
		"send": func() error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"})
			return err
		},
		"history": func() error { _, err := core.Queries.History(ctx, "c", domain.Span{}); return err },
		"health":  func() error { return core.Health(ctx).NotReady },
		"open":    func() error { _, err := chatcore.New(ctx, config); return err },
		"groups":  func() error { return core.Groups().Rebuild(ctx, "g") },
		"run":     func() error { return receive(t, ended) },
	} {
		if err := call(); !errors.Is(err, ports.ErrNewerLog) || errors.Is(err, ports.ErrLogLost) || errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	info, err := chatcore.FindLog(ctx, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}})
	if err != nil || info.ID != core.LogID() || info.Level != chatcore.LogLevel+1 || info.Partitions != 4 {
		t.Errorf("%+v, %v", info, err)
	}
	if _, err := chatcore.Upgrade(ctx, config, chatcore.UpgradeConfig{}); !errors.Is(err, ports.ErrNewerLog) {
		t.Errorf("an upgrade by an older program: %v", err)
	}
	raiseLevel(t, server.Client(t), chatcore.LogLevel+1, chatcore.LogLevel)
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "x"}))
}

// TestHealth_Levels finds a log that can be raised, and one of which only a part was.
func TestHealth_Levels(t *testing.T) {
	for _, c := range []struct {
		level, highest int
		want           string
	}{{0, 0, ""}, {1, 1, "level"}, {chatcore.LogLevel, chatcore.LogLevel, ""}, {1, 2, "upgrade_unfinished"}} {
		found := chatcore.Health{Level: c.level, Highest: c.highest}.Findings()
		var codes []string
		for _, f := range found {
			codes = append(codes, f.Code)
		}
		if got := strings.Join(codes, " "); got != c.want {
			t.Errorf("levels %d to %d: %q", c.level, c.highest, got)
		}
	}
}

// TestDefine_ReservedNames refuses the names of events that the core may have later.
func TestDefine_ReservedNames(t *testing.T) {
	for _, typ := range []string{"chat:policy", "message:pin", "member:x", "thread:mark", "read:x", "user:x", "typing:x:y"} {
		func() {
			defer func() {
				if problem := fmt.Sprint(recover()); !strings.Contains(problem, "is reserved for the core") {
					t.Errorf("%s: %s", typ, problem)
				}
			}()
			chatcore.Define[order](typ, 1)
		}()
		core := opened(t)(chatcore.NewInMemory(chatcore.Config{}))
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		if _, err := core.Chats.Record(t.Context(), domain.Record{Chat: "c", Actor: "ada", Event: bareEvent(typ)}); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s was recorded: %v", typ, err)
		}
	}
}

// bareEvent is an event without a definition.
type bareEvent string

func (e bareEvent) Custom() (domain.Custom, error) {
	return domain.Custom{Type: domain.CustomType(e), Version: 1, Data: "{}"}, nil
}

// TestDefinition_NewerVersion reads an event of a later version of its definition: another process may know it.
func TestDefinition_NewerVersion(t *testing.T) {
	older := chatcore.Define[order]("order:placed", 1)
	_, err := older.Decode(domain.Custom{Type: "order:placed", Version: 2, Data: "{}"})
	var own *chatcore.CustomEventError
	if !errors.Is(err, ports.ErrNewerVersion) || !errors.As(err, &own) {
		t.Errorf("%v", err)
	}
}

// TestOpen_ComparesNames opens a core with other names on the same log.
func TestOpen_ComparesNames(t *testing.T) {
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Start(t).URL()}, Log: chatcore.LogConfig{Partitions: 4}}
	opened(t)(chatcore.New(t.Context(), config))
	partial := config
	partial.Redis.Names.Session = "session:" // names that are not set have the default
	opened(t)(chatcore.New(t.Context(), partial))
	other := config
	other.Redis.Names.Stream = "events"
	_, err := chatcore.New(t.Context(), other)
	var differs *ports.LogDiffersError
	if !errors.As(err, &differs) || differs.Setting != "Redis.Names.Stream" || differs.Configured != `"events"` || !strings.Contains(err.Error(), "core upgrade --name") {
		t.Fatalf("%v", err)
	}
	steps, err := chatcore.Upgrade(t.Context(), config, chatcore.UpgradeConfig{Names: map[string]string{"Stream": "events"}})
	if err != nil || len(steps) != 4 || !slices.ContainsFunc(steps, func(s chatcore.UpgradeStep) bool { return s.Renamed }) {
		t.Fatalf("%v, %v", steps, err)
	}
	opened(t)(chatcore.New(t.Context(), other))
}
