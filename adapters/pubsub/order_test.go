package pubsub_test

import (
	"math/rand/v2"
	"testing"

	"chatcore/tests/redistest"
)

// TestChatsBeyondThoseKeptGoOnWhereTheyWere has more chats than lines are kept for: one that comes again begins behind its checkpoint.
func TestChatsBeyondThoseKeptGoOnWhereTheyWere(t *testing.T) {
	r := newRig(t, redistest.Shared(t), 1)
	e := newEffects()
	r.start(beginning(r.config("g")), e.around(nothing))
	const kept = 8192
	all := chats(kept + 6_000)
	r.send(1, all[:kept-500]...)
	for n := kept - 500; n < len(all); n++ {
		r.send(1, all[n], all[rand.IntN(n)], all[rand.IntN(n)])
	}
	e.complete(r)
	e.once(t)
}
