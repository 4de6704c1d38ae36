package eventlog_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

// mixed is the entries of a chat, one for each letter: m is a message, M one of 4 KiB, r a receipt.
func mixed(letters string) (entries []string) {
	messages := 0
	for i, letter := range letters {
		switch letter {
		case 'm':
			messages++
			entries = append(entries, sent(i+1, messages))
		case 'M':
			messages++
			entries = append(entries, entry("", "message:new", i+1, messages, `,"content":"`+strings.Repeat("x", 4096)+`"`))
		default:
			entries = append(entries, read(i+1, messages))
		}
	}
	return entries
}

func mixedChat(letters string) string {
	return stored(fmt.Sprint(len(letters), ":", strings.Count(letters, "m")), mixed(letters)...)
}

// at is the seqs of a chat with their entries.
func at(letters string, seqs ...int) string {
	var b strings.Builder
	for _, seq := range seqs {
		fmt.Fprintf(&b, " %d %s", seq, mixed(letters)[seq-1])
	}
	return b.String()
}

func TestScript_SearchMessages(t *testing.T) {
	const some = "rmrrmmrrrmrr" // messages at 2, 5, 6 and 10
	dense := strings.Repeat("m", 40)
	large := strings.Repeat("M", 600)
	sparse := strings.Repeat("rm", 400)
	huge := entry("", "read:receipt", 2, 1, `,"x":"`+strings.Repeat("x", 512*4096)+`"`)
	chat := mixedChat(some)
	replaced := func(seq int, with string) string { return chat + fmt.Sprintf("; LSET p:c:0 %d %s", seq-1, with) }
	var cases []rig.ScriptCase
	for name, c := range map[string]struct{ setup, args, reply string }{
		"all":                      {chat, "0 '' 0 9", "[12 0" + at(some, 2, 5, 6, 10) + "]"},
		"all backwards":            {chat, "0 1 0 9", "[12 0" + at(some, 10, 6, 5, 2) + "]"},
		"some":                     {chat, "0 '' 0 2", "[12 6" + at(some, 2, 5) + "]"},
		"some backwards":           {chat, "0 1 0 2", "[12 5" + at(some, 10, 6) + "]"},
		"one":                      {chat, "0 '' 0 1", "[12 0" + at(some, 2) + "]"},
		"one backwards":            {chat, "0 1 0 1", "[12 0" + at(some, 10) + "]"},
		"from a message":           {chat, "5 '' 0 9", "[12 0" + at(some, 5, 6, 10) + "]"},
		"from after a message":     {chat, "6 '' 0 9", "[12 0" + at(some, 6, 10) + "]"},
		"backwards from a message": {chat, "6 1 0 9", "[12 0" + at(some, 6, 5, 2) + "]"},
		"backwards from before":    {chat, "4 1 0 9", "[12 0" + at(some, 2) + "]"},
		"backwards from beyond":    {chat, "99 1 0 1", "[12 0" + at(some, 10) + "]"},
		"up to a seq":              {chat, "0 '' 5 9", "[12 0" + at(some, 2, 5) + "]"},
		"up to a seq beyond":       {chat, "0 '' 99 9", "[12 0" + at(some, 2, 5, 6, 10) + "]"},
		"backwards up to a seq":    {chat, "0 1 5 9", "[12 0" + at(some, 5, 2) + "]"},
		"beyond the end":           {chat, "13 '' 0 9", "[12 0]"},
		"far beyond the end":       {chat, "99 '' 0 9", "[12 0]"},
		"the last event":           {chat, "12 '' 0 9", "[12 0]"},
		"nothing to the end":       {chat, "11 '' 0 9", "[12 0]"},
		"no chat":                  {"SET p:id L", "0 '' 0 9", "[0 0]"},
		"messages only":            {mixedChat(dense), "5 '' 0 30", "[40 0" + at(dense, numbers(5, 34)...) + "]"},
		"messages only, backwards": {mixedChat(dense), "36 1 0 30", "[40 0" + at(dense, numbers(36, 7)...) + "]"},
		"large messages":           {stored("600:600", mixed(large)...), "1 '' 0 600", "[600 353 1 …]"},
		"large ones, backwards":    {stored("600:600", mixed(large)...), "0 1 0 600", "[600 248 600 …]"},
		"sparse messages":          {mixedChat(sparse), "1 '' 0 400", "[800 505 2 …]"},
		"sparse ones, backwards":   {mixedChat(sparse), "0 1 0 400", "[800 297 800 …]"},
		"behind a large event":     {stored("2:1", sent(1, 1), huge), "1 '' 0 9", "[2 0 1 " + sent(1, 1) + "]"},
		"as many as asked for":     {mixedChat("rmmmrm"), "1 '' 0 3", "[6 0" + at("rmmmrm", 2, 3, 4) + "]"},
		"two events of other seqs": {replaced(3, "x") + "; LSET p:c:0 8 x", "1 '' 0 99", "[-2 3 the·entry·is·not·that·of·this·seq]"},
		"messages only, one of another seq": {
			mixedChat(dense) + "; LSET p:c:0 6 x", "5 '' 0 30", "[-2 7 the·entry·is·not·that·of·this·seq]",
		},
		"an event of another seq": {replaced(4, read(3, 1)), "0 '' 0 9", "[-2 4 the·entry·is·not·that·of·this·seq]"},
		"no event":                {replaced(12, "x"), "0 '' 0 9", "[-2 12 the·entry·is·not·that·of·this·seq]"},
		"an ordinal that goes back": {
			replaced(12, read(12, 0)), "6 '' 0 99", "[-2 12 the·ordinals·contradict·each·other]",
		},
		"more messages than events": {
			replaced(12, read(12, 20)), "2 '' 0 99", "[-2 12 the·ordinals·contradict·each·other]",
		},
		"ordinals that differ in messages only": {
			mixedChat(dense) + "; LSET p:c:0 6 " + read(7, 6), "5 '' 0 30", "[-2 7 the·ordinal·is·not·that·of·a·message·after·the·one·before]",
		},
		"a segment that is short": {mixedChat(some) + "; RPOP p:c:0", "1 '' 0 9", "[-2 … segment·0·has·11·entries,·by·the·head·12]"},
	} {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: c.setup, Keys: "p:id", Args: "L c messages " + c.args, Reply: c.reply})
	}
	cases = append(cases, rig.ScriptCase{Name: "another log", Setup: "SET p:id M", Keys: "p:id", Args: "L c messages 0 '' 0 9", Reply: "[-1]"})
	rig.RunScript(t, eventlog.Sources()["search"], cases)
}

