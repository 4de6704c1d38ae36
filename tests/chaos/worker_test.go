package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports"
)

// workerVariable makes the test binary a worker. It holds a workerConfig.
const workerVariable = "CHATCORE_CHAOS_WORKER"

// Consumer groups of the workers.
const (
	skipping = "chaos" // its handlers fail only now and then
	parking  = "park"  // some of its handlers fail until an operator gives the dead letter again; its effects are made by Core.Once as well
	late     = "late"  // begins while the others work
)

// attempts is after how many failures an event is a dead letter: the default.
const attempts = 10

const (
	heeding = "heeding" // printed by a worker once it handles SIGTERM
	running = "running" // and when it runs
)

// lifetimes are those of all cores, short enough for presence to end within a run.
var lifetimes = chatcore.PresenceConfig{HeartbeatTTL: 6 * time.Second} //nolint:gochecknoglobals // never changes

type workerConfig struct {
	Name, RedisURL, HistoryURL string
	Seed                       uint64
	Role                       role
	Listen                     string   // address of its API, or of the endpoint of a receiver
	Instances                  []string // URLs of the APIs that a consumer connects to
	Secret                     string   // of the webhook, for a receiver
	Late                       bool     // whether there is the group late
	Patient                    bool     // whether pauses between attempts are the default ones
}

// work is the body of a worker. It gives the exit code.
func work(encoded string) int {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var c workerConfig
	err := json.Unmarshal([]byte(encoded), &c)
	if err == nil {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		fmt.Println(heeding)
		err = c.run(ctx, logger)
	}
	if err != nil {
		logger.Error("worker ends", "error", err)
		return 1
	}
	return 0
}

func (c workerConfig) run(ctx context.Context, logger *slog.Logger) error {
	history, err := OpenHistory(c.HistoryURL)
	if err != nil {
		return err
	}
	defer func() { _ = history.Close() }()
	w := worker{config: c, history: history}
	switch c.Role {
	case consumer:
		return w.consume(ctx, logger)
	case receiver:
		return w.receive(ctx, logger)
	case instance:
	}
	for {
		ran, err := w.serve(ctx, logger)
		switch {
		case ran, err == nil:
			return err
		case ctx.Err() != nil: // stopped before it could begin
			return nil
		case !mayBegin(err):
			return err
		}
		// A core does not open, and does not begin to run, while a part of Redis is away: that is for its program to try again.
		logger.Warn("worker cannot begin, trying again", "error", err)
		_ = pause(ctx, 200*time.Millisecond)
	}
}

type worker struct {
	config  workerConfig
	history *History
	core    *chatcore.Core
}

// mayBegin reports whether a worker that cannot begin tries again.
func mayBegin(err error) bool {
	for _, passing := range []error{ports.ErrUnavailable, chatcore.ErrUnreachable, chatcore.ErrNoPermission, chatcore.ErrEvicting, ports.ErrCorrupt, ports.ErrOutcomeUnknown} {
		if errors.Is(err, passing) {
			return true
		}
	}
	return false
}

// serve opens a core and runs it until ctx ends. It reports whether it ran at all.
func (w *worker) serve(ctx context.Context, logger *slog.Logger) (ran bool, err error) {
	var policy chatcore.RetryPolicy // the default
	if !w.config.Patient {
		policy.First, policy.Max = 20*time.Millisecond, 500*time.Millisecond
	}
	core, err := chatcore.New(ctx, chatcore.Config{
		Redis: chatcore.RedisConfig{URL: w.config.RedisURL}, Logger: logger, Delivery: chatcore.DeliveryConfig{Retry: policy}, Presence: lifetimes, Webhooks: webhooks(),
	})
	if err != nil {
		return false, err
	}
	w.core = core
	err = errors.Join(
		core.Subscribe(skipping, chatcore.On(w.handler(skipping)), chatcore.FromBeginning()),
		core.Subscribe(parking, chatcore.On(w.handler(parking)), chatcore.FromBeginning(), chatcore.OnPoison(chatcore.Park)),
		core.SubscribeBuiltins(), core.SubscribeDefined(),
	)
	if w.config.Late {
		err = errors.Join(err, core.Subscribe(late, chatcore.On(w.handler(late)), chatcore.FromBeginning()))
	}
	if err != nil {
		return false, errors.Join(err, core.Close())
	}
	delivering, stop := context.WithCancel(context.WithoutCancel(ctx)) // until the API has stopped
	defer stop()
	starting := context.AfterFunc(ctx, stop)
	if err := core.Start(delivering); err != nil {
		return false, err
	}
	if starting() {
		fmt.Println(running)
		err = w.answer(ctx, core, logger)
		stop()
	}
	err = errors.Join(err, core.Wait())
	stats := core.Stats()
	logger.Info("worker has stopped", "handled", stats.Handled, "dead_letters", stats.DeadLetters)
	return true, err
}

var (
	errTransient = errors.New("it fails at first")
	errLate      = chatcore.Transient(errors.New("a later owner was before"))
	errPoison    = errors.New("it fails until it is pardoned")
)

