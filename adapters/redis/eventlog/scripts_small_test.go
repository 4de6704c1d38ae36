package eventlog_test

import (
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

func TestScript_Activity(t *testing.T) {
	const keys, indexed = "p:id p:last", "SET p:id L; HSET p:last c 5:100 d 5:100:b"
	rig.RunScript(t, eventlog.Sources()["activity"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L c 5 100 '' ''", Reply: "[-1]"},
		{Name: "the first entries", Setup: "SET p:id L", Keys: keys, Args: "L c 5 100 '' '' d 6 101 '' 1", Reply: "[2]", After: "HGETALL p:last = {c:5:100 d:6:101:b}"},
		{Name: "later ones", Setup: indexed, Keys: keys, Args: "L c 6 101 '' '' d 6 101 '' ''", Reply: "[2]", After: "HGETALL p:last = {c:6:101 d:6:101}"},
		{Name: "earlier ones", Setup: indexed, Keys: keys, Args: "L c 4 99 '' '' d 4 99 '' ''", Reply: "[0]"},
		{Name: "an earlier one of a rebuild", Setup: indexed, Keys: keys, Args: "L c 4 99 1 ''", Reply: "[1]", After: "HGET p:last c = 4:99"},
		{Name: "the same", Setup: indexed, Keys: keys, Args: "L c 5 100 '' '' d 5 100 '' 1", Reply: "[0]"},
		{Name: "the same with a later time", Setup: indexed, Keys: keys, Args: "L c 5 101 '' ''", Reply: "[1]", After: "HGET p:last c = 5:101"},
		{Name: "marks", Setup: indexed, Keys: keys, Args: "L c 0 0 '' 1 d 0 0 '' ''", Reply: "[2]", After: "HGETALL p:last = {c:5:100:b d:5:100}"},
		{Name: "a mark without an entry", Setup: indexed, Keys: keys, Args: "L e 0 0 '' 1", Reply: "[0]"},
		{Name: "a mark of an unreadable entry", Setup: indexed + "; HSET p:last c x", Keys: keys, Args: "L c 0 0 '' 1", Reply: "[0]"},
		{Name: "a mark of an entry of 0", Setup: indexed + "; HSET p:last c 0:5", Keys: keys, Args: "L c 0 0 '' 1", Reply: "[0]"},
		{Name: "an index of another type", Setup: "SET p:id L; SET p:last x", Keys: keys, Args: "L c 5 100 '' ''", Reply: "[1]", After: "HGETALL p:last = {c:5:100}"},
		{Name: "no right", Setup: indexed, Keys: keys, Args: "L c 6 100 '' ''", Without: "hmget", Reply: rig.NoRight},
	})
}

func TestScript_Heads(t *testing.T) {
	const keys = "p:id p:chats stream done"
	two := "SET p:id L; SET p:count 1; SADD p:chats c; HSET p:c:x · 5:3; XADD stream 1-0 a b; XADD stream 2-0 a b; "
	var many, all, scanned strings.Builder
	many.WriteString("SADD p:chats")
	all.WriteString("HSET done")
	for i := range 1001 {
		name := "c" + strings.Repeat("i", i%7) + string(rune('a'+i%26)) + strings.Repeat("k", i/26)
		many.WriteString(" " + name)
		all.WriteString(" " + name + " 5")
		scanned.WriteString("; HSET p:" + name + ":x · 5:3")
	}
	rig.RunScript(t, eventlog.Sources()["heads"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L 0 10", Reply: "[-1]"},
		{Name: "no chat", Setup: "SET p:id L", Keys: keys, Args: "L 0 10", Reply: "[0 0 0 '' 0]"},
		{Name: "no checkpoint", Setup: two, Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1 c 5]"},
		{Name: "a head beyond", Setup: two + "HSET done c 4", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1 c 5]"},
		{Name: "the head", Setup: two + "HSET done c 5", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1]"},
		{Name: "a head before", Setup: two + "HSET done c 6", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1]"},
		{Name: "an unreadable checkpoint", Setup: two + "HSET done c x", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1 c 5]"},
		{Name: "a head of 0", Setup: two + "HSET done c 5; HSET p:c:x · 0:0", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1 c 0]"},
		{Name: "a head of 1", Setup: two + "HSET done c 1; HSET p:c:x · 1:0", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1]"},
		{Name: "an unreadable head", Setup: two + "HSET done c 5; HSET p:c:x · x", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1 c -1]"},
		{Name: "no head", Setup: two + "HSET done c 5; DEL p:c:x", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1 c -1]"},
		{Name: "an index of another type", Setup: two + "HSET done c 5; DEL p:c:x; SET p:c:x x", Keys: keys, Args: "L 0 10", Reply: "[0 1 1 2-0 1 c -1]"},
		{Name: "more than one command asks for", Setup: "SET p:id L; " + many.String() + scanned.String() + "; " + all.String(), Keys: keys, Args: "L 0 5000", Reply: "[0 1001 1001 '' 0]"},
		{Name: "checkpoints of another type", Setup: two + "SET done x", Keys: keys, Args: "L 0 10", Reply: "error WRONGTYPE"},
	})
}

func TestScript_SmallWrites(t *testing.T) {
	for script, cases := range map[string][]rig.ScriptCase{
		"identify": {
			{Name: "a first record", Keys: "p:log", Args: "id L level 1", Reply: "[id L level 1]", After: "HGETALL p:log = {id:L level:1}"},
			{Name: "a second record", Setup: "HSET p:log id M", Keys: "p:log", Args: "id L level 1", Reply: "[id M]"},
		},
		"raise": {
			{Name: "all", Setup: "SET p:id a; SET q:id b", Keys: "p:id q:id", Args: "c a b", Reply: "1", After: "MGET p:id q:id = [c c]"},
			{Name: "not all", Setup: "SET p:id a; SET q:id b", Keys: "p:id q:id", Args: "c a a", Reply: "0"},
			{Name: "not the first", Setup: "SET p:id a; SET q:id b", Keys: "p:id q:id", Args: "c b b", Reply: "0"},
			{Name: "one is missing", Setup: "SET p:id a", Keys: "p:id q:id", Args: "c a a", Reply: "0"},
		},
		"probe": {
			{Name: "a write", Setup: "SET p:id L", Keys: "p:id p:w", Args: "L 3600000", Reply: "1", After: "GET p:w = 1; PEXPIRETIME p:w = @1"},
			{Name: "another log", Setup: "SET p:id M", Keys: "p:id p:w", Args: "L 3600000", Reply: "0"},
		},
		"witness": {
			{Name: "the first", Setup: "SET p:id L", Keys: "p:id p:w", Args: "L 0 1 3600", Reply: "1", After: "GET p:w = 1; PEXPIRETIME p:w = @1"},
			{Name: "a later one", Setup: "SET p:id L; SET p:w 2", Keys: "p:id p:w", Args: "L 2 3 3600", Reply: "1", After: "GET p:w = 3; PEXPIRETIME p:w = @1"},
			{Name: "the same", Setup: "SET p:id L; SET p:w 3 PXAT @2", Keys: "p:id p:w", Args: "L 2 3 3600", Reply: "1"},
			{Name: "an earlier one", Setup: "SET p:id L; SET p:w 4 PXAT @2", Keys: "p:id p:w", Args: "L 2 3 3600", Reply: "1"},
			{Name: "older data", Setup: "SET p:id L; SET p:w 1", Keys: "p:id p:w", Args: "L 2 3 3600", Reply: "0"},
			{Name: "unreadable", Setup: "SET p:id L; SET p:w x", Keys: "p:id p:w", Args: "L 2 3 3600", Reply: "0"},
			{Name: "another log", Setup: "SET p:id M; SET p:w 2", Keys: "p:id p:w", Args: "L 2 3 3600", Reply: "-1"},
		},
		"vault_note": {
			{Name: "a first number", Setup: stored("1024:0"), Keys: "p:id p:v", Args: "L $HISTORY c 0 1 c 1024", Reply: "1", After: "HGETALL p:v = {c:1}"},
			{Name: "a further one", Setup: stored("2050:0") + "; HSET p:v c 1", Keys: "p:id p:v", Args: "L $HISTORY c 1 2 c 2048", Reply: "1", After: "HGETALL p:v = {c:2}"},
			{Name: "too few events", Setup: stored("2047:0") + "; HSET p:v c 1", Keys: "p:id p:v", Args: "L $HISTORY c 1 2 c 2048", Reply: "0"},
			{Name: "no chat", Setup: "SET p:id L", Keys: "p:id p:v", Args: "L $HISTORY c 0 1 c 1024", Reply: "0"},
			{Name: "an unreadable head", Setup: stored("x"), Keys: "p:id p:v", Args: "L $HISTORY c 0 1 c 1024", Reply: "0"},
			{Name: "another number", Setup: stored("9999:0") + "; HSET p:v c 3", Keys: "p:id p:v", Args: "L $HISTORY c 1 2 c 2048", Reply: "0"},
			{Name: "any value", Setup: "SET p:id L; HSET p:v h old", Keys: "p:id p:v", Args: "L $HISTORY h '' new '' 0", Reply: "1", After: "HGETALL p:v = {h:new}"},
			{Name: "no change", Setup: "SET p:id L; HSET p:v h old", Keys: "p:id p:v", Args: "L $HISTORY h '' '' '' 0", Reply: "1"},
			{Name: "another history", Setup: "SET p:id L", Keys: "p:id p:v", Args: "L abc h '' new '' 0", Reply: "0"},
			{Name: "another log", Setup: "SET p:id M", Keys: "p:id p:v", Args: "L $HISTORY h '' new '' 0", Reply: "-1"},
			{Name: "no right", Setup: "SET p:id L", Keys: "p:id p:v", Args: "L $HISTORY h '' new '' 0", Without: "info", Reply: rig.NoRight},
		},
		"rule_change": {
			{Name: "a first rule", Setup: "SET p:id L", Keys: "p:id p:h", Args: "L cx '' a", Reply: "1", After: "HGETALL p:h = {cx:a}"},
			{Name: "another rule", Setup: "SET p:id L; HSET p:h cx a cy b", Keys: "p:id p:h", Args: "L cx a c", Reply: "1", After: "HGETALL p:h = {cx:c cy:b}"},
			{Name: "a removal", Setup: "SET p:id L; HSET p:h cx a cy b", Keys: "p:id p:h", Args: "L cx a ''", Reply: "1", After: "HGETALL p:h = {cy:b}"},
			{Name: "given again", Setup: "SET p:id L; HSET p:h cx b", Keys: "p:id p:h", Args: "L cx a b", Reply: "1"},
			{Name: "a removal given again", Setup: "SET p:id L", Keys: "p:id p:h", Args: "L cx a ''", Reply: "1"},
			{Name: "changed meanwhile", Setup: "SET p:id L; HSET p:h cx c", Keys: "p:id p:h", Args: "L cx a b", Reply: "0"},
			{Name: "removed meanwhile", Setup: "SET p:id L", Keys: "p:id p:h", Args: "L cx a b", Reply: "0"},
			{Name: "another log", Setup: "SET p:id M; HSET p:h cx a", Keys: "p:id p:h", Args: "L cx a b", Reply: "-1"},
		},
		"confirm": {
			{Name: "a write", Setup: "SET p:id L; SET p:w 2", Keys: "p:id p:c p:w", Args: "L $HISTORY 2", Reply: "0", After: "GET p:c = 1; TTL p:c = 60"},
			{Name: "no right", Setup: "SET p:id L; SET p:w 2", Keys: "p:id p:c p:w", Args: "L h 2", Without: "info", Reply: rig.NoRight},
		},
		"snapshot": {
			{Name: "no right", Setup: stored("2:2") + "; SET p:w 2", Keys: "p:id p:w", Args: "L c f 2 state h 2", Without: "info", Reply: rig.NoRight},
		},
	} {
		t.Run(script, func(t *testing.T) { rig.RunScript(t, eventlog.Sources()[script], cases) })
	}
}
