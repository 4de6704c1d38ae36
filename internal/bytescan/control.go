// Package bytescan searches texts eight bytes at a time, where package bytes has no function for the search.
package bytescan

import (
	"encoding/binary"
	"math/bits"
)

// firstPrintable is the first byte that is no ASCII control character.
const firstPrintable = 0x20

// IndexControl returns the index of the first byte below 0x20, or -1 if there is none.
func IndexControl(b []byte) int {
	const ones, highs, word = 0x0101010101010101, 0x8080808080808080, 8
	at := 0
	for ; at+word <= len(b); at += word {
		eight := binary.LittleEndian.Uint64(b[at:])
		// The subtraction sets the high bit of each byte below firstPrintable. It borrows from later bytes only, so the first bit is right.
		if below := (eight - ones*firstPrintable) &^ eight & highs; below != 0 {
			return at + bits.TrailingZeros64(below)/word
		}
	}
	for ; at < len(b); at++ {
		if b[at] < firstPrintable {
			return at
		}
	}
	return -1
}
