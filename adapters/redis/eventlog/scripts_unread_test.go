package eventlog_test

import (
	"fmt"
	"strings"
	"testing"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
)

func change(links, kind string, seq, ordinal int) string {
	return entry(links, "chat:update", seq, ordinal, fmt.Sprintf(`,"change":"%s"`, kind))
}

func receipt(links string, seq, ordinal, to int) string {
	return entry(links, "read:receipt", seq, ordinal, fmt.Sprintf(`,"readSeq":%d`, to))
}

// TestScript_Unread counts the unread messages of ada in a chat. With the reply -2 the caller must count.
func TestScript_Unread(t *testing.T) {
	// joined is a chat in which ada has joined at 2, after a message, and two messages follow.
	joined := func(index string, more ...string) string {
		entries := append([]string{sent(1, 1), change("", "member_added", 2, 1), sent(3, 2), sent(4, 3)}, more...)
		return stored(fmt.Sprint(len(entries), ":", 3), entries...) + "; HSET p:c:x ·uada 2:1:2 " + index
	}
	replaced := func(seq int, with string) string { return fmt.Sprintf("; LSET p:c:0 %d %s", seq-1, with) }
	older := strings.NewReplacer(`"v":1`, `"v":2`)
	// roles has ada's role changed n times, receipts has ada read the message at 3 n times.
	roles := func(n int) string {
		var more []string
		for i := range n {
			more = append(more, change(fmt.Sprint("u", max(2, 4+i*min(i, 1))), "role_changed", 5+i, 3))
		}
		return joined("", more...) + fmt.Sprintf("; HSET p:c:x ·uada %d:%d:2", 4+n, n+1) + replaced(5, change("u2", "role_changed", 5, 3))
	}
	receipts := func(n int) string {
		var more []string
		for i := range n {
			links := fmt.Sprint("r", 4+i)
			if i == 0 {
				links = ""
			}
			more = append(more, receipt(links, 5+i, 3, 3))
		}
		return joined("", more...) + fmt.Sprintf("; HSET p:c:x ·rada %d", 4+n)
	}
	cases := []rig.ScriptCase{{Name: "another log", Setup: "SET p:id M; SET q:id L", Keys: "q:id p:id", Args: "ada 1 1 1 L L 1 c", Reply: "[-1 2]"}}
	for name, c := range map[string]struct{ setup, count string }{
		"a new member":                               {joined(""), "2"},
		"a creator":                                  {joined("") + replaced(2, change("", "created", 2, 1)), "2"},
		"no member":                                  {stored("1:1", sent(1, 1)), "-2"},
		"a former member":                            {joined("") + replaced(2, change("", "member_removed", 2, 1)), "-1"},
		"another change":                             {joined("") + replaced(2, change("", "renamed", 2, 1)), "-2"},
		"another change with a link":                 {joined("", change("u2", "renamed", 5, 3)) + "; HSET p:c:x ·uada 5:2:2", "-2"},
		"a later version of the join":                {joined("") + replaced(2, older.Replace(change("", "member_added", 2, 1))), "-2"},
		"another event instead of the join":          {joined("") + replaced(2, sent(2, 1)), "-2"},
		"an unknown event":                           {joined("") + replaced(2, entry("", "x:y", 2, 1, `,"change":"member_added"`)), "-2"},
		"no event":                                   {joined("") + replaced(2, "x"), "-2"},
		"a join beyond the head":                     {joined("") + "; HSET p:c:x ·uada 5:1:2", "-2"},
		"a join of 0":                                {joined("") + "; HSET p:c:x ·uada 0:1:2", "-2"},
		"an unreadable join":                         {joined("") + "; HSET p:c:x ·uada x", "-2"},
		"no ordinal":                                 {joined("") + replaced(2, `{"eventId":"e2","type":"chat:update","v":1,"change":"member_added"}`), "-2"},
		"another role":                               {roles(1), "2"},
		"other roles":                                {roles(31), "2"},
		"too many other roles":                       {roles(32), "-2"},
		"another role without its link":              {joined("", change("", "role_changed", 5, 3)) + "; HSET p:c:x ·uada 5:2:2", "-2"},
		"no head":                                    {joined("") + "; HDEL p:c:x ·", "-2"},
		"an unreadable head":                         {joined("") + "; HSET p:c:x · 4", "-2"},
		"a segment that is short":                    {joined("") + "; RPOP p:c:0", "-2"},
		"read to 3":                                  {joined("", receipt("", 5, 3, 3)) + "; HSET p:c:x ·rada 5", "1"},
		"read to the last message":                   {joined("", receipt("", 5, 3, 4)) + "; HSET p:c:x ·rada 5", "0"},
		"read to the head":                           {joined("", sent(5, 4)) + "; HSET p:c:x ·rada 5 · 5:4", "0"},
		"read beyond the head":                       {joined("", receipt("", 5, 3, 9)) + "; HSET p:c:x ·rada 5", "0"},
		"read before the join":                       {joined("", receipt("", 5, 3, 1)) + "; HSET p:c:x ·rada 5", "2"},
		"read to the join":                           {joined("", receipt("", 5, 3, 2)) + "; HSET p:c:x ·rada 5", "2"},
		"sent since":                                 {joined("", sent(5, 4), sent(6, 5)) + "; HSET p:c:x ·rada 5 · 6:5", "1"},
		"a receipt of an earlier message":            {joined("", sent(5, 4), receipt("r5", 6, 4, 3), sent(7, 5)) + "; HSET p:c:x ·rada 6 · 7:5", "1"},
		"a receipt of an earlier message first":      {joined("", receipt("", 5, 3, 3), receipt("r5", 6, 3, 4)) + "; HSET p:c:x ·rada 6", "0"},
		"receipts":                                   {receipts(31), "1"},
		"too many receipts":                          {receipts(32), "-2"},
		"a later version of a receipt":               {joined("", older.Replace(receipt("", 5, 3, 3))) + "; HSET p:c:x ·rada 5", "-2"},
		"a receipt without its place":                {joined("", read(5, 3)) + "; HSET p:c:x ·rada 5", "-2"},
		"another event instead of a receipt":         {joined("", change("", "renamed", 5, 3)) + "; HSET p:c:x ·rada 5", "-2"},
		"a receipt beyond the head":                  {joined("") + "; HSET p:c:x ·rada 5", "-2"},
		"an unreadable entry of the read mark":       {joined("") + "; HSET p:c:x ·rada x", "-2"},
		"a read mark that is no event":               {joined("", receipt("", 5, 3, 3)) + "; HSET p:c:x ·rada 5" + replaced(3, "x"), "-2"},
		"deleted since":                              {joined("") + "; ZADD p:c:d 3 3; HSET p:c:x ·#d 1", "1"},
		"deleted before the join":                    {joined("") + "; ZADD p:c:d 1 1; HSET p:c:x ·#d 1", "2"},
		"deleted at the read mark":                   {joined("", receipt("", 5, 3, 3)) + "; HSET p:c:x ·rada 5 ·#d 1; ZADD p:c:d 3 3", "1"},
		"a tombstone that the index misses":          {joined("") + "; ZADD p:c:d 3 3", "-2"},
		"a tombstone without a message in the index": {joined("", receipt("", 5, 3, 4)) + "; HSET p:c:x ·rada 5; ZADD p:c:d 3 3", "0"},
		"a missing tombstone":                        {joined("") + "; HSET p:c:x ·#d 1", "-2"},
		"more tombstones than messages":              {joined("") + "; ZADD p:c:d 3 3 4 4 5 5; HSET p:c:x ·#d 3", "0"},
		"fewer messages than at the join":            {joined("") + "; HSET p:c:x · 4:0", "0"},
		"a read mark with a base":                    {stored("4:3:0:4") + "; HSET p:c:x ·rada 0:2:1", "2"},
		"a read mark at the head":                    {stored("4:3:0:4") + "; HSET p:c:x ·rada 4:4:3", "0"},
		"a read mark beyond the head":                {stored("4:3:0:4") + "; HSET p:c:x ·rada 4:5:1", "0"},
		"a read mark with tombstones":                {stored("4:3:2:4") + "; HSET p:c:x ·rada 0:2:1; ZADD p:c:d 1 1 3 3", "1"},
		"a read mark with tombstones that differ":    {stored("4:3:2:4") + "; HSET p:c:x ·rada 0:2:1; ZADD p:c:d 3 3", "-2"},
		"a read mark and a head of two parts":        {stored("4:3") + "; HSET p:c:x ·rada 0:2:1", "2"},
		"a read mark of a former member":             {stored("4:3:0:4") + "; HSET p:c:x ·rada 3:-", "-1"},
		"a head of four parts without a base":        {joined("", receipt("", 5, 3, 3)) + "; HSET p:c:x ·rada 5 · 5:3:0:4", "1"},
		"tombstones in a head without a base":        {joined("") + "; HSET p:c:x · 4:3:1:4; ZADD p:c:d 3 3", "1"},
		"a head of three parts":                      {joined("") + "; HSET p:c:x · 4:3:1", "-2"},
	} {
		cases = append(cases, rig.ScriptCase{Name: name, Setup: c.setup, Keys: "p:id", Args: "ada 1 1 1 L 1 c", Reply: "[0 " + c.count + "]"})
	}
	cases = append(cases, rig.ScriptCase{
		Name: "chats of partitions", Setup: joined("") + "; SET q:id M; HSET q:d:x · 1:0 ·uada 1:1:1; RPUSH q:d:0 " + change("", "created", 1, 0), Keys: "q:id p:id",
		Args: "ada 1 1 1 M L 2 c 1 d 1 c", Reply: "[0 2 0 -2]",
	})
	rig.RunScript(t, eventlog.Sources()["unread"], cases)
}

