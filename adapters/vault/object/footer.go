package object

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"chatcore/domain"
)

// FooterHint is the number of bytes at the end of a segment that have the footer of nearly every one that no event was erased of.
const FooterHint = 4096

// footerTrailer is what follows a footer: its length, and the sum of the object.
const footerTrailer = 4 + sumSize

// Footer says where the frames of a segment are, so that one can be read alone.
type Footer struct {
	name     Name
	previous Root
	frames   [frames]frame
	index    part
	size     int   // of the footer and its length, in bytes
	at       int64 // end of the last part so far
}

// frame is a frame of a segment: a compressed run of its events.
type frame struct {
	part
	root    Sum // of the frame's subtree
	secrets secrets
}

// part is a compressed part of a segment.
type part struct {
	from, length int64
	sum          Sum
}

func (p part) end() int64 { return p.from + p.length }

// of returns the bytes of a part of a whole segment, or nothing if it is too short.
func (p part) of(data []byte) []byte {
	if p.from < 0 || p.length < 0 || p.end() > int64(len(data)) {
		return nil
	}
	return data[p.from:p.end()]
}

// check returns an error if bytes are not those of the part.
func (p part) check(name Name, what string, data []byte) error {
	if int64(len(data)) < p.length {
		return &Error{Name: name.String(), Reason: ErrTruncated, Problem: fmt.Sprintf("%d bytes of %d of %s", len(data), p.length, what)}
	}
	if sum := sha256.Sum256(data); int64(len(data)) > p.length || sum != p.sum {
		return damaged(name, "the sum of "+what+" does not match")
	}
	return nil
}

// next returns the part that follows the ones before.
func (f *Footer) next(compressed []byte) part {
	f.at = max(f.at, int64(headerSize(f.name.String())))
	p := part{from: f.at, length: int64(len(compressed)), sum: sha256.Sum256(compressed)}
	f.at = p.end()
	return p
}

// encode returns the footer as an envelope of its own.
func (f *Footer) encode() []byte {
	w := writer{b: f.previous[:]}
	w.b = bytes.Clone(w.b)
	for _, fr := range f.frames {
		w.part(fr.part)
		w.b = append(w.b, fr.root[:]...)
		w.secrets(&fr.secrets)
	}
	w.part(f.index)
	return seal(kindFooter, f.name, w.b)
}

func (w *writer) part(p part) {
	w.number(uint64(p.length)) //nolint:gosec // a length
	w.b = append(w.b, p.sum[:]...)
}

func (w *writer) secrets(s *secrets) {
	w.number(s.erased)
	if s.erased == 0 {
		w.b = append(w.b, s.seed[:]...)
		return
	}
	for i := range FrameEvents {
		if s.isErased(i) {
			w.b = append(w.b, s.leaves[i][:]...)
		} else {
			w.b = append(w.b, s.salts[i][:]...)
		}
	}
}

// FooterSize returns how many bytes from the end of a segment [DecodeFooter] needs. tail is any end of the object of at least 36 bytes.
func FooterSize(name Name, tail []byte) (int64, error) {
	if len(tail) < footerTrailer {
		return 0, &Error{Name: name.String(), Reason: ErrTruncated, Problem: fmt.Sprintf("%d bytes", len(tail))}
	}
	return int64(binary.BigEndian.Uint32(tail[len(tail)-footerTrailer:])) + footerTrailer, nil
}

// DecodeFooter decodes the footer of a segment. tail is an end of the object, of [FooterSize] bytes or more.
func DecodeFooter(name Name, tail []byte) (*Footer, error) {
	size, err := FooterSize(name, tail)
	if err != nil {
		return nil, err
	}
	if size > int64(len(tail)) {
		return nil, &Error{Name: name.String(), Reason: ErrTruncated, Problem: fmt.Sprintf("%d bytes of a footer of %d", len(tail), size)}
	}
	body, err := unseal(kindFooter, name, tail[int64(len(tail))-size:len(tail)-footerTrailer])
	if err != nil {
		return nil, err
	}
	f := &Footer{name: name, at: int64(headerSize(name.String())), size: int(size) - sumSize}
	r := &reader{rest: body}
	copy(f.previous[:], r.take(sumSize))
	for i := range f.frames {
		fr := &f.frames[i]
		fr.part = r.part(f)
		copy(fr.root[:], r.take(sumSize))
		r.secrets(&fr.secrets)
	}
	f.index = r.part(f)
	return f, r.end(name)
}

