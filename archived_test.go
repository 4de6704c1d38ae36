package chatcore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// checker is the part of testing.T and rapid.T that the rig needs.
type checker interface {
	Helper()
	Context() context.Context
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// archivedChat is a chat of a log that is put into a vault.
type archivedChat struct {
	id        domain.ChatID
	partition int
	events    []object.Event
	at        []uint64 // the moments of the events
	commands  []object.Command
}

// head returns the last seq at a moment.
func (c *archivedChat) head(at uint64) domain.Seq {
	n, _ := slices.BinarySearch(c.at, at+1)
	return domain.Seq(n) //nolint:gosec // a count
}

// archivedLog is a log of Redis that is put into a vault.
type archivedLog struct {
	t          checker
	log        string
	partitions int
	chats      []*archivedChat
	vault      *memory.Vault
	codec      *object.Codec
	end        uint64
	older      bool // journals are those of a program that journals no fingerprints
}

// firstMoment is the moment before all events.
const firstMoment = 1_700_000_000_000

// storedLog reads a log. moments has the heads of chats at each moment after firstMoment; later events have the last moment.
func storedLog(t checker, client goredis.UniversalClient, namespace string, moments []map[domain.ChatID]domain.Seq) *archivedLog {
	t.Helper()
	ctx := t.Context()
	keys, err := keyspace.New(namespace, 1, false)
	if err != nil {
		t.Fatal(err)
	}
	stored, err := eventlog.FindStored(ctx, client, keys)
	if err != nil {
		t.Fatal(err)
	}
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	l := &archivedLog{t: t, log: stored.ID(), partitions: stored.Partitions(), vault: memory.NewVault(), codec: codec, end: firstMoment + uint64(len(moments))}
	events := wireformat.New()
	for p := range stored.Partitions() {
		for chat, err := range stored.Chats(ctx, p) {
			if err != nil {
				t.Fatal(err)
			}
			c := &archivedChat{id: chat, partition: p}
			head, err := stored.Head(ctx, chat)
			if err != nil {
				t.Fatal(err)
			}
			for part, err := range stored.Chat(ctx, chat, head) {
				if err != nil {
					t.Fatal(err)
				}
				for _, command := range part.Commands {
					c.commands = append(c.commands, object.Command(command))
				}
				for _, json := range part.Events {
					r, err := events.Decode(json)
					if err != nil {
						t.Fatal(err)
					}
					c.events = append(c.events, object.Event{ID: r.ID, Ordinal: r.Ordinal, JSON: json})
					at := slices.IndexFunc(moments, func(heads map[domain.ChatID]domain.Seq) bool { return heads[chat] >= r.Seq })
					if at < 0 {
						at = len(moments)
					}
					c.at = append(c.at, firstMoment+uint64(at)) //nolint:gosec // a count
				}
			}
			l.chats = append(l.chats, c)
		}
	}
	slices.SortFunc(l.chats, func(a, b *archivedChat) int { return int(a.id[0]) - int(b.id[0]) })
	return l
}

func (l *archivedLog) put(name object.Name, data []byte, err error) {
	l.t.Helper()
	if err == nil {
		err = l.vault.Put(l.t.Context(), name.String(), data)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// manifest writes a manifest of the log.
func (l *archivedLog) manifest(number, closed uint64, ancestors ...object.Ancestor) {
	m := &object.ManifestObject{Name: object.Manifest(l.log, number), Log: l.log, Partitions: l.partitions, Hash: keyspace.HashName, Closed: closed, Ancestors: ancestors}
	data, err := object.EncodeManifest(m)
	l.put(m.Name, data, err)
}

// seal seals the first segments of a chat.
func (l *archivedLog) seal(c *archivedChat, segments int) {
	root := object.Root{}
	for n := range segments {
		name := object.Segment(l.log, c.partition, c.id, uint64(n), 0) //nolint:gosec // a count
		first := name.FirstSeq()
		s, err := object.Seal(name, c.events[first-1:][:object.SegmentEvents], object.EncodeIndex(c.commandsIn(first, first+object.SegmentEvents-1)), root, [32]byte{byte(n)})
		if err != nil {
			l.t.Fatal(err)
		}
		root = s.Root()
		data, err := l.codec.EncodeSegment(s)
		l.put(name, data, err)
	}
}

func (c *archivedChat) commandsIn(first, last domain.Seq) []object.Command {
	return slices.DeleteFunc(slices.Clone(c.commands), func(command object.Command) bool { return command.Last < first || command.Last > last })
}

// tails writes a full tail of each partition at a moment, whose events begin after the given segments of each chat.
func (l *archivedLog) tails(at uint64, sealed map[domain.ChatID]int, checkpoints map[string]map[domain.ChatID]domain.Seq) {
	for p := range l.partitions {
		t := &object.TailPart{Name: object.Tail(l.log, p, at, 0), Last: true, Full: true, Ended: at}
		for _, c := range l.chats {
			head := c.head(at)
			if c.partition != p || head == 0 {
				continue
			}
			first := domain.Seq(sealed[c.id])*object.SegmentEvents + 1 //nolint:gosec // a count
			chat := object.TailChat{Chat: c.id, Head: head, Index: object.EncodeIndex(c.commandsIn(first, head))}
			if first <= head {
				chat.Events = c.events[first-1 : head]
			}
			t.Chats = append(t.Chats, chat)
		}
		for _, name := range slices.Sorted(maps.Keys(checkpoints)) {
			group := object.TailGroup{Group: name}
			for _, c := range l.chats {
				if seq, found := checkpoints[name][c.id]; found && c.partition == p {
					group.Checkpoints = append(group.Checkpoints, object.Checkpoint{Chat: c.id, Seq: seq})
				}
			}
			t.Groups = append(t.Groups, group)
		}
		data, err := l.codec.EncodeTail(t)
		l.put(t.Name, data, err)
	}
}

// journal writes one journal object for each moment after one, with its events.
func (l *archivedLog) journal(after uint64) {
	var before object.Link
	for at, n := after+1, uint64(0); at <= l.end; at, n = at+1, n+1 {
		j := &object.JournalObject{Name: object.Journal(l.log, firstMoment, n), Flushed: at, Before: before}
		for p := range l.partitions {
			b := object.Block{Partition: p}
			for _, c := range l.chats {
				for seq := c.head(at-1) + 1; c.partition == p && seq <= c.head(at); seq++ {
					entry := object.Entry{Appended: at, Chat: c.id, Seq: seq, Event: c.events[seq-1]}
					if command := c.commandsIn(seq, seq); len(command) > 0 && !l.older {
						entry.Fingerprint = command[0].Fingerprint
					}
					b.Entries = append(b.Entries, entry)
				}
			}
			j.Blocks = append(j.Blocks, b)
		}
		data, err := l.codec.EncodeJournal(j)
		l.put(j.Name, data, err)
		before = object.Link{Name: j.Name.String(), Sum: object.SumOf(data)}
	}
}

// archive puts the log into its vault: sealed segments, tails at the end, and nothing in journals.
func (l *archivedLog) archive(closed uint64, checkpoints map[string]map[domain.ChatID]domain.Seq) {
	sealed := make(map[domain.ChatID]int)
	for _, c := range l.chats {
		sealed[c.id] = (len(c.events) - 1) / object.SegmentEvents
		l.seal(c, sealed[c.id])
	}
	l.manifest(0, closed)
	l.tails(l.end, sealed, checkpoints)
}

// workload changes chats in random ways, through a core.
type workload struct {
	core   *chatcore.Core
	chats  []domain.ChatID
	sent   map[domain.ChatID][]domain.MessageID
	sends  []domain.Send
	titles []domain.Rename // commands with ids that changed something
	next   int
}

func newWorkload(core *chatcore.Core, chats int) *workload {
	w := &workload{core: core, sent: make(map[domain.ChatID][]domain.MessageID)}
	for i := range chats {
		w.chats = append(w.chats, domain.ChatID(fmt.Sprintf("%c:{chat}", 'a'+i)))
	}
	return w
}

// poll is a custom event.
type poll struct{ n int }

func (p poll) Custom() (domain.Custom, error) {
	return domain.Custom{Type: "poll:vote", Version: 1, Data: fmt.Sprintf(`{"n":%d}`, p.n)}, nil
}

// step makes a random call. Rules may refuse it.
func (w *workload) step(ctx context.Context, t *rapid.T) {
	users := []domain.UserID{"ada", "ben", "cyd"}
	chat := w.chats[rapid.IntRange(0, len(w.chats)-1).Draw(t, "chat")]
	actor, user := users[rapid.IntRange(0, 2).Draw(t, "actor")], users[rapid.IntRange(0, 2).Draw(t, "user")]
	w.next++
	command := domain.CommandID("")
	if rapid.Bool().Draw(t, "with an id") {
		command = domain.CommandID(fmt.Sprintf("command-%d", w.next))
	}
	message := domain.MessageID("")
	if sent := w.sent[chat]; len(sent) > 0 {
		message = sent[rapid.IntRange(0, len(sent)-1).Draw(t, "message")]
	}
	chats := w.core.Chats
	switch rapid.IntRange(0, 13).Draw(t, "call") {
	case 0, 1:
		_, _ = chats.Create(ctx, domain.Create{Chat: chat, Actor: actor, Title: "a title", Members: []domain.UserID{user}, Command: command})
	case 2, 3, 4:
		send := domain.Send{Chat: chat, Actor: actor, MessageID: domain.MessageID(fmt.Sprintf("m%d", w.next)), Content: fmt.Sprintf("text %d", w.next), ReplyTo: message, Mentions: []domain.UserID{user}}
		if _, err := chats.Send(ctx, send); err == nil {
			w.sent[chat], w.sends = append(w.sent[chat], send.MessageID), append(w.sends, send)
		}
	case 5:
		_, _ = chats.Edit(ctx, domain.Edit{Chat: chat, Actor: actor, MessageID: message, Content: "edited", Command: command})
	case 6:
		_, _ = chats.Delete(ctx, domain.Delete{Chat: chat, Actor: actor, MessageID: message, Reason: "a reason", Command: command})
	case 7:
		_, _ = chats.React(ctx, domain.React{Chat: chat, Actor: actor, MessageID: message, Emoji: "👍", Command: command})
	case 8:
		_, _ = chats.Unreact(ctx, domain.React{Chat: chat, Actor: actor, MessageID: message, Emoji: "👍", Command: command})
	case 9:
		_, _ = chats.MarkRead(ctx, domain.MarkRead{Chat: chat, Actor: actor, MessageID: message, Command: command})
	case 10:
		_, _ = chats.Add(ctx, domain.Add{Chat: chat, Actor: actor, User: user, Command: command})
	case 11:
		_, _ = chats.Remove(ctx, domain.Remove{Chat: chat, Actor: actor, User: user, Command: command})
	case 12:
		rename := domain.Rename{Chat: chat, Actor: actor, Title: fmt.Sprintf("title %d", w.next), Command: command}
		if _, err := chats.Rename(ctx, rename); err == nil && command != "" {
			w.titles = append(w.titles, rename)
		}
	case 13:
		_, _ = chats.Record(ctx, domain.Record{Chat: chat, Actor: actor, Event: poll{w.next}, Entity: "poll", Command: command})
	}
}

// heads returns the last seq of each chat.
func (w *workload) heads(ctx context.Context, t checker) map[domain.ChatID]domain.Seq {
	heads := make(map[domain.ChatID]domain.Seq)
	for _, chat := range w.chats {
		for record, err := range w.core.Queries.Audit(ctx, chat, domain.Audit{}) {
			if err != nil {
				break
			}
			heads[chat] = record.Seq
		}
	}
	_ = t
	return heads
}

// on returns the configuration of a core in a namespace of the shared server.
func on(t testing.TB, namespace string, partitions int) chatcore.Config {
	t.Helper()
	return chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: namespace}, Log: chatcore.LogConfig{Partitions: partitions}}
}
