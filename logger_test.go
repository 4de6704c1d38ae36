package chatcore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// lines is a writer of log lines that tests read while a core writes.
type lines struct {
	mu   sync.Mutex // guards: text
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// setDefault makes l the default logger until the test ends.
func setDefault(t *testing.T, l *slog.Logger) {
	t.Helper()
	before, flags, output := slog.Default(), log.Flags(), log.Writer()
	slog.SetDefault(l)
	t.Cleanup(func() {
		slog.SetDefault(before)
		log.SetFlags(flags)
		log.SetOutput(output)
	})
}

// TestLogger_Component reads the log of a core: the default logger has component=chatcore once, a given one has what it was given.
func TestLogger_Component(t *testing.T) {
	logger := func(w io.Writer) *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }
	for name, c := range map[string]struct {
		given func(w io.Writer) *slog.Logger // nil: none
		want  []string                       // the components of a record
	}{
		"default":               {nil, []string{"chatcore"}},
		"given":                 {logger, nil},
		"given with component":  {func(w io.Writer) *slog.Logger { return logger(w).With("component", "chat") }, []string{"chat"}},
		"given with that value": {func(w io.Writer) *slog.Logger { return logger(w).With("component", "chatcore") }, []string{"chatcore"}},
	} {
		t.Run(name, func(t *testing.T) {
			out, config := &lines{}, chatcore.Config{}
			if setDefault(t, logger(out)); c.given != nil {
				config.Logger = c.given(out)
			}
			core := opened(t)(chatcore.NewInMemory(config.WithDefaults())) // defaults that are applied twice add nothing
			if err := core.Listen(chatcore.OnLive(func(context.Context, chatcore.Live[domain.ChatUpdate]) { panic("a fault") })); err != nil {
				t.Fatal(err)
			}
			start(t, core)
			must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
			if err := core.WaitIdle(t.Context()); err != nil {
				t.Fatal(err)
			}
			records := strings.Split(strings.TrimSpace(out.String()), "\n")
			for _, record := range records {
				var fields map[string]any
				if err := json.Unmarshal([]byte(record), &fields); err != nil {
					t.Fatalf("%q: %v", record, err)
				}
				if n := strings.Count(record, `"component":`); n != len(c.want) || n == 1 && fields["component"] != c.want[0] {
					t.Errorf("%s: want components %q", record, c.want)
				}
			}
		})
	}
}

// TestGroup_OfTwoTypes runs a group that handles two types beside events of others: those are ignored, and no log, finding, count or dead letter
// reports them as a fault.
func TestGroup_OfTwoTypes(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		out, ctx := &lines{}, t.Context()
		core := open(chatcore.Config{Logger: slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: slog.LevelWarn}))})
		handled := make(chan domain.Seq, 8)
		if err := core.Subscribe("two",
			chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error { handled <- d.ID.Seq; return nil }),
			chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageEdit]) error {
				handled <- d.ID.Seq
				return nil
			}),
		); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: "a"}))
		must[app.Done](t)(core.Chats.React(ctx, domain.React{Chat: "c", Actor: "ada", MessageID: "m", Emoji: "👍"}))
		must[app.Done](t)(core.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: "t"}))
		must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "ada", MessageID: "m", Content: "b"}))
		for _, want := range []domain.Seq{2, 5} {
			if seq := receive(t, handled); seq != want {
				t.Errorf("seq %d is handled, want %d", seq, want)
			}
		}
		eventually(t, "the group has finished everything", func() bool { sum, found := groupTotals(t, core.Groups(), "two"); return found && sum.Lag == 0 })
		if s := core.Stats(); s.Handled != 2 || s.Ignored != 3 || s.DeadLetters != 0 || s.Transient != 0 {
			t.Errorf("%+v", s)
		}
		for _, f := range core.Health(ctx).Findings() {
			if strings.Contains(f.Code, "group") {
				t.Errorf("finding %+v", f)
			}
		}
		if text := out.String(); text != "" {
			t.Errorf("the log has %s", text)
		}
	})
}
