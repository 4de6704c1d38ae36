package eventlog_test

import (
	"crypto/sha1" //nolint:gosec // the digest of the script
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

// ofLevel3 stores the id of a log at level 3.
const ofLevel3 = "EVAL return·redis.call('SET',KEYS[1],table.concat({'L',3,'1','h',''},string.char(59))) 1 p:id"

// erasureOf erases a message of ada in the chat c, which was sent at a seq of the first segment with the event {SEQ}.
func erasureOf(m string, seq int) string {
	digest := sha1.Sum(fmt.Appendf(nil, "{%d}", seq)) //nolint:gosec // see the import
	event := func(id string) string {
		return fmt.Sprintf(`%s-%s {} {"eventId":"%s-%s","seq": } body-%s`, id, m, id, m, id)
	}
	return fmt.Sprintf(`1 c p:c %s ada %d 0 %d %s {"erased":%d} %s %s '' '' 0`, m, seq, seq-1, hex.EncodeToString(digest[:]), seq, event("d"), event("z"))
}

// erasures is the arguments of a batch of erasures, on the channels cd and ce.
func erasures(commands ...string) string {
	return "L;3;1;h; $HISTORY '' 1000 cd 0 p:live ce " + strings.Join(commands, " ")
}

// erasable is a chat with so many events, of which the second one is the message m, and the others are no events.
func erasable(head int) string {
	return segments(head) + fmt.Sprintf("; %s; LSET p:c:0 1 {2}; HSET p:c:x · %d:1:0:2 m 2 ·c 1 ·uada 1", ofLevel3, head)
}

// TestScript_EraseMessage erases messages with the script of plain erasures.
func TestScript_EraseMessage(t *testing.T) {
	chat := ofLevel3 + "; RPUSH p:c:0 c1 {2} r2p2{3}; HSET p:c:x · 3:2:0:3 m 2 n 3 ·c 1 ·uada 1"
	var cases []rig.ScriptCase
	add := func(name, setup, args, reply, after string) {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: setup, Keys: sendKeys, Args: args, Reply: reply, After: after})
	}
	one := erasures(erasureOf("m", 2))
	const compact = "m2{\x02d2:body-d m4{\x02z2:body-z"
	done := `LRANGE p:c:0 0 -1 = [c1 {"erased":2} r2p2{3} ` + compact + "]; HGETALL p:c:x = {m:5:3:2 n:3 ·:5:2:1:3 ·c:1 ·uada:1}; ZRANGE p:c:d 0 -1 = [2]; XLEN stream = 2"
	add("a message", chat, one, "5:2:1:3", done)
	add("no channel", chat, strings.NewReplacer(" cd ", " '' ", " ce ", " '' ").Replace(one), "5:2:1:3", done)
	add("two messages", chat, erasures(erasureOf("m", 2), erasureOf("n", 3)), "5:2:1:3\n7:2:2:3",
		`LRANGE p:c:0 0 -1 = [c1 {"erased":2} r2p2{"erased":3} `+compact+" m3{\x02d2:body-d m6{\x02z2:body-z]; HGETALL p:c:x = {m:5:3:2 n:7:3:3 ·:7:2:2:3 ·c:1 ·uada:1}; ZRANGE p:c:d 0 -1 = [2 3]; XLEN stream = 4")
	add("JSON", chat, strings.NewReplacer("body-d", "''", "body-z", "''").Replace(one), "5:2:1:3",
		"LRANGE p:c:0 3 -1 = ["+appendedJSON("m2", "d-m", 4, 2)+" "+appendedJSON("m4", "z-m", 5, 2)+"]; HGET p:c:x m = 5:3:2")
	add("tombstones of others", chat+"; ZADD p:c:d 1 1; HSET p:c:x · 3:2:1:3", one, "5:2:2:3", "ZRANGE p:c:d 0 -1 = [1 2]; HGET p:c:x · = 5:2:2:3")
	add("a view of the chat", chat+"; HSET p:previews c x d y", one, "5:2:1:3", "HGETALL p:previews = {d:y}; HGET p:c:x · = 5:2:1:3")
	add("views of another type", chat+"; SET p:previews x", one, "5:2:1:3", "GET p:previews = x; HGET p:c:x · = 5:2:1:3")
	add("holds and snapshots of others", chat+"; HSET p:holds cx [] ub [] c [] uc []; HSET p:c:s n 3 =n state", one, "5:2:1:3", done)
	add("a long stream", chat+"; EVAL for·i=1,500·do·redis.call('XADD',KEYS[1],'*','f','v')·end·return·1 1 stream", strings.Replace(one, " 1000 ", " 100 ", 1), "5:2:1:3", "XLEN stream = 102")
	for head, pad := range map[int]int{125: 0, 126: 1, 127: 1, 128: 0, 254: 1} {
		add(fmt.Sprint("a pad after ", head), erasable(head), one, fmt.Sprintf("%d:1:1:2", head+2), fmt.Sprintf("HSTRLEN p:c:x ·#p = %d; HGET p:c:x m = %d:3:2", 65*pad, head+2))
	}
	add("the end of a segment", erasable(1022), one, "1024:1:1:2", "LLEN p:c:0 = 1024; EXISTS p:c:1 = 0; LINDEX p:c:0 1 = {\"erased\":2}")
	add("a later segment", erasable(1030), one, "1032:1:1:2", "LLEN p:c:0 = 1024; LINDEX p:c:0 1 = {\"erased\":2}; LLEN p:c:1 = 8; LINDEX p:c:1 7 = m1031{\x02z1:body-z")
	second := erasable(1030) + "; LSET p:c:0 1 e2; LSET p:c:1 1 m1{2}; HSET p:c:x m 1026"
	add("in a later segment", second, strings.Replace(one, " ada 2 0 1 ", " ada 1026 1 1 ", 1), "1032:1:1:2", "LRANGE p:c:1 0 1 = [e1025 m1{\"erased\":2}]; HGET p:c:x m = 1032:3:1026; ZRANGE p:c:d 0 -1 = [1026]")

	// Conditions.
	met := chat + "; HSET p:c:x ·ubob 2 ·ucyd 2:5:1"
	conditions := func(rest string) string { return strings.TrimSuffix(one, "0") + rest }
	recorded := strings.TrimSuffix(one, "'' '' 0") + "·kcmd ab 1 ·kcmd 0"
	add("a recorded command", chat, recorded, "5:2:1:3", "HGETALL p:c:x = {m:5:3:2 n:3 ·:5:2:1:3 ·c:1 ·kcmd:5:2:ab ·uada:1}")
	add("a recorded command, and a pad", erasable(127), recorded, "129:1:1:2", "HGET p:c:x ·kcmd = 129:2:ab; HSTRLEN p:c:x ·#p = 65")
	add("left/a command that is recorded", chat+"; HSET p:c:x ·kcmd 2:1:ab", recorded, "?", "")
	add("conditions", met, conditions("4 ·ubob ·ucyd n ·udan 2 2 ! 0"), "5:2:1:3", "HGET p:c:x m = 5:3:2; HGET p:c:x ·ubob = 2")
	add("conditions, and another message", met, conditions("1 ·ubob 2")+" "+erasureOf("n", 3), "5:2:1:3\n7:2:2:3", "HGET p:c:x n = 7:3:3; ZRANGE p:c:d 0 -1 = [2 3]")
	for name, rest := range map[string]string{
		"another version": "1 ·ubob 1", "another version of an entity that moved again": "1 ·ucyd 1", "none": "1 ·udan 2", "one that must not exist": "1 ·ubob 0",
		"none that must exist": "1 ·udan !", "the last one": "2 n ·ubob ! 1", "the first one": "2 ·ubob n 1 !",
	} {
		add("left/a condition that does not hold: "+name, met, conditions(rest), "?", "")
	}

	// Commands that are left to append.lua, and those after them.
	for name, setup := range map[string]string{
		"no chat": "DEL p:c:x p:c:0", "no head": "HDEL p:c:x ·", "an unreadable head": "HSET p:c:x · x", "a head of level 2": "HSET p:c:x · 3:2", "an empty head": "HSET p:c:x · 0:0:0:0",
		"no message": "HDEL p:c:x m", "a message that moved": "HSET p:c:x m 3", "a message that moved again": "HSET p:c:x m 3:2:2", "an unreadable message": "HSET p:c:x m x",
		"another event": "LSET p:c:0 1 {x}", "no event": "LSET p:c:0 1 c", "no entry": "DEL p:c:0",
		"a hold of the log": "HSET p:holds '' []", "a hold of the chat": "HSET p:holds cc []", "a hold of the sender": "HSET p:holds uada []", "holds of another type": "SET p:holds x",
		"a snapshot": "HSET p:c:s m 2 =m state", "snapshots of another type": "SET p:c:s x",
		"fewer tombstones": "HSET p:c:x · 3:2:1:3", "more tombstones": "ZADD p:c:d 1 1", "tombstones of another type": "SET p:c:d x", "a tombstone of the message": "ZADD p:c:d 2 2; HSET p:c:x · 3:2:1:3",
		"a tombstone of the message with another score": "ZADD p:c:d 9 2; HSET p:c:x · 3:2:1:3",
		"an index of another type":                      "DEL p:c:x; SET p:c:x x", "a segment of another type": "DEL p:c:0; SET p:c:0 x", "a stream of another type": "SET stream x",
		"a long segment": "RPUSH p:c:0 x", "a short segment": "RPOP p:c:0",
	} {
		add("left/"+name, chat+"; "+setup, one, "?", "")
	}
	for _, head := range []int{1023, 1024} {
		add(fmt.Sprint("left/a new segment after ", head), erasable(head), one, "?", "")
	}
	other := strings.Replace(erasureOf("m", 2), " c p:c ", " d p:d ", 1)
	add("left, and a later command of the chat", chat+"; HSET p:c:x m 3", erasures(erasureOf("m", 2), other, erasureOf("n", 3)), "?\n?\n?", "")
	add("left, and one of another chat", chat+"; HSET p:c:x m 3; RPUSH p:d:0 x {2}; HSET p:d:x · 2:1:0:2 m 2", erasures(erasureOf("m", 2), other, erasureOf("n", 3)), "?\n4:1:1:2\n?",
		"HGET p:d:x m = 4:3:2; HGET p:c:x · = 3:2:0:3; XLEN stream = 2; ZRANGE p:d:d 0 -1 = [2]")
	inSecond := strings.Replace(other, "1 d p:d ", "2 d q:d ", 1)
	cases = append(cases, rig.ScriptCase{
		Name: "two partitions, and one trim", Setup: chat + "; " + strings.Replace(ofLevel3, "p:id", "q:id", 1) + "; RPUSH q:d:0 x {2}; HSET q:d:x · 2:1:0:2 m 2; HSET q:previews d x; EVAL for·i=1,500·do·redis.call('XADD',KEYS[1],'*','f','v')·end·return·1 1 second",
		Keys: "p:id p:w q:id q:w p:fence:token stream second", Args: strings.Replace(erasures(erasureOf("m", 2), inSecond), "1000 cd 0 p:live", "100 cd 0 p:live 0 q:live", 1),
		Reply: "5:2:1:3\n4:1:1:2", After: "XLEN stream = 2; XLEN second = 502; HGET q:d:x m = 4:3:2; EXISTS q:previews = 0",
	})
	cases = append(cases, rig.ScriptCase{
		Name: "a hold in the second partition", Setup: chat + "; " + strings.Replace(ofLevel3, "p:id", "q:id", 1) + "; RPUSH q:d:0 x {2}; HSET q:d:x · 2:1:0:2 m 2; HSET q:holds cd []",
		Keys: "p:id p:w q:id q:w p:fence:token stream second", Args: strings.Replace(erasures(erasureOf("m", 2), inSecond), "cd 0 p:live", "cd 0 p:live 0 q:live", 1),
		Reply: "5:2:1:3\n?", After: "XLEN stream = 2; HGET q:d:x m = 2",
	})

	// The whole batch.
	add("a fence", chat+"; SET p:fence:token 1", one, "-2", "")
	add("another log", chat+"; SET p:id M", one, "-1·1", "")
	add("another history", chat, strings.Replace(one, "$HISTORY", "abc", 1), "-3·…", "")
	add("a witness that is behind", chat+"; SET p:w 4", strings.Replace(one, " 0 p:live", " 5 p:live", 1), "-5·1", "")
	rig.RunScript(t, eventlog.Sources()["erase_message"], cases)
}

