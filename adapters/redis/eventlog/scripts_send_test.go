package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

const sendKeys = "p:id p:w p:fence:token stream"

// ofAda is a send of a message by ada to the chat c, whose chat and sender have version 1.
func ofAda(id string) string {
	return fmt.Sprintf(`1 c p:c typing ·uada %s ·rada 1 1 e-%s {} {"eventId":"e-%s","seq": } `, id, id, id) + "body-" + id
}

// sends is the arguments of a batch of sends, on the channel ch.
func sends(commands ...string) string {
	return "L $HISTORY '' 1000 ch 0 p:live " + strings.Join(commands, " ")
}

// richly is the same batch at level 3.
func richly(args string) string { return strings.Replace(args, "L ", "L;3;1;h; ", 1) }

// sendable is a chat with so many events, of which the first one moved chat and ada.
func sendable(head int) string {
	return segments(head) + fmt.Sprintf("; HSET p:c:x · %d:%d ·c 1 ·uada 1", head, head-1)
}

func TestScript_Send(t *testing.T) {
	chat := sendable(2)
	compact := "EVAL return·redis.call('SET',KEYS[1],table.concat({'L',3,'1','h',''},string.char(59))) 1 p:id; RPUSH p:c:0 a b; HSET p:c:x · 2:1:4:2 ·c 1 ·uada 1"
	var cases []rig.ScriptCase
	add := func(name, setup, args, reply, after string) {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: setup, Keys: sendKeys, Args: args, Reply: reply, After: after})
	}
	first, second := appendedJSON("", "e-m", 3, 2), appendedJSON("r3", "e-n", 4, 3)
	add("a message", chat, sends(ofAda("m")), "3:2", "HGETALL p:c:x = {m:3 ·:3:2 ·c:1 ·rada:3 ·uada:1}; LINDEX p:c:0 2 = "+first+"; XLEN stream = 1; EXISTS p:fence:token p:c:1 = 0")
	add("two messages", chat, sends(ofAda("m"), ofAda("n")), "3:2\n4:3", "HGETALL p:c:x = {m:3 n:4 ·:4:3 ·c:1 ·rada:4 ·uada:1}; LRANGE p:c:0 2 -1 = ["+first+" "+second+"]; XLEN stream = 2")
	add("typing", chat+"; SET typing 1", sends(ofAda("m"), ofAda("n")), "3:2!\n4:3", "EXISTS typing = 0; XLEN stream = 2")
	add("a typing mark of another type", chat+"; HSET typing f v", sends(ofAda("m")), "3:2!", "EXISTS typing = 0")
	add("no typing mark to remove", chat+"; SET typing 1", strings.Replace(sends(ofAda("m")), " typing ", " '' ", 1), "3:2", "EXISTS typing = 1")
	add("no channel", chat, strings.Replace(sends(ofAda("m")), " ch ", " '' ", 1), "3:2", "XLEN stream = 1")
	add("a chat and a sender that moved before", chat+"; HSET p:c:x ·c 1:2:1 ·uada 1:9:1", sends(ofAda("m")), "3:2", "HGET p:c:x ·c = 1:2:1; HGET p:c:x · = 3:2")
	add("a read mark", chat+"; HSET p:c:x ·rada 2", sends(ofAda("m")), "3:2", "LINDEX p:c:0 2 = "+appendedJSON("r2", "e-m", 3, 2)+"; HGET p:c:x ·rada = 3")
	add("a read mark that nothing has moved", chat+"; HSET p:c:x ·rada 0", sends(ofAda("m")), "3:2", "LINDEX p:c:0 2 = "+first)
	for head, pad := range map[int]int{126: 0, 127: 1, 128: 0, 255: 1} {
		add(fmt.Sprint("a pad after ", head), sendable(head), sends(ofAda("m")), fmt.Sprintf("%d:%d", head+1, head), fmt.Sprintf("HSTRLEN p:c:x ·#p = %d; HGET p:c:x m = %d", 65*pad, head+1))
	}
	add("the end of a segment", sendable(1023), sends(ofAda("m"), ofAda("n")), "1024:1023\n?", "LLEN p:c:0 = 1024; EXISTS p:c:1 = 0; HGET p:c:x · = 1024:1023")
	add("a second segment", sendable(1025), sends(ofAda("m")), "1026:1025", "LLEN p:c:0 = 1024; LLEN p:c:1 = 2")
	add("a long stream", chat+"; EVAL for·i=1,500·do·redis.call('XADD',KEYS[1],'*','f','v')·end·return·1 1 stream", strings.Replace(sends(ofAda("m")), " 1000 ", " 100 ", 1), "3:2", "XLEN stream = 101")

	// Level 3.
	add("level 3", compact, richly(sends(ofAda("m"), ofAda("n"))), "3:2:4:3\n4:3:4:4",
		"HGETALL p:c:x = {m:3 n:4 ·:4:3:4:4 ·c:1 ·rada:4:4:3 ·uada:1}; LRANGE p:c:0 2 -1 = [p2{\x02n2:body-m r3p3{\x02n3:body-n]; XLEN stream = 2")
	add("level 3, no message before", compact+"; HSET p:c:x · 2:1:0:0 ·rada 0:1:0", richly(sends(ofAda("m"))), "3:2:0:3", "LINDEX p:c:0 2 = {\x02n2:body-m; HGET p:c:x ·rada = 3:3:2")
	add("level 3, a mark without a base", compact+"; HSET p:c:x ·rada 2", richly(sends(ofAda("m"))), "3:2:4:3", "LINDEX p:c:0 2 = r2p2{\x02n2:body-m")
	add("level 3, JSON", compact, strings.Replace(richly(sends(ofAda("m"))), "body-m", "''", 1), "3:2:4:3", "LINDEX p:c:0 2 = "+appendedJSON("p2", "e-m", 3, 2))

	// Messages with further conditions, and those that move more.
	more := func(command, rest string) string { return richly(sends(command + " " + rest)) }
	inThread := strings.Replace(ofAda("m"), " ·rada ", " '' ", 1)
	met := compact + "; HSET p:c:x ·ubob 2 ·ucyd 2:5:1 q 1"
	add("conditions", met, more(ofAda("m"), "+d`2:2:!:0 ·ubob ·ucyd q ·udan"), "3:2:4:3", "HGET p:c:x m = 3; LINDEX p:c:0 2 = p2{\x02n2:body-m; HGET p:c:x ·ubob = 2")
	for name, rest := range map[string]string{
		"another version": "+a`1 ·ubob", "another version of an entity that moved again": "+a`1 ·ucyd", "none": "+a`2 ·udan", "one that must not exist": "+a`0 ·ubob",
		"none that must exist": "+a`! ·udan", "the last one": "+b`!:1 q ·ubob", "the first one": "+b`1:! ·ubob q",
	} {
		add("left/a condition that does not hold: "+name, met, more(ofAda("m"), rest), "?", "")
	}
	for _, entry := range []string{"x", "2:x", "0:-"} {
		add("left/an unreadable condition "+entry, compact+"; HSET p:c:x ·ubob "+entry, more(ofAda("m"), "+a`! ·ubob"), "?", "")
	}
	add("it moves more", compact+"; HSET p:c:x ·nt 2 ·l 2:254:1 ·rada 2:1:0", more(ofAda("m"), "+`c ·nt ·l ·tq"), "3:2:4:3",
		"LINDEX p:c:0 2 = r2n2l2p2{\x02n2:body-m; HGETALL p:c:x = {m:3 ·:3:2:4:3 ·c:1 ·l:3:255:1 ·nt:3:2:2 ·rada:3:3:2 ·tq:3 ·uada:1}")
	add("conditions, and it moves more", met+" ·nt 1", more(ofAda("m"), "+aa2 ·ubob ·nt")+" "+ofAda("n"), "3:2:4:3\n4:3:4:4", "HGET p:c:x ·nt = 3:2:1; LINDEX p:c:0 2 = n1p2{\x02n2:body-m; HGET p:c:x ·ubob = 2; HGET p:c:x n = 4")
	add("in a thread alone", compact+"; HSET p:c:x ·tq 2 ·rada 2:1:0", more(inThread, "+`b ·tq ·l"), "3:1:4:2",
		"LINDEX p:c:0 2 = t2{\x02t1:body-m; HGETALL p:c:x = {m:3 ·:3:1:4:2 ·c:1 ·l:3 ·rada:2:1:0 ·tq:3:2:2 ·uada:1}; XLEN stream = 1")
	add("in a thread alone, moving nothing", compact, more(inThread, "+``"), "3:1:4:2", "HGETALL p:c:x = {m:3 ·:3:1:4:2 ·c:1 ·uada:1}; HEXISTS p:c:x '' = 0")
	add("in a thread alone, JSON", compact+"; HSET p:c:x ·tq 2", strings.Replace(more(inThread, "+`a ·tq"), "body-m", "''", 1), "3:1:4:2", "LINDEX p:c:0 2 = "+appendedJSON("t2", "e-m", 3, 1))
	add("in a thread alone, with a pad", strings.Replace(sendable(127), "127:126 ·", "127:126:0:127 ·", 1)+"; EVAL return·redis.call('SET',KEYS[1],table.concat({'L',3,'1','h',''},string.char(59))) 1 p:id",
		more(inThread, "+`a ·tq"), "128:126:0:127", "HSTRLEN p:c:x ·#p = 65; HGET p:c:x ·tq = 128")
	for _, entry := range []string{"x", "2:x:1", "0:-", "2:255:1"} {
		add("left/it moves what append.lua has to move: "+entry, compact+"; HSET p:c:x ·l "+entry, more(ofAda("m"), "+`b ·tq ·l"), "?", "")
	}
	add("left/in a thread, below level 3", chat, sends(inThread+" +`a ·tq"), "?", "")

	// Commands that are left to append.lua, and those after them.
	left := map[string]string{
		"no chat": "SET p:id L", "an unreadable head": chat + "; HSET p:c:x · x", "an empty head": chat + "; HSET p:c:x · 0:0", "no head": chat + "; HDEL p:c:x ·", "a head of level 3": chat + "; HSET p:c:x · 2:1:0:2",
		"a chat that moved": chat + "; HSET p:c:x ·c 2", "a chat that moved again": chat + "; HSET p:c:x ·c 2:2:1", "an unreadable chat": chat + "; HSET p:c:x ·c 1:x", "no entry of the chat": chat + "; HDEL p:c:x ·c",
		"a sender that moved": chat + "; HSET p:c:x ·uada 2", "a sender that moved again": chat + "; HSET p:c:x ·uada 2:2:1", "an unreadable sender": chat + "; HSET p:c:x ·uada 1:x", "no member": chat + "; HDEL p:c:x ·uada",
		"a message that exists": chat + "; HSET p:c:x m 2 n 2", "an unreadable read mark": chat + "; HSET p:c:x ·rada x", "a new segment": sendable(1024),
		"an index of another type": chat + "; DEL p:c:x; SET p:c:x x", "a segment of another type": chat + "; DEL p:c:0; SET p:c:0 x", "a stream of another type": chat + "; SET stream x",
		"a long segment": chat + "; RPUSH p:c:0 x", "a short segment": chat + "; RPOP p:c:0", "no segment": chat + "; DEL p:c:0",
	}
	for name, setup := range left {
		add("left/"+name, setup, sends(ofAda("m"), ofAda("n")), "?\n?", "")
	}
	for name, setup := range map[string]string{
		"a head of level 2": "· 2:1", "an unreadable head": "· x", "a read mark of a user who left": "·rada 2:-", "an unreadable read mark": "·rada x",
	} {
		add("left/level 3, "+name, compact+"; HSET p:c:x "+setup, richly(sends(ofAda("m"))), "?", "")
	}
	other := strings.Replace(ofAda("o"), " c p:c ", " d p:d ", 1)
	add("left, and a later command of the chat", chat+"; HSET p:c:x m 2", sends(ofAda("m"), other, ofAda("n")), "?\n?\n?", "")
	add("left, and one of another chat", chat+"; HSET p:c:x m 2; RPUSH p:d:0 x; HSET p:d:x · 1:0 ·c 1 ·uada 1", sends(ofAda("m"), other, ofAda("n")), "?\n2:1\n?", "HGET p:d:x · = 2:1; HGET p:c:x · = 2:1; XLEN stream = 1")

	inSecond := strings.Replace(ofAda("o"), "1 c p:c ", "2 d q:d ", 1)
	cases = append(cases, rig.ScriptCase{
		Name: "two partitions, and one trim", Setup: chat + "; SET q:id L; RPUSH q:d:0 x; HSET q:d:x · 1:0 ·c 1 ·uada 1; EVAL for·i=1,500·do·redis.call('XADD',KEYS[1],'*','f','v')·end·return·1 1 second",
		Keys: "p:id p:w q:id q:w p:fence:token stream second", Args: "L $HISTORY '' 100 ch 0 p:live 0 q:live " + ofAda("m") + " " + inSecond,
		Reply: "3:2\n2:1", After: "XLEN stream = 1; XLEN second = 501; HGET q:d:x · = 2:1; HGET p:c:x · = 3:2",
	})

	// The whole batch.
	add("a fence", chat+"; SET p:fence:token 1", sends(ofAda("m")), "-2", "")
	add("another log", chat+"; SET p:id M", sends(ofAda("m")), "-1·1", "")
	add("no log", chat+"; DEL p:id", sends(ofAda("m")), "-1·1", "")
	add("another history", chat, strings.Replace(sends(ofAda("m")), "$HISTORY", "abc", 1), "-3·…", "")
	add("no history", chat, strings.Replace(sends(ofAda("m")), "$HISTORY", "''", 1), "-3·…", "")
	add("a witness that is behind", chat+"; SET p:w 4", strings.Replace(sends(ofAda("m")), " 0 p:live", " 5 p:live", 1), "-5·1", "")
	add("no witness", chat, strings.Replace(sends(ofAda("m")), " 0 p:live", " 5 p:live", 1), "-5·1", "")
	add("a witness", chat+"; SET p:w 5", strings.Replace(sends(ofAda("m")), " 0 p:live", " 5 p:live", 1), "3:2", "XLEN stream = 1")
	add("a witness that is ahead", chat+"; SET p:w 10", strings.Replace(sends(ofAda("m")), " 0 p:live", " 9 p:live", 1), "3:2", "XLEN stream = 1")
	rig.RunScript(t, eventlog.Sources()["send"], cases)
}

