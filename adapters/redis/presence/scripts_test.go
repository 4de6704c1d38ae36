package presence_test

import (
	"fmt"
	"testing"
	"time"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/presence"
)

func TestScript_PresenceLease(t *testing.T) {
	rig.RunScript(t, presence.LeaseSource, []rig.ScriptCase{
		{Name: "a first one", Keys: "l", Args: "me 3600000", Reply: "1", After: "GET l = me; PEXPIRETIME l = @1"},
		{Name: "a renewal", Setup: "SET l me PXAT @0.5", Keys: "l", Args: "me 3600000", Reply: "1", After: "GET l = me; PEXPIRETIME l = @1"},
		{Name: "a release", Setup: "SET l me PXAT @0.5", Keys: "l", Args: "me 0", Reply: "1", After: "EXISTS l = 0"},
		{Name: "another's", Setup: "SET l you PXAT @0.5", Keys: "l", Args: "me 3600000", Reply: "0"},
		{Name: "a longer one of another", Setup: "SET l you PXAT @2", Keys: "l", Args: "me 3600000", Reply: "0", After: "GET l = you; PEXPIRETIME l = @1"},
		{Name: "a release of another's", Setup: "SET l you PXAT @0.5", Keys: "l", Args: "me 0", Reply: "0"},
		{Name: "another program's", Setup: "SET l you", Keys: "l", Args: "me 3600000", Reply: "1", After: "GET l = me; PEXPIRETIME l = @1"},
		{Name: "a release of another program's", Setup: "SET l you", Keys: "l", Args: "me 0", Reply: "1"},
		{Name: "a release of none", Keys: "l", Args: "me 0", Reply: "1"},
	})
}

func TestScript_PresenceDue(t *testing.T) {
	const some = "ZADD d @-1 b @-2 a @0.5 now @2 ahead @3 far"
	rig.RunScript(t, presence.DueSource, []rig.ScriptCase{
		{Name: "none", Keys: "d", Args: "3600000 9", Reply: "[]"},
		{Name: "all", Setup: some, Keys: "d", Args: "3600000 9", Reply: "[a b ahead far]"},
		{Name: "some ahead", Setup: some, Keys: "d", Args: "3600000 3", Reply: "[a b ahead]"},
		{Name: "none ahead", Setup: some, Keys: "d", Args: "3600000 2", Reply: "[a b]"},
		{Name: "one", Setup: some, Keys: "d", Args: "3600000 1", Reply: "[a]"},
	})
}

func TestScript_PresenceEnds(t *testing.T) {
	ends := func(name, setup, reply string) rig.ScriptCase {
		return rig.ScriptCase{Name: name, Setup: setup, Keys: "d r s", Args: "u v", Reply: "[" + reply + " 0 0]"}
	}
	rig.RunScript(t, presence.EndsSource, []rig.ScriptCase{
		ends("unknown", "", "0 0"),
		ends("online", "HSET r ·told 1 ·last @1", "1 @1"),
		ends("ended", "HSET r ·told 2 ·last @-1", "2 @-1"),
		ends("offline", "HSET r ·told 0 ·last @1", "3 @1"),
		ends("offline, ended", "HSET r ·told 0", "3 0"),
		ends("online without an end", "HSET r ·told 1", "1 0"),
		ends("a lost record", "ZADD d @-1 u", "2 @-1"),
		ends("a lost record of a live user", "ZADD d @1 u", "0 @1"),
		ends("a record of another type", "SET r x; ZADD d @-1 u", "2 @-1"),
		ends("an unreadable record", "HSET r ·told x ·last @1; ZADD d @-1 u", "2 @-1"),
		ends("keys of other types", "SET r x; SET d x", "0 0"),
		{Name: "two users", Setup: "HSET r ·told 1 ·last @1; HSET s ·told 0", Keys: "d r s", Args: "u v", Reply: "[1 @1 3 0]"},
	})
}

// step is a case of the step script: a heartbeat lasts an hour, a choice two hours, a status ten.
func step(name, setup, op, reply, after string) rig.ScriptCase {
	const publication = ` u 3600000 7200000 36000000 ch {"at":" ","status":"`
	return rig.ScriptCase{Name: name, Setup: setup, Keys: "r dv st d on", Args: op + publication, Reply: reply, After: after}
}

// online is the keys of a user whose only connection, phone, has its last heartbeat's end at phone.
func online(phone string) string {
	return "HSET r phone " + phone + " ·chosen 1 ·told 1 ·seen @-9 ·due " + phone + " ·last " + phone + "; ZADD d " + phone + " u; SADD on u"
}

