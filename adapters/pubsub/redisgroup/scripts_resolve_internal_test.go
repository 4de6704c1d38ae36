package redisgroup

import (
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
)

func TestScript_Resolve(t *testing.T) {
	const (
		log, group = "SET $id L", "HSET $g revision 3"
		letter     = "XADD $dead 5-0 chat c seq 7 attempts 4 "
		plain      = letter + "parked 0 payload p"
		parked     = letter + "parked 1 payload p"
		behind     = "HSET $left c parked"
		failing    = "HSET $failing c 7:4 d 1:1"
		shared     = "XADD $dead 5-0 entry 9-0 _watermill_message_uuid u payload p"
	)
	checkScript(t, func(s scripts) *goredis.Script { return s.resolve }, "id g checkpoints left failing again dead stream", []scriptCase{
		{"another log", given("SET $id M", group, plain), "L 5-0 drop", "-1", "g.revision=3 dead=5-0"},
		{"no log", given(group, plain), "'' 5-0 drop", "1", "g.revision=4 dead=-"},
		{"no group", given(log, plain), "L 5-0 drop", "-3", "g=- dead=5-0"},
		{"no letter", given(log, group, plain), "L 6-0 drop", "0", "g.revision=3 dead=5-0"},

		{"a retry", given(log, group, plain, failing), "L 5-0 retry", "1", "again.5-0=1 dead=5-0 left=- checkpoints=- stream=- failing.c=7:4 g.revision=4"},
		{"a retry after one that failed", given(log, group, plain, "HSET $again 5-0 0_"), "L 5-0 retry", "1", "again.5-0=1_"},
		{"a retry while one is under way", given(log, group, plain, "HSET $again 5-0 2_"), "L 5-0 retry", "1", "again.5-0=2_"},
		{"a drop", given(log, group, plain, failing, "HSET $again 5-0 1"), "L 5-0 drop", "1", "again=- dead=- left=- checkpoints=- failing.c=7:4 stream=-"},

		{
			"a parked chat, dropped", given(log, group, parked, behind, failing, "HSET $again 5-0 1"), "L 5-0 drop", "1",
			"checkpoints.c=7 left.c=behind failing.c=- failing.d=1:1 again=- dead=- g.revision=4 stream=-",
		},
		{"a parked chat, retried", given(log, group, parked, behind, failing), "L 5-0 retry", "1", "left.c=behind checkpoints=- failing.c=- dead=5-0 stream=-"},
		{"a parked chat, retried at once after a mark", given(log, group, parked, behind, "HSET $again 5-0 1"), "L 5-0 retry", "1", "left.c=behind dead=5-0"},
		{"a letter that says parked, of a chat that is not", given(log, group, parked, "HSET $left c behind", failing), "L 5-0 retry", "1", "left.c=behind again.5-0=1 failing.c=7:4"},
		{"a letter that is not parked, of a chat that is", given(log, group, plain, behind, failing), "L 5-0 retry", "1", "left.c=parked again.5-0=1 failing.c=7:4"},

		{"an entry for all groups, retried", given(log, group, shared, "XADD $stream 1-0 a b", "XDEL $stream 1-0"), "L 5-0 retry", "1", "dead=- again=-"},
		{"an entry for all groups, cut", given(log, group, shared+" cut 1"), "L 5-0 retry", "-5", "dead=5-0 again=- stream=-"},
		{"an entry for all groups without anything", given(log, group, "XADD $dead 5-0 entry 9-0 metadata ''"), "L 5-0 retry", "-5", "dead=5-0 again=- stream=-"},
		{"an entry for all groups, dropped", given(log, group, shared), "L 5-0 drop", "1", "dead=- again=- stream=-"},
	})
}

