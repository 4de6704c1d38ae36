package chatcore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/erase"
	"chatcore/adapters/vault/file"
	"chatcore/adapters/vault/object"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// dumpHas reports whether the dump that a server writes to its disk has a text.
func dumpHas(t *testing.T, server *redistest.Server, client *goredis.Client, text string) bool {
	t.Helper()
	if err := errors.Join(client.ConfigSet(t.Context(), "rdbcompression", "no").Err(), client.Save(t.Context()).Err()); err != nil {
		t.Fatal(err)
	}
	dump, err := os.ReadFile(filepath.Join(server.Dir, "dump.rdb"))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Contains(dump, []byte(text))
}

// filesWith returns the first folders of the files below a directory that have a text in their bytes, or in a zstd frame that begins at any of them.
func filesWith(t *testing.T, directory, text string) (folders []string) {
	t.Helper()
	err := filepath.WalkDir(directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path) //nolint:gosec // of the test
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // a process has deleted it
			}
			return err
		}
		if hasText(t, data, text) {
			name, _ := filepath.Rel(directory, path)
			parts := strings.Split(filepath.ToSlash(name), "/")
			folders = append(folders, parts[min(1, len(parts)-2)])
		}
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	slices.Sort(folders)
	return slices.Compact(folders)
}

func hasText(t *testing.T, data []byte, text string) bool {
	t.Helper()
	if bytes.Contains(data, []byte(text)) {
		return true
	}
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for at := bytes.Index(data, magic); at >= 0; {
		frame, err := zstd.NewReader(bytes.NewReader(data[at:]), zstd.WithDecoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := io.ReadAll(frame) // up to the end of the frame: what follows may be none
		frame.Close()
		if bytes.Contains(plain, []byte(text)) {
			return true
		}
		next := bytes.Index(data[at+1:], magic)
		if next < 0 {
			return false
		}
		at += 1 + next
	}
	return false
}

// TestErase_LeavesNoByte plants a text in messages, edits, reasons, attachments, snapshots, dead letters and cached previews, and another one in titles, metadata, reasons
// of restrictions and custom events. It archives all, erases the user, and deletes the chat. Neither a dump of Redis nor any file of the vault has the texts once
// the times have passed for which the vault keeps objects.
func TestErase_LeavesNoByte(t *testing.T) {
	const secret, title = "hunted-4c1f", "titled-4c1f"
	server := redistest.Start(t, redistest.NewClock(t).Arg())
	client, directory, ctx := server.Client(t), t.TempDir(), t.Context()
	vault, err := file.Open(directory)
	if err != nil {
		t.Fatal(err)
	}
	config := quick(chatcore.Config{
		Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}, Vault: chatcore.VaultConfig{Store: vault, Flush: 100 * time.Millisecond},
	})
	core := opened(t)(chatcore.New(ctx, config))
	if err := errors.Join(core.SubscribeBuiltins(), core.Subscribe("fails", chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
		if d.Event.Sender == "eve" {
			return chatcore.Permanent(errors.New("broken"))
		}
		return nil
	}))); err != nil {
		t.Fatal(err)
	}
	stop := start(t, core)
	must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada", Title: title, Members: []domain.UserID{"ben", "eve"}}))
	plantInChat(t, core, title)
	messages := plantText(t, core, secret)
	if err := core.Vault().Backup(ctx, nil); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the text is everywhere", func() bool {
		return cached(t, core, client, secret, messages) && slices.Equal(filesWith(t, directory, secret), []string{"journal", "seg", "tails"})
	})
	if !dumpHas(t, server, client, secret) {
		t.Fatal("the dump of Redis does not have the text before it is erased")
	}
	crashed := filepath.Join(directory, ".unfinished", "crashed")
	if err := os.WriteFile(crashed, []byte("an object with "+secret), 0o600); err != nil {
		t.Fatal(err)
	}

	if erased, err := core.Erasures.EraseUser(ctx, app.EraseUser{User: "eve", Actor: "ops"}, nil); err != nil || erased.Erased != len(messages) {
		t.Fatalf("%+v, error %v", erased, err)
	}
	wait.Until(t, "Redis loses the text", func() bool { return !dumpHas(t, server, client, secret) })
	verifyPlaces(t, core, []domain.MessageID{""}, map[string]ports.ErasureStatus{ // the chat is not deleted
		chatcore.PlaceLog: ports.ErasurePending, chatcore.PlaceSnapshots: ports.ErasurePending, chatcore.PlaceStreams: ports.ErasureDone, chatcore.PlaceDeadLetters: ports.ErasureDone,
		chatcore.PlaceCaches: ports.ErasurePending, chatcore.PlaceLists: ports.ErasureDone, erase.PlaceLists: ports.ErasurePending, erase.PlaceSegments: ports.ErasurePending,
		erase.PlaceForks: ports.ErasureDone, erase.PlaceJournals: ports.ErasurePending, erase.PlaceTails: ports.ErasurePending, erase.PlaceUnfinished: ports.ErasurePending,
		chatcore.PlaceRedisFiles: ports.ErasureUnreachable,
	})
	must[app.DeletedChat](t)(core.Chats.DeleteChat(ctx, domain.DeleteChat{Chat: "c", Actor: "ada"}, nil))
	wait.Until(t, "Redis loses the text of the chat", func() bool { return !dumpHas(t, server, client, title) })
	verifyPlaces(t, core, messages[:3], map[string]ports.ErasureStatus{
		chatcore.PlaceLog: ports.ErasureDone, chatcore.PlaceSnapshots: ports.ErasureDone, chatcore.PlaceStreams: ports.ErasureDone, chatcore.PlaceDeadLetters: ports.ErasureDone,
		chatcore.PlaceCaches: ports.ErasureDone, chatcore.PlaceLists: ports.ErasureDone, erase.PlaceLists: ports.ErasureDone, erase.PlaceSegments: ports.ErasurePending, erase.PlaceForks: ports.ErasureDone,
		erase.PlaceJournals: ports.ErasurePending, erase.PlaceTails: ports.ErasurePending, erase.PlaceUnfinished: ports.ErasurePending,
		chatcore.PlaceRedisFiles: ports.ErasureUnreachable, chatcore.PlaceChat: ports.ErasureUnreachable,
	})
	verifyPlaces(t, core, []domain.MessageID{""}, map[string]ports.ErasureStatus{
		chatcore.PlaceLog: ports.ErasureDone, chatcore.PlaceSnapshots: ports.ErasureDone, chatcore.PlaceStreams: ports.ErasureDone, chatcore.PlaceDeadLetters: ports.ErasureDone,
		chatcore.PlaceCaches: ports.ErasureDone, chatcore.PlaceLists: ports.ErasureDone, erase.PlaceLists: ports.ErasureDone, erase.PlaceSegments: ports.ErasurePending,
		erase.PlaceForks: ports.ErasureDone, erase.PlaceJournals: ports.ErasurePending, erase.PlaceTails: ports.ErasurePending, erase.PlaceUnfinished: ports.ErasurePending,
		chatcore.PlaceRedisFiles: ports.ErasureUnreachable,
	})
	stop()

	const later = 16 * 24 * time.Hour
	next := core
	for _, shift := range []time.Duration{later / 2, later} { // a full tail that is older than the time for which journals are kept, but later than the erasure
		server.ShiftClock(t, shift)
		next = opened(t)(chatcore.New(ctx, config))
		if err := next.SubscribeBuiltins(); err != nil {
			t.Fatal(err)
		}
		stop = start(t, next)
		if err := next.Vault().Backup(ctx, nil); err != nil {
			t.Fatal(err)
		}
		if shift < later { // the next start removes what is before these tails
			wait.Until(t, "each partition has a second full tail", func() bool { return slices.Min(fullTails(t, core.LogID(), vault)) >= 2 })
			stop()
		}
	}
	wait.Until(t, "journals and tails expire", func() bool { return slices.Equal(filesWith(t, directory, secret), []string{".unfinished", "seg"}) })
	now := time.Now().Add(later)
	eraser := newEraser(t, core.LogID(), vault, func() time.Time { return now })
	for range 2 { // finds earlier generations, and removes them when their grace has ended
		for partition := range 2 {
			if err := eraser.Collect(ctx, partition); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(2 * time.Hour)
	}
	if err := os.Chtimes(crashed, time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
		t.Fatal(err)
	}
	verifyPlaces(t, next, messages, map[string]ports.ErasureStatus{
		chatcore.PlaceLog: ports.ErasureDone, chatcore.PlaceSnapshots: ports.ErasureDone, chatcore.PlaceStreams: ports.ErasureDone, chatcore.PlaceDeadLetters: ports.ErasureDone,
		chatcore.PlaceCaches: ports.ErasureDone, chatcore.PlaceLists: ports.ErasureDone, erase.PlaceLists: ports.ErasureDone, erase.PlaceSegments: ports.ErasureDone, erase.PlaceForks: ports.ErasureDone,
		erase.PlaceJournals: ports.ErasureDone, erase.PlaceTails: ports.ErasureDone, erase.PlaceUnfinished: ports.ErasureDone,
		chatcore.PlaceRedisFiles: ports.ErasureUnreachable, chatcore.PlaceChat: ports.ErasureUnreachable,
	})
	verifyPlaces(t, next, []domain.MessageID{""}, map[string]ports.ErasureStatus{
		chatcore.PlaceLog: ports.ErasureDone, chatcore.PlaceSnapshots: ports.ErasureDone, chatcore.PlaceStreams: ports.ErasureDone, chatcore.PlaceDeadLetters: ports.ErasureDone,
		chatcore.PlaceCaches: ports.ErasureDone, chatcore.PlaceLists: ports.ErasureDone, erase.PlaceLists: ports.ErasureDone, erase.PlaceSegments: ports.ErasureDone,
		erase.PlaceForks: ports.ErasureDone, erase.PlaceJournals: ports.ErasureDone, erase.PlaceTails: ports.ErasureDone, erase.PlaceUnfinished: ports.ErasureDone,
		chatcore.PlaceRedisFiles: ports.ErasureUnreachable,
	})
	for _, text := range []string{secret, title} {
		if left := filesWith(t, directory, text); len(left) > 0 {
			t.Errorf("the vault has %q in %v", text, left)
		}
		if dumpHas(t, server, client, text) {
			t.Errorf("Redis has %q again", text)
		}
	}
}