// TestScript_SendAnnounces has the announcements of sends, with and without a subscriber.
func TestScript_SendAnnounces(t *testing.T) {
	chat := sendable(2) + "; XADD stream 99999999999999-7 f v"
	one, two := appendedJSON("", "e-m", 3, 2), appendedJSON("", "e-n", 4, 3)
	published := func(args string) string { return strings.Replace(args, " '' 1000 ", " PUBLISH 1000 ", 1) }
	both := announced(entryAfter(0), line(entryAfter(1), 3, "c", one), line(entryAfter(2), 4, "c", two))
	long := func(id string, bytes int) string {
		return strings.Replace(ofAda(id), "} body", fmt.Sprintf(`,"text":"%s"} body`, strings.Repeat("x", bytes)), 1)
	}
	longJSON := func(id string, seq, ordinal, bytes int) string {
		return fmt.Sprintf(`{"eventId":"e-%s","seq":%d,"ordinal":%d,"text":"%s"}`, id, seq, ordinal, strings.Repeat("x", bytes))
	}
	const room = 65536
	head := len("99999999999999-7\n") + len(line(entryAfter(1), 3, "c", longJSON("m", 3, 2, 30000))) + len(line(entryAfter(2), 4, "c", longJSON("n", 4, 3, 10000))) - 10000
	lines := func(bytes int) (string, string) {
		return line(entryAfter(1), 3, "c", longJSON("m", 3, 2, 30000)), line(entryAfter(2), 4, "c", longJSON("n", 4, 3, bytes))
	}
	fits, fitting := lines(room - head)
	exceeds, exceeding := lines(room - head + 1)
	silent := func(args string) string { return strings.Replace(args, " ch ", " '' ", 1) }
	cases := []rig.ScriptCase{
		{Name: "one", Args: sends(ofAda("m")), Reply: "3:2", Heard: "ch " + one + ";" + announced(entryAfter(0), line(entryAfter(1), 3, "c", one)), After: "XLEN stream = 2"},
		{Name: "two", Args: sends(ofAda("m"), ofAda("n")), Reply: "3:2\n4:3", Heard: "ch " + one + ";ch " + two + ";" + both, After: "XLEN stream = 3"},
		{Name: "the first entry", Setup: "DEL stream", Args: silent(sends(ofAda("m"))), Reply: "3:2", Heard: "p:live 0-0\n…-0 3 c " + fmt.Sprint(len(one)) + " " + one + "\n;", After: "XLEN stream = 1"},
		{Name: "left", Setup: "HSET p:c:x m 1", Args: sends(ofAda("m")), Reply: "?", Heard: rig.NoMessage},
		{Name: "as much as an announcement takes", Args: silent(sends(long("m", 30000), long("n", room-head))), Reply: "3:2\n4:3", Heard: announced(entryAfter(0), fits, fitting), After: "XLEN stream = 3"},
		{Name: "one byte more", Args: silent(sends(long("m", 30000), long("n", room-head+1))), Reply: "3:2\n4:3", Heard: announced(entryAfter(0), exceeds) + announced(entryAfter(1), exceeding), After: "XLEN stream = 3"},
		{Name: "PUBSUB is refused", Args: silent(sends(ofAda("m"))), Without: "pubsub", Reply: "3:2", Heard: announced(entryAfter(0), line(entryAfter(1), 3, "c", one)), After: "XLEN stream = 2"},
		{Name: "XREVRANGE is refused", Args: sends(ofAda("m")), Without: "xrevrange", Reply: "?", Heard: rig.NoMessage},
		{Name: "PUBLISH is refused", Args: sends(ofAda("m")), Without: "publish", Reply: "3:2\n!·2·…", Heard: rig.NoMessage, After: "XLEN stream = 2"},
	}
	for i := range cases {
		c := &cases[i]
		c.Setup, c.Keys, c.Args, c.Subscribed = chat+"; "+c.Setup, sendKeys, published(c.Args), "p:live"
	}
	cases = append(
		cases,
		rig.ScriptCase{Name: "no subscriber", Setup: chat, Keys: sendKeys, Args: published(sends(ofAda("m"))), Without: "xrevrange", Reply: "3:2", Heard: "ch " + one + ";", After: "XLEN stream = 2"},
		rig.ScriptCase{Name: "no announcement", Setup: chat, Keys: sendKeys, Args: sends(ofAda("m")), Subscribed: "p:live", Reply: "3:2", Heard: "ch " + one + ";", After: "XLEN stream = 2"},
		rig.ScriptCase{Name: "on no channel, without the right to PUBLISH", Setup: chat, Keys: sendKeys, Args: silent(sends(ofAda("m"))), Without: "publish", Reply: "3:2", After: "XLEN stream = 2"},
		rig.ScriptCase{Name: "SPUBLISH, to a plain subscriber", Setup: chat, Keys: sendKeys, Args: strings.Replace(silent(sends(ofAda("m"))), " '' 1000 ", " SPUBLISH 1000 ", 1), Subscribed: "p:live", Reply: "3:2", Heard: rig.NoMessage, After: "XLEN stream = 2"},
		rig.ScriptCase{Name: "SPUBLISH is refused", Setup: chat, Keys: sendKeys, Args: strings.Replace(silent(sends(ofAda("m"))), " '' 1000 ", " SPUBLISH 1000 ", 1), Sharded: "p:live", Without: "spublish", Reply: "3:2\n!·1·…", After: "XLEN stream = 2"},
	)
	rig.RunScript(t, eventlog.Sources()["send"], cases)
}

