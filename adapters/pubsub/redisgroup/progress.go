package redisgroup

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// extended is the first byte of the text of a progress with finished or failed events beyond the first unfinished one. A program that does not know
// that text takes it for a failure of seq 0, which no event has, because it has no number before its first colon.
const extended = "~"

// appendProgress appends the value of a field of the hash "failing", nothing if there is no progress. The text of a failure alone is seq:starts,
// followed by :epoch or :epoch:since:reason:cause where these are set. since is in ms since 1970. Any other progress has eight parts:
//
//	~seq starts epoch since reason done others cause
//
// done lists the finished ranges, separated by commas: from+more, or from alone for a range of one seq. others lists the failed events, separated by
// commas: seq/starts, followed by /epoch if it is not 0. In both lists, the first seq of an item is the difference to the last seq of the item before it.
// A range takes at most 42 bytes, and a failed event at most 63. In cause, %3A stands for a colon and %25 for a percent sign, so that the text has no colon.
func appendProgress(dst []byte, p groups.Progress) []byte {
	switch {
	case p.IsZero():
		return dst
	case len(p.Done) == 0 && len(p.Others) == 0:
		return appendFailure(dst, p.Failure)
	}
	dst = strconv.AppendUint(append(dst, extended...), uint64(p.Seq), 10)
	dst = strconv.AppendInt(append(dst, ' '), int64(p.Starts), 10)
	dst = strconv.AppendUint(append(dst, ' '), p.Epoch, 10)
	dst = strconv.AppendInt(append(dst, ' '), milliseconds(p.Since), 10)
	dst = append(append(dst, ' '), p.Reason...)
	dst = appendRanges(append(dst, ' '), p.Done)
	dst = appendFailed(append(dst, ' '), p.Others)
	return append(append(dst, ' '), strings.NewReplacer("%", "%25", ":", "%3A").Replace(p.Cause)...)
}

func appendFailure(dst []byte, f groups.Failure) []byte {
	dst = strconv.AppendUint(dst, uint64(f.Seq), 10)
	dst = strconv.AppendInt(append(dst, ':'), int64(f.Starts), 10)
	if f.Epoch == 0 && f.Reason == "" {
		return dst
	}
	dst = strconv.AppendUint(append(dst, ':'), f.Epoch, 10)
	if f.Reason == "" {
		return dst
	}
	dst = strconv.AppendInt(append(dst, ':'), milliseconds(f.Since), 10)
	dst = append(append(dst, ':'), f.Reason...)
	return append(append(dst, ':'), f.Cause...)
}

func appendRanges(dst []byte, ranges []groups.SeqRange) []byte {
	last := domain.Seq(0)
	for i, r := range ranges {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(r.From-last), 10)
		if r.To != r.From {
			dst = strconv.AppendUint(append(dst, '+'), uint64(r.To-r.From), 10)
		}
		last = r.To
	}
	return dst
}

func appendFailed(dst []byte, failed []groups.EventFailure) []byte {
	last := domain.Seq(0)
	for i, f := range failed {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, uint64(f.Seq-last), 10)
		dst = strconv.AppendInt(append(dst, '/'), int64(f.Starts), 10)
		if f.Epoch != 0 {
			dst = strconv.AppendUint(append(dst, '/'), f.Epoch, 10)
		}
		last = f.Seq
	}
	return dst
}

// milliseconds returns a time in ms since 1970, 0 for the zero time.
func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// parseProgress parses the result of [appendProgress]. It ignores parts of a failure that it cannot parse, and returns no progress for any other text.
func parseProgress(text string) (p groups.Progress) {
	rest, is := strings.CutPrefix(text, extended)
	if !is {
		p.Failure = parseFailure(strings.SplitN(text, ":", 6))
		return p
	}
	const parts, done, others, cause = 8, 5, 6, 7
	part := strings.SplitN(rest, " ", parts)
	if len(part) != parts {
		return groups.Progress{}
	}
	ranges, ok1 := parseRanges(part[done])
	failed, ok2 := parseFailed(part[others])
	if !ok1 || !ok2 {
		return groups.Progress{}
	}
	failure := append(part[:done:done], strings.NewReplacer("%25", "%", "%3A", ":").Replace(part[cause]))
	return groups.Progress{Failure: parseFailure(failure), Done: ranges, Others: failed}
}

// parseFailure parses seq, starts, epoch, since, reason and cause, of which the last ones may be missing.
func parseFailure(given []string) (f groups.Failure) {
	var parts [6]string
	copy(parts[:], given)
	f.Seq = parseSeq(parts[0])
	f.Starts, _ = strconv.Atoi(parts[1])
	f.Epoch, _ = strconv.ParseUint(parts[2], 10, 64)
	switch reason := groups.BlockReason(parts[4]); reason {
	case groups.BlockedTransient, groups.BlockedNewer, groups.BlockedSlow, groups.BlockedPostponed:
		f.Reason, f.Cause = reason, parts[5]
		if ms, _ := strconv.ParseInt(parts[3], 10, 64); ms != 0 {
			f.Since = time.UnixMilli(ms).UTC()
		}
	}
	return f
}

func parseRanges(text string) (ranges []groups.SeqRange, ok bool) {
	if text == "" {
		return nil, true
	}
	last := domain.Seq(0)
	for item := range strings.SplitSeq(text, ",") {
		gap, more, longer := strings.Cut(item, "+")
		from, err1 := strconv.ParseUint(gap, 10, 64)
		length, err2 := uint64(0), error(nil)
		if longer {
			length, err2 = strconv.ParseUint(more, 10, 64)
		}
		if err1 != nil || err2 != nil {
			return nil, false
		}
		r := groups.SeqRange{From: last + domain.Seq(from)}
		r.To = r.From + domain.Seq(length)
		ranges, last = append(ranges, r), r.To
	}
	return ranges, true
}

func parseFailed(text string) (failed []groups.EventFailure, ok bool) {
	if text == "" {
		return nil, true
	}
	last := domain.Seq(0)
	for item := range strings.SplitSeq(text, ",") {
		gap, starts, _ := strings.Cut(item, "/")
		starts, epoch, reserved := strings.Cut(starts, "/")
		seq, err1 := strconv.ParseUint(gap, 10, 64)
		f, err2, err3 := groups.EventFailure{Seq: last + domain.Seq(seq)}, error(nil), error(nil)
		f.Starts, err2 = strconv.Atoi(starts)
		if reserved {
			f.Epoch, err3 = strconv.ParseUint(epoch, 10, 64)
		}
		if err1 != nil || err2 != nil || err3 != nil {
			return nil, false
		}
		failed, last = append(failed, f), f.Seq
	}
	return failed, true
}

// blockedChats returns the number of a partition's chats that are reported as blocked, and those that are blocked for the longest, at most
// [groups.MaxBlockedChats].
func blockedChats(failing map[string]groups.Progress) (n int, longest []groups.BlockedChat) {
	for chat, p := range failing {
		if p.Reason != "" {
			longest = append(longest, groups.BlockedChat{Chat: domain.ChatID(chat), Seq: p.Seq, Reason: p.Reason, Since: p.Since, Error: p.Cause})
		}
	}
	slices.SortFunc(longest, func(a, b groups.BlockedChat) int {
		return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.Chat, b.Chat))
	})
	n = len(longest)
	return n, longest[:min(n, groups.MaxBlockedChats)]
}
