package eventlog

import (
	"math/bits"
	"strconv"
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// readMark is the part of a read mark's entry behind its version, which entries have from level 3 of the log on.
type readMark struct {
	base, ordinal uint64
	state         markState
}

// markState is what is known of a read mark's base.
type markState uint8

const (
	baseUnknown markState = iota // the entry has only a version
	baseKnown                    // VERSION:BASE:ORDINAL
	userLeft                     // VERSION:-
)

// String returns "unknown", "known" or "left".
func (s markState) String() string {
	switch s {
	case baseUnknown:
		return "unknown"
	case baseKnown:
		return "known"
	case userLeft:
		return "left"
	}
	return "markState(" + strconv.Itoa(int(s)) + ")"
}

// parseMark reads the entry of a read mark behind its version.
func parseMark(entry string) (m readMark) {
	parts := strings.Split(entry, ":")
	switch {
	case len(parts) == 2 && parts[1] == "-":
		m.state = userLeft
	case len(parts) == 3:
		base, err1 := strconv.ParseUint(parts[1], 10, 64)
		ordinal, err2 := strconv.ParseUint(parts[2], 10, 64)
		if err1 == nil && err2 == nil {
			m = readMark{base, ordinal, baseKnown}
		}
	}
	return m
}

// text returns the entry of a read mark with a version.
func (m readMark) text(version uint64) string {
	text := strconv.FormatUint(version, 10)
	switch m.state {
	case baseKnown:
		return text + ":" + strconv.FormatUint(m.base, 10) + ":" + strconv.FormatUint(m.ordinal, 10)
	case userLeft:
		return text + ":-"
	case baseUnknown:
	}
	return text
}

// markText returns the correct entry of a read mark whose present entry is kept, or "" if there must be none. An entry without a base is correct: the
// base is unknown until the mark changes after an upgrade.
func (e indexEntry) markText(kept string, rich bool) string {
	plain := strconv.FormatUint(e.version, 10)
	switch {
	case rich && (e.mark.state == baseUnknown || kept == plain):
	case rich:
		return e.mark.text(e.version)
	}
	if e.version == 0 {
		return ""
	}
	return plain
}

// mark folds the read marks that an event changes.
func (c *chatFold) mark(r ports.Record) {
	seq := uint64(r.Seq)
	c.change(r, func(user domain.UserID, change func(m readMark) readMark) {
		if field := string(appendField(nil, domain.ReadEntity(user))); c.has(field) {
			entry := c.entries[field]
			entry.mark = change(entry.mark)
			c.entries[field] = entry
		}
	})
	if domain.InTimeline(r.Event) {
		c.sent.add(seq)
	}
}

// change calls fn with the user whose read mark an event changes.
func (c *chatFold) change(r ports.Record, fn func(user domain.UserID, change func(m readMark) readMark)) {
	at := func(seq domain.Seq, ordinal uint64) readMark { return readMark{uint64(seq), ordinal, baseKnown} }
	switch e := r.Event.(type) {
	case domain.MessageNew:
		if !e.InTimeline() {
			return
		}
		fn(e.Sender, func(readMark) readMark { return at(r.Seq, uint64(r.Ordinal)) })
	case domain.ReadReceipt:
		fn(e.User, func(m readMark) readMark {
			switch {
			case m.state == userLeft, m.state == baseKnown && m.base >= uint64(e.ReadSeq):
				return m
			case c.partial, e.ReadSeq == 0, e.ReadSeq >= r.Seq:
				return readMark{}
			}
			return at(e.ReadSeq, c.sent.upTo(uint64(e.ReadSeq)))
		})
	case domain.ChatSettings:
		if e.UnreadSeq == nil {
			return
		}
		fn(e.User, func(m readMark) readMark {
			switch to := *e.UnreadSeq; {
			case m.state == userLeft:
				return m
			case c.partial, to <= 1, to > r.Seq:
				return readMark{}
			default:
				return at(to-1, c.sent.upTo(uint64(to-1)))
			}
		})
	case domain.ChatUpdate:
		if user, sign := membership(e); sign == '>' {
			fn(user, func(readMark) readMark { return at(r.Seq, uint64(r.Ordinal)) })
		} else if sign == '<' {
			fn(user, func(readMark) readMark { return readMark{state: userLeft} })
		}
	}
}

// sentSeqs counts the messages up to any seq. It takes a quarter of a byte for each event.
type sentSeqs struct {
	words, before []uint64 // 64 seqs each, and the number of messages before them
	last, total   uint64
}

// add adds the seq of a message, which is above all earlier ones.
func (s *sentSeqs) add(seq uint64) {
	s.grow(seq)
	s.words[seq/64] |= 1 << (seq % 64)
	s.last, s.total = seq, s.total+1
}

func (s *sentSeqs) grow(seq uint64) {
	for uint64(len(s.words)) <= seq/64 {
		s.words, s.before = append(s.words, 0), append(s.before, s.total)
	}
}

// upTo returns the number of messages up to a seq.
func (s *sentSeqs) upTo(seq uint64) uint64 {
	s.grow(seq)
	return s.before[seq/64] + uint64(bits.OnesCount64(s.words[seq/64]<<(63-seq%64))) //nolint:gosec // not negative
}
