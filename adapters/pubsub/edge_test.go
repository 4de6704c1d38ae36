package pubsub_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"chatcore/adapters/pubsub"
	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// checkpoint returns the checkpoint of a chat in a group.
func (b *bubble) checkpoint(name string, chat domain.ChatID) domain.Seq {
	b.t.Helper()
	store := b.groups.Store(name)
	seqs, err := store.Checkpoints(b.t.Context(), b.groups.PartitionOf(chat), []string{string(chat)})
	b.check(errors.Join(err, store.Close()))
	return seqs[0]
}

// subscribe returns a subscriber of a group that is read without a router, and its messages.
func (b *bubble) subscribe(c pubsub.SubscriberConfig) (*pubsub.Subscriber, <-chan *message.Message) {
	b.t.Helper()
	s, err := pubsub.NewSubscriber(c)
	b.check(err)
	messages, err := s.Subscribe(b.t.Context(), pubsub.Topic)
	b.check(err)
	return s, messages
}

// TestSubscriber_LateAck acks and nacks the message of an earlier start, whose lease was lost, while the event is delivered again.
func TestSubscriber_LateAck(t *testing.T) {
	for name, settle := range map[string]func(*message.Message) bool{"ack": (*message.Message).Ack, "nack": (*message.Message).Nack} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				s, messages := b.subscribe(b.config("g", group.Config{}))
				b.send("c", 2)
				first := <-messages
				before, _ := pubsub.InfoOf(first.Context())
				b.groups.Fence("g", b.groups.PartitionOf("c"))
				b.pass(10 * time.Second)
				select {
				case msg := <-messages:
					t.Fatalf("%v is delivered while its first start is in flight", msg.Metadata)
				default:
				}
				if !settle(first) {
					t.Fatal("the message was settled before")
				}
				second := <-messages
				after, _ := pubsub.InfoOf(second.Context())
				if after.Seq != 1 || after.Attempt != 1 || !after.Redelivered || after.Epoch <= before.Epoch {
					t.Errorf("the event is delivered again as %+v, before as %+v", after, before)
				}
				b.pass(10 * time.Second)
				if seq := b.checkpoint("g", "c"); seq != 0 {
					t.Errorf("the outcome of a lost lease moved the checkpoint to %d", seq)
				}
				if first.Context().Err() == nil || second.Context().Err() != nil {
					t.Errorf("contexts: the settled message's %v, the other's %v", first.Context().Err(), second.Context().Err())
				}
				second.Ack()
				(<-messages).Ack()
				b.pass(time.Second)
				if seq := b.checkpoint("g", "c"); seq != 2 {
					t.Errorf("the checkpoint is %d", seq)
				}
				b.check(s.Close())
			})
		})
	}
}

// kept is a group.Handler that keeps the deliveries.
type kept struct{ deliveries chan group.Delivery }

func (k kept) Handle(d group.Delivery) { k.deliveries <- d }

func (kept) Reclaim() []group.Delivery { return nil }

// TestDelivery_LateOutcome reports outcomes of an earlier start while a later one is in flight, and a second outcome of the same start.
func TestDelivery_LateOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		k := kept{make(chan group.Delivery, 8)}
		b.check(b.router.AddCalls(pubsub.Topic, b.config("g", group.Config{}), k))
		ended := b.start()
		b.send("c", 1)
		first := <-k.deliveries
		first.Done(errDown)
		second := <-k.deliveries
		first.Done(nil)
		first.Done(group.Permanent(errDown))
		b.pass(time.Minute)
		if s := b.state(); b.checkpoint("g", "c") != 0 || s.Letters != 0 || second.Info().Attempt != 2 || len(k.deliveries) != 0 {
			t.Errorf("after the outcomes of the first start: %+v, the second is attempt %d", s, second.Info().Attempt)
		}
		second.Done(nil)
		second.Done(errDown)
		b.pass(time.Minute)
		if s := b.state(); b.checkpoint("g", "c") != 1 || s.Failing != 0 || len(k.deliveries) != 0 {
			t.Errorf("after the outcomes of the second start: %+v", s)
		}
		b.cancel()
		b.check(<-ended)
	})
}

