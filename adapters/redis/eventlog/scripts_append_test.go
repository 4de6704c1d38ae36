package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

// event is an event of a command. mark is its effect as in append.lua, moves the places of the entities that it moves.
func event(id, mark string, moves ...int) string { return compactEvent(id, mark, "''", moves...) }

// compactEvent is an event with a compact form.
func compactEvent(id, mark, compact string, moves ...int) string {
	places := fmt.Sprint(len(moves))
	for _, place := range moves {
		places += fmt.Sprint(" ", place)
	}
	return fmt.Sprintf(`%s ch {} {"eventId":"%s","seq": } %s %s %s`, id, id, mark, compact, places)
}

// inChat is a command in the chat c. Each entity is FIELD~VERSION.
func inChat(entities string, events ...string) string { return limited(entities, "0", events...) }

func limited(entities, limits string, events ...string) string {
	fields, versions := "", ""
	for entity := range strings.FieldsSeq(entities) {
		field, version, _ := strings.Cut(entity, "~")
		if version == "" {
			version = "''"
		}
		fields, versions = fields+" "+field, versions+" "+version
	}
	return fmt.Sprintf("1 c '' typing %s %d%s%s %d %s", limits, len(strings.Fields(entities)), fields, versions, len(events), strings.Join(events, " "))
}

// batch is the arguments of a batch.
func batch(commands ...string) string {
	return fmt.Sprintf("L $HISTORY token '' %d 0 %s 1000 ''", len(commands), strings.Join(commands, " "))
}

// appendedJSON is an appended event with its links.
func appendedJSON(links, id string, seq, ordinal int) string {
	return fmt.Sprintf(`%s{"eventId":"%s","seq":%d,"ordinal":%d}`, links, id, seq, ordinal)
}

