package porttest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

// ViewedLog is an event log with a view of its chats.
type ViewedLog interface {
	Log
	ports.ChatView
}

// ChatView tests the view of the chats of a log, on the latest level. open may return the same log for every subtest.
func ChatView(t *testing.T, open func(t *testing.T) ViewedLog) {
	t.Run("random puts", func(t *testing.T) {
		log := open(t)
		rapid.Check(t, func(rt *rapid.T) { testChatView(rt, log) })
	})
	t.Run("many chats", func(t *testing.T) { testViewOfManyChats(t, open(t)) })
}

// viewedChats compares a view with its model: the entries that were taken.
type viewedChats struct {
	*harness
	log   ViewedLog
	chats []domain.ChatID
	past  []ports.ChatViewEntry // of all states of all messages
	taken map[domain.ChatID]ports.ChatViewEntry
}

func testChatView(rt *rapid.T, log ViewedLog) {
	v := viewedChats{harness: newHarness(rt, log), log: log, taken: make(map[domain.ChatID]ports.ChatViewEntry)}
	for i := range 3 {
		c := NewChatID() + domain.ChatID([]string{"", ":%-ü", " x"}[i])
		v.chats = append(v.chats, c)
		v.append(then(created(c)))
	}
	for n := range rapid.IntRange(1, 30).Draw(rt, "steps") {
		c := rapid.SampledFrom(v.chats).Draw(rt, "chat")
		v.change(rt, c, n)
		if len(v.past) > 0 && rapid.Bool().Draw(rt, "put") {
			v.put(rapid.SliceOfN(rapid.SampledFrom(v.past), 1, 3).Draw(rt, "entries"))
		}
		v.checkRows(v.chats)
	}
	v.checkRows(append(v.chats, NewChatID()))
}

// change appends an event, or erases a message.
func (v *viewedChats) change(rt *rapid.T, c domain.ChatID, n int) {
	ids := []domain.MessageID{"plain", "1:2:", "0190a3b4-5c6d-7e8f-9a0b-1c2d3e4f5a6b", domain.MessageID(fmt.Sprint("m", n))}
	m := rapid.SampledFrom(ids).Draw(rt, "message")
	known := v.history(c)
	exists := known.version(domain.MessageEntity(m)) > 0
	switch what := rapid.SampledFrom([]string{"send", "reply", "edit", "delete", "pin", "react", "erase", "read"}).Draw(rt, "what"); {
	case what == "read":
		v.append(then(read(c, m, bob, max(known.head(), 1))))
	case !exists && what == "reply":
		v.append(then(repliedIn(c, m, ann, "root", rapid.Bool().Draw(rt, "in chat"), false)))
	case !exists:
		v.append(then(sent(c, m, ann)))
	case known.deleted(m) && what != "erase" || what == "react":
		v.append(then(reacted(c, m, bob)))
	case what == "edit":
		v.append(then(edited(c, m, ann)))
	case what == "delete":
		send, _ := known.records[known.moved[domain.MessageEntity(m)][0]-1].Event.(domain.MessageNew)
		send.Chat, send.Message = c, m
		v.append(then(deletionOf(send, ann)))
	case what == "pin":
		v.append(then(pinned(c, m, ann)))
	case what == "erase":
		v.erase(known.erasing(c, m, ann, nil))
		delete(v.taken, c)
	}
	if version := known.version(domain.MessageEntity(m)); version > 0 {
		v.past = append(v.past, entryOf(c, m, known.moved[domain.MessageEntity(m)][0], version))
	}
}

// entryOf returns an entry of a state of a message.
func entryOf(c domain.ChatID, m domain.MessageID, seq, version domain.Seq) ports.ChatViewEntry {
	e := ports.ChatViewEntry{Chat: c, Version: version, LastPreview: ports.LastPreview{
		Message: m, Seq: seq, Sender: "a:7:ü", At: now(), Deleted: version%2 == 0, Attachments: int(version % 3), //nolint:gosec // small
	}}
	if version%4 > 0 {
		e.Preview = fmt.Sprintf("12:ü \x00 %d:%s", version, strings.Repeat("ö", 100))
	}
	return e
}

func (v *viewedChats) put(entries []ports.ChatViewEntry) {
	v.t.Helper()
	for _, e := range entries {
		if last := v.last(e.Chat); last == e.Seq && v.history(e.Chat).version(domain.MessageEntity(e.Message)) == e.Version {
			v.taken[e.Chat] = e
		}
	}
	if err := v.log.PutLastMessages(v.t.Context(), entries...); err != nil {
		v.t.Fatalf("put: %v", err)
	}
}

// last returns the seq of the last message of a chat's main timeline, 0 if there is none.
func (v *viewedChats) last(c domain.ChatID) domain.Seq {
	for _, r := range slices.Backward(v.history(c).records) {
		if domain.InTimeline(r.Event) {
			return r.Seq
		}
	}
	return 0
}

// checkRows compares the entries and the rows of chats.
func (v *viewedChats) checkRows(chats []domain.ChatID) {
	v.t.Helper()
	ctx, cancel := v.bounded()
	defer cancel()
	kept, err := v.log.ListedLastMessages(ctx, chats...)
	loads := make([]ports.ChatLoad, len(chats))
	for i, c := range chats {
		loads[i] = ports.ChatLoad{Chat: c, Wants: []ports.LoadRequest{{Entity: domain.ChatEntity()}, {Entity: domain.ReadEntity(bob), Latest: true}}}
	}
	rows, err2 := v.log.LoadRows(ctx, ann, loads...)
	loaded, err3 := v.log.LoadChats(ctx, loads...)
	if err != nil || err2 != nil || err3 != nil || len(kept) != len(chats) || len(rows) != len(chats) {
		v.t.Fatalf("%d entries, error %v; %d rows, error %v; of %d chats, error %v", len(kept), err, len(rows), err2, len(chats), err3)
	}
	for i, c := range chats {
		taken, last := v.taken[c], v.last(c)
		if taken.Chat = c; kept[i] != taken {
			v.t.Fatalf("chat %q has the entry %+v, want %+v", c, kept[i], taken)
		}
		var want ports.LastPreview
		current := v.history(c).head() > 0 && last == 0
		if taken.Version > 0 && taken.Seq == last && v.history(c).version(domain.MessageEntity(taken.Message)) == taken.Version {
			current, want = true, taken.LastPreview
		}
		if rows[i].Current != current || rows[i].Last != want || !reflect.DeepEqual(rows[i].Loaded, loaded[i]) {
			v.t.Fatalf("chat %q has the row %+v, want %+v, current %t, and %+v", c, rows[i], want, current, loaded[i])
		}
		if counter, counts := v.log.(ports.UnreadCounter); counts {
			count, err := counter.CountUnread(ctx, ann, c)
			if err != nil || count[0] != rows[i].Unread {
				v.t.Fatalf("chat %q has %+v unread, counted by themselves %+v, error %v", c, rows[i].Unread, count, err)
			}
		}
	}
}

// testViewOfManyChats puts and reads the entries of more chats than one call takes.
func testViewOfManyChats(t *testing.T, log ViewedLog) {
	v := viewedChats{harness: newHarness(t, log), log: log, taken: make(map[domain.ChatID]ports.ChatViewEntry)}
	var entries []ports.ChatViewEntry
	for range 700 {
		c := NewChatID()
		v.chats = append(v.chats, c)
		v.append(then(created(c), sent(c, "m", ann)))
		entries = append(entries, entryOf(c, "m", 2, 2))
	}
	v.put(entries)
	v.checkRows(v.chats)
}
