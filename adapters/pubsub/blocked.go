package pubsub

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/domain"
)

// BlockReason is the reason why a chat makes no progress.
type BlockReason string

// Reasons why a chat makes no progress although none of its events became a dead letter.
const (
	// BlockedTransient means that the chat's handler keeps failing with transient errors.
	BlockedTransient BlockReason = "transient"
	// BlockedNewer means that a later version of the program wrote the chat's next event.
	BlockedNewer BlockReason = "newer"
	// BlockedSlow means that the chat's handler runs for longer than [SubscriberConfig.Slow].
	BlockedSlow BlockReason = "slow"
)

// BlockedChat is a chat that makes no progress, with the reason.
type BlockedChat struct {
	Chat   domain.ChatID // "" for entries of other programs
	Seq    domain.Seq    // of the waiting event; 0 for entries of other programs
	Reason BlockReason
	Since  time.Time // by the clock of the process
	Error  string    // the last one, "" for [BlockedSlow]
}

// MaxBlockedChats is the most chats that a [PartitionState] names.
const MaxBlockedChats = 8

// reportAfter is how long a chat is blocked by transient failures before it is reported. Short outages stay out of Redis and the log.
const reportAfter = 10 * time.Second

// blockage is the reason why a chat queue makes no progress. The member's mutex guards it. It begins with the first failure or the start of the
// slow handler, and ends when a handler succeeds or fails in another way.
type blockage struct {
	reason   BlockReason
	since    time.Time
	failures int // transient ones in a row
	cause    string
	reported bool // it is counted, and in Redis or in the next commit
}

// wait keeps a chat queue's head for another handler start that does not count as an attempt.
func (t *ownedPartition) wait(l *chatQueue, reason BlockReason, cause error) {
	p := l.head
	p.redelivered, p.tried = true, true
	l.waiting, l.attemptReserved = true, false
	t.block(l, reason, time.Now(), clipCause(cause))
	b := l.blocked
	b.failures++
	if p.attempts > 0 { // the next start may have been recorded as an attempt
		t.markDirty(l)
	}
	if reason == BlockedNewer || time.Since(b.since) >= reportAfter {
		t.report(l)
	}
	l.timer = time.AfterFunc(t.sub.config.Retry.holdDelay(b.failures), func() { t.sub.retry(t, l) })
}

// block records why a chat queue makes no progress. A queue that is already blocked keeps the earlier time.
func (t *ownedPartition) block(l *chatQueue, reason BlockReason, since time.Time, cause string) {
	b := l.blocked
	if b == nil {
		l.blocked = &blockage{reason: reason, since: since, cause: cause}
		return
	}
	if b.reported && (b.reason != reason || b.cause != cause) {
		t.sub.counters.blocked(b.reason).Add(-1)
		t.sub.counters.blocked(reason).Add(1)
		t.markDirty(l)
	}
	b.reason, b.cause = reason, cause
	if since.Before(b.since) {
		b.since = since
	}
}

// report makes a blockage visible: in the group's state, in a gauge and in the program's log.
func (t *ownedPartition) report(l *chatQueue) {
	b := l.blocked
	if b.reported || l.foreign() && l != t.others {
		return
	}
	b.reported = true
	t.sub.counters.blocked(b.reason).Add(1)
	t.markDirty(l)
	t.sub.config.Logger.Warn("chat blocked", "group", t.sub.group, "stream", t.partition.Stream, "chat", l.chat, "seq", uint64(l.head.seq),
		"reason", string(b.reason), "since", b.since, "error", b.cause)
}

// inherit continues a blockage that an earlier owner has reported, except [BlockedSlow]: the slow handler ran in the earlier owner's process.
func (t *ownedPartition) inherit(l *chatQueue, f failure) {
	switch f.reason {
	case "":
	case BlockedSlow:
		t.markDirty(l)
	default:
		l.blocked = &blockage{reason: f.reason, since: time.UnixMilli(f.since), cause: f.cause, reported: true}
		t.sub.counters.blocked(f.reason).Add(1)
	}
}

// unblock ends a chat queue's blockage, if there is one.
func (t *ownedPartition) unblock(l *chatQueue) {
	b := l.blocked
	if b == nil {
		return
	}
	l.blocked = nil
	if b.reported {
		t.sub.counters.blocked(b.reason).Add(-1)
		t.markDirty(l)
	}
}

// closeBlocked removes the chat queues of an ended lease from the gauges.
func (t *ownedPartition) closeBlocked() {
	for _, l := range t.queues {
		t.closeBlockage(l)
	}
	t.closeBlockage(t.others)
}

func (t *ownedPartition) closeBlockage(l *chatQueue) {
	if b := l.blocked; b != nil && b.reported {
		t.sub.counters.blocked(b.reason).Add(-1)
	}
	l.blocked = nil
}

// clipCause bounds the text of an error that is written to Redis.
func clipCause(err error) string {
	const most = 256
	text := strings.ToValidUTF8(err.Error(), "�")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// failure is the state that Redis keeps of the event after a chat's checkpoint: its handler starts, and why it waits.
type failure struct {
	seq    domain.Seq
	starts int
	epoch  uint64 // of the owner that reserved the last of the starts, whose end is not known; 0 if all have ended
	since  int64  // ms; of the blockage
	reason BlockReason
	cause  string
}

// String returns the value of a field of the hash "failing": seq:starts, followed by :epoch or :epoch:since:reason:cause where these are set.
func (f failure) String() string {
	switch {
	case f.reason != "":
		return fmt.Sprintf("%d:%d:%d:%d:%s:%s", f.seq, f.starts, f.epoch, f.since, f.reason, f.cause)
	case f.epoch != 0:
		return fmt.Sprintf("%d:%d:%d", f.seq, f.starts, f.epoch)
	}
	return fmt.Sprintf("%d:%d", f.seq, f.starts)
}

// parseFailure parses the result of String. It ignores parts that it cannot parse.
func parseFailure(s string) (f failure) {
	var parts [6]string
	copy(parts[:], strings.SplitN(s, ":", len(parts)))
	seq, _ := strconv.ParseUint(parts[0], 10, 64)
	f.seq = domain.Seq(seq)
	f.starts, _ = strconv.Atoi(parts[1])
	f.epoch, _ = strconv.ParseUint(parts[2], 10, 64)
	switch reason := BlockReason(parts[4]); reason {
	case BlockedTransient, BlockedNewer, BlockedSlow:
		f.since, _ = strconv.ParseInt(parts[3], 10, 64)
		f.reason, f.cause = reason, parts[5]
	}
	return f
}

// blockedChats returns the number of a partition's chats that are reported as blocked, and those that are blocked for the longest, at most
// [MaxBlockedChats].
func blockedChats(failing map[string]failure) (n int, longest []BlockedChat) {
	for chat, f := range failing {
		if f.reason != "" {
			longest = append(longest, BlockedChat{Chat: domain.ChatID(chat), Seq: f.seq, Reason: f.reason, Since: time.UnixMilli(f.since).UTC(), Error: f.cause})
		}
	}
	slices.SortFunc(longest, func(a, b BlockedChat) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Chat, b.Chat)) })
	n = len(longest)
	return n, longest[:min(n, MaxBlockedChats)]
}
