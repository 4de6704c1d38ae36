package app

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"chatcore/domain"
)

// still is a clock that nobody moves.
type still struct{}

func (still) Now() time.Time { return time.Unix(1000, 0) }

func (still) Sleep(ctx context.Context, _ time.Time) error {
	<-ctx.Done()
	return ctx.Err()
}

func drop(t *testing.T, p *pendingMarks) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return p.close(ctx)
}

// TestPendingMarks_Bound accepts marks of as many users as there is room for: then only marks of these users are accepted, and none after close.
func TestPendingMarks_Bound(t *testing.T) {
	p := newPendingMarks(still{}, 2)
	accept := func(user domain.UserID, seq domain.Seq) bool {
		return p.accept(nil, readKey{chat: "c", user: user}, acceptance{id: "m", seq: seq, due: still{}.Now().Add(time.Second)})
	}
	for _, step := range []struct {
		user domain.UserID
		seq  domain.Seq
		want bool
	}{{"ann", 1, true}, {"bob", 5, true}, {"cem", 1, false}, {"bob", 3, true}, {"ann", 4, true}} {
		if got := accept(step.user, step.seq); got != step.want {
			t.Errorf("%+v: accepted is %t", step, got)
		}
	}
	if got := p.highest(readKey{chat: "c", user: "bob"}, domain.Message{Seq: 4}).Seq; got != 5 {
		t.Errorf("bob's highest mark is %d, want 5", got)
	}
	p.recorded(readKey{chat: "c", user: "ann"}, 3)
	if !p.has(readKey{chat: "c", user: "ann"}) {
		t.Error("a mark that is not recorded was removed")
	}
	p.recorded(readKey{chat: "c", user: "ann"}, 4)
	if p.has(readKey{chat: "c", user: "ann"}) || !accept("cem", 1) {
		t.Error("a recorded mark leaves no room")
	}
	if left := drop(t, p); left != 2 || p.stats() != (MarkStats{Unrecorded: 2}) {
		t.Errorf("%d marks are left, %+v", left, p.stats())
	}
	if accept("dan", 1) {
		t.Error("a mark was accepted after close")
	}
}

// TestPendingMarks_Size accepts marks of 100,000 users, of which none is due: they need one goroutine.
func TestPendingMarks_Size(t *testing.T) {
	const users = 100_000
	keys := make([]readKey, users)
	for i := range keys {
		keys[i] = readKey{chat: "c", user: domain.UserID(fmt.Sprint("user-", i))}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	p := newPendingMarks(still{}, users)
	for i, key := range keys {
		if !p.accept(nil, key, acceptance{id: "m", seq: 1, due: still{}.Now().Add(time.Second + time.Duration(i))}) {
			t.Fatalf("mark %d was not accepted", i)
		}
	}
	started := runtime.NumGoroutine() - goroutines
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d bytes for each mark, %d goroutines", (after.HeapAlloc-before.HeapAlloc)/users, started)
	if started > 2 {
		t.Errorf("%d goroutines", started)
	}
	drop(t, p)
}
