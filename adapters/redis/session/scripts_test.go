package session_test

import (
	"testing"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/session"
)

// sessions are a user's: live, one whose lifetime and one whose idle time has ended, one without a record and one with an unreadable field.
const sessions = "HSET s live k1·1·@-1·@5·@-1·7200000 ended k2·2·@-9·@-1·@-1·7200000 idle k3·3·@-9·@5·@-3·7200000 lost k4·4·@-1·@5·@-1·7200000 odd odd;" +
	"SET p:k1 one; SET p:k2 two; SET p:k3 three"

const live = "one live k1·1·@-1·@5·@-1·7200000"

func TestScript_SessionList(t *testing.T) {
	rig.RunScript(t, session.ListSource, []rig.ScriptCase{
		{Name: "some live", Setup: sessions, Keys: "s", Args: "p:", Reply: "[1 " + live + "]"},
		{Name: "a key of another type", Setup: "SET s x", Keys: "s", Args: "p:", Reply: "[-1]"},
		{Name: "a record of another type", Setup: sessions + "; DEL p:k1; HSET p:k1 f v", Keys: "s", Args: "p:", Reply: "[1]"},
		{Name: "no right", Setup: sessions, Keys: "s", Args: "p:", Without: "hgetall", Reply: rig.NoRight},
	})
}

func TestScript_SessionClose(t *testing.T) {
	rig.RunScript(t, session.CloseSource, []rig.ScriptCase{
		{Name: "all", Setup: sessions, Keys: "s", Args: "p: ''", Reply: "[1 " + live + "]", After: "KEYS * = []"},
		{Name: "one", Setup: sessions, Keys: "s", Args: "p: live", Reply: "[1 " + live + "]", After: "EXISTS p:k1 = 0; HEXISTS s live = 0; HLEN s = 4; EXISTS p:k2 = 1"},
		{Name: "one whose lifetime has ended", Setup: sessions, Keys: "s", Args: "p: ended", Reply: "[1]", After: "EXISTS p:k2 = 0; HEXISTS s ended = 0; HLEN s = 4"},
		{Name: "one that was not used", Setup: sessions, Keys: "s", Args: "p: idle", Reply: "[1]", After: "EXISTS p:k3 = 0; HEXISTS s idle = 0; HLEN s = 4"},
		{Name: "one that is unreadable", Setup: sessions, Keys: "s", Args: "p: odd", Reply: "[1]", After: "HEXISTS s odd = 0; HLEN s = 4; EXISTS p:k1 p:k2 p:k3 = 3"},
		{Name: "none", Setup: sessions, Keys: "s", Args: "p: other", Reply: "[1]"},
		{Name: "a key of another type", Setup: "SET s x", Keys: "s", Args: "p: ''", Reply: "[-1]"},
		{Name: "a key of another type, one", Setup: "SET s x", Keys: "s", Args: "p: one", Reply: "[-1]"},
		{Name: "no right", Setup: sessions, Keys: "s", Args: "p: ''", Without: "hgetall", Reply: rig.NoRight},
		{Name: "no right, one", Setup: sessions, Keys: "s", Args: "p: live", Without: "hget", Reply: rig.NoRight},
	})
}

