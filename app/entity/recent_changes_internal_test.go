package entity

import (
	"fmt"
	"testing"

	"chatcore/domain"
)

// TestMoves_RememberTheLastOnes remembers as many messages as there is room for, and forgets the ones that moved first.
func TestMoves_RememberTheLastOnes(t *testing.T) {
	m := &recentChanges{}
	edit := func(n int, seq domain.Seq) { m.note(domain.MessageEdit{Chat: "c", Message: id(n)}, seq) }
	check := func(n int, want domain.Seq) {
		t.Helper()
		if got := m.of(MessageKey{"c", id(n)}); got != want {
			t.Errorf("message %d was moved last at seq %d, want %d", n, got, want)
		}
	}
	edit(0, 1)
	check(0, 0) // nobody asks
	m.on.Store(true)
	fill := func() {
		for n := range len(m.order) {
			edit(n, domain.Seq(n+10)) //nolint:gosec // small
		}
	}
	fill()
	for n := range len(m.order) {
		check(n, domain.Seq(n+10)) //nolint:gosec // small
	}
	edit(0, 5) // noted late
	check(0, 10)
	edit(0, 9000)
	check(0, 9000)
	check(1, 11)
	edit(-1, 9001)
	check(-1, 9001)
	check(0, 0)
	check(1, 11)
	edit(-2, 9002)
	check(1, 0)
	check(2, 12)
	m.clear()
	check(2, 0)
	fill()
	check(0, 10)
	check(len(m.order)-1, domain.Seq(len(m.order)+9)) //nolint:gosec // small
	m.note(domain.MessageReaction{Chat: "c", Message: "r"}, 7)
	m.note(domain.MessageDelete{Chat: "c", Message: "d"}, 8)
	m.note(domain.MessageNew{Chat: "c", Message: "n"}, 9)
	for message, want := range map[domain.MessageID]domain.Seq{"r": 7, "d": 8, "n": 0} {
		if got := m.of(MessageKey{"c", message}); got != want {
			t.Errorf("message %s was moved last at seq %d, want %d", message, got, want)
		}
	}
	if len(m.latest) != len(m.order) {
		t.Errorf("%d messages are remembered, the room is for %d", len(m.latest), len(m.order))
	}
}

func id(n int) domain.MessageID { return domain.MessageID(fmt.Sprint("m", n)) }
