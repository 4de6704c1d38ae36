package view_test

import (
	"testing"

	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/view"
)

// TestScript_View stores numbers, and compares the count with the number of numbers.
func TestScript_View(t *testing.T) {
	const two = "HSET n a 1 b 2; HSET v · log ·# 2 a 5 b 6:3"
	rig.RunScript(t, view.PutSource, []rig.ScriptCase{
		{Name: "a first number", Keys: "n v", Args: "log c 5 7 0", Reply: "1", After: "HGETALL n = {c:7}; HGETALL v = {c:5 ·#:1 ·:log}"},
		{Name: "a third number", Setup: two, Keys: "n v", Args: "log c 5 7 0", Reply: "1", After: "HGETALL n = {a:1 b:2 c:7}; HGETALL v = {a:5 b:6:3 c:5 ·#:3 ·:log}"},
		{Name: "another number", Setup: two, Keys: "n v", Args: "log a 6 7 0", Reply: "1", After: "HGETALL n = {a:7 b:2}; HGETALL v = {a:6 b:6:3 ·#:2 ·:log}"},
		{Name: "a number after a rebuild", Setup: two, Keys: "n v", Args: "log b 7 7 0", Reply: "1", After: "HGET n b = 7; HGETALL v = {a:5 b:7:3 ·#:2 ·:log}"},
		{Name: "a number of the next rebuild", Setup: two, Keys: "n v", Args: "log b 2 7 4", Reply: "1", After: "HGET n b = 7; HGETALL v = {a:5 b:2:4 ·#:2 ·:log}"},
		{Name: "a number of the rebuild before", Setup: two, Keys: "n v", Args: "log b 9 7 2", Reply: "0"},
		{Name: "the same version", Setup: two, Keys: "n v", Args: "log a 5 7 0", Reply: "0"},
		{Name: "no number", Setup: two, Keys: "n v", Args: "log a 6 '' 0", Reply: "1", After: "HGETALL n = {b:2}; HGETALL v = {a:6- b:6:3 ·#:1 ·:log}"},
		{Name: "a number after none", Setup: two + "; HSET v a 5- ·# 1; HDEL n a", Keys: "n v", Args: "log a 6 3 0", Reply: "1", After: "HGET n a = 3; HGETALL v = {a:6 b:6:3 ·#:2 ·:log}"},
		{Name: "another log", Setup: two, Keys: "n v", Args: "new c 5 7 0", Reply: "1", After: "HGETALL n = {c:7}; HGETALL v = {c:5 ·#:1 ·:new}"},
		{Name: "no channel", Setup: two, Keys: "n v", Args: "log c 5 7 0", Reply: "1", Heard: rig.NoMessage, After: "HLEN n = 3"},
		{Name: "another log and foreign numbers", Setup: "SET n x; HSET v · log", Keys: "n v", Args: "new c 5 7 0", Reply: "error WRONGTYPE"},
	})
}

// TestScript_ViewPublishesChanges publishes the users that gain, lose or change a number, and no others.
func TestScript_ViewPublishesChanges(t *testing.T) {
	const two, keys = "HSET n a 1 b 2; HSET v · log ·# 2 a 5 b 6:3", "n v"
	rig.RunScript(t, view.PutSource, []rig.ScriptCase{
		{Name: "a first number", Keys: keys, Args: "log c 5 7 0 ch ada", Reply: "1", Heard: "ch ada;", After: "HLEN n = 1"},
		{Name: "a new number", Setup: two, Keys: keys, Args: "log c 5 7 0 ch ada", Reply: "1", Heard: "ch ada;", After: "HLEN n = 3"},
		{Name: "another number", Setup: two, Keys: keys, Args: "log a 6 7 0 ch ada", Reply: "1", Heard: "ch ada;", After: "HGET n a = 7"},
		{Name: "the same number", Setup: two, Keys: keys, Args: "log a 6 1 0 ch ada", Reply: "1", Heard: rig.NoMessage, After: "HGET v a = 6"},
		{Name: "the same number of a rebuild", Setup: two, Keys: keys, Args: "log a 6 1 4 ch ada", Reply: "1", Heard: rig.NoMessage, After: "HGET v a = 6:4"},
		{Name: "an earlier version", Setup: two, Keys: keys, Args: "log a 4 7 0 ch ada", Reply: "0", Heard: rig.NoMessage},
		{Name: "no number", Setup: two, Keys: keys, Args: "log a 6 '' 0 ch ada", Reply: "1", Heard: "ch ada;", After: "HLEN n = 1"},
		{Name: "none after none", Setup: two + "; HSET v a 5- ·# 1; HDEL n a", Keys: keys, Args: "log a 6 '' 0 ch ada", Reply: "1", Heard: rig.NoMessage, After: "HGET v a = 6-"},
		{Name: "none of an unknown chat", Setup: two, Keys: keys, Args: "log c 6 '' 0 ch ada", Reply: "1", Heard: rig.NoMessage, After: "HGET v c = 6-"},
		{Name: "a number after none", Setup: two + "; HSET v a 5- ·# 1; HDEL n a", Keys: keys, Args: "log a 6 3 0 ch ada", Reply: "1", Heard: "ch ada;", After: "HGET n a = 3"},
		{Name: "a lost number", Setup: two + "; HDEL n a", Keys: keys, Args: "log a 6 1 0 ch ada", Reply: "1", Heard: "ch ada;", After: "HGET n a = 1"},
		{Name: "another log", Setup: two, Keys: keys, Args: "new c 5 7 0 ch ada", Reply: "1", Heard: "ch ada;", After: "HGETALL n = {c:7}"},
		{Name: "none of another log", Setup: two, Keys: keys, Args: "new a 5 '' 0 ch ada", Reply: "1", Heard: rig.NoMessage, After: "EXISTS n = 0"},
		{Name: "several users", Setup: two, Keys: "n v n2 v2 n3 v3", Args: "log a 6 1 0 c 5 7 0 c 5 8 0 ch ada bob cem", Reply: "3", Heard: "ch bob;ch cem;", After: "HGET n2 c = 7"},
		{Name: "without PUBLISH", Setup: two, Keys: keys, Args: "log c 5 7 0 ch ada", Without: "publish", Reply: "1", Heard: rig.NoMessage, After: "HGET n c = 7"},
	})
}

