package object

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func openCodec(t testing.TB) *Codec {
	t.Helper()
	c, err := NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// line is one of a transcript, as core import reads it.
type line struct {
	Chat string
	At   time.Time
	Kind string
	User string
	Text string
}

// transcript returns the lines of the transcript that CHATCORE_TRANSCRIPT names, or of the sample.
func transcript(t testing.TB) (lines []line) {
	t.Helper()
	path := os.Getenv("CHATCORE_TRANSCRIPT")
	if path == "" {
		path = filepath.Join("..", "..", "..", "tests", "testdata", "transcript.jsonl")
	}
	f, err := os.Open(path) //nolint:gosec // of this repository, or the caller's
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close() //nolint:errcheck // it was read only
	var in io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	for scanner := bufio.NewScanner(in); scanner.Scan(); {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	return lines
}

// logged returns the events of each chat of a transcript as core import appends them. A sample is repeated until a chat has two segments.
func logged(t testing.TB) map[domain.ChatID][]Event {
	t.Helper()
	lines, chats, members := transcript(t), make(map[domain.ChatID][]Event), make(map[string]bool)
	longest := func() (n int) {
		for _, events := range chats {
			n = max(n, len(events))
		}
		return n
	}
	codec, run := wireformat.New(), "import-"+uuid.NewString()
	for round := 0; longest() < 2*SegmentEvents; round++ {
		for i, l := range lines {
			chat := domain.ChatID(l.Chat)
			hash := sha256.Sum256(fmt.Append(nil, round, i))
			id := hex.EncodeToString(hash[:16])
			if !members[l.Chat+" "+l.User] || l.Kind != "message" && l.Kind != "action" {
				members[l.Chat+" "+l.User] = true
				joins := ports.Meta{CorrelationID: run, CausationID: domain.CommandID("import:join:" + id)}
				e := domain.ChatUpdate{Chat: chat, Change: domain.MemberAdded, Actor: "importer", User: domain.UserID(l.User), Role: domain.RoleMember, At: l.At}
				chats[chat] = append(chats[chat], encoded(t, codec, chats[chat], e, joins))
			}
			if l.Kind == "message" || l.Kind == "action" {
				e := domain.MessageNew{Chat: chat, Message: domain.MessageID("import:message:" + id), Sender: domain.UserID(l.User), Content: domain.Content(l.Text), At: l.At}
				chats[chat] = append(chats[chat], encoded(t, codec, chats[chat], e, ports.Meta{CorrelationID: run}))
			}
		}
	}
	return chats
}

// encoded returns an event as it is appended to others.
func encoded(t testing.TB, codec *wireformat.Codec, before []Event, e domain.Durable, meta ports.Meta) Event {
	t.Helper()
	ordinal := domain.Ordinal(0)
	if len(before) > 0 {
		ordinal = before[len(before)-1].Ordinal
	}
	if _, message := e.(domain.MessageNew); message {
		ordinal++
	}
	id := domain.EventID(uuid.Must(uuid.NewV7()).String())
	parts, err := codec.Encode(id, e, meta)
	if err != nil {
		t.Fatal(err)
	}
	return Event{ID: id, Ordinal: ordinal, JSON: parts.Splice(domain.Seq(len(before)+1), ordinal)}
}

// The generators of the properties.

func drawEvent(t *rapid.T) Event {
	e := Event{
		ID:      domain.EventID(rapid.StringN(1, 5, -1).Draw(t, "id")),
		Ordinal: domain.Ordinal(rapid.OneOf(rapid.Uint64Max(9), rapid.Uint64()).Draw(t, "ordinal")),
		JSON:    rapid.SliceOfN(rapid.Byte(), 0, 12).Draw(t, "json"),
	}
	if rapid.Bool().Draw(t, "inside") {
		e.JSON = slices.Concat(e.JSON, []byte(e.ID), e.JSON)
	}
	return e
}

func drawEvents(t *rapid.T) []Event {
	return rapid.SliceOfN(rapid.Custom(drawEvent), 0, 5).Draw(t, "events")
}

func drawChat(t *rapid.T) domain.ChatID {
	return domain.ChatID(rapid.StringN(1, 20, domain.MaxIDBytes).Draw(t, "chat"))
}

func drawNumber(t *rapid.T) uint64 {
	return rapid.OneOf(rapid.Uint64Max(9), rapid.Uint64Max(MaxNumber)).Draw(t, "number")
}

func drawName(kind Kind) *rapid.Generator[Name] {
	return rapid.Custom(func(t *rapid.T) Name {
		n := Name{Kind: kind, Log: rapid.SampledFrom([]string{"log", "other", "ü"}).Draw(t, "log"), Number: drawNumber(t)}
		partition := rapid.IntRange(0, MaxPartition)
		switch kind {
		case KindJournal:
			n.Epoch = drawNumber(t)
		case KindSegment:
			n.Partition, n.Chat, n.Generation = partition.Draw(t, "partition"), drawChat(t), drawNumber(t)
		case KindFork:
			n.Partition = partition.Draw(t, "partition")
		case KindTail:
			n.Partition, n.Time = partition.Draw(t, "partition"), drawNumber(t)
		default:
		}
		return n
	})
}

func drawJournal(t *rapid.T) *JournalObject {
	j := &JournalObject{Name: drawName(KindJournal).Draw(t, "name"), Flushed: drawNumber(t)}
	if rapid.Bool().Draw(t, "linked") {
		j.Before = Link{Name: "before", Sum: sha256.Sum256([]byte("before"))}
	}
	for range rapid.IntRange(0, 3).Draw(t, "blocks") {
		b := Block{Partition: rapid.IntRange(0, 2).Draw(t, "skipped"), History: rapid.String().Draw(t, "history"), Entries: []Entry{}}
		if n := len(j.Blocks); n > 0 {
			b.Partition += j.Blocks[n-1].Partition + 1
		}
		last := make(map[domain.ChatID]domain.Seq)
		for _, e := range drawEvents(t) {
			chat := domain.ChatID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "chat"))
			last[chat] += domain.Seq(rapid.Uint64Range(1, 1<<40).Draw(t, "step"))
			b.Entries = append(b.Entries, Entry{Appended: rapid.Uint64().Draw(t, "appended"), Chat: chat, Seq: last[chat], Event: e, Fingerprint: rapid.SampledFrom([]uint64{0, 0, 1, 1<<63 + 7}).Draw(t, "fingerprint")})
		}
		j.Blocks = append(j.Blocks, b)
	}
	return j
}