// TestScript_ResolveMarks compares marks, which have spaces, and entries that are given again.
func TestScript_ResolveMarks(t *testing.T) {
	for i, test := range []struct {
		parked, mark string // "" for none
		left, want   string
	}{
		{"1", "", "parked", "2 4 0 1 7 c "},
		{"1", "1", "parked", "2 4 0 1 7 c "},
		{"1", "0 5 99 1 7 c because", "parked", "2 5 99 1 7 c because"},
		{"1", "0 5 99 0 7 c because", "parked", "1 5 99 0 7 c because"},
		{"0", "0 5 99 1 7 c because", "parked", "2 5 99 1 7 c because"},
		{"0", "2 5 99 0 7 c because", "", "2 5 99 0 7 c because"},
		{"0", "0 5 99 0 7 c because", "", "1 5 99 0 7 c because"},
	} {
		s := newScripted(t, fmt.Sprint(i))
		ctx := t.Context()
		s.client.HSet(ctx, s.prefix+"g", "revision", 1)
		if test.left != "" {
			s.client.HSet(ctx, s.prefix+"left", "c", test.left)
		}
		if test.mark != "" {
			s.client.HSet(ctx, s.prefix+"again", "5-0", test.mark)
		}
		s.check(newScripts().resolve, "id g checkpoints left failing again dead stream", scriptCase{
			test.mark, []string{"XADD $dead 5-0 chat c seq 7 attempts 4 parked " + test.parked}, "'' 5-0 retry", "1", "dead=5-0",
		})
		if got := s.client.HGet(ctx, s.prefix+"again", "5-0").Val(); got != test.want {
			t.Errorf("of the mark %q, parked %s, comes %q, want %q", test.mark, test.parked, got, test.want)
		}
	}
	s := newScripted(t, "entry")
	s.check(newScripts().resolve, "id g checkpoints left failing again dead stream", scriptCase{
		"an entry", given("HSET $g revision 1", "XADD $dead 5-0 entry 9-0 x y _watermill_message_uuid u metadata '' payload p"), "'' 5-0 retry", "1", "dead=-",
	})
	if got := s.client.XRange(t.Context(), s.prefix+"stream", "-", "+").Val(); len(got) != 1 || fmt.Sprint(got[0].Values) != "map[_watermill_message_uuid:u payload:p]" {
		t.Errorf("the entry that is given again is %v", got)
	}
}

// thousand are commands that fill a stream with ids of a format.
func thousand(format string) (lines []string) {
	for i := 1; i <= 1000; i++ {
		lines = append(lines, "XADD $stream "+fmt.Sprintf(format, i)+" a b")
	}
	return lines
}