func TestScript_Append(t *testing.T) {
	const (
		keys  = "p:id p:w stream"
		fence = "p:fence:token"
	)
	chat := stored("2:1", "c1", "e2") + "; SET p:count 1; HSET p:c:x ·c 1 m1 2"
	var cases []rig.ScriptCase
	add := func(name, setup, args, reply, after string) {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: setup, Keys: keys, Args: args, Reply: reply, After: after})
	}
	add("a new chat", "SET p:id L", batch(inChat("·c~0 ·uada~0", event("e1", "''", 1, 2))), "0·1·1·0·0",
		"HGETALL p:c:x = {·#u:1 ·:1:0 ·c:1 ·uada:1}; HKEYS p:c:u = [ada]; LRANGE p:c:0 0 -1 = ["+appendedJSON("", "e1", 1, 0)+"]; SMEMBERS p:chats = [c]; GET p:count = 1; XLEN stream = 1; EXISTS "+fence+" = 0")
	add("a second chat", chat, strings.Replace(batch(inChat("·c~0", event("e1", "''", 1))), " c ''", " a·b a%20b", 1), "0·1·1·0·0",
		"HGET p:a%20b:x · = 1:0; SCARD p:chats = 2; SISMEMBER p:chats a·b = 1; GET p:count = 2; LLEN p:c:0 = 2")
	add("a message", chat, batch(inChat("m2~0", event("e3", "+", 1))), "0·3·3·2·0", "HGET p:c:x · = 3:2; HGET p:c:x m2 = 3; LINDEX p:c:0 2 = "+appendedJSON("", "e3", 3, 2)+"; GET p:count = 1; SCARD p:chats = 1; EXISTS p:c:u p:c:d = 0; HEXISTS p:c:x ·#d = 0; HEXISTS p:c:x ·#u = 0")
	add("a message beside counts that differ", chat+"; HSET p:c:x ·#u 5 ·#d 5 ·uada 1", batch(inChat("m2~0 ·uada~", event("e3", "+", 1, 2))), "0·3·3·2·0", "HMGET p:c:x ·#u ·#d = [5 5]")
	add("an edit", chat, batch(inChat("m1~2", event("e3", "''", 1))), "0·3·3·1·0", "HGET p:c:x m1 = 3:2:2; LINDEX p:c:0 2 = "+appendedJSON("m2", "e3", 3, 1))
	add("a second edit", chat+"; HSET p:c:x m1 2:2:1", batch(inChat("m1~2", event("e3", "''", 1))), "0·3·3·1·0", "HGET p:c:x m1 = 3:3:1; LINDEX p:c:0 2 = "+appendedJSON("m2", "e3", 3, 1))
	add("two events", chat, batch(inChat("m1~2 m2~0", event("e3", "''", 1), event("e4", "+", 2, 1))), "0·3·4·2·0",
		"HGET p:c:x m1 = 4:3:2; HGET p:c:x m2 = 4; HGET p:c:x · = 4:2; LRANGE p:c:0 2 3 = ["+appendedJSON("m2", "e3", 3, 1)+" "+appendedJSON("m3", "e4", 4, 2)+"]; XLEN stream = 2")
	add("a read mark", chat+"; HSET p:c:x ·rada 2", batch(inChat("·rada~ ·vada~", event("e3", "''", 1, 2))), "0·3·3·1·0", "HGET p:c:x ·rada = 3; HGET p:c:x ·vada = 3; LINDEX p:c:0 2 = "+appendedJSON("r2", "e3", 3, 1))
	add("a receipt", chat+"; HSET p:c:x ·vada 2", batch(inChat("·vada~", event("e3", "''", 1))), "0·3·3·1·0", "HGET p:c:x ·vada = 3; LINDEX p:c:0 2 = "+appendedJSON("v2", "e3", 3, 1))
	add("many events of an entity", chat+"; HSET p:c:x m1 2:255:1", batch(inChat("m1~2", event("e3", "''", 1))), "0·3·3·1·0·1.1", "HGET p:c:x m1 = 3:256:1")
	add("a few less", chat+"; HSET p:c:x m1 2:254:1", batch(inChat("m1~2", event("e3", "''", 1))), "0·3·3·1·0", "HGET p:c:x m1 = 3:255:1")
	for name, c := range map[string]struct{ entity, entry, reply string }{
		"a version":                             {"m1~2", "2", ""},
		"a version among events":                {"m1~2", "2:2:1", ""},
		"an earlier version":                    {"m1~1", "2:2:1", "1·1·2"},
		"another version":                       {"m1~1", "2", "1·1·2"},
		"a version of a new entity":             {"m1~0", "2", "1·1·2"},
		"a version of none":                     {"m9~2", "2", "1·1·0"},
		"any version":                           {"m1~!", "2", ""},
		"any version of none":                   {"m9~!", "2", "1·1·0"},
		"the lowest of versions":                {"m1~2-4", "2", ""},
		"the highest of versions":               {"m1~0-2", "2", ""},
		"a version between others":              {"m1~1-3", "2", ""},
		"a version among events in a range":     {"m1~1-3", "2:2:1", ""},
		"a version below a range":               {"m1~3-4", "2", "1·1·2"},
		"a version above a range":               {"m1~0-1", "2", "1·1·2"},
		"a range from none":                     {"m9~0-4", "2", ""},
		"a range beyond none":                   {"m9~1-4", "2", "1·1·0"},
		"no condition":                          {"m1~", "2", ""},
		"an unreadable entry":                   {"m1~2", "x", "2·the·index·is·unreadable"},
		"an unreadable entry without a version": {"m1~", "2:2", "2·the·index·is·unreadable"},
		"a recorded command that exists":        {"m1~=ab", "2:1:ab", "1·1·2"},
	} {
		after := ""
		if c.reply == "" {
			c.reply, after = "0·3·3·1·0", "HGET p:c:x · = 3:1"
		}
		add("a condition/"+name, chat+"; HSET p:c:x m1 "+c.entry, batch(inChat(c.entity, event("e3", "''"))), c.reply, after)
	}
	add("a conflict of the second entity", chat, batch(inChat("m1~2 m2~5", event("e3", "''"))), "1·2·0", "")
	add("a recorded command", chat, batch(inChat("·Ccmd~=ab", event("e3", "''"), event("e4", "''"))), "0·3·4·1·0", "HGET p:c:x ·Ccmd = 4:2:ab; HGET p:c:x · = 4:1")
	add("a recorded command without events", chat, batch(inChat("·Ccmd~=ab")), "0·0·0·0·0", "HGET p:c:x ·Ccmd = 2:0:ab; HGET p:c:x · = 2:1; LLEN p:c:0 = 2; XLEN stream = 0")
	add("a recorded command without events and chat", "SET p:id L", batch(inChat("·Ccmd~=ab")), "4", "")
	add("a member", chat+"; HSET p:c:x ·uada 1 ·#u 1; HSET p:c:u ada ''", batch(inChat("·ubob~0 ·uada~", event("e3", "''", 1))), "0·3·3·1·0", "HGET p:c:x ·#u = 2; HKEYS p:c:u = [ada bob]; HGET p:c:x ·ubob = 3")
	add("a member who was one", chat+"; HSET p:c:x ·uada 1 ·#u 1; HSET p:c:u ada ''", batch(inChat("·uada~1", event("e3", "''", 1))), "0·3·3·1·0", "HGET p:c:x ·#u = 1; HGET p:c:x ·uada = 3:2:1")
	add("a deletion", chat, batch(inChat("m1~2", event("e3", "1", 1))), "0·3·3·1·0", "HGET p:c:x ·#d = 1; ZRANGE p:c:d 0 -1 = [2]; HGET p:c:x m1 = 3:2:2")
	add("a deletion of an edited message", chat+"; HSET p:c:x m1 2:2:1", batch(inChat("m1~2", event("e3", "1", 1))), "0·3·3·1·0", "HGET p:c:x ·#d = 1; ZRANGE p:c:d 0 -1 = [1]")
	add("a second deletion", chat+"; HSET p:c:x ·#d 1; ZADD p:c:d 2 2", batch(inChat("m1~2", event("e3", "1", 1))), "0·3·3·1·0", "HGET p:c:x ·#d = 1; ZRANGE p:c:d 0 -1 = [2]")
	add("two deletions of one message", chat, batch(inChat("m1~2", event("e3", "1", 1), event("e4", "1", 1))), "0·3·4·1·0", "HGET p:c:x ·#d = 1; ZRANGE p:c:d 0 -1 = [2]")
	add("two deletions in a batch", chat+"; HSET p:c:x m2 1", batch(inChat("m1~2", event("e3", "1", 1)), inChat("m2~1", event("e4", "1", 1))), "0·3·3·1·0\n0·4·4·1·0", "HGET p:c:x ·#d = 2; ZRANGE p:c:d 0 -1 = [1 2]")
	add("two commands", chat, batch(inChat("m1~2", event("e3", "''", 1)), inChat("m1~3", event("e4", "''", 1))), "0·3·3·1·0\n0·4·4·1·0", "HGET p:c:x m1 = 4:3:2; HGET p:c:x · = 4:1; XLEN stream = 2")
	add("two commands of which the second conflicts", chat, batch(inChat("m1~2", event("e3", "''", 1)), inChat("m1~2", event("e4", "''", 1))), "0·3·3·1·0\n1·1·3", "HGET p:c:x m1 = 3:2:2; HGET p:c:x · = 3:1; XLEN stream = 1")
	add("three commands", chat, batch(inChat("m1~2", event("e3", "''", 1)), inChat("m1~3", event("e4", "''", 1)), inChat("m1~4", event("e5", "''", 1))), "0·3·3·1·0\n0·4·4·1·0\n0·5·5·1·0", "HGET p:c:x m1 = 5:4:2")
	add("a recorded command twice", chat, batch(inChat("·Ccmd~=ab"), inChat("·Ccmd~=ab")), "0·0·0·0·0\n1·1·2", "HGET p:c:x ·Ccmd = 2:0:ab")
	add("a recorded command three times", chat, batch(inChat("·Ccmd~=ab"), inChat("m1~2", event("e3", "''", 1)), inChat("·Cnew~=cd"), inChat("·Cnew~=cd")), "0·0·0·0·0\n0·3·3·1·0\n0·0·0·0·0\n1·1·3", "HGET p:c:x ·Cnew = 3:0:cd")
	add("members in a batch", "SET p:id L", batch(inChat("·uada~0", event("e1", "''", 1)), inChat("·ubob~0", event("e2", "''", 1))), "0·1·1·0·0\n0·2·2·0·0", "HGET p:c:x ·#u = 2; HLEN p:c:u = 2; GET p:count = 1")
	add("typing", chat+"; SET typing 1", batch(inChat("m2~0", event("e3", "+", 1))), "0·3·3·2·1", "EXISTS typing = 0")
	add("limits", chat, batch(limited("m2~0", "1 window limit 1 2 3600000", event("e3", "+", 1))), "0·3·3·2·0", "GET limit = 1; PEXPIRETIME limit = @1; HGET p:c:x · = 3:2")
	add("a limit that refuses", chat+"; SET limit 2 PXAT @0.48", batch(limited("m2~0", "2 window other 1 2 3600000 window limit 1 2 3600000", event("e3", "+", 1))), "5·2·2·17…", "")
	add("a limit of another type", chat+"; HSET limit f v", batch(limited("m2~0", "2 window other 1 2 3600000 window limit 1 2 3600000", event("e3", "+", 1))), "6·2·", "")
	add("a conflict before a limit", chat, batch(limited("m1~9", "1 window limit 1 2 3600000", event("e3", "+"))), "1·1·2", "")
	add("a fence", chat+"; SET "+fence+" 1", batch(inChat("m2~0", event("e3", "+", 1))), "-2", "")
	add("sent again", chat, strings.Replace(batch(inChat("m2~0", event("e3", "+", 1))), "token ''", "token 1", 1), "0·3·3·2·0", "TTL "+fence+" = 600; HGET p:c:x · = 3:2")
	add("sent again twice", chat+"; SET "+fence+" 1", strings.Replace(batch(inChat("m2~0", event("e3", "+", 1))), "token ''", "token 1", 1), "0·3·3·2·0", "HGET p:c:x · = 3:2")
	again := strings.NewReplacer("token ''", "token 1")
	add("sent again with an index ahead of the head", chat+"; HSET p:c:x m1 9", again.Replace(batch(inChat("m1~9", event("e3", "''", 1)))), "0·3·3·1·0", "HGET p:c:x m1 = 3:2:9")
	add("sent again beside an entry that is no event", chat, again.Replace(batch(inChat("m1~2", event("e3", "''", 1)))), "0·3·3·1·0", "HGET p:c:x m1 = 3:2:2")
	add("sent again without moves", chat, again.Replace(batch(inChat("", event("e3", "''")))), "0·3·3·1·0", "HGET p:c:x · = 3:1")
	add("a recorded command sent again", chat+"; HSET p:c:x ·Ccmd 2:0:ab", again.Replace(batch(inChat("·Ccmd~=ab"))), "0·0·0·0·0", "HGET p:c:x ·Ccmd = 2:0:ab; HGET p:c:x · = 2:1")
	add("a recorded command sent again that did not arrive", chat, again.Replace(batch(inChat("·Ccmd~=ab"))), "0·0·0·0·0", "HGET p:c:x ·Ccmd = 2:0:ab")
	add("another recorded command of the same id", chat+"; HSET p:c:x ·Ccmd 2:0:cd", again.Replace(batch(inChat("·Ccmd~=ab"))), "1·1·2", "HGET p:c:x ·Ccmd = 2:0:cd")
	add("damage twice", chat+"; RPUSH p:c:0 x", batch(inChat("m2~0", event("e3", "+", 1)), inChat("m3~0", event("e4", "+", 1))),
		"2·the·last·segment·does·not·end·at·the·head\n2·the·last·segment·does·not·end·at·the·head", "")
	add("damage twice, at the end of a segment", segments(1024)+"; RPOP p:c:0", batch(inChat("m2~0", event("e3", "+", 1)), inChat("m3~0", event("e4", "+", 1))),
		"2·the·last·segment·does·not·end·at·the·head\n2·the·last·segment·does·not·end·at·the·head", "")
	add("damage twice, without events", "SET p:id L; HSET p:c:u a 1", batch(inChat("m2~0", event("e3", "+", 1)), inChat("m3~0", event("e4", "+", 1))), "2·the·head·is·missing\n2·the·head·is·missing", "")
	for head, pad := range map[int]int{126: 0, 127: 1, 128: 0, 255: 1} {
		add(fmt.Sprint("a pad after ", head), segments(head), batch(inChat("m~0", event("e", "''", 1))), fmt.Sprintf("0·%d·%d·%d·0", head+1, head+1, head), fmt.Sprintf("HSTRLEN p:c:x ·#p = %d", 65*pad))
	}
	add("a pad in a batch", segments(126), batch(inChat("m~0", event("e", "''", 1), event("f", "''", 1))), "0·127·128·126·0", "HSTRLEN p:c:x ·#p = 65")
	add("the end of a segment", segments(1023), batch(inChat("m~0", event("e", "''", 1))), "0·1024·1024·1023·0", "LLEN p:c:0 = 1024; EXISTS p:c:1 = 0")
	add("a new segment", segments(1024), batch(inChat("m~0", event("e", "''", 1))), "0·1025·1025·1024·0", "LLEN p:c:0 = 1024; LLEN p:c:1 = 1")
	add("across segments", segments(1023), batch(inChat("m~0", event("e", "''", 1), event("f", "''", 1))), "0·1024·1025·1023·0", "LLEN p:c:0 = 1024; LLEN p:c:1 = 1; LINDEX p:c:1 0 = m1024{\"eventId\":\"f\",\"seq\":1025,\"ordinal\":1023}")
	for name, c := range map[string]struct{ setup, cause string }{
		"a new segment that is there":      {segments(1024) + "; RPUSH p:c:1 x", "the·last·segment·does·not·end·at·the·head"},
		"a last segment that is long":      {chat + "; RPUSH p:c:0 x", "the·last·segment·does·not·end·at·the·head"},
		"a next segment that is there":     {segments(1023) + "; RPUSH p:c:1 x", "the·last·segment·does·not·end·at·the·head"},
		"an unreadable head":               {chat + "; HSET p:c:x · x", "the·head·is·unreadable"},
		"no head but members":              {"SET p:id L; HSET p:c:u a 1", "the·head·is·missing"},
		"no head but tombstones":           {"SET p:id L; ZADD p:c:d 1 1", "the·head·is·missing"},
		"no head but other fields":         {"SET p:id L; HSET p:c:x m1 1", "the·head·is·missing"},
		"no head but events":               {"SET p:id L; RPUSH p:c:0 x", "the·last·segment·does·not·end·at·the·head"},
		"no head but in the list":          {"SET p:id L; SADD p:chats c", "the·head·is·missing"},
		"an unreadable count of chats":     {"SET p:id L; SET p:count x", "the·count·of·chats·is·unreadable"},
		"a count of chats of another type": {"SET p:id L; HSET p:count f v", "WRONGTYPE…"},
		"a list of another type":           {"SET p:id L; SET p:chats x", "WRONGTYPE…"},
		"a segment of another type":        {chat + "; SET p:c:0 x", "WRONGTYPE…"},
		"an index of another type":         {"SET p:id L; SET p:c:x x", "WRONGTYPE…"},
		"a stream of another type":         {chat + "; SET stream x", "WRONGTYPE…"},
		"members that are not counted":     {chat + "; HSET p:c:u a 1", "the·count·of·:u·is·not·what·the·index·says"},
		"members of another type":          {chat + "; SET p:c:u x", "WRONGTYPE…"},
		"tombstones that are not counted":  {chat + "; ZADD p:c:d 1 1", "the·count·of·:d·is·not·what·the·index·says"},
		"tombstones of another type":       {chat + "; SET p:c:d x", "WRONGTYPE…"},
	} {
		add("damage/"+name, c.setup, batch(inChat("m1~ ·ubob~", event("e", "''", 2), event("f", "+", 1), event("g", "''", 1), event("h", "1", 1))), "2·"+c.cause, "")
	}
	add("damage beside another chat", chat+"; SET p:d:x x", batch(strings.Replace(inChat("m2~0", event("e3", "+", 1)), " c ", " d ", 1), inChat("m2~0", event("e3", "+", 1))), "2·WRONGTYPE…\n0·3·3·2·0", "HGET p:c:x · = 3:2")
	many := func(from int) string { // a command with 3000 new entities
		entities, moves := "", make([]int, 3000)
		for i := range moves {
			entities, moves[i] = entities+fmt.Sprintf(" n%d~", from+i), i+1
		}
		return inChat(entities, event(fmt.Sprint("e", from), "''", moves...))
	}
	add("more entries than one command takes", chat, batch(many(10000), many(20000)), "0·3·3·1·0\n0·4·4·1·0", "HLEN p:c:x = 6003; HGET p:c:x n12999 = 3; HGET p:c:x n22999 = 4; HGET p:c:x · = 4:1")
	add("a long stream", chat+"; EVAL for·i=1,500·do·redis.call('XADD',KEYS[1],'*','f','v')·end·return·1 1 stream",
		strings.Replace(batch(inChat("m2~0", event("e3", "+", 1))), " 1000", " 100", 1), "0·3·3·2·0", "XLEN stream = 101")
	rig.RunScript(t, eventlog.Sources()["append"], cases)
}

