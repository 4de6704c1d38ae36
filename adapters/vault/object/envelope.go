package object

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"strings"
)

// formatOf returns the format that this program writes for a kind of object, which is the newest that it reads. It reads all earlier ones. The envelope is the same
// in all formats: the magic, the format, the kind, the length and the sum stay where they are.
func formatOf(kind Kind) byte {
	if kind == KindJournal {
		return 2 // from which on entries have the fingerprints of commands
	}
	return 1
}

const magic = "ccvault\n"

// The places of an envelope's fields.
const (
	atFormat = len(magic)
	atKind   = atFormat + 1
	atLength = atKind + 1
	atName   = atLength + 8 // its length in two bytes, then the name
	minimum  = atName + 2 + sumSize
)

const sumSize = sha256.Size

// Sum is a SHA-256.
type Sum [sumSize]byte

// SumOf returns the sum at the end of an encoded object: the SHA-256 of everything before it. data is what an Encode method of [Codec] returned, or has been
// decoded.
func SumOf(data []byte) (s Sum) {
	copy(s[:], data[len(data)-sumSize:])
	return s
}

// headerSize returns the number of bytes before the body of an object.
func headerSize(name string) int { return atName + 2 + len(name) }

// seal puts a body into an envelope.
func seal(kind Kind, name Name, body ...[]byte) []byte {
	text := name.String()
	length := headerSize(text) + sumSize
	for _, part := range body {
		length += len(part)
	}
	b := make([]byte, 0, length)
	b = append(b, magic...)
	b = append(b, formatOf(kind), byte(kind))
	b = binary.BigEndian.AppendUint64(b, uint64(length))    //nolint:gosec // a length
	b = binary.BigEndian.AppendUint16(b, uint16(len(text))) //nolint:gosec // at most MaxObjectName
	b = append(b, text...)
	for _, part := range body {
		b = append(b, part...)
	}
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// unseal returns the body of an envelope, which must be that of a name. It shares the memory of data.
func unseal(kind Kind, name Name, data []byte) ([]byte, error) {
	text := name.String()
	refuse := func(reason error, format string, args ...any) ([]byte, error) {
		return nil, &Error{Name: text, Reason: reason, Problem: fmt.Sprintf(format, args...)}
	}
	if start := min(len(data), len(magic)); string(data[:start]) != magic[:start] {
		return refuse(ErrDamaged, "it does not begin as an object")
	}
	if len(data) < minimum {
		return refuse(ErrTruncated, "%d bytes, at least %d are expected", len(data), minimum)
	}
	switch length := binary.BigEndian.Uint64(data[atLength:]); {
	case uint64(len(data)) < length:
		return refuse(ErrTruncated, "%d bytes of %d", len(data), length)
	case uint64(len(data)) > length:
		return refuse(ErrDamaged, "%d bytes, %d are expected", len(data), length)
	}
	end := len(data) - sumSize
	if sum := sha256.Sum256(data[:end]); !bytes.Equal(sum[:], data[end:]) {
		return refuse(ErrDamaged, "its sum does not match")
	}
	if format, newest := data[atFormat], formatOf(Kind(data[atKind])); format > newest {
		return refuse(ErrNewerFormat, "format %d, this program knows up to %d; upgrade it", format, newest)
	}
	nameEnd := atName + 2 + int(binary.BigEndian.Uint16(data[atName:]))
	if data[atFormat] == 0 || nameEnd > end {
		return refuse(ErrDamaged, "its header is not valid")
	}
	if own := string(data[atName+2 : nameEnd]); own != text {
		reason := ErrSwapped
		if log, _, _ := strings.Cut(own, "/"); log != name.Log {
			reason = ErrOtherLog
		}
		return refuse(reason, "it was stored as %q", own)
	}
	if Kind(data[atKind]) != kind {
		return refuse(ErrSwapped, "it is a %v, a %v is expected", data[atKind], kind)
	}
	return data[nameEnd:end:end], nil
}