// TestScript_Erase removes entries of the chat c from a stream, whose entries have the ids 1-0 to 4-0.
func TestScript_Erase(t *testing.T) {
	const log, groups = "SET $id L", "SADD $groups "
	at := func(name, position string) string {
		return "HSET $g" + name + " position " + position + " walk '' revision 3"
	}
	stream := "XADD $stream 1-0 payload x chat c seq 7;XADD $stream 2-0 payload x chat d seq 8;XADD $stream 2-5 payload x chat c seq 8;XADD $stream 4-0 payload x chat c seq 9"
	full := strings.Split(stream, ";")
	with := func(more ...string) []string { return append(append([]string{log}, full...), more...) }
	checkScript(t, func(s scripts) *goredis.Script { return s.erase }, "id stream groups copy hiding", []scriptCase{
		{"another log", append([]string{"SET $id M"}, full...), "L $g '' '' 10 c 8", "[-1]", ""},
		{"no stream", given(log), "L $g '' '' 10 c 8", "[0]", ""},
		{"the newest of two", with(), "L $g '' '' 10 c 7 8", "[1 3]", "stream=4-0 copy=-"},
		{"the newest of two, and groups of other programs", with("XGROUP CREATE $stream other 1-0"), "L $g '' '' 10 c 7 8", "[1 3]", "stream=4-0 copy=-"},
		{"the last entry", with("SET $hiding 1-0"), "L $g '' '' 10 c 9", "[1 4]", "stream=- hiding=-"},
		{"the first entry", with(), "L $g '' '' 10 c 7", "[1 1]", "stream=2-0,2-5,4-0"},
		{"an event that has left the stream", with(), "L $g '' '' 10 c 3", "[0]", "stream=1-0,2-0,2-5,4-0"},
		{"a seq between others", with("XDEL $stream 2-5"), "L $g '' '' 10 c 8", "[0]", "stream=1-0,2-0,4-0"},
		{"the same seq of another chat", with(), "L $g '' '' 10 d 9", "[0]", "stream=1-0,2-0,2-5,4-0"},
		{"a part of the stream", with(), "L $g '' '' 2 c 7", "[2 2-5]", "stream=1-0,2-0,2-5,4-0"},
		{"the next part", with(), "L $g '' 2-5 2 c 7", "[1 1]", "stream=2-0,2-5,4-0"},
		{"the end of the stream", with(), "L $g '' 1-0 2 d 7", "[0]", "stream=1-0,2-0,2-5,4-0"},
		{"groups that have passed it", with(groups+"a b", at("a", "2-5"), at("b", "4-0")), "L $g 1 '' 10 c 8", "[1 3]", "ga.position=2-5 ga.walk='' ga.revision=3 gb.position=4-0"},
		{"a group behind it", with(groups+"a b", at("a", "2-4"), at("b", "4-0")), "L $g '' '' 10 c 8", "[1 3]", "ga.position=2-5 ga.walk=0 ga.revision=4 gb.position=4-0 gb.walk='' gb.revision=3"},
		{"a group behind it, and entries of other programs", with(groups+"a", at("a", "1-0")), "L $g 1 '' 10 c 8", "[3]", "stream=1-0,2-0,2-5,4-0 ga.position=1-0 ga.revision=3"},
	})
}

// TestScript_Trim trims streams of 1,000 entries, of which Redis trims blocks of 100.
func TestScript_Trim(t *testing.T) {
	const log, args, groups = "SET $id L", "L $g 5000", "SADD $groups "
	at := func(name, position string) string {
		return "HSET $g" + name + " position " + position + " walk '' revision 3"
	}
	full := thousand("%d-0")
	checkScript(t, func(s scripts) *goredis.Script { return s.trim }, "id stream groups", []scriptCase{
		{"another log", given("SET $id M", full, groups+"a", at("a", "500-0")), args, "[-1]", ""},
		{"no log id", given(full, groups+"a", at("a", "500-0")), "'' $g 5000", "[400]", ""},
		{"no stream", given(log, groups+"a", at("a", "500-0")), args, "[0]", ""},
		{"no group", given(log, full), args, "[0]", ""},
		{"one group", given(log, full, groups+"a", at("a", "500-0")), args, "[400]", "ga.walk='' ga.position=500-0 ga.revision=3"},
		{"two groups", given(log, full, groups+"a b c d", at("a", "800-0"), at("b", "250-0"), at("c", "900-0"), at("d", "350-0")), args, "[200]", ""},
		{"two groups the other way round", given(log, full, groups+"a b c d", at("d", "800-0"), at("c", "250-0"), at("b", "900-0"), at("a", "350-0")), args, "[200]", ""},
		{"a group without state", given(log, full, groups+"a b c d", at("b", "250-0"), at("c", "900-0")), args, "[200]", ""},
		{"ids of one ms", given(log, thousand("5-%d"), groups+"a b c d", at("a", "5-800"), at("b", "5-250"), at("c", "5-900"), at("d", "5-350")), args, "[200]", ""},
		{"ids of one ms the other way round", given(log, thousand("5-%d"), groups+"a b c d", at("d", "5-800"), at("c", "5-250"), at("b", "5-900"), at("a", "5-350")), args, "[200]", ""},
		{"another program's group", given(log, full, groups+"a", at("a", "800-0"), "XGROUP CREATE $stream x 450-0"), args, "[400]", ""},
		{"another program's group alone", given(log, full, "XGROUP CREATE $stream x 450-0"), args, "[400]", ""},
		{
			"another program's group with entries that are pending", given(log, full, groups+"a", at("a", "800-0"), "XGROUP CREATE $stream x 250-0",
				"XREADGROUP GROUP x one COUNT 1000 STREAMS $stream >"), args, "[200]", "",
		},
		{
			"another program's group with nothing pending", given(log, full, groups+"a", at("a", "800-0"), "XGROUP CREATE $stream x 998-0",
				"XREADGROUP GROUP x one COUNT 1000 STREAMS $stream >", "XACK $stream x 999-0 1000-0"), args, "[700]", "",
		},
		{
			"more than the bound", given(log, full, groups+"a b", at("a", "250-0"), at("b", "750-0")), "L $g 400", "[600 a]",
			"ga.walk=0 ga.position=601-0 ga.revision=4 gb.walk='' gb.position=750-0 gb.revision=3",
		},
		{"more than the bound, without a log", given(full, groups+"a", at("a", "250-0")), "'' $g 400", "[600 a]", "ga.walk='' ga.position=250-0 ga.revision=4"},
		{"more than the bound, and nothing that Redis gives back", given(log, full, groups+"a", at("a", "0-0")), "L $g 950", "[0]", "ga.walk='' ga.revision=3"},
		{"at the bound", given(log, full, groups+"a", at("a", "0-0")), "L $g 1000", "[0]", "ga.walk='' ga.revision=3"},
	})
}

