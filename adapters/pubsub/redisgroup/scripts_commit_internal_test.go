package redisgroup

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

// commitWords are the arguments of a commit; the zero value finishes nothing.
type commitWords struct {
	log, number, position, passed, walk string // "", 1, "", 0 and "" if empty
	read                                string // ids
	finished, left, failing             string // pairs
	settled                             string // ids
	letters                             []string
	remembered                          string
}

func (a commitWords) String() string {
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	counted := func(list string, by int) string {
		n := len(strings.Fields(list)) / by
		return string(rune('0'+n)) + " " + list
	}
	letters := counted(a.settled, 1) + " " + string(rune('0'+len(a.letters))) + " " + or(a.remembered, "100") + " " + strings.Join(a.letters, " ")
	return strings.Join([]string{
		or(a.log, "L"), "9", or(a.number, "1"), hour, or(a.position, "''"), or(a.passed, "0"), or(a.walk, "''"),
		counted(a.read, 1), counted(a.finished, 2), counted(a.left, 2), counted(a.failing, 2), letters,
	}, " ")
}

func TestScript_Commit(t *testing.T) {
	const log = "SET $id L"
	group := func(more string) string {
		return "HSET $g epoch 9 commit 0 position 1-0 walk '' revision 3 passed 10 until 0 lost '' " + more
	}
	three := entries("stream", "1-0", "2-0", "3-0")
	const done = "[1 3 '' 0 0]"
	sound := given(log, group(""), three)
	checkScript(t, func(s scripts) *goredis.Script { return s.commit }, "id g checkpoints left failing again dead stream shared", []scriptCase{
		{"another log", given("SET $id M", group(""), three), commitWords{}.String(), "[-1]", "g.commit=0 g.until=0"},
		{"no group", given(log), commitWords{}.String(), "[-3]", "g=-"},
		{"another owner", given(log, group("epoch 10"), three), commitWords{}.String(), "[-2]", "g.commit=0 g.until=0"},
		{"an earlier commit was lost", sound, commitWords{number: "2"}.String(), "[-4]", "g.commit=0 g.until=0"},
		{"a later commit", given(log, group("commit 2"), three), commitWords{number: "1"}.String(), "[-4]", "g.commit=2 g.until=0"},
		{"nothing", sound, commitWords{}.String(), done, "g.commit=1 g.until=@1 g.position=1-0 g.walk='' g.passed=10 g.lost=''"},
		{"without a log", given(group(""), three), commitWords{log: "''"}.String(), done, "g.commit=1 g.until=@1"},
		{
			"given again", given(log, group("commit 1 lost 2-0"), three, entries("dead", "5-0", "6-0")), commitWords{position: "3-0", finished: "c 5", passed: "2"}.String(), "[1 3 2-0 2 0]",
			"g.commit=1 g.until=@1 g.position=1-0 checkpoints=- g.passed=10",
		},
		{"given again, with a foreign value where dead letters would be", given(log, group("commit 1"), three, "SET $dead x"), commitWords{}.String(), done, "g.until=@1"},
		{
			"everything", given(sound, "HSET $left d behind e behind", "HSET $failing d 5:1"),
			commitWords{position: "3-0", passed: "2", walk: "7", read: "2-0 3-0", finished: "c 5 d 6", left: "d '' f newer", failing: "d '' c 6:2"}.String(), done,
			"g.position=3-0 g.passed=12 g.walk=7 checkpoints.c=5 checkpoints.d=6 left.d=- left.e=behind left.f=newer failing.d=- failing.c=6:2",
		},
		{"the walk ends", given(log, group("walk 7"), three), commitWords{walk: "-"}.String(), done, "g.walk=''"},
		{"the walk goes on", given(log, group("walk 7"), three), commitWords{}.String(), done, "g.walk=7"},
		{
			"foreign values in keys that are not written", given(sound, "SET $left x", "SET $failing x", "SET $again x", "SET $dead x", "SET $shared x"),
			commitWords{finished: "c 5"}.String(), done, "checkpoints.c=5",
		},
		{"nothing is counted yet", given(sound, "HDEL $g passed"), commitWords{passed: "2"}.String(), done, "g.passed=2"},

		{"an entry that was read is lost", sound, commitWords{read: "4-0"}.String(), "[-4]", "g.commit=0 g.until=0"},
		{"the last of the entries that were read is lost", sound, commitWords{read: "3-0 4-0"}.String(), "[-4]", "g.commit=0"},
		{"without a log, an entry that was read is lost", given(group(""), three), commitWords{log: "''", read: "4-0"}.String(), done, "g.commit=1"},
		{
			"an entry that was read was trimmed", given(log, group("position 3-0"), three, "XDEL $stream 1-0 2-0"), commitWords{read: "2-0"}.String(), done, "g.lost='' g.position=3-0",
		},
		{"all of the stream is lost before anything was committed", given(log, group("position 0-0"), three), commitWords{read: "0-5"}.String(), "[-4]", "g.commit=0"},
		{"trimmed before anything was committed, during a walk", given(log, group("position 0-0 walk 7"), three), commitWords{read: "0-5"}.String(), done, "g.commit=1"},
		{"trimmed after something was committed", sound, commitWords{read: "0-5"}.String(), done, "g.commit=1"},

		{"the position before is gone", given(log, group(""), three, "XDEL $stream 1-0"), commitWords{}.String(), "[1 3 2-0 0 0]", "g.position=2-0 g.walk=0 g.lost=2-0"},
		{"the position before is gone, the next is there", given(log, group(""), three, "XDEL $stream 1-0"), commitWords{position: "3-0"}.String(), "[1 3 2-0 0 0]", "g.position=3-0 g.walk=0 g.lost=2-0"},
		{"the next position is gone", given(log, group("position 0-0 walk 7"), three, "XDEL $stream 1-0"), commitWords{position: "1-0"}.String(), "[1 3 2-0 0 0]", "g.position=2-0 g.walk=0 g.lost=2-0"},
		{"both are gone, during a walk", given(log, group("walk 7"), three, "XDEL $stream 1-0"), commitWords{position: "1-0", walk: "8"}.String(), "[1 3 2-0 0 0]", "g.position=2-0 g.walk=8"},
		{"the position is gone as the walk ends", given(log, group("walk 7"), three, "XDEL $stream 1-0"), commitWords{walk: "-"}.String(), "[1 3 2-0 0 0]", "g.walk=0"},
		{"the stream is empty", given(log, group("")), commitWords{}.String(), "[1 3 - 0 0]", "g.position=0-0 g.walk=0 g.lost=-"},
		{"without a log, the position is gone", given(group(""), three, "XDEL $stream 1-0"), commitWords{log: "''"}.String(), done, "g.position=1-0 g.walk='' g.lost=''"},
		{"nothing was committed, and nothing is there", given(log, group("position 0-0")), commitWords{}.String(), done, "g.position=0-0 g.walk='' g.lost=''"},
		{"the first entry of the same ms is later", given(log, group("position 5-2"), entries("stream", "5-3")), commitWords{}.String(), "[1 3 5-3 0 0]", "g.lost=5-3"},
		{"the first entry of the same ms is earlier", given(log, group("position 5-2"), entries("stream", "5-1")), commitWords{}.String(), done, "g.lost=''"},
		{"the first entry has more digits", given(log, group("position 9-5"), entries("stream", "10-0")), commitWords{}.String(), "[1 3 10-0 0 0]", "g.lost=10-0"},
		{"the first entry has fewer digits", given(log, group("position 10-0"), entries("stream", "9-5")), commitWords{}.String(), done, "g.lost=''"},

		{"letters are settled", given(sound, entries("dead", "5-0", "6-0", "7-0"), "HSET $again 5-0 1 6-0 1 7-0 1"), commitWords{settled: "5-0 7-0"}.String(), "[1 3 '' 1 0]", "dead=6-0 again.5-0=- again.6-0=1 again.7-0=-"},
		{"a letter is written", sound, commitWords{letters: []string{"'' '' '' 2 a b"}}.String(), "[1 3 '' 1 0]", "shared=-"},
		{"letters of entries", sound, commitWords{letters: []string{"8-0 '' '' 2 a b", "9-0 '' '' 2 a b"}}.String(), "[1 3 '' 2 2]", "shared:8-0=@0 shared:9-0=@0"},
		{"a letter of an entry that is one already", given(sound, "ZADD $shared 1 8-0"), commitWords{letters: []string{"8-0 '' '' 2 a b", "'' '' '' 2 a b"}}.String(), "[1 3 '' 1 0]", "shared:8-0=1"},
		{
			"entries are remembered up to a number", given(sound, "ZADD $shared 1 a 2 b 3 c"), commitWords{letters: []string{"8-0 '' '' 2 a b"}, remembered: "2"}.String(), "[1 3 '' 1 1]",
			"shared:a=- shared:b=- shared:c=3 shared:8-0=@0",
		},
		{"just as many entries as are remembered", given(sound, "ZADD $shared 1 a"), commitWords{letters: []string{"8-0 '' '' 2 a b"}, remembered: "2"}.String(), "[1 3 '' 1 1]", "shared:a=1 shared:8-0=@0"},
		{"without letters no entry is forgotten", given(sound, "ZADD $shared 1 a 2 b 3 c"), commitWords{remembered: "2"}.String(), done, "shared:a=1 shared:b=2 shared:c=3"},
		{"a retry that failed", given(sound, entries("dead", "5-0")), commitWords{letters: []string{"'' 5-0 mark 2 a b"}}.String(), "[1 3 '' 1 0]", "again.5-0=mark dead=5-0"},
		{"a retry that failed, of a letter that is gone", given(sound, entries("dead", "6-0")), commitWords{letters: []string{"'' 5-0 mark 2 a b"}}.String(), "[1 3 '' 2 0]", "again=-"},
		{"a retry that failed, of a letter that is gone and not to be written anew", given(sound, entries("dead", "6-0")), commitWords{letters: []string{"'' 5-0 mark 0", "'' '' '' 2 a b"}}.String(), "[1 3 '' 2 0]", "again=-"},
		{"a foreign value where an entry is remembered", given(sound, "SET $shared x"), commitWords{}.String(), done, "g.commit=1"},
	})
}