// handler has the effect of an event for a group, sooner or later.
func (w *worker) handler(group string) func(context.Context, chatcore.Delivery[domain.Durable]) error {
	return func(ctx context.Context, d chatcore.Delivery[domain.Durable]) error {
		given := Delivery{
			Place: Place{Chat: d.ID.Chat, Seq: d.ID.Seq, Event: d.ID.Event}, Group: group, Content: digest(d.Event), Log: d.ID.Log,
			Attempt: d.Attempt, Redelivered: d.Redelivered, Epoch: d.Epoch, Worker: w.config.Name, Entered: time.Now(),
		}
		if err := w.take(ctx, given); err != nil || group != parking {
			return err
		}
		_, err := w.core.Once(ctx, "count", d.ID, chatcore.Effect{Commands: []chatcore.Command{
			{"HINCRBY", countersKey(given.Chat), given.field(), "1"},
		}})
		return err
	}
}

// take records the start of a handler, and has the effect of the event, sooner or later.
func (w *worker) take(ctx context.Context, given Delivery) error {
	if err := w.history.Start(context.WithoutCancel(ctx), given); err != nil {
		return chatcore.Transient(err)
	}
	if err := w.poison(ctx, given); err != nil {
		return err
	}
	return w.handle(ctx, given)
}

// poison fails for good, unless the event is harmless or pardoned.
func (w *worker) poison(ctx context.Context, given Delivery) error {
	toxin := toxinOf(w.config.Seed, w.config.Patient)(given.Group, given.Chat, given.Seq)
	if toxin == Harmless {
		return nil
	}
	pardoned, err := w.history.Pardoned(context.WithoutCancel(ctx), given.Group, given.Chat, given.Seq)
	switch {
	case err != nil:
		return chatcore.Transient(err)
	case pardoned:
		return nil
	case toxin == Deadly:
		return chatcore.Permanent(errPoison)
	}
	return errPoison
}

func (w *worker) handle(ctx context.Context, given Delivery) error {
	mood := moodOf(w.config.Seed, given.Place)
	switch given.Group {
	case posting: // a request that takes longer fails each time
		mood.takes = min(mood.takes, outsiderLease/4)
	case pulling: // so that a consumer has deliveries when it is killed
		mood.takes = max(mood.takes, 10*time.Millisecond)
	}
	if given.Attempt <= mood.fails {
		return errTransient
	}
	if mood.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	if err := pause(ctx, mood.takes); err != nil {
		return err
	}
	outcome, err := w.history.Effect(ctx, given)
	switch {
	case err != nil:
		return chatcore.Transient(err)
	case outcome == Fenced:
		return errLate
	}
	return nil
}

// countersKey is where [chatcore.Core.Once] counts the effects of a chat's events.
func countersKey(chat domain.ChatID) string { return countersPrefix + string(chat) }

const countersPrefix = "effects:"

// toxinOf says which events of one group are poisoned, by the seed: about one in 400 deadly, and as many lasting ones. With the default pauses a lasting one
// holds its chat for three minutes, so that a third of the chats have one, early.
func toxinOf(seed uint64, patient bool) func(string, domain.ChatID, domain.Seq) Toxin {
	const rare, early = 400, 50
	hash := func(format string, args ...any) uint64 {
		h := fnv.New64a()
		_, _ = fmt.Fprintf(h, format, args...)
		return h.Sum64()
	}
	return func(group string, chat domain.ChatID, seq domain.Seq) Toxin {
		if group != parking {
			return Harmless
		}
		dice := hash("%d toxin %s %d", seed, chat, seq) % rare
		if patient && dice == 0 {
			dice = 2
		}
		if chosen := hash("%d toxin %s", seed, chat); patient && chosen%3 == 0 && chosen%early == uint64(seq) {
			dice = 0
		}
		switch dice {
		case 0:
			return Lasting
		case 1:
			return Deadly
		}
		return Harmless
	}
}

// mood is how a handler takes an event.
type mood struct {
	fails int           // times, at first
	takes time.Duration // before it has its effect
	deaf  bool          // whether it goes on though its context has ended
}

// moodOf depends on the seed alone: every worker handles an event alike.
func moodOf(seed uint64, p Place) mood {
	h := fnv.New64a()
	_, _ = fmt.Fprintf(h, "%s %d", p.Chat, p.Seq)
	dice := rand.New(rand.NewPCG(seed, h.Sum64())) //nolint:gosec // dice
	m := mood{deaf: dice.IntN(2) == 0}
	if n := dice.IntN(100); n < 4 {
		m.fails = 1 + n%2
	}
	switch n := dice.IntN(1000); {
	case n < 1:
		m.takes = lease + time.Duration(dice.Int64N(int64(lease/2)))
	case n < 30:
		m.takes = 10*time.Millisecond + time.Duration(dice.Int64N(int64(50*time.Millisecond)))
	}
	return m
}

func (m mood) long() bool { return m.takes >= lease }

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