// TestScript_Members counts the unread messages of all members, or of some, in chats of two partitions.
func TestScript_Members(t *testing.T) {
	const (
		chat = "; HSET p:c:x · 4:3:0:4 ·#u 2 ·uada 1:1:1 ·rada 3:3:2 ·ubob 2:1:2 ·rbob 2:2:1; HSET p:c:u ada ” bob ”; SADD p:chats c"
		more = "; SET q:id M; HSET q:d:x · 2:1 ·#u 1 ·ucem 1:1:1; HSET q:d:u cem ”"
		all  = "1 1 1 L 1 c 2 0 0"
	)
	log := "SET p:id L" + chat
	older := more + "; RPUSH q:d:0 " + change("", "created", 1, 0) + " " + sent(2, 1)
	enough := ""
	for range 500 {
		enough += " ada"
	}
	rig.RunScript(t, eventlog.Sources()["members"], []rig.ScriptCase{
		{Name: "another log", Setup: log + more, Keys: "q:id p:id", Args: "1 1 1 M M 2 c 2 0 0", Reply: "[-1 2]"},
		{Name: "all", Setup: log, Keys: "p:id", Args: all, Reply: "[0 4·2·1·2 ada\nbob]"},
		{Name: "too many for all", Setup: log, Keys: "p:id", Args: "1 1 1 L 1 c 1 0 0", Reply: "[0 4·2· '']"},
		{Name: "some", Setup: log, Keys: "p:id", Args: "1 1 1 L 1 c 0 0 3 bob eve bob", Reply: "[0 4·2·2·-2·2 '']"},
		{Name: "a former member", Setup: log + "; HSET p:c:x ·rbob 3:-", Keys: "p:id", Args: all, Reply: "[0 4·2·1·-1 ada\nbob]"},
		{Name: "a member that left before", Setup: log + "; HSET p:c:x ·rbob 3:-", Keys: "p:id", Args: "1 1 1 L 1 c 2 2 0", Reply: "[0 4·2·1·-3 ada\nbob]"},
		{Name: "a member that left after", Setup: log + "; HSET p:c:x ·rbob 3:- ·ubob 3:2:2", Keys: "p:id", Args: "1 1 1 L 1 c 2 2 0", Reply: "[0 4·2·1·-1 ada\nbob]"},
		{Name: "a member that left at the head", Setup: log + "; HSET p:c:x ·rbob 3:- ·ubob 9:2:2", Keys: "p:id", Args: "1 1 1 L 1 c 0 4 2 bob ada", Reply: "[0 4·2·-3·1 '']"},
		{Name: "no chat", Setup: "SET p:id L", Keys: "p:id", Args: all, Reply: "[0 0·0 '']"},
		{Name: "no head", Setup: log + "; HDEL p:c:x ·", Keys: "p:id", Args: all, Reply: "[0 -2·the·head·is·missing '']"},
		{Name: "an unreadable head", Setup: log + "; HSET p:c:x · 4", Keys: "p:id", Args: all, Reply: "[0 -2·the·head·is·unreadable '']"},
		{Name: "a head of 0", Setup: log + "; HSET p:c:x · 0:0", Keys: "p:id", Args: all, Reply: "[0 -2·the·head·is·unreadable '']"},
		{Name: "a missing member", Setup: log + "; HDEL p:c:u bob", Keys: "p:id", Args: all, Reply: "[0 -2·the·index·has·another·number·of·members '']"},
		{Name: "an unreadable number of members", Setup: log + "; HSET p:c:x ·#u x", Keys: "p:id", Args: all, Reply: "[0 -2·the·index·has·another·number·of·members '']"},
		{Name: "members of another type", Setup: log + "; DEL p:c:u; SET p:c:u x", Keys: "p:id", Args: all, Reply: "[0 -2·WRONGTYPE·Operation·against·a·key·holding·the·wrong·kind·of·value '']"},
		{Name: "no right", Setup: log, Keys: "p:id", Args: all, Without: "hmget", Reply: rig.NoRight},
		{Name: "tombstones", Setup: log + "; HSET p:c:x · 4:3:2:4; ZADD p:c:d 1 1 3 3", Keys: "p:id", Args: all, Reply: "[0 4·2·1·1 ada\nbob]"},
		{Name: "tombstones that differ", Setup: log + "; HSET p:c:x · 4:3:2:4; ZADD p:c:d 3 3", Keys: "p:id", Args: all, Reply: "[0 4·2·-2·-2 ada\nbob]"},
		{Name: "chats of partitions", Setup: log + older, Keys: "q:id p:id", Args: "1 1 1 M L 2 c 2 0 0 1 d 2 0 0 2 c 0 0 1 bob", Reply: "[0 4·2·1·2 ada\nbob 2·1·1 cem 4·2·2 '']"},
		{Name: "enough", Setup: log, Keys: "p:id", Args: "1 1 1 L 1 c 0 0 500" + enough + " 1 c 0 0 500" + enough + " 1 c 2 0 0", Reply: "[0 4·2·1" + strings.Repeat("·1", 499) + " '' 4·2·1" + strings.Repeat("·1", 499) + " '']"},
	})
}
