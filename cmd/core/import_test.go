package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// said is a line of a transcript.
func said(at, kind, user, text string) string {
	line, err := json.Marshal(map[string]string{"chat": "c", "at": "2020-" + at + ":00Z", "kind": kind, "user": user, "text": text})
	if err != nil {
		panic(err)
	}
	return string(line)
}

func transcript(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "transcript.jsonl")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func (s *shell) imports(lines ...string) importSummary {
	s.t.Helper()
	var sum importSummary
	if err := json.Unmarshal([]byte(s.do("import", transcript(s.t, lines...), "--json")), &sum); err != nil {
		s.t.Fatal(err)
	}
	if sum.Delivered != sum.Events {
		s.t.Errorf("of %d events %d are delivered", sum.Events, sum.Delivered)
	}
	return sum
}

// events are the events of chat c, each in a few words.
func (s *shell) events() []string {
	s.t.Helper()
	var events []string
	for _, e := range s.json("history", "c", "--raw", "--limit", "100") {
		switch e["type"] {
		case "message:new":
			events = append(events, fmt.Sprintf("%v: %v", e["senderId"], e["content"]))
		default:
			events = append(events, strings.TrimSpace(fmt.Sprint(e["change"], " ", text(e["userId"]))))
		}
	}
	return events
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func (s *shell) memberIDs() []string {
	s.t.Helper()
	var users []string
	for _, m := range s.json("chat", "members", "c") {
		users = append(users, m["userId"].(string))
	}
	slices.Sort(users)
	return users
}

// TestImport_AddsWhatIsNew imports a second transcript of a chat that says more, less or the same.
func TestImport_AddsWhatIsNew(t *testing.T) {
	january := []string{
		said("01-01T10:00", "join", "ada", ""),
		said("01-01T10:01", "message", "ada", "hello"),
		said("01-01T10:01", "message", "ada", "hello"), // twice in a minute
		said("01-01T10:02", "message", "ben", "hi"),
		said("01-01T10:03", "rename", "ben", "ben2"),
		said("01-01T10:04", "leave", "ada", ""),
		said("01-01T10:05", "action", "ben2", "waves"),
	}
	first := []string{"created", "member_added ada", "ada: hello", "ada: hello", "member_added ben", "ben: hi", "member_removed ben", "member_added ben2", "member_removed ada", "ben2: waves"}
	without := func(at int) []string { return slices.Delete(slices.Clone(january), at, at+1) }
	with := func(at int, line string) []string { return slices.Insert(slices.Clone(january), at, line) }
	whole := []string{"ben2", "importer"}
	url := redistest.Shared(t).URL()
	for name, tc := range map[string]struct {
		second  []string
		added   []string
		members []string
	}{
		"the same again":             {january, nil, whole},
		"without the first message":  {without(1), nil, whole},
		"without the join":           {without(0), nil, whole},
		"without the leave":          {without(5), nil, whole},
		"without the rename":         {without(4), nil, whole},
		"other JSON, the same lines": {[]string{`{"text":"hello", "user":"ada","kind":"message","at":"2020-01-01T11:01:00.000+01:00","chat":"c","more":[1]}`}, nil, whole},
		"February": {
			[]string{said("02-01T10:00", "leave", "ben2", ""), said("02-01T10:01", "message", "ada", "hello")},
			[]string{"member_removed ben2", "member_added ada", "ada: hello"},
			[]string{"ada", "importer"},
		},
		"January and February": {
			append(slices.Clone(january), said("02-01T10:01", "message", "ben2", "hello")), []string{"ben2: hello"}, whole,
		},
		"a third equal line":                    {with(3, january[1]), []string{"member_added ada", "ada: hello", "member_removed ada"}, whole},
		"an older line by a member":             {with(6, said("01-01T10:04", "message", "ben2", "late")), []string{"ben2: late"}, whole},
		"an older line by a user who has left":  {with(1, said("01-01T10:00", "message", "ada", "late")), []string{"member_added ada", "ada: late", "member_removed ada"}, whole},
		"an older line by a user of their own":  {with(1, said("01-01T10:00", "message", "cem", "late")), []string{"member_added cem", "cem: late"}, []string{"ben2", "cem", "importer"}},
		"an older leave of a user who is there": {with(6, said("01-01T10:04", "leave", "ben2", "")), []string{"member_removed ben2", "member_added ben2"}, whole},
		"an older visit":                        {with(1, said("01-01T10:00", "join", "cem", "")+"\n"+said("01-01T10:00", "leave", "cem", "")), []string{"member_added cem", "member_removed cem"}, whole},
		"an older rename": {
			with(6, said("01-01T10:04", "rename", "ben2", "ben3")),
			[]string{"member_removed ben2", "member_added ben3", "member_added ben2"},
			[]string{"ben2", "ben3", "importer"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &shell{t: t, base: []string{"--redis-url", url, "--namespace", "cmd-" + uuid.NewString(), "--partitions", "2"}}
			s.imports(january...)
			if got := s.events(); !slices.Equal(got, first) {
				t.Fatalf("the first import gives\n%q, want\n%q", got, first)
			}
			for range 2 { // the second time nothing is new
				s.imports(tc.second...)
				if got, want := s.events(), slices.Concat(first, tc.added); !slices.Equal(got, want) {
					t.Errorf("the log is\n%q, want\n%q", got, want)
				}
				if got := s.memberIDs(); !slices.Equal(got, tc.members) {
					t.Errorf("members %q, want %q", got, tc.members)
				}
			}
			if sum := s.imports(january...); sum.Events != 0 {
				t.Errorf("the first file adds %d events after the second", sum.Events)
			}
		})
	}
}

// TestImport_KeepsTheTimesOfOlderLines: they come last, at their own times.
func TestImport_KeepsTheTimesOfOlderLines(t *testing.T) {
	s := newShell(t)
	late, early := said("02-01T10:00", "message", "ada", "late"), said("01-01T10:00", "message", "ada", "early")
	s.imports(late)
	s.imports(early, late)
	history := s.json("history", "c")
	if len(history) != 2 || history[1]["content"] != "early" || !strings.HasPrefix(text(history[1]["sentAt"]), "2020-01-01T10:00") {
		t.Errorf("history %v", history)
	}
}

// TestImport_SkipsWhatItCannotRead of every kind, and records the lines around it.
func TestImport_SkipsWhatItCannotRead(t *testing.T) {
	good := said("01-01T10:00", "message", "ada", "good")
	with := func(old, replacement string) string { return strings.Replace(good, old, replacement, 1) }
	malformed := map[string]string{
		"a line of 1 MiB and more": with("good", strings.Repeat("x", maxLine)),
		"a line of 8 MiB":          strings.Repeat("x", 8<<20),
		"a half pair":              with("good", `\ud800`),
		"the other half":           with("good", `a\\\udc00`),
		"two first halves":         with("good", `\ud83d\ud83d\ude00`),
		"half in a name":           with("ada", `a\ud800`),
		"invalid UTF-8":            with("good", "\xff"),
		"invalid JSON":             good[:len(good)-1],
		"two objects":              good + good,
		"no object":                "null",
		"a list":                   "[]",
		"a number for a text":      with(`"good"`, "5"),
		"an unknown kind":          with("message", "dance"),
		"no kind":                  with(`"kind"`, `"sort"`),
		"a time in words":          with("2020-01-01T10:00:00Z", "noon"),
		"no time":                  with(`"at"`, `"when"`),
		"a time beyond 9999":       with("2020-01-01T10:00:00Z", "9999-12-31T23:59:59-10:00"),
		"a raw NUL":                with("good", "\x00"),
		"a rename to nobody":       said("01-01T10:00", "rename", "ada", ""),
	}
	rejected := map[string]string{
		"an escaped NUL":     with("good", `\u0000`),
		"a blank text":       with("good", " "),
		"a text of 1 MB":     with("good", strings.Repeat("x", 1_000_000)),
		"a user with spaces": with("ada", "a da"),
		"a chat with spaces": with(`"c"`, `"c c"`),
		"a rename to spaces": said("01-01T10:00", "rename", "ada", "a da"),
	}
	accepted := map[string]string{
		"a byte order mark": byteOrderMark + with("good", "one"),
		"CR LF":             with("good", "two") + "\r",
		"a pair":            with("good", `\ud83d\ude00`),
		"no half":           with("good", `\\ud800`),
	}
	var lines []string
	numbers := make(map[string]int)
	for what, kind := range map[string]map[string]string{"malformed": malformed, "rejected": rejected, "": accepted} {
		for name, line := range kind {
			if lines = append(lines, line); what != "" {
				numbers[fmt.Sprintf("line %d is %s", len(lines), what)] = len(lines)
				t.Logf("line %d: %s", len(lines), name)
			}
		}
	}
	lines = append(lines, "", "\r", good, "  ")
	s := newShell(t)
	out, errs, err := s.try("import", transcript(t, lines...), "--json")
	if !errors.Is(err, errMalformed) {
		t.Errorf("the import ends with %v", err)
	}
	var sum importSummary
	if err := json.Unmarshal([]byte(out), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Lines != len(lines) || sum.Malformed != len(malformed) || int(sum.Rejected) != len(rejected) || sum.Blank != 3 || int(sum.Messages) != len(accepted)+1 {
		t.Errorf("of %d malformed, %d rejected and %d good lines the import says %+v", len(malformed), len(rejected), len(accepted)+1, sum)
	}
	reported := 0
	for text := range strings.Lines(errs) {
		where, _, _ := strings.Cut(text, ":")
		if _, known := numbers[where]; known {
			reported++
		}
		if len(text) > 400 {
			t.Errorf("a report has %d bytes", len(text))
		}
	}
	if more := fmt.Sprintf("%d lines more", len(numbers)-importProblems); reported != importProblems || !strings.Contains(errs, more) {
		t.Errorf("%d lines are reported, want %d and %q:\n%s", reported, importProblems, more, errs)
	}
}

// TestImport_RefusedChats end neither the import nor each other.
func TestImport_RefusedChats(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "theirs", "--as", "zoe")
	s.imports(said("01-01T10:00", "message", "ada", "one"))
	s.do("chat", "archive", "c", "--as", "importer")
	other := strings.Replace(said("01-01T10:01", "message", "ada", "two"), `"c"`, `"d"`, 1)
	theirs := strings.Replace(other, `"d"`, `"theirs"`, 1)
	sum := s.imports(theirs, said("01-01T10:00", "message", "ada", "one"), said("01-01T10:01", "message", "ada", "two"), theirs, other)
	if sum.Rejected != 3 || sum.Duplicates != 1 || sum.Messages != 1 {
		t.Errorf("summary %+v", sum)
	}
}

// TestImport_EndsWithAFileThatIsCutShort after the lines that can be read.
func TestImport_EndsWithAFileThatIsCutShort(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	for i := range 500 {
		fmt.Fprintln(w, said("01-01T10:00", "message", "ada", fmt.Sprint(i)))
		_ = w.Flush()
	}
	_ = w.Close()
	path := filepath.Join(t.TempDir(), "cut.jsonl.gz")
	if err := os.WriteFile(path, zipped.Bytes()[:zipped.Len()-100], 0o600); err != nil {
		t.Fatal(err)
	}
	s := newShell(t)
	if _, _, err := s.try("import", path); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("the import ends with %v", err)
	}
	if n := len(s.json("history", "c", "--limit", "500")); n < 400 {
		t.Errorf("%d messages are recorded", n)
	}
	if _, _, err := s.try("import", t.TempDir()); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("a folder: %v", err)
	}
}

