package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

// entry is a stored event: its links, as kind and seq, and its fields.
func entry(links, kind string, seq, ordinal int, fields string) string {
	return fmt.Sprintf(`%s{"eventId":"e%d","type":"%s","v":1,"timestamp":"t%d","seq":%d,"ordinal":%d%s}`, links, seq, kind, seq, seq, ordinal, fields)
}

func sent(seq, ordinal int) string { return entry("", "message:new", seq, ordinal, "") }

func read(seq, ordinal int) string { return entry("", "read:receipt", seq, ordinal, "") }

// stored is the commands that store the chat c of the log L.
func stored(head string, entries ...string) string {
	setup := "SET p:id L; SADD p:chats c; HSET p:c:x · " + head
	if len(entries) > 0 {
		setup += "; RPUSH p:c:0 " + strings.Join(entries, " ")
	}
	return setup
}

// segments is the commands that store a chat with the entries e1, e2, … in segments.
func segments(head int) string {
	setup := "SET p:id L; SADD p:chats c; HSET p:c:x · " + fmt.Sprint(head, ":", head)
	for segment := 0; segment*1024 < head; segment++ {
		setup += fmt.Sprintf("; EVAL for·i=%d,%d·do·redis.call('RPUSH',KEYS[1],'e'..i)·end·return·1 1 p:c:%d", segment*1024+1, min(head, (segment+1)*1024), segment)
	}
	return setup
}

// list is the entries from first to last of such a chat.
func list(first, last int) string {
	var b strings.Builder
	for i := first; i <= last; i++ {
		fmt.Fprintf(&b, " e%d", i)
	}
	return b.String()
}

// damaged are chats c whose keys contradict each other, and the faults.
func damaged() map[string]struct{ setup, fault string } {
	const missing, unreadable = "the·head·is·missing", "the·head·is·unreadable"
	return map[string]struct{ setup, fault string }{
		"no head but other fields": {"SET p:id L; HSET p:c:x · 1:1 ·#u 1; RPUSH p:c:0 e1; HDEL p:c:x ·", missing},
		"no head but members":      {"SET p:id L; HSET p:c:u ada 1", missing},
		"no head but tombstones":   {"SET p:id L; ZADD p:c:d 1 1", missing},
		"no head but events":       {"SET p:id L; RPUSH p:c:0 e1", missing},
		"no head but in the list":  {"SET p:id L; SADD p:chats c", missing},
		"a head of 0":              {stored("0:0"), unreadable},
		"a head that is no number": {stored("x"), unreadable},
		"a head with more":         {stored("1:1:1", sent(1, 1)), unreadable},
		"a segment that is short":  {stored("2:2", sent(1, 1)), "segment·0·has·1·entries,·by·the·head·2"},
		"a segment that is long":   {stored("1:1", sent(1, 1), sent(2, 2)), "segment·0·has·2·entries,·by·the·head·1"},
	}
}

// TestScript_DamagedChat reads damaged chats. Each script names the fault.
func TestScript_DamagedChat(t *testing.T) {
	for script, c := range map[string]struct{ keys, args, reply string }{
		"read":    {"p:id", "L c 1 '' 9 0", "[-2 SEQ FAULT]"},
		"backlog": {"p:id stream", "L 999 '' c 1 9", "['' [-2 SEQ FAULT]]"},
		"last":    {"p:id", "L 1 c", "[-2 FAULT]"},
		"search":  {"p:id", "L c messages 1 '' 0 9", "[-2 SEQ FAULT]"},
		"load":    {"p:id", "L c 256 '' 1 c c 0 0 '' '' 0", "[-2 SEQ FAULT]"},
	} {
		t.Run(script, func(t *testing.T) {
			var cases []rig.ScriptCase
			for name, d := range damaged() {
				head := strings.Contains(d.fault, "head·is")
				if script == "load" && !head { // the index has no entity whose event would be read
					continue
				}
				seq := "…"
				if head {
					seq = "0"
				}
				cases = append(cases, rig.ScriptCase{
					Name: name, Setup: d.setup, Keys: c.keys, Args: c.args, Reply: strings.NewReplacer("SEQ", seq, "FAULT", d.fault).Replace(c.reply),
				})
			}
			rig.RunScript(t, eventlog.Sources()[script], cases)
		})
	}
}

