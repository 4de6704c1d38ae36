package limit_test

import (
	"testing"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/limit"
)

// TestScript_Limit takes calls from a window of an hour with five calls.
func TestScript_Limit(t *testing.T) {
	take := func(name, setup, n, reply, after string) rig.ScriptCase {
		return rig.ScriptCase{Name: name, Setup: setup, Keys: "c", Args: "5 3600000 " + n, Reply: reply, After: after}
	}
	rig.RunScript(t, limit.LimitSource, []rig.ScriptCase{
		take("the first calls", "", "2", "[1 2 3600000]", "GET c = 2; PEXPIRETIME c = @1"),
		take("more calls", "SET c 2 PXAT @0.48", "3", "[1 5 17…]", "GET c = 5; PEXPIRETIME c = @0.5"),
		take("too many calls", "SET c 3 PXAT @0.48", "3", "[0 3 17…]", ""),
		take("the first calls of a counter at 0", "SET c 0 PXAT @0.48", "2", "[1 2 3600000]", "GET c = 2; PEXPIRETIME c = @1"),
		take("a look at none", "", "0", "[1 0 0]", ""),
		take("a look at 0", "SET c 0 PXAT @0.48", "0", "[1 0 17…]", ""),
		take("a look at some", "SET c 2 PXAT @0.48", "0", "[1 2 17…]", ""),
		take("a look at too many", "SET c 9 PXAT @0.48", "0", "[1 9 17…]", ""),
		take("no end", "SET c 2", "1", "[1 3 3600000]", "GET c = 3; PEXPIRETIME c = @1"),
		take("a late end", "SET c 2 PXAT @3", "1", "[1 3 3600000]", "GET c = 3; PEXPIRETIME c = @1"),
		take("too many calls without end", "SET c 5", "1", "[0 5 3600000]", "GET c = 5; PEXPIRETIME c = @1"),
		take("a negative count", "SET c -3 PXAT @0.48", "1", "[-1 0 0]", ""),
		take("no count", "SET c x", "1", "error not an integer", ""),
		take("another type", "HSET c f v", "1", "error WRONGTYPE", ""),
	})
}

// TestScript_Limits takes calls from a window of an hour with five calls and from a GCRA state of six calls an hour, all or none.
func TestScript_Limits(t *testing.T) {
	const oneCall, oneOfEach = "window 1 5 3600000", "window 1 5 3600000 gcra 1 6 600"
	full := func(in string) string { // the GCRA state is full again in as many seconds
		return "; EVAL local·t=redis.call('TIME')·redis.call('SET',KEYS[1],string.format('%.6f',t[1]-1483228800+t[2]/1000000+ARGV[1]))·return·1 1 g " + in
	}
	take := func(name, setup, args, reply, after string) rig.ScriptCase {
		return rig.ScriptCase{Name: name, Setup: setup, Keys: "c g", Args: args, Reply: reply, After: after}
	}
	one := func(name, setup, n, reply, after string) rig.ScriptCase {
		return rig.ScriptCase{Name: name, Setup: setup, Keys: "c", Args: "window " + n + " 5 3600000", Reply: reply, After: after}
	}
	paced := func(name, setup, n, reply, after string) rig.ScriptCase {
		return rig.ScriptCase{Name: name, Setup: setup, Keys: "g", Args: "gcra " + n + " 6 600", Reply: reply, After: after}
	}
	rig.RunScript(t, limit.LimitsSource, []rig.ScriptCase{
		one("the first calls", "", "2", "[1 2 3600000]", "GET c = 2; PEXPIRETIME c = @1"),
		one("more calls", "SET c 2 PXAT @0.48", "3", "[1 5 17…]", "GET c = 5; PEXPIRETIME c = @0.5"),
		one("too many calls", "SET c 3 PXAT @0.48", "3", "[0 3 17…]", ""),
		one("too many calls without end", "SET c 5", "1", "[0 5 3600000]", "GET c = 5; PEXPIRETIME c = @1"),
		one("the first calls of a counter at 0", "SET c 0 PXAT @0.48", "2", "[1 2 3600000]", "GET c = 2; PEXPIRETIME c = @1"),
		one("a look at none", "", "0", "[1 0 0]", ""),
		one("a look at 0", "SET c 0 PXAT @0.48", "0", "[1 0 17…]", ""),
		one("a look at too many", "SET c 9 PXAT @0.48", "0", "[1 9 17…]", ""),
		one("no end", "SET c 2", "1", "[1 3 3600000]", "GET c = 3; PEXPIRETIME c = @1"),
		one("a late end", "SET c 2 PXAT @3", "1", "[1 3 3600000]", "GET c = 3; PEXPIRETIME c = @1"),
		one("a look at a count without end", "SET c 2", "0", "[1 2 3600000]", "GET c = 2; PEXPIRETIME c = @1"),
		one("a count of 15 digits", "SET c 999999999999999 PXAT @0.48", "0", "[1 999999999999999 17…]", ""),
		one("a count of 16 digits", "SET c 1000000000000000 PXAT @0.48", "0", "[-1 '' '']", ""),
		one("a negative count", "SET c -3", "1", "[-1 '' '']", ""),
		one("no whole number", "SET c 1.5", "1", "[-1 '' '']", ""),
		one("a count with zeros", "SET c 007", "1", "[-1 '' '']", ""),
		one("no number", "SET c x", "1", "[-1 '' '']", ""),
		one("another type", "HSET c f v", "1", "[-1 '' '']", ""),

		paced("a first call", "", "1", "[1 600… 0]", "PEXPIRETIME g = @0.2"),
		paced("as many calls as possible", "", "6", "[1 3600… 0]", "PEXPIRETIME g = @1"),
		paced("too many calls", "", "7", "[0 0 600…]", ""),
		paced("a call beside others", full("1800"), "1", "[1 …]", "PEXPIRETIME g = @0.7"),
		paced("too many calls beside others", full("3300"), "1", "[0 …]", ""),
		paced("a look", full("3300"), "0", "[1 … 0]", ""),
		paced("a look at a state that is a little too full", full("3600.5"), "0", "[1 3600… 0]", ""),
		paced("a call at such a state", full("3600.5"), "1", "[0 3600… 600…]", ""),
		paced("a state that calls cannot cause", full("3700"), "1", "[1 600… 0]", "PEXPIRETIME g = @0.2"),
		paced("a state of the past", full("-100"), "1", "[1 600… 0]", "PEXPIRETIME g = @0.2"),
		paced("no number", "SET g x", "1", "[-1 '' '']", ""),
		paced("another type", "HSET g f v", "1", "[-1 '' '']", ""),

		take("of both", "", oneOfEach, "[1 1 3600000 1 600… 0]", "GET c = 1; PEXPIRETIME c = @1; PEXPIRETIME g = @0.2"),
		take("the second refuses", "SET c 1 PXAT @0.48"+full("3300"), oneOfEach, "[1 2 17… 0 …]", ""),
		take("the first refuses", "SET c 5 PXAT @0.48"+full("1800"), oneOfEach, "[0 5 17…]", ""),
		take("the second is no limit", "SET g x", oneOfEach, "[1 1 3600000 -1 '' '']", ""),
		take("the first is no limit", "SET c x", oneOfEach, "[-1 '' '']", ""),
		{Name: "no right", Keys: "c", Args: oneCall, Without: "get", Reply: rig.NoRight},
		{Name: "no right to the end", Setup: "SET c 1", Keys: "c", Args: oneCall, Without: "pttl", Reply: rig.NoRight},
	})
}
