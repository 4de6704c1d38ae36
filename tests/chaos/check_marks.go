package chaos

import (
	"time"

	"chatcore/domain"
)

// Marked is a promise about read marks.
const Marked Rule = "a read mark that was answered as recorded is in the log"

// MarkAnswer is the answer to a read mark.
type MarkAnswer struct {
	Chat      domain.ChatID
	User      domain.UserID
	Message   domain.MessageID
	Recorded  bool      // otherwise it was accepted: an outage at the end may lose it
	Asked, At time.Time // when the attempt that got the answer began, and of the answer
}

// readMarks looks for a mark at each message that was answered as recorded. A restore to an older state may lose it.
func (c *checker) readMarks() {
	for _, a := range c.Marks {
		if seq, covered := a.covered(c.Log[a.Chat]); a.Recorded && !covered && !c.unmarked(a) {
			c.violated(Marked, a.Chat, seq, "the mark of %q at message %q (seq %d) was answered as recorded at %s", a.User, a.Message, seq, a.At.Format("15:04:05.000"))
		}
	}
}

// covered reports whether a log has a mark of the user at the message or a later one, and returns the message's seq. A log without the message has
// nothing to mark. The user's own messages are marks.
func (a MarkAnswer) covered(log []Logged) (seq domain.Seq, covered bool) {
	var mark domain.Seq
	for _, l := range log {
		switch e := l.What.(type) {
		case domain.MessageNew:
			if e.Message == a.Message {
				seq = l.Seq
			}
			if e.Sender == a.User {
				mark = l.Seq
			}
		case domain.ReadReceipt:
			if e.User == a.User {
				mark = max(mark, e.ReadSeq)
			}
		}
	}
	return seq, mark >= seq
}

// unmarked reports whether a restore lost the mark.
func (c *checker) unmarked(a MarkAnswer) bool {
	for _, r := range c.Restores {
		if (Window{r.Dumped, r.Done}).overlaps(a.Asked, a.At) {
			return true
		}
	}
	return false
}
