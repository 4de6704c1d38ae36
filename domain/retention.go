package domain

import (
	"fmt"
	"time"
)

// RetentionGrace is how long a policy that begins or becomes stricter waits before it erases messages that the policy before keeps.
const RetentionGrace = 24 * time.Hour

// RetentionActor is the actor of erasures by retention.
const RetentionActor UserID = "chatcore.retention"

// MinRetentionAge is the shortest MaxAge of a [Retention].
const MinRetentionAge = time.Minute

// Retention says which messages of a chat are kept. The zero value keeps all.
type Retention struct {
	// MaxAge is the age from which on messages are erased, by the times of their events: whole milliseconds, at least [MinRetentionAge]. 0 is no bound.
	MaxAge time.Duration
	// MaxMessages is how many of the newest messages are kept, deleted ones included. 0 is no bound.
	MaxMessages int
}

// Check returns an [*InvalidError] for a value out of its range.
func (r Retention) Check() error {
	if r.MaxAge != 0 && (r.MaxAge < MinRetentionAge || r.MaxAge%time.Millisecond != 0) {
		return &InvalidError{Field: "maxAge", Problem: "is " + r.MaxAge.String(), Allowed: "0, or whole milliseconds from " + MinRetentionAge.String() + " on"}
	}
	if r.MaxMessages < 0 {
		return &InvalidError{Field: "maxMessages", Problem: fmt.Sprintf("is %d", r.MaxMessages), Allowed: "0 or more"}
	}
	return nil
}

// KeepsAll reports whether no message is ever due.
func (r Retention) KeepsAll() bool { return r == Retention{} }

// Due reports whether a message is due, given by its time and its ordinal, and whether later messages of the chat may be. last is the ordinal of the chat's last
// message. Behind the first message that is too young no message is due by its age. A message with a time after now is not due by its age, and is passed over.
func (r Retention) Due(at time.Time, ordinal, last Ordinal, now time.Time) (due, later bool) {
	if r.MaxMessages > 0 && ordinal+Ordinal(r.MaxMessages) <= last { //nolint:gosec // above 0
		return true, true
	}
	if r.MaxAge == 0 {
		return false, false
	}
	age := now.Sub(at)
	return age >= r.MaxAge, age >= r.MaxAge || age < 0
}

// Loosest returns the retention that keeps what either of two keeps.
func (r Retention) Loosest(other Retention) Retention {
	r.MaxAge = loosest(r.MaxAge, other.MaxAge)
	r.MaxMessages = loosest(r.MaxMessages, other.MaxMessages)
	return r
}

// loosest returns the looser one of two bounds, of which 0 is none.
func loosest[T int | time.Duration](x, y T) T {
	if x == 0 || y == 0 {
		return 0
	}
	return max(x, y)
}

// RetentionPolicy is the retention of a log or of a chat, as it was set last.
type RetentionPolicy struct {
	Retention
	// Inherits is set for a chat whose own policy was removed: that of the log applies, after the grace.
	Inherits bool
	// Before applied when the policy was set. Until From only messages are due that both have due.
	Before Retention
	From   time.Time // zero if the policy is not stricter than Before
	SetAt  time.Time
	SetBy  UserID // a user or a service; the core itself for the policy of its configuration
}

// Applied returns what applies at a time, in whole milliseconds. log is what applies to chats without a policy.
func (p RetentionPolicy) Applied(log Retention, now time.Time) Retention {
	present := p.Retention
	if p.Inherits {
		present = log
	}
	if p.Graced(now) {
		return present.Loosest(p.Before)
	}
	return present
}

// Graced reports whether the policy is in its grace.
func (p RetentionPolicy) Graced(now time.Time) bool { return now.Before(p.From) }

// Clamp returns the policy with a grace that ends at most [RetentionGrace] from now, and reports whether that is a change: the clock was set back then.
func (p RetentionPolicy) Clamp(now time.Time) (RetentionPolicy, bool) {
	latest := now.Add(RetentionGrace)
	if !p.From.After(latest) {
		return p, false
	}
	p.From = latest
	return p, true
}

// Begin returns the policy as it is when it is set: with its grace, if it is stricter than before, which applies now. log is what applies to chats without a policy.
func (p RetentionPolicy) Begin(before, log Retention, now time.Time) RetentionPolicy {
	kept := p.Retention
	if p.Inherits {
		kept = log
	}
	p.Before, p.From, p.SetAt = before, time.Time{}, now
	if kept.Loosest(before) != kept {
		p.From = now.Add(RetentionGrace)
	}
	return p
}
