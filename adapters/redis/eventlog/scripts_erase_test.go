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

// erasure is an event that erases entries of the entity at a place, which it moves. Each entry is SEQ~EVENT, with the event that the caller has read.
func erasure(id string, place int, entries ...string) string {
	args := event(id, fmt.Sprintf("~%d.%d.ada", place, len(entries)), place)
	for _, entry := range entries {
		seq, stored, _ := strings.Cut(entry, "~")
		digest := sha1.Sum([]byte(stored)) //nolint:gosec // see the import
		args += fmt.Sprintf(` %s %s {"erased":%s}`, seq, hex.EncodeToString(digest[:]), seq)
	}
	return args
}

// TestScript_AppendErasure erases entries of a message.
func TestScript_AppendErasure(t *testing.T) {
	const keys = "p:id p:w stream"
	chat := stored("3:1", "c1", "{2}", "m2{3}") + "; SET p:count 1; HSET p:c:x ·c 1 m1 3:2:2; HSET p:c:s m1 3 =m1 state other 1"
	var cases []rig.ScriptCase
	add := func(name, setup, args, reply, after string) {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: setup, Keys: keys, Args: args, Reply: reply, After: after})
	}
	both := erasure("e4", 1, "2~{2}", "3~{3}")
	done := `LRANGE p:c:0 0 -1 = [c1 {"erased":2} m2{"erased":3} ` + appendedJSON("m3", "e4", 4, 1) + "]; HGET p:c:x m1 = 4:3:2; HGETALL p:c:s = {other:1}"
	add("two entries", chat, batch(inChat("m1~3", both)), "0·4·4·1·0", done)
	add("after a deletion", chat, batch(inChat("m1~3", event("e4", "1", 1), erasure("e5", 1, "2~{2}", "3~{3}"))), "0·4·5·1·0",
		`LRANGE p:c:0 1 2 = [{"erased":2} m2{"erased":3}]; HGET p:c:x m1 = 5:4:2; ZRANGE p:c:d 0 -1 = [2]; HGETALL p:c:s = {other:1}`)
	add("and another event", chat, batch(inChat("m1~3 m2~0", both, event("e5", "+", 2))), "0·4·5·2·0", `LINDEX p:c:0 2 = m2{"erased":3}; LINDEX p:c:0 4 = `+appendedJSON("", "e5", 5, 2)+"; HGET p:c:x m2 = 5")
	add("no entry", chat, batch(inChat("m1~3", erasure("e4", 1))), "0·4·4·1·0", "LRANGE p:c:0 0 2 = [c1 {2} m2{3}]; HGETALL p:c:s = {other:1}")
	add("an entry of another form", chat, batch(inChat("m1~3", erasure("e4", 1, "2~{2}", "3~{x}"))), "1·1·3", "")
	add("an entry beyond the head", chat, batch(inChat("m1~3", erasure("e4", 1, "2~{2}", "4~{x}"))), "1·1·3", "")
	add("an entry that is no event", chat, batch(inChat("m1~3", erasure("e4", 1, "1~c1"))), "1·1·3", "")
	add("another version", chat, batch(inChat("m1~2", both)), "1·1·3", "")
	add("sent again", chat, strings.Replace(batch(inChat("m1~3", both)), "token ''", "token 1", 1), "0·4·4·1·0", "LLEN p:c:0 = 4")
	add("sent again after it was appended", stored("4:1", "c1", `{"erased":2}`, `m2{"erased":3}`, appendedJSON("m3", "e4", 4, 1))+"; SET p:count 1; HSET p:c:x ·c 1 m1 4:3:2",
		strings.Replace(batch(inChat("m1~3", both)), "token ''", "token 1", 1), "0·4·4·1·0", "LLEN p:c:0 = 4; HGET p:c:x · = 4:1")
	for held, place := range map[string]string{"''": "1", "cc": "2", "uada": "3"} {
		add("under the hold "+held, chat+"; HSET p:holds "+held+" [] cx [] ub []", batch(inChat("m1~3", both)), "7·"+place, "")
	}
	add("under holds of others", chat+"; HSET p:holds cx [] ub [] c [] uc []", batch(inChat("m1~3", both)), "0·4·4·1·0", done)
	add("under a hold, after its append", stored("4:1", "c1", `{"erased":2}`, `m2{"erased":3}`, appendedJSON("m3", "e4", 4, 1))+"; SET p:count 1; HSET p:c:x ·c 1 m1 4:3:2; HSET p:holds cc []",
		strings.Replace(batch(inChat("m1~3", both)), "token ''", "token 1", 1), "0·4·4·1·0", "LLEN p:c:0 = 4; HGETALL p:holds = {cc:[]}")
	add("holds of another type", chat+"; SET p:holds x", batch(inChat("m1~3", both)), "2·WRONGTYPE…", "")
	add("two messages in a batch", chat+"; HSET p:c:x m9 1", batch(inChat("m1~3", erasure("e4", 1, "3~{3}")), inChat("m9~1", erasure("e5", 1, "2~{2}"))), "0·4·4·1·0\n0·5·5·1·0",
		`LRANGE p:c:0 1 2 = [{"erased":2} m2{"erased":3}]; LLEN p:c:0 = 5`)
	add("one message twice in a batch", chat, batch(inChat("m1~3", both), inChat("m1~3", erasure("e5", 1, "2~{2}", "3~{3}"))), "0·4·4·1·0\n1·1·4", done)
	add("snapshots of another type", chat+"; DEL p:c:s; SET p:c:s x", batch(inChat("m1~3", both)), "2·WRONGTYPE…", "")
	add("a segment of another type", chat+"; DEL p:c:0; SET p:c:0 x", batch(inChat("m1~3", both)), "2·WRONGTYPE…", "")
	for _, command := range []string{"lset", "rpush", "xadd", "hset", "hexists", "lindex"} {
		after := ""
		switch command {
		case "xadd", "hset": // an empty stream may remain, and the snapshot has gone
			after = "LRANGE p:c:0 0 -1 = [c1 {2} m2{3}]; HGET p:c:x m1 = 3:2:2; HGET p:c:x · = 3:1; XLEN stream = 0"
		case "rpush":
			after = "LRANGE p:c:0 0 -1 = [c1 {2} m2{3}]"
		}
		cases = append(cases, rig.ScriptCase{Name: "without " + command, Setup: chat, Keys: keys, Args: batch(inChat("m1~3", both)), Without: command, Reply: rig.NoRight, After: after})
	}
	cases = append(cases, rig.ScriptCase{Name: "without hdel", Setup: chat, Keys: keys, Args: batch(inChat("m1~3", both)), Without: "hdel", Reply: rig.NoRight, After: ""})
	rig.RunScript(t, eventlog.Sources()["append"], cases)
}

