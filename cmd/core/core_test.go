package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

func TestAChatsLifeOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--title", "Garden", "--member", "ben")
	s.do("chat", "add", "c", "cem", "--as", "ada")
	s.do("chat", "promote", "c", "ben", "admin", "--as", "ada")
	s.do("chat", "demote", "c", "ben", "member", "--as", "ada")
	s.do("chat", "rename", "c", "Allotment", "--as", "ada")

	sent := s.json("send", "c", "The tomatos are ripe", "--as", "ben", "--id", "m1")[0]
	again := s.json("send", "c", "The tomatos are ripe", "--as", "ben", "--id", "m1")[0]
	if sent["duplicate"] != false || again["duplicate"] != true || sent["seq"] != again["seq"] || sent["messageId"] != "m1" {
		t.Errorf("sent %v, again %v", sent, again)
	}
	other := []string{"send", "c", "The tomatoes are ripe", "--as", "ben", "--id", "m1"}
	if differs := s.json(other...)[0]; again["differs"] != false || differs["differs"] != true || differs["duplicate"] != true {
		t.Errorf("again %v, with another text %v", again, differs)
	}
	if text := s.do(other...); !strings.Contains(text, "differs: ") {
		t.Errorf("with another text: %q", text)
	}
	s.do("edit", "c", "m1", "The tomatoes are ripe", "--as", "ben")
	s.do("react", "c", "m1", "🍅", "--as", "cem")
	s.do("react", "c", "m1", "👍", "--as", "ada")
	s.do("unreact", "c", "m1", "👍", "--as", "ada")
	s.do("send", "c", "oops", "--as", "cem", "--id", "m2", "--reply-to", "m1")
	if n := s.json("unread", "ada", "--chat", "c")[0]["unread"]; n != 2.0 {
		t.Errorf("ada has %v unread, want 2", n)
	}
	for range 2 { // the second one changes nothing
		if read := s.json("read", "c", "m1", "--as", "ada")[0]; read["recorded"] != true {
			t.Errorf("the mark is %v, want it recorded", read)
		}
	}
	if read := s.json("read", "c", "m2", "--as", "ada")[0]; read["recorded"] != true || read["changed"] != true { // within a second of the first
		t.Errorf("the mark after it is %v, want it recorded", read)
	}
	if sent["recorded"] != nil {
		t.Errorf("a sent message has recorded %v", sent["recorded"])
	}
	s.do("delete", "c", "m2", "--as", "cem", "--reason", "wrong chat")
	if n := s.json("unread", "ada", "--chat", "c")[0]["unread"]; n != 0.0 {
		t.Errorf("ada has %v unread, want 0", n)
	}
	if published := s.json("typing", "start", "c", "--as", "ada")[0]["published"]; published != true {
		t.Errorf("typing was not published")
	}
	if typing := s.json("typing", "list", "c"); len(typing) != 1 || typing[0]["userId"] != "ada" {
		t.Errorf("typing are %v", typing)
	}
	s.do("typing", "stop", "c", "--as", "ada")
	if out := s.do("typing", "list", "c"); out != "nobody is typing in c\n" {
		t.Errorf("after the stop: %q", out)
	}
	if published := s.json("presence", "set", "ada", "away")[0]["published"]; published != false {
		t.Errorf("the status of someone who is not there was published")
	}
	if status := s.json("presence", "beat", "ada", "--device", "phone")[0]["status"]; status != "away" {
		t.Errorf("with a device the user is %v", status)
	}
	if published := s.json("presence", "set", "ada", "busy")[0]["published"]; published != true {
		t.Errorf("status was not published")
	}
	if online := s.json("presence", "online"); len(online) != 1 || online[0]["userId"] != "ada" {
		t.Errorf("online: %v", online)
	}
	s.do("presence", "beat", "ada", "--device", "phone", "--connection", "c1")
	if status := s.json("presence", "leave", "ada", "--device", "phone")[0]["status"]; status != "busy" {
		t.Errorf("ada, who has another connection, is %v", status)
	}
	s.do("presence", "leave", "ada", "--device", "phone", "--connection", "c1")
	if statuses := s.json("presence", "get", "ada", "ben"); len(statuses) != 2 || statuses[0]["status"] != "offline" || statuses[0]["lastSeen"] == nil || statuses[1]["lastSeen"] != nil {
		t.Errorf("statuses: %v", statuses)
	}
	s.do("chat", "remove", "c", "cem", "--as", "ada")
	s.do("chat", "leave", "c", "--as", "ben")
	s.do("chat", "archive", "c", "--as", "ada")

	messages := s.json("history", "c")
	if len(messages) != 2 || messages[0]["content"] != "The tomatoes are ripe" || messages[0]["revision"] != 1.0 || messages[1]["deleted"] != true || messages[1]["content"] != "" {
		t.Errorf("history: %v", messages)
	}
	if got, _ := json.Marshal(messages[0]["reactions"]); string(got) != `{"🍅":["cem"]}` {
		t.Errorf("reactions: %s", got)
	}
	for i, event := range s.json("history", "c", "--raw") {
		if event["seq"] != float64(i+1) {
			t.Errorf("event %d has seq %v", i+1, event["seq"])
		}
	}
	members := s.json("chat", "members", "c")
	if len(members) != 1 || members[0]["userId"] != "ada" || members[0]["role"] != "owner" {
		t.Errorf("members: %v", members)
	}
	if chats := s.json("chat", "list"); len(chats) != 1 || chats[0]["chatId"] != "c" {
		t.Errorf("chats: %v", chats)
	}
	if _, _, err := s.try("send", "c", "too late", "--as", "ada"); !errors.Is(err, domain.ErrArchived) {
		t.Errorf("a send to an archived chat: %v", err)
	}
	s.do("chat", "unarchive", "c", "--as", "ada")
	s.do("send", "c", "just in time", "--as", "ada")
}

