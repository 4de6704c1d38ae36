package archive_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chatcore/adapters/memory"
	"chatcore/adapters/vault/archive"
	"chatcore/domain"
	"chatcore/ports"
)

// faulty is a vault that fails once in a while.
type faulty struct {
	ports.Vault
	before, after int // calls of Put until one fails before it has stored the object, or after it; 0: none does

	put func(name string) // is called before an object is stored, unless it is nil
}

// Put implements [ports.Vault].
func (v *faulty) Put(ctx context.Context, name string, body []byte) error {
	if v.before--; v.before == 0 {
		return ports.ErrUnavailable
	}
	if v.put != nil {
		v.put(name)
	}
	err := v.Vault.Put(ctx, name, body)
	if v.after--; v.after == 0 && err == nil {
		return ports.ErrUnavailable
	}
	return err
}

// process is a process with an archiver. Its member of the group has events in memory.
type process struct {
	archiver *archive.Archiver
	vault    *faulty
	fresh    bool
	queue    map[domain.ChatID][]ports.Delivery
}

// world is a log, a vault and processes, one of which owns the partition. The others were frozen when it took over.
type world struct {
	log       *fakeLog
	objects   ports.Vault
	processes []*process
	journaled map[domain.EventID]bool // events whose batches were finished
	chats     []domain.ChatID
}

func newWorld() *world {
	w := &world{log: newFakeLog(), objects: memory.NewVault(), journaled: make(map[domain.EventID]bool), chats: []domain.ChatID{"a", "b", "a/chat"}}
	w.takeOver()
	return w
}

const fakeLogID = "log"

// newArchiver returns an archiver of a fake log.
func newArchiver(log *fakeLog, vault ports.Vault) *archive.Archiver {
	a, err := archive.New(archive.Config{
		Vault: vault, Log: log, LogID: fakeLogID, Partitions: 1, Hash: "h", Histories: log, Began: log.History(context.Background()), Clock: log, Groups: log, Group: fakeGroup,
		Flush: time.Second, TailEvery: 24 * time.Hour, FullTailEvery: 7 * 24 * time.Hour, Keep: 7 * 24 * time.Hour, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		panic(err)
	}
	return a
}

func (w *world) owner() *process { return w.processes[len(w.processes)-1] }

// takeOver has another process acquire the partition.
func (w *world) takeOver() {
	v := &faulty{Vault: w.objects}
	w.processes = append(w.processes, &process{archiver: newArchiver(w.log, v), vault: v, fresh: true, queue: make(map[domain.ChatID][]ports.Delivery)})
}

// fetch has a member read up to n events of each chat.
func (w *world) fetch(p *process, n int) {
	w.log.mu.Lock()
	defer w.log.mu.Unlock()
	for chat, events := range w.log.now.chats {
		next := int(w.log.now.checkpoints[string(chat)])
		if queue := p.queue[chat]; len(queue) > 0 {
			next = int(queue[len(queue)-1].ID.Seq)
		}
		for ; next < len(events) && len(p.queue[chat]) < n; next++ {
			var id string
			_, _ = fmt.Sscanf(events[next], `{"eventId":%q`, &id)
			p.queue[chat] = append(p.queue[chat], ports.Delivery{
				ID:      ports.DeliveryID{Log: fakeLogID, Chat: chat, Seq: domain.Seq(next + 1), Event: domain.EventID(id)},
				Ordinal: domain.Ordinal((next + 1) / 2), JSON: []byte(events[next]), Appended: w.log.time,
			})
		}
	}
}

// handle has a process handle the events that it has read. Only the owner of the partition commits what is finished.
func (w *world) handle(ctx context.Context, p *process) error {
	var batches []*ports.ChatBatch
	for _, chat := range slices.Sorted(maps.Keys(p.queue)) {
		if len(p.queue[chat]) > 0 {
			batches = append(batches, &ports.ChatBatch{Deliveries: p.queue[chat]})
		}
	}
	if len(batches) == 0 {
		return nil
	}
	p.archiver.Handle(ctx, batches)
	var first error
	for _, b := range batches {
		chat := b.Deliveries[0].ID.Chat
		if first == nil {
			first = b.Err
		}
		for _, d := range b.Deliveries[:b.Done] {
			w.journaled[d.ID.Event] = true
		}
		p.queue[chat] = p.queue[chat][b.Done:]
		if p == w.owner() && b.Done > 0 {
			w.log.finish(b.Deliveries[:b.Done])
		}
	}
	return first
}

// finish moves a checkpoint past events, unless the log has lost them: a commit is refused then.
func (l *fakeLog) finish(done []ports.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	chat, last := done[0].ID.Chat, done[len(done)-1]
	if events := l.now.chats[chat]; int(last.ID.Seq) <= len(events) && events[last.ID.Seq-1] == string(last.JSON) {
		l.now.checkpoints[string(chat)] = max(l.now.checkpoints[string(chat)], last.ID.Seq)
	}
}

// forget has a process discard what it has read, as a member does whose lease ends.
func (p *process) forget() { clear(p.queue) }

// quiesce ends all faults, and has the owner archive everything.
func (w *world) quiesce(t tb) {
	ctx := context.Background()
	w.log.notice()
	p := w.owner()
	p.vault.before, p.vault.after = 0, 0
	p.forget()
	for range 1000 {
		w.fetch(p, 900)
		if err := w.handle(ctx, p); err != nil {
			t.Fatalf("a flush without faults: %v", err)
		}
		state, _ := w.log.Inspect(ctx, "", nil)
		if state.Partitions[0].Lag == 0 {
			break
		}
	}
	if err := p.archiver.Maintain(ctx, p.fresh); err != nil {
		t.Fatalf("maintenance without faults: %v", err)
	}
	p.fresh = false
}

type tb interface {
	Helper()
	Fatalf(format string, args ...any)
}

// check compares the vault with the log.
func (w *world) check(t tb) *vaultState {
	t.Helper()
	s, err := readVault(context.Background(), w.objects, fakeLogID)
	if err != nil {
		t.Fatalf("reading the vault: %v", err)
	}
	if len(s.faults) > 0 {
		t.Fatalf("%d faults, for example %s", len(s.faults), s.faults[0])
	}
	present := make(map[domain.EventID]bool)
	for chat, events := range w.log.now.chats {
		got := s.events(chat)
		if !slices.Equal(got, events) {
			t.Fatalf("the vault has %d events of %s, the log %d; %s", len(got), chat, len(events), firstDifference(got, events))
		}
		if over := len(s.chats[chat]) - len(events); over > 0 {
			t.Fatalf("the vault has %d events of %s beyond the log's %d", over, chat, len(events))
		}
		noted, stored := w.log.now.sealed[chat], uint64(len(s.segments[chat])) // the log may have lost the last note, or the event after it
		if noted > stored || noted < uint64(max(len(events)-1, 0))/1024 {
			t.Fatalf("%d segments of %s are sealed, %d are noted, of %d events", stored, chat, noted, len(events))
		}
		for _, e := range s.chats[chat] {
			present[e.event.ID] = true
		}
	}
	lost := s.lost()
	for id := range w.journaled {
		if !present[id] && !lost[id] {
			t.Fatalf("the event %s was archived, and is neither in the log nor in a fork", id)
		}
	}
	for id := range lost {
		if present[id] {
			t.Fatalf("the event %s is in a fork, and the log has it", id)
		}
	}
	return s
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("%s instead of %s", got[i], want[i])
		}
	}
	return "one is a part of the other"
}