// TestScript_EraseMessageAnnounces has the publications and announcements of erasures.
func TestScript_EraseMessageAnnounces(t *testing.T) {
	chat := ofLevel3 + "; RPUSH p:c:0 c1 {2}; HSET p:c:x · 2:1:0:2 m 2; XADD stream 99999999999999-7 f v"
	deletion, erasure := appendedJSON("", "d-m", 3, 1), appendedJSON("", "z-m", 4, 1)
	args := strings.Replace(erasures(erasureOf("m", 2)), " '' 1000 ", " PUBLISH 1000 ", 1)
	both := announced(entryAfter(0), line(entryAfter(1), 3, "c", deletion), line(entryAfter(2), 4, "c", erasure))
	cases := []rig.ScriptCase{
		{Name: "announced", Subscribed: "p:live", Reply: "4:1:1:2", Heard: "cd " + deletion + ";ce " + erasure + ";" + both, After: "XLEN stream = 3"},
		{Name: "no subscriber", Without: "xrevrange", Reply: "4:1:1:2", Heard: "cd " + deletion + ";ce " + erasure + ";", After: "XLEN stream = 3"},
		{Name: "left", Subscribed: "p:live", Setup: "; HSET p:c:x m 1", Reply: "?", Heard: rig.NoMessage},
		{Name: "XREVRANGE is refused", Subscribed: "p:live", Without: "xrevrange", Reply: "?", Heard: rig.NoMessage},
		{Name: "PUBLISH is refused", Subscribed: "p:live", Without: "publish", Reply: "4:1:1:2\n!·3·…", Heard: rig.NoMessage, After: "XLEN stream = 3"},
	}
	for i := range cases {
		cases[i].Setup, cases[i].Keys, cases[i].Args = chat+cases[i].Setup, sendKeys, args
	}
	rig.RunScript(t, eventlog.Sources()["erase_message"], cases)
}

