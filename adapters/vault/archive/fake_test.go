package archive_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// saved is the data of a fake log at a moment, the state of the archiver's group included.
type saved struct {
	chats       map[domain.ChatID][]string
	checkpoints map[string]domain.Seq
	sealed      map[domain.ChatID]uint64
	noted       string
}

func (s saved) clone() saved {
	c := saved{chats: make(map[domain.ChatID][]string), checkpoints: maps.Clone(s.checkpoints), sealed: maps.Clone(s.sealed), noted: s.noted}
	for chat, events := range s.chats {
		c.chats[chat] = slices.Clip(events)
	}
	return c
}

// fakeLog is a log with one partition that can lose its last events. It is also its clock, its history and the stores of its groups.
type fakeLog struct {
	groups.Stores

	mu       sync.Mutex
	now      saved
	replica  saved // what is left after a failover
	time     time.Time
	history  int // of the log
	known    int // of these the one that processes know
	appended int // events so far, lost ones included
	members  int // of the archiver's group
}

func newFakeLog() *fakeLog {
	l := &fakeLog{time: time.UnixMilli(1_800_000_000_000)}
	l.now = saved{checkpoints: make(map[string]domain.Seq), sealed: make(map[domain.ChatID]uint64)}.clone()
	l.replicate()
	return l
}

const fakeGroup = "vault"

func (l *fakeLog) replicate() { l.replica = l.now.clone() }

// failover makes the log go on with its replica. Processes know the new history only once they have noticed it.
func (l *fakeLog) failover() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.replica.clone()
	l.history++
}

func (l *fakeLog) notice() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.known = l.history
}

func (l *fakeLog) advance(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.time = l.time.Add(d)
}

func (l *fakeLog) append(chat domain.ChatID, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for range n {
		l.appended++
		seq := len(l.now.chats[chat]) + 1
		l.now.chats[chat] = append(l.now.chats[chat], fmt.Sprintf(
			`{"eventId":"e%d","type":"later:type","v":7,"timestamp":"2026-05-01T10:00:00.000Z","seq":%d,"ordinal":%d,"chatId":%q}`, l.appended, seq, seq/2, chat,
		))
	}
}

// erase overwrites an event.
func (l *fakeLog) erase(chat domain.ChatID, seq int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	events := slices.Clone(l.now.chats[chat])
	events[seq-1] = strings.TrimSuffix(events[seq-1], "}") + `,"erased":true}`
	l.now.chats[chat] = events
}

func historyName(n int) string { return fmt.Sprintf("history%03d", n) }

// History implements [ports.Histories].
func (l *fakeLog) History(context.Context) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return historyName(l.known)
}

// Now implements [ports.LogClock].
func (l *fakeLog) Now() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.time
}

// Sleep implements [ports.LogClock].
func (l *fakeLog) Sleep(context.Context, time.Time) error { panic("nobody sleeps") }

// ListHeads implements [ports.Backlog].
func (l *fakeLog) ListHeads(context.Context, int, uint64) (heads []ports.ChatHead, next uint64, total int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, chat := range slices.Sorted(maps.Keys(l.now.chats)) {
		heads = append(heads, ports.ChatHead{Chat: chat, Head: domain.Seq(len(l.now.chats[chat]))})
	}
	return heads, 0, len(heads), nil
}

// ReadRaw implements [ports.Backlog]. It returns fewer events than it could.
func (l *fakeLog) ReadRaw(_ context.Context, _ int, _ string, ranges []ports.EventRange) (pages []ports.EncodedPage, witness string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	pages = make([]ports.EncodedPage, len(ranges))
	for i, r := range ranges {
		events := l.now.chats[r.Chat]
		pages[i].Head = domain.Seq(len(events))
		for seq := int(r.From); seq <= len(events) && len(pages[i].Events) < min(r.Limit, 700); seq++ {
			pages[i].Events = append(pages[i].Events, []byte(events[seq-1]))
		}
	}
	return pages, "", nil
}