func TestScript_Read(t *testing.T) {
	const keys = "p:id"
	long, escaped := segments(1030), strings.NewReplacer("p:c:", "p:a%20b:", "chats c", "chats a·b").Replace(segments(3))
	rig.RunScript(t, eventlog.Sources()["read"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L c 1 '' 9 0", Reply: "[-1]"},
		{Name: "no chat", Setup: "SET p:id L", Keys: keys, Args: "L c 1 '' 9 0", Reply: "[0 0]"},
		{Name: "no chat with an escaped id", Setup: "SET p:id L; SADD p:chats a·b", Keys: keys, Args: "L a%20b 1 '' 9 0", Reply: "[-2 0 the·head·is·missing]"},
		{Name: "no id", Setup: "SET p:id L; HSET p::x a b", Keys: keys, Args: "L '' 1 '' 9 0", Reply: "[0 0]"},
		{Name: "an escaped id", Setup: escaped, Keys: keys, Args: "L a%20b 1 '' 9 0", Reply: "[3 1 e1 e2 e3]"},
		{Name: "from the start", Setup: long, Keys: keys, Args: "L c 0 '' 2 0", Reply: "[1030 1 e1 e2]"},
		{Name: "up to the end", Setup: long, Keys: keys, Args: "L c 1029 '' 9 0", Reply: "[1030 1029 e1029 e1030]"},
		{Name: "the last event", Setup: long, Keys: keys, Args: "L c 1030 '' 9 0", Reply: "[1030 1030 e1030]"},
		{Name: "beyond the end", Setup: long, Keys: keys, Args: "L c 1031 '' 9 0", Reply: "[1030 0]"},
		{Name: "across segments", Setup: long, Keys: keys, Args: "L c 1023 '' 3 0", Reply: "[1030 1023" + list(1023, 1025) + "]"},
		{Name: "the last of a segment", Setup: long, Keys: keys, Args: "L c 1024 '' 1 0", Reply: "[1030 1024 e1024]"},
		{Name: "the first of a segment", Setup: long, Keys: keys, Args: "L c 1025 '' 1 0", Reply: "[1030 1025 e1025]"},
		{Name: "up to a seq that counts", Setup: long, Keys: keys, Args: "L c 5 '' 9 7", Reply: "[1030 5" + list(5, 7) + "]"},
		{Name: "up to a seq beyond the end", Setup: segments(3), Keys: keys, Args: "L c 1 '' 9 7", Reply: "[3 1 e1 e2 e3]"},
		{Name: "backwards from the end", Setup: long, Keys: keys, Args: "L c 0 1 2 0", Reply: "[1030 1029 e1029 e1030]"},
		{Name: "backwards", Setup: long, Keys: keys, Args: "L c 5 1 2 0", Reply: "[1030 4 e4 e5]"},
		{Name: "backwards to the start", Setup: long, Keys: keys, Args: "L c 2 1 9 0", Reply: "[1030 1 e1 e2]"},
		{Name: "backwards from beyond the end", Setup: segments(3), Keys: keys, Args: "L c 9 1 2 0", Reply: "[3 2 e2 e3]"},
		{Name: "backwards from a seq that counts", Setup: long, Keys: keys, Args: "L c 0 1 2 7", Reply: "[1030 6 e6 e7]"},
		{Name: "backwards from a seq beyond the end that counts", Setup: segments(3), Keys: keys, Args: "L c 0 1 2 7", Reply: "[3 2 e2 e3]"},
		{Name: "a segment of another type", Setup: stored("1:1") + "; SET p:c:0 x", Keys: keys, Args: "L c 1 '' 9 0", Reply: "error WRONGTYPE"},
		{Name: "a second segment that is missing", Setup: long + "; DEL p:c:1", Keys: keys, Args: "L c 1023 '' 9 0", Reply: "[-2 1025 segment·1·has·0·entries,·by·the·head·6]"},
	})
}

