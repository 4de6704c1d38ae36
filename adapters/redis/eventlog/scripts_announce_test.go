package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

// announcing has a batch announced by a command.
func announcing(command, batch string) string {
	return strings.TrimSuffix(batch, "''") + command
}

// entryAfter is the id of an entry of a stream whose last entry, 99999999999999-7, is ahead of the server's clock.
func entryAfter(n int) string { return fmt.Sprint("99999999999999-", 7+n) }

// line is an event in an announcement.
func line(id string, seq int, chat, json string) string {
	return fmt.Sprintf("%s %d %s %d %s\n", id, seq, chat, len(json), json)
}

// withText is an event with so many bytes of text, on no channel of its type.
func withText(id string, bytes int) string {
	return fmt.Sprintf(`%s '' {} {"eventId":"%s","seq": ,"text":"%s"} '' '' 0`, id, id, strings.Repeat("x", bytes))
}

// jsonWithText is such an event after the append.
func jsonWithText(id string, seq, bytes int) string {
	return fmt.Sprintf(`{"eventId":"%s","seq":%d,"ordinal":1,"text":"%s"}`, id, seq, strings.Repeat("x", bytes))
}

// announced is the ScriptCase.Heard of an announcement on the channel of partition p.
func announced(previous string, lines ...string) string {
	return "p:live " + previous + "\n" + strings.Join(lines, "") + ";"
}

