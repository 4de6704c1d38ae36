package object

import (
	"encoding/binary"
	"fmt"
	"slices"

	"chatcore/domain"
)

// The shape of a sealed segment.
const (
	SegmentEvents = frames * FrameEvents
	FrameEvents   = 1 << frameLevels // events that are compressed, and read, together
	frames        = 1 << rootLevels
)

// SealedSegment is a full segment of a chat's log, which no append changes. Its root proves which events it has; [SealedSegment.Erase] returns a segment
// without the content of some of them and with the same root.
type SealedSegment struct {
	Name     Name
	Events   []Event // SegmentEvents; the first one has the seq Name.FirstSeq
	Previous Root    // of the chat's segment before, zero for the first one
	// Index is what the chat's index has of the segment's commands; see [EncodeIndex]. It is not a part of the root.
	Index []byte

	secrets [frames]secrets
}

// secrets are what makes the leaves of a frame: the seed of its salts or, once events were erased, the salt of each other one, and the leaves of
// these.
type secrets struct {
	seed   salt
	erased uint64 // a bit for each event whose content is gone; the seed is gone then
	salts  []salt // of all events, if erased is not 0; zero for erased ones
	leaves []Sum  // of erased events; zero for the others
}

func (s *secrets) isErased(i int) bool { return s.erased>>i&1 == 1 }

// salt returns the salt of an event that is not erased.
func (s *secrets) salt(i int) salt {
	if s.erased == 0 {
		return s.seed.of(i)
	}
	return s.salts[i]
}

// FirstSeq returns the seq of the first event of a segment.
func (n Name) FirstSeq() domain.Seq { return domain.Seq(n.Number)*SegmentEvents + 1 }

// Seal returns the segment of a name with events. random makes the salts of the leaves: it must come from a cryptographic source, and be used for no other
// segment. Seal returns a [*domain.InvalidError] for a name of something else and for another number of events than [SegmentEvents].
func Seal(name Name, events []Event, index []byte, previous Root, random [32]byte) (*SealedSegment, error) {
	s := &SealedSegment{Name: name, Events: events, Index: index, Previous: previous}
	for i := range s.secrets {
		s.secrets[i].seed = frameSeed(random, i)
	}
	return s, s.check()
}

func (s *SealedSegment) check() error {
	if s.Name.Kind != KindSegment {
		return &domain.InvalidError{Field: "object name", Problem: "is " + s.Name.String(), Allowed: "the name of a segment"}
	}
	if len(s.Events) != SegmentEvents {
		return &domain.InvalidError{Field: "events", Problem: fmt.Sprintf("has %d events", len(s.Events)), Allowed: fmt.Sprint(SegmentEvents)}
	}
	return s.Name.Check()
}

// leaves returns the leaves of a frame's events.
func (s *SealedSegment) leaves(frame int) []Sum {
	leaves := make([]Sum, FrameEvents)
	var buffer []byte
	for i := range leaves {
		if s.secrets[frame].isErased(i) {
			leaves[i] = s.secrets[frame].leaves[i]
			continue
		}
		at := frame*FrameEvents + i
		leaves[i], buffer = leaf(buffer, s.secrets[frame].salt(i), s.Name.FirstSeq()+domain.Seq(at), s.Events[at]) //nolint:gosec // a place
	}
	return leaves
}

// frameRoots returns the root of each frame's subtree.
func (s *SealedSegment) frameRoots() []Sum {
	roots := make([]Sum, frames)
	for i := range roots {
		roots[i] = top(s.leaves(i))
	}
	return roots
}

// Root returns the root of the segment. It costs about a microsecond an event.
func (s *SealedSegment) Root() Root { return s.Name.chain(s.Previous, top(s.frameRoots())) }

// place returns the frame of a seq and its place there.
func (s *SealedSegment) place(seq domain.Seq) (frame, i int, err error) {
	first := s.Name.FirstSeq()
	if seq < first || seq >= first+SegmentEvents {
		return 0, 0, &domain.InvalidError{Field: "seq", Problem: fmt.Sprintf("is %d", seq), Allowed: fmt.Sprintf("%d to %d", first, first+SegmentEvents-1)}
	}
	at := int(seq - first) //nolint:gosec // below SegmentEvents
	return at / FrameEvents, at % FrameEvents, nil
}

// Prove returns the proof of an event. An erased event has none: the error is a [*domain.InvalidError], as it is for a seq of another segment.
func (s *SealedSegment) Prove(seq domain.Seq) (*Proof, error) {
	frame, i, err := s.place(seq)
	if err != nil {
		return nil, err
	}
	if s.secrets[frame].isErased(i) {
		return nil, &domain.InvalidError{Field: "seq", Problem: fmt.Sprintf("is %d, which is erased", seq), Allowed: "an event with its content"}
	}
	below, _ := path(s.leaves(frame), i)
	above, _ := path(s.frameRoots(), frame)
	return &Proof{Log: s.Name.Log, Chat: s.Name.Chat, Seq: seq, Salt: s.secrets[frame].salt(i), Path: append(below, above...), Previous: s.Previous}, nil
}

