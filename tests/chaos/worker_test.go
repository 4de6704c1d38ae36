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
	"chatcore/adapters/pubsub"
	"chatcore/domain"
	"chatcore/ports"
)

// workerVariable makes the test binary a worker. It holds a workerConfig.
const workerVariable = "CHATCORE_CHAOS_WORKER"

// lease is for how long an owner has a partition when nothing is heard of it: the default.
const lease = 3 * time.Second

const (
	group   = "chaos"
	heeding = "heeding" // what a worker says once it heeds SIGTERM
	running = "running" // and when it runs
)

type workerConfig struct {
	Name, RedisURL, HistoryURL string
	Seed                       uint64
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
	for {
		ran, err := w.serve(ctx, logger)
		switch {
		case ran, err == nil:
			return err
		case ctx.Err() != nil: // told to stop before it could begin
			return nil
		case !errors.Is(err, ports.ErrUnavailable) && !errors.Is(err, chatcore.ErrUnreachable):
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
}

// serve opens a core and runs it until ctx ends. It reports whether it ran at all.
func (w *worker) serve(ctx context.Context, logger *slog.Logger) (ran bool, err error) {
	core, err := chatcore.New(ctx, chatcore.Config{
		RedisURL: w.config.RedisURL, Logger: logger,
		// No event may end as a dead letter: each has to have its effect.
		Retry: pubsub.RetryPolicy{Attempts: 1000, First: 20 * time.Millisecond, Max: 500 * time.Millisecond},
	})
	if err != nil {
		return false, err
	}
	if err := errors.Join(core.Subscribe(group, chatcore.On(w.handle), chatcore.FromBeginning()), core.SubscribeBuiltins()); err != nil {
		return false, errors.Join(err, core.Close())
	}
	if err := core.Start(ctx); err != nil {
		return false, err
	}
	fmt.Println(running)
	err = core.Wait()
	stats := core.Stats()
	logger.Info("worker has stopped", "handled", stats.Handled, "dead_letters", stats.DeadLetters)
	return true, err
}

var (
	errTransient = errors.New("it fails at first")
	errLate      = errors.New("a later owner was before")
)

// handle has the effect of an event, sooner or later.
func (w *worker) handle(ctx context.Context, d chatcore.Delivery[domain.Durable]) error {
	given := Delivery{
		Place: Place{Chat: d.ID.Chat, Seq: d.ID.Seq, Event: d.ID.Event}, Log: d.ID.Log,
		Attempt: d.Attempt, Redelivered: d.Redelivered, Epoch: d.Epoch, Worker: w.config.Name, Entered: time.Now(),
	}
	if err := w.history.Start(context.WithoutCancel(ctx), given); err != nil {
		return err
	}
	mood := moodOf(w.config.Seed, given.Place)
	if d.Attempt <= mood.fails {
		return errTransient
	}
	if mood.deaf {
		ctx = context.WithoutCancel(ctx)
	}
	if err := pause(ctx, mood.takes); err != nil {
		return err
	}
	outcome, err := w.history.Effect(ctx, given)
	if err == nil && outcome == Fenced {
		return errLate
	}
	return err
}

// mood is how a handler takes an event.
type mood struct {
	fails int           // times, at first
	takes time.Duration // before it has its effect
	deaf  bool          // whether it goes on though its context has ended
}

// moodOf follows from the seed: whoever handles an event handles it so.
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
