package object

import (
	"bytes"
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// TestSegment_RoundTrip seals the events of a transcript.
func TestSegment_RoundTrip(t *testing.T) {
	c := openCodec(t)
	previous := Root{}
	for chat, events := range logged(t) {
		for number := range len(events) / SegmentEvents {
			s, err := Seal(Segment("log", 3, chat, uint64(number), 0), events[number*SegmentEvents:][:SegmentEvents], []byte("index"), previous, [32]byte{byte(number)}) //nolint:gosec // an index
			if err != nil {
				t.Fatal(err)
			}
			data, err := c.EncodeSegment(s)
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.DecodeSegment(s.Name, data)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.EqualFunc(got.Events, s.Events, sameEvent) || string(got.Index) != "index" || got.Previous != previous || got.Root() != s.Root() || got.Erased() != nil {
				t.Fatalf("segment %d of chat %q is another one after a round trip", number, chat)
			}
			previous = s.Root()
		}
	}
}

// TestSegment_Frames reads each frame alone, by the ranges of the footer, as a reader of a vault does.
func TestSegment_Frames(t *testing.T) {
	c := openCodec(t)
	s := segmentOf(t, Segment("log", 3, "room", 2, 0), Root{7})
	data, err := c.EncodeSegment(s)
	if err != nil {
		t.Fatal(err)
	}
	tail := data[len(data)-FooterHint:]
	size, err := FooterSize(s.Name, tail)
	if err != nil || size > FooterHint {
		t.Fatalf("the footer has %d bytes, error %v, want at most %d", size, err, FooterHint)
	}
	f, err := DecodeFooter(s.Name, tail)
	if err != nil || f.Root() != s.Root() || f.Previous() != s.Previous {
		t.Fatalf("the footer has another root; error %v", err)
	}
	for seq := s.Name.FirstSeq(); seq < s.Name.FirstSeq()+SegmentEvents; seq++ {
		i, first, found := f.FrameOf(seq)
		from, length := f.FrameRange(i)
		events, err := c.DecodeFrame(f, i, data[from:from+length])
		if want := s.Events[seq-s.Name.FirstSeq()]; err != nil || !found || !sameEvent(events[seq-first], want) {
			t.Fatalf("seq %d: error %v, found %t, want %+v", seq, err, found, want)
		}
	}
	for _, seq := range []domain.Seq{0, s.Name.FirstSeq() - 1, s.Name.FirstSeq() + SegmentEvents, math.MaxUint64} {
		if _, _, found := f.FrameOf(seq); found {
			t.Errorf("seq %d is in the segment", seq)
		}
	}
	from, length := f.IndexRange()
	if index, err := c.DecodeIndex(f, data[from:from+length]); err != nil || string(index) != "the index" {
		t.Errorf("the index is %q, error %v", index, err)
	}
}

// TestSegment_FrameDamage changes, cuts and swaps the bytes of frames, and of the footer.
func TestSegment_FrameDamage(t *testing.T) {
	c := openCodec(t)
	s := segmentOf(t, Segment("log", 3, "room", 2, 0), Root{})
	data, err := c.EncodeSegment(s)
	if err != nil {
		t.Fatal(err)
	}
	size, _ := FooterSize(s.Name, data)
	tail := data[int64(len(data))-size:]
	f, err := DecodeFooter(s.Name, tail)
	if err != nil {
		t.Fatal(err)
	}
	from, length := f.FrameRange(4)
	frame := data[from : from+length]
	for i := range frame {
		changed := bytes.Clone(frame)
		changed[i] ^= 0x10
		if _, err := c.DecodeFrame(f, 4, changed); !refused(err, ErrDamaged) {
			t.Fatalf("frame with another byte at %d: %v", i, err)
		}
		if _, err := c.DecodeFrame(f, 4, frame[:i]); !refused(err, ErrTruncated) {
			t.Fatalf("%d bytes of a frame: %v", i, err)
		}
	}
	if _, err := c.DecodeFrame(f, 5, frame); !refused(err, ErrDamaged, ErrTruncated) {
		t.Errorf("frame 4 in place of frame 5: %v", err)
	}
	for i := range len(tail) - sumSize { // the sum of the object is not a part of the footer
		changed := bytes.Clone(tail)
		changed[i] ^= 0x10
		if _, err := DecodeFooter(s.Name, changed); !refused(err, ErrDamaged, ErrTruncated) {
			t.Fatalf("footer with another byte at %d of %d: %v", i, len(tail), err)
		}
		if _, err := DecodeFooter(s.Name, tail[i+1:]); !refused(err, ErrTruncated) {
			t.Fatalf("a footer without %d bytes: %v", i+1, err)
		}
	}
	other := s.Name
	other.Generation++
	if _, err := DecodeFooter(other, tail); !refused(err, ErrSwapped) {
		t.Errorf("the footer of another generation: %v, want %v", err, ErrSwapped)
	}
}

// TestSegment_Root changes an event, or moves it: the root is another one. So it is for another segment before and another name.
func TestSegment_Root(t *testing.T) {
	name := Segment("log", 3, "room", 2, 0)
	s := segmentOf(t, name, Root{1})
	root := s.Root()
	rapid.Check(t, func(t *rapid.T) {
		changed := *s
		changed.Events = slices.Clone(s.Events)
		i := rapid.IntRange(0, SegmentEvents-1).Draw(t, "event")
		e := &changed.Events[i]
		switch rapid.IntRange(0, 5).Draw(t, "change") {
		case 0:
			e.JSON = append(bytes.Clone(e.JSON), ' ')
		case 1:
			e.ID += "x"
		case 2:
			e.Ordinal++
		case 3:
			k := (i + rapid.IntRange(1, SegmentEvents-1).Draw(t, "other")) % SegmentEvents
			changed.Events[i], changed.Events[k] = changed.Events[k], changed.Events[i]
		case 4:
			changed.Previous[rapid.IntRange(0, sumSize-1).Draw(t, "byte")]++
		case 5:
			changed.Name = rapid.SampledFrom([]Name{Segment("log", 3, "room", 1, 0), Segment("log", 3, "rooms", 2, 0), Segment("log2", 3, "room", 2, 0)}).Draw(t, "name")
		}
		if changed.Root() == root {
			t.Fatal("the root is the same")
		}
	})
	moved := *s
	moved.Name.Partition, moved.Name.Generation = 4, 9
	if moved.Root() != root {
		t.Error("partition and generation change the root")
	}
}

// TestSegment_Proofs proves events against the root, and finds that nothing else is proved.
func TestSegment_Proofs(t *testing.T) {
	s := segmentOf(t, Segment("log", 3, "room", 2, 0), Root{1})
	root := s.Root()
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.IntRange(0, SegmentEvents-1).Draw(t, "event")
		proof, err := s.Prove(s.Name.FirstSeq() + domain.Seq(i)) //nolint:gosec // an index
		if err != nil {
			t.Fatal(err)
		}
		e := s.Events[i]
		if proof.Root(e) != root {
			t.Fatalf("event %d is not proved", i)
		}
		switch rapid.IntRange(0, 4).Draw(t, "change") {
		case 0:
			e = s.Events[(i+rapid.IntRange(1, SegmentEvents-1).Draw(t, "other"))%SegmentEvents]
		case 1:
			proof.Seq += domain.Seq(rapid.Uint64Range(1, 2*SegmentEvents).Draw(t, "later"))
		case 2:
			proof.Path[rapid.IntRange(0, len(proof.Path)-1).Draw(t, "level")][3] ^= 1
		case 3:
			proof.Salt[rapid.IntRange(0, saltSize-1).Draw(t, "byte")] ^= 1
		case 4:
			proof.Chat += "x"
		}
		if proof.Root(e) == root {
			t.Fatal("something else is proved")
		}
	})
	for _, seq := range []domain.Seq{0, s.Name.FirstSeq() - 1, s.Name.FirstSeq() + SegmentEvents} {
		if _, err := s.Prove(seq); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a proof of seq %d: %v, want %v", seq, err, domain.ErrInvalid)
		}
	}
}

