package projection

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	maxQueuedEffects = 4096
	effectTimeout    = 5 * time.Second
	keptAgain        = time.Second // between two questions whether the built-in group exists
)

// AppendEffects changes memberships and invalidates caches right after this process has appended an event, in the background and in the order of the
// appends. The built-in group does the same within its pace, so that an effect which is skipped, fails or is lost with the process comes a little later.
// Effects are skipped beyond a full queue, and while no built-in group exists. The goroutine exists while there is work.
type AppendEffects struct {
	builtins *Builtins
	moved    func() // called when the queue has become empty
	logger   *slog.Logger

	// mu guards: all below.
	mu      sync.Mutex
	queue   []queuedEffect
	skipped uint64
	closed  bool
	running bool
	kept    bool       // the built-in group exists
	asked   time.Time  // when it did not
	idle    *sync.Cond // the queue is empty and nothing is applied
	stop    context.CancelFunc
}

type queuedEffect struct {
	ports.Delivery
	epoch uint64
}

// NewAppendEffects returns effects that are applied as the built-in group applies them. moved, unless nil, is called when everything is applied.
func NewAppendEffects(builtins *Builtins, moved func(), logger *slog.Logger) *AppendEffects {
	a := &AppendEffects{builtins: builtins, moved: moved, logger: logger}
	a.idle = sync.NewCond(&a.mu)
	return a
}

// Appended queues the effect of events that were just appended to a chat, from a seq on. It never blocks.
func (a *AppendEffects) Appended(chat domain.ChatID, first domain.Seq, events []ports.NewEvent) {
	var effects []queuedEffect
	for i, e := range events {
		if !a.builtins.appliesTo(e.Event) {
			continue
		}
		m := a.builtins.models
		effects = append(effects, queuedEffect{ports.Delivery{
			ID:    ports.DeliveryID{Log: m.views.Log, Chat: chat, Seq: first + domain.Seq(i), Event: e.ID}, //nolint:gosec // an index
			Event: e.Event, Meta: e.Meta, Attempt: 1,
		}, m.entities.Epoch()})
	}
	if len(effects) == 0 {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.missing() {
		return
	}
	if a.closed || len(a.queue)+len(effects) > maxQueuedEffects {
		a.skipped += uint64(len(effects))
		return
	}
	a.queue = append(a.queue, effects...)
	if !a.running {
		a.running = true
		var ctx context.Context
		ctx, a.stop = context.WithCancel(context.Background())
		go a.run(ctx)
	}
}

// run applies effects until the queue is empty.
func (a *AppendEffects) run(ctx context.Context) {
	for {
		a.mu.Lock()
		if len(a.queue) == 0 || ctx.Err() != nil {
			a.skipped += uint64(len(a.queue))
			a.queue, a.running = nil, false
			a.stop()
			a.idle.Broadcast()
			a.mu.Unlock()
			if a.moved != nil {
				a.moved()
			}
			return
		}
		next := a.queue[0]
		a.queue = a.queue[1:]
		a.mu.Unlock()
		a.apply(ctx, next)
	}
}

func (a *AppendEffects) apply(ctx context.Context, e queuedEffect) {
	ctx, cancel := context.WithTimeout(ctx, effectTimeout)
	defer cancel()
	err := a.applyKept(ctx, e)
	if err == nil {
		return
	}
	a.logger.DebugContext(ctx, "effect of an append not applied, the built-in group will", "chat", e.ID.Chat, "seq", uint64(e.ID.Seq), "error", err)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.skipped++
}

// applyKept applies an effect if the built-in group exists, and the log has not lost anything since the append: then the seq may mean another event.
func (a *AppendEffects) applyKept(ctx context.Context, e queuedEffect) error {
	if keeps, err := a.keeps(ctx); !keeps {
		return err
	}
	if a.builtins.models.entities.Epoch() != e.epoch {
		return nil
	}
	return a.builtins.applyAppended(ctx, e.Delivery)
}

// missing reports whether the built-in group was missing a moment ago. a.mu must be held.
func (a *AppendEffects) missing() bool { return !a.kept && time.Since(a.asked) < keptAgain }

// keeps reports whether the built-in group exists.
func (a *AppendEffects) keeps(ctx context.Context) (bool, error) {
	a.mu.Lock()
	kept, missing := a.kept, a.missing()
	a.mu.Unlock()
	if kept || missing {
		return kept, nil
	}
	var err error
	if ask := a.builtins.models.views.Kept; ask != nil {
		kept, err = ask(ctx)
	} else {
		kept = true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept = kept && err == nil; !a.kept {
		a.asked = time.Now()
	}
	return a.kept, err
}

// Idle reports whether everything that was queued is applied.
func (a *AppendEffects) Idle() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.running
}

// Skipped returns how many effects were left to the built-in group.
func (a *AppendEffects) Skipped() uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.skipped
}

// Close applies queued effects until ctx ends, and waits for the end of the goroutine. Later effects are skipped.
func (a *AppendEffects) Close(ctx context.Context) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if !a.running {
		return
	}
	defer context.AfterFunc(ctx, a.stop)()
	for a.running {
		a.idle.Wait()
	}
}