// TestImport_ManyChats imports 20,000 chats through a small queue that refuses commands: each line is recorded, by a bounded number of goroutines.
func TestImport_ManyChats(t *testing.T) {
	const chats = 20_000
	path := filepath.Join(t.TempDir(), "many.jsonl")
	var text bytes.Buffer
	for i := range chats {
		fmt.Fprintf(&text, `{"chat":"chat-%d","at":"2020-01-01T10:00:00Z","kind":"message","user":"ada","text":"hello"}`+"\n", i)
	}
	if err := os.WriteFile(path, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	core, err := chatcore.New(t.Context(), chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: newShell(t).base[1]},
		Log:    chatcore.LogConfig{Queue: 16},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	var out, errs buffer
	run := newImportRun(&cli{out: &out, errs: &errs, json: true}, core)
	before, most := runtime.NumGoroutine(), atomic.Int64{}
	sampling, stop := context.WithCancel(t.Context())
	sampled := make(chan struct{})
	go func() {
		defer close(sampled)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most.Store(max(most.Load(), int64(runtime.NumGoroutine())))
			case <-sampling.Done():
				return
			}
		}
	}()
	err = run.run(t.Context(), path)
	stop()
	<-sampled
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	var sum importSummary
	if err := json.Unmarshal([]byte(out.String()), &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Messages != chats || sum.Events != 3*chats || sum.Delivered != 3*chats || sum.Chats != chats {
		t.Errorf("summary %+v", sum)
	}
	if sum.Retries == 0 {
		t.Error("no command was refused: the queue is not small enough for the test")
	}
	const others = 400 // of the core, its connections and its group
	if n := most.Load() - int64(before); n > importWorkers+others {
		t.Errorf("the import has %d goroutines", n)
	}
}