func TestHistoryIsCutByFlags(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	for range 6 { // seqs 2 to 7
		s.do("send", "c", "x", "--as", "ada")
	}
	for _, tc := range []struct {
		flags string
		want  []float64
	}{
		{"", []float64{2, 3, 4, 5, 6, 7}},
		{"--limit 2", []float64{6, 7}},
		{"--before 4", []float64{2, 3}},
		{"--before 5 --limit 2", []float64{3, 4}},
		{"--after 5", []float64{6, 7}},
		{"--after 3 --limit 2", []float64{4, 5}},
		{"--after 0 --limit 1", []float64{2}},
		{"--after 7", nil},
		{"--raw --limit 1", []float64{7}},
		{"--raw --before 3", []float64{1, 2}},
		{"--raw --after 0 --limit 2", []float64{1, 2}},
	} {
		var got []float64
		for _, m := range s.json(append([]string{"history", "c"}, strings.Fields(tc.flags)...)...) {
			got = append(got, m["seq"].(float64))
		}
		if !equal(got, tc.want) {
			t.Errorf("history %s shows %v, want %v", tc.flags, got, tc.want)
		}
	}
	core, err := chatcore.New(t.Context(), s.config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	for _, tc := range []struct { // the library has the same order
		span domain.Span
		want []float64
	}{
		{domain.Span{}, []float64{2, 3, 4, 5, 6, 7}},
		{domain.Span{Limit: 2}, []float64{6, 7}},
		{domain.Span{Before: 5, Limit: 2}, []float64{3, 4}},
		{domain.Span{After: 3, Limit: 2}, []float64{4, 5}},
		{domain.Span{First: true, Limit: 1}, []float64{2}},
	} {
		page, err := core.Queries.History(t.Context(), "c", tc.span)
		var got []float64
		for _, m := range page {
			got = append(got, float64(m.Seq))
		}
		if err != nil || !equal(got, tc.want) {
			t.Errorf("History of %+v is %v, want %v, error %v", tc.span, got, tc.want, err)
		}
	}
	for _, flags := range []string{"--before 0", "--limit -1"} {
		if _, _, err := s.try(append([]string{"history", "c"}, strings.Fields(flags)...)...); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("history %s: %v", flags, err)
		}
	}
	if _, _, err := s.try("history", "nowhere"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("history of no chat: %v", err)
	}
}

