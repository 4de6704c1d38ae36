package pubsub

import (
	"errors"
	"fmt"
	"strconv"
	"unsafe"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

// entry is an entry of a stream. Its strings share the memory of the reply.
type entry struct {
	id       streamID
	uuid     string
	metadata string
	chat     string
	seq      domain.Seq // 0 for an entry of another program
	payload  []byte
	broken   string // why it cannot be read, "" if it can
	half     bool   // only one of chat and seq is set
}

// batch is the result of one read of a stream: entries that follow each other.
type batch struct {
	after   streamID // id after which the read began
	entries []entry
	full    bool // there may be more right after
	hole    bool // the stream no longer has the entry at after: others after it may be gone too
}

func (b *batch) last() streamID {
	if len(b.entries) == 0 {
		return b.after
	}
	return b.entries[len(b.entries)-1].id
}

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
func (r *replyReader) entries() []entry {
	n := r.list()
	entries := make([]entry, 0, min(n, len(r.raw)))
	for range n {
		if r.list() != 2 {
			r.fail("no entry")
			return nil
		}
		entries = append(entries, entry{})
		r.entry(&entries[len(entries)-1])
		if r.err != nil {
			return nil
		}
	}
	return entries
}

func (r *replyReader) entry(e *entry) {
	id, err := parseStreamID(r.string())
	if err != nil {
		r.fail(err.Error())
		return
	}
	e.id = id
	seq, typ := "", ""
	for n := r.list() / 2; n > 0 && r.err == nil; n-- {
		switch r.string() {
		case wireformat.FieldUUID:
			e.uuid = r.string()
		case wireformat.FieldMetadata:
			e.metadata = r.string()
		case wireformat.FieldPayload:
			from, to := r.span()
			e.payload = r.raw[from:to:to]
		case wireformat.FieldChat:
			e.chat = r.string()
		case wireformat.FieldSeq:
			seq = r.string()
		case wireformat.FieldType:
			typ = r.string()
		default:
			r.string()
		}
	}
	if seq == "" && e.chat == "" {
		e.complete(typ)
		return
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil || n == 0 || e.chat == "" || len(e.chat) > domain.MaxIDBytes {
		e.half, e.chat = true, ""
		e.complete(typ)
		return
	}
	if e.uuid == "" {
		e.broken = "the entry has no " + wireformat.FieldUUID
	}
	e.seq = domain.Seq(n)
}

// maxForeign is the largest total size in bytes of the known fields of another program's entry.
const maxForeign = 1 << 20

// complete fills in another program's entry as watermill-redisstream would have written it. An entry without a UUID is named by its stream id. An
// entry without metadata has its type in a separate field or in the payload.
func (e *entry) complete(typ string) {
	if n := len(e.uuid) + len(e.metadata) + len(e.payload) + len(typ); n > maxForeign {
		e.broken = fmt.Sprintf("the entry has %d bytes; allowed: %d", n, maxForeign)
		return
	}
	switch {
	case len(e.payload) == 0 && e.uuid == "":
		e.broken = "the entry has no " + wireformat.FieldPayload
	case len(e.uuid) > domain.MaxIDBytes:
		e.broken = fmt.Sprintf("the entry's %s has %d bytes; allowed: %d", wireformat.FieldUUID, len(e.uuid), domain.MaxIDBytes)
	case e.uuid == "":
		e.uuid = "entry:" + e.id.String()
	}
	if e.metadata == "" && typ != "" {
		e.metadata = string(wireformat.EncodeMetadata(map[string]string{wireformat.MetaType: typ}))
	}
}

// parseRange reads the reply to XRANGE.
func parseRange(raw []byte) ([]entry, error) {
	r := newReplyReader(raw)
	entries := r.entries()
	return entries, r.err
}

// parseRead reads the reply to XREAD of one stream. It returns no entries if none arrived.
func parseRead(raw []byte) ([]entry, error) {
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
