package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/embedded"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// program builds cmd/core; the tests run it as its users do.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "core")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../cmd/core")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// site is a program with its own log on a Redis.
type site struct {
	core, url, namespace string
}

func newSite(core, url string) site {
	return site{core: core, url: url, namespace: "import-" + uuid.NewString()}
}

func (s site) command(t *testing.T, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), s.core, append(args, "--redis-url", s.url, "--namespace", s.namespace)...)
}

func (s site) run(t *testing.T, args ...string) []byte {
	t.Helper()
	var errs bytes.Buffer
	cmd := s.command(t, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("core %s: %v\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out
}

type summary struct {
	Lines, Messages, Duplicates, Rejected, Events, Delivered, Chats int
}

func (s site) importFile(t *testing.T, path string) summary {
	t.Helper()
	var sum summary
	if err := json.Unmarshal(s.run(t, "import", path, "--json"), &sum); err != nil {
		t.Fatal(err)
	}
	return sum
}

// objects reads one JSON object a line.
func objects[T any](t *testing.T, out []byte) []T {
	t.Helper()
	var all []T
	for line := range bytes.Lines(out) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}

// event is an event as the log returns it, without the fields that differ between two imports of one file.
type event struct {
	Seq       int       `json:"seq"`
	Ordinal   int       `json:"ordinal"`
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	MessageID string    `json:"messageId"`
	SenderID  string    `json:"senderId"`
	Content   string    `json:"content"`
	ActorID   string    `json:"actorId"`
	UserID    string    `json:"userId"`
	Change    string    `json:"change"`
	Title     string    `json:"title"`
	Role      string    `json:"role"`
}

func (s site) log(t *testing.T, chat string) []event {
	t.Helper()
	return objects[event](t, s.run(t, "history", chat, "--raw", "--json"))
}

func (s site) members(t *testing.T, chat string) []string {
	t.Helper()
	var users []string
	for _, m := range objects[struct{ UserID string }](t, s.run(t, "chat", "members", chat, "--json")) {
		users = append(users, m.UserID)
	}
	slices.Sort(users)
	return users
}

// TestATranscriptGoesThrough compares the output of an import, and the logs after it, with an independent count of the file, on the embedded Redis
// and on a real one. It then imports the file again.
func TestATranscriptGoesThrough(t *testing.T) {
	path := os.Getenv("CHATCORE_TRANSCRIPT")
	if path == "" {
		path = filepath.Join("testdata", "transcript.jsonl")
	}
	want := count(t, path)
	core := program(t)
	inProcess, err := embedded.Start()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inProcess.Close() })
	for name, url := range map[string]string{"embedded": inProcess.URL(), "redis": redistest.Shared(t).URL()} {
		t.Run(name, func(t *testing.T) {
			s := newSite(core, url)
			first := s.importFile(t, path)
			if expected := (summary{
				Lines: want.lines, Messages: want.messages, Rejected: want.rejected,
				Events: want.events, Delivered: want.events, Chats: len(want.chats),
			}); first != expected {
				t.Errorf("the import says %+v, the file %+v", first, expected)
			}
			for chat, expected := range want.chats {
				compare(t, chat, s.log(t, chat), expected)
				left := slices.Sorted(maps.Keys(expected.members))
				if members := s.members(t, chat); !slices.Equal(members, left) {
					t.Errorf("%s is left with the members %q, in the file with %q", chat, members, left)
				}
			}
			again := s.importFile(t, path)
			if expected := (summary{
				Lines: want.lines, Duplicates: want.messages, Rejected: want.rejected, Chats: len(want.chats),
			}); again != expected {
				t.Errorf("importing again says %+v, want %+v", again, expected)
			}
			for chat, expected := range want.chats {
				if n := len(s.log(t, chat)); n != expected.events {
					t.Errorf("%s has %d events after importing again, want %d", chat, n, expected.events)
				}
			}
			s.project(t)
			s.compareUsers(t, want)
		})
	}
}

// project runs the built-in subscribers until they have caught up, and compares their read models with a fold of the logs.
func (s site) project(t *testing.T) {
	t.Helper()
	core, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: s.url, Namespace: s.namespace}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- core.Run(running) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	differences, err := foldcheck.Await(ctx, core)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range differences {
		t.Error(d)
	}
}