// TestMiddlewares_Copy has a middleware that passes on a copy without the context, with two deliveries in flight that end in another order than they began.
func TestMiddlewares_Copy(t *testing.T) {
	around := func(next message.HandlerFunc) message.HandlerFunc {
		return func(m *message.Message) ([]*message.Message, error) { return next(m.Copy()) }
	}
	var running, together atomic.Int64
	starts := make(map[domain.ChatID]*atomic.Int64)
	for _, chat := range []domain.ChatID{"fails", "succeeds"} {
		starts[chat] = &atomic.Int64{}
	}
	handle := func(ctx context.Context, d ports.Delivery) error {
		if info, ok := pubsub.InfoOf(ctx); !ok || info.Chat != d.ID.Chat || info.Attempt != d.Attempt {
			t.Errorf("the handler of %s %d has the info %+v", d.ID.Chat, d.Attempt, info)
		}
		starts[d.ID.Chat].Add(1)
		together.Store(max(together.Load(), running.Add(1)))
		defer running.Add(-1)
		time.Sleep(time.Second)
		if d.ID.Chat == "fails" {
			return errDown
		}
		time.Sleep(time.Second) // it ends after the other
		return nil
	}
	inBubble(t, group.Config{Retry: delivery.RetryPolicy{Attempts: 3}}, false, handle, 0, func(b *bubble) {
		b.send("fails", 1)
		b.send("succeeds", 1)
		b.pass(time.Minute)
		letters := b.letters()
		if len(letters) != 1 || letters[0].Chat != "fails" || letters[0].Attempts != 3 || letters[0].Reason != errDown.Error() {
			t.Errorf("dead letters %+v", letters)
		}
		if f, s := starts["fails"].Load(), starts["succeeds"].Load(); f != 3 || s != 1 || together.Load() != 2 {
			t.Errorf("%d and %d starts, %d at a time", f, s, together.Load())
		}
	}, around)
}

// countedStores count the stores that are open.
type countedStores struct {
	groups.Stores
	opened, closed atomic.Int64
	fault          error // of Create
}

type countedStore struct {
	groups.Store
	of     *countedStores
	closed atomic.Bool
}

func (s *countedStores) Store(name string) groups.Store {
	s.opened.Add(1)
	return &countedStore{Store: s.Stores.Store(name), of: s}
}

func (s *countedStore) Create(ctx context.Context, p groups.Partition, at groups.Start) (bool, error) {
	if s.of.fault != nil {
		return false, s.of.fault
	}
	return s.Store.Create(ctx, p, at)
}

func (s *countedStore) Close() error {
	if s.closed.Swap(true) {
		return errors.New("closed twice")
	}
	time.Sleep(time.Second) // as for a read in flight
	s.of.closed.Add(1)
	return s.Store.Close()
}

// TestSubscriber_ClosesItsStores checks that each member closes its store once: before Close returns, after its context has ended, after the deletion of
// its group, and if it cannot join.
func TestSubscriber_ClosesItsStores(t *testing.T) {
	for name, end := range map[string]func(b *bubble, s *pubsub.Subscriber, cancel func()){
		"close":            func(*bubble, *pubsub.Subscriber, func()) {},
		"end of a context": func(_ *bubble, _ *pubsub.Subscriber, cancel func()) { cancel() },
		"deletion": func(b *bubble, _ *pubsub.Subscriber, _ func()) {
			b.check(b.groups.Delete(b.t.Context(), "g"))
			b.pass(time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t)
				config := b.config("g", group.Config{})
				stores := &countedStores{Stores: b.groups}
				config.Stores = stores
				s, err := pubsub.NewSubscriber(config)
				b.check(err)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				for range 3 {
					_, err := s.Subscribe(ctx, pubsub.Topic)
					b.check(err)
				}
				end(b, s, cancel)
				b.check(errors.Join(s.Close(), s.Close()))
				if opened, closed := stores.opened.Load(), stores.closed.Load(); opened != 3 || closed != 3 {
					t.Errorf("%d stores were opened, %d closed", opened, closed)
				}
				_, err = s.Subscribe(ctx, pubsub.Topic)
				if opened := stores.opened.Load(); !errors.Is(err, group.ErrClosed) || opened != stores.closed.Load() {
					t.Errorf("after the close: %v, %d stores were opened", err, opened)
				}
			})
		})
	}
	t.Run("failure to join", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t)
			config := b.config("g", group.Config{})
			stores := &countedStores{Stores: b.groups, fault: ports.ErrLogLost}
			config.Stores = stores
			b.check(b.router.AddGroup(pubsub.Topic, config, func(*message.Message) error { return nil }))
			err := b.router.Run(t.Context())
			if opened, closed := stores.opened.Load(), stores.closed.Load(); !errors.Is(err, ports.ErrLogLost) || opened != 1 || closed != 1 {
				t.Errorf("%v: %d stores were opened, %d closed", err, opened, closed)
			}
		})
	})
}