// TestScript_EraseLeavesNoByte reads the dump of a stream. A short one has no byte of the removed entries, and the same ids and counts as before; one with more entries, or
// with consumer groups of other programs, keeps its nodes.
func TestScript_EraseLeavesNoByte(t *testing.T) {
	for name, test := range map[string]struct {
		left  int
		group bool
		whole bool
	}{
		"a short stream": {1, false, true}, "the longest short one": {500, false, true}, "a longer one": {501, false, false}, "groups of other programs": {1, true, false},
	} {
		s := newScripted(t, name)
		ctx, stream := t.Context(), s.prefix+"stream"
		add := func(seq int, text string) {
			t.Helper()
			if err := s.client.XAdd(ctx, &goredis.XAddArgs{Stream: stream, ID: fmt.Sprintf("%d-0", seq), Values: []any{"payload", text, "chat", "c", "seq", seq}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		add(1, "hunted")
		for i := range test.left {
			add(i+2, "x")
		}
		if test.group {
			if err := s.client.XGroupCreate(ctx, stream, "other", "1-0").Err(); err != nil {
				t.Fatal(err)
			}
		}
		s.check(newScripts().erase, "id stream groups copy hiding", scriptCase{name, []string{"CONFIG SET rdbcompression no", "SET $id L", "SET $hiding 1-0"}, "L $g '' '' 1000 c 1", "[1 1]", "copy=-"})
		dump, err := s.client.Dump(ctx, stream).Result()
		info, hiding := s.client.XInfoStream(ctx, stream).Val(), s.client.Get(ctx, s.prefix+"hiding").Val()
		if err != nil || strings.Contains(dump, "hunted") == test.whole {
			t.Errorf("%s: the text is in the dump: %t, error %v", name, !test.whole, err)
		}
		if want := map[bool]string{false: "2-0"}[test.whole]; hiding != want {
			t.Errorf("%s: bytes are hidden before entry %q, want %q", name, hiding, want)
		}
		if want := fmt.Sprintf("%d-0", test.left+1); info.Length != int64(test.left) || info.EntriesAdded != int64(test.left)+1 || info.LastGeneratedID != want || info.FirstEntry.ID != "2-0" {
			t.Errorf("%s: the stream is %+v", name, info)
		}
	}
}
