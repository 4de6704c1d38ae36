package redis_test

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/tests/redistest"
)

// scriptCase is one call of a script that writes, which uses as many of its write commands as one call can.
type scriptCase struct {
	seed  []string // commands, words separated by |
	keys  string   // separated by spaces
	args  string   // separated by |; $HISTORY is the replication ID, $NOW the time in milliseconds
	uses  []string // commands that come with the arguments
	spare string   // pattern of keys that an incomplete call may leave behind for good, because nothing reads them
	loose bool     // a repeated call may count twice: too much, never too little
}

// segmentOf is the command that stores a full segment of entries "e".
func segmentOf(key string) string { return "RPUSH|" + key + strings.Repeat("|e", 1024) }

// The SHA-1 of events, and of 128 such entries.
const (
	digestOfOne = "4927ce044fedb4d40f27567d77d152884e1650b9" // of {1}
	digestOfTwo = "abcda924c0fa7992a4053dba3dfb226e3671d05c" // of {2}
	digestOf128 = "fa135ab282508a62cc872742ce992d3a32a91435"
)

const ready = "HSET|g|owner||until|0|epoch|5|commit|0|revision|0|position|0-0|passed|0|walk||state|ready"

// scriptCases returns the cases of all scripts that write more than once, by file. append.lua has separate tests.
func scriptCases() map[string][]scriptCase {
	letter := []string{ready, "SET|id|log", "XADD|dead|1-1|chat|c1|seq|7|parked|1", "HSET|left|c1|parked", "HSET|failing|c1|7:5", "HSET|again|1-1|1"}
	const groupKeys, never = "id g cp left failing again dead", "9999999999999"
	return map[string][]scriptCase{
		"cache_invalidate": {
			{seed: []string{`SET|v|{"_cc":{"s":1,"v":3}}`, "SET|l|tok"}, keys: "v l f", args: "5|60000|"},
			{seed: []string{"SET|v|x", "SET|l|tok", "SET|m|y"}, keys: "v l f m", args: "0|60000|"},
		},
		"cache_lease": {
			{keys: "v l", args: "tok|60000|"},
			{seed: []string{"SET|l|other|PX|900000"}, keys: "v l", args: "tok|60000|"},
		},
		"cache_put": {
			{seed: []string{"SET|l|tok "}, keys: "v l f m", args: "tok||1|60000|{}|about|"},
			{seed: []string{"SET|v|x", "SET|m|y", "SET|l|tok"}, keys: "v l f m", args: "||9|60000|||"},
		},
		"activity": {
			{seed: []string{"SET|id|log", "HSET|a|c1|5:1|c2|9:9"}, keys: "id a", args: "log|c1|7|2|||c2|8|8||1|c3|1|1|1|"},
			{seed: []string{"SET|id|log", "SET|a|x"}, keys: "id a", args: "log|c1|7|2||"},
		},
		"previews": {
			{seed: []string{"SET|p:id|log", "HSET|p:c:x| |5:2:0:5|m|5"}, keys: "p:id p:v", args: "log|c|5|5|m|e"},
			{seed: []string{"SET|p:id|log", "HSET|p:c:x| |5:2:0:5|m|5", "SET|p:v|x"}, keys: "p:id p:v", args: "log|c|5|5|m|e"},
		},
		"definition_change": {
			{keys: "d", args: "g||new"},
			{seed: []string{"HSET|d||7|g|old"}, keys: "d", args: "g|old|new"},
			{seed: []string{"HSET|d||7|g|old|h|other"}, keys: "d", args: "g|old|"},
		},
		"confirm":  {{seed: []string{"SET|id|log"}, keys: "id c w", args: "log|$HISTORY|0"}},
		"count":    {{keys: "k", args: "60000", loose: true}},
		"identify": {{keys: "r", args: "log_id|id|partitions|4|ready|0"}},
		"raise": {
			{seed: []string{"SET|id|old", "SET|a|old2"}, keys: "id a", args: "new|old|old2"},
			{seed: []string{"SET|id|old", "SET|a|other"}, keys: "id a", args: "new|old|old2"},
		},
		"rewrite": {{seed: []string{"SET|p:id|log", "HSET|p:c:x| |1025:1", segmentOf("p:c:0"), segmentOf("list")}, keys: "p:id list", args: "log|c|0" + strings.Repeat("|"+digestOf128, 8), spare: "^list$"}},
		"restore": {{seed: []string{"SET|p:id|log"}, keys: "p:id", args: "log|c|0|0|2|e1|e2|2|f|1|2|u||2|1|1|c|1:5"}},
		"lead": {
			{keys: "l", args: "tok|60000"},
			{seed: []string{"SET|l|tok"}, keys: "l", args: "tok|0"},
			{seed: []string{"SET|l|other|PX|900000"}, keys: "l", args: "tok|60000"},
		},
		"limit": {
			{keys: "k", args: "10|60000|1", loose: true},
			{seed: []string{"SET|k|10|PX|50000"}, keys: "k", args: "10|60000|1", loose: true},
			{seed: []string{"SET|k|1"}, keys: "k", args: "10|60000|1", loose: true},
		},
		"limits": {{keys: "a b", args: "window|1|10|60000|gcra|1|10|6", loose: true}},
		"once": {{
			keys: "m a b", args: "60000|2|2|string|string|k|INCR|a|4|hash|hash|f|HINCRBY|b|f|1", uses: []string{"INCR", "HINCRBY"},
		}, {
			seed: []string{"SET|a|1"},
			keys: "m a a b", args: "60000|3|2||||DEL|a|3|set|set||SADD|a|x|3|list|list||RPUSH|b|x", uses: []string{"DEL", "SADD", "RPUSH"},
		}},
		"presence": {
			{keys: "r d s due on", args: "beat|d1|u|90000|300000|300000|ch|{|,"},
			{seed: []string{"HSET|r|d1|1|d2|$SOON| told|1| seen|1| due|$SOON", "ZADD|due|$SOON|u", "SADD|on|u"}, keys: "r d s due on", args: "beat|d3|u|90000|300000|300000|ch|{|,", spare: ` d1:0`},
			{seed: []string{"HSET|r|d1|$SOON| told|1| seen|1| due|$SOON", "ZADD|due|$SOON|u", "SADD|on|u", "SET|d|x"}, keys: "r d s due on", args: "leave|d1|u|90000|300000|300000|ch|{|,", spare: ` d1:0| due:TIME`},
			{seed: []string{"HSET|r|d1|1| told|1| seen|1| due|1", "ZADD|due|1|u", "SADD|on|u", "SET|d|x"}, keys: "r d s due on", args: "expire||u|90000|300000|300000|ch|{|,", spare: `d1:0|due:1 +| *r expires = map\[absent:TIME .*\n`},
		},
		"probe": {{seed: []string{"SET|id|log"}, keys: "id w", args: "log|60000"}},
		"session_close": {
			{seed: []string{"HSET|ss|s1|k1 1 1 " + never + " $NOW " + never, "SET|rec:k1|x"}, keys: "ss", args: "rec:|s1", spare: ` *rec:k1 .*\n`},
			{seed: []string{"HSET|ss|s1|k1 1 1 " + never + " $NOW " + never, "SET|rec:k1|x"}, keys: "ss", args: "rec:|", spare: ` *rec:k1 .*\n`},
		},
		"session_open": {{
			seed: []string{"HSET|ss|s0|k0 1 1 " + never + " $NOW " + never, "SET|rec:k0|x"},
			keys: "rec:k1 ss", args: `s1|k1|rec:|{"u":1|1000000|2000000|1`,
		}},
		"session_use": {
			{seed: []string{`SET|rec:k1|{"_cc":{"id":"s1"}}|PX|90000`, "HSET|ss|s1|k1 1 1 " + never + " 1 " + never}, keys: "rec:k1 ss rec:k2", args: "k1|0|$NOW|k2"},
			{seed: []string{`SET|rec:k1|{"_cc":{"id":"s1"}}`, "HSET|ss|s1|k1 1 1 5 1 9"}, keys: "rec:k1 ss", args: "k1|0|$NOW|", spare: ` *ss = .*\n`},
		},
		"snapshot":    {{seed: []string{"SET|p:id|log", "HSET|p:c:x| |5:1"}, keys: "p:id w", args: "log|c|f|3|snap|$HISTORY|0"}},
		"typing":      {{seed: []string{"ZADD|l|1|old"}, keys: "m l", args: "5000|2000"}},
		"typing_list": {{seed: []string{"ZADD|l|" + never + "|m", "SET|m|true|PX|900000"}, keys: "l", args: "10|5000"}},
		"erase_content": {
			{seed: []string{"SET|p:id|log", "RPUSH|p:c:0|a{1}|{2}", "HSET|p:c:s|m|1", "HSET|h|ubob|[]"}, keys: "p:id h", args: "log|c|c|1|" + digestOfOne + "|{x}|ada|2|" + digestOfTwo + "|{y}|ada"},
		},
		"rule_change": {
			{seed: []string{"SET|p:id|log", "HSET|h|c|a"}, keys: "p:id h", args: "log|c|a|b"},
			{seed: []string{"SET|p:id|log", "HSET|h|c|a"}, keys: "p:id h", args: "log|c|a|"},
		},
		"vault_note": {
			{seed: []string{"SET|p:id|log", "HSET|p:c:x| |1030:1", "HSET|v|c|0"}, keys: "p:id v", args: "log|$HISTORY|c|0|1|c|1024"},
			{seed: []string{"SET|p:id|log"}, keys: "p:id v", args: "log|$HISTORY|h||new||0"},
		},
		"view": {
			{seed: []string{"HSET|v| |log|c|4", "HSET|n|c|1"}, keys: "n v", args: "log|c|5|7|0"},
			{seed: []string{"HSET|v| |log|c|4", "HSET|n|c|1"}, keys: "n v", args: "log|c|5||0"},
			{seed: []string{"HSET|v| |other|c|4", "HSET|n|c|1"}, keys: "n v", args: "log|c|5|7|0"},
			{seed: []string{"HSET|v| |log|c|4", "HSET|n|c|1"}, keys: "n v", args: "log|c|5|7|0|ch|u"},
			{seed: []string{"HSET|v| |log|c|4", "HSET|n|c|1", "HSET|v2| |log|c|4", "HSET|n2|c|1"}, keys: "n v n2 v2", args: "log|c|5|7|0|c|5||0"},
		},
		"witness": {{seed: []string{"SET|id|log"}, keys: "id w", args: "log|0|1|60"}},

		"acquire": {
			{seed: []string{ready, "SET|id|log"}, keys: "id g left failing again stream dead", args: "log|me|60000|1|1000"},
			{seed: []string{ready, "SET|id|log", "HSET|g|owner|other|until|" + never}, keys: "id g left failing again stream dead", args: "log|me|60000||1000"},
		},
		"heartbeat": {
			{seed: []string{ready, "ZADD|ms|1|old|" + never + "|far", "ZADD|declined|1|old"}, keys: "ms g declined", args: "me|60000|60000|s"},
			{seed: []string{ready, "ZADD|ms|" + never + "|me"}, keys: "ms g declined", args: "me|0|60000"},
		},
		"commit": {{
			seed: append(slices.Clone(letter), "HSET|left|c1|behind", "XADD|dead|2-2|chat|c2"), keys: "id g cp left failing again dead stream shared",
			args: "log|5|1|60000||2||0|1|c1|7|2|c1||c2|behind|1|c1||1|1-1|2|0|9-9|||4|chat|c1|seq|7||2-2|1 1 0 refused|0",
		}},
		"fsck_fix": {
			{
				seed: []string{"SET|p:id|log", "HSET|p:c:x| |5:1|a|1", "HSET|p:c:u|eve|", "RPUSH|p:c:0|x", "ZADD|p:c:d|2|2"}, keys: "p:id stream",
				args: "log|c|c|5:1|1|6|h|x|b|-|+2|h|x|a|+1|-|l|0|0|+x|+y|z|d|3|-|+3|z|d|2|+2|-|h|x| |+5:1|+6:1|1|e|m|{}|6", loose: true,
			},
			{seed: []string{"SET|p:id|log", "HSET|p:c:x| |5:1| #u|9| #d|9"}, keys: "p:id stream", args: "log|c|c||1|0|0"},
		},
		"fsck_list": {{seed: []string{"SET|p:id|log"}, keys: "p:id", args: "log|c|1"}},
		"fsck_mark": {
			{seed: append(slices.Clone(letter), "HSET|cp|c1|9"), keys: groupKeys, args: "log|c1|9|parked|6|1-1", loose: true},
		},
		"fsck_stream": {{seed: []string{"SET|p:id|log", "HSET|p:c:x| |5:1", "XADD|stream|1-1|payload|{}"}, keys: "p:id stream", args: "log|c|0|8|9|1-1|{}"}},
		"fsck_view": {
			{seed: []string{"HSET|v| |log|c|4| #|1", "HSET|n|c|1"}, keys: "n v", args: "log|c|4|1|5|7"},
			{seed: []string{"HSET|v| |log|c|4| #|1", "HSET|n|c|1"}, keys: "n v", args: "log|c|4|1|5|7|ch|u"},
			{seed: []string{"HSET|v| |log|c|4| #|1", "HSET|n|c|1"}, keys: "n v", args: "log|c|4|1|5|"},
			{seed: []string{"HSET|v| |log|c|4| #|7", "HSET|n|c|1"}, keys: "n v", args: "log||||0|"},
		},
		"create": {
			{seed: []string{"SET|id|log"}, keys: "id g gs stream", args: "log|name||||"},
			{seed: []string{"SET|id|log", "XADD|stream|1-1|f|v", "XADD|stream|3-1|f|v"}, keys: "id g gs stream", args: "log|name||2|1|(3-1"},
		},
		"seed_checkpoints": {{seed: []string{"SET|id|log", "HSET|g|state|new"}, keys: "id g cp", args: "log|1|c1|5|c2|6"}},
		"rebuild": {{
			seed: append(slices.Clone(letter), "HSET|cp|c1|6"), keys: groupKeys, args: "log",
		}},
		"release": {{seed: []string{ready}, keys: "g", args: "5|0"}},
		"resolve": {
			{seed: letter, keys: groupKeys, args: "log|1-1|drop"},
			{seed: letter, keys: groupKeys, args: "log|1-1|retry"},
			{seed: append(slices.Clone(letter), "DEL|left"), keys: groupKeys, args: "log|1-1|drop"},
			{seed: append(slices.Clone(letter), "DEL|left", "DEL|again"), keys: groupKeys, args: "log|1-1|retry"},
			{
				seed: []string{ready, "SET|id|log", "XADD|dead|1-1|entry|5-5|_watermill_message_uuid|u|payload|{}"},
				keys: groupKeys + " stream", args: "log|1-1|retry",
			},
		},
		"erase": {
			{
				seed: []string{"SET|id|log", "SADD|gs|a", "HSET|ga|position|1-0|walk||revision|3", "XADD|stream|1-0|chat|c|seq|7", "XADD|stream|2-0|chat|c|seq|8", "XADD|stream|3-0|chat|c|seq|9"},
				keys: "id stream gs copy hiding", args: "log|g|||10|c|8", spare: `  copy expires = .*\n`, loose: true, // a group behind the stream finds the gap and reads from the log
			},
		},
		"trim": {{
			seed: []string{"SET|id|log", "SADD|gs|g", "HSET|g|position|1-0", "EVAL|for i=1,300 do redis.call('XADD',KEYS[1],i..'-0','f','v') end return 1|1|stream"},
			keys: "id stream gs", args: "log||10", loose: true, // a partition's owner detects trimmed entries itself
		}},
	}
}

