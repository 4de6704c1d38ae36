package eventlog_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/tests/redistest"
)

// guardedCall is a call of a script that may only run on the data that its process has seen: on one log id, one history and a witness of at least 2.
type guardedCall struct {
	script string
	keys   string // separated by spaces
	args   string // separated by |; $HISTORY is the replication ID
	ok     string // pattern of the reply
	other  string // reply for another log id
	older  string // reply for a lower witness
	moved  string // reply for another history; "" for a script that does not check it
}

func guardedCalls() map[string]guardedCall {
	return map[string]guardedCall{
		"append": {
			"append", "p:id p:w stream", `log|$HISTORY|token||1|2|1|c|||0|1|m1|0|1|e1||{}|{"type":"message.new","seq":|}|+||1|1|1000`,
			`^0 6 6 `, `^-1 1$`, `^-5 1$`, `^-3 \w{40}$`,
		},
		"append sent again": {
			"append", "p:id p:w stream", `log|$HISTORY|token|1|1|2|1|c|||0|1|m1|0|1|e1||{}|{"type":"message.new","seq":|}|+||1|1|1000`,
			`^0 6 6 `, `^-1 1$`, `^-5 1$`, `^-3 \w{40}$`,
		},
		"confirm":  {"confirm", "p:id p:confirm p:w", "log|$HISTORY|2", `^0$`, `^-1$`, `^-5$`, `^-3 \w{40}$`},
		"snapshot": {"snapshot", "p:id p:w", "log|c|f|5|state|$HISTORY|2", `^1$`, `^-1$`, `^0$`, `^0$`},
		"witness":  {"witness", "p:id p:w", "log|2|3|60", `^1$`, `^-1$`, `^0$`, ""},
	}
}

// TestScripts_RefuseOtherData calls each script that checks the data's identity, history and age. A refused call writes nothing.
func TestScripts_RefuseOtherData(t *testing.T) {
	client := redistest.Start(t).Client(t)
	history := historyOf(t, client)
	for name, c := range guardedCalls() {
		for situation, s := range map[string]struct{ id, witness, history, want string }{
			"the data it has seen": {"log", "2", history, c.ok},
			"newer data":           {"log", "3", history, c.ok},
			"another log":          {"other", "2", history, c.other},
			"older data":           {"log", "1", history, c.older},
			"data without witness": {"log", "", history, c.older},
			"another history":      {"log", "2", strings.Repeat("0", 40), c.moved},
		} {
			if s.want == "" {
				continue
			}
			t.Run(name+"/"+situation, func(t *testing.T) {
				seedGuarded(t, client, s.id, s.witness)
				before := rig.State(t, client)
				reply := callScript(t, client, c, s.history)
				if !regexp.MustCompile(s.want).MatchString(reply) {
					t.Errorf("the reply is %q, want %s", reply, s.want)
				}
				if after := rig.State(t, client); s.want != c.ok && after != before {
					t.Errorf("a refused call left\n%swant\n%s", after, before)
				}
			})
		}
	}
}

// TestSnapshot_Versions keeps a snapshot up to the chat's head, and only one that is newer than the stored one.
func TestSnapshot_Versions(t *testing.T) {
	client := redistest.Start(t).Client(t)
	history := historyOf(t, client)
	for _, test := range []struct{ stored, version, want string }{
		{"", "4", "1"}, {"", "5", "1"}, {"", "6", "0"}, {"", "10", "0"}, {"3", "5", "1"}, {"3", "4", "1"}, {"5", "4", "0"}, {"5", "5", "0"},
	} {
		seedGuarded(t, client, "log", "2")
		if test.stored != "" {
			client.HSet(t.Context(), "p:c:s", "f", test.stored, "=f", "stored")
		}
		c := guardedCall{script: "snapshot", keys: "p:id p:w", args: "log|c|f|" + test.version + "|state|$HISTORY|2"}
		reply := callScript(t, client, c, history)
		kept := client.HGet(t.Context(), "p:c:s", "f").Val() == test.version && client.HGet(t.Context(), "p:c:s", "=f").Val() == "state"
		if reply != test.want || kept != (test.want == "1") {
			t.Errorf("version %s at head 5 beside %q: the reply is %s, kept %t; want %s", test.version, test.stored, reply, kept, test.want)
		}
	}
}

