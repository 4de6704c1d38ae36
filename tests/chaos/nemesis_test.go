package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// nemesis causes faults, and records them. Its table of attacks has the kinds; the seed and their names decide its actions.
type nemesis struct {
	t     *testing.T
	seed  uint64
	ctx   context.Context
	calm  time.Duration // between two faults of a hand at most
	until time.Time

	mu     sync.Mutex
	faults []Fault
}

// attack is one kind of fault. It returns its target when the fault has ended, and, unless nil, a function that mends the remaining damage.
type attack struct {
	kind string
	do   func(dice) (on string, heal func())
}

// dice are thrown by one hand.
type dice struct {
	*rand.Rand
	ctx context.Context
}

// between waits for some time.
func (d dice) between(least, most time.Duration) {
	_ = pause(d.ctx, least+time.Duration(d.Int64N(int64(most-least)+1))) // cut short when the test ends
}

// hand does one harm after another, each kind once before one comes again.
func (n *nemesis) hand(number uint64, attacks ...attack) {
	d := dice{rand.New(rand.NewPCG(n.seed, number)), n.ctx} //nolint:gosec // dice
	deck := chosen(attacks)
	for len(deck) > 0 {
		d.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		for _, a := range deck {
			d.between(0, n.calm)
			if n.ctx.Err() != nil || time.Now().After(n.until) {
				return
			}
			f := Fault{Kind: a.kind, Began: time.Now()}
			on, heal := a.do(d)
			f.On, f.Ended = on, time.Now()
			if heal != nil {
				heal()
			}
			f.Healed = time.Now()
			n.mu.Lock()
			n.faults = append(n.faults, f)
			n.mu.Unlock()
		}
	}
}

// chosen are the attacks that CHATCORE_CHAOS_FAULTS names, with commas between them, or all.
func chosen(attacks []attack) []attack {
	names := os.Getenv("CHATCORE_CHAOS_FAULTS")
	return slices.DeleteFunc(slices.Clone(attacks), func(a attack) bool {
		return names != "" && !slices.Contains(strings.Split(names, ","), a.kind)
	})
}

// String lists the faults, one a line.
func (n *nemesis) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var all strings.Builder
	for _, f := range n.faults {
		fmt.Fprintln(&all, f)
	}
	return all.String()
}

// windows returns the times of faults of some kinds, until their damage was mended.
func (n *nemesis) windows(kinds ...string) []Window {
	var all []Window
	for _, f := range n.faults {
		if slices.Contains(kinds, f.Kind) {
			all = append(all, Window{f.Began, f.Healed})
		}
	}
	return all
}
