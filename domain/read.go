package domain

import (
	"fmt"
	"time"
)

// ReadCoalescing is how far apart the recorded read marks of one user in one chat are at least.
const ReadCoalescing = time.Second

// ReadMark is how far one user has read a chat. It only moves forward; sending a message moves the sender's own.
type ReadMark struct {
	Seq       Seq       // of the last message read, 0 if none
	ReceiptAt time.Time // when the last receipt was recorded, zero if none is known
	Message   MessageID // the last message read
}

// Apply folds an event that moved the mark.
func (r *ReadMark) Apply(seq Seq, e Durable) {
	switch e := e.(type) {
	case MessageNew:
		if seq > r.Seq {
			r.Seq, r.Message = seq, e.Message
		}
	case ReadReceipt:
		if e.ReadSeq > r.Seq {
			r.Seq, r.Message = e.ReadSeq, e.Message
		}
		if e.At.After(r.ReceiptAt) {
			r.ReceiptAt = e.At
		}
	}
}

// TooSoonError says from when on a read mark will be recorded. It is [ErrTooSoon].
type TooSoonError struct {
	Until time.Time
}

func (e *TooSoonError) Error() string {
	return fmt.Sprintf("%v: the next read mark is recorded from %s on", ErrTooSoon, e.Until.Format(time.RFC3339Nano))
}

// Is reports that a TooSoonError is [ErrTooSoon].
func (e *TooSoonError) Is(target error) bool { return target == ErrTooSoon }

// SeqRangeError is returned for a seq that a chat has not reached. It is a [*Refusal] with [ErrSeqRange].
type SeqRangeError struct {
	Chat ChatID
	Seq  Seq
	Head Seq // the chat's last
}

func (e *SeqRangeError) Error() string { return e.Unwrap().Error() }

// Unwrap returns the refusal.
func (e *SeqRangeError) Unwrap() error {
	return refuse(ErrSeqRange, "chat %q has not reached seq %d, its last is %d", e.Chat, e.Seq, e.Head)
}

// Advance moves the mark to the message m. head is the chat's last seq. Read that far already: no event. Within [ReadCoalescing]
// of the receipt before: [*TooSoonError], for the caller to come again with the highest mark it was given meanwhile.
//
// unreadFrom is the seq from which the user has marked messages as unread since the mark moved, or 0. A mark of one of these messages is recorded also if the user
// has read that far: it ends the mark as unread, and the read mark stays. A mark of an earlier message changes nothing.
func (r ReadMark) Advance(by Member, m Message, head, unreadFrom Seq, at time.Time) ([]Durable, error) {
	if err := m.permit(by); err != nil {
		return nil, err
	}
	if m.Seq > head {
		return nil, &SeqRangeError{Chat: m.Chat, Seq: m.Seq, Head: head}
	}
	e := ReadReceipt{Chat: m.Chat, User: by.User, Message: m.ID, ReadSeq: m.Seq, At: at}
	switch {
	case m.Seq < unreadFrom, unreadFrom == 0 && m.Seq <= r.Seq:
		return nil, nil
	case m.Seq <= r.Seq:
		e.Message, e.ReadSeq = r.Message, r.Seq
	}
	if since := at.Sub(r.ReceiptAt); !r.ReceiptAt.IsZero() && since >= 0 && since < ReadCoalescing {
		return nil, &TooSoonError{Until: r.ReceiptAt.Add(ReadCoalescing)}
	}
	return []Durable{e}, nil
}

// Unread is the number of messages after a read mark: head and mark are the ordinals of the chat and of the mark, deleted the
// number of messages after the mark that are tombstones now. A user's own messages are never after the user's mark.
func Unread(head, mark, deleted Ordinal) Ordinal {
	if head < mark+deleted {
		return 0
	}
	return head - mark - deleted
}
