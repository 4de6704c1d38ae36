package effect_test

import (
	"testing"

	"chatcore/adapters/redis/effect"
	"chatcore/adapters/redis/internal/rig"
)

// TestScript_Once continues effects of which some commands were executed.
func TestScript_Once(t *testing.T) {
	const (
		incrA, delA, pushA, incrB = "2 string = k INCR a", "2 '' '' '' DEL a", "3 list list '' RPUSH a x", "2 string string k INCR b"
		addA                      = "3 string string k INCRBY a 999999999999999999"
	)
	rig.RunScript(t, effect.OnceSource, []rig.ScriptCase{
		{Name: "a new effect", Keys: "m a b", Args: "9000 2 " + incrA + " " + incrB, Reply: "[1]", After: "GET m = 1; GET a = 1; GET b = 1"},
		{Name: "an effect executed before", Setup: "SET m 1", Keys: "m a b", Args: "9000 1 " + incrB, Reply: "[0]"},
		{Name: "a marker of another type", Setup: "HSET m f v", Keys: "m a b", Args: "9000 1 " + incrB, Reply: "[0]"},
		{Name: "a marker that cannot be read", Keys: "m a b", Args: "9000 1 " + incrB, Without: "get", Reply: rig.NoRight},
		{
			Name: "the key of an executed command has another type since", Setup: "SET m done·3; RPUSH a x", Keys: "m a b",
			Args: "9000 4 " + incrA + " " + delA + " " + pushA + " " + incrB, Reply: "[1]", After: "GET m = 1; LRANGE a 0 -1 = [x]; GET b = 1",
		},
		{
			Name: "the last executed command cannot be repeated", Setup: "SET m done·1; SET a 1999999999999999998", Keys: "m a b", Args: "9000 2 " + addA + " " + incrB,
			Reply: "[1]", After: "GET m = 1; GET a = 1999999999999999998; GET b = 1",
		},
		{
			Name: "a channel named like a key", Keys: "m a b", Args: "9000 2 3 '' - '' PUBLISH b hello " + incrB, Reply: "[1]", After: "GET m = 1; GET b = 1",
		},
	})
}
