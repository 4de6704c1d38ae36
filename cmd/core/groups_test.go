package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// patience is how long to wait for something that has to happen, lease for how long an owner has its partitions: longer than a busy machine makes a
// process wait.
const (
	patience = wait.Limit
	lease    = 2 * time.Second
)

// config is that of the shell's command lines, with a short lease and few attempts.
func (s *shell) config() chatcore.Config {
	c := chatcore.Config{Redis: chatcore.RedisConfig{URL: os.Getenv("REDIS_URL"), Namespace: s.base[1]}, Log: chatcore.LogConfig{Partitions: 2}, Delivery: chatcore.DeliveryConfig{Lease: lease}, StopTimeout: 2 * time.Second}
	c.Delivery.Retry.Attempts, c.Delivery.Retry.First = 2, time.Millisecond
	return c
}

// program is a process that runs groups beside the command lines.
type program struct {
	t     *testing.T
	stop  context.CancelFunc
	ended chan error
	once  sync.Once
	err   error
}

// run starts a program with the groups that subscribe adds.
func (s *shell) run(subscribe func(core *chatcore.Core) error) *program {
	s.t.Helper()
	core, err := chatcore.New(s.t.Context(), s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	if err := subscribe(core); err != nil {
		s.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(s.t.Context())
	if err := core.Start(ctx); err != nil {
		stop()
		s.t.Fatal(err)
	}
	p := &program{t: s.t, stop: stop, ended: make(chan error, 1)}
	go func() { p.ended <- core.Wait() }()
	s.t.Cleanup(func() { stop(); _ = p.wait() })
	return p
}

// wait returns the result of Run.
func (p *program) wait() error {
	p.t.Helper()
	p.once.Do(func() {
		select {
		case p.err = <-p.ended:
		case <-time.After(patience):
			p.err = fmt.Errorf("the program does not end within %s", patience)
		}
	})
	return p.err
}

// end stops the program as a signal would.
func (p *program) end() {
	p.t.Helper()
	p.stop()
	if err := p.wait(); err != nil {
		p.t.Errorf("the program ended with %v", err)
	}
}

// eventually waits for something to hold.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	wait.Until(t, what, holds)
}

// group returns the entry of one group in groups list, nil if it is absent.
func (s *shell) group(name string) map[string]any {
	s.t.Helper()
	for _, g := range s.json("groups", "list", "--per-partition") {
		if g["group"] == name {
			return g
		}
	}
	return nil
}

// refused runs a command that has to fail with an error that says certain words.
func (s *shell) refused(want error, words string, args ...string) {
	s.t.Helper()
	out, _, err := s.try(args...)
	if err == nil || want != nil && !errors.Is(err, want) || !strings.Contains(err.Error(), words) {
		s.t.Errorf("core %s: %v, want %v and %q", strings.Join(args, " "), err, want, words)
	}
	if out != "" {
		s.t.Errorf("core %s fails and prints %q", strings.Join(args, " "), out)
	}
}

// unsure runs a command that cannot be undone without --yes: it prints the effect, and fails.
func (s *shell) unsure(words string, args ...string) {
	s.t.Helper()
	out, _, err := s.try(args...)
	if !errors.Is(err, errUnsure) || !strings.Contains(out, words) {
		s.t.Errorf("core %s: %v, prints %q, want %q", strings.Join(args, " "), err, out, words)
	}
}

// record holds the deliveries of a group, by chat in their order. Its handler refuses messages with the text "bad" until it is mended.
type record struct {
	mu     sync.Mutex
	given  map[domain.ChatID][]domain.Seq
	mended bool
	held   chan struct{} // if not nil, handlers wait until it is closed
}

func (r *record) take(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
	r.mu.Lock()
	held := r.held
	r.mu.Unlock()
	if held != nil {
		<-held
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, ok := d.Event.(domain.MessageNew); ok && m.Content == "bad" && !r.mended {
		return errors.New("no answer\nfrom \x1b[31mthe phone")
	}
	if r.given == nil {
		r.given = make(map[domain.ChatID][]domain.Seq)
	}
	r.given[d.ID.Chat] = append(r.given[d.ID.Chat], d.ID.Seq)
	return nil
}

func (r *record) mend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mended = true
}

func (r *record) hold(held chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held = held
}

func (r *record) of(chat domain.ChatID) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprint(r.given[chat])
}

// until waits for a chat's events to have come in an order.
func (r *record) until(t *testing.T, chat domain.ChatID, want string) {
	t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for r.of(chat) != want {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("of chat %s came %s, want %s", chat, r.of(chat), want)
		}
	}
}

// say has ada create a chat and write into it.
func (s *shell) say(chat string, texts ...string) {
	s.t.Helper()
	s.do("chat", "create", chat, "--as", "ada")
	for _, text := range texts {
		s.do("send", chat, text, "--as", "ada")
	}
}

