package object

import (
	"bytes"
	"reflect"
	"testing"

	"chatcore/domain"
)

// fuzzBodies decodes any bytes as the body of an object with a right sum: decode must return an object or an error with a reason, and encode an object
// that is decoded to the same one.
func fuzzBodies[T any](f *testing.F, kind Kind, name Name, body func(plain []byte) []byte, decode func(Name, []byte) (T, error), encode func(T) ([]byte, error)) {
	f.Fuzz(func(t *testing.T, plain []byte) {
		got, err := decode(name, seal(kind, name, body(plain)))
		if err != nil {
			if !refused(err, ErrDamaged, ErrTruncated, ErrSwapped) {
				t.Fatalf("error %v without a reason", err)
			}
			return
		}
		data, err := encode(got)
		if err != nil {
			t.Fatalf("a decoded object cannot be encoded: %v", err)
		}
		if again, err := decode(name, data); err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("decoded again: %+v, error %v, want %+v", again, err, got)
		}
	})
}

// seed adds the body of the sample of a kind, as plain reads it.
func seed(f *testing.F, kind string, plain func(body []byte) ([]byte, error)) {
	s := samples(f)[kind]
	body, err := plain(s.data[headerSize(s.name.String()) : len(s.data)-sumSize])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add([]byte{})
}

func same(b []byte) []byte { return b }

func itself(b []byte) ([]byte, error) { return b, nil }

// plain returns the values of a compressed part of an object and its ids, one after the other with the number of ids at the end.
func (c *Codec) plain(compressed []byte) ([]byte, error) {
	r, err := c.decompress(Name{}, compressed)
	if err != nil {
		return nil, err
	}
	return append(append(r.rest, r.ids...), byte(len(r.ids)/len(id{}))), nil
}

// packed reverses plain, for any bytes.
func (c *Codec) packed(plain []byte) []byte {
	var w writer
	if end := len(plain) - 1; end >= 0 {
		values := max(end-int(plain[end])*len(id{}), 0)
		w = writer{b: plain[:values], ids: plain[values:end]}
	}
	compressed, _ := c.compress(w) // it is far below the bound
	return compressed
}

func FuzzJournal(f *testing.F) {
	c := openCodec(f)
	head := writer{}
	head.text("")
	head.b = append(head.b, make([]byte, sumSize)...)
	seed(f, "journal", func(body []byte) ([]byte, error) { return c.plain(body[2+sumSize:]) })
	fuzzBodies(f, KindJournal, Journal("log", 1, 1), func(plain []byte) []byte { return append(bytes.Clone(head.b), c.packed(plain)...) }, c.DecodeJournal, c.EncodeJournal)
}

func FuzzJournal_Compressed(f *testing.F) {
	c := openCodec(f)
	seed(f, "journal", itself)
	fuzzBodies(f, KindJournal, Journal("log", 1, 1), same, c.DecodeJournal, c.EncodeJournal)
}

func FuzzTail(f *testing.F) {
	c := openCodec(f)
	seed(f, "tail", c.plain)
	fuzzBodies(f, KindTail, Tail("log", 1, 1, 1), c.packed, c.DecodeTail, c.EncodeTail)
}

func FuzzFork(f *testing.F) {
	c := openCodec(f)
	seed(f, "fork", c.plain)
	fuzzBodies(f, KindFork, Fork("log", 1, 1), c.packed, c.DecodeFork, c.EncodeFork)
}

func FuzzManifest(f *testing.F) {
	seed(f, "manifest", itself)
	fuzzBodies(f, KindManifest, Manifest("log", 1), same, DecodeManifest, EncodeManifest)
}

func FuzzErasures(f *testing.F) {
	seed(f, "erasures", itself)
	fuzzBodies(f, KindErasures, Erasures("log", 1), same, DecodeErasures, EncodeErasures)
}

func FuzzRules(f *testing.F) {
	f.Add([]byte(`{"policies":{"cx":"{}"},"holds":{"":"[]"}}`))
	fuzzBodies(f, KindRules, Rules("log", 2, 1), same, DecodeRules, EncodeRules)
}

func FuzzSegment(f *testing.F) {
	c := openCodec(f)
	seed(f, "segment", itself)
	fuzzBodies(f, KindSegment, Segment("log", 2, "room", 1, 1), same, c.DecodeSegment, c.EncodeSegment)
}

// FuzzFooter decodes any bytes as a footer with a right sum.
func FuzzFooter(f *testing.F) {
	c := openCodec(f)
	s := samples(f)["segment"]
	footer, err := DecodeFooter(s.name, s.data)
	if err != nil {
		f.Fatal(err)
	}
	encoded := footer.encode()
	f.Add(encoded[headerSize(s.name.String()) : len(encoded)-sumSize])
	f.Fuzz(func(t *testing.T, body []byte) {
		sealed := seal(kindFooter, s.name, body)
		size := writer{b: []byte{byte(len(sealed) >> 24), byte(len(sealed) >> 16), byte(len(sealed) >> 8), byte(len(sealed))}}
		got, err := DecodeFooter(s.name, append(append(sealed, size.b...), make([]byte, sumSize)...))
		if err != nil {
			if !refused(err, ErrDamaged) {
				t.Fatalf("error %v without a reason", err)
			}
			return
		}
		for i := range got.frames {
			if _, err := c.DecodeFrame(got, i, got.frames[i].of(s.data)); err != nil && !refused(err, ErrDamaged, ErrTruncated) {
				t.Fatalf("frame %d: error %v without a reason", i, err)
			}
		}
	})
}

// FuzzEnvelope decodes any bytes as each kind of object.
func FuzzEnvelope(f *testing.F) {
	kinds := samples(f)
	for _, s := range kinds {
		f.Add(s.data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for kind, s := range kinds {
			if got, err := s.decode(s.name, data); err == nil && !bytes.Equal(data, s.data) || err != nil && !refused(err, ErrDamaged, ErrTruncated, ErrSwapped, ErrOtherLog, ErrNewerFormat) {
				t.Errorf("%s is %+v, error %v", kind, got, err)
			}
		}
	})
}

// FuzzFrame decodes any bytes as the events of a frame.
func FuzzFrame(f *testing.F) {
	seqs := func(i int) domain.Seq { return domain.Seq(i) + 1 } //nolint:gosec // an index
	var w writer
	w.events(segmentOf(f, Segment("log", 1, "room", 0, 0), Root{}).Events[:FrameEvents], seqs)
	f.Add(w.b, w.ids)
	f.Fuzz(func(t *testing.T, plain, ids []byte) {
		r := &reader{rest: plain, ids: ids}
		events := r.events(FrameEvents, seqs)
		if r.end(Name{}) != nil {
			return
		}
		var again writer
		again.events(events, seqs)
		r = &reader{rest: again.b, ids: again.ids}
		if got := r.events(FrameEvents, seqs); r.end(Name{}) != nil || !reflect.DeepEqual(got, events) {
			t.Fatalf("decoded again: %+v, want %+v", got, events)
		}
	})
}
