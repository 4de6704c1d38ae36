package pubsub

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"chatcore/domain"
)

// The states of a retryMark.
const (
	retryFailed     = 0 // the last retry failed: the letter waits for another decision
	retryOutOfOrder = 1 // the letter is to be delivered although its chat has passed the event
	retryInOrder    = 2 // its chat was parked for it and resumes with its event
)

// retryMark is the state of a dead letter's retries. The letter itself never changes: it keeps id, first failure and first reason. A mark is one
// field of the group's hash of retries, "STATE ATTEMPTS MS PARKED SEQ CHAT REASON", or "1" alone. [Groups.Retry] and commits write it. It is deleted
// with the letter.
type retryMark struct {
	state    int
	attempts int       // handler starts in all; 0: those of the letter
	at       time.Time // of the last failed retry; zero if there was none
	parked   bool      // the letter's chat waits for a decision if none was made
	seq      domain.Seq
	chat     string
	reason   string // of the last failed retry
}

func (m retryMark) String() string {
	ms, parked := int64(0), 0
	if !m.at.IsZero() {
		ms = m.at.UnixMilli()
	}
	if m.parked {
		parked = 1
	}
	return fmt.Sprintf("%d %d %d %d %d %s %s", m.state, m.attempts, ms, parked, uint64(m.seq), m.chat, m.reason)
}

func parseRetryMark(text string) retryMark {
	parts := strings.SplitN(text, " ", 7)
	number := func(i int) uint64 {
		if i >= len(parts) {
			return 0
		}
		n, _ := strconv.ParseUint(parts[i], 10, 63)
		return n
	}
	m := retryMark{state: int(number(0)), attempts: int(number(1)), parked: number(3) == 1, seq: domain.Seq(number(4))} //nolint:gosec // small
	if ms := number(2); ms > 0 {
		m.at = time.UnixMilli(int64(ms)).UTC() //nolint:gosec // a time
	}
	if len(parts) == 7 {
		m.chat, m.reason = parts[5], parts[6]
	}
	return m
}

// apply adds the retries that the mark records to a dead letter.
func (m retryMark) apply(d *DeadLetter) {
	d.Again = m.state != retryFailed
	if m.attempts > 0 {
		d.Attempts, d.Parked = m.attempts, m.parked
	}
	if !m.at.IsZero() {
		d.FailedAt, d.Reason = m.at, m.reason
	}
	if m.state == retryInOrder {
		d.Parked = false
	}
}

// orderedRetry is a dead letter that its chat delivers again in order.
type orderedRetry struct {
	id string
	retryMark
}

// retries reads the retry marks of a partition. It stores those that are retried in order, and returns the ids of those that are to be delivered out
// of order. The member's mutex is held.
func (t *ownedPartition) retries(marks map[string]string) (outOfOrder []string) {
	for id, text := range marks {
		switch m := parseRetryMark(text); m.state {
		case retryInOrder:
			if t.ordered == nil {
				t.ordered = make(map[string]orderedRetry)
			}
			t.ordered[m.chat] = orderedRetry{id, m}
		case retryOutOfOrder:
			outOfOrder = append(outOfOrder, id)
		}
	}
	return outOfOrder
}