// TestErase_ReportsHiddenBytes erases a message that many entries of its stream follow: Redis keeps its bytes after the entry is removed. The report says that the
// stream is done only once a dump no longer has them.
func TestErase_ReportsHiddenBytes(t *testing.T) {
	const secret = "hunted-77aa"
	server := redistest.Start(t)
	client, ctx := server.Client(t), t.Context()
	config := quick(chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 2}})
	core := opened(t)(chatcore.New(ctx, config))
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	speak(t, core, "c", 1)
	must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m", Content: secret}))
	speak(t, core, "c", 600)
	must[app.Erased](t)(core.Chats.Erase(ctx, domain.Erase{Chat: "c", Actor: "ada", MessageID: "m"}))
	streams := func() ports.ErasureStatus {
		t.Helper()
		places := must[[]ports.ErasurePlace](t)(core.VerifyErasure(ctx, "c", "m"))
		at := slices.IndexFunc(places, func(p ports.ErasurePlace) bool { return p.Place == chatcore.PlaceStreams })
		return places[at].Status
	}
	if got := streams(); got != ports.ErasurePending {
		t.Errorf("with its entry in the stream: %v", got)
	}
	if err := core.FinishErasure(ctx, "c", "m"); err != nil {
		t.Fatal(err)
	}
	if !dumpHas(t, server, client, secret) {
		t.Fatal("Redis has no byte of the removed entry: the report need not ask")
	}
	if got := streams(); got != ports.ErasurePending {
		t.Errorf("without its entry, but with its bytes: %v", got)
	}
	stop := start(t, core)
	defer stop()
	wait.Until(t, "the stream is trimmed", func() bool { return streams() == ports.ErasureDone })
	if dumpHas(t, server, client, secret) {
		t.Error("Redis has the bytes, and the report says that it has none")
	}
}

