package object

import (
	"crypto/rand"
	"math/big"
	"slices"
	"syscall"
	"testing"
	"time"

	"chatcore/adapters/vault/file"
	"chatcore/domain"
)

// sealed returns the full segments of a transcript, and the number of events in them.
func sealed(b *testing.B) (segments []*SealedSegment) {
	b.Helper()
	for chat, events := range logged(b) {
		for i := 0; i+SegmentEvents <= len(events); i += SegmentEvents {
			s, err := Seal(Segment("log", 3, chat, uint64(i/SegmentEvents), 0), events[i:i+SegmentEvents], nil, Root{}, random()) //nolint:gosec // an index
			if err != nil {
				b.Fatal(err)
			}
			segments = append(segments, s)
		}
	}
	return segments
}

func random() (r [32]byte) {
	_, _ = rand.Read(r[:])
	return r
}

// processor returns the processor time that the process has used. On a busy machine it says more than the time that passed.
func processor(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// measured runs a benchmark of calls that each do a number of events.
func measured(b *testing.B, events int, call func(i int) error) {
	b.Helper()
	before, calls := processor(b), 0
	for ; b.Loop(); calls++ {
		if err := call(calls); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(processor(b)-before)/float64(calls*events), "cpu-ns/event")
}

// BenchmarkSeal seals and encodes a segment. B/event is the size of all segments of the transcript.
func BenchmarkSeal(b *testing.B) {
	c, segments, size := openCodec(b), sealed(b), 0
	for _, s := range segments {
		data, err := c.EncodeSegment(s)
		if err != nil {
			b.Fatal(err)
		}
		size += len(data)
	}
	measured(b, SegmentEvents, func(i int) error {
		of := segments[i%len(segments)]
		s, err := Seal(of.Name, of.Events, nil, Root{}, random())
		if err != nil {
			return err
		}
		_, err = c.EncodeSegment(s)
		return err
	})
	b.ReportMetric(float64(size)/float64(len(segments)*SegmentEvents), "B/event")
}

// BenchmarkVerify decodes a whole segment and compares its sums and roots.
func BenchmarkVerify(b *testing.B) {
	c, segments := openCodec(b), sealed(b)
	var encoded [][]byte
	for _, s := range segments {
		data, err := c.EncodeSegment(s)
		if err != nil {
			b.Fatal(err)
		}
		encoded = append(encoded, data)
	}
	measured(b, SegmentEvents, func(i int) error {
		_, err := c.DecodeSegment(segments[i%len(segments)].Name, encoded[i%len(segments)])
		return err
	})
}

// BenchmarkErase erases an event of a segment and encodes the next generation.
func BenchmarkErase(b *testing.B) {
	c, segments := openCodec(b), sealed(b)
	measured(b, SegmentEvents, func(i int) error {
		s := segments[i%len(segments)]
		next, err := s.Erase(map[domain.Seq][]byte{s.Name.FirstSeq() + domain.Seq(i%SegmentEvents): []byte("{}")}, nil) //nolint:gosec // an index
		if err != nil {
			return err
		}
		_, err = c.EncodeSegment(next)
		return err
	})
}

// BenchmarkPage reads a page of 64 events from a vault of files, with the footer before and without.
func BenchmarkPage(b *testing.B) {
	c, segments := openCodec(b), sealed(b)
	v, err := file.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range segments {
		data, err := c.EncodeSegment(s)
		if err == nil {
			err = v.Put(b.Context(), s.Name.String(), data)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	footers := make([]*Footer, len(segments))
	footer := func(i int) *Footer {
		tail, err := v.Get(b.Context(), segments[i].Name.String(), -FooterHint, FooterHint)
		if err != nil {
			b.Fatal(err)
		}
		f, err := DecodeFooter(segments[i].Name, tail)
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	for i := range segments {
		footers[i] = footer(i)
	}
	read := func(b *testing.B, footer func(i int) *Footer) {
		var took []time.Duration
		for b.Loop() {
			start := time.Now()
			i := anyBelow(len(segments))
			f, frame := footer(i), anyBelow(frames)
			from, length := f.FrameRange(frame)
			data, err := v.Get(b.Context(), segments[i].Name.String(), from, length)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := c.DecodeFrame(f, frame, data); err != nil {
				b.Fatal(err)
			}
			took = append(took, time.Since(start))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	}
	b.Run("footer read", func(b *testing.B) { read(b, footer) })
	b.Run("footer known", func(b *testing.B) { read(b, func(i int) *Footer { return footers[i] }) })
}

func anyBelow(n int) int {
	i, _ := rand.Int(rand.Reader, big.NewInt(int64(n)))
	return int(i.Int64())
}

// BenchmarkJournal encodes a flush of 3,000 events, about 1 MiB of JSON, of 16 partitions and some chats each.
func BenchmarkJournal(b *testing.B) {
	const partitions, each = 16, 188
	c := openCodec(b)
	j := &JournalObject{Name: Journal("log", 1, 1)}
	chats := logged(b)
	var names []domain.ChatID
	for chat := range chats {
		names = append(names, chat)
	}
	size := 0
	for p := range partitions {
		block := Block{Partition: p}
		for i := range each {
			chat := names[(p+i)%len(names)]
			at := (p*each + i) % len(chats[chat])
			block.Entries = append(block.Entries, Entry{Appended: 1_700_000_000_000 + uint64(i), Chat: chat, Seq: domain.Seq(p*each+i) + 1, Event: chats[chat][at]}) //nolint:gosec // an index
			size += len(chats[chat][at].JSON)
		}
		j.Blocks = append(j.Blocks, block)
	}
	var data []byte
	measured(b, partitions*each, func(int) (err error) {
		data, err = c.EncodeJournal(j)
		return err
	})
	b.ReportMetric(float64(len(data))/(partitions*each), "B/event")
	b.ReportMetric(float64(size)/(partitions*each), "JSON-B/event")
}