func TestGroupsListTellsWhereEachGroupStands(t *testing.T) {
	s := newShell(t)
	if out := s.do("groups", "list"); !strings.Contains(out, "no consumer group") || strings.Count(out, "\n") != 1 {
		t.Errorf("without a group:\n%s", out)
	}
	if got := s.json("groups", "list", "--per-partition"); len(got) != 0 {
		t.Errorf("without a group: %v", got)
	}
	away := s.run(func(core *chatcore.Core) error { return core.Subscribe("away") })
	eventually(t, "the group has checked all chats", func() bool {
		return s.group("away")["owned"] == 3.0 && s.group("away")["catchesUp"] == false
	})
	away.end()
	var parks, skips record
	s.run(func(core *chatcore.Core) error {
		return errors.Join(
			core.Subscribe("parks", chatcore.On(parks.take), chatcore.OnPoison(chatcore.Park)),
			core.Subscribe("skips", chatcore.On(skips.take)),
		)
	})
	s.say("c", "good", "bad", "after")
	skips.until(t, "c", "[1 2 4]")
	eventually(t, "the chat is parked and the letters are there", func() bool {
		return s.group("parks")["parked"] == 1.0 && s.group("skips")["deadLetters"] == 1.0 && s.group("skips")["lag"] == 0.0
	})

	want := map[string]map[string]any{
		"away":  {"lag": 4.0, "parked": 0.0, "deadLetters": 0.0, "owned": 0.0},
		"parks": {"lag": 0.0, "parked": 1.0, "deadLetters": 1.0, "owned": 3.0},
		"skips": {"lag": 0.0, "parked": 0.0, "deadLetters": 1.0, "owned": 3.0},
	}
	list := s.json("groups", "list", "--per-partition")
	if len(list) != len(want) {
		t.Fatalf("groups %v", list)
	}
	for i, name := range []string{"away", "parks", "skips"} {
		g := list[i]
		if g["group"] != name || g["behind"] != 0.0 || g["failing"] != 0.0 || g["catchesUp"] != false {
			t.Errorf("group %s is %v", name, g)
		}
		for key, value := range want[name] {
			if g[key] != value {
				t.Errorf("group %s has %s %v, want %v", name, key, g[key], value)
			}
		}
		_, hasOldest := g["oldest"]
		if waits := name == "away"; hasOldest != waits || (g["ageSeconds"].(float64) > 0) != waits {
			t.Errorf("the oldest of %s is of %v, %v s", name, g["oldest"], g["ageSeconds"])
		}
		var partitions []float64
		for _, l := range g["partitions"].([]any) {
			partition := l.(map[string]any)
			partitions = append(partitions, partition["partition"].(float64))
			owner, _ := partition["owner"].(string)
			_, leased := partition["leaseUntil"]
			if owned := name != "away"; (owner != "") != owned || leased != owned || owned && partition["epoch"] == 0.0 || partition["position"] == "" || partition["stream"] == "" {
				t.Errorf("a partition of %s is %v", name, partition)
			}
		}
		if !equal(partitions, []float64{0, 1, -1}) {
			t.Errorf("partitions of %s: %v", name, partitions)
		}
	}

	rows := strings.Split(strings.TrimSpace(s.do("groups", "list")), "\n")
	if len(rows) != 4 || fmt.Sprint(strings.Fields(rows[0])) != "[GROUP KIND PAUSED LAG OLDEST PARKED BEHIND FAILING BLOCKED DEAD WALKED OWNED]" {
		t.Errorf("the table is\n%s", strings.Join(rows, "\n"))
	}
	if cells := strings.Fields(rows[1]); cells[0] != "away" || cells[1] != "code" || cells[3] != "4" || cells[4] == "-" || cells[11] != "0/3" {
		t.Errorf("the first row is %q", rows[1])
	}
	if got := fmt.Sprint(strings.Fields(rows[2])); got != "[parks code - 0 - 1 0 0 0 1 - 3/3]" {
		t.Errorf("the second row is %q", rows[2])
	}
	if at := strings.Index(rows[0], "PARKED"); rows[2][at:at+1] != "1" {
		t.Errorf("the columns do not stand one below the other:\n%s", strings.Join(rows, "\n"))
	}
	rows = strings.Split(strings.TrimSpace(s.do("groups", "list", "--per-partition")), "\n")
	if len(rows) != 13 || !strings.HasSuffix(rows[0], "OWNER") || !strings.HasPrefix(rows[5], "parks") || !strings.HasPrefix(rows[8], "  others") {
		t.Errorf("with partitions it is\n%s", strings.Join(rows, "\n"))
	}
	if cells := strings.Fields(rows[6]); len(cells) != 13 || cells[0] != "0" || cells[9] != "yes" {
		t.Errorf("a partition's row is %q", rows[6])
	}
}