// TestScript_SnapshotOfErasedMessage keeps no snapshot of a version before the erasure of a message.
func TestScript_SnapshotOfErasedMessage(t *testing.T) {
	erased := stored("3:1", "c1", "{2}", `m2{"eventId":"e\"3","type":"message:erased","v":1,"seq":3}`) + "; HSET p:c:x m1 3:2:2 ·m1 3"
	var cases []rig.ScriptCase
	add := func(name, setup, args, reply, after string) {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: setup, Keys: "p:id p:w", Args: args, Reply: reply, After: after})
	}
	add("before the erasure", erased, "L c m1 2 state $HISTORY 0", "0", "")
	add("of the erasure", erased, "L c m1 3 state $HISTORY 0", "1", "HGETALL p:c:s = {=m1:state m1:3}")
	deleted := stored("3:1", "c1", "{2}", `m2{"eventId":"e\"3","type":"chat:deleted","v":1,"seq":3}`) + "; HSET p:c:x ·c 3 ·m1 2 m1 2:2:2"
	for _, field := range []string{"·c", "·m1", "m1"} {
		add("before the deletion of the chat, of "+field, deleted, "L c "+field+" 2 state $HISTORY 0", "0", "")
		add("of the deletion of the chat, of "+field, deleted, "L c "+field+" 3 state $HISTORY 0", "1", "HGETALL p:c:s = {="+field+":state "+field+":3}")
	}
	add("before an update of the chat", strings.Replace(deleted, "deleted", "update", 1), "L c ·c 2 state $HISTORY 0", "1", "HGETALL p:c:s = {=·c:state ·c:2}")
	add("of an entity that is no message", erased, "L c ·m1 2 state $HISTORY 0", "1", "HGETALL p:c:s = {=·m1:state ·m1:2}")
	compact := stored("3:1:1:2", "c1", "{2}", "m2{\x02z1:body") + "; HSET p:c:x m1 3:2:2"
	add("before the erasure, in the compact form", compact, "L c m1 2 state $HISTORY 0", "0", "")
	add("of the erasure, in the compact form", compact, "L c m1 3 state $HISTORY 0", "1", "HGETALL p:c:s = {=m1:state m1:3}")
	add("before an edit in the compact form", stored("3:1:0:2", "c1", "{2}", "m2{\x02e1:z{\x02z1:body")+"; HSET p:c:x m1 3:2:2", "L c m1 2 state $HISTORY 0", "1", "HGETALL p:c:s = {=m1:state m1:2}")
	add("before an edit", stored("3:1", "c1", "{2}", `m2{"eventId":"e3","type":"message:edit","v":1,"seq":3}`)+"; HSET p:c:x m1 3:2:2", "L c m1 2 state $HISTORY 0", "1", "HGETALL p:c:s = {=m1:state m1:2}")
	rig.RunScript(t, eventlog.Sources()["snapshot"], cases)
}

