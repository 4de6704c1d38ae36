package chaos

import (
	"strings"
	"testing"
	"time"
)

func TestFigures(t *testing.T) {
	run := logged(6).handles(first, 1) // 1 and 2 ms
	run.starts(first, 2)
	run.starts(first, 2)
	run.Records[3].Attempt = 2
	run.makes(first, 2) // 5 ms
	run.starts(first, 3)
	run.handles(second, 3) // 7 and 8 ms
	run.record(Fenced, first, place(3))
	run.starts(first, 4)
	run.starts(second, 4)
	run.makes(second, 4).handles(second, 5).handles(second, 6) // 12, 14 and 16 ms
	at := func(ms int) time.Time { return time.Time{}.Add(time.Duration(ms) * time.Millisecond) }
	run.Acks[5].At = at(15)

	f := Sum(run.Evidence, Losses{}, []Fault{
		{Kind: "short", Began: at(3), Ended: at(3)},
		{Kind: "short", Began: at(4), Ended: at(8)},
		{Kind: "before a long handler", Began: at(12), Ended: at(12)},
		{Kind: "nothing to do", Began: at(14), Ended: at(14)},
	}, func(p Place) bool { return p.Seq == 5 })

	if f.Events != 6 || f.Chats != 1 || f.Acknowledged != 6 || f.Effects != 6 || f.Starts != 9 || f.Fenced != 1 {
		t.Errorf("%+v", f)
	}
	if f.Failed != 1 || f.Again != 2 || f.Late != 1 {
		t.Errorf("%d failed, %d again, %d late", f.Failed, f.Again, f.Late)
	}
	if r := f.Recoveries["short"]; len(r) != 2 || r[0].All != 2*time.Millisecond || r[1].All != 4*time.Millisecond || r[1].First != r[1].All {
		t.Errorf("recovered in %v", r)
	}
	if len(f.Recoveries) != 1 {
		t.Errorf("%v", f.Recoveries)
	}
	for _, part := range []string{
		"4 faults: before a long handler 1, nothing to do 1, short 2",
		"6 events in 1 chats; commands: 6 acknowledged",
		"6 effects (0 of events that Redis lost), 9 handler starts",
		"started again: 1 after a failure, 2 after a fault, 1 by an owner that was superseded",
		"recovery from short          first effect 4ms, at most 4ms (2), every chat 4ms, at most 4ms (2), and with no other fault 4ms, at most 4ms (1)",
	} {
		if !strings.Contains(f.String(), part) {
			t.Errorf("%q is not in\n%s", part, f)
		}
	}
}