// TestScripts_AreTruthfulWithoutARight revokes each command of each script in turn. A successful call has written everything. A failed call has
// written nothing, or a part that the same call completes later.
func TestScripts_AreTruthfulWithoutARight(t *testing.T) {
	server := redistest.Start(t)
	admin := rig.Connect(t, server.URL())
	setUser(t, admin, "~*", "&*", "+@all")
	user := rig.Connect(t, asCore(server))
	cases := scriptCases()
	for _, folder := range []string{"*/script/*.lua", "../pubsub/redisgroup/script/*.lua"} {
		found := luaCommands(t, folder)
		for _, file := range slices.Sorted(maps.Keys(found)) {
			name := strings.TrimSuffix(filepath.Base(file), ".lua")
			source := luaSource(t, file)
			elsewhere := []string{"append", "send", "erase_message", "take"} // have tests of their own
			if len(cases[name]) == 0 && !slices.Contains(elsewhere, name) && slices.ContainsFunc(found[file], writes) {
				t.Errorf("%s writes and has no case", file)
			}
			done := make(map[string]bool)
			for i, c := range cases[name] {
				for _, command := range append(slices.Clone(found[file]), c.uses...) {
					t.Run(fmt.Sprintf("%s/%d/%s", name, i, command), func(t *testing.T) {
						done[command] = scriptWithout(t, admin, user, source, c, command) || done[command]
					})
				}
			}
			for command, needed := range done {
				if !needed && writes(command) {
					t.Errorf("no case of %s needs %s", file, command)
				}
			}
		}
	}
}