// TestScript_AppendCompact appends at level 3 of the log.
func TestScript_AppendCompact(t *testing.T) {
	const keys = "p:id p:w stream"
	at := func(level int) *strings.Replacer { // a semicolon ends a command of a setup
		set := fmt.Sprintf("EVAL return·redis.call('SET',KEYS[1],table.concat({'L',%d,'1','h',''},string.char(59))) 1 p:id", level)
		return strings.NewReplacer("SET p:id L", set, "L $HISTORY", fmt.Sprintf("L;%d;1;h; $HISTORY", level))
	}
	raised := at(3)
	chat := stored("2:1:0:0", "c1", "{\x02n1:body") + "; SET p:count 1; HSET p:c:x ·c 1 m1 2 ·uada 1:1:1"
	var cases []rig.ScriptCase
	add := func(name, setup, args, reply, after string) {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: raised.Replace(setup), Keys: keys, Args: raised.Replace(args), Reply: reply, After: after})
	}
	add("a new chat", "SET p:id L", batch(inChat("·c~0 ·uada~0 ·rada~", compactEvent("e1", ">3", "cbody", 1, 2))), "0·1·1·0·0",
		"HGETALL p:c:x = {·#u:1 ·:1:0:0:0 ·c:1 ·rada:0:1:0 ·uada:1}; LRANGE p:c:0 0 -1 = [{\x02c0:body]; XLEN stream = 1")
	add("a message", chat, batch(inChat("m2~0 ·rada~", compactEvent("e3", "+", "nbody", 1, 2))), "0·3·3·2·0",
		"HGET p:c:x · = 3:2:0:3; HGET p:c:x ·rada = 3:3:2; LINDEX p:c:0 2 = {\x02n2:body; HGET p:c:x m2 = 3")
	add("a message after another", chat+"; HSET p:c:x · 2:1:4:2 ·rada 2:2:1", batch(inChat("m2~0 ·rada~", compactEvent("e3", "+", "nbody", 1, 2))), "0·3·3·2·0",
		"HGET p:c:x · = 3:2:4:3; HGET p:c:x ·rada = 3:3:2; LINDEX p:c:0 2 = r2p2{\x02n2:body")
	add("two messages", chat, batch(inChat("m2~0 m3~0", compactEvent("e3", "+", "nb3", 1), compactEvent("e4", "+", "nb4", 2))), "0·3·4·3·0",
		"HGET p:c:x · = 4:3:0:4; LRANGE p:c:0 2 3 = [{\x02n2:b3 p3{\x02n3:b4]")
	add("an event that stays JSON", chat, batch(inChat("m1~2", event("e3", "''", 1))), "0·3·3·1·0", "HGET p:c:x · = 3:1:0:0; LINDEX p:c:0 2 = "+appendedJSON("m2", "e3", 3, 1))
	add("a head of two parts", stored("2:1", "c1", "e2")+"; SET p:count 1; HSET p:c:x ·#d 7", batch(inChat("m2~0", compactEvent("e3", "''", "ebody", 1))), "0·3·3·1·0", "HGET p:c:x · = 3:1:7:0; HGET p:c:x ·#d = 7")
	add("a head of two parts with an unreadable count", stored("2:1", "c1", "e2")+"; SET p:count 1; HSET p:c:x ·#d x", batch(inChat("m2~0", compactEvent("e3", "''", "ebody", 1))), "2·the·count·of·:d·is·not·what·the·index·says", "")
	add("a head of three parts", chat+"; HSET p:c:x · 2:1:0", batch(inChat("m2~0", event("e3", "''", 1))), "2·the·head·is·unreadable", "")
	add("a head of four parts below the level", at(2).Replace(chat), at(2).Replace(batch(inChat("m2~0", event("e3", "''", 1)))), "2·the·head·is·unreadable", "")
	add("a deletion", chat, batch(inChat("m1~2", compactEvent("e3", "1", "dbody", 1))), "0·3·3·1·0", "HGET p:c:x · = 3:1:1:0; HEXISTS p:c:x ·#d = 0; ZRANGE p:c:d 0 -1 = [2]")
	add("tombstones that are not counted", chat+"; ZADD p:c:d 1 1", batch(inChat("m1~2", compactEvent("e3", "1", "dbody", 1))), "2·the·count·of·:d·is·not·what·the·index·says", "")
	add("a member who leaves", chat+"; HSET p:c:x ·rada 2:2:1", batch(inChat("·uada~ ·rada~", compactEvent("e3", "<2", "cbody", 1))), "0·3·3·1·0", "HGET p:c:x ·rada = 2:-; LINDEX p:c:0 2 = u1{\x02c1:body")
	add("a member who leaves without a mark", chat, batch(inChat("·uada~ ·rada~", compactEvent("e3", "<2", "cbody", 1))), "0·3·3·1·0", "HGET p:c:x ·rada = 0:-")
	add("a former member who joins", chat+"; HSET p:c:x ·rada 2:-", batch(inChat("·uada~ ·rada~", compactEvent("e3", ">2", "cbody", 1))), "0·3·3·1·0", "HGET p:c:x ·rada = 2:3:1")
	add("a former member who joins and sends", chat+"; HSET p:c:x ·rada 0:-", batch(inChat("·uada~ ·rada~", compactEvent("e3", ">2", "cbody", 1)), inChat("·rada~0 m2~0", compactEvent("e4", "+", "nbody", 2, 1))),
		"0·3·3·1·0\n0·4·4·2·0", "HGET p:c:x ·rada = 4:4:2; LINDEX p:c:0 3 = {\x02n2:body")
	read := func(name, mark, effect, want string) {
		add("a receipt/"+name, stored("4:2:0:3", "c1", entry("", "message:new", 2, 1, ""), "{\x02n2:body", "{\x02c2:body")+"; SET p:count 1; HSET p:c:x ·uada 1 "+mark,
			batch(inChat("·uada~ ·rada~ ·vada~", compactEvent("e5", effect, "r2:body", 2, 3))), "0·5·5·2·0", "HGET p:c:x ·rada = "+want)
	}
	read("of a compact message", "·rada 0:1:0", "=3.1", "5:3:2")
	read("of a message in JSON", "·rada 0:1:0", "=2.1", "5:2:1")
	read("before the base", "·rada 4:4:2", "=3.1", "5:4:2")
	read("at the base", "·rada 4:3:2", "=3.1", "5:3:2")
	read("of the last event", "·rada 4:3:2", "=4.1", "5:4:2")
	read("of a later event", "·rada 4:3:2", "=5.1", "5")
	read("of no event", "·rada 4", "=0.1", "5")
	read("of a former member", "·rada 4:-", "=3.1", "5:-")
	read("without a base, of a later event than the mark", "·rada 2", "=3.1", "5:3:2")
	read("without a base, of an earlier event", "·rada 4", "=3.1", "5")
	read("without a base, of an earlier event than the join", "·rada 2 ·uada 4:2:1", "=3.1", "5")
	read("without a mark", "", "=3.1", "5:3:2")
	read("of an unreadable event", "·rada 0:0:0", "=1.1", "5")
	unread := func(name, mark, effect, want string) {
		add("marked as unread/"+name, stored("4:2:0:3", "c1", entry("", "message:new", 2, 1, ""), "{\x02n2:body", "{\x02c2:body")+"; SET p:count 1; HSET p:c:x "+mark,
			batch(inChat("·sada~ ·rada~", compactEvent("e5", effect, "r2:body", 1))), "0·5·5·2·0", "HGET p:c:x ·rada = "+want)
	}
	unread("from a message", "·rada 4:4:2", "*2.2", "4:2:1")
	unread("from a message, without a mark", "·rada 0:1:0", "*3.2", "0:3:2")
	unread("taken back", "·rada 4:2:1", "*0.2", "4")
	unread("from an unreadable event", "·rada 4:4:2", "*1.2", "4")
	unread("by a former member", "·rada 4:-", "*2.2", "4:-")
	again := strings.NewReplacer("token ''", "token 1")
	add("sent again", chat+"; RPUSH p:c:0 {\x02n2:nbody {\x02n2:body; HSET p:c:x · 4:2:0:4 m2 4", again.Replace(batch(inChat("m2~0", compactEvent("e3", "+", "nbody", 1)))), "0·4·4·2·0", "LLEN p:c:0 = 4")
	add("sent again, another event", chat+"; HSET p:c:x m2 2", again.Replace(batch(inChat("m2~0", compactEvent("e3", "+", "nother", 1)))), "1·1·2", "LLEN p:c:0 = 2; TTL p:fence:token = 600")
	add("sent again, rewritten since", chat+"; HSET p:c:x m2 2", again.Replace(batch(inChat("m2~0", event("e3", "+", 1)))), "3", "LLEN p:c:0 = 2; TTL p:fence:token = 600")
	add("a recorded command sent again", chat+"; HSET p:c:x ·kcmd 2:1:ab", again.Replace(batch(inChat("·kcmd~=ab", compactEvent("e3", "''", "nbody")))), "0·2·2·1·0", "LLEN p:c:0 = 2; TTL p:fence:token = 600")
	add("a recorded command sent again, rewritten since", chat+"; HSET p:c:x ·kcmd 2:1:ab", again.Replace(batch(inChat("·kcmd~=ab", event("e3", "''")))), "3", "LLEN p:c:0 = 2; TTL p:fence:token = 600")
	rig.RunScript(t, eventlog.Sources()["append"], cases)
}