// TestScript_SendWithoutRights sends as a user without one of the rights. The script reverts the writes of the command.
func TestScript_SendWithoutRights(t *testing.T) {
	chat := sendable(2) + "; XADD stream 99999999999999-7 f v"
	var cases []rig.ScriptCase
	for _, c := range []rig.ScriptCase{
		{Name: "mget", Reply: rig.NoRight},
		{Name: "info", Reply: rig.NoRight},
		{Name: "hmget", Reply: "?\n?"},
		{Name: "rpush", Reply: "?\n?"},
		{Name: "xadd", Reply: "?\n?", After: "LLEN p:c:0 = 2; XLEN stream = 1; HGET p:c:x · = 2:1; EXISTS p:c:1 = 0"},
		{Name: "hset", Reply: "?\n?", After: "LLEN p:c:0 = 2; XLEN stream = 1; HGET p:c:x · = 2:1"},
		{Name: "del", Reply: "3:2\n4:3", After: "XLEN stream = 3"},
		{Name: "publish", Reply: "3:2\n4:3\n!·2·…", After: "XLEN stream = 3"},
		{Name: "xadd ltrim", Reply: "-4·…", After: "LLEN p:c:0 = 3; XLEN stream = 1; HGET p:c:x · = 2:1"},
		{Name: "hset ltrim", Reply: "-4·…", After: "LLEN p:c:0 = 3; XLEN stream = 1; HGET p:c:x · = 2:1"},
		{Name: "hset xdel", Reply: "-4·…", After: "XLEN stream = 2; HGET p:c:x · = 2:1"},
	} {
		c.Without = c.Name
		c.Setup, c.Keys, c.Args = chat, sendKeys, sends(ofAda("m"), ofAda("n"))
		cases = append(cases, c)
	}
	cases = append(
		cases,
		rig.ScriptCase{Name: "del, while typing", Setup: chat + "; SET typing 1", Keys: sendKeys, Args: sends(ofAda("m")), Without: "del", Reply: "3:2!\n!·1·…", After: "EXISTS typing = 1"},
		rig.ScriptCase{Name: "ltrim, and a long segment", Setup: chat + "; RPUSH p:c:0 x", Keys: sendKeys, Args: sends(ofAda("m")), Without: "ltrim", Reply: "-4·the·last·segment·does·not·end·at·the·head", After: "LLEN p:c:0 = 4; HGET p:c:x · = 2:1"},
		rig.ScriptCase{
			Name: "the second chat's keys", Setup: chat + "; RPUSH p:d:0 x; HSET p:d:x · 1:0 ·c 1 ·uada 1", Keys: sendKeys, Writes: "p:id p:w p:fence:token stream p:c:* typing",
			Args:  sends(ofAda("m"), strings.Replace(ofAda("o"), " c p:c ", " d p:d ", 1), ofAda("n")),
			Reply: "3:2\n?\n4:3", After: "HGET p:c:x · = 4:3; HGET p:d:x · = 1:0; LLEN p:d:0 = 1; XLEN stream = 3",
		},
	)
	rig.RunScript(t, eventlog.Sources()["send"], cases)
}
