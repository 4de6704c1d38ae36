package chatcore_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/file"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// The log of the benchmarks.
const (
	benchChats  = 32
	benchEvents = 4000 // of a chat
)

// benchVault returns a vault in files with a log of messages: sealed segments, and the rest in tails.
func benchVault(b *testing.B) ports.Vault {
	b.Helper()
	v, err := file.Open(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	codec, err := object.NewCodec()
	if err != nil {
		b.Fatal(err)
	}
	put := func(name object.Name, data []byte, err error) {
		b.Helper()
		if err == nil {
			err = v.Put(b.Context(), name.String(), data)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	const log, partitions = "0123456789abcdef", 4
	m := &object.ManifestObject{Name: object.Manifest(log, 0), Log: log, Partitions: partitions, Hash: keyspace.HashName, Closed: firstMoment + 1} // so that a restore keeps its id
	data, err := object.EncodeManifest(m)
	put(m.Name, data, err)
	keys, err := keyspace.New("", partitions, false)
	if err != nil {
		b.Fatal(err)
	}
	tails := make([]*object.TailPart, partitions)
	for p := range tails {
		tails[p] = &object.TailPart{Name: object.Tail(log, p, firstMoment, 0), Full: true, Last: true, Ended: firstMoment}
	}
	for i := range benchChats {
		chat := domain.ChatID(fmt.Sprintf("chat-%d", i))
		p := keys.Log().Partition(chat)
		events := benchLog(b, chat)
		sealed, root := (len(events)-1)/object.SegmentEvents, object.Root{}
		for n := range sealed {
			s, err := object.Seal(object.Segment(log, p, chat, uint64(n), 0), events[n*object.SegmentEvents:][:object.SegmentEvents], nil, root, [32]byte{byte(n)}) //nolint:gosec // a count
			if err != nil {
				b.Fatal(err)
			}
			root = s.Root()
			data, err := codec.EncodeSegment(s)
			put(s.Name, data, err)
		}
		tails[p].Chats = append(tails[p].Chats, object.TailChat{Chat: chat, Head: domain.Seq(len(events)), Events: events[sealed*object.SegmentEvents:]}) //nolint:gosec // a count
	}
	for _, t := range tails {
		data, err := codec.EncodeTail(t)
		put(t.Name, data, err)
	}
	return v
}

// benchLog returns the events of a chat.
func benchLog(b *testing.B, chat domain.ChatID) (events []object.Event) {
	b.Helper()
	codec, ordinal := wireformat.New(), domain.Ordinal(0)
	at := time.UnixMilli(firstMoment)
	for i := range benchEvents {
		at = at.Add(time.Second)
		var e domain.Durable = domain.MessageNew{Chat: chat, Message: domain.MessageID(uuid.NewString()), Sender: domain.UserID(fmt.Sprintf("user-%d", i%20)), Content: domain.Content(fmt.Sprintf("message %d says something that is about as long as a line of a chat", i)), At: at}
		if i == 0 {
			e = domain.ChatUpdate{Chat: chat, Change: domain.Created, Actor: "user-0", Role: domain.RoleOwner, At: at}
		} else {
			ordinal++
		}
		id := domain.EventID(uuid.Must(uuid.NewV7()).String())
		parts, err := codec.Encode(id, e, ports.Meta{CorrelationID: "correlation"})
		if err != nil {
			b.Fatal(err)
		}
		events = append(events, object.Event{ID: id, Ordinal: ordinal, JSON: parts.Splice(domain.Seq(i+1), ordinal)}) //nolint:gosec // an index
	}
	return events
}

// BenchmarkRestore restores a log into a Redis on the same machine.
func BenchmarkRestore(b *testing.B) {
	v, server := benchVault(b), redistest.Start(b)
	events := 0
	for b.Loop() {
		config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: "to-" + uuid.NewString()}}
		report, err := chatcore.Restore(b.Context(), config, chatcore.RestoreConfig{Vault: v})
		if err != nil {
			b.Fatal(err)
		}
		events += report.Events
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkVerify checks a vault in files, alone and against a Redis on the same machine.
func BenchmarkVerify(b *testing.B) {
	v, server := benchVault(b), redistest.Start(b)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}}
	restored, err := chatcore.Restore(b.Context(), config, chatcore.RestoreConfig{Vault: v})
	if err != nil {
		b.Fatal(err)
	}
	config.Log.Partitions = restored.Partitions
	for name, redis := range map[string]bool{"vault": false, "vault and Redis": true} {
		b.Run(name, func(b *testing.B) {
			events := 0
			for b.Loop() {
				report, err := chatcore.Verify(b.Context(), config, chatcore.VerifyConfig{Vault: v, Redis: redis})
				if err != nil || report.Findings > 0 {
					b.Fatal(report, err)
				}
				events += report.Events
			}
			b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkPageOfVault reads one frame of a sealed segment in a vault in files: the footer, then the frame.
func BenchmarkPageOfVault(b *testing.B) {
	v := benchVault(b)
	codec, err := object.NewCodec()
	if err != nil {
		b.Fatal(err)
	}
	var names []object.Name
	for o, err := range v.List(b.Context(), "0123456789abcdef/seg/", "") {
		if err != nil {
			b.Fatal(err)
		}
		name, err := object.ParseName(o.Name)
		if err != nil {
			b.Fatal(err)
		}
		names = append(names, name)
	}
	i := 0
	for b.Loop() {
		name := names[i*7%len(names)]
		tail, err := v.Get(b.Context(), name.String(), -object.FooterHint, object.FooterHint)
		if err != nil {
			b.Fatal(err)
		}
		footer, err := object.DecodeFooter(name, tail)
		if err != nil {
			b.Fatal(err)
		}
		frame, _, _ := footer.FrameOf(name.FirstSeq() + domain.Seq(i*131%object.SegmentEvents)) //nolint:gosec // an index
		from, length := footer.FrameRange(frame)
		data, err := v.Get(b.Context(), name.String(), from, length)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := codec.DecodeFrame(footer, frame, data); err != nil {
			b.Fatal(err)
		}
		i++
	}
}
