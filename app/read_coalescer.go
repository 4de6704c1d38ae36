package app

import (
	"context"

	"chatcore/domain"
	"chatcore/internal/flight"
)

// readKey names the marks of one user in one chat, or in one thread of it.
type readKey struct {
	chat   domain.ChatID
	user   domain.UserID
	thread domain.MessageID // the root; "" for the main timeline
}

// readCoalescer lets one call at a time record a read mark of a user in a chat. The first call leads a flight; calls that come meanwhile join it, raise
// the mark that the leader records, and wait. The log knows when the last mark was recorded, so nothing is remembered between flights, and the cost
// does not depend on how many users there are.
type readCoalescer struct {
	flights *flight.Group[readKey, domain.Message, readOutcome] // the state is the highest mark
}

// readOutcome is the result of a leader for the calls that joined it.
type readOutcome struct {
	recorded domain.Seq // marks up to here are in the log
	failed   domain.Seq // marks up to here share err
	err      error      // of the log; nil if the error concerns the leader alone
}

func newReadCoalescer() *readCoalescer {
	return &readCoalescer{flights: flight.New[readKey, domain.Message, readOutcome]()}
}

// try calls lead if no other call leads, and reports whether it did.
func (r *readCoalescer) try(key readKey, mark domain.Message, lead func(highest func() domain.Message) readOutcome) (led bool) {
	_, led = r.flights.TryDo(key, func(highest *domain.Message, _ bool) { *highest = mark }, lead)
	return led
}

// do returns when the mark is in the log, or with the error why it may not be. It calls lead if no other call leads, or if the leader before
// left without recording as much as this mark: because it joined too late, or because of the leader's context or command id. Before the call
// joins another one for the first time it calls admit, whose error it returns. highest returns the highest mark of the flight so far. led reports
// whether lead was called; its errors are then the caller's to know. do returns ctx's error when ctx ends while it waits for a leader.
func (r *readCoalescer) do(
	ctx context.Context, key readKey, mark domain.Message, admit func(context.Context) error, lead func(highest func() domain.Message) readOutcome,
) (led bool, err error) {
	outcome, led, err := r.flights.Do(ctx, key, flight.Call[domain.Message, readOutcome]{
		Admit: admit,
		Enter: func(highest *domain.Message, first bool) {
			if first || mark.Seq > highest.Seq {
				*highest = mark
			}
		},
		Lead: lead,
		Accept: func(o readOutcome) bool {
			return o.recorded >= mark.Seq || o.err != nil && o.failed >= mark.Seq
		},
	})
	if led || err != nil || outcome.recorded >= mark.Seq {
		return led, err
	}
	return false, outcome.err
}