func TestScript_SessionOpen(t *testing.T) {
	opened := func(number string) string { return "k9·" + number + "·@0·@1·@0·3600000" }
	rig.RunScript(t, session.OpenSource, []rig.ScriptCase{
		{
			Name: "a first session", Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 7200000 3600000 3", Reply: "[k9·1·@0·@1·@0·7200000]",
			After: "HKEYS s = [new]; PEXPIRETIME s = @1; PEXPIRETIME p:k9 = @1",
		},
		{
			Name: "sessions that are no longer live", Setup: sessions, Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 3600000 3600000 3", Reply: "[" + opened("5") + "]",
			After: "HKEYS s = [live new]; EXISTS p:k1 = 1",
		},
		{
			Name: "too many", Setup: sessions, Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 3600000 3600000 1", Reply: "[" + opened("5") + " " + live + "]",
			After: "HKEYS s = [new]; EXISTS p:k1 = 0; EXISTS p:k9 = 1",
		},
		{
			Name: "the same session again", Setup: "HSET s live k9·1·@-1·@5·@-1·7200000; SET p:k9 one", Keys: "p:k9 s", Args: "live k9 p: {\"a\":1 3600000 3600000 1",
			Reply: "[" + opened("1") + "]", After: "HKEYS s = [live]; EXISTS p:k9 = 1",
		},
		{
			Name: "beside a longer session", Setup: sessions + "; PEXPIREAT s @5", Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 3600000 3600000 3", Reply: "[" + opened("5") + "]",
			After: "PEXPIRETIME s = @5; PEXPIRETIME p:k9 = @1",
		},
		{
			Name: "beside a shorter session", Setup: sessions + "; PEXPIREAT s @0.5", Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 1800000 3600000 3", Reply: "[k9·5·@0·@1·@0·1800000]",
			After: "PEXPIRETIME s = @1; PEXPIRETIME p:k9 = @0.5",
		},
		{
			Name: "a record of another type", Setup: sessions + "; DEL p:k1; HSET p:k1 f v", Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 3600000 3600000 1",
			Reply: "[" + opened("5") + " '' live k1·1·@-1·@5·@-1·7200000]", After: "HKEYS s = [new]; EXISTS p:k1 = 0",
		},
		{Name: "a key of another type", Setup: "SET s x", Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 3600000 3600000 3", Reply: "[]"},
		{Name: "no right", Setup: sessions, Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 3600000 3600000 3", Without: "hgetall", Reply: rig.NoRight},
		{Name: "a full memory", Setup: sessions + "; CONFIG SET maxmemory 1", Keys: "p:k9 s", Args: "new k9 p: {\"a\":1 3600000 3600000 1", Reply: "error OOM"},
	})
}

func TestScript_SessionUse(t *testing.T) {
	const (
		record = `SET r {"_cc":{"id":"i"},"a":1} PXAT @2;`
		value  = `{"_cc":{"id":"i"},"a":1}`
	)
	// field is the session's, opened an hour ago.
	field := func(ends, seen string) string { return "k·1·@-1·@" + ends + "·@" + seen + "·7200000" }
	used := func(name, held, args, keys, reply, after string) rig.ScriptCase {
		return rig.ScriptCase{Name: name, Setup: record + " HSET s i " + held, Keys: "r s " + keys, Args: args, Reply: reply, After: after}
	}
	got := func(field string) string { return "[1 " + value + " i " + field + "]" }
	rig.RunScript(t, session.UseSource, []rig.ScriptCase{
		used("just used", field("5", "0"), "k '' @0", "", got(field("5", "0")), ""),
		used("a use that is due", field("5", "-1"), "k '' @0", "", got(field("5", "0")), "HGET s i = "+field("5", "0")+"; PEXPIRETIME r = @2"),
		used("a use that is due near the end", field("1", "-1"), "k '' @0", "", got(field("1", "0")), "HGET s i = "+field("1", "0")+"; PEXPIRETIME r = @1"),
		used("a caller whose clock is behind", field("5", "-1"), "k '' @-2", "", got(field("5", "0")), "HGET s i = "+field("5", "0")),
		used("a caller whose clock is ahead", field("5", "0"), "k '' @9", "", got(field("5", "0")), ""),
		used("a lifetime that has ended", field("-0.05", "-0.1"), "k '' @0", "", "[0]", "EXISTS r s = 0"),
		used("an idle time that has ended", field("5", "-2.5"), "k '' @0", "", "[0]", "EXISTS r s = 0"),
		used("used in the future", field("5", "1"), "k '' @0", "", got(field("5", "0")), "HGET s i = "+field("5", "0")),
		used("opened in the future", "k·1·@3·@5·@3·7200000", "k '' @0", "", got("k·1·@0·@2·@0·7200000"), "HGET s i = k·1·@0·@2·@0·7200000; PEXPIRETIME r = @2"),
		used("a move", field("5", "0"), "k '' @0 other", "n", got("other·1·@-1·@5·@0·7200000"), "HGET s i = other·1·@-1·@5·@0·7200000; EXISTS r = 0; PEXPIRETIME n = @2"),
		used("a move that is due", field("5", "-1"), "k '' @0 other", "n", got("other·1·@-1·@5·@0·7200000"), "HGET s i = other·1·@-1·@5·@0·7200000; EXISTS r = 0; PEXPIRETIME n = @2"),
		used("the record of another key", "j·1·@-1·@5·@0·7200000", "k '' @0", "", "[0]", ""),
		used("a longer key", "kk·1·@-1·@5·@0·7200000", "k '' @0", "", "[0]", ""),
		used("an unreadable field", "k·1·x·@5·@0·7200000", "k '' @0", "", "[-1]", ""),
		{
			Name: "a move of a record that ends earlier", Setup: record + " PEXPIREAT r @1.5; HSET s i " + field("5", "0"), Keys: "r s n", Args: "k '' @0 other",
			Reply: got("other·1·@-1·@5·@0·7200000"), After: "EXISTS r = 0; PEXPIRETIME n = @1.5",
		},
		{Name: "no field", Setup: record, Keys: "r s", Args: "k '' @0", Reply: "[0]"},
		{Name: "no record", Setup: "HSET s i " + field("5", "0"), Keys: "r s", Args: "k '' @0", Reply: "[0]"},
		{Name: "a record of another program", Setup: "SET r x", Keys: "r s", Args: "k 1 @0", Reply: "[2 x]"},
		{Name: "a record of another program where none is", Setup: "SET r x", Keys: "r s", Args: "k '' @0", Reply: "[-1]"},
		{Name: "a record of another type", Setup: "HSET r f v", Keys: "r s", Args: "k '' @0", Reply: "[-1]"},
		{Name: "sessions of another type", Setup: record + " SET s x", Keys: "r s", Args: "k '' @0", Reply: "[-1]"},
		{Name: "no right to the record", Setup: record, Keys: "r s", Args: "k '' @0", Without: "get", Reply: rig.NoRight},
		{Name: "no right to the sessions", Setup: record, Keys: "r s", Args: "k '' @0", Without: "hget", Reply: rig.NoRight},
		{Name: "no right to rename", Setup: record + " HSET s i " + field("5", "-1"), Keys: "r s n", Args: "k '' @0 other", Without: "rename", Reply: rig.NoRight},
	})
}
