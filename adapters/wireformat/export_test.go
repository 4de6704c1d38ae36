package wireformat

import (
	"encoding/binary"

	"chatcore/domain"
)

// Checked appends the check to a letter and a body.
func Checked(chat domain.ChatID, b []byte) []byte {
	return binary.BigEndian.AppendUint16(b, compactCheck(append(append([]byte(nil), b...), chat...)))
}