// CompareHeads implements [ports.Backlog].
func (l *fakeLog) CompareHeads(context.Context, int, string, uint64, int) (ports.HeadPage, error) {
	panic("no archiver compares heads")
}

// LoadChats implements [archive.Log]: no event of the log has a command.
func (l *fakeLog) LoadChats(context.Context, ...ports.ChatLoad) ([]ports.Loaded, error) {
	panic("there are no commands")
}

// ArchivedHistory implements [ports.VaultNotes].
func (l *fakeLog) ArchivedHistory(context.Context, int) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now.noted, nil
}

// CheckHistory implements [ports.VaultNotes].
func (l *fakeLog) CheckHistory(_ context.Context, _ int, history string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if history != historyName(l.history) {
		return ports.ErrConflict
	}
	return nil
}

// NoteHistory implements [ports.VaultNotes].
func (l *fakeLog) NoteHistory(_ context.Context, _ int, history string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if history != historyName(l.history) {
		return ports.ErrConflict
	}
	l.now.noted = history
	return nil
}

// SealedSegments implements [ports.VaultNotes].
func (l *fakeLog) SealedSegments(_ context.Context, _ int, chats []domain.ChatID) (sealed []uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, chat := range chats {
		sealed = append(sealed, l.now.sealed[chat])
	}
	return sealed, nil
}

// NoteSealed implements [ports.VaultNotes].
func (l *fakeLog) NoteSealed(_ context.Context, _ int, history string, chat domain.ChatID, from, to uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if history != historyName(l.history) || l.now.sealed[chat] != from || uint64(len(l.now.chats[chat])) < to*1024 {
		return ports.ErrConflict
	}
	l.now.sealed[chat] = to
	return nil
}

// CountSealed implements [ports.VaultNotes].
func (l *fakeLog) CountSealed(context.Context, int) (n uint64, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, sealed := range l.now.sealed {
		n += sealed
	}
	return n, nil
}

// fakeStore is the store of a group.
type fakeStore struct {
	groups.Store
	log   *fakeLog
	group string
}

// Store implements [groups.Stores].
func (l *fakeLog) Store(group string) groups.Store { return fakeStore{log: l, group: group} }

// Partitions implements [groups.Stores].
func (l *fakeLog) Partitions() []groups.Partition { return []groups.Partition{{Stream: "s"}} }

// List implements [groups.Stores].
func (l *fakeLog) List(context.Context) ([]groups.State, error) {
	return []groups.State{{Group: "other"}, {Group: fakeGroup, Members: l.members}}, nil
}

// Inspect implements [groups.Stores]: the position is the number of events that are finished.
func (l *fakeLog) Inspect(context.Context, string, []groups.Partition) (groups.State, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	position, left := uint64(0), uint64(0)
	for chat, events := range l.now.chats {
		position += uint64(l.now.checkpoints[string(chat)])
		left += uint64(len(events)) - uint64(l.now.checkpoints[string(chat)])
	}
	return groups.State{Partitions: []groups.PartitionState{{Position: fmt.Sprintf("%d-0", position), Lag: left}}}, nil
}

// Close implements [groups.Store].
func (fakeStore) Close() error { return nil }

// Last implements [groups.Store].
func (s fakeStore) Last(context.Context, groups.Partition) (last groups.StreamID, err error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, events := range s.log.now.chats {
		last.Milliseconds += uint64(len(events))
	}
	return last, nil
}

// Checkpoints implements [groups.Store]: the other group has finished all but the last event of each chat.
func (s fakeStore) Checkpoints(_ context.Context, _ groups.Partition, chats []string) (seqs []domain.Seq, err error) {
	s.log.mu.Lock()
	defer s.log.mu.Unlock()
	for _, chat := range chats {
		if s.group == fakeGroup {
			seqs = append(seqs, s.log.now.checkpoints[chat])
		} else {
			seqs = append(seqs, domain.Seq(max(len(s.log.now.chats[domain.ChatID(chat)])-1, 0)))
		}
	}
	return seqs, nil
}
