package redisgroup

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// errReply is returned for a reply of an unexpected form.
var errReply = errors.New("unexpected reply")

// replyReader parses a reply in RESP (https://redis.io/docs/latest/develop/reference/protocol-spec/) in place. The strings that it returns share the
// reply's memory, because copying each would cost more than all the rest of a delivery.
type replyReader struct {
	raw  []byte
	text string // the same bytes, for strings
	at   int
	err  error
}

// newReplyReader returns a reader of raw, which must not change any more.
func newReplyReader(raw []byte) *replyReader {
	return &replyReader{raw: raw, text: unsafe.String(unsafe.SliceData(raw), len(raw))} //nolint:gosec // see above
}

func (r *replyReader) fail(what string) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s at byte %d of %d", errReply, what, r.at, len(r.raw))
	}
	r.at = len(r.raw)
}

// head reads the type of the next element and its number: a length or a number of elements, -1 for null.
func (r *replyReader) head() (kind byte, n int) {
	start := r.at
	for r.at < len(r.raw) && r.raw[r.at] != '\r' {
		r.at++
	}
	if r.at+1 >= len(r.raw) || r.at == start {
		r.fail("it is cut short")
		return 0, 0
	}
	kind = r.raw[start]
	line := r.text[start+1 : r.at]
	r.at += 2
	switch kind {
	case '-', '!':
		r.fail("error " + line)
		return 0, 0
	case '_':
		return kind, -1
	case '+':
		return kind, 0
	}
	n, err := strconv.Atoi(line)
	if err != nil {
		r.fail("no number in " + line)
		return 0, 0
	}
	return kind, n
}

// list reads the head of an array or a map and returns the number of its elements.
func (r *replyReader) list() int {
	switch kind, n := r.head(); {
	case r.err != nil, n < 0:
		return 0
	case kind == '*':
		return n
	case kind == '%' && n <= len(r.raw):
		return 2 * n
	}
	r.fail("no list")
	return 0
}

// span reads a string and returns its bounds in raw.
func (r *replyReader) span() (from, to int) {
	kind, n := r.head()
	if r.err != nil || n < 0 {
		return 0, 0
	}
	if kind != '$' || n > len(r.raw)-r.at-2 {
		r.fail("no string")
		return 0, 0
	}
	from, to = r.at, r.at+n
	r.at += n + 2
	return from, to
}

func (r *replyReader) string() string {
	from, to := r.span()
	return r.text[from:to]
}

// entries reads a list of entries as XRANGE replies with it.
func (r *replyReader) entries() []groups.Entry {
	n := r.list()
	entries := make([]groups.Entry, 0, min(n, len(r.raw)))
	for range n {
		if r.list() != 2 {
			r.fail("no entry")
			return nil
		}
		entries = append(entries, groups.Entry{})
		r.entry(&entries[len(entries)-1])
		if r.err != nil {
			return nil
		}
	}
	return entries
}

func (r *replyReader) entry(e *groups.Entry) {
	id, err := groups.ParseStreamID(r.string())
	if err != nil {
		r.fail(err.Error())
		return
	}
	e.ID = id
	seq, typ := "", ""
	for n := r.list() / 2; n > 0 && r.err == nil; n-- {
		switch r.string() {
		case wireformat.FieldUUID:
			e.UUID = r.string()
		case wireformat.FieldMetadata:
			e.Metadata = r.string()
		case wireformat.FieldPayload:
			from, to := r.span()
			e.Payload = r.raw[from:to:to]
		case wireformat.FieldChat:
			e.Chat = r.string()
		case wireformat.FieldSeq:
			seq = r.string()
		case wireformat.FieldType:
			typ = r.string()
		default:
			r.string()
		}
	}
	if seq == "" && e.Chat == "" {
		complete(e, typ)
		return
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || n == 0 || e.Chat == "" || len(e.Chat) > domain.MaxIDBytes {
		e.Half, e.Chat = true, ""
		complete(e, typ)
		return
	}
	if e.UUID == "" {
		e.Broken = "the entry has no " + wireformat.FieldUUID
	}
	e.Seq = domain.Seq(n)
}

// maxForeign is the largest total size in bytes of the known fields of another program's entry.
const maxForeign = 1 << 20

// complete fills in another program's entry as watermill-redisstream would have written it. An entry without a UUID is named by its stream id. An
// entry without metadata has its type in a separate field or in the payload.
func complete(e *groups.Entry, typ string) {
	if n := len(e.UUID) + len(e.Metadata) + len(e.Payload) + len(typ); n > maxForeign {
		e.Broken = fmt.Sprintf("the entry has %d bytes; allowed: %d", n, maxForeign)
		return
	}
	switch {
	case len(e.Payload) == 0 && e.UUID == "":
		e.Broken = "the entry has no " + wireformat.FieldPayload
	case len(e.UUID) > domain.MaxIDBytes:
		e.Broken = fmt.Sprintf("the entry's %s has %d bytes; allowed: %d", wireformat.FieldUUID, len(e.UUID), domain.MaxIDBytes)
	case e.UUID == "":
		e.UUID = "entry:" + e.ID.String()
	}
	if e.Metadata == "" && typ != "" {
		e.Metadata = string(wireformat.EncodeMetadata(map[string]string{wireformat.MetaType: typ}))
	}
}

// parseRange reads the reply to XRANGE.
func parseRange(raw []byte) ([]groups.Entry, error) {
	r := newReplyReader(raw)
	entries := r.entries()
	return entries, r.err
}

// parseRead reads the reply to XREAD of one stream. It returns no entries if none arrived.
func parseRead(raw []byte) ([]groups.Entry, error) {
	r := newReplyReader(raw)
	streams := r.list()
	if streams == 0 || r.err != nil {
		return nil, r.err
	}
	if raw[0] == '*' && r.list() != 2 { // in RESP2 a list of pairs, in RESP3 a map
		r.fail("no stream")
		return nil, r.err
	}
	r.string() // its name
	entries := r.entries()
	return entries, r.err
}