// TestScript_CommitRefusesForeignValues has a value of another type in the place of each key that a commit writes, and finds that nothing was written.
func TestScript_CommitRefusesForeignValues(t *testing.T) {
	for key, args := range map[string]commitWords{
		"checkpoints": {finished: "c 5"}, "left": {left: "c behind"}, "failing": {failing: "c 5:1"}, "again": {settled: "5-0"}, "dead": {settled: "5-0"},
	} {
		for _, more := range []commitWords{args, {finished: args.finished, left: args.left, failing: args.failing, settled: args.settled, letters: []string{"'' '' '' 2 a b"}}} {
			s := newScripted(t, key)
			if more.finished == "" {
				more.finished = "d 1"
			}
			for _, line := range given("SET $id L", "HSET $g epoch 9 commit 0 position 0-0 walk '' revision 3", "SET $"+key+" x") {
				if err := s.client.Do(t.Context(), s.words(line)...).Err(); err != nil {
					t.Fatal(err)
				}
			}
			var keys []string
			for name := range strings.FieldsSeq("id g checkpoints left failing again dead stream shared") {
				keys = append(keys, s.prefix+name)
			}
			err := newScripts().commit.Run(t.Context(), s.client, keys, s.words(more.String())...).Err()
			if err == nil || !strings.Contains(err.Error(), "WRONGTYPE") {
				t.Errorf("a foreign value in %s: %v", key, err)
			}
			for _, other := range []string{"checkpoints", "left", "failing", "again", "dead"} {
				if got := s.held(t.Context(), other); other != key && got != "-" {
					t.Errorf("a foreign value in %s: %s is %s", key, other, got)
				}
			}
			if got := s.held(t.Context(), "g.commit"); got != "0" {
				t.Errorf("a foreign value in %s: the commit is %s", key, got)
			}
		}
	}
}
