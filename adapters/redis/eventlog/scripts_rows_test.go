package eventlog_test

import (
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

func TestScript_Previews(t *testing.T) {
	const keys, chat = "p:id p:previews", "SET p:id L; HSET p:c:x · 9:2:0:5 m 7:2:5 n 4; "
	const uuid = "0190a3b4-5c6d-7e8f-9a0b-1c2d3e4f5a6b"
	rig.RunScript(t, eventlog.Sources()["previews"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: "L c 5 7 m e", Reply: "[-1]"},
		{Name: "the last message", Setup: chat, Keys: keys, Args: "L c 5 7 m e", Reply: "[1]", After: "HGETALL p:previews = {c:e}"},
		{Name: "over another entry", Setup: chat + "HSET p:previews c f d g", Keys: keys, Args: "L c 5 7 m e", Reply: "[1]", After: "HGETALL p:previews = {c:e d:g}"},
		{Name: "an earlier state", Setup: chat, Keys: keys, Args: "L c 5 5 m e", Reply: "[0]", After: "EXISTS p:previews = 0"},
		{Name: "a later state", Setup: chat, Keys: keys, Args: "L c 5 8 m e", Reply: "[0]"},
		{Name: "an earlier message", Setup: chat, Keys: keys, Args: "L c 4 4 n e", Reply: "[0]"},
		{Name: "an earlier message where the last one is unknown", Setup: chat + "HSET p:c:x · 9:2:0:0", Keys: keys, Args: "L c 4 4 n e", Reply: "[1]", After: "HGETALL p:previews = {c:e}"},
		{Name: "below level 3", Setup: chat + "HSET p:c:x · 9:2", Keys: keys, Args: "L c 5 7 m e", Reply: "[1]", After: "HGETALL p:previews = {c:e}"},
		{Name: "a chat without messages", Setup: chat + "HSET p:c:x · 9:0:0:0", Keys: keys, Args: "L c 5 7 m e", Reply: "[0]"},
		{Name: "an unreadable head", Setup: chat + "HSET p:c:x · x", Keys: keys, Args: "L c 5 7 m e", Reply: "[0]"},
		{Name: "no such message", Setup: chat, Keys: keys, Args: "L c 5 7 o e", Reply: "[0]"},
		{Name: "no such chat", Setup: chat, Keys: keys, Args: "L d 5 7 m e", Reply: "[0]"},
		{Name: "no head", Setup: "SET p:id L; HSET p:c:x m 7", Keys: keys, Args: "L c 5 7 m e", Reply: "[0]"},
		{Name: "an index of another type", Setup: "SET p:id L; SET p:c:x x; HSET p:d:x · 9:2:0:5 m 7", Keys: keys, Args: "L c 5 7 m e d 5 7 m f", Reply: "[1]", After: "HGETALL p:previews = {d:f}"},
		{Name: "a message with a UUID", Setup: "SET p:id L; HSET p:c:x · 9:2:0:5 " + uuid + " 7", Keys: keys, Args: "L c 5 7 " + uuid + " e", Reply: "[0]"},
		{Name: "a view of another type", Setup: chat + "SET p:previews x", Keys: keys, Args: "L c 5 7 m e", Reply: "[1]", After: "HGETALL p:previews = {c:e}"},
		{Name: "no right", Setup: chat, Keys: keys, Args: "L c 5 7 m e", Without: "hset", Reply: rig.NoRight},
		{Name: "no right to read", Setup: chat, Keys: keys, Args: "L c 5 7 m e", Without: "hmget", Reply: rig.NoRight},
	})
}

func TestScript_Rows(t *testing.T) {
	const keys, chat = "p:id p:previews", "SET p:id L; HSET p:c:x · 9:2:0:5 m 7:2:5 n 4 ·rada 7:2:1; HSET p:previews "
	const args = "L ada 1 1 1 c"
	rig.RunScript(t, eventlog.Sources()["rows"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: args, Reply: "[-1]"},
		{Name: "the last message", Setup: chat + "c 7:5:1:mx", Keys: keys, Args: args, Reply: "[0 1 7:5:1:mx]"},
		{Name: "an earlier state", Setup: chat + "c 5:5:1:mx", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "a later state", Setup: chat + "c 70:5:1:mx", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "an earlier message", Setup: chat + "c 4:4:1:nx", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "another message of the seq", Setup: chat + "c 4:5:1:nx", Keys: keys, Args: args, Reply: "[0 1 4:5:1:nx]"},
		{Name: "no such message", Setup: chat + "c 7:5:1:ox", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "an unreadable entry", Setup: chat + "c 7:5:m", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "no entry", Setup: chat + "d 7:5:1:mx", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "no view", Setup: chat + "d x; DEL p:previews", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "a view of another type", Setup: chat + "d x; DEL p:previews; SET p:previews x", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "the last message is unknown", Setup: chat + "c 7:5:1:mx; HSET p:c:x · 9:2:0:0", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "below level 3", Setup: chat + "c 7:5:1:mx; HSET p:c:x · 9:2", Keys: keys, Args: args, Reply: "[0 1 '']"},
		{Name: "a chat without messages", Setup: chat + "c 7:5:1:mx; HSET p:c:x · 9:0:0:0 ·rada 7:2:0", Keys: keys, Args: args, Reply: "[0 0 -]"},
		{Name: "no member", Setup: chat + "c 7:5:1:mx; HSET p:c:x ·rada 7:-", Keys: keys, Args: args, Reply: "[0 -1 7:5:1:mx]"},
		{Name: "no such chat", Setup: chat + "c 7:5:1:mx", Keys: keys, Args: "L ada 1 1 1 d c", Reply: "[0 -2 '' 1 7:5:1:mx]"},
		{Name: "an index of another type", Setup: "SET p:id L; SET p:c:x x", Keys: keys, Args: args, Reply: "error WRONGTYPE"},
		{Name: "no right", Setup: chat + "c 7:5:1:mx", Keys: keys, Args: args, Without: "hmget", Reply: rig.NoRight},
	})
}
