package connect_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/domain"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// process is one of several processes that serve one log. Its connections to Redis pass a proxy.
type process struct {
	*world

	redis *redistest.Proxy
}

// processes starts two processes of a log with short leases of partitions.
func processes(t *testing.T) (a, b *process) {
	t.Helper()
	server, namespace := redistest.Start(t), "consume-"+uuid.NewString()
	start := func() *process {
		proxy := redistest.StartProxy(t, server)
		core, err := chatcore.New(t.Context(), chatcore.Config{
			Redis: chatcore.RedisConfig{URL: proxy.URL(), Namespace: namespace, CommandTimeout: time.Second},
			Log:   chatcore.LogConfig{Partitions: 2}, Delivery: chatcore.DeliveryConfig{Lease: 2 * time.Second}, StopTimeout: 10 * time.Second,
			Logger: slog.New(slog.DiscardHandler),
		})
		did(t, err)
		did(t, core.SubscribeDefined())
		running, stop := context.WithCancel(context.WithoutCancel(t.Context()))
		did(t, core.Start(running))
		t.Cleanup(func() {
			stop()
			if err := errors.Join(core.Wait(), core.Close()); err != nil {
				t.Error(err)
			}
		})
		p := &process{&world{core: core, log: &logText{}, namespace: namespace}, proxy}
		handler, err := connect.New(core, connect.Config{Logger: slog.New(slog.DiscardHandler)})
		did(t, err)
		p.serve(t, handler, nil)
		return p
	}
	return start(), start()
}

// members returns the number of processes that are members of a group.
func (w *world) members(t *testing.T, name string) int {
	t.Helper()
	state, _ := w.group(t, name)
	return state.Members
}

// TestConsume_SettleElsewhere settles deliveries of one process by the stream of another one, and by its Settle: they count as at their own.
func TestConsume_SettleElsewhere(t *testing.T) {
	owner, other := processes(t)
	client, group, done, stale := consumers(t, other.url), owner.defined(t), consumerv1.SettleStatus_SETTLE_STATUS_DONE, consumerv1.SettleStatus_SETTLE_STATUS_STALE
	stream := started(t, consumers(t, owner.url), "", &consumerv1.ConsumeStart{Group: group, Credit: 1})
	chat := owner.chat(t)
	first := stream.delivery()
	answer, err := client.Settle(t.Context(), &consumerv1.SettleRequest{Group: group, Settlements: []*consumerv1.Settlement{acked(first), retried(first), acked(first)}})
	did(t, err)
	for i, want := range []consumerv1.SettleStatus{done, stale, done} {
		if got := answer.GetResults()[i].GetStatus(); got != want {
			t.Errorf("settlement %d is %v, want %v", i, got, want)
		}
	}
	second := stream.delivery() // the credit is free again
	if second.GetEvent().GetSeq() != 2 || second.GetEvent().GetChatId() != chat {
		t.Fatalf("%v follows", second)
	}
	elsewhere := started(t, client, "", &consumerv1.ConsumeStart{Group: group, Credit: 1})
	elsewhere.settle(retried(second))
	if got := elsewhere.status(second.GetToken()); got != done {
		t.Errorf("the settlement by another stream is %v", got)
	}
}

// TestConsume_Takeover cuts a process that has deliveries off from Redis: another one delivers the events of its chats again, in order and under higher
// epochs. Late settlements are stale, at each process.
func TestConsume_Takeover(t *testing.T) {
	dying, heir := processes(t)
	group := dying.id("pull")
	_, err := dying.core.Definitions().Create(t.Context(), groups.Definition{Group: group, Kind: groups.KindPull, Retry: groups.Retry{Attempts: 50}})
	did(t, err)
	start := &consumerv1.ConsumeStart{Group: group, Credit: 10}
	lost, found := started(t, consumers(t, dying.url), "", start), started(t, consumers(t, heir.url), "", start)
	wait.Until(t, "both processes are members", func() bool { return heir.members(t, group) == 2 })
	chats := []string{"a", "b", "c", "d"}
	for _, chat := range chats {
		_, err := heir.core.Chats.Create(t.Context(), domain.Create{Chat: domain.ChatID(chat), Actor: "ada", Title: "T"})
		did(t, err)
		for range 3 {
			heir.message(t, chat)
		}
	}
	var held *consumerv1.Delivery
	received := make(chan *consumerv1.Delivery, 100)
	go func() {
		defer close(received)
		for {
			m, err := lost.next()
			if err != nil {
				return
			}
			for _, d := range m.GetDeliveries().GetDeliveries() {
				received <- d
			}
		}
	}()
	select {
	case held = <-received:
	case <-time.After(wait.Limit):
		t.Fatal("the process has no partition")
	}
	dying.redis.Swallow(true)
	seqs := make(map[string]uint32) // the last that is acked, by chat
	for len(seqs) < len(chats) || seqs["a"]+seqs["b"]+seqs["c"]+seqs["d"] < 4*uint32(len(chats)) {
		d := found.delivery()
		e := d.GetEvent()
		if e.GetSeq() > seqs[e.GetChatId()]+1 {
			t.Errorf("seq %d of chat %s comes after %d", e.GetSeq(), e.GetChatId(), seqs[e.GetChatId()])
		}
		if e.GetId() == held.GetEvent().GetId() {
			if d.GetEpoch() <= held.GetEpoch() || !d.GetRedelivered() {
				t.Errorf("%v is delivered again as %v", held, d)
			}
		}
		found.settle(acked(d))
		if found.status(d.GetToken()) == consumerv1.SettleStatus_SETTLE_STATUS_DONE {
			seqs[e.GetChatId()] = e.GetSeq()
		}
	}
	settle := &consumerv1.SettleRequest{Group: group, Settlements: []*consumerv1.Settlement{acked(held)}}
	stale := func(p *process) bool {
		answer, err := consumers(t, p.url).Settle(t.Context(), settle)
		if err != nil {
			return false
		}
		if got := answer.GetResults()[0].GetStatus(); got != consumerv1.SettleStatus_SETTLE_STATUS_STALE {
			t.Fatalf("a late ack is %v", got)
		}
		return true
	}
	if !stale(dying) { // it cannot know of the other one
		t.Error("the process that was cut off does not answer")
	}
	dying.redis.Swallow(false)
	dying.redis.Cut()
	wait.Until(t, "the other process answers", func() bool { return stale(heir) })
}
