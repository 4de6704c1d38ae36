package eventlog_test

import (
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

func TestScript_Restore(t *testing.T) {
	const keys, held = "p:id", "SET p:id L"
	rig.RunScript(t, eventlog.Sources()["restore"], []rig.ScriptCase{
		{Name: "another restore", Setup: "SET p:id M", Keys: keys, Args: "L c 0 0 1 e1 0 0 0 c 1:5", Reply: "-1"},
		{Name: "no id", Keys: keys, Args: "L c 0 0 1 e1 0 0 0 c 1:5", Reply: "-1"},
		{Name: "first entries", Setup: held, Keys: keys, Args: "L c 0 0 2 e1 e2 0 0 0 '' ''", Reply: "1", After: "LINDEX p:c:0 1 = e2; LLEN p:c:0 = 2; EXISTS p:c:x p:c:u p:c:d p:chats p:count p:last = 0"},
		{Name: "entries that follow", Setup: held + "; RPUSH p:c:3 e1 e2", Keys: keys, Args: "L c 3 2 1 e3 0 0 0 '' ''", Reply: "1", After: "LINDEX p:c:3 2 = e3; LLEN p:c:3 = 3"},
		{Name: "a repeated call", Setup: held + "; RPUSH p:c:3 e1 e2 e3", Keys: keys, Args: "L c 3 2 1 e3 0 0 0 '' ''", Reply: "1", After: "LLEN p:c:3 = 3"},
		{Name: "entries that are missing", Setup: held + "; RPUSH p:c:3 e1", Keys: keys, Args: "L c 3 2 1 e3 2 f 1 0 0 c 1:5", Reply: "0"},
		{Name: "a repeated call after a later one", Setup: held + "; RPUSH p:c:3 e1 e2 e3 e4", Keys: keys, Args: "L c 3 2 1 e3 0 0 0 '' ''", Reply: "1", After: "LLEN p:c:3 = 4"},
		{Name: "a part of the entries", Setup: held + "; RPUSH p:c:3 e1 e2 e3", Keys: keys, Args: "L c 3 2 2 e3 e4 0 0 0 '' ''", Reply: "0"},
		{Name: "an index", Setup: held, Keys: keys, Args: "L c 0 0 0 4 · 7:7 f 1 0 0 '' ''", Reply: "1", After: "HGET p:c:x · = 7:7; HGET p:c:x f = 1; HLEN p:c:x = 2; EXISTS p:chats = 0"},
		{Name: "members", Setup: held, Keys: keys, Args: "L c 0 0 0 0 4 ada '' ben '' 0 '' ''", Reply: "1", After: "HLEN p:c:u = 2; HEXISTS p:c:u ben = 1"},
		{Name: "tombstones", Setup: held, Keys: keys, Args: "L c 0 0 0 0 0 4 7 7 9 9 '' ''", Reply: "1", After: "ZCARD p:c:d = 2; ZSCORE p:c:d 9 = 9"},
		{Name: "the end of a chat", Setup: held + "; SADD p:chats a b; SET p:count 2", Keys: keys, Args: "L c%3A 0 0 1 e1 2 · 1:1 2 ada '' 2 1 1 c: 1:5", Reply: "1", After: "SISMEMBER p:chats c: = 1; GET p:count = 3; HGET p:last c: = 1:5; LLEN p:c%3A:0 = 1; HLEN p:c%3A:x = 1"},
		{Name: "the end of a chat again", Setup: held + "; SADD p:chats a c; SET p:count 1", Keys: keys, Args: "L c 0 0 0 0 0 0 c 1:5", Reply: "1", After: "SCARD p:chats = 2; GET p:count = 2"},
	})
}
