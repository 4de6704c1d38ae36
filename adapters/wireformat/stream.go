package wireformat

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// The fields of a stream entry, in their order. The first three are watermill-redisstream's.
const (
	FieldUUID     = "_watermill_message_uuid"
	FieldMetadata = "metadata"
	FieldPayload  = "payload"
	FieldChat     = "chat"
	FieldSeq      = "seq"
	FieldType     = "type" // of another program's entry without metadata
)

// The keys of a message's metadata.
const (
	MetaType          = "type"
	MetaChatID        = "chat_id"
	MetaOccurredAt    = "occurred_at"
	MetaCorrelationID = "correlation_id"
	MetaCausationID   = "causation_id"
	MetaTraceParent   = "traceparent"
)

// Metadata returns the metadata of an event's message. It depends on the recorded event only, so that a later read of the log gives the same.
func Metadata(_ domain.EventID, e domain.Durable, m ports.Meta) map[string]string {
	metadata := map[string]string{
		MetaType:       Type(e),
		MetaChatID:     string(e.ChatID()),
		MetaOccurredAt: domain.Instant(e.OccurredAt()).Format(instantLayout),
	}
	for key, value := range map[string]string{
		MetaCorrelationID: m.CorrelationID, MetaCausationID: string(m.CausationID), MetaTraceParent: m.TraceParent,
	} {
		if value != "" {
			metadata[key] = clean(value)
		}
	}
	return metadata
}

// EncodeMetadata writes metadata as a msgpack map of strings, keys sorted (https://github.com/msgpack/msgpack/blob/master/spec.md).
func EncodeMetadata(metadata map[string]string) []byte {
	b := make([]byte, 0, 256)
	if n := len(metadata); n < 16 {
		b = append(b, 0x80|byte(n))
	} else {
		b = binary.BigEndian.AppendUint16(append(b, 0xde), uint16(n)) //nolint:gosec // metadata is a handful
	}
	for _, key := range slices.Sorted(maps.Keys(metadata)) {
		b = appendPacked(appendPacked(b, key), metadata[key])
	}
	return b
}

func appendPacked(b []byte, s string) []byte {
	switch n := len(s); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 1<<8:
		b = append(b, 0xd9, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n)) //nolint:gosec // values are far below 4 GiB
	}
	return append(b, s...)
}

// AppendMetadata appends the encoded [Metadata] to dst.
func AppendMetadata(dst []byte, e domain.Durable, m ports.Meta) []byte {
	n := byte(3)
	for _, value := range [...]string{m.CorrelationID, string(m.CausationID), m.TraceParent} {
		if value != "" {
			n++
		}
	}
	b := append(dst, 0x80|n)
	pair := func(key, value string) { b = appendPacked(appendPacked(b, key), value) }
	optional := func(key, value string) {
		if value != "" {
			pair(key, clean(value))
		}
	}
	optional(MetaCausationID, string(m.CausationID))
	pair(MetaChatID, string(e.ChatID()))
	optional(MetaCorrelationID, m.CorrelationID)
	b = append(appendPacked(b, MetaOccurredAt), 0xa0|byte(len(instantLayout)))
	b = domain.Instant(e.OccurredAt()).AppendFormat(b, instantLayout)
	optional(MetaTraceParent, m.TraceParent)
	pair(MetaType, Type(e))
	return b
}

// DecodeMetadata reads a msgpack map of strings as any writer may have packed it. No bytes are no metadata: so the stock publisher
// packs a message that has none.
func DecodeMetadata(b []byte) (map[string]string, error) { return ParseMetadata(string(b)) }

// ParseMetadata is DecodeMetadata of a string. Keys and values are parts of it.
func ParseMetadata(packed string) (map[string]string, error) {
	if packed == "" {
		return map[string]string{}, nil
	}
	p := unpacker{rest: packed}
	n := p.mapLength()
	metadata := make(map[string]string, min(n, 64))
	for range n {
		key := p.string()
		value := p.string()
		if p.wrong != "" {
			break
		}
		metadata[key] = value
	}
	if p.wrong != "" {
		return nil, &Error{Reason: ErrMalformed, Field: FieldMetadata, Problem: p.wrong, Allowed: "a msgpack map of strings"}
	}
	return metadata, nil
}

type unpacker struct {
	rest  string
	wrong string
}

const nothing = "\x00\x00\x00\x00\x00\x00\x00\x00"

func (p *unpacker) take(n int) string {
	if n > len(p.rest) {
		p.wrong, p.rest = "is cut short", ""
		return nothing[:min(n, len(nothing))]
	}
	taken := p.rest[:n]
	p.rest = p.rest[n:]
	return taken
}

// number reads a big-endian length of that many bytes.
func (p *unpacker) number(size int) int {
	n := 0
	taken := p.take(size)
	for i := range len(taken) {
		n = n<<8 | int(taken[i])
	}
	return n
}

func (p *unpacker) mapLength() int {
	switch c := p.take(1)[0]; {
	case p.wrong != "":
		return 0
	case c&0xf0 == 0x80:
		return int(c & 0x0f)
	case c == 0xde:
		return p.number(2)
	case c == 0xdf:
		return p.number(4)
	default:
		p.wrong = fmt.Sprintf("begins with %#x", c)
		return 0
	}
}

func (p *unpacker) string() string {
	c := p.take(1)[0]
	switch {
	case p.wrong != "":
		return ""
	case c&0xe0 == 0xa0:
		return p.take(int(c & 0x1f))
	case c == 0xd9 || c == 0xc4:
		return p.take(p.number(1))
	case c == 0xda || c == 0xc5:
		return p.take(p.number(2))
	case c == 0xdb || c == 0xc6:
		return p.take(p.number(4))
	}
	p.wrong = fmt.Sprintf("has %#x where a string should be", c)
	return ""
}