// numbers is the numbers from one to another, in either direction.
func numbers(from, to int) (all []int) {
	for n := min(from, to); n <= max(from, to); n++ {
		all = append(all, n)
	}
	if from > to {
		slices.Reverse(all)
	}
	return all
}

func TestScript_SearchTombstones(t *testing.T) {
	const some = "mmmrmm"
	deleted := mixedChat(some) + "; ZADD p:c:d 2 2 3 3 5 5; HSET p:c:x ·#d 3"
	var cases []rig.ScriptCase
	for name, c := range map[string]struct{ setup, args, reply string }{
		"none":                     {mixedChat(some), "0 '' 0 9", "[6 0]"},
		"all":                      {deleted, "0 '' 0 9", "[6 0" + at(some, 2, 3, 5) + "]"},
		"all backwards":            {deleted, "0 1 0 9", "[6 0" + at(some, 5, 3, 2) + "]"},
		"some":                     {deleted, "0 '' 0 2", "[6 0" + at(some, 2, 3) + "]"},
		"some backwards":           {deleted, "0 1 0 2", "[6 0" + at(some, 5, 3) + "]"},
		"from one":                 {deleted, "3 '' 0 9", "[6 0" + at(some, 3, 5) + "]"},
		"backwards from one":       {deleted, "3 1 0 9", "[6 0" + at(some, 3, 2) + "]"},
		"up to one":                {deleted, "0 '' 3 9", "[6 0" + at(some, 2, 3) + "]"},
		"one that the index lacks": {deleted + "; HSET p:c:x ·#d 2", "0 '' 0 9", "[-2 0 the·count·of·:d·is·not·what·the·index·says]"},
		"one that is missing":      {mixedChat(some) + "; HSET p:c:x ·#d 1", "0 '' 0 9", "[-2 0 the·count·of·:d·is·not·what·the·index·says]"},
		"no count":                 {deleted + "; HDEL p:c:x ·#d", "0 '' 0 9", "[-2 0 the·count·of·:d·is·not·what·the·index·says]"},
		"an event of another seq":  {deleted + "; LSET p:c:0 2 x", "0 '' 0 9", "[-2 3 the·entry·is·not·that·of·this·seq]"},
		"two events of other seqs": {deleted + "; LSET p:c:0 1 x; LSET p:c:0 2 x", "0 '' 0 9", "[-2 2 the·entry·is·not·that·of·this·seq]"},
		"tombstones of another type": {
			mixedChat(some) + "; SET p:c:d x", "0 '' 0 9", "error WRONGTYPE",
		},
	} {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: c.setup, Keys: "p:id", Args: "L c tombstones " + c.args, Reply: c.reply})
	}
	// many has 600 tombstones: a call reads 512 of them.
	many := strings.Repeat("m", 600)
	tombstones := mixedChat(many) + "; HSET p:c:x ·#d 600; ZADD p:c:d"
	for seq := 1; seq <= 600; seq++ {
		tombstones += fmt.Sprint(" ", seq, " ", seq)
	}
	cases = append(cases,
		rig.ScriptCase{Name: "too many", Setup: tombstones, Keys: "p:id", Args: "L c tombstones 0 '' 0 600", Reply: "[600 513" + at(many, numbers(1, 512)...) + "]"},
		rig.ScriptCase{Name: "too many, backwards", Setup: tombstones, Keys: "p:id", Args: "L c tombstones 0 1 0 600", Reply: "[600 88" + at(many, numbers(600, 89)...) + "]"},
		rig.ScriptCase{Name: "just not too many", Setup: tombstones, Keys: "p:id", Args: "L c tombstones 0 '' 0 512", Reply: "[600 0" + at(many, numbers(1, 512)...) + "]"})
	large := stored("300:300", mixed(strings.Repeat("M", 300))...) + "; HSET p:c:x ·#d 300; ZADD p:c:d"
	for seq := 1; seq <= 300; seq++ {
		large += fmt.Sprint(" ", seq, " ", seq)
	}
	cases = append(cases, rig.ScriptCase{Name: "too many of 4 KiB", Setup: large, Keys: "p:id", Args: "L c tombstones 0 '' 0 300", Reply: "[300 257 1 …]"})
	rig.RunScript(t, eventlog.Sources()["search"], cases)
}