func equal(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestBadInputIsRefusedByName(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	for _, tc := range []struct {
		args []string
		want error
	}{
		{[]string{"send", "c", "", "--as", "ada"}, domain.ErrInvalid},
		{[]string{"send", "c", "bell\a", "--as", "ada"}, domain.ErrInvalid},
		{[]string{"send", "c", "\xff", "--as", "ada"}, domain.ErrInvalid},
		{[]string{"send", "c d", "x", "--as", "ada"}, domain.ErrInvalid},
		{[]string{"send", "nowhere", "x", "--as", "ada"}, domain.ErrChatNotFound},
		{[]string{"send", "c", "x", "--as", "eve"}, domain.ErrNotMember},
		{[]string{"edit", "c", "m9", "x", "--as", "ada"}, domain.ErrMessageNotFound},
		{[]string{"read", "c", "--as", "ada", "--seq", "99"}, domain.ErrSeqRange},
		{[]string{"chat", "create", "c", "--as", "eve"}, domain.ErrChatExists},
		{[]string{"chat", "leave", "c", "--as", "ada"}, domain.ErrLastOwner},
		{[]string{"chat", "promote", "c", "ada", "king", "--as", "ada"}, domain.ErrInvalid},
		{[]string{"presence", "set", "ada", "asleep"}, domain.ErrInvalid},
	} {
		if _, _, err := s.try(tc.args...); !errors.Is(err, tc.want) {
			t.Errorf("core %q: %v, want %v", tc.args, err, tc.want)
		}
	}
	if events := s.json("history", "c", "--raw"); len(events) != 1 {
		t.Errorf("refused commands left events: %v", events)
	}
}

func TestWithoutARedisTheWaysOutAreNamed(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	for _, args := range [][]string{{"serve"}, {"import", "core_test.go"}, {"history", "c"}} {
		cmd := command(&buffer{}, &buffer{})
		cmd.SetArgs(args)
		err := cmd.ExecuteContext(t.Context())
		if err == nil || !strings.Contains(err.Error(), "REDIS_URL") || !strings.Contains(err.Error(), "--embedded") {
			t.Errorf("core %s: %v", args, err)
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	var visit func(cmd *cobra.Command, path []string)
	visit = func(cmd *cobra.Command, path []string) {
		if cmd.Short == "" {
			t.Errorf("core %s has no description", strings.Join(path, " "))
		}
		var out buffer
		help := command(&out, &out)
		help.SetArgs(append(path, "--help"))
		if err := help.ExecuteContext(t.Context()); err != nil || !strings.Contains(out.String(), "Usage:") {
			t.Errorf("core %s --help: %v\n%s", strings.Join(path, " "), err, out.String())
		}
		for _, sub := range cmd.Commands() {
			visit(sub, append(path[:len(path):len(path)], sub.Name()))
		}
	}
	visit(command(&buffer{}, &buffer{}), nil)
}

func TestDemoShowsAChatsLife(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	var out, errs buffer
	cmd := command(&out, &errs)
	cmd.SetArgs([]string{"demo"})
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	if !strings.Contains(errs.String(), "in memory only") {
		t.Errorf("it is not said that nothing is kept: %q", errs.String())
	}
	for _, text := range []string{
		"delivered seq  1", "delivered seq 10", "ben is typing", "ben stopped typing", "ada is online", "refused",
		"folded from its log", "ben (edited): I do! What shall I bring?", "(deleted by cem)", "🍅 1", "ada (owner) has 0 unread",
	} {
		if !strings.Contains(out.String(), text) {
			t.Errorf("%q is not shown", text)
		}
	}
	if strings.Contains(out.String(), "delivered seq 11") || strings.Contains(out.String(), "\x1b[") {
		t.Errorf("more is shown than happened, or colours where there is no terminal:\n%s", out.String())
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestTailOfAGroupGoesOnWhereItWas(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	wake := func(out *buffer, text string) { // until the group stands, sends are not for it
		t.Helper()
		deadline := time.After(patience)
		for !strings.Contains(out.String(), text) {
			s.do("send", "c", text, "--as", "ada")
			select {
			case <-deadline:
				t.Fatal("the tail shows nothing")
			default:
			}
		}
	}
	out, _, stop := s.follow("tail", "--group", "g")
	wake(out, "first")
	stop()
	s.do("send", "c", "meanwhile", "--as", "ada")
	out, _, stop = s.follow("tail", "--group", "g")
	out.until(t, "meanwhile")
	stop()
	if strings.Count(out.String(), "meanwhile") != 1 {
		t.Errorf("the second tail shows\n%s", out.String())
	}
}

// TestTail_OfAllChats shows durable, custom and ephemeral events.
func TestTail_OfAllChats(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	out, _, stop := s.follow("tail", "--json")
	defer stop()
	deadline := time.After(patience)
	for !strings.Contains(out.String(), `"type":"typing:stop"`) {
		s.do("typing", "stop", "c", "--as", "ada")
		select {
		case <-deadline:
			t.Fatal("the tail shows nothing")
		default:
		}
	}
}

func TestServeRunsUntilASignal(t *testing.T) {
	s := newShell(t)
	_, errs, stop := s.follow("serve")
	errs.until(t, "serving log")
	stop()
	_, errs, stop = s.follow("serve", "--embedded")
	errs.until(t, "serving log")
	stop()
}

// TestServe_EndsWellByASignalBeforeItServes, wherever it is by then.
func TestServe_EndsWellByASignalBeforeItServes(t *testing.T) {
	s := newShell(t)
	for _, args := range [][]string{{"serve"}, {"serve", "--embedded"}, {"tail"}, {"tail", "--chat", "c"}, {"tail", "--user", "ada"}, {"tail", "--group", "g"}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		var out, errs buffer
		cmd := command(&out, &errs)
		cmd.SetArgs(append(args, s.base...))
		if err := cmd.ExecuteContext(ctx); err != nil {
			t.Errorf("core %s: %v", strings.Join(args, " "), err)
		}
	}
}

// TestSignals_AreHandledBeforeOtherModulesAreInitialized has Go trace the order of initialization: only packages with trivial initialization come
// before the signals.
func TestSignals_AreHandledBeforeOtherModulesAreInitialized(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this program
	cmd.Env = append(os.Environ(), "GODEBUG=inittrace=1")
	trace, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, trace)
	}
	at := bytes.Index(trace, []byte("init chatcore/cmd/core/signals "))
	for _, later := range []string{"init github.com/redis/", "init go.opentelemetry.io/otel/sdk/", "init connectrpc.com/connect @"} {
		if first := bytes.Index(trace, []byte(later)); at < 0 || first < at {
			t.Errorf("signals are handled after %q:\n%s", later, trace)
		}
	}
}

// TestServeProjectsWhatUsersAskFor asks about users before and while the built-in subscribers run.
func TestServeProjectsWhatUsersAskFor(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "garden", "--as", "ada", "--member", "ben")
	s.do("chat", "create", "allotment", "--as", "ben")
	s.do("send", "garden", "x", "--as", "ada")
	for _, ask := range [][]string{{"chat", "list", "--user", "ben"}, {"unread", "ben"}} {
		_, _, err := s.try(ask...)
		if !errors.Is(err, chatcore.ErrNoViews) || !strings.Contains(err.Error(), `start "core serve"`) {
			t.Errorf("%v where nobody has projected: %v", ask, err)
		}
	}
	_, _, stop := s.follow("serve")
	defer stop()
	text := ""
	for deadline := time.After(patience); text != "CHAT       UNREAD\nallotment  0\ngarden     1\n"; {
		text, _, _ = s.try("unread", "ben") // before it has begun: that nobody has projected
		select {
		case <-deadline:
			t.Fatalf("ben has unread\n%s", text)
		default:
		}
	}
	at := ` +\d{4}-\d{2}-\d{2} \d{2}:\d{2}`
	if chats := s.do("chat", "list", "--user", "ben"); !regexp.MustCompile(
		`^CHAT +TITLE +ROLE +UNREAD +MENTIONS +LAST +MESSAGE\ngarden +member +1 +0` + at + ` +ada: x\nallotment +owner +0 +0` + at + `\n$`).MatchString(chats) {
		t.Errorf("ben is in\n%s", chats)
	}
	if counts := s.json("unread", "ben"); len(counts) != 2 || counts[1]["chatId"] != "garden" || counts[1]["unread"] != 1.0 {
		t.Errorf("ben has unread %v", counts)
	}
}

func TestImportReportsMalformedLinesByNumber(t *testing.T) {
	s := newShell(t)
	path := filepath.Join(t.TempDir(), "broken.jsonl")
	lines := []string{
		`{"chat":"c","at":"2020-01-01T10:00:00.000Z","kind":"message","user":"ada","text":"one"}`,
		`{"chat":"c","at":"2020-01-01T10:01:00.000Z","kind":"message","user":"ada"`,
		`{"chat":"c","at":"2020-01-01T10:02:00.000Z","kind":"dance","user":"ada","text":"x"}`,
		`{"chat":"c","kind":"message","user":"ada","text":"x"}`,
		`{"at":"2020-01-01T10:02:00.000Z","kind":"message","user":"ada","text":"x"}`,
		`{"chat":"c","at":"2020-01-01T10:03:00.000Z","kind":"message","user":"ada","text":"two"}`,
	}
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, errs, err := s.try("import", path, "--json")
	if !errors.Is(err, errMalformed) {
		t.Errorf("the import ends with %v", err)
	}
	for _, text := range []string{"line 2 is", "line 3 is", "line 4 is", "line 5 is"} {
		if !strings.Contains(errs, text) {
			t.Errorf("%q is not reported:\n%s", text, errs)
		}
	}
	if strings.Count(errs, "malformed") != 4 {
		t.Errorf("more than the malformed lines is reported:\n%s", errs)
	}
	var summary importSummary
	if err := json.Unmarshal([]byte(out), &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Lines != 6 || summary.Messages != 2 || summary.Events != 4 || summary.Delivered != 4 { // created, ada added, two messages
		t.Errorf("summary %+v", summary)
	}
	if _, _, err := s.try("import", filepath.Join(t.TempDir(), "none.jsonl")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestAsOfASeqAndWhoDidWhat(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--title", "Garden", "--member", "ben")
	s.do("send", "c", "first", "--as", "ben", "--id", "m")
	s.do("edit", "c", "m", "second", "--as", "ben")
	s.do("delete", "c", "m", "--as", "ada")
	for at, want := range map[string]string{"3": "first", "4": "second"} {
		if got := s.json("history", "c", "--at", at); len(got) != 1 || got[0]["content"] != want {
			t.Errorf("as of %s: %v, want %q", at, got, want)
		}
	}
	if got := s.json("history", "c", "--at", "2", "--raw"); len(got) != 2 {
		t.Errorf("events as of 2: %v", got)
	}
	if _, _, err := s.try("history", "c", "--at", "0"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("as of 0: %v", err)
	}
	if out := s.do("audit", "c", "--message", "m"); strings.Count(out, "\n") != 3 || !strings.Contains(out, "ben: first") || !strings.Contains(out, "ada deletes m") {
		t.Errorf("about the message:\n%s", out)
	}
	if got := s.json("audit", "c", "--user", "ada"); len(got) != 3 || got[2]["type"] != "message:delete" || got[2]["deletedBy"] != "ada" {
		t.Errorf("by ada: %v", got)
	}
	if got := s.json("audit", "c"); len(got) != 5 {
		t.Errorf("all: %v", got)
	}
}