// TestGroupsList_NamesBlockedChats has a handler that hangs in another process.
func TestGroupsList_NamesBlockedChats(t *testing.T) {
	s := newShell(t)
	var r record
	release := make(chan struct{})
	r.held = release
	s.run(func(core *chatcore.Core) error {
		return core.Subscribe("hangs", chatcore.On(r.take), chatcore.HandlerTimeout(10*time.Millisecond))
	})
	s.say("c", "first")
	eventually(t, "the chat is named", func() bool {
		return strings.Contains(s.do("groups", "list"), "BLOCKED CHAT")
	})
	out := s.do("groups", "list")
	rows := strings.Split(strings.TrimSpace(out), "\n")
	if cells := strings.Fields(rows[len(rows)-1]); len(cells) < 5 || fmt.Sprint(cells[:4]) != "[hangs c 1 slow]" {
		t.Errorf("it says\n%s", out)
	}
	if g := s.group("hangs"); g["blocked"] != 1.0 || !strings.Contains(fmt.Sprint(g["partitions"]), "reason:slow") {
		t.Errorf("as JSON it is %v", g)
	}
	close(release)
	eventually(t, "it is named no more", func() bool { return !strings.Contains(s.do("groups", "list"), "BLOCKED CHAT") })
}

func TestAgesAreToldInTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0ms", 999 * time.Millisecond: "999ms", 59900 * time.Millisecond: "59s", 125 * time.Second: "2m5s", 3*time.Hour + 59*time.Minute: "3h59m", 50 * time.Hour: "2d2h",
	} {
		if got := age(d); got != want {
			t.Errorf("%s is told as %s, want %s", d, got, want)
		}
	}
}

func TestGroupsDeleteRemovesAGroup(t *testing.T) {
	s := newShell(t)
	var r record
	subscribe := func(core *chatcore.Core) error { return core.Subscribe("g", chatcore.On(r.take)) }
	p := s.run(subscribe)
	s.say("c", "bad", "after")
	r.until(t, "c", "[1 3]")
	eventually(t, "the letter is there", func() bool { return len(s.letters("g")) == 1 })
	s.unsure("group g would be deleted with its checkpoints and 1 dead letter", "groups", "delete", "g")
	if after := s.group("g"); after["deadLetters"] != 1.0 || after["members"] != 1.0 {
		t.Errorf("without --yes the group is %v", after)
	}
	if out := s.do("groups", "delete", "g", "--yes"); !strings.Contains(out, "group g is deleted") {
		t.Errorf("it says %q", out)
	}
	if err := p.wait(); !errors.Is(err, chatcore.ErrGroupDeleted) {
		t.Errorf("the program ended with %v", err)
	}
	if g := s.group("g"); g != nil {
		t.Errorf("there is %v", g)
	}
	s.refused(chatcore.ErrGroupNotFound, "core groups list", "groups", "delete", "g", "--yes")
	s.run(subscribe).end()
	if got := s.json("groups", "delete", "g", "--yes"); len(got) != 1 || got[0]["group"] != "g" || got[0]["deleted"] != true {
		t.Errorf("it says %v", got)
	}
}

// TestTail_MakesNoGroup unless one is named, whenever it ends.
func TestTail_MakesNoGroup(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	out, _, stop := s.follow("tail")
	eventually(t, "the tail shows something", func() bool {
		s.do("send", "c", "hello", "--as", "ada")
		return strings.Contains(out.String(), "hello")
	})
	s.noGroup("start of the tail")
	stop()
	for _, args := range [][]string{{"tail"}, {"tail", "--chat", "c"}} {
		for _, after := range []time.Duration{0, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond} {
			ctx, cancel := context.WithCancel(t.Context())
			interrupt := time.AfterFunc(after, cancel)
			cmd := command(&buffer{}, &buffer{})
			cmd.SetArgs(append(args, s.base...))
			if err := cmd.ExecuteContext(ctx); err != nil {
				t.Errorf("%q, interrupted after %s, ends with %v", args, after, err)
			}
			interrupt.Stop()
			cancel()
			s.noGroup(fmt.Sprint("tail, interrupted after ", after))
		}
	}
}

// noGroup checks that nothing of a group is left.
func (s *shell) noGroup(after string) {
	s.t.Helper()
	if list := s.json("groups", "list", "--per-partition"); len(list) > 0 {
		s.t.Errorf("after the %s there are %v", after, list)
	}
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(s.t).Addr()})
	defer func() { _ = client.Close() }()
	keys, err := client.Keys(s.t.Context(), s.base[1]+":*:g:*").Result()
	if err != nil || len(keys) > 0 {
		s.t.Errorf("after the %s there are the keys %q (%v)", after, keys, err)
	}
}

func TestAnImportLeavesNoGroup(t *testing.T) {
	s := newShell(t)
	path := filepath.Join(t.TempDir(), "long.jsonl")
	line := `{"chat":"c%d","at":"2020-01-01T10:00:00.000Z","kind":"message","user":"ada","text":"hello"}`
	write := func(lines int) {
		t.Helper()
		var text strings.Builder
		for i := range lines {
			fmt.Fprintf(&text, line+"\n", i%20)
		}
		if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(50)
	s.do("import", path)
	s.noGroup("import")

	write(200_000)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := command(&buffer{}, &buffer{})
	cmd.SetArgs(append([]string{"import", path}, s.base...))
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(ctx) }()
	eventually(t, "the import is under way", func() bool {
		return slices.ContainsFunc(s.json("groups", "list", "--per-partition"), func(g map[string]any) bool { return strings.HasPrefix(g["group"].(string), "import-") })
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("interrupted, the import ends with %v", err)
	}
	s.noGroup("interrupted import")
}
