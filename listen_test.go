package chatcore_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// vote is the data of custom events.
type vote struct{ N int }

// heardBy counts the types of events that a listener hears.
type heardBy struct {
	mu    sync.Mutex
	types []string
}

func (h *heardBy) add(typ string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.types = append(h.types, typ)
}

// all returns the types that were heard, sorted.
func (h *heardBy) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(slices.Sorted(slices.Values(h.types)), " ")
}

// hearAll adds a listener of all events that are a T.
func hearAll[T domain.Event](t *testing.T, core *chatcore.Core) *heardBy {
	t.Helper()
	h := &heardBy{}
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[T]) { h.add(fmt.Sprintf("%T", l.Event)) })); err != nil {
		t.Fatal(err)
	}
	return h
}

// onEachAnnounce runs a test on each backend under each setting of Announce.
func onEachAnnounce(t *testing.T, test func(t *testing.T, open func(chatcore.Config) *chatcore.Core)) {
	for _, announce := range []chatcore.Announce{chatcore.AnnounceBoth, chatcore.AnnouncePartition, chatcore.AnnounceLegacy} {
		t.Run(announce.String(), func(t *testing.T) {
			onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
				test(t, func(c chatcore.Config) *chatcore.Core {
					c.Log.Announce = announce
					return open(c)
				})
			})
		})
	}
}

// TestListen_HearsWhatIsAT has listeners of an event, of its interfaces and of custom events, under each setting of Announce.
func TestListen_HearsWhatIsAT(t *testing.T) {
	onEachAnnounce(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, ctx := open(chatcore.Config{}), t.Context()
		cast, counted := chatcore.Define[vote]("vote:cast", 1), chatcore.Define[vote]("vote:counted", 1)
		events, durable, ephemeral := hearAll[domain.Event](t, core), hearAll[domain.Durable](t, core), hearAll[domain.Ephemeral](t, core)
		custom, message := hearAll[domain.Custom](t, core), hearAll[domain.MessageNew](t, core)
		var votes atomic.Int64
		if err := core.Listen(cast.OnLive(func(_ context.Context, d chatcore.CustomDelivery[vote]) { votes.Add(int64(d.Event.N)) })); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		must[app.Done](t)(core.Chats.Record(ctx, domain.Record{Chat: "c", Actor: "ada", Event: cast.Of(vote{3})}))
		must[app.Done](t)(core.Chats.Record(ctx, domain.Record{Chat: "c", Actor: "ada", Event: counted.Of(vote{4})}))
		must[bool](t)(core.Chats.StartTyping(ctx, domain.Typing{Chat: "c", Actor: "ada"}))
		for want, heard := range map[string]*heardBy{
			"domain.ChatUpdate domain.Custom domain.Custom domain.MessageNew domain.TypingStart": events,
			"domain.ChatUpdate domain.Custom domain.Custom domain.MessageNew":                    durable,
			"domain.TypingStart":          ephemeral,
			"domain.Custom domain.Custom": custom,
			"domain.MessageNew":           message,
		} {
			eventually(t, "the listener hears "+want, func() bool { return heard.all() == want })
		}
		eventually(t, "the definition hears its event", func() bool { return votes.Load() == 3 })
		if s := core.Stats(); s.LiveReceived != 5 || s.LiveHandled != 5 || s.LiveUnreadable+s.LiveDropped+s.LiveMissed+s.LiveLosses != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// TestListen_OtherPrograms has another program publish on a channel of the wire contract, beside a core that announces its events there too.
func TestListen_OtherPrograms(t *testing.T) {
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		core, ctx := open(chatcore.Config{}), t.Context()
		heard := make(chan chatcore.Live[domain.MessageNew], 16)
		if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.MessageNew]) { heard <- l })); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		must[app.Done](t)(core.Chats.Create(ctx, domain.Create{Chat: "c", Actor: "ada"}))
		sent := must[app.Sent](t)(core.Chats.Send(ctx, domain.Send{Chat: "c", Actor: "ada", MessageID: "m1", Content: "x"}))
		if l := receive(t, heard); l.Event.Message != "m1" || l.Foreign || l.Seq != sent.Seq || l.ID == "" {
			t.Errorf("heard %+v", l)
		}
		foreign := map[string]any{"messageId": "m2", "chatId": "c", "senderId": "ben", "content": "hello"}
		for range 2 {
			if err := core.Helpers.Publish(ctx, "message:new", foreign); err != nil {
				t.Fatal(err)
			}
			if l := receive(t, heard); l.Event.Message != "m2" || !l.Foreign || l.Seq != 0 || l.ID != "" {
				t.Errorf("heard %+v", l)
			}
		}
		if err := core.Helpers.Publish(ctx, "message:new", "no event"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the rest is handled", func() bool { return core.Stats().LiveHandled == 4 })
		if s := core.Stats(); s.LiveReceived != 4 || s.LiveUnreadable != 1 || len(heard) > 0 {
			t.Errorf("%d received, %d unreadable, %d more heard", s.LiveReceived, s.LiveUnreadable, len(heard))
		}
	})
}

