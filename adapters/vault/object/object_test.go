package object

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// sample is an encoded object with its decoder.
type sample struct {
	name   Name
	data   []byte
	decode func(name Name, data []byte) (any, error)
}

// samples returns an object of each kind.
func samples(t testing.TB) map[string]sample {
	t.Helper()
	c := openCodec(t)
	event := Event{ID: "e1", Ordinal: 1, JSON: []byte(`{"eventId":"e1","content":"hello"}`)}
	journal := &JournalObject{Name: Journal("log", 3, 7), Flushed: 1_700_000_000_010, Before: Link{Name: "x"}, Blocks: []Block{{Partition: 2}, {Partition: 5, History: "h"}}}
	for i := range journal.Blocks {
		journal.Blocks[i].Entries = []Entry{{Appended: 1_700_000_000_005, Chat: "room", Seq: 9, Event: event}}
	}
	tail := &TailPart{
		Name: Tail("log", 2, 1_700_000_000_000, 1), Last: true, Ended: 1_700_000_000_009, Chats: []TailChat{{Chat: "room", Head: 1025, Events: []Event{event}, Index: EncodeIndex([]Command{{Last: 1025, Fingerprint: 7}})}},
		Groups: []TailGroup{{Group: "push", Checkpoints: []Checkpoint{{"room", 1024}}}},
	}
	fork := &ForkObject{Name: Fork("log", 2, 3), At: 7, History: "h2", Superseded: []string{"h1"}, Chats: []ForkedChat{{Chat: "room", Head: 8, Lost: []Event{event}}}}
	manifest := &ManifestObject{Name: Manifest("log", 2), Log: "log", Partitions: 16, Hash: "crc16", CreatedAt: 1, Ancestors: []Ancestor{{Log: "older", ForkAt: 2}}, Closed: 3}
	erasures := &ErasureList{Name: Erasures("log", 4), Erasures: []Erasure{{Chat: "room", By: 10, Events: []ErasedEvent{{9, "e1"}}}}}
	segment, err := segmentOf(t, Segment("log", 2, "room", 1, 0), Root{1}).Erase(map[domain.Seq][]byte{1030: []byte("{}")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	made := make(map[string]sample)
	add := func(kind string, name Name, data []byte, err error, decode func(Name, []byte) (any, error)) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		made[kind] = sample{name, data, decode}
	}
	data, err := c.EncodeJournal(journal)
	add("journal", journal.Name, data, err, func(n Name, d []byte) (any, error) { return c.DecodeJournal(n, d) })
	data, err = c.EncodeTail(tail)
	add("tail", tail.Name, data, err, func(n Name, d []byte) (any, error) { return c.DecodeTail(n, d) })
	tail.Name.Number++
	data, err = c.EncodeTail(tail)
	add("head of a tail", tail.Name, data, err, func(n Name, d []byte) (any, error) { return c.DecodeTailHead(n, d) })
	data, err = c.EncodeFork(fork)
	add("fork", fork.Name, data, err, func(n Name, d []byte) (any, error) { return c.DecodeFork(n, d) })
	data, err = EncodeManifest(manifest)
	add("manifest", manifest.Name, data, err, func(n Name, d []byte) (any, error) { return DecodeManifest(n, d) })
	rules := &RuleSet{Name: Rules("log", 3, 4), Policies: map[string]string{"croom": "{}"}, Holds: map[string]string{"": "[]"}}
	data, err = EncodeRules(rules)
	add("rules", rules.Name, data, err, func(n Name, d []byte) (any, error) { return DecodeRules(n, d) })
	data, err = EncodeErasures(erasures)
	add("erasures", erasures.Name, data, err, func(n Name, d []byte) (any, error) { return DecodeErasures(n, d) })
	data, err = c.EncodeSegment(segment)
	add("segment", segment.Name, data, err, func(n Name, d []byte) (any, error) { return c.DecodeSegment(n, d) })
	return made
}

// refused reports whether an error is that of an object, with one of some reasons.
func refused(err error, reasons ...error) bool {
	var refusal *Error
	return errors.As(err, &refusal) && refusal.Name != "" && refusal.Problem != "" && slices.Contains(reasons, refusal.Reason)
}

// TestObjects_Damage changes every byte of an object, or of a large one some and all at its ends.
func TestObjects_Damage(t *testing.T) {
	const ends = 3000
	for kind, s := range samples(t) {
		for i := range s.data {
			if i > ends && i < len(s.data)-ends && i%97 > 0 {
				continue
			}
			changed := bytes.Clone(s.data)
			changed[i] ^= 1 << (i % 8)
			if _, err := s.decode(s.name, changed); !refused(err, ErrDamaged, ErrTruncated) {
				t.Fatalf("%s with another byte at %d of %d: %v", kind, i, len(s.data), err)
			}
		}
		if _, err := s.decode(s.name, append(bytes.Clone(s.data), 0)); !refused(err, ErrDamaged) {
			t.Errorf("%s with a byte more: %v", kind, err)
		}
	}
}

func TestObjects_Truncation(t *testing.T) {
	for kind, s := range samples(t) {
		for end := 0; end < len(s.data); end += 1 + len(s.data)/4000 {
			if got, err := s.decode(s.name, s.data[:end]); !refused(err, ErrTruncated) {
				t.Fatalf("%d bytes of %d of %s: %v, error %v, want %v", end, len(s.data), kind, got, err, ErrTruncated)
			}
		}
	}
}

// TestObjects_OtherNames finds objects under the names of others.
func TestObjects_OtherNames(t *testing.T) {
	for kind, s := range samples(t) {
		other := s.name
		other.Number++
		if _, err := s.decode(other, s.data); !refused(err, ErrSwapped) {
			t.Errorf("%s under another number: %v, want %v", kind, err, ErrSwapped)
		}
		other = s.name
		other.Log = "lo"
		if _, err := s.decode(other, s.data); !refused(err, ErrOtherLog) {
			t.Errorf("%s under another log: %v, want %v", kind, err, ErrOtherLog)
		}
		for name, foreign := range samples(t) {
			if _, err := s.decode(s.name, foreign.data); name != kind && !refused(err, ErrSwapped) {
				t.Errorf("%s in place of %s: %v, want %v", name, kind, err, ErrSwapped)
			}
		}
		body := s.data[headerSize(s.name.String()) : len(s.data)-sumSize]
		if _, err := s.decode(s.name, seal(KindRules+1, s.name, body)); !refused(err, ErrSwapped) {
			t.Errorf("%s of another kind: %v, want %v", kind, err, ErrSwapped)
		}
	}
}

// TestObjects_NewerFormat decodes undamaged objects of a later format.
func TestObjects_NewerFormat(t *testing.T) {
	for kind, s := range samples(t) {
		newer := bytes.Clone(s.data)
		newer[atFormat]++
		newer = resealed(newer)
		if _, err := s.decode(s.name, newer); !refused(err, ErrNewerFormat) {
			t.Errorf("%s: %v, want %v", kind, err, ErrNewerFormat)
		}
		newer[atFormat] = 0
		if _, err := s.decode(s.name, resealed(newer)); !refused(err, ErrDamaged) {
			t.Errorf("%s of format 0: %v, want %v", kind, err, ErrDamaged)
		}
	}
}

// resealed returns an object with a right sum.
func resealed(data []byte) []byte {
	end := len(data) - sumSize
	sum := sha256.Sum256(data[:end])
	return append(data[:end:end], sum[:]...)
}

// TestObjects_HostileHeader has right sums over wrong lengths of names.
func TestObjects_HostileHeader(t *testing.T) {
	for kind, s := range samples(t) {
		for _, length := range []uint16{0, 1, 511, 1 << 15, 1<<16 - 1} {
			hostile := bytes.Clone(s.data)
			binary.BigEndian.PutUint16(hostile[atName:], length)
			if _, err := s.decode(s.name, resealed(hostile)); !refused(err, ErrDamaged, ErrOtherLog, ErrSwapped) {
				t.Errorf("%s with a name of %d bytes: %v", kind, length, err)
			}
		}
	}
}

func TestJournal_RoundTrip(t *testing.T) {
	c := openCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		j := drawJournal(t)
		data, err := c.EncodeJournal(j)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.DecodeJournal(j.Name, data); err != nil || !equal(got, j) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, j)
		}
	})
}