// TestScript_EraseContent replaces events of a chat by their erased forms.
func TestScript_EraseContent(t *testing.T) {
	const keys = "p:id p:h"
	chat := stored("4:1", "c1{1}", "{2}", "m2{3}", "m3{4") + "; HSET p:c:s ·c 1 =·c state m1 2"
	args := func(entries ...string) string {
		all := "L c c"
		for _, entry := range entries {
			seq, event, _ := strings.Cut(entry, "~")
			digest := sha1.Sum([]byte(event)) //nolint:gosec // see the import
			all += fmt.Sprintf(` %s %s {"erased":%s} ada`, seq, hex.EncodeToString(digest[:]), seq)
		}
		return all
	}
	both := args("1~{1}", "3~{3}")
	const after = `LRANGE p:c:0 0 -1 = [c1{"erased":1} {2} m2{"erased":3} m3{4]; EXISTS p:c:s = 0`
	rig.RunScript(t, eventlog.Sources()["erase_content"], []rig.ScriptCase{
		{Name: "another log", Setup: "SET p:id M", Keys: keys, Args: both, Reply: "[-1]"},
		{Name: "no event", Setup: chat, Keys: keys, Args: "L c c", Reply: "[0]"},
		{Name: "two events", Setup: chat, Keys: keys, Args: both, Reply: "[0 0 0]", After: after},
		{Name: "without snapshots", Setup: chat + "; DEL p:c:s", Keys: keys, Args: both, Reply: "[0 0 0]", After: after},
		{Name: "given again", Setup: stored("3:1", `c1{"erased":1}`, "{2}", `m2{"erased":3}`), Keys: keys, Args: both, Reply: "[0 0 0]"},
		{Name: "given again in part", Setup: stored("4:1", `c1{"erased":1}`, "{2}", "m2{3}", "m3{4") + "; HSET p:c:s m1 2", Keys: keys, Args: both, Reply: "[0 0 0]", After: after},
		{Name: "another event", Setup: chat, Keys: keys, Args: args("1~{1}", "3~{x}"), Reply: "[0 0 1]"},
		{Name: "beyond the head", Setup: chat, Keys: keys, Args: args("1~{1}", "5~{5}"), Reply: "[0 0 1]"},
		{Name: "of the next segment", Setup: chat + "; RPUSH p:c:1 a{1025}", Keys: keys, Args: args("1025~{1025}"), Reply: "[0 0]", After: `LRANGE p:c:1 0 -1 = [a{"erased":1025}]; EXISTS p:c:s = 0`},
		{Name: "a hold of the log", Setup: chat + "; HSET p:h '' [] cc []", Keys: keys, Args: both, Reply: "[0 2 2]"},
		{Name: "a hold of the chat", Setup: chat + "; HSET p:h cc [] uada []", Keys: keys, Args: both, Reply: "[0 3 3]"},
		{Name: "a hold of the actor", Setup: chat + "; HSET p:h uada []", Keys: keys, Args: both, Reply: "[0 4 4]"},
		{Name: "a hold of one actor", Setup: chat + "; HSET p:h ubob []", Keys: keys, Args: strings.Replace(both, "ada", "bob", 1), Reply: "[0 4 0]", After: `LRANGE p:c:0 0 -1 = [c1{1} {2} m2{"erased":3} m3{4]; EXISTS p:c:s = 0`},
		{Name: "holds of others", Setup: chat + "; HSET p:h ubob [] cd [] c [] u []", Keys: keys, Args: both, Reply: "[0 0 0]", After: after},
		{Name: "holds of another type", Setup: chat + "; SET p:h x", Keys: keys, Args: both, Reply: "error WRONGTYPE"},
		{Name: "a segment of another type", Setup: chat + "; DEL p:c:0; SET p:c:0 x", Keys: keys, Args: both, Reply: "error WRONGTYPE"},
		{Name: "without lset", Setup: chat, Keys: keys, Args: both, Without: "lset", Reply: rig.NoRight, After: "EXISTS p:c:s = 0"},
		{Name: "without del", Setup: chat, Keys: keys, Args: both, Without: "del", Reply: rig.NoRight},
	})
}
