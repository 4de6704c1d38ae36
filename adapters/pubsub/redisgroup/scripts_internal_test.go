package redisgroup

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/tests/redistest"
)

// scriptCase runs a script once on keys that are set up for it. In commands and arguments, $name is a key, @2 is two hours from now in ms, and two
// quotes are an empty string.
type scriptCase struct {
	name  string
	setup []string // commands
	args  string
	reply string // numbers that are times are @hours
	// after lists what keys hold: key.field=value of a hash, key:member=score, key=ids of a stream, key={members} of a set. - is none.
	after string
}

// scripted is a server on which scripts run.
type scripted struct {
	t      *testing.T
	client *goredis.Client
	prefix string
	now    time.Time // by the server's clock
}

func newScripted(t *testing.T, name string) *scripted {
	t.Helper()
	options, err := goredis.ParseURL(redistest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	t.Cleanup(func() { _ = client.Close() })
	now, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return &scripted{t, client, fmt.Sprintf("%s/%s/%d:", t.Name(), name, now.UnixNano()), now}
}

// token is a word of a command or an argument.
func (s *scripted) token(word string) string {
	switch {
	case word == "''":
		return ""
	case strings.HasPrefix(word, "$"):
		return s.prefix + word[1:]
	case strings.HasPrefix(word, "@"):
		hours, err := strconv.ParseFloat(word[1:], 64)
		if err != nil {
			s.t.Fatal(err)
		}
		return strconv.FormatInt(s.now.Add(time.Duration(hours*float64(time.Hour))).UnixMilli(), 10)
	}
	return word
}

func (s *scripted) words(line string) (words []any) {
	for word := range strings.FieldsSeq(line) {
		words = append(words, s.token(word))
	}
	return words
}

// text is a reply or a value, with times as hours from now.
func (s *scripted) text(value any) string {
	switch value := value.(type) {
	case nil:
		return "-"
	case []any:
		texts := make([]string, len(value))
		for i, v := range value {
			texts[i] = s.text(v)
		}
		return "[" + strings.Join(texts, " ") + "]"
	case map[any]any:
		return s.text(fmt.Sprint(value))
	case int64:
		return s.text(strconv.FormatInt(value, 10))
	}
	text := fmt.Sprint(value)
	if ms, err := strconv.ParseInt(text, 10, 64); err == nil && len(text) == 13 {
		return fmt.Sprintf("@%d", time.UnixMilli(ms).Sub(s.now).Round(time.Hour)/time.Hour)
	}
	if text == "" {
		return "''"
	}
	return text
}

// held is what a key or an element of it holds.
func (s *scripted) held(ctx context.Context, what string) string {
	if key, field, ok := strings.Cut(what, "."); ok {
		value, err := s.client.HGet(ctx, s.prefix+key, field).Result()
		if err != nil {
			return "-"
		}
		return s.text(value)
	}
	if key, member, ok := strings.Cut(what, ":"); ok {
		score, err := s.client.ZScore(ctx, s.prefix+key, member).Result()
		if err != nil {
			return "-"
		}
		return s.text(int64(score))
	}
	key := s.prefix + what
	switch kind := s.client.Type(ctx, key).Val(); kind {
	case "none":
		return "-"
	case "stream":
		var ids []string
		for _, m := range s.client.XRange(ctx, key, "-", "+").Val() {
			ids = append(ids, m.ID)
		}
		if len(ids) == 0 {
			return "-"
		}
		return strings.Join(ids, ",")
	case "set":
		members := s.client.SMembers(ctx, key).Val()
		slices.Sort(members)
		return "{" + strings.Join(members, ",") + "}"
	default:
		return kind
	}
}

func (s *scripted) check(script *goredis.Script, keys string, test scriptCase) {
	s.t.Helper()
	ctx := s.t.Context()
	for _, line := range test.setup {
		if err := s.client.Do(ctx, s.words(line)...).Err(); err != nil {
			s.t.Fatalf("%s: %s: %v", test.name, line, err)
		}
	}
	var names []string
	for key := range strings.FieldsSeq(keys) {
		names = append(names, s.prefix+key)
	}
	reply, err := script.Run(ctx, s.client, names, s.words(test.args)...).Result()
	if got := s.text(reply); err != nil || got != test.reply {
		s.t.Errorf("%s: the reply is %s, error %v; want %s", test.name, got, err, test.reply)
	}
	for want := range strings.FieldsSeq(test.after) {
		what, value, _ := strings.Cut(want, "=")
		if got := s.held(ctx, what); got != value {
			s.t.Errorf("%s: %s is %s, want %s", test.name, what, got, value)
		}
	}
}

// checkScript runs the cases of a script.
func checkScript(t *testing.T, script func(scripts) *goredis.Script, keys string, cases []scriptCase) {
	t.Helper()
	for i, test := range cases {
		newScripted(t, strconv.Itoa(i)).check(script(newScripts()), keys, test)
	}
}

const hour = "3600000"

// entries are commands that fill a stream.
func entries(key string, ids ...string) (lines []string) {
	for _, id := range ids {
		lines = append(lines, "XADD $"+key+" "+id+" a b")
	}
	return lines
}

func given(lines ...any) (setup []string) {
	for _, line := range lines {
		switch line := line.(type) {
		case string:
			setup = append(setup, line)
		case []string:
			setup = append(setup, line...)
		}
	}
	return setup
}

// many is a command with a pair for each number.
func many(command string, n int) string {
	var b strings.Builder
	b.WriteString(command)
	for i := range n {
		fmt.Fprintf(&b, " f%d v", i)
	}
	return b.String()
}

func TestScript_Acquire(t *testing.T) {
	group := func(more string) string {
		return "HSET $g owner '' until 0 epoch 0 position 0-0 walk '' revision 3 state ready commit 7 " + more
	}
	const log, mine = "SET $id L", "L a " + hour + " '' 10"
	three := entries("stream", "1-0", "2-0", "3-0")
	took := func(position, walk, before, last string, more string) string {
		return fmt.Sprintf("[1 @0 %s %s 3 %s %s 0 %s 0]", position, walk, before, last, more)
	}
	const none = "[] [] []"
	checkScript(t, func(s scripts) *goredis.Script { return s.acquire }, "id g left failing again stream dead", []scriptCase{
		{
			"a new group", given(log, group(""), three), mine, took("0-0", "''", "''", "3-0", none),
			"g.owner=a g.epoch=@0 g.until=@1 g.lease=3600000 g.bound=10 g.commit=0 g.walk='' g.position=0-0",
		},
		{"another log", given("SET $id M", group("")), mine, "[-1]", "g.owner='' g.epoch=0"},
		{"no log id", given(log), mine, "[-3]", "g=-"},
		{"no log", given(group("position 5-0"), three), "'' a " + hour + " 1 10", took("5-0", "''", "''", "3-0", none), "g.walk=''"},
		{"no log, and the position is gone", given(group("position 1-0"), entries("stream", "2-0")), "'' a " + hour + " '' 10", took("1-0", "''", "''", "2-0", none), "g.walk=''"},
		{"checkpoints are missing", given(log, group("state new")), mine, "[0]", "g.owner=''"},
		{"another owner", given(log, group("owner b until @0.2 lease "+hour)), mine, "[0]", "g.owner=b g.until=@0"},
		{"another owner whose lease is too long", given(log, group("owner b until @9 lease "+hour)), mine, "[0]", "g.owner=b g.until=@1"},
		{"another owner with a longer lease", given(log, group("owner b until @3 lease 10800000")), mine, "[0]", "g.owner=b g.until=@3"},
		{"another owner without a lease", given(log, group("owner b until @3")), mine, "[0]", "g.owner=b g.until=@1"},
		{"another owner whose lease has ended", given(log, group("owner b until @-1 epoch 5 walk 4"), three), mine, "[1 @0 0-0 4 3 1 3-0 0 " + none + " 3600000]", "g.owner=a g.overlap=3600000"},
		{"another owner with a shorter lease has ended", given(log, group("owner b until 0 epoch 5 lease 1000"), three), mine, "[1 @0 0-0 '' 3 1 3-0 0 " + none + " 1000]", "g.owner=a g.overlap=1000 g.lease=3600000"},
		{"another owner that left an overlap", given(log, group("owner b until 0 epoch 5 lease 1000 overlap 2000"), three), mine, "[1 @0 0-0 '' 3 1 3-0 0 " + none + " 2000]", "g.overlap=2000"},
		{"another owner that left a shorter overlap", given(log, group("owner b until 0 epoch 5 lease 1000 overlap 500"), three), mine, "[1 @0 0-0 '' 3 1 3-0 0 " + none + " 1000]", "g.overlap=1000"},
		{"released with an overlap", given(log, group("epoch 5 lease 1000 overlap 2000"), three), mine, "[1 @0 0-0 '' 3 1 3-0 0 " + none + " 2000]", "g.overlap=2000"},
		{"the owner again, with an overlap", given(log, group("owner a until 0 epoch 5 lease 1000 overlap 500"), three), mine, "[1 @0 0-0 '' 3 1 3-0 0 " + none + " 500]", "g.overlap=500"},
		{"the owner again", given(log, group("owner a until @1 epoch 5"), three), mine, took("0-0", "''", "1", "3-0", none), "g.owner=a"},
		{"an epoch ahead of the clock", given(log, group("epoch @5"), three), mine, "[1 @5 0-0 '' 3 1 3-0 0 " + none + " 0]", "g.epoch=@5"},
		{"the position is there", given(log, group("position 1-0"), three), mine, took("1-0", "''", "''", "3-0", none), "g.walk=''"},
		{"the position is gone", given(log, group("position 1-0"), three, "XDEL $stream 1-0"), mine, took("2-0", "0", "''", "3-0", none), "g.walk=0 g.position=2-0"},
		{"the position is gone during a walk", given(log, group("position 1-0 walk 4"), three, "XDEL $stream 1-0"), mine, took("2-0", "4", "''", "3-0", none), "g.walk=4 g.position=2-0"},
		{"the instance has lost something", given(log, group("position 2-0"), three), "L a " + hour + " 1 10", took("2-0", "0", "''", "3-0", none), "g.walk=0 g.position=2-0"},
		{"the stream is empty", given(log, group("position 1-0")), mine, took("0-0", "0", "''", "0-0", none), "g.walk=0 g.position=0-0"},
		{"the first entries were trimmed", given(log, group(""), three, "XDEL $stream 1-0"), mine, took("2-0", "0", "''", "3-0", none), "g.position=2-0"},
		{"only the entry at the position is gone", given(log, group("position 2-0"), three, "XDEL $stream 2-0"), mine, took("1-0", "0", "''", "3-0", none), "g.walk=0 g.position=1-0"},
		{"only the last entry is gone, which the position is", given(log, group("position 3-0 walk 4"), three, "XDEL $stream 3-0"), mine, took("2-0", "4", "''", "2-0", none), "g.walk=4 g.position=2-0"},
		{"no log, and only the entry at the position is gone", given(group("position 2-0"), three, "XDEL $stream 2-0"), "'' a " + hour + " '' 10", took("2-0", "''", "''", "3-0", none), "g.walk='' g.position=2-0"},
		{"the position is gone, same ms", given(log, group("position 5-2"), entries("stream", "5-3")), mine, took("5-3", "0", "''", "5-3", none), "g.walk=0"},
		{"the position is later, same ms", given(log, group("position 5-3"), entries("stream", "5-1", "5-2")), mine, took("5-2", "0", "''", "5-2", none), "g.walk=0"},
		{"the position is the first", given(log, group("position 5-2"), entries("stream", "5-2")), mine, took("5-2", "''", "''", "5-2", none), "g.walk=''"},
		{"the position is gone, more digits", given(log, group("position 9-5"), entries("stream", "10-0")), mine, took("10-0", "0", "''", "10-0", none), "g.walk=0"},
		{"the position is later, more digits", given(log, group("position 10-0"), entries("stream", "8-0", "9-5")), mine, took("9-5", "0", "''", "9-5", none), "g.walk=0"},
		{
			"what is left", given(log, group(""), three, "HSET $left c behind", "HSET $failing d 1:2", "HSET $again 5-0 1", entries("dead", "5-0", "6-0")), mine,
			"[1 @0 0-0 '' 3 '' 3-0 2 [c behind] [d 1:2] [5-0 1] 0]", "",
		},
		{"so many that they are read in pages", given(log, group(""), three, many("HSET $left", 1001), many("HSET $again", 1001)), mine, "[1 @0 0-0 '' 3 '' 3-0 0 1001 [] 1001 0]", ""},
		{"a foreign value where dead letters would be", given(log, group(""), three, "SET $dead x"), mine, took("0-0", "''", "''", "3-0", none), ""},
	})
	s := newScripted(t, "page")
	setup := given(log, group(""), many("HSET $left", 1000))
	for _, line := range setup {
		if err := s.client.Do(t.Context(), s.words(line)...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	keys := []string{s.prefix + "id", s.prefix + "g", s.prefix + "left", s.prefix + "f", s.prefix + "a", s.prefix + "s", s.prefix + "d"}
	reply, err := newScripts().acquire.Run(t.Context(), s.client, keys, "L", "a", hour, "", 10).Slice()
	if err != nil {
		t.Fatal(err)
	}
	if left, ok := reply[8].([]any); !ok || len(left) != 2000 {
		t.Errorf("a page of chats is given as %T", reply[8])
	}
}

func TestScript_Heartbeat(t *testing.T) {
	const group = "HSET $g epoch 1"
	checkScript(t, func(s scripts) *goredis.Script { return s.heartbeat }, "members g declined", []scriptCase{
		{"no group", nil, "a " + hour + " " + hour + " s", "[[] []]", "members=- declined=-"},
		{
			"a heartbeat", given(group, "ZADD $members @1 b @-1 c @9 d"), "a 7200000 " + hour, "[[b a d] []]", "members:a=@2 members:b=@1 members:c=- members:d=@2 declined=-",
		},
		{"of the only member", given(group), "a " + hour + " " + hour, "[[a] []]", "members:a=@1"},
		{"a member that leaves", given(group, "ZADD $members @1 a @1 b"), "a 0 " + hour, "[[b] []]", "members:a=-"},
		{"the last member leaves", given(group, "ZADD $members @1 a"), "a 0 " + hour, "[[] []]", "members=-"},
		{
			"streams are declined", given(group, "ZADD $members @1 a", "ZADD $declined @-1 old @9 ahead @1 kept"), "a " + hour + " 7200000 s1 s2", "[[a] [kept a s1 a s2]]",
			"declined:kept=@1 declined:old=- declined:ahead=-",
		},
	})
	ttl := func(test string, key string, least, most time.Duration, args string, setup ...string) {
		t.Helper()
		s := newScripted(t, test)
		s.check(newScripts().heartbeat, "members g declined", scriptCase{test, append(setup, group), args, "[[a] [a s]]", ""})
		if got := s.client.PTTL(t.Context(), s.prefix+key).Val(); got < least || got > most {
			t.Errorf("%s: %s lives for %v, want %v to %v", test, key, got, least, most)
		}
	}
	const both = "a " + hour + " " + hour + " s"
	ttl("members expire", "members", time.Minute, time.Hour, both)
	ttl("members do not expire earlier", "members", 2*time.Hour, 3*time.Hour, both, "ZADD $members @1 a", "PEXPIRE $members 10800000")
	ttl("members expire later", "members", 2*time.Minute, time.Hour, both, "ZADD $members @1 a", "PEXPIRE $members 60000")
	ttl("declined streams expire", "declined", time.Minute, time.Hour, both)
	s := newScripted(t, "kept")
	s.check(newScripts().heartbeat, "members g declined", scriptCase{"nothing is declined", given(group, "ZADD $declined @0.5 x", "PEXPIRE $declined 10800000"), "a " + hour + " " + hour, "[[a] [x]]", ""})
	if got := s.client.PTTL(t.Context(), s.prefix+"declined").Val(); got < 2*time.Hour {
		t.Errorf("nothing is declined: the streams declined before live for %v", got)
	}
}

func TestScript_CreateAndSeed(t *testing.T) {
	const log = "SET $id L"
	three := append(entries("stream", "1-0", "2-0", "3-0", "4-0"), "XDEL $stream 2-0")
	create := func(s scripts) *goredis.Script { return s.create }
	checkScript(t, create, "id g groups stream", []scriptCase{
		{"another log", given("SET $id M"), "L n '' '' '' ''", "[-1]", "g=- groups=-"},
		{
			"at the end", given(log, three), "L n '' '' '' ''", "[2]",
			"g.position=4-0 g.passed=4 g.walk='' g.state=new g.owner='' g.epoch=0 g.until=0 g.commit=0 g.revision=0 groups={n}",
		},
		{"at the beginning", given(log, three), "L n 1 '' '' ''", "[1]", "g.position=0-0 g.passed=1 g.walk=0 g.state=ready groups={n}"},
		{"at the end of an empty stream", given(log), "L n '' '' '' ''", "[2]", "g.position=0-0 g.passed=0 g.state=new"},
		{"without a log, at the end", given(three), "'' n '' '' '' ''", "[1]", "g.position=4-0 g.walk='' g.state=ready"},
		{"without a log, at the beginning", given(three), "'' n 1 '' '' ''", "[1]", "g.position=0-0 g.walk='' g.state=ready"},
		{"from the first entry on", given(log, three), "L n '' 0 3 (4-0", "[2]", "g.position=0-0 g.passed=1 g.walk=0 g.state=new groups={n}"},
		{"from a time on", given(log, three), "L n '' 2 2 (4-0", "[2]", "g.position=1-0 g.passed=2 g.walk=0 g.state=new"},
		{"from a time on, within its ms", given(log, entries("stream", "1-0", "2-0", "2-7", "3-0")), "L n '' 2 1 (3-0", "[2]", "g.position=2-7 g.passed=3"},
		{"from a time on, with entries since", given(log, three), "L n '' 2 1 (3-0", "[2]", "g.position=1-0 g.passed=2"},
		{"from a time on, without a count", given(log, three), "L n '' 3 '' ''", "[2]", "g.position=3-0 g.passed=1 g.walk=0"},
		{"from a time on that is to come", given(log, three), "L n '' 9 0 10", "[2]", "g.position=4-0 g.passed=4 g.walk=0"},
		{"from a time on, of an empty stream", given(log), "L n '' 2 0 3", "[2]", "g.position=0-0 g.passed=0 g.walk=0 g.state=new"},
		{"from a time on, of a trimmed stream", given(log, entries("stream", "1-0", "5-0"), "XDEL $stream 1-0"), "L n '' 2 1 (5-0", "[2]", "g.position=0-0 g.passed=1 g.walk=0"},
		{"without a log, from a time on", given(three), "'' n '' 2 2 (4-0", "[1]", "g.position=1-0 g.passed=2 g.walk='' g.state=ready"},
		{"there, from a time on", given(log, three, "HSET $g state ready position 7-0 walk ''"), "L n '' 2 '' ''", "[1]", "g.position=7-0 g.walk=''"},
		{"there, and ready", given(log, three, "HSET $g state ready position 7-0"), "L n '' '' '' ''", "[1]", "g.position=7-0 groups={n}"},
		{"there, and not ready", given(log, three, "HSET $g state new position 7-0"), "L n 1 '' '' ''", "[2]", "g.position=7-0 g.state=new"},
	})
	checkScript(t, func(s scripts) *goredis.Script { return s.seedCheckpoints }, "id g checkpoints", []scriptCase{
		{"another log", given("SET $id M", "HSET $g state new"), "L 1 c 5", "-1", "checkpoints=- g.state=new"},
		{"finished already", given(log, "HSET $g state ready"), "L 1 c 5", "0", "checkpoints=-"},
		{"some", given(log, "HSET $g state new", "HSET $checkpoints d 9"), "L '' c 5 d 1", "1", "checkpoints.c=5 checkpoints.d=9 g.state=new"},
		{"the last", given(log, "HSET $g state new"), "L 1 c 5", "1", "checkpoints.c=5 g.state=ready"},
	})
}

func TestScript_RebuildAndRelease(t *testing.T) {
	const log, group = "SET $id L", "HSET $g owner a until @1 epoch 41 walk '' state new position 5-0"
	full := []string{"HSET $checkpoints c 1", "HSET $left c x", "HSET $failing c x", "HSET $again c x", "XADD $dead 1-0 a b"}
	checkScript(t, func(s scripts) *goredis.Script { return s.rebuild }, "id g checkpoints left failing again dead", []scriptCase{
		{"another log", given("SET $id M", group, full), "L", "-1", "g.epoch=41 checkpoints=hash"},
		{"no group", given(log, full), "L", "-3", "g=- checkpoints=hash dead=1-0"},
		{"a group", given(log, group, full), "L", "1", "g.owner=a g.until=0 g.epoch=42 g.walk=0 g.state=ready checkpoints=- left=- failing=- again=- dead=-"},
	})
	checkScript(t, func(s scripts) *goredis.Script { return s.release }, "g", []scriptCase{
		{"another owner", given(group), "40 0", "0", "g.owner=a g.until=@1 g.overlap=-"},
		{"the owner", given(group), "41 700", "1", "g.owner='' g.until=0 g.epoch=41 g.overlap=700"},
		{"no group", nil, "41 0", "0", "g=-"},
	})
}

func TestScript_FsckMark(t *testing.T) {
	const log, group = "SET $id L", "HSET $g owner a until @1 epoch 41 revision 3"
	full := []string{"HSET $checkpoints c 5 d 1", "HSET $failing c 6:2 d 1:1", "HSET $again 5-0 1 6-0 1", "XADD $dead 5-0 a b", "XADD $dead 6-0 a b"}
	const fenced, untouched = "g.owner=a g.until=0 g.epoch=42 g.revision=4 failing.c=- failing.d=1:1 left.c=behind ", "g.epoch=41 g.revision=3 failing.c=6:2 checkpoints.c=5 dead=5-0,6-0"
	checkScript(t, func(s scripts) *goredis.Script { return s.fsckMark }, "id g checkpoints left failing again dead", []scriptCase{
		{"another log", given("SET $id M", group, full), "L c 5 '' 4 ''", "-1", untouched},
		{"no group", given(log, full), "L c 5 '' 4 ''", "0", "g=- left=- checkpoints.c=5"},
		{"a checkpoint", given(log, group, full), "L c 5 '' 4 ''", "1", fenced + "checkpoints.c=4 checkpoints.d=1 again.5-0=1 dead=5-0,6-0"},
		{"a checkpoint that is missing", given(log, group, full, "HDEL $checkpoints c"), "L c '' '' 4 ''", "1", fenced + "checkpoints.c=4"},
		{"a checkpoint that stays", given(log, group, full), "L c 5 '' '' ''", "1", fenced + "checkpoints.c=5"},
		{"a checkpoint that has moved", given(log, group, full), "L c 6 '' 4 ''", "0", untouched},
		{"a checkpoint that is corrected already", given(log, group, full), "L c 6 '' 5 ''", "1", fenced + "checkpoints.c=5"},
		{"a letter", given(log, group, full), "L c 5 '' '' 5-0", "1", fenced + "checkpoints.c=5 again.5-0=- again.6-0=1 dead=6-0"},
		{"a chat that is parked", given(log, group, full, "HSET $left c parked"), "L c 5 parked '' ''", "1", fenced},
		{"a chat that is parked by now", given(log, group, full, "HSET $left c parked"), "L c 5 '' '' ''", "0", untouched + " left.c=parked"},
		{"a chat that is left already", given(log, group, full, "HSET $left c behind"), "L c 5 parked '' ''", "1", fenced},
	})
	for _, key := range []string{"failing", "again", "dead"} {
		s := newScripted(t, key)
		for _, line := range given(log, group, "HSET $checkpoints c 5", "SET $"+key+" x") {
			if err := s.client.Do(t.Context(), s.words(line)...).Err(); err != nil {
				t.Fatal(err)
			}
		}
		var keys []string
		for name := range strings.FieldsSeq("id g checkpoints left failing again dead") {
			keys = append(keys, s.prefix+name)
		}
		err := newScripts().fsckMark.Run(t.Context(), s.client, keys, s.words("L c 5 '' 4 5-0")...).Err()
		if epoch := s.held(t.Context(), "g.epoch"); err == nil || epoch != "41" {
			t.Errorf("with a foreign value in %s: %v, the epoch is %s", key, err, epoch)
		}
	}
}
