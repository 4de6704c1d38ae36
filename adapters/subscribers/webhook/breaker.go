package webhook

import (
	"math/rand/v2"
	"time"
)

// State is the state of a [breaker].
type State uint8

// The states.
const (
	Up      State = iota // requests are sent
	Down                 // no request is sent until the pause ends
	Probing              // one request at a time is sent to see whether the endpoint is up again
)

// String returns "up", "down" or "probing".
func (s State) String() string {
	switch s {
	case Down:
		return "down"
	case Probing:
		return "probing"
	case Up:
	}
	return "up"
}

// Bounds of a breaker.
const (
	maxFailures  = 5               // failures in a row that open it
	minDistinct  = 2               // different events among them: a single event that fails is not an endpoint that is down
	firstPause   = time.Second     // before the first probe; doubles with each failed probe, varied by half
	longestPause = 5 * time.Minute // before it varies
	longestAsked = time.Hour       // pause that an endpoint asks for with Retry-After
	patience     = 24 * time.Hour  // of failures alone, after which failures are attempts again
)

// verdict is what the result of a request says about the endpoint.
type verdict uint8

const (
	answered    verdict = iota // it answered as an endpoint does that is up, whether or not it took the event
	failed                     // it answered with an error, too late, or broke the connection after the request
	unreachable                // the request did not get there
)

// String returns "answered", "failed" or "unreachable".
func (v verdict) String() string {
	switch v {
	case failed:
		return "failed"
	case unreachable:
		return "unreachable"
	case answered:
	}
	return "answered"
}

// breaker is the state machine of an endpoint. It decides how many requests may be in flight, and whether a failure is one of the event or of the endpoint. It
// has no clock and no lock: its owner passes the time and calls one method at a time.
//
// Invariant: while the breaker is down no request begins; while it is probing at most one does. A success closes it at once.
type breaker struct {
	full   int // requests in flight while the endpoint is up and has been for a while
	random *rand.Rand

	state    State
	epoch    uint64    // grows with each change of the state
	limit    int       // requests in flight while up, rises to full
	until    time.Time // end of the pause, while down
	asked    bool      // the endpoint asked for the pause: no success ends it early
	probe    bool      // a probe is in flight
	pauses   int       // since the breaker closed
	failures int       // in a row
	distinct []string  // up to minDistinct different keys of these failures
	since    time.Time // of the first failure after the last success; zero if there is none
}

func newBreaker(full int, seed uint64) *breaker {
	return &breaker{full: full, limit: full, random: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // spreads load
}

// ticket is a request that the breaker lets begin.
type ticket struct {
	epoch uint64
	probe bool
}

// begin returns a ticket for a request, or how long the event waits before it asks again.
func (b *breaker) begin(now time.Time) (t ticket, wait time.Duration, ok bool) {
	b.advance(now)
	switch b.state {
	case Down:
		return ticket{}, b.until.Sub(now), false
	case Probing:
		if b.probe {
			return ticket{}, firstPause, false
		}
		b.probe = true
		return ticket{b.epoch, true}, 0, true
	case Up:
	}
	return ticket{epoch: b.epoch}, 0, true
}

// advance ends a pause whose time has come.
func (b *breaker) advance(now time.Time) {
	if b.state == Down && !now.Before(b.until) {
		b.enter(Probing)
	}
}

// abandon returns a ticket whose request says nothing about the endpoint.
func (b *breaker) abandon(t ticket) {
	if t.probe && t.epoch == b.epoch {
		b.probe = false
	}
}

// report applies the result of a request. key names its event. ask is the pause that the endpoint asks for, 0 for none. It reports whether a failure counts as
// an attempt of the event, and otherwise returns how long the event waits.
func (b *breaker) report(t ticket, v verdict, key string, ask time.Duration, now time.Time) (counts bool, wait time.Duration) {
	b.advance(now)
	current := t.epoch == b.epoch
	b.abandon(t)
	if v == answered {
		b.succeed(current)
		return true, 0
	}
	if b.since.IsZero() {
		b.since = now
	}
	counts = v == failed && (b.state == Up && current || now.Sub(b.since) >= patience)
	switch {
	case !current: // it began before the breaker opened, and says nothing new
	case ask > 0:
		b.open(now, min(ask, longestAsked))
		b.asked = true
	case b.state == Probing:
		b.open(now, b.pause())
	default:
		b.fail(v, key)
		if b.failures >= maxFailures && len(b.distinct) >= minDistinct {
			b.open(now, b.pause())
		}
	}
	if b.state == Down {
		return counts, max(b.until.Sub(now), 0)
	}
	return counts, firstPause
}

// fail counts a failure. One of the connection is different from all others.
func (b *breaker) fail(v verdict, key string) {
	b.failures++
	if len(b.distinct) >= minDistinct {
		return
	}
	if v != unreachable {
		for _, known := range b.distinct {
			if known == key {
				return
			}
		}
	}
	b.distinct = append(b.distinct, key)
}

// succeed closes the breaker, unless the endpoint asked for a pause: then only a request of after the pause does. Each success then allows one request more.
func (b *breaker) succeed(current bool) {
	switch {
	case b.state == Up:
		b.limit = min(b.limit+1, b.full)
	case b.state == Down && b.asked, b.state == Probing && b.asked && !current:
		return
	default:
		b.enter(Up)
		b.limit, b.pauses, b.asked = min(2, b.full), 0, false
	}
	b.failures, b.distinct, b.since = 0, b.distinct[:0], time.Time{}
}

func (b *breaker) open(now time.Time, pause time.Duration) {
	b.enter(Down)
	b.until, b.asked = now.Add(pause), false
	b.failures, b.distinct = 0, b.distinct[:0]
}

// pause returns the pause before the next probe.
func (b *breaker) pause() time.Duration {
	pause := longestPause
	if b.pauses < 9 { // 1 s doubles beyond 5 min with the 9th
		pause = min(firstPause<<b.pauses, longestPause)
	}
	b.pauses++
	return pause/2 + time.Duration(b.random.Int64N(int64(pause)))
}

func (b *breaker) enter(s State) {
	b.state, b.probe = s, false
	b.epoch++
}

// concurrency returns how many requests may be in flight.
func (b *breaker) concurrency() int {
	switch b.state {
	case Down:
		return 0
	case Probing:
		return 1
	case Up:
	}
	return b.limit
}

// reset closes the breaker: the requests from now on go to another endpoint.
func (b *breaker) reset() {
	b.enter(Up)
	b.limit, b.pauses, b.asked = b.full, 0, false
	b.failures, b.distinct, b.since = 0, b.distinct[:0], time.Time{}
}
