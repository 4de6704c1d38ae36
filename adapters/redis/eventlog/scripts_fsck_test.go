package eventlog_test

import (
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

func TestScript_FsckPage(t *testing.T) {
	const keys = "p:id"
	long := segments(1030)
	rig.RunScript(t, eventlog.Sources()["fsck_page"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L c 0 0 9", Reply: "[-1]"},
		{Name: "no chat", Setup: "SET p:id L", Keys: keys, Args: "L c 0 0 9", Reply: "['' 0 0]"},
		{Name: "a first segment", Setup: long, Keys: keys, Args: "L c 0 1 2", Reply: "[1030:1030 1024 6 e2 e3]"},
		{Name: "a last segment", Setup: long, Keys: keys, Args: "L c 1 4 9", Reply: "[1030:1030 6 0 e1029 e1030]"},
		{Name: "one entry", Setup: long, Keys: keys, Args: "L c 0 0 1", Reply: "[1030:1030 1024 6 e1]"},
		{Name: "no entries", Setup: long, Keys: keys, Args: "L c 0 0 0", Reply: "[1030:1030 1024 6]"},
	})
}

func TestScript_FsckList(t *testing.T) {
	const keys, two = "p:id", "SET p:id L; SADD p:chats a b; SET p:count 2"
	rig.RunScript(t, eventlog.Sources()["fsck_list"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L a 1", Reply: "-1"},
		{Name: "a missing chat", Setup: two, Keys: keys, Args: "L c ''", Reply: "1", After: "SCARD p:chats = 3; GET p:count = 2"},
		{Name: "a chat that is there", Setup: two, Keys: keys, Args: "L a ''", Reply: "0"},
		{Name: "the count", Setup: two + "; SET p:count 5", Keys: keys, Args: "L '' 1", Reply: "1", After: "GET p:count = 2; SCARD p:chats = 2"},
		{Name: "the right count", Setup: two, Keys: keys, Args: "L '' 1", Reply: "0"},
		{Name: "no count", Setup: "SET p:id L; SADD p:chats a", Keys: keys, Args: "L '' 1", Reply: "1", After: "GET p:count = 1"},
		{Name: "no count and no chat", Setup: "SET p:id L", Keys: keys, Args: "L '' 1", Reply: "0"},
		{Name: "a chat and the count", Setup: two, Keys: keys, Args: "L c 1", Reply: "1", After: "SCARD p:chats = 3; GET p:count = 3"},
		{Name: "neither", Setup: two + "; SET p:count 5", Keys: keys, Args: "L '' ''", Reply: "0"},
	})
}

func TestScript_FsckStream(t *testing.T) {
	const keys = "p:id stream"
	// listed is a chat whose event of seq 1 has the payload {1}, with an entry of it in the stream.
	const listed = "SET p:id L; HSET p:c:x · 1:1; RPUSH p:c:0 c3{1}; XADD stream 5-0 a b"
	rig.RunScript(t, eventlog.Sources()["fsck_stream"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M; XADD stream 5-0 a b", Keys: keys, Args: "L c 0 0 1 5-0 {1}", Reply: "-1"},
		{Name: "an event that is in the log", Setup: listed, Keys: keys, Args: "L c 0 0 1 5-0 {1}", Reply: "0"},
		{Name: "another event", Setup: listed, Keys: keys, Args: "L c 0 0 1 5-0 {2}", Reply: "1", After: "XLEN stream = 0"},
		{Name: "an event beyond the head", Setup: listed + "; RPUSH p:c:0 {2}", Keys: keys, Args: "L c 0 1 2 5-0 {2}", Reply: "1", After: "XLEN stream = 0"},
		{Name: "an event beyond the head that is missing", Setup: listed, Keys: keys, Args: "L c 0 1 2 5-0 {2}", Reply: "1", After: "XLEN stream = 0"},
		{Name: "an event that the chat has lost", Setup: listed + "; HSET p:c:x · 2:2", Keys: keys, Args: "L c 0 1 2 5-0 {2}", Reply: "0"},
		{Name: "a chat without head", Setup: listed + "; DEL p:c:x", Keys: keys, Args: "L c 0 0 1 5-0 {1}", Reply: "1", After: "XLEN stream = 0"},
		{Name: "an unreadable head", Setup: listed + "; HSET p:c:x · x", Keys: keys, Args: "L c 0 0 1 5-0 {1}", Reply: "1", After: "XLEN stream = 0"},
		{Name: "an entry that is gone", Setup: listed, Keys: keys, Args: "L c 0 0 1 6-0 {2}", Reply: "0"},
	})
}

func TestScript_FsckFix(t *testing.T) {
	const keys = "p:id stream"
	// chat has two members, a tombstone and two events.
	const chat = "SET p:id L; HSET p:c:x · 2:2 ·#u 2 ·#d 1 f old; HSET p:c:u a 1 b 2; ZADD p:c:d 1 1; RPUSH p:c:0 e1 e2"
	args := func(rest string) string { return "L c c 2:2 " + rest }
	rig.RunScript(t, eventlog.Sources()["fsck_fix"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: args("'' 0 0"), Reply: "-1"},
		{Name: "nothing", Setup: chat, Keys: keys, Args: args("'' 0 0"), Reply: "0"},
		{
			Name: "each kind", Setup: chat, Keys: keys, Args: args("'' 5 h x f +old +new h u c - +3 z d 2 - +2 z d 1 +1 - l 0 0 +e1 +n1 0"), Reply: "5",
			After: "HGET p:c:x f = new; HGET p:c:u c = 3; ZRANGE p:c:d 0 -1 = [2]; LRANGE p:c:0 0 -1 = [n1 e2]; HGET p:c:x ·#u = 2; XLEN stream = 0",
		},
		{
			Name: "a removal and a recount", Setup: chat, Keys: keys, Args: args("1 2 h u a +1 - z d 1 +1 - 0"), Reply: "2",
			After: "HGET p:c:x ·#u = 1; HEXISTS p:c:x ·#d = 0; HGETALL p:c:u = {b:2}; EXISTS p:c:d = 0",
		},
		{Name: "a removal that is done", Setup: chat, Keys: keys, Args: args("'' 1 h u c +3 - 0"), Reply: "1", After: "HGETALL p:c:u = {a:1 b:2}"},
		{Name: "a correction that is done", Setup: chat + "; HSET p:c:x f new", Keys: keys, Args: args("'' 1 h x f +old +new 0"), Reply: "1", After: "HGET p:c:x f = new"},
		{Name: "another value", Setup: chat + "; HSET p:c:x f other", Keys: keys, Args: args("'' 2 h u c - +3 h x f +old +new 0"), Reply: "0"},
		{Name: "a value that is gone", Setup: chat + "; HDEL p:c:x f", Keys: keys, Args: args("'' 1 h x f +old +new 0"), Reply: "0"},
		{Name: "another head", Setup: chat + "; HSET p:c:x · 3:3", Keys: keys, Args: args("'' 1 h u c - +3 0"), Reply: "0"},
		{Name: "another head to correct", Setup: chat + "; HSET p:c:x · 3:3", Keys: keys, Args: args("'' 1 h x · +3:3 +2:1 0"), Reply: "0"},
		{Name: "any head", Setup: chat, Keys: keys, Args: "L c c '' '' 1 h u c - +3 0", Reply: "1", After: "HGET p:c:u c = 3"},
		{Name: "no head", Setup: chat + "; HDEL p:c:x ·", Keys: keys, Args: args("'' 1 h u c - +3 0"), Reply: "0"},
		{Name: "a head to correct", Setup: chat, Keys: keys, Args: args("'' 1 h x · +2:2 +2:1 0"), Reply: "1", After: "HGET p:c:x · = 2:1"},
		{
			Name: "a head that is correct already", Setup: chat + "; HSET p:c:x · 2:1", Keys: keys, Args: args("'' 2 h u c - +3 h x · +2:2 +2:1 0"), Reply: "2",
			After: "HGET p:c:x · = 2:1; HGET p:c:u c = 3",
		},
		{Name: "the field of another hash with the value of the head", Setup: chat + "; HSET p:c:x · 3:3; HSET p:c:u · 3:3", Keys: keys, Args: args("'' 1 h u · - +3:3 0"), Reply: "0"},
		{Name: "another field with the value of the head", Setup: chat + "; HSET p:c:x · 3:3 f 3:3", Keys: keys, Args: args("'' 1 h x f - +3:3 0"), Reply: "0"},
		{Name: "a lost head to correct", Setup: chat + "; HDEL p:c:x ·", Keys: keys, Args: "L c c '' '' 1 h x · - +2:2 0", Reply: "1", After: "HGET p:c:x · = 2:2"},
		{
			Name: "entries of the stream", Setup: chat, Keys: keys, Args: args("'' 0 2 id1 {m1} {p1} 1 id2 {m2} {p2} 2"), Reply: "0",
			After: "XRANGE stream - + = [[… [_watermill_message_uuid id1 metadata {m1} payload {p1} chat c seq 1]] [… [_watermill_message_uuid id2 metadata {m2} payload {p2} chat c seq 2]]]",
		},
		{Name: "members of another type", Setup: chat + "; SET p:c:u x", Keys: keys, Args: args("'' 1 h x f +old +new 0"), Reply: "error WRONGTYPE"},
		{Name: "tombstones of another type", Setup: chat + "; SET p:c:d x", Keys: keys, Args: args("'' 1 h x f +old +new 0"), Reply: "error WRONGTYPE"},
		{Name: "a stream of another type", Setup: chat + "; SET stream x", Keys: keys, Args: args("'' 1 h x f +old +new 1 id1 {m1} {p1} 1"), Reply: "error WRONGTYPE"},
		{Name: "a stream of another type without entries", Setup: chat + "; SET stream x", Keys: keys, Args: args("'' 1 h x f +old +new 0"), Reply: "1", After: "HGET p:c:x f = new"},
	})
}