// Erased returns the seqs of erased events, in order. The root proves that the other events are those of the first generation, and nothing about these.
func (s *SealedSegment) Erased() (seqs []domain.Seq) {
	for at := range s.Events {
		if s.secrets[at/FrameEvents].isErased(at % FrameEvents) {
			seqs = append(seqs, s.Name.FirstSeq()+domain.Seq(at)) //nolint:gosec // a place
		}
	}
	return seqs
}

// Erase returns the next generation of the segment, with other JSON for some events and another index. The root stays. The salts of the replaced events are
// in neither the result nor anything made from it, so that the leaves that stay for the root reveal nothing about the erased JSON. s is unchanged.
// Erase returns a [*domain.InvalidError] for a seq of another segment.
func (s *SealedSegment) Erase(replacements map[domain.Seq][]byte, index []byte) (*SealedSegment, error) {
	next := &SealedSegment{Name: s.Name, Events: slices.Clone(s.Events), Previous: s.Previous, Index: index, secrets: s.secrets}
	next.Name.Generation++
	for seq, json := range replacements {
		frame, i, err := s.place(seq)
		if err != nil {
			return nil, err
		}
		next.Events[frame*FrameEvents+i].JSON = json
		next.secrets[frame].erased |= 1 << i
	}
	for frame := range next.secrets {
		if next.secrets[frame].erased != s.secrets[frame].erased {
			next.secrets[frame] = s.withoutSalts(frame, next.secrets[frame].erased)
		}
	}
	return next, next.check()
}

// withoutSalts returns the secrets of a frame without the salts of erased events.
func (s *SealedSegment) withoutSalts(frame int, erased uint64) secrets {
	without := secrets{erased: erased, salts: make([]salt, FrameEvents), leaves: make([]Sum, FrameEvents)}
	leaves := s.leaves(frame)
	for i := range FrameEvents {
		if without.isErased(i) {
			without.leaves[i] = leaves[i]
		} else {
			without.salts[i] = s.secrets[frame].salt(i)
		}
	}
	return without
}

// EncodeSegment returns the bytes of a segment: its frames, its index, and the footer that says where they are.
func (c *Codec) EncodeSegment(s *SealedSegment) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	f := &Footer{name: s.Name, previous: s.Previous}
	var body []byte
	add := func(w writer) (part, error) {
		compressed, err := c.compress(w)
		body = append(body, compressed...)
		return f.next(compressed), err
	}
	roots := s.frameRoots()
	for i := range f.frames {
		var w writer
		w.events(s.Events[i*FrameEvents:][:FrameEvents], f.seqs(i))
		p, err := add(w)
		if err != nil {
			return nil, err
		}
		f.frames[i] = frame{part: p, root: roots[i], secrets: s.secrets[i]}
	}
	var err error
	if f.index, err = add(writer{b: s.Index}); err != nil {
		return nil, err
	}
	footer := f.encode()
	return seal(KindSegment, s.Name, body, footer, binary.BigEndian.AppendUint32(nil, uint32(len(footer)))), nil //nolint:gosec // about 2 KB
}

// DecodeSegment decodes a whole segment and compares everything with its sums and its root. The events share memory.
func (c *Codec) DecodeSegment(name Name, data []byte) (*SealedSegment, error) {
	if _, err := unseal(KindSegment, name, data); err != nil {
		return nil, err
	}
	f, err := DecodeFooter(name, data)
	if err != nil {
		return nil, err
	}
	s := &SealedSegment{Name: name, Previous: f.previous, Events: make([]Event, 0, SegmentEvents)}
	for i := range f.frames {
		s.secrets[i] = f.frames[i].secrets
		events, err := c.DecodeFrame(f, i, f.frames[i].of(data))
		if err != nil {
			return nil, err
		}
		s.Events = append(s.Events, events...)
	}
	if s.Index, err = c.DecodeIndex(f, f.index.of(data)); err != nil {
		return nil, err
	}
	if footer := len(data) - sumSize - f.size; f.index.end() != int64(footer) {
		return nil, damaged(name, "something is between its index and its footer")
	}
	roots := s.frameRoots()
	for i := range roots {
		if roots[i] != f.frames[i].root {
			return nil, damaged(name, fmt.Sprintf("the events of frame %d have another root than its footer", i))
		}
	}
	return s, nil
}