// TestImport_GivesUnknownCommandsAgain counts an event that a lost answer has hidden once, and as its own.
func TestImport_GivesUnknownCommandsAgain(t *testing.T) {
	core, err := chatcore.New(t.Context(), chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: newShell(t).base[1]},
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	run := newImportRun(&cli{}, core)
	c := &chatImport{run: run, chat: "c"}
	chats := core.Chats.Correlated(run.id)
	if err := c.create(t.Context(), chats); err != nil {
		t.Fatal(err)
	}
	answers := []error{ports.ErrOverloaded, ports.ErrUnavailable, ports.ErrConflict, ports.ErrOutcomeUnknown, nil}
	run.succeeded.Store(time.Now().UnixNano())
	done, err := c.give(t.Context(), func() (app.Done, error) {
		answer := answers[0]
		answers = answers[1:]
		if answer != nil && !errors.Is(answer, ports.ErrOutcomeUnknown) {
			return app.Done{}, answer
		}
		done, err := chats.Add(t.Context(), domain.Add{Chat: "c", Actor: importActor, User: "ada", Command: "x"})
		return done, errors.Join(answer, err)
	})
	if err != nil || done.Duplicate || !done.Changed || len(answers) > 0 || run.events.Load() != 2 || run.retries.Load() != 4 {
		t.Errorf("%+v, %v; %d events, %d retries", done, err, run.events.Load(), run.retries.Load())
	}
	again := newImportRun(&cli{}, core) // another run: the event is not its own
	c = &chatImport{run: again, chat: "c"}
	answers = []error{ports.ErrOutcomeUnknown, nil}
	again.succeeded.Store(time.Now().UnixNano())
	done, err = c.give(t.Context(), func() (app.Done, error) {
		answer := answers[0]
		answers = answers[1:]
		done, err := chats.Add(t.Context(), domain.Add{Chat: "c", Actor: importActor, User: "ada", Command: "x"})
		return done, errors.Join(answer, err)
	})
	if err != nil || !done.Duplicate || again.events.Load() != 0 {
		t.Errorf("another run: %+v, %v; %d events", done, err, again.events.Load())
	}
	again.patience = 0
	if _, err := c.give(t.Context(), func() (app.Done, error) { return app.Done{}, ports.ErrUnavailable }); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("without patience: %v", err)
	}
}