// TestScript_AppendWithoutRights appends as a user without one of the rights. The script reverts its writes.
func TestScript_AppendWithoutRights(t *testing.T) {
	const keys = "p:id p:w stream"
	chat := segments(1022) + "; SET p:count 1; HSET p:c:x m1 1"
	full := batch(inChat("m1~ ·ubob~0 m2~0", event("e", "''", 2), event("f", "+", 3), event("g", "1", 1)))
	created := batch(inChat("m1~ ·ubob~0", event("e", "+", 1), event("f", "''", 2), event("g", "1", 1)))
	var cases []rig.ScriptCase
	for _, command := range []string{"rpush", "zadd", "xadd", "hset", "mget", "hmget", "llen", "hlen", "zcard", "xlen", "exists", "info"} {
		after := ""
		if command == "hset" { // an empty stream remains
			after = "XLEN stream = 0; LLEN p:c:0 = 1022; EXISTS p:c:1 p:c:d p:c:u = 0; HGETALL p:c:x = {m1:1 ·:1022:1022}"
		}
		cases = append(cases, rig.ScriptCase{Name: command, Setup: chat, Keys: keys, Args: full, Without: command, Reply: rig.NoRight, After: after})
	}
	for _, command := range []string{"rpush", "zadd", "sadd", "incr", "xadd", "hset", "sismember", "get"} {
		after := ""
		if command == "xadd" || command == "hset" {
			after = "KEYS p:* = [p:id]; XLEN stream = 0"
		}
		cases = append(cases, rig.ScriptCase{Name: "a new chat, " + command, Setup: "SET p:id L", Keys: keys, Args: created, Without: command, Reply: rig.NoRight, After: after})
	}
	another := "SET p:id L; SADD p:chats d; HSET p:d:x · 1:1; RPUSH p:d:0 x; SET p:count 1"
	cases = append(cases,
		rig.ScriptCase{Name: "a second chat, xadd", Setup: another, Keys: keys, Args: created, Without: "xadd", Reply: rig.NoRight, After: "GET p:count = 1; SMEMBERS p:chats = [d]; KEYS p:c:* = []"},
		rig.ScriptCase{Name: "a message, xadd", Setup: chat, Keys: keys, Args: batch(inChat("m2~0", event("f", "+", 1))), Without: "xadd", Reply: rig.NoRight},
		rig.ScriptCase{
			Name: "a write after a head", Setup: "SET p:id L", Keys: keys, Args: created, Writes: "p:id p:w stream p:chats p:count p:c:[^u]*", Reply: "-4·…",
			After: "HGET p:c:x · = 3:1; LLEN p:c:0 = 3; XLEN stream = 3; SMEMBERS p:chats = [c]; GET p:count = 1; ZCARD p:c:d = 1; EXISTS p:c:u = 0",
		},
		rig.ScriptCase{
			Name: "publish, no channel", Setup: chat, Keys: keys, Args: strings.Replace(batch(inChat("m2~0", event("f", "+", 1))), " ch ", " '' ", 1), Without: "publish",
			Reply: "0·1023·1023·1023·0", After: "HGET p:c:x · = 1023:1023",
		},
		rig.ScriptCase{Name: "publish", Setup: chat, Keys: keys, Args: full, Without: "publish", Reply: "0·1023·1025·1023·0\n!·3·…", After: "HGET p:c:x · = 1025:1023"},
		rig.ScriptCase{Name: "del", Setup: chat + "; SET typing 1", Keys: keys, Args: full, Without: "del", Reply: "0·1023·1025·1023·1\n!·1·…", After: "HGET p:c:x · = 1025:1023"},
	)
	rig.RunScript(t, eventlog.Sources()["append"], cases)
}