// TestSubscriber_UnknownTopic checks that a topic without stores is an invalid argument, with and without a router.
func TestSubscriber_UnknownTopic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		s, err := pubsub.NewSubscriber(b.config("g", group.Config{}))
		b.check(err)
		_, err = s.Subscribe(t.Context(), "other")
		for name, err := range map[string]error{"a subscriber": err, "a router": func() error {
			b.check(b.router.AddCalls("other", b.config("g", group.Config{}), group.Calls(nothing)))
			return b.router.Run(t.Context())
		}()} {
			if invalid, ok := errors.AsType[*domain.InvalidError](err); !ok || invalid.Field != "topic" || invalid.Allowed != pubsub.Topic {
				t.Errorf("%s: %v", name, err)
			}
		}
		if exists, err := b.groups.Exists(t.Context(), "g"); exists || err != nil {
			t.Errorf("the group exists: %v, %v", exists, err)
		}
		config := b.config("g", group.Config{})
		config.Stores = nil
		if _, err := pubsub.NewSubscriber(config); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("without stores: %v", err)
		}
		if err := b.router.AddCalls(pubsub.Topic, b.config("h", group.Config{}), nil); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("without a handler: %v", err)
		}
		b.check(s.Close())
	})
}

// TestReclaim_AtTheEndOfALease leaves messages unreceived while commits fail for longer than the lease. Afterwards each event is delivered once, under
// the next lease. Messages that were reclaimed leave nothing behind.
func TestReclaim_AtTheEndOfALease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		var down atomic.Bool
		config := b.config("g", group.Config{Concurrency: 8})
		config.Stores = memgroup.WithFaults(b.groups, func(memgroup.Call) memgroup.Fault { return memgroup.Fault{NotMade: down.Load()} })
		s, messages := b.subscribe(config)
		b.send("a", 1)
		first := <-messages
		before, _ := pubsub.InfoOf(first.Context())
		for _, chat := range chats(20) {
			b.send(chat, 1)
		}
		b.pass(time.Second)
		if len(messages) != 7 {
			t.Fatalf("%d messages wait", len(messages))
		}
		down.Store(true)
		b.pass(time.Minute)
		if n := len(messages); n != 0 {
			t.Errorf("%d messages wait after the end of the lease", n)
		}
		goroutines := runtime.NumGoroutine()
		down.Store(false)
		b.pass(10 * time.Minute) // the messages are reclaimed and delivered again with every heartbeat
		if more := runtime.NumGoroutine() - goroutines; more > 20 {
			t.Errorf("there are %d more goroutines", more)
		}
		first.Ack()
		var seen []string
		for range 20 {
			msg := <-messages
			info, _ := pubsub.InfoOf(msg.Context())
			if info.Epoch < before.Epoch || info.Attempt != 1 || msg.Context().Err() != nil {
				t.Errorf("delivered as %+v, its context: %v", info, msg.Context().Err())
			}
			if info.Chat != "a" {
				seen = append(seen, string(info.Chat))
			}
			msg.Ack()
		}
		b.pass(time.Second)
		for range len(messages) {
			(<-messages).Ack()
		}
		b.pass(time.Second)
		slices.Sort(seen)
		if n := len(slices.Compact(seen)); n < 19 || b.state().Lag != 0 {
			t.Errorf("%d chats were delivered; in the end %+v", n, b.state())
		}
		b.check(s.Close())
	})
}

// TestConsume_MessageOfAnotherSubscriber checks that such a message is read as an entry of another program.
func TestConsume_MessageOfAnotherSubscriber(t *testing.T) {
	var got []ports.Delivery
	counters := &group.Counters{}
	handle := pubsub.NewHandlers(map[string]pubsub.Handler{"message:new": func(_ context.Context, d ports.Delivery) error {
		got = append(got, d)
		return nil
	}}, counters).Consume(wireformat.New())
	msg := message.NewMessage("theirs", []byte(`{"messageId":"m","chatId":"c","senderId":"ben","content":"x"}`))
	msg.Metadata.Set(pubsub.MetaType, "message:new")
	if err := handle(msg); err != nil {
		t.Fatal(err)
	}
	if e, ok := got[0].Event.(domain.MessageNew); !ok || e.Sender != "ben" || got[0].ID != (ports.DeliveryID{Chat: "c", Event: "theirs"}) || counters.Handled.Load() != 1 || pubsub.Attempt(msg) != 0 {
		t.Errorf("delivered %+v", got)
	}
	broken := message.NewMessage("broken", []byte("no json"))
	if err := handle(broken); !errors.Is(err, group.ErrBroken) || !group.IsPermanent(err) {
		t.Errorf("an unreadable message: %v", err)
	}
}