// seedGuarded creates a chat of five events on a server, one message each.
func seedGuarded(t *testing.T, client goredis.UniversalClient, id, witness string) {
	t.Helper()
	ctx := t.Context()
	client.FlushAll(ctx)
	client.Set(ctx, "p:id", id, 0)
	if witness != "" {
		client.Set(ctx, "p:w", witness, 0)
	}
	client.HSet(ctx, "p:c:x", " ", "5:5")
	client.SAdd(ctx, "p:chats", "c")
	for range 5 {
		if err := client.RPush(ctx, "p:c:0", "event").Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func callScript(t *testing.T, client goredis.UniversalClient, c guardedCall, history string) string {
	t.Helper()
	var args []any
	for word := range strings.SplitSeq(strings.ReplaceAll(c.args, "$HISTORY", history), "|") {
		args = append(args, word)
	}
	reply, err := client.Eval(t.Context(), eventlog.Sources()[c.script], strings.Fields(c.keys), args...).Result()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(reply)
}

// TestAppendScript_DamagedChat appends to chats whose keys contradict each other. Nothing is written.
func TestAppendScript_DamagedChat(t *testing.T) {
	client := redistest.Start(t).Client(t)
	const join = `log|$HISTORY|token||1|2|1|c|||0|1| ubob||1|e1||{}|{"type":"chat.update","seq":|}|||1|1|1000`
	for name, test := range map[string]struct {
		seed []any
		args string
		want string
	}{
		"a full last segment that is short": {[]any{"HSET", "p:c:x", " ", "1024:1024"}, join, "2 the last segment does not end at the head"},
		"a last segment that is short":      {[]any{"HSET", "p:c:x", " ", "6:6"}, join, "2 the last segment does not end at the head"},
		"a count of members that differs":   {[]any{"HSET", "p:c:x", " #u", "1"}, join, "2 the count of :u is not what the index says"},
		"a count of tombstones that differs": {
			[]any{"ZADD", "p:c:d", "1", "1"},
			`log|$HISTORY|token||1|2|1|c|||0|1|m1||1|e1||{}|{"type":"message.delete","seq":|}|1||1|1|1000`,
			"2 the count of :d is not what the index says",
		},
		"an entry of the index that is unreadable": {[]any{"HSET", "p:c:x", " ubob", "x"}, join, "2 the index is unreadable"},
	} {
		t.Run(name, func(t *testing.T) {
			seedGuarded(t, client, "log", "2")
			if err := client.Do(t.Context(), test.seed...).Err(); err != nil {
				t.Fatal(err)
			}
			before := rig.State(t, client)
			if reply := callScript(t, client, guardedCall{script: "append", keys: "p:id p:w stream", args: test.args}, historyOf(t, client)); reply != test.want {
				t.Errorf("the reply is %q, want %q", reply, test.want)
			}
			if after := rig.State(t, client); after != before {
				t.Errorf("a refused call left\n%swant\n%s", after, before)
			}
		})
	}
}

// TestAppendScript_SentAgain sends a command again. The first sending is found by its own event and never by one that only looks like it.
func TestAppendScript_SentAgain(t *testing.T) {
	client := redistest.Start(t).Client(t)
	const (
		plain    = `log|$HISTORY|token|1|1|2|1|c|||0|1|m1||1|e1||{}|{"type":"message.new","seq":|}|+||1|1|1000`
		recorded = `log|$HISTORY|token|1|1|2|1|c|||0|1| Ccmd|=ab|1|e1||{}|{"type":"message.new","seq":|}|+||0|1000`
		ours     = `{"type":"message.new","seq":5,"ordinal":5}`
		others   = `{"type":"message.old","seq":5,"ordinal":5}`
	)
	for name, test := range map[string]struct{ args, field, entry, event, want string }{
		"found by its message":                {plain, "m1", "5", ours, "^0 5 5 5 0$"},
		"an event of the same length":         {plain, "m1", "5", others, "^0 6 6 6 0"},
		"no event of the message":             {plain, "", "", others, "^0 6 6 6 0"},
		"an event that the log lost":          {plain, "m1", "5", "", "^3$"},
		"found by its command":                {recorded, " Ccmd", "5:1:ab", ours, "^0 5 5 5 0$"},
		"no such command":                     {recorded, "", "", others, "^0 6 6 6 0"},
		"a command with more events":          {recorded, " Ccmd", "5:2:ab", ours, "^1 1 5$"},
		"a command whose event is not theirs": {recorded, " Ccmd", "5:1:ab", others, "^1 1 5$"},
	} {
		t.Run(name, func(t *testing.T) {
			seedGuarded(t, client, "log", "2")
			client.LSet(t.Context(), "p:c:0", 4, test.event)
			if test.field != "" {
				client.HSet(t.Context(), "p:c:x", test.field, test.entry)
			}
			reply := callScript(t, client, guardedCall{script: "append", keys: "p:id p:w stream", args: test.args}, historyOf(t, client))
			if !regexp.MustCompile(test.want).MatchString(reply) {
				t.Errorf("the reply is %q, want %s", reply, test.want)
			}
		})
	}
}

func historyOf(t *testing.T, client goredis.UniversalClient) string {
	t.Helper()
	return regexp.MustCompile(`master_replid:(\w+)`).FindStringSubmatch(client.Info(t.Context(), "replication").Val())[1]
}
