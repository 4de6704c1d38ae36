package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"chatcore"
)

func TestLists_SayThatTheyAreEmpty(t *testing.T) {
	s := newShell(t)
	for _, tc := range []struct{ args, want string }{
		{"chat list", "there are no chats\n"},
		{"groups list", "there are no consumer groups; each begins with the first process that subscribes\n"},
		{"presence online", "nobody is online\n"},
		{"session list ada", "ada has no session\n"},
	} {
		if out := s.do(strings.Fields(tc.args)...); out != tc.want {
			t.Errorf("core %s prints %q", tc.args, out)
		}
		if objects := s.json(strings.Fields(tc.args)...); len(objects) > 0 {
			t.Errorf("core %s --json prints %v", tc.args, objects)
		}
	}
	s.do("chat", "create", "c", "--as", "ada")
	for _, tc := range []struct{ args, want string }{
		{"history c", "chat c has no such messages\n"},
		{"history c --raw --after 1", "chat c has no such events\n"},
		{"audit c --user ben", "chat c has no such events\n"},
		{"typing list c", "nobody is typing in c\n"},
	} {
		if out := s.do(strings.Fields(tc.args)...); out != tc.want {
			t.Errorf("core %s prints %q", tc.args, out)
		}
	}
}

func TestTables_HaveHeaders(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	s.do("presence", "beat", "ada", "--device", "phone")
	s.do("session", "open", "ada")
	s.do("typing", "start", "c", "--as", "ada")
	for args, want := range map[string]string{
		"chat list":            "CHAT",
		"chat members c":       "USER ROLE JOINED",
		"presence online":      "USER",
		"presence get ada ben": "USER STATUS LAST SEEN",
		"session list ada":     "SESSION DEVICE NAME OPENED SEEN EXPIRES",
		"typing list c":        "USER",
		"unread ada --chat c":  "CHAT UNREAD",
		"config":               "KEY VALUE SOURCE",
	} {
		header, _, _ := strings.Cut(s.do(strings.Fields(args)...), "\n")
		if got := strings.Join(strings.Fields(header), " "); got != want {
			t.Errorf("the header of core %s is %q, want %q", args, got, want)
		}
	}
}

func TestJSON_CarriesTheIDsToUseItAlone(t *testing.T) {
	s := newShell(t)
	chat, user, actor, message := "chatId=c", "userId=ben", "actorId=ada", "messageId=m"
	for _, tc := range []struct {
		args string
		want []string
	}{
		{"chat create c --as ada --member ben", []string{chat, actor}},
		{"chat rename c Garden --as ada", []string{chat, actor}},
		{"chat promote c ben admin --as ada", []string{chat, actor, user}},
		{"chat demote c ben member --as ada", []string{chat, actor, user}},
		{"chat remove c ben --as ada", []string{chat, actor, user}},
		{"chat add c ben --as ada", []string{chat, actor, user}},
		{"chat list", []string{chat}},
		{"chat members c", []string{chat, "userId=ada"}},
		{"send c x --as ada --id m", []string{chat, "senderId=ada", message}},
		{"edit c m y --as ada", []string{chat, actor, message}},
		{"react c m 👍 --as ada", []string{chat, actor, message}},
		{"unreact c m 👍 --as ada", []string{chat, actor, message}},
		{"read c m --as ada", []string{chat, actor, message}},
		{"history c", []string{chat, message, "senderId=ada"}},
		{"history c --raw --limit 1", []string{chat}},
		{"audit c", []string{chat}},
		{"unread ben --chat c", []string{chat, user}},
		{"typing start c --as ben", []string{chat, user}},
		{"typing list c", []string{chat, user}},
		{"typing stop c --as ben", []string{chat, user}},
		{"delete c m --as ada", []string{chat, actor, message}},
		{"presence beat ben --device phone --connection k", []string{user, "deviceId=phone", "connectionId=k"}},
		{"presence online", []string{user}},
		{"presence get ben", []string{user}},
		{"presence set ben busy", []string{user}},
		{"presence leave ben --device phone", []string{user, "deviceId=phone"}},
		{"session open ben", []string{user}},
		{"session list ben", []string{user}},
		{"session close ben --all", []string{user}},
		{"limit login ben --rate login=1/1m", []string{"kind=login"}},
		{"chat archive c --as ada", []string{chat, actor}},
	} {
		objects := s.json(strings.Fields(tc.args)...)
		if len(objects) == 0 {
			t.Errorf("core %s prints nothing", tc.args)
			continue
		}
		for _, want := range tc.want {
			key, value, _ := strings.Cut(want, "=")
			if objects[0][key] != value {
				t.Errorf("core %s: %s is %v, want %s", tc.args, key, objects[0][key], value)
			}
		}
	}
}