// compactErasure is the compact form of the erasure of a message, up to its ids.
func compactErasure(message, by string) string {
	return fmt.Sprintf("{\x02z0:%s%c%s%c%s", strings.Repeat("\x00", 8), len(message), message, len(by), by)
}

func TestScript_SearchUser(t *testing.T) {
	by := func(seq int, kind, fields string) string { return entry("", kind, seq, 0, fields) }
	entries := []string{
		by(1, "chat:update", `,"actorId":"ada"`),
		by(2, "chat:update", `,"actorId":"ben","userId":"ada"`),
		by(3, "message:new", `,"senderId":"ben","content":"ada"`),
		by(4, "message:new", `,"senderId":"ada"`),
		by(5, "x:y", `,"actorId":"ben","data":{"userId":"ada"}`),
		by(6, "x:y", `,"actorId":"ada","data":{}`),
		by(7, "x:y", `,"actorId":"ben"`),
		strings.Replace(by(8, "chat:update", `,"actorId":"ben"`), `"v":1`, `"v":2`, 1),
		by(9, "message:edit", `,"editorId":"ada"`),
		by(10, "message:delete", `,"deletedBy":"ada"`),
		by(11, "message:new", `,"senderId":"ben"`),
	}
	chat := stored("11:0", entries...)
	want := func(seqs ...int) string {
		var b strings.Builder
		for _, seq := range seqs {
			fmt.Fprintf(&b, " %d %s", seq, entries[seq-1])
		}
		return b.String()
	}
	const known = ` ada "ada" chat:update 1 message:new 1 message:edit 1 message:delete 1 message:erased 1`
	var cases []rig.ScriptCase
	for name, c := range map[string]struct{ setup, args, reply string }{
		"all":                      {chat, "0 '' 0 99", "[11 0" + want(1, 2, 4, 6, 7, 8, 9, 10) + "]"},
		"all backwards":            {chat, "0 1 0 99", "[11 0" + want(10, 9, 8, 7, 6, 4, 2, 1) + "]"},
		"some":                     {chat, "0 '' 0 2", "[11 0" + want(1, 2) + "]"},
		"some backwards":           {chat, "0 1 0 2", "[11 0" + want(10, 9) + "]"},
		"from a seq up to another": {chat, "2 '' 6 99", "[11 0" + want(2, 4, 6) + "]"},
		"an event of another seq":  {chat + "; LSET p:c:0 3 " + entries[8], "0 '' 0 99", "[-2 4 the·entry·is·not·that·of·this·seq]"},
		"no event":                 {chat + "; LSET p:c:0 3 x", "0 '' 0 99", "[-2 4 the·entry·is·not·that·of·this·seq]"},
		"a segment that is short":  {chat + "; RPOP p:c:0", "0 '' 0 99", "[-2 1 segment·0·has·10·entries,·by·the·head·11]"},
		"compact erasures": {
			stored("3:0:0:0", compactErasure("ada", "ben"), compactErasure("m", "ada"), compactErasure("m", "ben")), "0 '' 0 99", "[3 0 2 " + compactErasure("m", "ada") + "]",
		},
	} {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: c.setup, Keys: "p:id", Args: "L c user " + c.args + known, Reply: c.reply})
	}
	rig.RunScript(t, eventlog.Sources()["search"], cases)
}