// FuzzParseEntry checks the assumptions of the import for any line.
func FuzzParseEntry(f *testing.F) {
	for _, seed := range []string{
		"", "\r", byteOrderMark, "null", said("01-01T10:00", "message", "ada", "hi"), said("01-01T10:00", "rename", "ada", "ben"),
		`{"chat":"c","at":"2020-01-01T10:00:00Z","kind":"message","user":"ada","text":"\ud83d\ude00 \ud800"}`, `"\u`, `{"text":"\\"}`, "\xff",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		line := append(slices.Clone(raw), '\n')
		e, err := parseEntry(raw)
		if err != nil {
			return
		}
		if e.Chat == "" || e.User == "" || e.At.IsZero() || e.At.UTC().Year() > 9999 {
			t.Errorf("%q is read as %+v", line, e)
		}
		if strings.ContainsRune(e.Text, '\ufffd') && !bytes.Contains(raw, []byte("\ufffd")) && !bytes.Contains(bytes.ToLower(raw), []byte(`\ufffd`)) {
			t.Errorf("%q has become %q", raw, e.Text)
		}
		written, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseEntry(written)
		if err != nil || again.hash() != e.hash() || (again.refused == nil) != (e.refused == nil) {
			t.Errorf("%q and %q are different lines (%v)", raw, written, err)
		}
	})
}
