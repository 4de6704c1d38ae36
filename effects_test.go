package chatcore_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/chatcoretest"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// TestAHandlerThatFailsAfterItsEffectMakesItOnce has each delivery come three times.
func TestAHandlerThatFailsAfterItsEffectMakesItOnce(t *testing.T) {
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	onEachBackend(t, func(t *testing.T, open func(chatcore.Config) *chatcore.Core) {
		config := chatcore.Config{Delivery: chatcore.DeliveryConfig{EffectTTL: time.Minute}}
		config.Delivery.Retry.First = time.Millisecond
		core := open(config)
		counter, inMemory := "counter-"+uuid.NewString(), atomic.Int64{}
		arrived := make(chan domain.Seq, 16)
		if err := core.Subscribe("statistics", chatcore.On(func(ctx context.Context, d chatcore.Delivery[domain.MessageNew]) error {
			made, err := core.Once(ctx, "written", d.ID, chatcore.Effect{
				Commands: []chatcore.Command{{"INCR", counter}},
				Func:     func(context.Context) error { inMemory.Add(1); return nil },
			})
			if err != nil {
				return err
			}
			if made != (d.Attempt == 1) {
				t.Errorf("attempt %d made it: %v", d.Attempt, made)
			}
			if d.Attempt < 3 {
				return errors.New("failed after the effect")
			}
			arrived <- d.ID.Seq
			return nil
		})); err != nil {
			t.Fatal(err)
		}
		start(t, core)
		must[app.Done](t)(core.Chats.Create(t.Context(), domain.Create{Chat: "c", Actor: "ada"}))
		const messages = 3
		for range messages {
			must[app.Sent](t)(core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: "x"}))
		}
		for range messages {
			receive(t, arrived)
		}
		n := int(inMemory.Load())
		if n == 0 {
			n = must[int](t)(client.Get(t.Context(), counter).Int())
			for _, marker := range client.Keys(t.Context(), "*cc:once:{"+counter+"}*").Val() {
				if ttl := client.PTTL(t.Context(), marker).Val(); ttl <= 0 || ttl > time.Minute {
					t.Errorf("%s lives for %v", marker, ttl)
				}
			}
		}
		if n != messages {
			t.Errorf("%d effects, want %d", n, messages)
		}
	})
}

func TestWhereEffectsAreRemembered(t *testing.T) {
	codec, live := wireformat.New(), live.NewLocal(0)
	clock := chatcoretest.NewClock(time.Now())
	log := memory.New(codec, clock, live.Announce)
	groups := memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: clock})
	own := chatcore.WithEventLog(chatcore.EventLog{
		ID: log.ID(), Log: log, Groups: groups, Backlog: groups.Backlog(), Live: live,
	})
	id := chatcore.DeliveryID{Log: log.ID(), Chat: "c", Seq: 1, Event: "e"}
	effect := chatcore.Effect{Func: func(context.Context) error { return nil }}
	nowhere := opened(t)(chatcore.New(t.Context(), chatcore.Config{}, own))
	if made, err := nowhere.Once(t.Context(), "x", id, effect); made || !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("with no store: made is %v, error %v", made, err)
	}
	mine := memory.NewEffects(clock, time.Hour)
	for i, core := range []*chatcore.Core{
		opened(t)(chatcore.New(t.Context(), chatcore.Config{}, own, chatcore.WithEffects(mine))),
		opened(t)(chatcore.NewInMemory(chatcore.Config{}, chatcore.WithEffects(mine))),
		opened(t)(chatcore.New(t.Context(), chatcore.Config{Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: uuid.NewString()}}, chatcore.WithEffects(mine))),
	} {
		if made, err := core.Once(t.Context(), "x", id, effect); made != (i == 0) || err != nil {
			t.Errorf("core %d: made is %v, error %v", i, made, err)
		}
	}
}