func TestFork_RoundTrip(t *testing.T) {
	c := openCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		fork := drawFork(t)
		data, err := c.EncodeFork(fork)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.DecodeFork(fork.Name, data); err != nil || !equal(got, fork) {
			t.Fatalf("%+v, error %v, want %+v", got, err, fork)
		}
	})
}

func TestIndex_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		commands := drawCommands(t)
		index := EncodeIndex(commands)
		if got, err := DecodeIndex(index); err != nil || !slices.Equal(got, commands) {
			t.Fatalf("%+v, error %v, want %+v", got, err, commands)
		}
		if len(index) > 0 {
			if got, err := DecodeIndex(index[:len(index)-1]); !errors.Is(err, domain.ErrInvalid) {
				t.Fatalf("a byte less is %+v, error %v", got, err)
			}
		}
	})
	for _, commands := range [][]Command{{{Last: 2}, {Last: 2}}, {{Last: 2}, {Last: 1}}} {
		if got, err := DecodeIndex(EncodeIndex(commands)); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%+v is %+v, error %v", commands, got, err)
		}
	}
}

func TestTail_RoundTrip(t *testing.T) {
	c := openCodec(t)
	rapid.Check(t, func(t *rapid.T) {
		tail := drawTail(t)
		data, err := c.EncodeTail(tail)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.DecodeTail(tail.Name, data); err != nil || !equal(got, tail) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, tail)
		}
		head := &TailPart{Name: tail.Name, Last: tail.Last, Full: tail.Full, Ended: tail.Ended, History: tail.History}
		if got, err := c.DecodeTailHead(tail.Name, data); err != nil || !equal(got, head) {
			t.Fatalf("the head is %+v, error %v, want %+v", got, err, head)
		}
	})
}