// plantText writes a text to everything that an erasure of the user eve removes, and fills a segment. It returns the messages.
// plantInChat plants a text in the events of a chat that no erasure of a message reaches.
func plantInChat(t *testing.T, core *chatcore.Core, text string) {
	t.Helper()
	ctx, set := t.Context(), map[string]string{"topic": `"` + text + `"`, text: "1"}
	for i := range 260 { // snapshots
		must[app.Done](t)(core.Chats.Rename(ctx, domain.Rename{Chat: "c", Actor: "ada", Title: fmt.Sprint(text, i)}))
		must[app.Done](t)(core.Chats.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "c", Actor: "ada", Set: map[string]string{"topic": fmt.Sprintf("%q", fmt.Sprint(text, i))}}))
	}
	must[domain.Chat](t)(core.Queries.Chat(ctx, "c"))
	must[app.Done](t)(core.Chats.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "c", Actor: "ada", Set: set}))
	must[app.Done](t)(core.Chats.UpdateMetadata(ctx, domain.UpdateMetadata{Chat: "c", Actor: "ada", Unset: []string{text}}))
	must[app.Done](t)(core.Chats.Restrict(ctx, domain.Restrict{Chat: "c", Actor: "ada", User: "ben", Kind: domain.Mute, Reason: text}))
	must[app.Done](t)(core.Chats.Restrict(ctx, domain.Restrict{Chat: "c", Actor: "ada", User: "ben", Kind: domain.Mute, Lift: true}))
	poll := chatcore.Define[map[string]string]("poll:created", 1)
	must[app.Done](t)(core.Chats.Record(ctx, domain.Record{Chat: "c", Actor: "ada", Event: poll.Of(map[string]string{text: text}), Entity: "poll"}))
}

