package groups

import (
	"cmp"
	"strconv"
	"strings"

	"chatcore/domain"
)

// StreamID is the id of an entry of a partition's stream. The zero value is before every entry.
type StreamID struct {
	Milliseconds uint64 // of the store's clock, since 1970
	Number       uint64 // of the entry within the millisecond
}

// ParseStreamID parses an id as Redis writes it, such as 1700000000000-0. It returns a [*domain.InvalidError] for any other text. It allocates nothing for
// an id.
func ParseStreamID(s string) (StreamID, error) {
	first, second, _ := strings.Cut(s, "-")
	ms, ok1 := parseNumber(first)
	n, ok2 := parseNumber(second)
	if !ok1 || !ok2 {
		return StreamID{}, &domain.InvalidError{Field: "stream id", Problem: "is " + strconv.Quote(s[:min(len(s), 64)]), Allowed: "milliseconds, a minus and a number"}
	}
	return StreamID{ms, n}, nil
}

// Compare returns -1 if the entry of a is before that of b, 0 if they are the same, and 1 otherwise.
func (a StreamID) Compare(b StreamID) int {
	return cmp.Or(cmp.Compare(a.Milliseconds, b.Milliseconds), cmp.Compare(a.Number, b.Number))
}

// IsZero reports whether the id is the one before every entry.
func (a StreamID) IsZero() bool { return a == StreamID{} }

// Append appends the id to dst as Redis writes it.
func (a StreamID) Append(dst []byte) []byte {
	return strconv.AppendUint(append(strconv.AppendUint(dst, a.Milliseconds, 10), '-'), a.Number, 10)
}

// String returns the id as Redis writes it.
func (a StreamID) String() string { return string(a.Append(nil)) }

// parseNumber parses digits without a sign and without leading zeros.
func parseNumber(s string) (n uint64, ok bool) {
	if s == "" || len(s) > 1 && s[0] == '0' {
		return 0, false
	}
	for i := range len(s) {
		digit := uint64(s[i] - '0')
		if digit > 9 || n > (1<<64-1-digit)/10 {
			return 0, false
		}
		n = n*10 + digit
	}
	return n, true
}

// Partition is a partition of a log with its stream, or a stream that carries no log.
type Partition struct {
	Stream string // name of the stream, unique among the partitions
	Number int    // of the log's partition, from 0; below 0 for a stream that carries only entries of other programs
}

// Logged reports whether the partition is one of a log: its chats' events can be read from the log.
func (p Partition) Logged() bool { return p.Number >= 0 }

// Entry is an entry of a stream. Its strings and its payload may share the memory of a whole reply; nothing changes them.
type Entry struct {
	ID       StreamID
	UUID     string
	Metadata string     // packed as the stream has it
	Chat     string     // "" for an entry of another program
	Seq      domain.Seq // 0 for an entry of another program
	Payload  []byte
	Broken   string // why it cannot be read, "" if it can
	Half     bool   // only one of chat and seq is set
}

// Batch is the result of one read of a stream: entries that follow each other.
type Batch struct {
	After   StreamID // id after which the read began
	Entries []Entry
	Full    bool // there may be more right after
	Gap     bool // the stream no longer has the entry at After: others after it may be gone too
}

// Last returns the id of the last entry, or After if there is none.
func (b *Batch) Last() StreamID {
	if len(b.Entries) == 0 {
		return b.After
	}
	return b.Entries[len(b.Entries)-1].ID
}
