package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/vault"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestDisaster destroys a Redis server with its data while writers write, and restores the log from its vault on another server. Everything that was acknowledged before
// the last backup is there, every chat is dense and has no event that was never acknowledged or sent, and a consumer group goes on: each event has one identity for
// ever, by which its effect is made once.
func TestDisaster(t *testing.T) {
	s := set(t)
	for round, began := uint64(0), time.Now(); round == 0 || s.long && time.Since(began) < s.duration; round++ {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			newDisaster(t, rand.New(rand.NewPCG(s.seed, round))).run(t) //nolint:gosec // repeatable
		})
	}
}

// disaster is what the drill knows of a log, beside the log.
type disaster struct {
	random *rand.Rand
	vault  ports.Vault

	mu      sync.Mutex
	sent    map[domain.MessageID]bool       // given to Send, acknowledged or not
	acked   map[domain.MessageID]domain.Seq // by message, of all chats: ids are unique
	effects map[domain.EventID]ports.DeliveryID
	doubled int // deliveries of an event with another identity than before
}

func newDisaster(t *testing.T, random *rand.Rand) *disaster {
	t.Helper()
	v, err := vault.Open(t.Context(), filepath.Join(t.TempDir(), "vault"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return &disaster{
		random: random, vault: v, sent: make(map[domain.MessageID]bool), acked: make(map[domain.MessageID]domain.Seq),
		effects: make(map[domain.EventID]ports.DeliveryID),
	}
}

// disasterChats is how many chats the writers write to.
const disasterChats = 5

func disasterChat(i int) domain.ChatID { return domain.ChatID(fmt.Sprint("chat-", i%disasterChats)) }

// open runs a core on a server, with the vault and a group whose effects are kept.
func (d *disaster) open(t *testing.T, server *redistest.Server) (core *chatcore.Core, stop func()) {
	t.Helper()
	core, err := chatcore.New(t.Context(), chatcore.Config{
		Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 4}, Vault: chatcore.VaultConfig{Store: d.vault, Flush: 100 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	effect := chatcore.On(func(_ context.Context, e chatcore.Delivery[domain.MessageNew]) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		id := ports.DeliveryID(e.ID)
		if before, again := d.effects[id.Event]; again && before != id {
			d.doubled++
		}
		d.effects[id.Event] = id
		return nil
	})
	if err := core.Subscribe("effects", chatcore.FromBeginning(), effect); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = core.Run(ctx) // the server dies
	}()
	return core, func() {
		cancel()
		<-ended
		_ = core.Close()
	}
}

// write sends messages until ctx ends.
func (d *disaster) write(ctx context.Context, core *chatcore.Core, writer int) {
	for i := 0; ctx.Err() == nil; i++ {
		id := domain.MessageID(fmt.Sprintf("m-%d-%d", writer, i))
		d.mu.Lock()
		d.sent[id] = true
		d.mu.Unlock()
		sent, err := core.Chats.Send(ctx, domain.Send{Chat: disasterChat(i), Actor: "ada", MessageID: id, Content: string(id)})
		if err != nil {
			continue
		}
		d.mu.Lock()
		d.acked[id] = sent.Seq
		d.mu.Unlock()
	}
}

func (d *disaster) run(t *testing.T) {
	ctx := t.Context()
	server := redistest.Start(t)
	core, stop := d.open(t, server)
	for i := range disasterChats {
		if _, err := core.Chats.Create(ctx, domain.Create{Chat: disasterChat(i), Actor: "ada"}); err != nil {
			t.Fatal(err)
		}
	}
	writing, cease := context.WithCancel(ctx)
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() { d.write(writing, core, w) })
	}
	d.await(t, 1+d.random.IntN(1500))
	safe := d.acknowledged()
	if err := core.Vault().Backup(ctx, nil); err != nil {
		t.Fatal(err)
	}
	d.await(t, len(safe)+1+d.random.IntN(1500))
	server.Kill() // its data are never read again
	cease()
	writers.Wait()
	stop()

	other := redistest.Start(t)
	config := chatcore.Config{Redis: chatcore.RedisConfig{URL: other.URL()}}
	report, err := chatcore.Restore(ctx, config, chatcore.RestoreConfig{Vault: d.vault})
	if err != nil {
		t.Fatal(err)
	}
	if report.Log == report.Source || len(report.Ancestors) != 1 {
		t.Errorf("a log that may have lost events keeps its id: %+v", report)
	}
	restored, stop := d.open(t, other)
	defer stop()
	events := d.checkLog(t, restored, safe)
	wait.Until(t, "the group has handled all events", func() bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		for event := range events {
			if _, done := d.effects[event]; !done {
				return false
			}
		}
		return true
	})
	if d.doubled > 0 {
		t.Errorf("%d deliveries had another identity than before", d.doubled)
	}
	if sent, err := restored.Chats.Send(ctx, domain.Send{Chat: disasterChat(0), Actor: "ada", MessageID: "after", Content: "life goes on"}); err != nil || sent.Duplicate {
		t.Errorf("a send afterwards: %+v, error %v", sent, err)
	}
	for contradiction, err := range restored.Fsck(ctx, chatcore.FsckConfig{}) {
		t.Errorf("fsck: %+v, error %v", contradiction, err)
	}
}

// await waits until a number of messages are acknowledged.
func (d *disaster) await(t *testing.T, n int) {
	t.Helper()
	wait.Until(t, fmt.Sprint(n, " acknowledged messages"), func() bool { return len(d.acknowledged()) >= n })
}

func (d *disaster) acknowledged() map[domain.MessageID]domain.Seq {
	d.mu.Lock()
	defer d.mu.Unlock()
	acked := make(map[domain.MessageID]domain.Seq, len(d.acked))
	for id, seq := range d.acked {
		acked[id] = seq
	}
	return acked
}

// checkLog compares the restored log with what is known, and returns its messages' events.
func (d *disaster) checkLog(t *testing.T, core *chatcore.Core, safe map[domain.MessageID]domain.Seq) map[domain.EventID]bool {
	t.Helper()
	events, found := make(map[domain.EventID]bool), make(map[domain.MessageID]domain.Seq)
	for i := range disasterChats {
		next := domain.Seq(1)
		for {
			page, err := core.Queries.Events(t.Context(), disasterChat(i), domain.Span{After: next - 1, First: next == 1, Limit: app.MaxEvents})
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			for _, r := range page {
				if r.Seq != next {
					t.Fatalf("%s: seq %d after %d", disasterChat(i), r.Seq, next-1)
				}
				next++
				if m, ok := r.Event.(domain.MessageNew); ok {
					found[m.Message], events[r.ID] = r.Seq, true
				}
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for id, seq := range safe {
		if found[id] != seq {
			t.Errorf("%s was acknowledged at seq %d before the backup, and is at %d", id, seq, found[id])
		}
	}
	for id, seq := range found {
		if acked, known := d.acked[id]; !d.sent[id] || known && acked != seq {
			t.Errorf("%s is at seq %d, was acknowledged at %d, sent %t", id, seq, acked, d.sent[id])
		}
	}
	return events
}
