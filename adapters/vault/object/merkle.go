package object

import (
	"crypto/sha256"
	"encoding/binary"

	"chatcore/domain"
)

// The tree of a segment's events is complete: SegmentEvents leaves, and a subtree for each frame.
const (
	frameLevels = 6
	rootLevels  = 4
)

// saltSize is the size of the salt of a leaf, in bytes. Without it nobody can guess an erased event from its leaf.
const saltSize = 16

// The first bytes of everything that is hashed, so that no hash of one kind is one of another.
const (
	leafPrefix = iota
	nodePrefix
	rootPrefix
	saltPrefix
	seedPrefix
)

type salt [saltSize]byte

// frameSeed returns the seed of a frame's salts.
func frameSeed(random Sum, frame int) (s salt) {
	sum := sha256.Sum256(append([]byte{seedPrefix, byte(frame)}, random[:]...))
	copy(s[:], sum[:])
	return s
}

// of returns the salt of an event of the frame whose seed s is.
func (s salt) of(i int) (derived salt) {
	sum := sha256.Sum256(append([]byte{saltPrefix, byte(i)}, s[:]...))
	copy(derived[:], sum[:])
	return derived
}

// leaf returns the leaf of an event. buffer saves an allocation, and is returned.
func leaf(buffer []byte, s salt, seq domain.Seq, e Event) (Sum, []byte) {
	b := append(append(buffer[:0], leafPrefix), s[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(seq))
	b = binary.BigEndian.AppendUint64(b, uint64(e.Ordinal))
	b = binary.BigEndian.AppendUint64(b, uint64(len(e.ID)))
	b = append(append(b, e.ID...), e.JSON...)
	return sha256.Sum256(b), b
}

func node(left, right Sum) Sum {
	var b [1 + 2*sumSize]byte
	b[0] = nodePrefix
	copy(b[1:], left[:])
	copy(b[1+sumSize:], right[:])
	return sha256.Sum256(b[:])
}

// top returns the root of a tree over sums, whose number is a power of two. It overwrites them.
func top(sums []Sum) Sum {
	for n := len(sums) / 2; n > 0; n /= 2 {
		for i := range n {
			sums[i] = node(sums[2*i], sums[2*i+1])
		}
	}
	return sums[0]
}

// path returns the neighbors on the way from a leaf to the root, and the root. It overwrites the sums.
func path(sums []Sum, at int) (neighbors []Sum, root Sum) {
	for n := len(sums) / 2; n > 0; n /= 2 {
		neighbors = append(neighbors, sums[at^1])
		for i := range n {
			sums[i] = node(sums[2*i], sums[2*i+1])
		}
		at /= 2
	}
	return neighbors, sums[0]
}

// Root is the root of a sealed segment. It fixes every event of the segment and of all segments before it, with their places.
type Root Sum

// chain returns the root of a segment from the root of its tree and that of the segment before.
func (n Name) chain(previous Root, tree Sum) Root {
	w := writer{b: append([]byte{rootPrefix}, previous[:]...)}
	w.b = append(w.b, tree[:]...)
	w.text(n.Log)
	w.text(string(n.Chat))
	w.number(n.Number)
	return sha256.Sum256(w.b)
}

// Proof shows that an event is a part of a segment with a certain root, without the other events.
type Proof struct {
	Log      string
	Chat     domain.ChatID
	Seq      domain.Seq
	Salt     [saltSize]byte
	Path     []Sum // the neighbors on the way from the leaf to the root of the tree
	Previous Root  // of the segment before
}

// Root returns the root of the segment that the proof leads to if e is the event. The proof holds if it is the root that was written down.
func (p *Proof) Root(e Event) Root {
	at := uint64(p.Seq-1) % SegmentEvents
	sum, _ := leaf(nil, p.Salt, p.Seq, e)
	for _, neighbor := range p.Path {
		if at%2 == 0 {
			sum = node(sum, neighbor)
		} else {
			sum = node(neighbor, sum)
		}
		at /= 2
	}
	name := Name{Log: p.Log, Chat: p.Chat, Number: uint64(p.Seq-1) / SegmentEvents}
	return name.chain(p.Previous, sum)
}
