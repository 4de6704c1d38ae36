package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

// chain is a chat in which every event moves the entity of a kind and field, each with a link to the one before.
func chain(kind, field string, n int, event func(links string, seq int) string) string {
	entries := make([]string, n)
	for i := range entries {
		links := ""
		if i > 0 {
			links = fmt.Sprint(kind, i)
		}
		entries[i] = event(links, i+1)
	}
	return stored(fmt.Sprint(n, ":0"), entries...) + fmt.Sprintf("; HSET p:c:x %s %d:%d:1", field, n, n)
}

func renamed(links string, seq int) string { return change(links, "renamed", seq, 0) }

// reacted is a reaction of ada. Odd seqs add it, even ones remove it.
func reacted(links string, seq int) string {
	return entry(links, "message:reaction", seq, 0, fmt.Sprintf(`,"messageId":"m","userId":"ada","emoji":"x","action":"%s"`, []string{"remove", "add"}[seq%2]))
}

// pairs is the seqs and the events of a chain from the last one down to the first one.
func pairs(kind string, last, first int, event func(links string, seq int) string) string {
	var b strings.Builder
	for seq := last; seq >= first; seq-- {
		links := ""
		if seq > 1 {
			links = fmt.Sprint(kind, seq-1)
		}
		fmt.Fprintf(&b, " %d %s", seq, event(links, seq))
	}
	return b.String()
}