// recorded is the record of a user with heartbeats.
func recorded(status, due string) string {
	return fmt.Sprintf("HGET r ·told = %s; HGET r ·due = %s; HGET r ·last = %s; ZRANGEBYSCORE d (@0.99 (@1.01 = [u]", status, due, due)
}

// absent is the keys of a user who has left and whose choice is remembered.
func absent(since string) string {
	return "HSET r ·chosen 2 ·told 0 ·seen @-5 ·absent " + since
}

const left = "; HEXISTS r phone = 0; HEXISTS r ·due = 0; HEXISTS r ·last = 0; EXISTS dv = 0; ZCARD d = 0; SCARD on = 0"

func TestScript_PresenceBeat(t *testing.T) {
	const beat = "beat phone"
	many := func(ends string) string { // 100 other connections
		return "EVAL for·i=101,200·do·redis.call('HSET',KEYS[1],'c'..i,ARGV[1])·end·return·1 1 r " + ends + "; HSET r ·told 1"
	}
	rig.RunScript(t, presence.StepSource, []rig.ScriptCase{
		step("a first one", "", beat, "[1 1 @0 @0]", recorded("1", "@1")+`; HGET r phone = @1; HGET r ·seen = @0; HGET r ·chosen = 1; HEXISTS r ·absent = 0;
			GET dv = {"userId":"u","devices":["phone"]}; GET st = {"userId":"u","status":"online","lastSeen":"…Z"}; SMEMBERS on = [u];
			PEXPIRETIME r = @24; PEXPIRETIME dv = @2; PEXPIRETIME st = @10`),
		step("one that only moves an end", online("@0.9"), beat, "0", "HGET r phone = @1; HGET r ·last = @1; HGET r ·due = @0.9; EXISTS dv st = 0"),
		step("one that is due in the index", online("@0.4"), beat, "[0 1 @0 @0]", recorded("1", "@1")+"; HGET r phone = @1; EXISTS dv st = 2"),
		step("one that has ended", online("@-1"), beat, "[0 1 @0 @0]", recorded("1", "@1")+"; HGET r phone = @1"),
		step("an end ahead of the clock", online("@5"), beat, "[0 1 @0 @0]", recorded("1", "@1")+"; HGET r phone = @1"),
		step("an entry ahead of the clock", online("@5")+"; HSET r phone @0.9", beat, "[0 1 @0 @0]", recorded("1", "@1")+"; HGET r phone = @1"),
		step("an end ahead of the clock and of its entry", online("@0.9")+"; HSET r phone @5", beat, "[0 1 @0 @0]", recorded("1", "@1")+"; HGET r phone = @1"),
		step("a choice beside a connection that has ended", online("@0.4")+"; HSET r ·chosen 2 ·told 2 tablet @-2.5", beat, "[0 2 @0 @0]", "HGET r ·chosen = 2; HEXISTS r tablet = 0"),
		step("an unreadable end", online("@0.9")+"; HSET r phone x", beat, "[0 1 @0 @0]", "HGET r phone = @1"),
		step("another device", online("@0.9"), "beat tablet·s·c1", "[0 1 @0 @0]", "HGET r tablet·s·c1 = @1; HGET r phone = @0.9; GET dv = {\"userId\":\"u\",\"devices\":[\"phone\",\"tablet\"]}"),
		step("another connection", online("@0.9"), "beat phone·s·c1", "[0 1 @0 @0]", "HGET r phone·s·c1 = @1; GET dv = {\"userId\":\"u\",\"devices\":[\"phone\"]}"),
		step("another connection ahead of the clock", online("@5"), "beat tablet", "[0 1 @0 @0]", "HMGET r tablet phone = [@1 @1]"),
		step("another connection that has ended", online("@-0.5")+"; HSET r ·told 1", "beat tablet", "[0 1 @0 @0]", "HGET r tablet = @1; HEXISTS r phone = 0"),
		step("a short absence", absent("@-1.5"), beat, "[1 2 @0 @0]", recorded("2", "@1")+"; HGET r ·chosen = 2; HEXISTS r ·absent = 0"),
		step("a long absence", absent("@-2.5"), beat, "[1 1 @0 @0]", recorded("1", "@1")+"; HGET r ·chosen = 1"),
		step("an absence in the future", absent("@5"), beat, "[1 2 @0 @0]", recorded("2", "@1")),
		step("an absence that nobody swept", online("@-2.5")+"; HSET r ·chosen 2", beat, "[0 1 @0 @0]", "HGET r ·chosen = 1"),
		step("a hidden user", absent("@-1")+"; HSET r ·chosen 0; SADD on u", beat, "[0 0 @0 @0]", "HGET r ·told = 0; SCARD on = 0; EXISTS dv = 1"),
		step("an unknown choice", online("@0.4")+"; HSET r ·chosen 9", beat, "[0 1 @0 @0]", "HGET r ·chosen = 1"),
		step("too many connections", many("@0.8")+"; HSET r c150 @0.7", beat, "[0 1 @0 @0]", "HEXISTS r c150 = 0; HEXISTS r c101 = 1; HGET r phone = @1"),
		step("too many connections that end together", many("@0.8"), beat, "[0 1 @0 @0]", "HEXISTS r c101 = 0; HEXISTS r c102 = 1; HGET r phone = @1"),
		step("too many connections ahead of the clock", many("@5"), "beat a", "[0 1 @0 @0]", "HEXISTS r c101 = 0; HGET r a = @1"),
		step("as many connections as possible, one of them known", many("@0.8")+"; HDEL r c150; HSET r phone @0.4", beat, "[0 1 @0 @0]", "HLEN r = 105; HGET r phone = @1"),
		step("as many connections as possible", many("@0.8")+"; HDEL r c150", beat, "[0 1 @0 @0]", "HLEN r = 105; HGET r phone = @1"),
		step("many connections that have ended", "EVAL for·i=1001,3200·do·redis.call('HSET',KEYS[1],'c'..i,ARGV[1])·end·return·1 1 r @-0.5", beat, "[1 1 @0 @0]", "HLEN r = 6"),
		{Name: "no set of online users", Setup: "SADD on v", Keys: "r dv st d", Args: `beat phone u 3600000 7200000 36000000 ch { ","s":"`, Reply: "[1 1 @0 @0]", After: "SMEMBERS on = [v]"},
		{Name: "no publication where one is needed", Keys: "r dv st d on", Args: "beat phone u 3600000 7200000 36000000", Reply: "[3]"},
		{Name: "no publication where none is needed", Setup: online("@0.4"), Keys: "r dv st d on", Args: "beat phone u 3600000 7200000 36000000", Reply: "[0 1 @0 @0]", After: recorded("1", "@1")},
		{
			Name: "no right to publish", Keys: "r dv st d on", Args: `beat phone u 3600000 7200000 36000000 ch { ","s":"`, Without: "publish", Reply: "[1 1 @0 @0 …]",
			After: recorded("1", "@1"),
		},
	})
}

