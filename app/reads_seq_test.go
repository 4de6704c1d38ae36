package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// furnishSeqs makes the chat c: m1 to m5 at the seqs 3 to 7, then m2 is deleted, ann reacts, bob joins, m6 is sent at seq 11 and ann reacts again.
func furnishSeqs(ctx context.Context, t *testing.T, c *app.Chats) {
	t.Helper()
	furnish(ctx, t, c)
	_, err1 := c.Delete(ctx, domain.Delete{Chat: "c", Actor: "own", MessageID: "m2"})
	_, err2 := c.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m1", Emoji: "👍"})
	_, err3 := c.Add(ctx, domain.Add{Chat: "c", Actor: "own", User: "bob"})
	_, err4 := c.Send(ctx, domain.Send{Chat: "c", Actor: "own", MessageID: "m6", Content: "x"})
	last, err5 := c.React(ctx, domain.React{Chat: "c", Actor: "ann", MessageID: "m6", Emoji: "👍"})
	if err := errors.Join(err1, err2, err3, err4, err5); err != nil || last.Seq != 12 {
		t.Fatalf("the last seq is %d, error %v", last.Seq, err)
	}
}

// markOf returns how far a user has read, as the log says.
func markOf(ctx context.Context, t *testing.T, log ports.EventLog, user domain.UserID) domain.Seq {
	t.Helper()
	loaded, err := log.Load(ctx, "c", ports.LoadRequest{Entity: domain.ReadEntity(user)})
	if err != nil {
		t.Fatal(err)
	}
	var mark domain.ReadMark
	for _, r := range loaded.Entities[0].Events {
		mark.Apply(r.Seq, r.Event)
	}
	return mark.Seq
}

// TestMarkRead_AnySeq marks up to seqs of messages, of a deleted message, of other events, from before the user joined and beyond the last.
func TestMarkRead_AnySeq(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx, log := t.Context(), open()
		c := process(log, fast{time.Now()})
		furnishSeqs(ctx, t, c)
		for _, step := range []struct {
			what    string
			user    domain.UserID
			seq     domain.Seq
			mark    domain.Seq // afterwards
			changed bool
		}{
			{"the creation", "ann", 1, 0, false},
			{"before the first message", "ann", 2, 0, false},
			{"a message", "ann", 3, 3, true},
			{"a deleted message", "ann", 4, 4, true},
			{"an event after the last message", "ann", 9, 7, true},
			{"read already", "ann", 8, 7, false},
			{"before the user joined", "bob", 3, 3, true},
			{"when the user joined", "bob", 10, 7, true},
			{"the chat's last event", "ann", 12, 11, true},
		} {
			done, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: step.user, Seq: step.seq, AwaitRecorded: true})
			if mark := markOf(ctx, t, log, step.user); err != nil || done.Changed != step.changed || mark != step.mark {
				t.Errorf("%s: %+v, error %v, the mark is at %d, want %d", step.what, done, err, mark, step.mark)
			}
		}
		head := headOf(ctx, t, log, "c")
		for _, user := range []domain.UserID{"ann", "own"} {
			_, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: user, Seq: head + 1})
			var beyond *domain.SeqRangeError
			var refusal *domain.Refusal
			if !errors.Is(err, domain.ErrSeqRange) || !errors.As(err, &refusal) || !errors.As(err, &beyond) || *beyond != (domain.SeqRangeError{Chat: "c", Seq: head + 1, Head: head}) {
				t.Errorf("beyond the last: %v", err)
			}
		}
		var invalid *domain.InvalidError
		if _, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ann"}); !errors.As(err, &invalid) || invalid.Field != "seq" {
			t.Errorf("seq 0: %v", err)
		}
		for _, seq := range []domain.Seq{1, 4, 8, head, head + 1} {
			if _, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "eve", Seq: seq}); !errors.Is(err, domain.ErrNotMember) {
				t.Errorf("an outsider, seq %d: %v", seq, err)
			}
		}
	})
}

// TestMarkRead_SeqWithoutMessage gives a command id to a mark up to a seq that has no message before it: it is recorded as that of any command.
func TestMarkRead_SeqWithoutMessage(t *testing.T) {
	onEachLog(t, func(t *testing.T, open func() sharedLog) {
		ctx := t.Context()
		c := process(open(), fast{time.Now()})
		furnishSeqs(ctx, t, c)
		mark := func(seq domain.Seq) (app.Done, error) {
			marked, err := c.MarkRead(ctx, domain.MarkRead{Chat: "c", Actor: "ann", Seq: seq, Command: "id"})
			return marked.Done, err
		}
		for i, want := range []app.Done{{}, {Duplicate: true}} {
			if done, err := mark(2); err != nil || done != want {
				t.Errorf("call %d: %+v, error %v", i, done, err)
			}
		}
		if _, err := mark(5); !errors.Is(err, domain.ErrCommandReused) {
			t.Errorf("the id for another seq: %v", err)
		}
	})
}
