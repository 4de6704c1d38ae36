package wireformat_test

import (
	"fmt"
	"reflect"
	"testing"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// TestState_Thread writes and reads the states of a full thread and of a position in it.
func TestState_Thread(t *testing.T) {
	thread := &domain.Thread{}
	for seq := domain.Seq(1 << 20); thread.Replies < domain.MaxThreadWindow+100; seq += 3 {
		id := domain.MessageID(fmt.Sprint("r", seq))
		thread.Apply(seq, domain.MessageNew{Chat: "c", Message: id, Thread: "m", Sender: domain.UserID(fmt.Sprint("u", seq%80)), At: at})
	}
	position := &domain.ThreadPosition{Seq: 7, Message: "r", ReceiptAt: at, Since: 9, Choice: domain.Unfollow, Replied: true}
	for e, state := range map[domain.Entity]domain.State{domain.ThreadEntity("m"): thread, domain.ThreadMarkEntity("ann", "m"): position, domain.ThreadEntity("none"): &domain.Thread{}} {
		raw, err := wireformat.EncodeState(state)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) > 4<<10 {
			t.Errorf("%s takes %d bytes", e, len(raw))
		}
		decoded, err := wireformat.DecodeState("c", e, raw)
		if again, _ := wireformat.EncodeState(decoded); err != nil || string(again) != string(raw) {
			t.Errorf("%s is %s, error %v, and was %s", e, again, err, raw)
		}
		if full, ok := decoded.(*domain.Thread); ok && full.Replies > 0 && !reflect.DeepEqual(full, thread) {
			t.Errorf("%s is %+v", e, full)
		}
	}
	if _, err := wireformat.DecodeState("c", domain.ThreadEntity("m"), []byte(`{"v":1,"threadMark":{"Seq":1}}`)); err == nil {
		t.Error("a position is read as a thread")
	}
}
