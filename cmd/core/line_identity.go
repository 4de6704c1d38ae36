package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// lineHash is the hash of a line's contents.
type lineHash [16]byte

// hash returns the hash of chat, time, kind, user and text. How the line writes them, its place and its other fields do not matter.
func (e entry) hash() lineHash {
	h := sha256.New()
	var size [8]byte
	for _, part := range [...]string{e.Chat, e.At.UTC().Format(time.RFC3339Nano), e.Kind, e.User, e.Text} {
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		h.Write(size[:])
		h.Write([]byte(part))
	}
	return lineHash(h.Sum(nil))
}

// lineCounter numbers the lines of a transcript that say the same. It is filled by a first reading of the whole file, so that the second reading
// has to count only lines that come more than once: memory does not grow with the others.
type lineCounter struct {
	lines       int // of the first reading
	once, twice filter
	seen        map[lineHash]int // lines of the second reading, among those that come more than once
}

// newLineCounter reads a transcript for lines that come more than once.
func newLineCounter(ctx context.Context, path string) (*lineCounter, error) {
	c := &lineCounter{once: make(filter, filterBits/64), twice: make(filter, filterBits/64), seen: make(map[lineHash]int)}
	err := readTranscript(path, func(in io.Reader) io.Reader { return in }, func(e entry, malformed error) error {
		c.lines++
		if malformed != nil {
			return ctx.Err()
		}
		if h := e.hash(); !c.once.add(h) {
			c.twice.add(h)
		}
		return ctx.Err()
	})
	return c, err
}

// identify returns the identity of the next line of the second reading: its hash, and which of the lines with that hash it is.
func (c *lineCounter) identify(e entry) string {
	h := e.hash()
	id := hex.EncodeToString(h[:])
	if !c.twice.has(h) {
		return id
	}
	c.seen[h]++
	if n := c.seen[h]; n > 1 {
		return fmt.Sprintf("%s:%d", id, n)
	}
	return id
}

// filter is a set of hashes that may hold some that were not added, and never lacks one that was.
type filter []uint64

const filterBits = 1 << 26 // 8 MiB: of ten million lines a seventh are counted without need

func place(h lineHash) (word, bit uint64) {
	n := binary.BigEndian.Uint64(h[:8]) % filterBits
	return n / 64, 1 << (n % 64)
}

// add reports whether the hash was not in the set.
func (f filter) add(h lineHash) bool {
	word, bit := place(h)
	added := f[word]&bit == 0
	f[word] |= bit
	return added
}

func (f filter) has(h lineHash) bool {
	word, bit := place(h)
	return f[word]&bit != 0
}