// compareUsers compares the program's list of each user's chats.
func (s site) compareUsers(t *testing.T, want transcriptCount) {
	t.Helper()
	chats := make(map[string][]string)
	for chat, c := range want.chats {
		for user := range c.members {
			chats[user] = append(chats[user], chat)
		}
	}
	const some = 20 // each is a run of the program
	for _, user := range slices.Sorted(maps.Keys(chats))[:min(some, len(chats))] {
		slices.Sort(chats[user])
		var got []string
		for _, c := range objects[struct{ ChatID string }](t, s.run(t, "chat", "list", "--user", user, "--json")) {
			got = append(got, c.ChatID)
		}
		slices.Sort(got) // the list has the latest chat first
		if !slices.Equal(got, chats[user]) {
			t.Errorf("%s is in %q, by the file in %q", user, got, chats[user])
		}
	}
}

func compare(t *testing.T, chat string, log []event, want *chatCount) {
	t.Helper()
	if len(log) != want.events {
		t.Errorf("%s has %d events, want %d", chat, len(log), want.events)
	}
	said := 0
	for i, e := range log {
		if e.Seq != i+1 {
			t.Fatalf("%s: event %d has seq %d", chat, i+1, e.Seq)
		}
		if e.Type != "message:new" {
			continue
		}
		if said++; said > len(want.said) {
			continue
		}
		if got := (utterance{e.SenderID, e.Content, e.Timestamp}); got != want.said[said-1] {
			t.Errorf("%s, message %d is %+v, in the file %+v", chat, said, got, want.said[said-1])
		}
		if e.Ordinal != said {
			t.Errorf("%s, message %d has the ordinal %d", chat, said, e.Ordinal)
		}
	}
	if said != len(want.said) {
		t.Errorf("%s has %d messages, in the file %d", chat, said, len(want.said))
	}
}

// TestAnImportKilledMidwayGoesOn kills an import and runs it again: the logs equal those of an uninterrupted import.
func TestAnImportKilledMidwayGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "long.jsonl")
	writeLong(t, path)
	core := program(t)
	url := redistest.Shared(t).URL()
	whole := newSite(core, url)
	all := whole.importFile(t, path)

	s := newSite(core, url)
	cmd := s.command(t, "import", path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.awaitChat(t)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	rest := s.importFile(t, path)
	if rest.Events == 0 || rest.Events >= all.Events || rest.Delivered != rest.Events {
		t.Errorf("of %d events the second run appended %d and was delivered %d", all.Events, rest.Events, rest.Delivered)
	}
	for chat := range longChats {
		name := fmt.Sprintf("chat-%d", chat)
		if a, b := whole.log(t, name), s.log(t, name); !slices.Equal(a, b) {
			t.Errorf("%s: the logs differ: %d events left alone, %d killed and run again", name, len(a), len(b))
		}
	}
}

// awaitChat waits until the log has a chat.
func (s site) awaitChat(t *testing.T) {
	t.Helper()
	core, err := chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: s.url, Namespace: s.namespace}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	tick, deadline := time.NewTicker(time.Millisecond), time.After(wait.Limit)
	defer tick.Stop()
	for {
		chats, err := core.Queries.Chats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(chats) > 0 {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the import creates no chat")
		}
	}
}

const longChats = 5

// writeLong writes a transcript whose import takes long enough to be killed.
func writeLong(t *testing.T, path string) {
	t.Helper()
	var b bytes.Buffer
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 10_000 {
		user := fmt.Sprintf("user-%d", i/3%40)
		line := map[string]any{"chat": fmt.Sprintf("chat-%d", i%longChats), "at": at.Add(time.Duration(i) * time.Second), "kind": "message", "user": user, "text": fmt.Sprintf("line %d", i)}
		switch i % 13 {
		case 5:
			line["kind"], line["text"] = "leave", ""
		case 7:
			line["kind"], line["text"] = "join", ""
		case 11:
			line["kind"], line["text"] = "rename", user+"_"
		}
		encoded, err := json.Marshal(line)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(encoded, '\n'))
	}
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}
