package redisgroup

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports/groups"
)

func failed(seq domain.Seq, starts int, epoch uint64) groups.EventFailure {
	return groups.EventFailure{Seq: seq, Starts: starts, Epoch: epoch}
}

// TestProgress_Text compares texts that other processes have written, or will read.
func TestProgress_Text(t *testing.T) {
	since := time.UnixMilli(1764057600123).UTC()
	for want, p := range map[string]groups.Progress{
		"":                  {},
		"7:2":               {Failure: groups.Failure{EventFailure: failed(7, 2, 0)}},
		"7:2:1764057600000": {Failure: groups.Failure{EventFailure: failed(7, 2, 1764057600000)}},
		"7:0:0:1764057600123:newer:event of a later version": {Failure: groups.Failure{EventFailure: failed(7, 0, 0), Since: since, Reason: groups.BlockedNewer, Cause: "event of a later version"}},
		"7:3:9:1764057600123:transient:a: b:c%":              {Failure: groups.Failure{EventFailure: failed(7, 3, 9), Since: since, Reason: groups.BlockedTransient, Cause: "a: b:c%"}},
		"0:0:0:1764057600123:slow:":                          {Failure: groups.Failure{Since: since, Reason: groups.BlockedSlow}},
		"7:0:0:1764057600123:postponed:away":                 {Failure: groups.Failure{EventFailure: failed(7, 0, 0), Since: since, Reason: groups.BlockedPostponed, Cause: "away"}},
		"7:0:0:0:slow:":                                      {Failure: groups.Failure{EventFailure: failed(7, 0, 0), Reason: groups.BlockedSlow}},

		"~0 0 0 0  9 7/1 ":                 {Done: []groups.SeqRange{{From: 9, To: 9}}, Others: []groups.EventFailure{failed(7, 1, 0)}},
		"~7 2 5 0  9+2,3 14/1,2/3/9 ":      {Failure: groups.Failure{EventFailure: failed(7, 2, 5)}, Done: []groups.SeqRange{{From: 9, To: 11}, {From: 14, To: 14}}, Others: []groups.EventFailure{failed(14, 1, 0), failed(16, 3, 9)}},
		"~0 0 0 0  18446744073709551615  ": {Done: []groups.SeqRange{{From: 1<<64 - 1, To: 1<<64 - 1}}},
		"~7 3 9 1764057600123 transient 9  a%3A b%3Ac%25": {
			Failure: groups.Failure{EventFailure: failed(7, 3, 9), Since: since, Reason: groups.BlockedTransient, Cause: "a: b:c%"}, Done: []groups.SeqRange{{From: 9, To: 9}},
		},
	} {
		if got := string(appendProgress([]byte("x"), p)); got != "x"+want {
			t.Errorf("%+v is written as %q, want %q", p, got[1:], want)
		}
		if got := parseProgress(want); !reflect.DeepEqual(got, p) {
			t.Errorf("%q is read as %+v, want %+v", want, got, p)
		}
	}
}

// TestProgress_TextOfOthers reads texts that this program does not write.
func TestProgress_TextOfOthers(t *testing.T) {
	for text, want := range map[string]groups.Progress{
		"":                       {},
		"x":                      {},
		"7":                      {Failure: groups.Failure{EventFailure: failed(7, 0, 0)}},
		"7:2:9:123:later:cause":  {Failure: groups.Failure{EventFailure: failed(7, 2, 9)}},
		"~":                      {},
		"~7 2 5 0  9":            {},
		"~7 2 5 0  x 7/1 ":       {},
		"~7 2 5 0  9+x 7/1 ":     {},
		"~7 2 5 0  9 7 ":         {},
		"~7 2 5 0  9 7/1/x ":     {},
		"~7 2 5 1 later 9  some": {Failure: groups.Failure{EventFailure: failed(7, 2, 5)}, Done: []groups.SeqRange{{From: 9, To: 9}}},
		"~7 2 5 0  9 7/1 a b %3": {Failure: groups.Failure{EventFailure: failed(7, 2, 5)}, Done: []groups.SeqRange{{From: 9, To: 9}}, Others: []groups.EventFailure{failed(7, 1, 0)}},
	} {
		if got := parseProgress(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q is read as %+v, want %+v", text, got, want)
		}
	}
}

func anyFailed(t *rapid.T) groups.EventFailure {
	return failed(domain.Seq(rapid.Uint64().Draw(t, "seq")), rapid.Int().Draw(t, "starts"), rapid.Uint64().Draw(t, "epoch"))
}

// anyProgress draws any progress. Only a blocked chat has a time and a cause.
func anyProgress(t *rapid.T) groups.Progress {
	p := groups.Progress{Failure: groups.Failure{EventFailure: anyFailed(t)}}
	if rapid.Bool().Draw(t, "none") {
		p.Failure = groups.Failure{}
	}
	if p.Reason = rapid.SampledFrom([]groups.BlockReason{"", groups.BlockedTransient, groups.BlockedNewer, groups.BlockedSlow}).Draw(t, "reason"); p.Reason != "" {
		if ms := rapid.Int64Range(-1<<45, 1<<45).Draw(t, "since"); ms != 0 {
			p.Since = time.UnixMilli(ms).UTC()
		}
		p.Cause = rapid.String().Draw(t, "cause")
	}
	for range rapid.IntRange(0, 5).Draw(t, "done") {
		p.Done = append(p.Done, groups.SeqRange{From: domain.Seq(rapid.Uint64().Draw(t, "from")), To: domain.Seq(rapid.Uint64().Draw(t, "to"))})
	}
	for range rapid.IntRange(0, 5).Draw(t, "others") {
		p.Others = append(p.Others, anyFailed(t))
	}
	return p
}