// TestListen_AccountsForAFlood floods listeners, of which one stands still and others panic now and then, and kills live connections and Redis meanwhile.
// Every event of the log is handled once, or is dropped, or is known to be missed.
func TestListen_AccountsForAFlood(t *testing.T) {
	const chats, rounds = 8, 60
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	config := chatcore.Config{
		Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 4}, Delivery: chatcore.DeliveryConfig{LiveBuffer: 2},
		Logger: slog.New(slog.DiscardHandler),
	}
	sender, listener := opened(t)(chatcore.New(t.Context(), config)), opened(t)(chatcore.New(t.Context(), config))
	var again, calls atomic.Uint64
	var seen sync.Map
	gate := make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	t.Cleanup(open)
	if err := listener.Listen(
		chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.Event]) {
			if _, before := seen.LoadOrStore(l.ID, true); before {
				again.Add(1)
			}
			if calls.Add(1)%97 == 0 {
				panic("a fault")
			}
		}),
		chatcore.OnLive(func(context.Context, chatcore.Live[domain.MessageEdit]) { <-gate }),
	); err != nil {
		t.Fatal(err)
	}
	start(t, listener)
	ctx := t.Context()
	cast := chatcore.Define[vote]("vote:cast", 1)
	var appended atomic.Uint64
	count := func(err error) {
		if err == nil {
			appended.Add(1)
		}
	}
	flood := func() {
		var sending sync.WaitGroup
		for c := range chats {
			chat := domain.ChatID(fmt.Sprint("c", c))
			sending.Go(func() {
				for i := range rounds {
					id := domain.MessageID(uuid.NewString())
					_, err := sender.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: id, Content: "x"})
					count(err)
					_, err = sender.Chats.Edit(ctx, domain.Edit{Chat: chat, Actor: "ada", MessageID: id, Content: fmt.Sprint(i)})
					count(err)
					_, err = sender.Chats.Record(ctx, domain.Record{Chat: chat, Actor: "ada", Event: cast.Of(vote{i})})
					count(err)
				}
			})
		}
		sending.Wait()
	}
	for c := range chats {
		must[app.Done](t)(sender.Chats.Create(ctx, domain.Create{Chat: domain.ChatID(fmt.Sprint("c", c)), Actor: "ada"}))
	}
	flood()
	if err := server.Client(t).ClientKillByFilter(ctx, "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	flood()
	server.Kill()
	server.Restart(t)
	eventually(t, "commands work again", func() bool {
		_, err := sender.Chats.Send(ctx, domain.Send{Chat: "c0", Actor: "ada", Content: "x"})
		return err == nil
	})
	flood()
	open()
	logged := uint64(0)
	for c := range chats {
		events, err := sender.Queries.Events(ctx, domain.ChatID(fmt.Sprint("c", c)), domain.Span{Limit: 1})
		if err != nil || len(events) != 1 {
			t.Fatalf("%d events, %v", len(events), err)
		}
		logged += uint64(events[0].Seq)
	}
	eventually(t, "every event is accounted for", func() bool {
		s := listener.Stats()
		return s.LiveHandled+s.LiveDropped+s.LiveMissed == logged
	})
	s := listener.Stats()
	if again.Load() > 0 {
		t.Errorf("%d events were heard again", again.Load())
	}
	if s.LiveReceived != s.LiveHandled+s.LiveDropped || s.LiveDropped == 0 || s.LiveFailed == 0 || s.LiveUnreadable != 0 || s.LiveReconnects < 2 {
		t.Errorf("%+v", s)
	}
	if appended.Load() < 2*3*chats*rounds {
		t.Errorf("%d commands succeeded", appended.Load())
	}
}

// TestListen_CostsNothingUnasked counts the commands of cores without listeners and feeds, beside one that listens.
func TestListen_CostsNothingUnasked(t *testing.T) {
	server := redistest.Start(t)
	client := server.Client(t)
	core := func() *chatcore.Core {
		return opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}, Log: chatcore.LogConfig{Partitions: 4}}))
	}
	reads := func() string {
		stats, err := client.Info(t.Context(), "commandstats").Result()
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(stats) {
			for _, command := range []string{"subscribe", "ssubscribe", "psubscribe", "xread", "xrevrange", "xinfo"} {
				if name, _, _ := strings.Cut(line, ":"); strings.HasPrefix(name, "cmdstat_"+command) {
					lines = append(lines, line)
				}
			}
		}
		return strings.Join(lines, "")
	}
	idle := core()
	start(t, idle)
	must[app.Done](t)(idle.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
	before := reads()
	if strings.Contains(before, "subscribe") || strings.Contains(before, "xread") {
		t.Errorf("a core without listeners and feeds made these calls:\n%s", before)
	}
	listening := core()
	heard := hearAll[domain.MessageNew](t, listening)
	start(t, listening)
	must[app.Sent](t)(idle.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
	eventually(t, "the message is heard", func() bool { return heard.all() != "" })
	if after := reads(); !strings.Contains(after, "subscribe") {
		t.Errorf("a core that listens made these calls:\n%s", after)
	}
}
