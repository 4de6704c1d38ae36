package definitions_test

import (
	"context"
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/definitions"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/ports"
	"chatcore/ports/groups"
	"chatcore/ports/porttest"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

func TestDefinitions(t *testing.T) {
	rig.Servers(t, func(t *testing.T, client goredis.UniversalClient) {
		porttest.Definitions(t, func(t *testing.T) groups.Definitions { return definitions.New(client, rig.NewKeys(t, 1).Definitions()) })
	})
}

// TestDefinitions_OfLaterVersions reads definitions with fields and kinds that this program does not know, and texts that are no definitions: they are read as
// far as possible, they are not changed, and they can be removed.
func TestDefinitions_OfLaterVersions(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1).Definitions()
	store := definitions.New(client, keys)
	const known = `"version":3,"created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z","change":"x"`
	for name, text := range map[string]string{
		"field":   `{"kind":"pull",` + known + `,"shape":"round"}`,
		"inner":   `{"kind":"webhook",` + known + `,"webhook":{"url":"https://example.com","shape":"round"}}`,
		"secret":  `{"kind":"webhook",` + known + `,"webhook":{"url":"https://example.com","secrets":[{"key":"k","sealed":"eA==","shape":1}]}}`,
		"kind":    `{"kind":"pigeon",` + known + `}`,
		"broken":  `{`,
		"other":   `7`,
		"twice":   `{"kind":"pull",` + known + `} {}`,
		"typed":   `{"kind":"pull","version":"three"}`,
		"pausing": `{"kind":"pull",` + known + `,"first_pause":"soon"}`,
	} {
		t.Run(name, func(t *testing.T) {
			client.HSet(t.Context(), keys.Key(), name, text)
			d, err := store.Definition(t.Context(), name)
			switch name {
			case "field", "inner", "secret", "kind":
				if err != nil || d.Version != 3 || d.Kind == "" {
					t.Errorf("%+v, %v", d, err)
				}
			default:
				if err != nil || d.Kind != "" || d.Group != name {
					t.Errorf("%+v, %v", d, err)
				}
			}
			if all, _, err := store.Definitions(t.Context()); err != nil || len(all) != 1 || all[0].Group != name {
				t.Errorf("%+v, %v", all, err)
			}
			d.Kind, d.Webhook, d.Version, d.Paused = groups.KindPull, nil, 3, true
			if _, err := store.Redefine(t.Context(), d); !errors.Is(err, groups.ErrNewerDefinition) {
				t.Errorf("redefined: %v", err)
			}
			if _, err := store.Define(t.Context(), d); !errors.Is(err, groups.ErrDefined) {
				t.Errorf("defined: %v", err)
			}
			if got := client.HGet(t.Context(), keys.Key(), name).Val(); got != text {
				t.Errorf("it is %s now", got)
			}
			if err := store.Undefine(t.Context(), name); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestDefinitions_Wire pins the JSON of a definition: other processes, and other versions, read it.
func TestDefinitions_Wire(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1).Definitions()
	const text = `{"kind":"webhook","version":3,"event_types":["message:new"],"chats":["a"],"start_at":"2026-01-02T03:04:05.000000006Z","park":true,` +
		`"attempts":4,"first_pause":"1.5s","max_pause":"2h0m0s","concurrency":5,"paused":true,"pause_reason":"r",` +
		`"webhook":{"url":"https://example.com","timeout":"15s","secrets":[{"key":"k","sealed":"eA==","expires_at":"2026-01-02T03:04:05Z"}]},` +
		`"created_at":"2026-01-02T03:04:05.678Z","updated_at":"2026-01-02T03:04:05.678Z","change":"x"}`
	client.HSet(t.Context(), keys.Key(), "g", text)
	d, err := definitions.New(client, keys).Definition(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	if d.Kind != groups.KindWebhook || d.Version != 3 || d.Filter.Types[0] != "message:new" || d.Filter.Chats[0] != "a" || !d.Start.At.Equal(at.Add(6)) || !d.Park ||
		d.Retry != (groups.Retry{Attempts: 4, First: 1500 * time.Millisecond, Max: 2 * time.Hour}) || d.Concurrency != 5 || !d.Paused || d.PauseReason != "r" ||
		d.Webhook.URL != "https://example.com" || d.Webhook.Timeout != 15*time.Second || string(d.Webhook.Secrets[0].Sealed) != "x" ||
		!d.Webhook.Secrets[0].ExpiresAt.Equal(at) || !d.CreatedAt.Equal(at.Add(678*time.Millisecond)) {
		t.Errorf("%+v, %+v", d, d.Webhook)
	}
	if again, err := definitions.Encode(d, "x"); err != nil || again != text {
		t.Errorf("%s, %v", again, err)
	}
}

// TestDefinitions_AfterLoss deletes all definitions: the revision takes no value again, so that processes notice what is defined since.
func TestDefinitions_AfterLoss(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1).Definitions()
	store := definitions.New(client, keys)
	var before uint64
	for i := range 20 {
		if _, err := store.Define(t.Context(), groups.Definition{Group: "g", Kind: groups.KindPull}); err != nil {
			t.Fatal(err)
		}
		revision, err := store.Revision(t.Context())
		if err != nil || revision == before {
			t.Fatalf("round %d: revision %d, %v", i, revision, err)
		}
		before = revision
		client.Del(t.Context(), keys.Key())
		wait.Until(t, "the next millisecond of the server", func() bool {
			return client.Time(t.Context()).Val().UnixMilli() > int64(before) //nolint:gosec // a time
		})
	}
}

// TestDefinitions_Repeated repeats the change of a call whose answer was lost: it is the same change.
func TestDefinitions_Repeated(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1).Definitions()
	change := definitions.ChangeScript()
	for i, want := range []struct {
		before, after string
		done          int
	}{{"", "a", 1}, {"", "a", 1}, {"", "b", 0}, {"a", "b", 1}, {"a", "b", 1}, {"a", "", 0}, {"b", "", 1}, {"b", "", 1}, {"b", "c", 0}} {
		before := client.HGet(t.Context(), keys.Key(), "").Val()
		done, err := change.Run(t.Context(), client, []string{keys.Key()}, "g", want.before, want.after).Int()
		if err != nil || done != want.done {
			t.Errorf("call %d: %d, %v", i+1, done, err)
		}
		first := i == 0 || i == 3 || i == 6
		if grown := client.HGet(t.Context(), keys.Key(), "").Val() != before; grown != first {
			t.Errorf("call %d: the revision has grown: %t", i+1, grown)
		}
	}
}

// TestDefinitions_ForeignValue has another type under the key: an error names it.
func TestDefinitions_ForeignValue(t *testing.T) {
	client, keys := rig.Connect(t, redistest.Shared(t).URL()), rig.NewKeys(t, 1).Definitions()
	client.Set(t.Context(), keys.Key(), "x", 0)
	for i, err := range errorsOf(t.Context(), definitions.New(client, keys)) {
		if named, ok := errors.AsType[*ports.ForeignValueError](err); !ok || named.Key != keys.Key() {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}

// TestDefinitions_WithoutRedis stops the server: every call returns an error that says so.
func TestDefinitions_WithoutRedis(t *testing.T) {
	server := redistest.Start(t)
	client, err := conn.Connect(t.Context(), conn.Options{URL: server.URL(), Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	store := definitions.New(client, rig.PlainKeys(t).Definitions())
	server.Kill()
	for i, err := range errorsOf(t.Context(), store) {
		if !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("call %d: %v", i+1, err)
		}
	}
}

// errorsOf returns the error of a call of each method.
func errorsOf(ctx context.Context, s groups.Definitions) []error {
	d := groups.Definition{Group: "g", Kind: groups.KindPull, Version: 1}
	_, _, list := s.Definitions(ctx)
	_, revision := s.Revision(ctx)
	_, get := s.Definition(ctx, "g")
	_, define := s.Define(ctx, d)
	_, redefine := s.Redefine(ctx, d)
	return []error{list, revision, get, define, redefine, s.Undefine(ctx, "g")}
}