func (r *reader) part(f *Footer) (p part) {
	length := r.number()
	if length > maxPlain {
		r.fail("a part has %d bytes", length)
		length = 0
	}
	p = part{from: f.at, length: int64(length)} //nolint:gosec // below maxPlain
	copy(p.sum[:], r.take(sumSize))
	f.at = p.end()
	return p
}

func (r *reader) secrets(s *secrets) {
	if s.erased = r.number(); s.erased == 0 {
		copy(s.seed[:], r.take(saltSize))
		return
	}
	s.salts, s.leaves = make([]salt, FrameEvents), make([]Sum, FrameEvents)
	for i := range FrameEvents {
		if s.isErased(i) {
			copy(s.leaves[i][:], r.take(sumSize))
		} else {
			copy(s.salts[i][:], r.take(saltSize))
		}
	}
}

// Root returns the root of the segment, as the footer has it. [Codec.DecodeSegment] compares it with the events.
func (f *Footer) Root() Root {
	roots := make([]Sum, frames)
	for i := range roots {
		roots[i] = f.frames[i].root
	}
	return f.name.chain(f.previous, top(roots))
}

// Previous returns the root of the segment before.
func (f *Footer) Previous() Root { return f.previous }

// FrameOf returns the frame that has an event, and the seq of the first event of that frame. It returns false for a seq of another segment.
func (f *Footer) FrameOf(seq domain.Seq) (frame int, first domain.Seq, found bool) {
	begin := f.name.FirstSeq()
	if seq < begin || seq >= begin+SegmentEvents {
		return 0, 0, false
	}
	frame = int(seq-begin) / FrameEvents                      //nolint:gosec // below SegmentEvents
	return frame, begin + domain.Seq(frame*FrameEvents), true //nolint:gosec // below SegmentEvents
}

// seqs returns the seqs of a frame's events.
func (f *Footer) seqs(frame int) func(i int) domain.Seq {
	first := f.name.FirstSeq() + domain.Seq(frame*FrameEvents)     //nolint:gosec // below SegmentEvents
	return func(i int) domain.Seq { return first + domain.Seq(i) } //nolint:gosec // below SegmentEvents
}

// FrameRange returns the place of a frame in the object, as [ports.Vault.Get] takes it. frame is one of FrameOf.
func (f *Footer) FrameRange(frame int) (from, length int64) {
	return f.frames[frame].from, f.frames[frame].length
}

// IndexRange returns the place of the index in the object, as [ports.Vault.Get] takes it.
func (f *Footer) IndexRange() (from, length int64) { return f.index.from, f.index.length }

// DecodeFrame decodes the bytes of a frame: FrameEvents events, which share memory.
func (c *Codec) DecodeFrame(f *Footer, frame int, data []byte) ([]Event, error) {
	if err := f.frames[frame].check(f.name, fmt.Sprintf("frame %d", frame), data); err != nil {
		return nil, err
	}
	r, err := c.decompress(f.name, data)
	if err != nil {
		return nil, err
	}
	events := r.events(FrameEvents, f.seqs(frame))
	return events, r.end(f.name)
}

// DecodeIndex decodes the bytes of the index.
func (c *Codec) DecodeIndex(f *Footer, data []byte) ([]byte, error) {
	if err := f.index.check(f.name, "the index", data); err != nil {
		return nil, err
	}
	r, err := c.decompress(f.name, data)
	if err != nil {
		return nil, err
	}
	index := r.take(len(r.rest))
	return index, r.end(f.name)
}