// TestPartitions_AreListedOnlyIfAsked of groups list and of doctor.
func TestPartitions_AreListedOnlyIfAsked(t *testing.T) {
	s := newShell(t)
	s.run(func(core *chatcore.Core) error { return core.Subscribe("g", chatcore.On((&record{}).take)) })
	groups := func(args ...string) map[string]any { return s.json(append([]string{"groups", "list"}, args...)...)[0] }
	if g := groups(); g["partitions"] != nil || g["partitionCount"] != 3.0 {
		t.Errorf("groups list --json: %v", g)
	}
	if g := groups("--per-partition"); len(g["partitions"].([]any)) != 3 {
		t.Errorf("groups list --per-partition --json: %v", g)
	}
	doctor := func(args ...string) string {
		out, _, _ := s.try(append([]string{"doctor", "--json"}, args...)...)
		return out
	}
	if out := doctor(); strings.Contains(out, `"position"`) || !strings.Contains(out, `"group":"g"`) {
		t.Errorf("doctor --json: %s", out)
	}
	if out := doctor("--per-partition"); !strings.Contains(out, `"position"`) {
		t.Errorf("doctor --per-partition --json: %s", out)
	}
}

// TestGroupsList_Watch shows the groups until it is interrupted.
func TestGroupsList_Watch(t *testing.T) {
	s := newShell(t)
	out, _, stop := s.follow("groups", "list", "--watch", "--interval", "100ms")
	out.until(t, "there are no consumer groups")
	s.run(func(core *chatcore.Core) error { return core.Subscribe("late", chatcore.On((&record{}).take)) })
	out.until(t, "late")
	stop()
	if _, _, err := s.try("groups", "list", "--watch", "--interval", "1ms"); err == nil {
		t.Error("an interval of 1ms is taken")
	}
}

// TestSession_VerifyAndRotate by argument and by standard input.
func TestSession_VerifyAndRotate(t *testing.T) {
	s := newShell(t)
	opened := s.json("session", "open", "ada")[0]
	token := opened["token"].(string)
	if got := s.json("session", "verify", token)[0]; got["sessionId"] != opened["sessionId"] || got["userId"] != "ada" || got["token"] != nil {
		t.Errorf("verify: %v", got)
	}
	cmd := s.program("session", "rotate", "-", "--json")
	cmd.Stdin = strings.NewReader(token + "\n")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), opened["sessionId"].(string)) || strings.Contains(string(out), token) {
		t.Fatalf("rotate: %v, %s", err, out)
	}
	if code, _, errs := s.exit("session", "verify", token); code != exitNotFound {
		t.Errorf("the old token: %d, %s", code, errs)
	}
	if list := s.json("session", "list", "ada"); len(list) != 1 {
		t.Errorf("sessions: %v", list)
	}
}

// complete returns the completions for a shell.
func (s *shell) complete(args ...string) []string {
	s.t.Helper()
	var out, errs buffer
	cmd := command(&out, &errs)
	flags := append([]string{"__complete"}, s.base...)
	cmd.SetArgs(append(flags, args...))
	if err := cmd.ExecuteContext(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	var offered []string
	for line := range strings.Lines(out.String()) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if !strings.HasPrefix(word, ":") && word != "--as" { // the directive, and a flag that is required
			offered = append(offered, word)
		}
	}
	return offered
}

// TestCompletion_OffersWhatThereIs: chats, members, groups, roles and statuses.
func TestCompletion_OffersWhatThereIs(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "garden", "--as", "ada", "--member", "ben")
	s.run(func(core *chatcore.Core) error { return core.Subscribe("push", chatcore.On((&record{}).take)) })
	for args, want := range map[string]string{
		"history ":                   "garden",
		"send ":                      "garden",
		"chat promote ":              "garden",
		"chat promote garden ":       "ada ben",
		"chat promote garden ben ":   "member admin owner",
		"send garden hello --as ":    "ada ben",
		"presence set ada ":          "online away busy offline",
		"rebuild ":                   "push",
		"groups delete ":             "push",
		"webhook get ":               "",
		"deadletters list ":          "push",
		"tail --group ":              "push",
		"unread ben --chat ":         "garden",
		"chat create ":               "",
		"history c --log-level ":     "debug info warn error",
		"history c --log-format ":    "text json",
		"audit garden --user ":       "ada ben",
		"fsck --chat ":               "garden",
		"history garden --redis-url": "--redis-url",
	} {
		words := strings.Split(args, " ")
		got := s.complete(words...)
		if strings.Join(got, " ") != want {
			t.Errorf("after %q a shell is offered %q, want %q", args, got, want)
		}
	}
}

func TestRate_IsAFlagOnlyWhereItIsHeeded(t *testing.T) {
	heeded := map[string]bool{"core limit": true, "core send": true, "core serve": true}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		changes := cmd.Flags().Lookup("as") != nil
		operators := slices.ContainsFunc([]string{"core erase ", "core retention ", "core hold "}, func(of string) bool { return strings.HasPrefix(cmd.CommandPath(), of) })
		limited := changes && !operators
		if has := cmd.Flags().Lookup("rate") != nil; has != (limited || heeded[cmd.CommandPath()]) {
			t.Errorf("%s has --rate: %t", cmd.CommandPath(), has)
		}
		if limit := cmd.Flags().Lookup("limit"); limit != nil && !strings.Contains(limit.Usage, "at most") {
			t.Errorf("%s --limit means %q", cmd.CommandPath(), limit.Usage)
		}
		if cmd.Flags().Lookup("user") != nil && changes && !operators { // the user of a hold is its subject
			t.Errorf("%s has both --as and --user", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(command(&buffer{}, &buffer{}))
}
