package pubsub

import (
	"errors"
	"testing"
	"time"
)

// TestCut_KeepsAnEventThatWasTried has a chat fall behind between a transient failure and the next start: the event must still be marked as delivered
// before.
func TestCut_KeepsAnEventThatWasTried(t *testing.T) {
	own := &ownedPartition{sub: &member{Subscriber: &Subscriber{}}}
	l := &chatQueue{owned: own, chat: "c"}
	first, second := &record{seq: 1}, &record{seq: 2}
	l.push(first)
	l.push(second)
	own.sub.config.Retry.First, own.sub.config.Retry.Max = time.Hour, time.Hour
	own.wait(l, BlockedTransient, errors.New("away"))
	l.timer.Stop()
	l.waiting = false // as [member.retry] leaves it
	l.cut()
	if l.head != first || l.head.next != nil || !l.head.redelivered || l.queuedSeq != 1 {
		t.Errorf("kept %+v, last %d", l.head, l.queuedSeq)
	}
}
