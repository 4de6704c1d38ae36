package wireformat

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Codec writes events and reads them, those of older versions too. It never changes after [New] and is safe for concurrent use.
type Codec struct {
	upcasters map[string]map[int]Upcaster // by type and the version they start from
	raised    map[string]int              // the highest version with an upcaster; written events are one above
	without   map[string]struct{}         // types that are not known
}

// Option changes a [Codec] that is being made.
type Option func(*Codec)

// Upcaster turns the fields of an event of one version into those of the next, in place. It is given all fields, the common ones
// too, and must not change the bytes of a value, only replace it. Payloads of other programs, which carry no version, count as
// version 1.
type Upcaster func(fields map[string]json.RawMessage) error

// WithUpcaster reads events of the given type and version as those of the next version. The version that is written is one above
// the highest that has an upcaster. A type that does not exist, a version below 1 and a nil upcaster are mistakes of the program
// and panic.
func WithUpcaster(typ string, from int, up Upcaster) Option {
	if !known(typ) || from < 1 || up == nil {
		panic(fmt.Sprintf("wireformat: no upcaster for type %q from version %d; allowed: one of %q, from 1 on, not nil", typ, from, LiveTypes()))
	}
	return func(c *Codec) {
		if c.upcasters[typ] == nil {
			c.upcasters[typ] = make(map[int]Upcaster)
		}
		c.upcasters[typ][from] = up
		c.raised[typ] = max(c.raised[typ], from)
	}
}

// WithoutTypes leaves types of the core out, as a program has it that is older than they are. It is for tests of old and new programs on one log.
func WithoutTypes(types ...string) Option {
	return func(c *Codec) {
		for _, typ := range types {
			c.without[typ] = struct{}{}
		}
	}
}