// TestArchiver_Model archives a log that fails over, into a vault that fails, in processes that take over from each other and go on after a freeze. In the end
// a reader of the vault finds the events of the log, and every other event that was archived in a fork.
func TestArchiver_Model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx, w := context.Background(), newWorld()
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				w.log.append(rapid.SampledFrom(w.chats).Draw(rt, "chat"), rapid.SampledFrom([]int{1, 3, 200, 1024, 1500}).Draw(rt, "events"))
			},
			"fetch":  func(rt *rapid.T) { w.fetch(w.owner(), rapid.SampledFrom([]int{2, 50, 3000}).Draw(rt, "at most")) },
			"handle": func(*rapid.T) { _ = w.handle(ctx, w.owner()) },
			"flush": func(*rapid.T) {
				w.fetch(w.owner(), 5000)
				_ = w.handle(ctx, w.owner())
			},
			"maintain": func(*rapid.T) {
				p := w.owner()
				p.fresh = p.archiver.Maintain(ctx, p.fresh) != nil && p.fresh
			},
			"clock": func(rt *rapid.T) {
				w.log.advance(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Hour, 25 * time.Hour}).Draw(rt, "by"))
			},
			"forget":    func(*rapid.T) { w.owner().forget() },
			"replicate": func(*rapid.T) { w.log.replicate() },
			"failover": func(rt *rapid.T) {
				w.log.failover()
				if rapid.Bool().Draw(rt, "noticed") {
					w.log.notice()
				}
				if rapid.Bool().Draw(rt, "discarded") {
					w.owner().forget()
				}
			},
			"notice": func(*rapid.T) { w.log.notice() },
			"put fails": func(rt *rapid.T) {
				v := w.owner().vault
				v.before, v.after = rapid.IntRange(0, 4).Draw(rt, "before"), rapid.IntRange(0, 4).Draw(rt, "after")
			},
			"take over": func(*rapid.T) { w.takeOver() },
			"thaw": func(rt *rapid.T) {
				_ = w.handle(ctx, w.processes[rapid.IntRange(0, len(w.processes)-1).Draw(rt, "process")])
			},
			"quiesce": func(rt *rapid.T) {
				w.quiesce(rt)
				w.check(rt)
			},
		})
		w.quiesce(rt)
		w.check(rt)
	})
}