func TestScript_PresenceSteps(t *testing.T) {
	var cases []rig.ScriptCase
	for i, key := range []string{"r", "dv", "st", "d", "on"} {
		reply := fmt.Sprintf("[-1 %d a·list]", i+1)
		beat := reply
		if key == "r" {
			beat = "error WRONGTYPE"
		}
		cases = append(cases,
			step("a beat and a foreign "+key, "RPUSH "+key+" x", "beat phone", beat, ""),
			step("a leave and a foreign "+key, "RPUSH "+key+" x", "leave phone", reply, ""))
		if key == "d" {
			cases = append(cases, step("an expiry and a foreign "+key, "RPUSH d x", "expire ''", reply, ""))
			continue
		}
		cases = append(cases,
			step("a leave of a due user and a foreign "+key, "ZADD d @-1 u; RPUSH "+key+" x", "leave phone", reply, ""),
			step("an expiry without an index and a foreign "+key, "RPUSH "+key+" x", "expire ''", reply, ""),
			step("an expiry of a due user and a foreign "+key, "ZADD d @-1 u; RPUSH "+key+" x", "expire ''", reply, "ZRANGEBYSCORE d (@0.99 (@1.01 = [u]; TYPE "+key+" = list"),
			step("an expiry of a user without entry and a foreign "+key, "ZADD d @-1 v; RPUSH "+key+" x", "expire ''", reply, ""))
	}
	cases = append(cases,
		step("the last connection leaves", online("@0.9"), "leave phone", "[1 0 @0 @0]", "HGET r ·told = 0; HGET r ·absent = @0; PEXPIRETIME r = @2; EXISTS st = 1"+left),
		step("a connection leaves", online("@0.9")+"; HSET r tablet @1", "leave phone", "[0 1 @0 @0]", recorded("1", "@1")+"; HEXISTS r phone = 0; HGET r tablet = @1"),
		step("another connection leaves", online("@1")+"; HSET r ·seen @-0.5", "leave tablet", "[0 1 @0 @0]", recorded("1", "@1")+"; HGET r phone = @1"),
		step("a connection leaves late", online("@-1"), "leave phone", "[1 0 @-2 @0]", "HGET r ·absent = @-1; PEXPIRETIME r = @1"+left),
		step("an expiry and foreign keys", "RPUSH r x; RPUSH d x", "expire ''", "[-1 1 a·list]", ""),
		rig.ScriptCase{
			Name: "the last connection leaves without a set of online users", Setup: online("@0.9"), Keys: "r dv st d", Args: `leave phone u 3600000 7200000 36000000 ch { ","s":"`,
			Reply: "[1 0 @0 @0]", After: "HGET r ·told = 0; ZCARD d = 0; SCARD on = 1",
		},
		step("an unknown user leaves", "", "leave phone", "[2]", ""),
		step("a user without record leaves", "ZADD d @-1 u; SADD on u", "leave phone", "[1 0 @-2 @0]", "EXISTS st = 1; ZCARD d = 0; SCARD on = 0"),
		step("a live user without record leaves", "ZADD d @0.5 u; SADD on u", "leave phone", "[1 0 @-1 @0]", "EXISTS st = 1; ZCARD d = 0; SCARD on = 0"),
		step("a user without record and end leaves", "ZADD d 5 u", "leave phone", "[1 0 0 @0]", "EXISTS st = 1; ZCARD d = 0"),
		step("an unknown user expires", "", "expire ''", "[2]", ""),
		step("a user expires", online("@-1"), "expire ''", "[1 0 @-2 @0]", "HGET r ·told = 0; HGET r ·absent = @-1; HGET r ·seen = @-2; PEXPIRETIME r = @1; EXISTS st = 1"+left),
		step("a user expires late", online("@-2.5"), "expire ''", "[1 0 @-3.5 @0]", "EXISTS r dv = 0; ZCARD d = 0; SCARD on = 0; EXISTS st = 1"),
		step("a user who has left expires", absent("@-3")+"; ZADD d @-3 u", "expire ''", "[0 0 @-5 @0]", "EXISTS r st = 0; ZCARD d = 0"),
		step("a user who beats does not expire", online("@1")+"; ZADD d @-1 u", "expire ''", "[0 1 @0 @0]", recorded("1", "@1")+"; HGET r phone = @1"),
		step("a user seen in the future expires", online("@-1")+"; HSET r ·seen @5", "expire ''", "[1 0 @0 @0]", "HGET r ·seen = @0"),
		step("a user chooses", online("@1"), "set 2", "[1 2 @0 @0]", recorded("2", "@1")+"; HGET r ·chosen = 2; GET st = {\"userId\":\"u\",\"status\":\"away\",\"lastSeen\":\"…Z\"}; SMEMBERS on = [u]"),
		step("a user chooses who beat before", online("@0.5"), "set 2", "[1 2 @0 @0]", "HGET r ·seen = @0; HGET r phone = @0.5"),
		step("a user chooses again", online("@1")+"; HSET r ·chosen 2 ·told 2", "set 2", "[0 2 @0 @0]", recorded("2", "@1")),
		step("a user hides", online("@1"), "set 0", "[1 0 @0 @0]", recorded("0", "@1")+"; SCARD on = 0; EXISTS dv = 1"),
		step("an absent user chooses", absent("@-1"), "set 3", "[0 0 @-5 @0]", "HGET r ·chosen = 3; HGET r ·absent = @0; PEXPIRETIME r = @2; EXISTS st dv = 0; ZCARD d = 0"),
		step("a new user chooses", "", "set 3", "[0 0 0 @0]", "HGET r ·chosen = 3; HGET r ·absent = @0; PEXPIRETIME r = @2; EXISTS st dv = 0"),
		step("an unswept user chooses", online("@-1"), "set 3", "[1 0 @-2 @0]", "HGET r ·chosen = 3; HGET r ·absent = @0; PEXPIRETIME r = @2"+left),
		rig.ScriptCase{Name: "an expiry without publication", Setup: online("@-1"), Keys: "r dv st d on", Args: "expire '' u 3600000 7200000 36000000", Reply: "[3]"},
	)
	for _, date := range []string{
		"1970-01-01T00:00:00.000Z", "1999-12-31T23:59:59.999Z", "2000-01-01T00:00:00.001Z", "2000-02-29T12:34:56.789Z", "2000-03-01T00:00:00.000Z", "2023-02-28T01:02:03.004Z",
		"2024-02-29T05:06:07.008Z", "2024-03-01T00:00:00.000Z", "2024-04-30T00:00:00.000Z", "2024-12-31T00:00:00.000Z", "2025-01-31T00:00:00.000Z", "2025-02-01T00:00:00.000Z",
	} {
		seen, err := time.Parse(time.RFC3339, date)
		if err != nil {
			t.Fatal(err)
		}
		setup := fmt.Sprintf("HSET r ·told 1 ·seen %d", seen.UnixMilli())
		cases = append(cases, step("a user who was seen at "+date+" expires", setup, "expire ''", "[1 0 … @0]", `GET st = {"userId":"u","status":"offline","lastSeen":"`+date+`"}`))
	}
	rig.RunScript(t, presence.StepSource, cases)
}
