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

// BlockReason says why a chat does not go on.
type BlockReason string

// Reasons why a chat does not go on although no event of it became a dead letter.
const (
	// BlockedTransient is a chat whose handler keeps failing with transient errors.
	BlockedTransient BlockReason = "transient"
	// BlockedNewer is a chat whose next event was written by a later version of the program.
	BlockedNewer BlockReason = "newer"
	// BlockedSlow is a chat whose handler runs for longer than [SubscriberConfig.Slow].
	BlockedSlow BlockReason = "slow"
)

// BlockedChat is a chat that does not go on, and why.
type BlockedChat struct {
	Chat   domain.ChatID // "" for entries of other programs
	Seq    domain.Seq    // of the event that waits; 0 for entries of other programs
	Reason BlockReason
	Since  time.Time // by the clock of the process
	Error  string    // the last one, "" for [BlockedSlow]
}

// MaxBlockedChats is the most chats that a [LaneState] names.
const MaxBlockedChats = 8

// reportAfter is how long a chat is blocked by transient failures before it is reported. Short outages stay out of Redis and the log.
const reportAfter = 10 * time.Second

// blockage is why a line does not go on. The subscription's mutex guards it. It begins with the first failure or the start of the slow handler,
// and ends when a handler succeeds or fails in another way.
type blockage struct {
	reason   BlockReason
	since    time.Time
	failures int // transient ones in a row
	cause    string
	reported bool // it is counted, and is in Redis or will be with the next commit
}

// wait keeps the head of a line for another start that does not count as an attempt.
func (t *term) wait(l *line, reason BlockReason, cause error) {
	p := l.head
	p.again, p.tried = true, true
	l.waiting, l.arranged = true, false
	t.block(l, reason, time.Now(), clipCause(cause))
	b := l.blocked
	b.failures++
	if p.starts > 0 { // the next start may have been taken down as an attempt
		t.touch(l)
	}
	if reason == BlockedNewer || time.Since(b.since) >= reportAfter {
		t.report(l)
	}
	l.timer = time.AfterFunc(t.sub.config.Retry.holdDelay(b.failures), func() { t.sub.retry(t, l) })
}

// block notes why a line does not go on. A line that is blocked already keeps the time since when it is.
func (t *term) block(l *line, reason BlockReason, since time.Time, cause string) {
	b := l.blocked
	if b == nil {
		l.blocked = &blockage{reason: reason, since: since, cause: cause}
		return
	}
	if b.reported && (b.reason != reason || b.cause != cause) {
		t.sub.counters.blocked(b.reason).Add(-1)
		t.sub.counters.blocked(reason).Add(1)
		t.touch(l)
	}
	b.reason, b.cause = reason, cause
	if since.Before(b.since) {
		b.since = since
	}
}

// report makes a blockage visible: in the group's state, in a gauge and in the log.
func (t *term) report(l *line) {
	b := l.blocked
	if b.reported || l.foreign() && l != t.others {
		return
	}
	b.reported = true
	t.sub.counters.blocked(b.reason).Add(1)
	t.touch(l)
	t.sub.config.Logger.Warn("chat blocked", "group", t.sub.group, "stream", t.lane.Stream, "chat", l.chat, "seq", uint64(l.head.seq),
		"reason", string(b.reason), "since", b.since, "error", b.cause)
}

// inherit goes on with a blockage that an earlier owner has reported. A handler that ran for long ran there.
func (t *term) inherit(l *line, f failure) {
	switch f.reason {
	case "":
	case BlockedSlow:
		t.touch(l)
	default:
		l.blocked = &blockage{reason: f.reason, since: time.UnixMilli(f.since), cause: f.cause, reported: true}
		t.sub.counters.blocked(f.reason).Add(1)
	}
}

// unblock ends a line's blockage, if there is one.
func (t *term) unblock(l *line) {
	b := l.blocked
	if b == nil {
		return
	}
	l.blocked = nil
	if b.reported {
		t.sub.counters.blocked(b.reason).Add(-1)
		t.touch(l)
	}
}

// closeBlocked takes the lines of a term that ends out of the gauges.
func (t *term) closeBlocked() {
	for _, l := range t.lines {
		t.closeBlockage(l)
	}
	t.closeBlockage(t.others)
}

func (t *term) closeBlockage(l *line) {
	if b := l.blocked; b != nil && b.reported {
		t.sub.counters.blocked(b.reason).Add(-1)
	}
	l.blocked = nil
}

// clipCause bounds the text of an error that is kept in Redis.
func clipCause(err error) string {
	const most = 256
	text := strings.ToValidUTF8(err.Error(), "�")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

// failure is what Redis knows of the event after a chat's checkpoint: how often handlers were started for it, and why it waits.
type failure struct {
	seq    domain.Seq
	starts int
	epoch  uint64 // of the owner whose next start is among them though its end is not known; 0 if all have ended
	since  int64  // ms; of the blockage
	reason BlockReason
	cause  string
}

// String is the value of a field of the hash "failing": seq:starts, and where there is more to say :epoch:since:reason:cause behind it.
func (f failure) String() string {
	switch {
	case f.reason != "":
		return fmt.Sprintf("%d:%d:%d:%d:%s:%s", f.seq, f.starts, f.epoch, f.since, f.reason, f.cause)
	case f.epoch != 0:
		return fmt.Sprintf("%d:%d:%d", f.seq, f.starts, f.epoch)
	}
	return fmt.Sprintf("%d:%d", f.seq, f.starts)
}

// parseFailure reads what String wrote. A part that cannot be read is as if it had not been written.
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

// blockedChats returns how many chats of a lane are reported as blocked, and those of them that are for the longest.
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