// TestScript_Load loads the entity chat, of kind c, from its chain of events. Each reply has the head and the server's history first.
func TestScript_Load(t *testing.T) {
	chat := chain("c", "c", 5, renamed)
	events := func(last, first int) string { return pairs("c", last, first, renamed) }
	long := chain("c", "c", 300, renamed)
	snapshot := func(version string) string { return long + "; HSET p:c:s c " + version + " =c state" }
	damaged := func(more string) string { return chat + "; " + more }
	reactions := chain("x", "xm", 4, reacted)
	reaction := func(seq int) string { return pairs("x", seq, seq, reacted) }
	const noLink = "the·link·to·the·event·before·is·missing"
	var cases []rig.ScriptCase
	for name, c := range map[string]struct{ setup, args, reply string }{
		"no chat":                                 {"SET p:id L", "256 '' 1 c c 0 0 '' '' 0", "[0 … [0 0 0 '' 0]]"},
		"all":                                     {chat, "256 '' 1 c c 0 0 '' '' 0", "[5 … [5 0 0 '' 0" + events(5, 1) + "]]"},
		"known":                                   {chat, "256 '' 1 c c 5 0 '' '' 0", "[5 … [5 0 0 '' 0]]"},
		"in part known":                           {chat, "256 '' 1 c c 3 0 '' '' 0", "[5 … [5 0 0 '' 0" + events(5, 4) + "]]"},
		"an entity that nothing moved":            {chat, "256 '' 1 m xyz 0 0 '' '' 0", "[5 … [0 0 0 '' 0]]"},
		"two entities":                            {chat, "256 '' 2 m xyz 0 0 '' '' 0 c c 4 0 '' '' 0", "[5 … [0 0 0 '' 0] [5 0 0 '' 0" + events(5, 5) + "]]"},
		"up to a seq":                             {chat, "256 '' 1 c c 0 2 '' '' 0", "[5 … [5 0 0 '' 0" + events(2, 1) + "]]"},
		"no more links":                           {chat, "2 '' 1 c c 0 0 '' '' 0", "[5 … [5 3 0 '' 0" + events(5, 4) + "]]"},
		"as many links as possible":               {chat, "5 '' 1 c c 0 0 '' '' 0", "[5 … [5 0 0 '' 0" + events(5, 1) + "]]"},
		"no more links for a second entity":       {chat, "5 '' 2 c c 0 0 '' '' 0 c c 0 0 '' '' 0", "[5 … [5 0 0 '' 0" + events(5, 1) + "] [5 5 0 '' 0]]"},
		"from a cursor":                           {chat, "256 '' 1 c c 0 0 '' 3 0", "[5 … [5 0 0 '' 0" + events(3, 1) + "]]"},
		"from a cursor beyond the head":           {chat, "256 '' 1 c c 0 0 '' 6 0", "[5 … [5 0 0 '' 0]]"},
		"from a cursor at the head":               {chat, "256 '' 1 c c 0 0 '' 5 0", "[5 … [5 0 0 '' 0" + events(5, 1) + "]]"},
		"not more events":                         {chat, "256 '' 1 c c 0 0 '' '' 2", "[5 … [5 -3 0 '' 0" + events(5, 4) + "]]"},
		"as many events as there are":             {chat, "256 '' 1 c c 0 0 '' '' 5", "[5 … [5 0 0 '' 0" + events(5, 1) + "]]"},
		"the last event":                          {chat, "256 '' 1 c c 0 0 1 '' 0", "[5 … [5 0 0 '' 0" + events(5, 5) + "]]"},
		"a snapshot":                              {snapshot("298"), "256 '' 1 c c 0 0 '' '' 0", "[300 … [300 0 298 state 0" + events(300, 299) + "]]"},
		"a snapshot at the version":               {snapshot("300"), "256 '' 1 c c 0 0 '' '' 0", "[300 … [300 0 300 state 0]]"},
		"a snapshot beyond the version":           {snapshot("301"), "1 '' 1 c c 0 0 '' '' 0", "[300 … [300 299 0 '' 0" + events(300, 300) + "]]"},
		"a snapshot that is known":                {snapshot("298"), "9 '' 1 c c 298 0 '' '' 0", "[300 … [300 0 0 '' 0" + events(300, 299) + "]]"},
		"a snapshot later than a known version":   {snapshot("298"), "9 '' 1 c c 41 0 '' '' 0", "[300 … [300 0 298 state 0" + events(300, 299) + "]]"},
		"a snapshot few events later":             {snapshot("298"), "9 '' 1 c c 42 0 '' '' 0", "[300 … [300 291 0 '' 0" + events(300, 292) + "]]"},
		"a snapshot without state":                {snapshot("299") + "; HDEL p:c:s =c", "9 '' 1 c c 0 0 '' '' 0", "[300 … [300 0 299 '' 0" + events(300, 300) + "]]"},
		"an unreadable snapshot":                  {snapshot("x"), "9 '' 1 c c 299 0 '' '' 0", "[300 … [300 0 0 '' 0" + events(300, 300) + "]]"},
		"snapshots ignored":                       {snapshot("299"), "1 1 1 c c 0 0 '' '' 0", "[300 … [300 299 0 '' 0" + events(300, 300) + "]]"},
		"a snapshot and the last event":           {snapshot("300"), "9 '' 1 c c 0 0 1 '' 0", "[300 … [300 0 0 '' 0" + events(300, 300) + "]]"},
		"a snapshot and a cursor":                 {snapshot("299"), "2 '' 1 c c 0 0 '' 300 0", "[300 … [300 298 0 '' 0" + events(300, 299) + "]]"},
		"a snapshot at the last seq that counts":  {snapshot("298"), "256 '' 1 c c 0 298 '' '' 0", "[300 … [300 0 298 state 0]]"},
		"a snapshot after the last seq":           {snapshot("299"), "1 '' 1 c c 0 298 '' '' 0", "[300 … [300 299 0 '' 0]]"},
		"few events for a snapshot":               {chain("c", "c", 255, renamed) + "; HSET p:c:s c 255 =c state", "1 '' 1 c c 0 0 '' '' 0", "[255 … [255 254 0 '' 0" + events(255, 255) + "]]"},
		"just enough events for a snapshot":       {chain("c", "c", 256, renamed) + "; HSET p:c:s c 256 =c state", "1 '' 1 c c 0 0 '' '' 0", "[256 … [256 0 256 state 0]]"},
		"many events":                             {chain("c", "c", 100, renamed), "256 '' 1 c c 0 0 '' '' 0", "[100 … [100 0 0 '' 0" + pairs("c", 100, 1, renamed) + "]]"},
		"many events up to a seq":                 {long, "100 '' 1 c c 0 2 '' '' 0", "[300 … [300 0 0 '' 0" + events(2, 1) + "]]"},
		"many events up to a seq, the last event": {long, "100 '' 1 c c 0 2 1 '' 0", "[300 … [300 0 0 '' 0" + events(2, 2) + "]]"},
		"many events up to a seq in a damaged segment": {
			chain("c", "c", 1100, renamed) + "; EVAL redis.call('LTRIM',KEYS[1],0,1022)·for·i=1025,1100·do·redis.call('RPUSH',KEYS[2],'c'..(i-1)..'{}')·end·return·1 2 p:c:0 p:c:1",
			"256 '' 1 c c 0 2 '' '' 0", "[-2 … segment·0·has·1023·entries,·by·the·head·1024]",
		},
		"a receipt": {chain("v", "·vada", 3, readTo(1)), "256 '' 1 v ·vada 0 0 1 '' 0", "[3 … [3 0 0 '' 0" + pairs("v", 3, 3, readTo(1)) + "]]"},
		"reactions without undone ones, to a removal": {reactions, "256 '' 1 x xm 0 2 2 '' 0", "[4 … [4 0 0 '' 1" + reaction(2) + "]]"},
		"a command":                               {damaged("HSET p:c:x ·Ccmd 5:2:ab"), "256 '' 1 k ·Ccmd 0 0 '' '' 0", "[5 … [5 0 0 5:2:ab 0]]"},
		"a read mark of a message":                {chain("r", "·rada", 3, sentBy), "256 '' 1 r ·rada 0 0 1 '' 0", "[3 … [3 0 0 '' 0" + pairs("r", 3, 3, sentBy) + "]]"},
		"a read mark of a receipt":                {chain("r", "·rada", 5, readTo(2)), "256 '' 1 r ·rada 0 0 1 '' 0", "[5 … [5 0 0 '' 0" + pairs("r", 5, 3, readTo(2)) + "]]"},
		"a read mark of a custom event":           {chain("r", "·rada", 2, func(links string, seq int) string { return entry(links, "x:y", seq, 0, "") }), "256 '' 1 r ·rada 0 0 1 '' 0", "[2 … [2 0 0 '' 0 2 …]]"},
		"a receipt without its place":             {chain("r", "·rada", 2, func(links string, seq int) string { return entry(links, "read:receipt", seq, 0, "") }), "256 '' 1 r ·rada 0 0 1 '' 0", "[-2 2 the·entry·is·not·that·of·an·event·that·moves·a·read·mark]"},
		"a read mark that is no event":            {chain("r", "·rada", 2, func(links string, _ int) string { return links + "x" }), "256 '' 1 r ·rada 0 0 1 '' 0", "[-2 2 the·entry·is·not·that·of·an·event·that·moves·a·read·mark]"},
		"a read mark of another seq":              {chain("r", "·rada", 2, func(links string, _ int) string { return sentBy(links, 1) }), "256 '' 1 r ·rada 0 0 1 '' 0", "[-2 2 the·entry·is·not·that·of·an·event·that·moves·a·read·mark]"},
		"reactions":                               {reactions, "256 '' 1 x xm 0 0 '' '' 0", "[4 … [4 0 0 '' 0" + pairs("x", 4, 1, reacted) + "]]"},
		"reactions without undone ones":           {reactions, "256 '' 1 x xm 0 0 2 '' 0", "[4 … [4 0 0 '' 3" + reaction(4) + "]]"},
		"reactions without undone ones, to a seq": {reactions, "256 '' 1 x xm 0 3 2 '' 0", "[4 … [4 0 0 '' 1" + reaction(3) + reaction(2) + "]]"},
		"reactions of other versions": {
			strings.ReplaceAll(reactions, `"v":1`, `"v":2`), "256 '' 1 x xm 0 0 2 '' 0", "[4 … [4 0 0 '' 0" + strings.ReplaceAll(pairs("x", 4, 1, reacted), `"v":1`, `"v":2`) + "]]",
		},
		"other events as reactions": {
			strings.ReplaceAll(reactions, `message:reaction`, `x:y`), "256 '' 1 x xm 0 0 2 '' 0", "[4 … [4 0 0 '' 0" + strings.ReplaceAll(pairs("x", 4, 1, reacted), `message:reaction`, `x:y`) + "]]",
		},
		"an index beyond the head":        {damaged("HSET p:c:x c 6:5:1"), "256 '' 1 c c 0 0 '' '' 0", "[-2 0 the·index·entry·is·unreadable·or·ahead·of·the·head]"},
		"an unreadable index":             {damaged("HSET p:c:x c x"), "256 '' 1 c c 0 0 '' '' 0", "[-2 0 the·index·entry·is·unreadable·or·ahead·of·the·head]"},
		"a short index":                   {damaged("HSET p:c:x c 5"), "256 '' 1 c c 0 0 '' '' 0", "[5 … [5 0 0 '' 0" + events(5, 1) + "]]"},
		"a member without index":          {damaged("HSET p:c:u bob 1"), "256 '' 1 u ·ubob 0 0 '' '' 0", "[-2 0 the·index·has·no·entry·of·member·bob]"},
		"a user who is no member":         {damaged("HSET p:c:u bob 1"), "256 '' 1 u ·ueve 0 0 '' '' 0", "[5 … [0 0 0 '' 0]]"},
		"another entity without index":    {damaged("HSET p:c:u bob 1"), "256 '' 1 r ·rbob 0 0 '' '' 0", "[5 … [0 0 0 '' 0]]"},
		"a missing link":                  {damaged("LSET p:c:0 2 " + renamed("", 3)), "256 '' 1 c c 0 0 '' '' 0", "[-2 3 " + noLink + "]"},
		"a link to itself":                {damaged("LSET p:c:0 2 " + renamed("c3", 3)), "256 '' 1 c c 0 0 '' '' 0", "[-2 3 " + noLink + "]"},
		"a link to a later event":         {damaged("LSET p:c:0 2 " + renamed("c4", 3)), "256 '' 1 c c 0 0 '' '' 0", "[-2 3 " + noLink + "]"},
		"a missing link that is known":    {damaged("LSET p:c:0 2 " + renamed("", 3)), "256 '' 1 c c 3 0 '' '' 0", "[5 … [5 0 0 '' 0" + events(5, 4) + "]]"},
		"a missing link of a short index": {damaged("LSET p:c:0 2 " + renamed("", 3) + "; HSET p:c:x c 5"), "256 '' 1 c c 0 0 '' '' 0", "[5 … [5 0 0 '' 0" + events(5, 4) + " 3 …]]"},
		"a segment that is short":         {damaged("RPOP p:c:0"), "256 '' 1 c c 0 0 '' '' 0", "[-2 5 segment·0·has·4·entries,·by·the·head·5]"},
	} {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: c.setup, Keys: "p:id", Args: "L c " + c.args, Reply: c.reply})
	}
	cases = append(cases,
		rig.ScriptCase{Name: "another log", Setup: "SET p:id M", Keys: "p:id", Args: "L c 256 '' 1 c c 0 0 '' '' 0", Reply: "[-1]"},
		rig.ScriptCase{Name: "no right to the history", Setup: chat, Keys: "p:id", Args: "L c 256 '' 1 c c 5 0 '' '' 0", Without: "info", Reply: "[5 '' [5 0 0 '' 0]]"})
	rig.RunScript(t, eventlog.Sources()["load"], cases)
}

func sentBy(links string, seq int) string { return entry(links, "message:new", seq, seq, "") }

// readTo is a receipt to a seq.
func readTo(to int) func(links string, seq int) string {
	return func(links string, seq int) string { return receipt(links, seq, 0, to) }
}
