package redisgroup

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// words returns arguments as a command has them.
func words(t *testing.T, args []any) (words []string) {
	t.Helper()
	for _, arg := range args {
		switch arg := arg.(type) {
		case interface{ MarshalBinary() ([]byte, error) }:
			text, err := arg.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			words = append(words, string(text))
		case []byte:
			words = append(words, string(arg))
		default:
			v := reflect.ValueOf(arg)
			if v.Kind() == reflect.Pointer {
				v = v.Elem()
			}
			words = append(words, fmt.Sprint(v.Interface()))
		}
	}
	return words
}

func id(ms, n uint64) groups.StreamID { return groups.StreamID{Milliseconds: ms, Number: n} }

// TestCommitArgs_Order compares the arguments with what script/commit.lua expects, also when their memory is used again.
func TestCommitArgs_Order(t *testing.T) {
	full := &groups.Commit{
		Number: 3, Position: id(5, 1), Passed: 2, Walk: groups.Walk{Changed: true, Active: true, Checked: 7, Total: 9}, Seen: []groups.StreamID{id(4, 0), id(5, 1)},
		Checkpoints: []groups.Checkpoint{{Chat: "c", Seq: 5}, {Chat: "d", Seq: 6}},
		Left:        []groups.LeftChat{{Chat: "c", State: groups.Behind}, {Chat: "d", State: groups.Parked}, {Chat: "e"}},
		Failing:     []groups.FailingChat{{Chat: "c", Progress: groups.Progress{Failure: groups.Failure{EventFailure: failed(6, 2, 0)}}}, {Chat: "d"}},
		Resolved:    []string{"1-1", "2-2"},
		Letters: []groups.Letter{
			{Reason: "why", Attempts: 4, UUID: "u", Metadata: "m", Payload: []byte("p"), Chat: "c", Seq: 6, Parked: true},
			{Reason: "again", Of: "3-3", Mark: groups.RetryMark{Attempts: 5, At: time.UnixMilli(1), Seq: 6, Chat: "c", Reason: "x y"}},
			{Reason: "again", Of: "3-4", InOrder: true},
			{Reason: "bad", Entry: id(9, 9), Cut: true},
		},
	}
	letter := func(reason, attempts, more string) string {
		return "reason|" + reason + "|attempts|" + attempts + "|_watermill_message_uuid||metadata||payload|" + more
	}
	want := map[*groups.Commit]string{
		full: "L|41|3|3000|5-1|2|7:9|2|4-0|5-1|2|c|5|d|6|3|c|behind|d|parked|e||2|c|6:2|d||2|1-1|2-2|4|10000|" +
			"|||16|reason|why|attempts|4|_watermill_message_uuid|u|metadata|m|payload|p|chat|c|seq|6|parked|1|" +
			"|3-3|0 5 0 0 6 c x y|0|" +
			"|3-4|0 0 0 0 0  |10|" + letter("again", "0", "") + "|" +
			"9-9|||14|" + letter("bad", "0", "") + "|entry|9-9|cut|1",
		{Number: 4}: "L|41|4|3000||0||0|0|0|0|0|0|10000",
		{Number: 5, Walk: groups.Walk{Changed: true, Active: true}}: "L|41|5|3000||0|0|0|0|0|0|0|0|10000",
		{Number: 6, Walk: groups.Walk{Changed: true}}:               "L|41|6|3000||0|-|0|0|0|0|0|0|10000",
	}
	a := &commitArgs{}
	for range 3 {
		for c, want := range want {
			got := strings.Join(words(t, a.build("L", &groups.OwnedCommit{Epoch: 41, Commit: c}, 3*time.Second)), "|")
			if got != want {
				t.Errorf("the arguments of commit %d are\n%s, want\n%s", c.Number, got, want)
			}
			a.clear()
		}
	}
}

// manyFinished is a commit that finishes an event in each of n chats.
func manyFinished(n int) *groups.OwnedCommit {
	c := &groups.Commit{Number: 1, Position: id(1764057600000, 1), Passed: n, Seen: []groups.StreamID{id(1764057600000, 0), id(1764057600000, 1)}}
	for i := range n {
		chat := fmt.Sprintf("chat-%d", i)
		c.Checkpoints = append(c.Checkpoints, groups.Checkpoint{Chat: chat, Seq: domain.Seq(1000 + i)})
		c.Left = append(c.Left, groups.LeftChat{Chat: chat, State: groups.Behind})
		c.Resolved = append(c.Resolved, chat)
	}
	return &groups.OwnedCommit{Epoch: 1764057600000, Commit: c}
}

// TestCommitArgs_Allocations bounds what the arguments of a commit allocate: the id of the log, whatever the number of chats.
func TestCommitArgs_Allocations(t *testing.T) {
	for _, n := range []int{1, 1000} {
		a, c, log := &commitArgs{}, manyFinished(n), strings.Repeat("L", 20)
		a.build(log, c, time.Second)
		if got := testing.AllocsPerRun(100, func() {
			for _, arg := range a.build(log, c, time.Second) {
				if id, ok := arg.(*idArg); ok {
					_, _ = id.MarshalBinary()
				}
			}
			a.clear()
		}); got > 1 {
			t.Errorf("the arguments of a commit of %d chats cost %.0f allocations, want 1", n, got)
		}
	}
}

func BenchmarkCommitArgs(b *testing.B) {
	a, c := &commitArgs{}, manyFinished(256)
	b.ReportAllocs()
	for b.Loop() {
		a.build("L", c, time.Second)
		a.clear()
	}
}
