package delivery

import (
	"strconv"
	"time"

	"chatcore/internal/backoff"
)

// Config configures a [Member]. All fields are required unless they say otherwise.
type Config struct {
	Order           Order
	OnPoison        Poison // [Skip] unless Order is [ByChat]
	Retry           RetryPolicy
	Concurrency     int // most records in flight
	ChatConcurrency int // most records of one chat in flight, if Order allows more than one; 0: Concurrency
	DeadLetterBound int // most dead letters on a partition
	Ephemeral       bool

	Lease    time.Duration
	Slow     time.Duration // a handler that runs for longer blocks its chat
	CoolDown time.Duration // for which a partition is offered to other members

	Seed uint64 // of the random parts of pauses
}

// Order says which events of a chat wait for each other. An event is delivered only after the earlier ones that it waits for are finished.
type Order uint8

// The orders.
const (
	ByChat    Order = iota // for all earlier events of the chat
	ByKey                  // for the earlier events of the chat with the same [Record.Key]
	Unordered              // for none
)

// String returns "by chat", "by key" or "unordered".
func (o Order) String() string {
	switch o {
	case ByChat:
		return "by chat"
	case ByKey:
		return "by key"
	case Unordered:
		return "unordered"
	}
	return "Order(" + strconv.Itoa(int(o)) + ")"
}

// Poison is the policy for a chat when one of its events becomes a dead letter.
type Poison uint8

// Policies for an event that cannot be handled.
const (
	Skip Poison = iota // the chat continues with its next event
	Park               // the chat waits until the dead letter is redelivered or dropped
)

// String returns "skip" or "park".
func (p Poison) String() string {
	switch p {
	case Skip:
		return "skip"
	case Park:
		return "park"
	}
	return "Poison(" + strconv.Itoa(int(p)) + ")"
}

// RetryPolicy determines how often, and when, a failed handler is started again. Only the event's queue waits meanwhile.
//
// The defaults span about three minutes: pauses of 0.5, 1, 2, 4, 8, 16, 32, 60 and 60 seconds, each varied by half. Transient failures use the
// same pauses, up to 15 seconds, and never end.
type RetryPolicy struct {
	Attempts int           // handler starts before a delivery becomes a dead letter. Defaults to 10
	First    time.Duration // pause before the second start; doubles, varied by half. Defaults to 500 ms
	Max      time.Duration // longest pause between two starts. Defaults to 1 min
}

// WithDefaults returns the policy with the default of every field that is not positive.
func (r RetryPolicy) WithDefaults() RetryPolicy {
	if r.Attempts <= 0 {
		r.Attempts = 10
	}
	if r.First <= 0 {
		r.First = 500 * time.Millisecond
	}
	if r.Max <= 0 {
		r.Max = time.Minute
	}
	return r
}

// transientMax bounds the pause between two starts of a handler that fails transiently. After a long outage its chats resume this soon.
const transientMax = 15 * time.Second

// pause returns the pause after n failed starts in a row: it doubles with each, varied by half so that handlers that failed together do not start
// together.
func (m *Member) pause(n int, most time.Duration) time.Duration {
	pause := backoff.Policy{First: m.config.Retry.First, Max: most}.Pause(n)
	if pause <= 0 {
		return 0
	}
	return pause/2 + time.Duration(m.random.Int64N(int64(pause)))
}