func TestScript_Backlog(t *testing.T) {
	const keys = "p:id stream"
	long := segments(1030) + "; XADD stream 1-0 a b; XADD stream 3-0 a b"
	rig.RunScript(t, eventlog.Sources()["backlog"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L 99 '' c 1 9", Reply: "[-1]"},
		{Name: "no stream, no chat", Setup: "SET p:id L", Keys: keys, Args: "L 99 '' c 1 9", Reply: "['' [0]]"},
		{Name: "an earlier entry", Setup: long, Keys: keys, Args: "L 99 1-0 c 1 2", Reply: "[3-0 [1030 e1 e2]]"},
		{Name: "an earlier entry that is gone", Setup: long, Keys: keys, Args: "L 99 2-0 c 1 2", Reply: "[]"},
		{Name: "ranges", Setup: long, Keys: keys, Args: "L 99 '' c 1 1 d 1 1 c 1029 9 c 1031 9", Reply: "[3-0 [1030 e1] [0] [1030 e1029 e1030] [1030]]"},
		{Name: "across segments", Setup: long, Keys: keys, Args: "L 9999 '' c 1000 30", Reply: "[3-0 [1030" + list(1000, 1029) + "]]"},
		{Name: "a large reply", Setup: long, Keys: keys, Args: "L 40 '' c 1 99 c 5 9", Reply: "[3-0 [1030" + list(1, 32) + "] [1030 e5]]"},
		{Name: "a reply that is exactly large enough", Setup: long, Keys: keys, Args: "L 39 '' c 1 99", Reply: "[3-0 [1030" + list(1, 16) + "]]"},
		{Name: "a reply that is not quite large enough", Setup: long, Keys: keys, Args: "L 40 '' c 1 17", Reply: "[3-0 [1030" + list(1, 17) + "]]"},
		{Name: "no more bytes", Setup: long, Keys: keys, Args: "L 0 '' c 1 99", Reply: "[3-0 [1030 e1]]"},
		{
			Name: "a second segment that is missing", Setup: long + "; DEL p:c:1", Keys: keys, Args: "L 9999 '' c 1023 9 c 1025 9",
			Reply: "[3-0 [1030 e1023 e1024] [-2 1025 segment·1·has·0·entries,·by·the·head·6]]",
		},
		{Name: "a foreign value in one chat", Setup: long + "; HSET p:d:x · 1:1; SET p:d:0 x", Keys: keys, Args: "L 99 '' d 1 9 c 1 1", Reply: "[3-0 [-2 0 WRONGTYPE…] [1030 e1]]"},
		{Name: "no right", Setup: long, Keys: keys, Args: "L 99 '' c 1 9", Without: "lrange", Reply: rig.NoRight},
	})
}

func TestScript_Last(t *testing.T) {
	const keys = "p:id"
	three := stored("3:1", read(1, 0), sent(2, 1), read(3, 1))
	// many has 100 receipts after its second message.
	many := []string{sent(1, 1), sent(2, 2)}
	for seq := 3; seq <= 102; seq++ {
		many = append(many, read(seq, 2))
	}
	large := entry("", "message:new", 1, 1, `,"content":"`+strings.Repeat("x", 511*4096)+`"`)
	rig.RunScript(t, eventlog.Sources()["last"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L 1 c", Reply: "[-1]"},
		{Name: "no chat", Setup: "SET p:id L", Keys: keys, Args: "L 1 c", Reply: "[0 '']"},
		{Name: "entries", Setup: three, Keys: keys, Args: "L 1 c d", Reply: "[2 " + sent(2, 1) + " 0 '']"},
		{Name: "times", Setup: three, Keys: keys, Args: "L '' c c", Reply: "[2 t2 2 t2]"},
		{Name: "a message at the head", Setup: stored("2:2", sent(1, 1), sent(2, 2)), Keys: keys, Args: "L '' c", Reply: "[2 t2]"},
		{Name: "far back", Setup: stored("102:2", many...), Keys: keys, Args: "L '' c", Reply: "[2 t2]"},
		{Name: "no message", Setup: stored("3:0", read(1, 0), read(2, 0), read(3, 0)), Keys: keys, Args: "L '' c", Reply: "[1 t1]"},
		{Name: "a custom event that counts", Setup: stored("3:1", read(1, 0), entry("", "x:y", 2, 1, ""), read(3, 1)), Keys: keys, Args: "L '' c", Reply: "[2 t2]"},
		{Name: "an event of another seq", Setup: stored("2:1", sent(1, 1), sent(1, 1)), Keys: keys, Args: "L '' c", Reply: "[-2 an·entry·is·not·that·of·its·seq]"},
		{Name: "an event of another seq before", Setup: stored("3:1", sent(1, 1), sent(1, 1), read(3, 1)), Keys: keys, Args: "L '' c", Reply: "[-2 an·entry·is·not·that·of·its·seq]"},
		{Name: "no event", Setup: stored("1:1", "x"), Keys: keys, Args: "L '' c", Reply: "[-2 an·entry·is·not·that·of·its·seq]"},
		{Name: "a foreign value in one chat", Setup: three + "; HSET p:d:x · 1:1; SET p:d:0 x", Keys: keys, Args: "L '' d c", Reply: "[-2 WRONGTYPE… 2 t2]"},
		{Name: "no right", Setup: three, Keys: keys, Args: "L '' c", Without: "lindex", Reply: rig.NoRight},
		{Name: "enough entries read", Setup: stored("1:1", large), Keys: keys, Args: "L '' c d d", Reply: "[1 t1]"},
	})
}