// TestSegment_Erase erases events of several generations: the root stays, the others can be proved, and nothing of the erased ones is left.
func TestSegment_Erase(t *testing.T) {
	c := openCodec(t)
	first := segmentOf(t, Segment("log", 3, "room", 2, 0), Root{1})
	rapid.Check(t, func(t *rapid.T) {
		s, erased := first, map[domain.Seq][]byte{}
		for generation := range rapid.IntRange(1, 3).Draw(t, "generations") {
			seqs := map[domain.Seq][]byte{}
			for range rapid.IntRange(1, 5).Draw(t, "erased") {
				seqs[first.Name.FirstSeq()+domain.Seq(rapid.IntRange(0, SegmentEvents-1).Draw(t, "seq"))] = []byte(`{"erased":true}`) //nolint:gosec // an index
			}
			maps.Copy(erased, seqs)
			next, err := s.Erase(seqs, []byte("another index"))
			if err != nil {
				t.Fatal(err)
			}
			for seq := range seqs {
				if recoverable(first, next, int(seq-first.Name.FirstSeq())) { //nolint:gosec // below SegmentEvents
					t.Fatalf("the salt of seq %d is there before the next generation is encoded", seq)
				}
			}
			data, err := c.EncodeSegment(next)
			if err != nil {
				t.Fatal(err)
			}
			if s, err = c.DecodeSegment(next.Name, data); err != nil {
				t.Fatal(err)
			}
			if s.Name.Generation != uint64(generation)+1 || string(s.Index) != "another index" { //nolint:gosec // small
				t.Fatalf("generation %d has the name %v and the index %q", generation+1, s.Name, s.Index)
			}
		}
		checkErased(t, first, s, erased)
	})
	if first.Erased() != nil || !bytes.Contains(first.Events[0].JSON, []byte("secret")) {
		t.Error("the first generation has changed")
	}
	if _, err := first.Erase(map[domain.Seq][]byte{1: nil}, nil); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("an event of another segment: %v, want %v", err, domain.ErrInvalid)
	}
}