func TestManifest_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &ManifestObject{Name: drawName(KindManifest).Draw(t, "name"), Partitions: rapid.IntRange(1, MaxPartition+1).Draw(t, "partitions"), Hash: rapid.String().Draw(t, "hash"), CreatedAt: drawNumber(t)}
		m.Log = m.Name.Log
		for _, log := range rapid.SliceOfN(rapid.String(), 0, 2).Draw(t, "ancestors") {
			m.Ancestors = append(m.Ancestors, Ancestor{log, drawNumber(t)})
		}
		l := &ErasureList{Name: drawName(KindErasures).Draw(t, "name"), Erasures: []Erasure{}}
		for range rapid.IntRange(0, 2).Draw(t, "erasures") {
			l.Erasures = append(l.Erasures, Erasure{Chat: drawChat(t), By: 7, Events: []ErasedEvent{{domain.Seq(rapid.Uint64().Draw(t, "seq")), domain.EventID(rapid.String().Draw(t, "id"))}}})
		}
		data, err := EncodeManifest(m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeManifest(m.Name, data); err != nil || !reflect.DeepEqual(got, m) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, m)
		}
		if data, err = EncodeErasures(l); err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeErasures(l.Name, data); err != nil || !reflect.DeepEqual(got, l) {
			t.Fatalf("got %+v, error %v, want %+v", got, err, l)
		}
	})
}

// equal compares values; empty slices of bytes and none are the same.
func equal(a, b any) bool {
	normal := func(v any) any {
		var all [][]Event
		switch v := v.(type) {
		case *JournalObject:
			for _, b := range v.Blocks {
				for i := range b.Entries {
					all = append(all, []Event{b.Entries[i].Event})
				}
			}
		case *TailPart:
			for _, c := range v.Chats {
				all = append(all, c.Events)
			}
		case *ForkObject:
			for _, c := range v.Chats {
				all = append(all, c.Lost)
			}
		}
		return all
	}
	return equalEvents(normal(a).([][]Event), normal(b).([][]Event)) && reflect.DeepEqual(withoutEvents(a), withoutEvents(b))
}

