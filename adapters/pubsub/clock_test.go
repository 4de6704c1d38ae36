package pubsub_test

import (
	"testing"
	"time"

	"chatcore/tests/redistest"
)

// TestClockSetBack_DeadOwner guards against a lease and a heartbeat that last for as long as the clock was set back: no member would deliver
// meanwhile.
func TestClockSetBack_DeadOwner(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		server := redistest.Start(t)
		r := newRig(t, server, 4).plainly(plain)
		e := newEffects()
		first := r.start(beginning(r.config("g")), e.around(nothing))
		r.send(2, chats(20)...)
		e.complete(r)
		r.idle("g")
		first.crash()
		redistest.SetClockBack(t, r.client, time.Hour)
		go first.stop()
		r.send(2, chats(20)...)
		r.start(r.config("g"), e.around(nothing))
		e.complete(r)
		until(t, "one member is left", func() bool {
			return r.client.ZCard(t.Context(), r.partitions[0].Base+"g:members:g").Val() == 1
		})
	})
}

// TestClockSetBack_LivingOwner checks that a living owner keeps its partitions: its lease is cut, not ended.
func TestClockSetBack_LivingOwner(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	r := newRig(t, server, 4)
	e := newEffects()
	config := beginning(r.config("g"))
	config.Lease = 3 * time.Second
	r.start(config, e.around(nothing))
	r.start(config, e.around(nothing))
	r.send(2, chats(20)...)
	e.complete(r)
	r.idle("g")
	redistest.SetClockBack(t, r.client, time.Hour)
	r.send(5, chats(20)...)
	e.complete(r)
	e.once(t)
}