func plantText(t *testing.T, core *chatcore.Core, secret string) []domain.MessageID {
	t.Helper()
	ctx := t.Context()
	send := func(m domain.MessageID, thread domain.MessageID) {
		t.Helper()
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{
			Chat: "c", Actor: "eve", MessageID: m, Thread: thread, Content: "sent " + secret, ClientMeta: `{"` + secret + `":1}`,
			Attachments: []domain.Attachment{{Name: secret, URL: "https://example.org/" + secret}},
		}))
	}
	send("early", "")
	for i := range 260 { // a snapshot
		must[app.Done](t)(core.Chats.Edit(ctx, domain.Edit{Chat: "c", Actor: "eve", MessageID: "early", Content: fmt.Sprint(secret, i)}))
	}
	send("deleted", "")
	must[app.Done](t)(core.Chats.Delete(ctx, domain.Delete{Chat: "c", Actor: "eve", MessageID: "deleted", Reason: "because " + secret}))
	send("reply", "early")
	speak(t, core, "c", 1000)
	send("late", "")
	return []domain.MessageID{"early", "deleted", "reply", "late"} // the last one is in no sealed segment
}

// cached reads the messages, and reports whether caches, a snapshot and a dead letter of each message are in Redis.
func cached(t *testing.T, core *chatcore.Core, client *goredis.Client, secret string, messages []domain.MessageID) bool {
	t.Helper()
	letters := 0
	for _, err := range core.Groups().DeadLetters(t.Context(), "fails") {
		if err != nil {
			t.Fatal(err)
		}
		letters++
	}
	for _, m := range messages {
		must[app.MessageView](t)(core.Queries.Message(t.Context(), "c", m))
	}
	keys := keysWith(t, client, secret)
	return letters == len(messages) && slices.Contains(keys, "message:late") && slices.ContainsFunc(keys, func(key string) bool { return strings.HasSuffix(key, ":c:s") })
}

// fullTails returns the number of complete full tails of each of two partitions.
func fullTails(t *testing.T, log string, vault ports.Vault) []int {
	t.Helper()
	full := make([]int, 2)
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range vault.List(t.Context(), log+"/", "") {
		if err != nil {
			t.Fatal(err)
		}
		name, err := object.ParseName(o.Name)
		if err != nil || name.Kind != object.KindTail {
			continue
		}
		data, err := vault.Get(t.Context(), o.Name, 0, ports.WholeObject)
		if err != nil {
			t.Fatal(err)
		}
		if part, err := codec.DecodeTail(name, data); err != nil {
			t.Fatal(err)
		} else if part.Full && part.Last {
			full[name.Partition]++
		}
	}
	return full
}

func newEraser(t *testing.T, log string, vault ports.Vault, now func() time.Time) *erase.Eraser {
	t.Helper()
	codec, err := object.NewCodec()
	if err != nil {
		t.Fatal(err)
	}
	keys, err := keyspace.New("", 2, false)
	if err != nil {
		t.Fatal(err)
	}
	return erase.New(erase.Config{Vault: vault, Codec: codec, Log: log, Partition: keys.Partition, Now: now})
}

// verifyPlaces waits until the report of each message is the wanted one.
func verifyPlaces(t *testing.T, core *chatcore.Core, messages []domain.MessageID, want map[string]ports.ErasureStatus) {
	t.Helper()
	for _, m := range messages {
		var last string
		wait.Until(t, "the report of "+string(m), func() bool {
			places, err := core.VerifyErasure(t.Context(), "c", m)
			if err != nil {
				t.Fatal(err)
			}
			wrong := len(places) != len(want)
			report := ""
			for _, p := range places {
				report += fmt.Sprintf("%s: %v %s\n", p.Place, p.Status, p.Detail)
				wrong = wrong || want[p.Place] != p.Status
			}
			if report != last {
				t.Logf("message %s:\n%s", m, report)
			}
			last = report
			return !wrong
		})
	}
}
