package memory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"chatcore/ports"
	"chatcore/ports/porttest"
)

// counters are the targets of effects in memory.
type counters struct {
	mu     sync.Mutex
	counts map[string]int
	broken map[string]bool
}

func (c *counters) add(counter string) ports.Effect {
	return ports.Effect{On: counter, Func: func(context.Context) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.broken[counter] {
			return errors.New("the counter is broken")
		}
		c.counts[counter]++
		return nil
	}}
}

func (c *counters) count(counter string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts[counter]
}

func (c *counters) fail(counter string) (mend func()) {
	set := func(broken bool) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.broken[counter] = broken
	}
	set(true)
	return func() { set(false) }
}

func newEffects(clock ports.Clock) porttest.EffectStore {
	c := &counters{counts: make(map[string]int), broken: make(map[string]bool)}
	return porttest.EffectStore{Effects: NewEffects(clock, ports.EffectTTL), Add: c.add, Count: c.count, Fail: c.fail}
}

func TestEffects(t *testing.T) {
	porttest.Effects(t, func(*testing.T) porttest.EffectStore { return newEffects(newClock()) })
}

func TestEffectsAreForgottenByTheClock(t *testing.T) {
	clock := newClock()
	s := newEffects(clock)
	once := func(id string, want bool) {
		t.Helper()
		made, err := s.Once(t.Context(), "badge", ports.DeliveryID{Event: "e"}, s.Add(id))
		if err != nil || made != want {
			t.Errorf("made is %v, error %v, want %v", made, err, want)
		}
	}
	once("a", true)
	clock.forward(ports.EffectTTL - time.Hour)
	once("a", false)
	once("b", true)
	clock.forward(time.Hour)
	once("a", true)
	once("b", false)
	clock.forward(ports.EffectTTL)
	once("c", true)
	store := s.Effects.(*Effects)
	if len(store.made) != 1 || len(store.order) != 1 {
		t.Errorf("%d effects are remembered, want the last only", len(store.made))
	}
}

// TestOnlyCallsForTheSameEffectWait has one effect take its time.
func TestOnlyCallsForTheSameEffectWait(t *testing.T) {
	e := NewEffects(newClock(), time.Hour)
	begun, end := make(chan struct{}), make(chan struct{})
	slow := ports.Effect{Func: func(context.Context) error {
		close(begun)
		<-end
		return errors.New("in the end it failed")
	}}
	quick := ports.Effect{Func: func(context.Context) error { return nil }}
	failed := make(chan error, 1)
	go func() {
		_, err := e.Once(t.Context(), "slow", ports.DeliveryID{Event: "e"}, slow)
		failed <- err
	}()
	<-begun
	if made, err := e.Once(t.Context(), "quick", ports.DeliveryID{Event: "e"}, quick); !made || err != nil {
		t.Errorf("another effect: made is %v, error %v", made, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := e.Once(ctx, "slow", ports.DeliveryID{Event: "e"}, quick); !errors.Is(err, context.Canceled) {
		t.Errorf("the same effect, given up: %v", err)
	}
	made := make(chan string, 1)
	go func() {
		ok, err := e.Once(t.Context(), "slow", ports.DeliveryID{Event: "e"}, quick)
		made <- fmt.Sprint(ok, err)
	}()
	close(end)
	if err := <-failed; err == nil {
		t.Error("the slow one did not fail")
	}
	if got := <-made; got != "true <nil>" {
		t.Errorf("after the failure: %s", got)
	}
}

func TestAnEffectThatPanicsIsNotMade(t *testing.T) {
	e := NewEffects(newClock(), time.Hour)
	call := func(f func(context.Context) error) (made bool, panicked any) {
		defer func() { panicked = recover() }()
		made, _ = e.Once(t.Context(), "badge", ports.DeliveryID{Event: "e"}, ports.Effect{Func: f})
		return made, nil
	}
	if made, panicked := call(func(context.Context) error { panic("oh") }); made || panicked != "oh" {
		t.Errorf("made is %v, panic %v", made, panicked)
	}
	if made, panicked := call(func(context.Context) error { return nil }); !made || panicked != nil {
		t.Errorf("afterwards: made is %v, panic %v", made, panicked)
	}
}
