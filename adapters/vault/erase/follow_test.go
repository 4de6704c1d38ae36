package erase_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// logOf returns the events of a segment of the rig as a log has them in which some are erased.
func (r *rig) logOf(number uint64, erased ...domain.Seq) []object.Event {
	r.t.Helper()
	gone := make(map[domain.Seq]bool)
	for _, seq := range erased {
		gone[seq] = true
	}
	var events []object.Event
	for i := range domain.Seq(object.SegmentEvents) {
		seq := domain.Seq(number*object.SegmentEvents) + i + 1
		event := r.event(seq)
		if gone[seq] {
			var err error
			if event.JSON, err = wireformat.Erased(event.JSON); err != nil {
				r.t.Fatal(err)
			}
		}
		events = append(events, event)
	}
	return events
}

// TestEraser_Follow lists erasures without a rewriting, and then has a segment follow the log in one: it is settled once the generation before has gone.
func TestEraser_Follow(t *testing.T) {
	r := newRig(t)
	e, ctx := r.eraser(r.vault), t.Context()
	for range 2 {
		if err := e.List(ctx, r.erasure(3000, 7), r.erasure(3002, 9)); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.names("log/erasures/")) != 1 || len(r.names("log/seg/")) != 2 || len(r.left(0)) != object.SegmentEvents {
		t.Errorf("a list has rewritten %v", r.names("log/seg/"))
	}
	whole, erased, next := r.logOf(0), r.logOf(0, 7, 9), r.logOf(1) // before the time of the rig moves
	follow := func(settled bool, number uint64, events []object.Event) {
		t.Helper()
		if got, err := e.Follow(ctx, "room", number, events); err != nil || got != settled {
			t.Errorf("settled: %t, want %t; %v", got, settled, err)
		}
	}
	follow(true, 0, whole)
	follow(false, 0, erased)
	follow(false, 0, erased) // the first generation is there until its grace has ended
	if left, names := r.left(0), r.names("log/seg/"); len(left) != object.SegmentEvents-2 || len(names) != 3 {
		t.Errorf("%d events have content in %v", len(left), names)
	}
	r.now = r.now.Add(erase.DefaultGrace)
	follow(false, 0, erased) // deletes it
	follow(true, 0, erased)
	if names := r.names("log/seg/"); len(names) != 2 {
		t.Errorf("after the grace there are %v", names)
	}
	follow(true, 5, nil) // not sealed
	other := slices.Clone(next)
	other[3] = r.event(2000)
	var corrupt *ports.CorruptError
	if _, err := e.Follow(ctx, "room", 1, other); !errors.As(err, &corrupt) || corrupt.Seq != 1024+4 {
		t.Errorf("another event: %v", err)
	}
	if _, err := e.Follow(ctx, "room", 1, next[:9]); !errors.As(err, &corrupt) {
		t.Errorf("missing events: %v", err)
	}
}

// withUnfinished is a vault with bytes of an interrupted write.
type withUnfinished struct {
	ports.Vault
	oldest time.Time
	err    error // of both methods
}

func (w *withUnfinished) Unfinished(context.Context) (time.Time, error) { return w.oldest, w.err }

func (w *withUnfinished) RemoveUnfinished(_ context.Context, before time.Time) error {
	if w.oldest.Before(before) {
		w.oldest = time.Time{}
	}
	return w.err
}

// TestEraser_VerifyUnfinished examines a vault that knows what interrupted writes have left, and removes it when it is an hour old.
func TestEraser_VerifyUnfinished(t *testing.T) {
	r := newRig(t)
	for name, test := range map[string]struct {
		oldest time.Time
		err    error
		want   ports.ErasureStatus
	}{
		"none": {time.Time{}, nil, ports.ErasureDone}, "before": {r.now.Add(-time.Hour), nil, ports.ErasurePending}, "right after": {r.now.Add(time.Minute), nil, ports.ErasurePending},
		"an hour later": {r.now.Add(time.Hour), nil, ports.ErasureDone}, "long before": {r.now.Add(-time.Hour - time.Second), nil, ports.ErasureDone},
		"denied": {r.now, ports.ErrVaultDenied, ports.ErasureUnreachable},
	} {
		places, err := r.eraser(&withUnfinished{r.vault, test.oldest, test.err}).Verify(t.Context(), erase.Subject{Erasure: r.erasure(3000, 7), At: r.now})
		if got := statuses(places)[erase.PlaceUnfinished]; err != nil || got != test.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, test.want)
		}
	}
}
