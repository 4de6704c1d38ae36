package redisgroup

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// formatRetryMark returns a retry mark as the group's hash of retries has it: "STATE ATTEMPTS MS PARKED SEQ CHAT REASON". Scripts write and read that
// text, too.
func formatRetryMark(m groups.RetryMark) string {
	ms, parked := int64(0), 0
	if !m.At.IsZero() {
		ms = m.At.UnixMilli()
	}
	if m.Parked {
		parked = 1
	}
	return fmt.Sprintf("%d %d %d %d %d %s %s", m.State, m.Attempts, ms, parked, uint64(m.Seq), m.Chat, m.Reason)
}

// parseRetryMark parses the result of [formatRetryMark], or its first fields alone. It ignores parts that it cannot parse.
func parseRetryMark(text string) groups.RetryMark {
	parts := strings.SplitN(text, " ", 7)
	number := func(i int) uint64 {
		if i >= len(parts) {
			return 0
		}
		n, _ := strconv.ParseUint(parts[i], 10, 63)
		return n
	}
	m := groups.RetryMark{
		State: groups.RetryState(min(number(0), math.MaxUint8)), Attempts: int(number(1)), Parked: number(3) == 1, Seq: domain.Seq(number(4)), //nolint:gosec // bounded
	}
	if ms := number(2); ms > 0 {
		m.At = time.UnixMilli(int64(ms)).UTC() //nolint:gosec // of 63 bits
	}
	if len(parts) == 7 {
		m.Chat, m.Reason = parts[5], parts[6]
	}
	return m
}