// TestProgress_RoundTrip writes and reads any progress. The text is bounded.
func TestProgress_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyProgress(t)
		text := string(appendProgress(nil, p))
		if got := parseProgress(text); !reflect.DeepEqual(got, p) {
			t.Errorf("%q is read as %+v, want %+v", text, got, p)
		}
		if most := 110 + 3*len(p.Cause) + 42*len(p.Done) + 63*len(p.Others); len(text) > most {
			t.Errorf("%q has %d bytes, want at most %d", text, len(text), most)
		}
	})
}

// earlierFailure is how programs that do not know the text with ~ read it.
func earlierFailure(s string) (seq uint64, starts int, epoch uint64, reason string) {
	var parts [6]string
	copy(parts[:], strings.SplitN(s, ":", len(parts)))
	seq, _ = strconv.ParseUint(parts[0], 10, 64)
	starts, _ = strconv.Atoi(parts[1])
	epoch, _ = strconv.ParseUint(parts[2], 10, 64)
	return seq, starts, epoch, parts[4]
}

// TestProgress_ToEarlierPrograms finds that these take every progress beyond a failure for no failure.
func TestProgress_ToEarlierPrograms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyProgress(t)
		if len(p.Done)+len(p.Others) == 0 {
			p.Done = []groups.SeqRange{{From: 1, To: 1}}
		}
		text := string(appendProgress(nil, p))
		if seq, starts, epoch, reason := earlierFailure(text); seq != 0 || starts != 0 || epoch != 0 || reason != "" {
			t.Errorf("%q is a failure of seq %d, %d starts, epoch %d, reason %q", text, seq, starts, epoch, reason)
		}
	})
}

// FuzzProgress reads any text. Its meaning remains the same when it is written again.
func FuzzProgress(f *testing.F) {
	for _, text := range []string{"", "7:2", "7:3:9:1764057600123:transient:a: b:c%", "~7 3 9 1764057600123 slow 9+2,3 14/1,2/3/9 a%3A", "~0 0 0 0  1,,2 / "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := parseProgress(text)
		if again := parseProgress(string(appendProgress(nil, p))); !reflect.DeepEqual(again, p) {
			t.Errorf("%q is %+v, and then %+v", text, p, again)
		}
	})
}

// TestBlockedChats_Longest lists the chats that are blocked for the longest, of all texts of a hash.
func TestBlockedChats_Longest(t *testing.T) {
	failing := map[string]groups.Progress{}
	for chat, text := range map[string]string{"other": "7:2", "broken": "~7 2", "done": "~0 0 0 0  9  ", "both": "~5 1 0 40 newer 9  why"} {
		failing[chat] = parseProgress(text)
	}
	for i := range groups.MaxBlockedChats {
		failing[fmt.Sprint("slow", i)] = parseProgress(fmt.Sprintf("%d:0:0:%d:slow:", i+1, 50+i/2))
	}
	n, longest := blockedChats(failing)
	if n != groups.MaxBlockedChats+1 || len(longest) != groups.MaxBlockedChats {
		t.Fatalf("%d chats are blocked, %d are named", n, len(longest))
	}
	want := groups.BlockedChat{Chat: "both", Seq: 5, Reason: groups.BlockedNewer, Since: time.UnixMilli(40).UTC(), Error: "why"}
	if longest[0] != want || longest[1].Chat != "slow0" || longest[2].Chat != "slow1" || longest[7].Chat != "slow6" {
		t.Errorf("blocked: %+v", longest)
	}
}

// TestRetryMark_Text compares the text with the one that scripts and other processes read and write.
func TestRetryMark_Text(t *testing.T) {
	at := time.UnixMilli(1764057600123).UTC()
	for want, m := range map[string]groups.RetryMark{
		"0 0 0 0 0  ":  {},
		"2 4 0 1 7 c ": {State: groups.RetryInOrder, Attempts: 4, Parked: true, Seq: 7, Chat: "c"},
		"0 5 1764057600123 0 7 c it failed, again: x": {State: groups.RetryFailed, Attempts: 5, At: at, Seq: 7, Chat: "c", Reason: "it failed, again: x"},
		"1 1 0 0 0  ": {State: groups.RetryOutOfOrder, Attempts: 1},
	} {
		if got := formatRetryMark(m); got != want {
			t.Errorf("%+v is written as %q, want %q", m, got, want)
		}
		if got := parseRetryMark(want); got != m {
			t.Errorf("%q is read as %+v, want %+v", want, got, m)
		}
	}
	for text, want := range map[string]groups.RetryMark{
		"1": {State: groups.RetryOutOfOrder}, "": {}, "x": {}, "2 3": {State: groups.RetryInOrder, Attempts: 3}, "300": {State: 255},
	} {
		if got := parseRetryMark(text); got != want {
			t.Errorf("%q is read as %+v, want %+v", text, got, want)
		}
	}
}
