package pull

import (
	"context"
	"time"
)

// Settle settles deliveries of a group, and returns the status of each. Any process takes the settlements of all. It returns a [*domain.InvalidError]
// for a token that no process has made for the group: others of the call may have taken effect then. It returns [ErrUnanswered], beside the statuses, if
// the process of some deliveries has not answered.
func (b *Broker) Settle(ctx context.Context, group string, settlements []Settlement) ([]Status, error) {
	statuses := make([]Status, len(settlements))
	elsewhere, err := b.sort(group, settlements)
	if err != nil {
		return nil, err
	}
	if len(elsewhere) == 0 {
		b.settleHere(group, settlements, statuses)
		return statuses, nil
	}
	return statuses, b.settleEverywhere(ctx, group, settlements, elsewhere, statuses)
}

// IsHere reports whether this process has made the tokens of all settlements: Settle then waits for no other one.
func (b *Broker) IsHere(settlements []Settlement) bool {
	for i := range settlements {
		if t, ok := parseToken(settlements[i].Token); ok && t.instance != b.tokens.instance {
			return false
		}
	}
	return true
}

// sort returns the indexes of the settlements of other processes, by process. It returns an error for a token that is none.
func (b *Broker) sort(group string, settlements []Settlement) (elsewhere map[[instanceBytes]byte][]int, err error) {
	for i := range settlements {
		parsed, ok := parseToken(settlements[i].Token)
		switch {
		case !ok:
			return nil, unknownToken(i)
		case parsed.instance != b.tokens.instance:
			if elsewhere == nil {
				elsewhere = make(map[[instanceBytes]byte][]int)
			}
			elsewhere[parsed.instance] = append(elsewhere[parsed.instance], i)
		case !b.tokens.isOf(parsed, group):
			return nil, unknownToken(i)
		}
	}
	return elsewhere, nil
}

// settling is a settlement whose outcome is reported to the delivery core.
type settling struct {
	*delivery
	index  int // of the settlement
	err    error
	counts bool
}

// settleHere settles deliveries of this process. The tokens have been checked.
func (b *Broker) settleHere(group string, settlements []Settlement, statuses []Status) {
	g, _ := b.running(group)
	if g == nil {
		now := time.Now()
		for i := range settlements {
			t, _ := parseToken(settlements[i].Token)
			statuses[i] = b.settled.of(t.dispatch, b.short(&settlements[i]), now)
		}
		return
	}
	const together = 64 // so that the next deliveries are not late
	for from := 0; from < len(settlements); from += together {
		to := min(from+together, len(settlements))
		g.settle(settlements[from:to], statuses[from:to])
	}
}

// settle settles some deliveries. Those that become ready meanwhile go to their consumers together.
func (g *Group) settle(settlements []Settlement, statuses []Status) {
	var room [64]settling
	closing := room[:0]
	now := time.Now()
	g.mu.Lock()
	g.holding++
	for i := range settlements {
		s := &settlements[i]
		t, _ := parseToken(s.Token)
		o := g.broker.short(s)
		e := g.open[t.dispatch]
		switch {
		case e == nil:
			statuses[i] = g.broker.settled.of(t.dispatch, o, now)
		case e.closed && e.settling && e.outcome == o: // the same settlement is under way
			statuses[i] = 0
		case e.closed || !now.Before(e.deadline):
			statuses[i] = Stale
		case s.Kind == Extend:
			e.lease = orLease(s.After, e.lease)
			g.begin(e, now.Add(e.lease))
			statuses[i] = Done
		default:
			e.settling, e.outcome = true, o
			g.close(e)
			closing = append(closing, settling{delivery: e, index: i, err: s.errorOf()})
		}
	}
	off := g.isOff()
	g.mu.Unlock()
	if off {
		g.adjust()
	}
	for i := range closing {
		closing[i].counts = closing[i].Done(closing[i].err)
	}
	g.mu.Lock()
	for i := range closing {
		c := &closing[i]
		statuses[c.index] = Stale
		if c.counts {
			statuses[c.index] = Done
		}
		g.broker.settled.add(c.dispatch, settlement{outcome: c.outcome, status: statuses[c.index], until: c.deadline})
		delete(g.open, c.dispatch)
	}
	if g.waiting > 0 {
		g.settled.Broadcast()
	}
	g.holding--
	g.wakeHeld()
	g.awaitOthers(settlements, statuses)
	g.mu.Unlock()
}

// awaitOthers fills in the statuses of settlements that another call has under way. The mutex is held.
func (g *Group) awaitOthers(settlements []Settlement, statuses []Status) {
	for i := range settlements {
		if statuses[i] != 0 {
			continue
		}
		t, _ := parseToken(settlements[i].Token)
		g.waiting++
		for g.open[t.dispatch] != nil {
			g.settled.Wait()
		}
		g.waiting--
		statuses[i] = g.broker.settled.of(t.dispatch, g.broker.short(&settlements[i]), time.Now())
	}
}

func orLease(lease, otherwise time.Duration) time.Duration {
	if lease > 0 {
		return lease
	}
	return otherwise
}