func checkErased(t *rapid.T, first, last *SealedSegment, erased map[domain.Seq][]byte) {
	if last.Root() != first.Root() {
		t.Fatal("the root has changed")
	}
	if want := slices.Sorted(maps.Keys(erased)); !slices.Equal(last.Erased(), want) {
		t.Fatalf("seqs %v are erased, want %v", last.Erased(), want)
	}
	for i, e := range last.Events {
		seq := last.Name.FirstSeq() + domain.Seq(i) //nolint:gosec // an index
		json, gone := erased[seq]
		switch before := first.Events[i]; {
		case gone && (!bytes.Equal(e.JSON, json) || e.ID != before.ID || e.Ordinal != before.Ordinal):
			t.Fatalf("erased seq %d is %+v", seq, e)
		case !gone && !sameEvent(e, before):
			t.Fatalf("seq %d is %+v, want %+v", seq, e, before)
		}
		if gone && recoverable(first, last, i) {
			t.Fatalf("the salt of seq %d is still there", seq)
		}
	}
	i := rapid.IntRange(0, SegmentEvents-1).Draw(t, "proved")
	seq := last.Name.FirstSeq() + domain.Seq(i) //nolint:gosec // an index
	proof, err := last.Prove(seq)
	if _, gone := erased[seq]; gone != (err != nil) || err == nil && proof.Root(first.Events[i]) != first.Root() {
		t.Fatalf("the proof of seq %d, erased: %t, gave the error %v, or is none", seq, gone, err)
	}
}

// recoverable reports whether the salt of an event is in a segment, or follows from its seeds.
func recoverable(first, last *SealedSegment, i int) bool {
	frame, at := i/FrameEvents, i%FrameEvents
	lost := first.secrets[frame].salt(at)
	left := last.secrets[frame]
	return left.seed == first.secrets[frame].seed || left.seed.of(at) == lost || slices.Contains(left.salts, lost)
}

// TestSegment_Salts has equal events in equal places: their leaves differ, in a segment and between segments.
func TestSegment_Salts(t *testing.T) {
	events := make([]Event, SegmentEvents)
	seen := make(map[salt]bool)
	for round := range 2 {
		s, err := Seal(Segment("log", 3, "room", 0, 0), events, nil, Root{}, [32]byte{byte(round)})
		if err != nil {
			t.Fatal(err)
		}
		for i := range SegmentEvents {
			seen[s.secrets[i/FrameEvents].salt(i%FrameEvents)] = true
		}
	}
	if len(seen) != 2*SegmentEvents {
		t.Errorf("%d salts differ, want %d", len(seen), 2*SegmentEvents)
	}
}

// TestSegment_WrongRoot has a footer with right sums whose roots are not those of the events.
func TestSegment_WrongRoot(t *testing.T) {
	c := openCodec(t)
	s := segmentOf(t, Segment("log", 3, "room", 2, 0), Root{})
	data, err := c.EncodeSegment(s)
	if err != nil {
		t.Fatal(err)
	}
	f, err := DecodeFooter(s.Name, data)
	if err != nil {
		t.Fatal(err)
	}
	f.frames[rand.IntN(frames)].root[5] ^= 1
	footerSize := f.size - footerTrailer + sumSize
	begin := len(data) - footerTrailer - footerSize
	forged := append(bytes.Clone(data[:begin]), f.encode()...)
	forged = resealed(append(forged, data[begin+footerSize:]...))
	if _, err := c.DecodeSegment(s.Name, forged); !refused(err, ErrDamaged) {
		t.Errorf("%v, want %v", err, ErrDamaged)
	}
}
