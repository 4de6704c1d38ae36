package chaos

import (
	"testing"
	"time"

	"chatcore/tests/redistest"
)

// TestHistory_RecordsAStartOnce repeats a call whose reply was lost.
func TestHistory_RecordsAStartOnce(t *testing.T) {
	history, err := OpenHistory(redistest.Start(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = history.Close() }()
	first := Delivery{Place: Place{Chat: "c", Seq: 1, Event: "e"}, Log: "l", Attempt: 1, Epoch: 1, Worker: "w", Group: "g", Content: "x", Entered: time.Now().Truncate(time.Microsecond)}
	second := first
	second.Entered = first.Entered.Add(time.Microsecond)
	for _, d := range []Delivery{first, first, second, first} {
		if err := history.Start(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	records, err := history.Records(t.Context(), 0)
	if err != nil || len(records) != 2 || !records[0].Entered.Equal(first.Entered) || !records[1].Entered.Equal(second.Entered) {
		t.Errorf("recorded are %v, error %v; want each start once", records, err)
	}
}
