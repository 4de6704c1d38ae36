package otlp

import (
	"fmt"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxReason bounds the collector's own words in an error, in bytes.
const maxReason = 256

// rejection returns the error of a response that accepts a part of a request: its field 1 is a message with the number of the records that were
// rejected and the reason. It returns nil for a complete success.
func rejection(response []byte) error {
	partial, _ := field(response, 1)
	text, _ := field(partial, 2)
	_, rejected := field(partial, 1)
	if len(text) == 0 && rejected == 0 {
		return nil
	}
	return fmt.Errorf("the collector rejected %d records%s", rejected, quoted(text))
}

// reason returns the message of a google.rpc.Status in the body of a failure, or "".
func reason(body []byte) string {
	text, _ := field(body, 2)
	return quoted(text)
}

// field returns the last value of a field of an encoded message: its bytes, or its number. A message that cannot be read has no fields from the fault on.
func field(message []byte, number protowire.Number) (content []byte, value uint64) {
	for len(message) > 0 {
		num, kind, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			return content, value
		}
		message = message[tag:]
		length := protowire.ConsumeFieldValue(num, kind, message)
		if length < 0 {
			return content, value
		}
		if num == number {
			switch kind {
			case protowire.BytesType:
				content, _ = protowire.ConsumeBytes(message)
			case protowire.VarintType:
				value, _ = protowire.ConsumeVarint(message)
			default: // of another type than the fields that this package reads
			}
		}
		message = message[length:]
	}
	return content, value
}

// quoted returns a text as it may stand at the end of an error: bounded, on one line, without control characters.
func quoted(text []byte) string {
	clean := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(text[:min(len(text), maxReason)]), ""))
	if clean = strings.TrimSpace(clean); clean == "" {
		return ""
	}
	return ": " + clean
}