func equalEvents(a, b [][]Event) bool {
	return slices.EqualFunc(a, b, func(a, b []Event) bool { return slices.EqualFunc(a, b, sameEvent) })
}

func sameEvent(a, b Event) bool {
	return a.ID == b.ID && a.Ordinal == b.Ordinal && bytes.Equal(a.JSON, b.JSON)
}

// withoutEvents returns a copy without events.
func withoutEvents(v any) any {
	switch v := v.(type) {
	case *JournalObject:
		cp := *v
		cp.Blocks = slices.Clone(v.Blocks)
		for i := range cp.Blocks {
			cp.Blocks[i].Entries = slices.Clone(cp.Blocks[i].Entries)
			for k := range cp.Blocks[i].Entries {
				cp.Blocks[i].Entries[k].Event = Event{}
			}
		}
		return cp
	case *TailPart:
		cp := *v
		cp.Chats = slices.Clone(v.Chats)
		for i := range cp.Chats {
			cp.Chats[i].Events, cp.Chats[i].Index = nil, bytes.Clone(cp.Chats[i].Index)
			if len(cp.Chats[i].Index) == 0 {
				cp.Chats[i].Index = nil
			}
		}
		return cp
	case *ForkObject:
		cp := *v
		cp.Chats = slices.Clone(v.Chats)
		for i := range cp.Chats {
			cp.Chats[i].Lost = nil
		}
		return cp
	}
	return v
}

func TestEncode_Refuses(t *testing.T) {
	c := openCodec(t)
	j := func(change func(j *JournalObject)) error {
		b := Block{Partition: 1, Entries: []Entry{{Chat: "a", Seq: 1}, {Chat: "a", Seq: 2}}}
		journal := &JournalObject{Name: Journal("log", 1, 1), Blocks: []Block{b}}
		change(journal)
		_, err := c.EncodeJournal(journal)
		return err
	}
	if err := j(func(*JournalObject) {}); err != nil {
		t.Fatal(err)
	}
	_, segment := Seal(Segment("log", 1, "a", 0, 0), make([]Event, SegmentEvents-1), nil, Root{}, [32]byte{})
	_, other := Seal(Manifest("log", 1), make([]Event, SegmentEvents), nil, Root{}, [32]byte{})
	_, tail := c.EncodeTail(&TailPart{Name: Tail("log", 1, 1, 0), Chats: []TailChat{{Chat: "a", Head: 1, Events: make([]Event, 2)}}})
	_, tailName := c.EncodeTail(&TailPart{Name: Manifest("log", 1)})
	_, manifest := EncodeManifest(&ManifestObject{Name: Manifest("log", 1), Log: "other"})
	_, manifestName := EncodeManifest(&ManifestObject{Name: Journal("log", 1, 1), Log: "log"})
	_, forkOfNothing := c.EncodeFork(&ForkObject{Name: Fork("log", 1, 1), Chats: []ForkedChat{{Chat: "a"}}})
	_, forkName := c.EncodeFork(&ForkObject{Name: Manifest("log", 1)})
	_, erasures := EncodeErasures(&ErasureList{Name: Erasures("", 1)})
	for what, err := range map[string]error{
		"a segment that is not full": segment, "a segment with the name of a manifest": other, "a tail with more events than seqs": tail, "a tail with another name": tailName,
		"a manifest of another log": manifest, "a manifest with another name": manifestName, "a list without a log": erasures,
		"the name of something else": j(func(j *JournalObject) { j.Name = Manifest("log", 1) }),
		"a number that is too large": j(func(j *JournalObject) { j.Name.Epoch = MaxNumber + 1 }),
		"a partition twice":          j(func(j *JournalObject) { j.Blocks = append(j.Blocks, j.Blocks[0]) }),
		"a fork that lost nothing":   forkOfNothing, "a fork with another name": forkName,
		"entries in the wrong order":  j(func(j *JournalObject) { j.Blocks[0].Entries[1].Seq = 1 }),
		"an entry without a chat":     j(func(j *JournalObject) { j.Blocks[0].Entries[1].Chat = "" }),
		"an entry without a seq":      j(func(j *JournalObject) { j.Blocks[0].Entries[1].Seq = 0 }),
		"a partition below 0":         j(func(j *JournalObject) { j.Blocks[0].Partition = -1 }),
		"a partition beyond the last": j(func(j *JournalObject) { j.Blocks[0].Partition = MaxPartition + 1 }),
	} {
		if !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v, want %v", what, err, domain.ErrInvalid)
		}
	}
}