// TestScript_FsckView corrects numbers, and nothing that has changed since.
func TestScript_FsckView(t *testing.T) {
	const two, keys = "HSET n a 1 b 2; HSET v · log ·# 2 a 5 b 6:3", "n v"
	rig.RunScript(t, view.FsckSource, []rig.ScriptCase{
		{Name: "another number", Setup: two, Keys: keys, Args: "log a 5 1 7 4", Reply: "1", After: "HGETALL n = {a:4 b:2}; HGETALL v = {a:7 b:6:3 ·#:2 ·:log}"},
		{Name: "the number of a rebuild", Setup: two, Keys: keys, Args: "log b 6:3 2 7 4", Reply: "1", After: "HGETALL n = {a:1 b:4}; HGETALL v = {a:5 b:7:3 ·#:2 ·:log}"},
		{Name: "no number", Setup: two, Keys: keys, Args: "log b 6:3 2 7 ''", Reply: "1", After: "HGETALL n = {a:1}; HGETALL v = {a:5 b:7:3- ·#:1 ·:log}"},
		{Name: "a missing number", Setup: two, Keys: keys, Args: "log c '' '' 7 4", Reply: "1", After: "HGETALL n = {a:1 b:2 c:4}; HGETALL v = {a:5 b:6:3 c:7 ·#:3 ·:log}"},
		{Name: "a number after none", Setup: two + "; HSET v a 5- ·# 1; HDEL n a", Keys: keys, Args: "log a 5- '' 7 4", Reply: "1", After: "HGETALL n = {a:4 b:2}; HGETALL v = {a:7 b:6:3 ·#:2 ·:log}"},
		{Name: "the first number", Keys: keys, Args: "log c '' '' 7 4", Reply: "1", After: "HGETALL n = {c:4}; HGETALL v = {c:7 ·#:1 ·:log}"},
		{Name: "the number is written already", Setup: two + "; HSET n a 4", Keys: keys, Args: "log a 5 1 7 4", Reply: "1", After: "HGETALL n = {a:4 b:2}; HGETALL v = {a:7 b:6:3 ·#:2 ·:log}"},
		{Name: "a later version", Setup: two, Keys: keys, Args: "log a 4 1 7 4", Reply: "0"},
		{Name: "a later number", Setup: two, Keys: keys, Args: "log a 5 2 7 4", Reply: "0"},
		{Name: "another log", Setup: two, Keys: keys, Args: "new a 5 1 7 4", Reply: "0"},
		{Name: "a recount", Setup: two + "; HSET v c 5- d odd ·# 9", Keys: keys, Args: "log '' '' '' '' ''", Reply: "1", After: "HGETALL n = {a:1 b:2}; HGET v ·# = 2; HGET v · = log"},
		{Name: "a recount of another log", Setup: two, Keys: keys, Args: "new '' '' '' '' ''", Reply: "0"},
		{Name: "numbers of another type", Setup: "SET n x; HSET v · log", Keys: keys, Args: "log '' '' '' '' ''", Reply: "error WRONGTYPE"},
		{Name: "another number is published", Setup: two, Keys: keys, Args: "log a 5 1 7 4 ch ada", Reply: "1", Heard: "ch ada;", After: "HGET n a = 4"},
		{Name: "no channel", Setup: two, Keys: keys, Args: "log a 5 1 7 4", Reply: "1", Heard: rig.NoMessage, After: "HGET n a = 4"},
		{Name: "a later version is not published", Setup: two, Keys: keys, Args: "log a 4 1 7 4 ch ada", Reply: "0", Heard: rig.NoMessage},
		{Name: "a recount is not published", Setup: two, Keys: keys, Args: "log '' '' '' '' '' ch ada", Reply: "1", Heard: rig.NoMessage, After: "HGET v ·# = 2"},
		{Name: "without PUBLISH", Setup: two, Keys: keys, Args: "log a 5 1 7 4 ch ada", Without: "publish", Reply: "1", Heard: rig.NoMessage, After: "HGET n a = 4"},
	})
}