func TestScript_AppendAnnounces(t *testing.T) {
	const (
		keys   = "p:id p:w stream"
		behind = "; XADD stream 99999999999999-7 f v"
	)
	chat := stored("2:1", "c1", `{"eventId":"e2","seq":2,"ordinal":1}`) + "; SET p:count 1; HSET p:c:x ·c 1 m1 2" + behind
	e3, e4 := appendedJSON("", "e3", 3, 1), appendedJSON("", "e4", 4, 1)
	one, two := inChat("", event("e3", "''")), inChat("", event("e3", "''"), event("e4", "''"))
	silent := strings.NewReplacer(" ch ", " '' ")
	again := strings.NewReplacer("token ''", "token 1")
	var cases []rig.ScriptCase
	add := func(name, setup, args, reply, heard, after string) {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: setup, Keys: keys, Args: args, Reply: reply, Heard: heard, Subscribed: "p:live", After: after})
	}
	add("one event", chat, announcing("PUBLISH", batch(one)), "0·3·3·1·0", "ch "+e3+";"+announced(entryAfter(0), line(entryAfter(1), 3, "c", e3)), "XLEN stream = 2")
	add("one event, on no channel of its type", chat, announcing("PUBLISH", silent.Replace(batch(one))), "0·3·3·1·0", announced(entryAfter(0), line(entryAfter(1), 3, "c", e3)), "XLEN stream = 2")
	add("one event, only on the channel of its type", chat, batch(one), "0·3·3·1·0", "ch "+e3+";", "XLEN stream = 2")
	add("one event, on no channel", chat, silent.Replace(batch(one)), "0·3·3·1·0", rig.NoMessage, "XLEN stream = 2")
	add("the first event of a stream", chat+"; DEL stream", announcing("PUBLISH", silent.Replace(batch(one))), "0·3·3·1·0", "p:live 0-0\n…-0 3 c "+fmt.Sprint(len(e3))+" "+e3+"\n;", "XLEN stream = 1")
	add("after the removal of the last entry", chat+"; XADD stream 99999999999999-8 f v; XDEL stream 99999999999999-8", announcing("PUBLISH", silent.Replace(batch(one))),
		"0·3·3·1·0", announced(entryAfter(0), line(entryAfter(2), 3, "c", e3)), "XLEN stream = 2")
	add("two events", chat, announcing("PUBLISH", batch(two)), "0·3·4·1·0",
		"ch "+e3+";ch "+e4+";"+announced(entryAfter(0), line(entryAfter(1), 3, "c", e3), line(entryAfter(2), 4, "c", e4)), "XLEN stream = 3")
	add("two commands", chat, announcing("PUBLISH", silent.Replace(batch(one, inChat("", event("e4", "''"))))), "0·3·3·1·0\n0·4·4·1·0",
		announced(entryAfter(0), line(entryAfter(1), 3, "c", e3), line(entryAfter(2), 4, "c", e4)), "XLEN stream = 3")
	add("a chat whose id is escaped in keys", chat, announcing("PUBLISH", strings.Replace(silent.Replace(batch(one)), " c ''", " a:b a%3Ab", 1)), "0·1·1·0·0",
		announced(entryAfter(0), line(entryAfter(1), 1, "a:b", appendedJSON("", "e3", 1, 0))), "HGET p:a%3Ab:x · = 1:0")
	add("a conflict", chat, announcing("PUBLISH", batch(inChat("m1~9", event("e3", "''")))), "1·1·2", rig.NoMessage, "")
	add("a conflict between commands", chat, announcing("PUBLISH", silent.Replace(batch(one, inChat("m1~9", event("x", "''")), inChat("", event("e4", "''"))))), "0·3·3·1·0\n1·1·2\n0·4·4·1·0",
		announced(entryAfter(0), line(entryAfter(1), 3, "c", e3), line(entryAfter(2), 4, "c", e4)), "XLEN stream = 3")
	add("a recorded command without events", chat, announcing("PUBLISH", batch(inChat("·Ccmd~=ab"))), "0·0·0·0·0", rig.NoMessage, "HGET p:c:x ·Ccmd = 2:0:ab")
	add("a fence", chat+"; SET p:fence:token 1", announcing("PUBLISH", batch(one)), "-2", rig.NoMessage, "")
	add("sent again, appended before", chat+"; HSET p:c:x ·Ccmd 2:1:ab", announcing("PUBLISH", again.Replace(batch(inChat("·Ccmd~=ab", event("e2", "''"))))), "0·2·2·1·0", rig.NoMessage, "XLEN stream = 1")
	add("sent again, not appended before", chat, announcing("PUBLISH", again.Replace(silent.Replace(batch(inChat("·Ccmd~=ab", event("e3", "''")))))), "0·3·3·1·0",
		announced(entryAfter(0), line(entryAfter(1), 3, "c", e3)), "XLEN stream = 2")
	add("sent again, one of two appended before", chat+"; HSET p:c:x ·Ccmd 2:1:ab", announcing("PUBLISH", again.Replace(silent.Replace(batch(inChat("·Ccmd~=ab", event("e2", "''")), one)))), "0·2·2·1·0\n0·3·3·1·0",
		announced(entryAfter(0), line(entryAfter(1), 3, "c", e3)), "XLEN stream = 2")
	add("a stream of another type", strings.Replace(chat, "XADD stream 99999999999999-7 f v", "SET stream x", 1), announcing("PUBLISH", batch(one)), "2·WRONGTYPE…", rig.NoMessage, "")
	for _, command := range []string{"PUBLISH", "''"} { // the second command is refused as the first one is
		add("a stream of another type, twice "+command, strings.Replace(chat, "XADD stream 99999999999999-7 f v", "SET stream x", 1), announcing(command, batch(one, one)), "2·WRONGTYPE…\n2·WRONGTYPE…", rig.NoMessage, "")
	}

	// 65,536 bytes are the header, and two lines with so much text.
	room := 65536 - len(entryAfter(0)+"\n"+line(entryAfter(1), 3, "c", jsonWithText("e3", 3, 30000))+line(entryAfter(2), 4, "c", jsonWithText("e4", 4, 10000))) + 10000
	sized := func(bytes ...int) (args string, lines []string) {
		var events []string
		for i, n := range bytes {
			id := fmt.Sprint("e", 3+i)
			events = append(events, withText(id, n))
			lines = append(lines, line(entryAfter(1+i), 3+i, "c", jsonWithText(id, 3+i, n)))
		}
		return announcing("PUBLISH", batch(inChat("", events...))), lines
	}
	args, lines := sized(30000, room)
	add("as much as an announcement takes", chat, args, "0·3·4·1·0", announced(entryAfter(0), lines...), "XLEN stream = 3")
	args, lines = sized(30000, room+1)
	add("one byte more", chat, args, "0·3·4·1·0", announced(entryAfter(0), lines[0])+announced(entryAfter(1), lines[1]), "XLEN stream = 3")
	args, lines = sized(30000, 30000, 30000, 30000, 30000)
	add("three announcements", chat, args, "0·3·7·1·0", announced(entryAfter(0), lines[:2]...)+announced(entryAfter(2), lines[2:4]...)+announced(entryAfter(4), lines[4]), "XLEN stream = 6")
	args, lines = sized(10, 70000, 10, 10)
	add("an event that is too large for others beside it", chat, args, "0·3·6·1·0", announced(entryAfter(0), lines[0])+announced(entryAfter(1), lines[1])+announced(entryAfter(2), lines[2:]...), "XLEN stream = 5")
	args, lines = sized(70000)
	add("a large event alone", chat, args, "0·3·3·1·0", announced(entryAfter(0), lines...), "XLEN stream = 2")

	// Commands of two partitions, of which the second one is used first and once more.
	other := strings.Replace(silent.Replace(inChat("", event("f1", "''"))), "1 c", "2 d", 1)
	third := strings.Replace(silent.Replace(inChat("", event("f2", "''"))), "1 c", "2 d", 1)
	inSecond := "q:live 99999999999999-9\n" + line("99999999999999-10", 1, "d", appendedJSON("", "f1", 1, 0)) + line("99999999999999-11", 2, "d", appendedJSON("", "f2", 2, 0)) + ";"
	inFirst := announced(entryAfter(0), line(entryAfter(1), 3, "c", e3))
	partitions := rig.ScriptCase{
		Name: "two partitions", Setup: chat + "; SET q:id L; XADD second 99999999999999-9 f v", Keys: "p:id p:w q:id q:w stream second",
		Args:  announcing("PUBLISH", "L $HISTORY token '' 3 0 0 "+other+" "+silent.Replace(one)+" "+third+" 1000 ''"),
		Reply: "0·1·1·0·0\n0·3·3·1·0\n0·2·2·0·0",
		After: "XLEN stream = 2; XLEN second = 3",
	}
	for subscribed, heard := range map[string]string{"p:live q:live": inSecond + inFirst, "p:live": inFirst, "q:live": inSecond, "": rig.NoMessage} {
		c := partitions
		c.Name, c.Subscribed, c.Heard = fmt.Sprintf("two partitions, subscribed to %q", subscribed), subscribed, heard
		cases = append(cases, c)
	}

	// Channels without subscribers. The pattern by which the cases hear is none.
	for _, c := range []rig.ScriptCase{
		{Name: "no subscriber", Args: announcing("PUBLISH", batch(two)), Reply: "0·3·4·1·0", Heard: "ch " + e3 + ";ch " + e4 + ";", After: "XLEN stream = 3"},
		{Name: "a subscriber of other channels", Args: announcing("PUBLISH", batch(one)), Subscribed: "p:liv p:live2 q:live ch live", Reply: "0·3·3·1·0", Heard: "ch " + e3 + ";", After: "XLEN stream = 2"},
		{Name: "a sharded subscriber does not hear PUBLISH", Args: announcing("PUBLISH", batch(one)), Sharded: "p:live", Without: "xrevrange", Reply: "0·3·3·1·0", After: "XLEN stream = 2"},
		{Name: "a plain subscriber does not hear SPUBLISH", Args: announcing("SPUBLISH", batch(one)), Subscribed: "p:live", Without: "spublish", Reply: "0·3·3·1·0", After: "XLEN stream = 2"},
		{Name: "no subscriber, and no right to XREVRANGE", Args: announcing("PUBLISH", batch(one)), Without: "xrevrange", Reply: "0·3·3·1·0", After: "XLEN stream = 2"},
		{Name: "a stream of another type", Setup: "DEL stream; SET stream x", Args: announcing("PUBLISH", batch(one, one)), Reply: "2·WRONGTYPE…\n2·WRONGTYPE…", Heard: rig.NoMessage},
		{
			Name: "PUBSUB is refused: there may be a subscriber", Args: announcing("PUBLISH", silent.Replace(batch(one))), Without: "pubsub",
			Reply: "0·3·3·1·0", Heard: announced(entryAfter(0), line(entryAfter(1), 3, "c", e3)), After: "XLEN stream = 2",
		},
		{Name: "PUBSUB is refused, and not needed", Args: batch(one), Without: "pubsub", Subscribed: "p:live", Reply: "0·3·3·1·0", Heard: "ch " + e3 + ";", After: "XLEN stream = 2"},
	} {
		c.Setup, c.Keys = chat+"; "+c.Setup, keys
		cases = append(cases, c)
	}

	// Rights. Refused announcements are counted, and change nothing else.
	split, _ := sized(30000, 30000, 30000)
	conflict := announcing("PUBLISH", batch(inChat("m1~9", event("e3", "''"))))
	for _, c := range []rig.ScriptCase{
		{Name: "XREVRANGE", Args: announcing("PUBLISH", batch(one)), Without: "xrevrange", Reply: "0·3·3·1·0\n!·1·…", Heard: "ch " + e3 + ";", After: "XLEN stream = 2"},
		{Name: "XREVRANGE, two announcements", Args: split, Without: "xrevrange", Reply: "0·3·5·1·0\n!·2·…", Heard: rig.NoMessage, After: "XLEN stream = 4"},
		{Name: "XREVRANGE, and nothing is appended", Args: conflict, Without: "xrevrange", Reply: "1·1·2", Heard: rig.NoMessage},
		{Name: "XREVRANGE, which is not needed", Args: batch(one), Without: "xrevrange", Reply: "0·3·3·1·0", Heard: "ch " + e3 + ";", After: "XLEN stream = 2"},
		{Name: "PUBLISH", Args: announcing("PUBLISH", batch(one)), Without: "publish", Reply: "0·3·3·1·0\n!·2·…", Heard: rig.NoMessage, After: "XLEN stream = 2"},
		{Name: "SPUBLISH", Args: announcing("SPUBLISH", batch(one)), Without: "spublish", Sharded: "p:live", Reply: "0·3·3·1·0\n!·1·…", Heard: "ch " + e3 + ";", After: "XLEN stream = 2"},
		{Name: "HSET: the batch is reverted", Args: announcing("PUBLISH", batch(one)), Without: "hset", Reply: rig.NoRight, Heard: rig.NoMessage, After: "XLEN stream = 1"},
		{
			Name: "the batch is half written", Args: announcing("PUBLISH", batch(inChat("·ubob~0", event("e3", "''", 1)))), Writes: "p:id p:w stream p:chats p:count p:c:[^u]*",
			Reply: "-4·…", Heard: rig.NoMessage, After: "XLEN stream = 2",
		},
	} {
		c.Name, c.Setup, c.Keys, c.Subscribed = "without the right to "+c.Name, chat, keys, "p:live"
		cases = append(cases, c)
	}
	rig.RunScript(t, eventlog.Sources()["append"], cases)
}