// TestCodec_Bound encodes and decodes objects around the bound of what is decompressed.
func TestCodec_Bound(t *testing.T) {
	tail := &TailPart{Name: Tail("log", 1, 1, 0), Chats: []TailChat{{Chat: "a", Head: 1, Events: []Event{{JSON: bytes.Repeat([]byte("x"), 10_000)}}}}}
	small, err := newCodec(10_000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.EncodeTail(tail); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("encode beyond the bound: %v, want %v", err, domain.ErrInvalid)
	}
	data, err := openCodec(t).EncodeTail(tail)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := small.DecodeTail(tail.Name, data); !refused(err, ErrDamaged) {
		t.Errorf("decode beyond the bound: %v, want %v", err, ErrDamaged)
	}
	if _, err := openCodec(t).DecodeTail(tail.Name, data); err != nil {
		t.Errorf("decode below the bound: %v", err)
	}
}

// TestJournal_Format1 decodes a journal object of a program that knew no fingerprints. Stored bytes never change.
func TestJournal_Format1(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "journal_format1.hex"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	const id = "018c3c5e-7b1a-7000-8000-0123456789ab"
	want := &JournalObject{Name: Journal("log", 3, 7), Flushed: 1_700_000_000_010, Before: Link{Name: "log/journal/6"}, Blocks: []Block{{Partition: 2, History: "h", Entries: []Entry{
		{Appended: 1_700_000_000_000, Chat: "room", Seq: 5, Event: Event{ID: "e5", Ordinal: 3, JSON: []byte(`{"eventId":"e5","seq":5,"ordinal":3}`)}},
		{Appended: 1_700_000_000_001, Chat: "hall", Seq: 1, Event: Event{ID: id, JSON: []byte(`{"eventId":"` + id + `","seq":1,"ordinal":0}`)}},
	}}}}
	c := openCodec(t)
	if got, err := c.DecodeJournal(want.Name, data); err != nil || !equal(got, want) {
		t.Errorf("%+v, error %v", got, err)
	}
	want.Blocks[0].Entries[1].Fingerprint = 1 << 63
	now, err := c.EncodeJournal(want)
	if err != nil {
		t.Fatal(err)
	}
	now[atFormat] = 1 // a program of format 1 refuses it, and does not leave out what it cannot read
	if _, err := c.DecodeJournal(want.Name, resealed(now)); !refused(err, ErrDamaged) {
		t.Errorf("an object of format 2 is read as one of format 1: %v", err)
	}
}

// TestJournal_Links follows the chain of journal objects.
func TestJournal_Links(t *testing.T) {
	c := openCodec(t)
	first := &JournalObject{Name: Journal("log", 1, 1)}
	data, err := c.EncodeJournal(first)
	if err != nil {
		t.Fatal(err)
	}
	other, err := c.EncodeJournal(&JournalObject{Name: first.Name, Blocks: []Block{{Partition: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	second := &JournalObject{Name: Journal("log", 2, 1), Before: Link{Name: first.Name.String(), Sum: SumOf(data)}}
	if err := second.CheckLink(first.Name, data); err != nil {
		t.Errorf("the object before: %v", err)
	}
	if err := second.CheckLink(first.Name, other); !refused(err, ErrDamaged) {
		t.Errorf("other bytes: %v, want %v", err, ErrDamaged)
	}
	if err := second.CheckLink(Journal("log", 1, 2), data); !refused(err, ErrSwapped) {
		t.Errorf("another object: %v, want %v", err, ErrSwapped)
	}
	if err := second.CheckLink(first.Name, data[:40]); !refused(err, ErrTruncated) {
		t.Errorf("a part of it: %v, want %v", err, ErrTruncated)
	}
}