// New makes a codec.
func New(opts ...Option) *Codec {
	c := &Codec{upcasters: make(map[string]map[int]Upcaster), raised: make(map[string]int), without: make(map[string]struct{})}
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// knows reports whether a type is one of the core's that the codec reads.
func (c *Codec) knows(typ string) bool {
	_, without := c.without[typ]
	return known(typ) && !without
}

// Versions returns the types of durable events that the codec reads, each followed by the version that it writes.
func (c *Codec) Versions() []string {
	var versions []string
	for _, typ := range DurableTypes() {
		if c.knows(typ) {
			versions = append(versions, typ, strconv.Itoa(c.version(typ)))
		}
	}
	return versions
}

// version is the version of a type that is written.
func (c *Codec) version(typ string) int { return c.raised[typ] + 1 }

// Version returns the version of a type that this codec writes, which is the highest that it reads. It returns 0 for a type that it does not read.
func (c *Codec) Version(typ string) int {
	if !c.knows(typ) {
		return 0
	}
	return c.version(typ)
}

// Encoded is a durable event as JSON without the numbers that only the log knows:
// Head + seq + `,"ordinal":` + ordinal + Tail.
type Encoded struct{ Head, Tail []byte }

const (
	ordinalKey = `,"ordinal":`
	maxDigits  = 20 // of a 64-bit number

	spliced = len(ordinalKey) + 2*maxDigits // the most bytes that the log adds
)

// Splice gives the JSON of the event at its place in the log.
func (e Encoded) Splice(seq domain.Seq, ordinal domain.Ordinal) []byte {
	b := make([]byte, 0, e.size())
	b = append(b, e.Head...)
	b = strconv.AppendUint(b, uint64(seq), 10)
	b = append(b, ordinalKey...)
	b = strconv.AppendUint(b, uint64(ordinal), 10)
	return append(b, e.Tail...)
}

// size is the most bytes that Splice can give.
func (e Encoded) size() int { return len(e.Head) + len(e.Tail) + spliced }

// Encode writes a durable event. An event that may get more than [domain.MaxEventBytes] is [ports.ErrTooLarge], one with a value
// that could not be read back is [ErrMalformed].
func (c *Codec) Encode(id domain.EventID, e domain.Durable, m ports.Meta) (Encoded, error) {
	buf, cut, err := c.AppendDurable(make([]byte, 0, sizeHint(e)), id, e, m)
	if err != nil {
		return Encoded{}, err
	}
	return Encoded{Head: buf[:cut:cut], Tail: buf[cut:]}, nil
}

// AppendDurable appends the head and the tail of [Codec.Encode] to dst and returns the index of the tail. It returns the errors of Encode, and dst
// unchanged then.
func (c *Codec) AppendDurable(dst []byte, id domain.EventID, e domain.Durable, m ports.Meta) (buf []byte, tail int, err error) {
	typ := Type(e)
	w := writer{buf: dst, typ: typ, v: c.version(typ)}
	if own, ok := e.(domain.Custom); ok {
		w.v = own.Version
		w.own(own)
	} else if _, foreign := e.(domain.Unknown); foreign || !durable(typ) {
		return dst, 0, unknown(typ, DurableTypes())
	}
	w.common(id, e.OccurredAt())
	w.buf = append(w.buf, `,"seq":`...)
	tail = len(w.buf)
	w.meta(m)
	w.durable(e)
	w.buf = append(w.buf, '}')
	if w.err == nil {
		w.err = checkSize(typ, len(w.buf)-len(dst)+spliced)
	}
	if w.err != nil {
		return dst, 0, w.err
	}
	return w.buf, tail, nil
}

// EncodeLive writes an ephemeral event. Errors are those of Encode.
func (c *Codec) EncodeLive(id domain.EventID, e domain.Ephemeral, m ports.Meta) ([]byte, error) {
	return c.AppendLive(make([]byte, 0, sizeHint(e)), id, e, m)
}

// AppendLive appends the result of EncodeLive to dst. It returns dst unchanged with an error.
func (c *Codec) AppendLive(dst []byte, id domain.EventID, e domain.Ephemeral, m ports.Meta) ([]byte, error) {
	typ := Type(e)
	if !ephemeral(typ) {
		return dst, unknown(typ, LiveTypes()[len(DurableTypes()):])
	}
	w := writer{buf: dst, typ: typ, v: c.version(typ)}
	w.common(id, e.OccurredAt())
	w.meta(m)
	w.ephemeral(e)
	w.buf = append(w.buf, '}')
	if w.err == nil {
		w.err = checkSize(typ, len(w.buf)-len(dst))
	}
	if w.err != nil {
		return dst, w.err
	}
	return w.buf, nil
}

// StatusParts is the JSON of a status event in pieces, because the store decides time and status: after Head come the time, Middle, the status's name,
// `","lastSeen":"`, that time, and `"}`.
type StatusParts struct{ Head, Middle []byte }

// EncodeStatus writes a status event but for its time and its status. Errors are those of Encode.
func (c *Codec) EncodeStatus(id domain.EventID, user domain.UserID, m ports.Meta) (StatusParts, error) {
	epoch := time.Unix(0, 0)
	w := writer{buf: make([]byte, 0, 256+len(user)), typ: TypeUserStatus, v: c.version(TypeUserStatus)}
	w.common(id, epoch)
	cut := len(w.buf) - len(instantLayout) - len(`"`)
	w.buf = append(w.buf[:cut], '"')
	w.meta(m)
	w.id("userId", string(user))
	w.key("status")
	w.buf = append(w.buf, '"')
	if w.err != nil {
		return StatusParts{}, w.err
	}
	return StatusParts{Head: w.buf[:cut:cut], Middle: w.buf[cut:]}, nil
}

func checkSize(typ string, size int) error {
	if size > domain.MaxEventBytes {
		return &TooLargeError{Type: typ, Size: size, Limit: domain.MaxEventBytes}
	}
	return nil
}

// sizeHint is about how many bytes an event takes.
func sizeHint(e domain.Event) int {
	const plain = 512
	switch e := e.(type) {
	case domain.MessageNew:
		return plain + len(e.Content) + len(e.Content)/16 + len(e.ClientMeta) + 48*len(e.Mentions) + 256*len(e.Attachments)
	case domain.MessageEdit:
		return plain + len(e.Content) + len(e.Content)/16 + 48*len(e.Mentions) + 256*len(e.Attachments)
	case domain.Custom:
		return plain + len(e.Data)
	}
	return plain
}