// writes reports whether a command changes something.
func writes(command string) bool {
	return regexp.MustCompile(`^(SET|SETNX|DEL|UNLINK|INCR|INCRBY|DECRBY|P?EXPIRE|RENAME|HSET|HSETNX|HDEL|HINCRBY|LSET|RPUSH|SADD|SREM|ZADD|ZREM|ZREMRANGEBYSCORE|XADD|XDEL|XSETID|XTRIM)$`).MatchString(command)
}

// scriptWithout reports whether the call needs the command.
func scriptWithout(t *testing.T, admin, user goredis.UniversalClient, source string, c scriptCase, command string) (needed bool) {
	history := regexp.MustCompile(`master_replid:(\w+)`).FindStringSubmatch(admin.Info(t.Context(), "replication").Val())[1]
	now := time.Now().UnixMilli()
	fill := strings.NewReplacer("$HISTORY", history, "$NOW", strconv.FormatInt(now, 10), "$SOON", strconv.FormatInt(now+80000, 10))
	words := func(line string) (list []any) {
		for word := range strings.SplitSeq(fill.Replace(line), "|") {
			list = append(list, word)
		}
		return list
	}
	seed := func() {
		if err := admin.FlushAll(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
		for _, line := range c.seed {
			if err := admin.Do(t.Context(), words(line)...).Err(); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}
	}
	call := func(client goredis.UniversalClient) error {
		err := client.Eval(t.Context(), source, strings.Fields(c.keys), words(c.args)...).Err()
		if err == goredis.Nil { //nolint:errorlint // an empty reply
			return nil
		}
		return err
	}
	seed()
	before := rig.State(t, admin)
	if err := call(admin); err != nil {
		t.Fatalf("with all rights: %v", err)
	}
	clean := rig.State(t, admin)

	seed()
	setUser(t, admin, "~*", "&*", "+@all", "-"+command)
	defer setUser(t, admin, "~*", "&*", "+@all")
	err := call(user)
	after := rig.State(t, admin)
	switch {
	case err == nil && after != clean:
		t.Errorf("it answered, and left\n%swant\n%s", after, clean)
	case err == nil || after == before:
		return err != nil
	}
	if err := call(admin); err != nil {
		t.Errorf("the same call with all rights: %v", err)
	}
	spared := func(state string) string {
		return regexp.MustCompile(cmp.Or(c.spare, "$^")).ReplaceAllString(state, "")
	}
	clean = spared(clean)
	if again := spared(rig.State(t, admin)); !c.loose && again != clean {
		t.Errorf("half done, and the same call completes it to\n%swant\n%s", again, clean)
	} else if c.loose && strings.Count(again, "expires") < strings.Count(clean, "expires") {
		t.Errorf("something no longer expires:\n%swant\n%s", again, clean)
	}
	return true
}