func drawTail(t *rapid.T) *TailPart {
	tail := &TailPart{Name: drawName(KindTail).Draw(t, "name"), Last: rapid.Bool().Draw(t, "last"), Full: rapid.Bool().Draw(t, "full"), Ended: drawNumber(t), History: rapid.String().Draw(t, "history")}
	for range rapid.IntRange(0, 3).Draw(t, "chats") {
		c := TailChat{Chat: drawChat(t), Events: drawEvents(t)}
		c.Head = domain.Seq(len(c.Events)) + domain.Seq(rapid.Uint64Max(5000).Draw(t, "sealed"))
		c.Index = EncodeIndex(drawCommands(t))
		tail.Chats = append(tail.Chats, c)
	}
	for range rapid.IntRange(0, 2).Draw(t, "groups") {
		g := TailGroup{Group: rapid.String().Draw(t, "group")}
		for range rapid.IntRange(0, 3).Draw(t, "checkpoints") {
			g.Checkpoints = append(g.Checkpoints, Checkpoint{drawChat(t), domain.Seq(rapid.Uint64().Draw(t, "seq"))})
		}
		tail.Groups = append(tail.Groups, g)
	}
	return tail
}

func drawCommands(t *rapid.T) []Command {
	var commands []Command
	last := domain.Seq(0)
	for range rapid.IntRange(0, 3).Draw(t, "commands") {
		last += domain.Seq(rapid.Uint64Range(1, 1<<40).Draw(t, "step"))
		commands = append(commands, Command{Last: last, Fingerprint: rapid.Uint64().Draw(t, "fingerprint")})
	}
	return commands
}

func drawFork(t *rapid.T) *ForkObject {
	f := &ForkObject{Name: drawName(KindFork).Draw(t, "name"), At: drawNumber(t), History: rapid.String().Draw(t, "history")}
	for range rapid.IntRange(0, 3).Draw(t, "superseded") {
		f.Superseded = append(f.Superseded, rapid.String().Draw(t, "history"))
	}
	for range rapid.IntRange(0, 3).Draw(t, "chats") {
		lost := rapid.SliceOfN(rapid.Custom(drawEvent), 1, 5).Draw(t, "lost")
		f.Chats = append(f.Chats, ForkedChat{Chat: drawChat(t), Head: domain.Seq(rapid.Uint64Max(5000).Draw(t, "head")), Lost: lost})
	}
	return f
}

// segmentOf returns a segment of short events, with some alike.
func segmentOf(t testing.TB, name Name, previous Root) *SealedSegment {
	t.Helper()
	events := make([]Event, SegmentEvents)
	for i := range events {
		id := domain.EventID(fmt.Sprint("e", i))
		events[i] = Event{ID: id, Ordinal: domain.Ordinal(i / 2), JSON: fmt.Appendf(nil, `{"eventId":"%s","content":"secret %d"}`, id, i%7)} //nolint:gosec // an index
	}
	s, err := Seal(name, events, []byte("the index"), previous, sha256.Sum256([]byte(name.String())))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