// TestScript_EraseMessageWithoutRights erases as a user without one of the rights. The script reverts the writes of the command.
func TestScript_EraseMessageWithoutRights(t *testing.T) {
	chat := ofLevel3 + "; RPUSH p:c:0 c1 {2}; HSET p:c:x · 2:1:0:2 m 2; XADD stream 99999999999999-7 f v; HSET p:previews c x"
	const log = "LRANGE p:c:0 0 -1 = [c1 {2}]; HGETALL p:c:x = {m:2 ·:2:1:0:2}; EXISTS p:c:d = 0; XLEN stream = 1; HGET p:previews c = x"
	half := func(entries string, tombstones, added int) string {
		return fmt.Sprintf("LRANGE p:c:0 0 -1 = [%s]; HGETALL p:c:x = {m:2 ·:2:1:0:2}; ZCARD p:c:d = %d; XLEN stream = %d; HGET p:previews c = x", entries, tombstones, 1+added)
	}
	const more = " m2{\x02d1:body-d m3{\x02z1:body-z"
	var cases []rig.ScriptCase
	for _, c := range []rig.ScriptCase{
		{Name: "mget", Reply: rig.NoRight},
		{Name: "info", Reply: rig.NoRight},
		{Name: "hmget", Reply: "?"},
		{Name: "lindex", Reply: "?"},
		{Name: "hexists", Reply: "?"},
		{Name: "zcard", Reply: "?"},
		{Name: "zadd", Reply: "?"},
		{Name: "rpush", Reply: "?", After: log},
		{Name: "lset", Reply: "?", After: log},
		{Name: "xadd", Reply: "?", After: log},
		{Name: "hset", Reply: "?", After: log},
		{Name: "hdel", Reply: "4:1:1:2", After: "HGET p:previews c = x; HGET p:c:x m = 4:3:2"},
		{Name: "publish", Reply: "4:1:1:2\n!·2·…", After: "HGET p:c:x m = 4:3:2; EXISTS p:previews = 0"},
		{Name: "rpush zrem", Reply: "-4·…", After: half("c1 {2}", 1, 0)},
		{Name: "lset ltrim", Reply: "-4·…", After: half("c1 {2}"+more, 1, 0)},
		{Name: "xadd zrem", Reply: "-4·…", After: half("c1 {2}", 1, 0)},
		{Name: "hset xdel", Reply: "-4·…", After: half(`c1 {"erased":2}`+more, 1, 2)},
		{Name: "hset ltrim", Reply: "-4·…", After: half("c1 {2}"+more, 1, 0)},
		{Name: "hset zrem", Reply: "-4·…", After: half("c1 {2}", 1, 0)},
	} {
		c.Without = c.Name
		c.Setup, c.Keys, c.Args = chat, sendKeys, erasures(erasureOf("m", 2))
		cases = append(cases, c)
	}
	cases = append(cases, rig.ScriptCase{
		Name: "zrem, and a long segment", Setup: chat + "; RPUSH p:c:0 x", Keys: sendKeys, Args: erasures(erasureOf("m", 2)), Without: "zrem",
		Reply: "-4·the·last·segment·does·not·end·at·the·head", After: half("c1 {2} x", 1, 0),
	})
	rig.RunScript(t, eventlog.Sources()["erase_message"], cases)
}
