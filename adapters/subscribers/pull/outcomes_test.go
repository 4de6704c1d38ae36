package pull_test

import (
	"slices"
	"testing"
	"time"

	"chatcore/adapters/subscribers/pull"
	"chatcore/ports/groups"
)

// retry is a retry policy with short pauses.
var retry = groups.Retry{Attempts: 3, First: time.Second, Max: time.Second}

// TestOutcomes settles the first event of a chat in each way, and takes what comes then.
func TestOutcomes(t *testing.T) {
	type row struct {
		settle  func(w *world, n *node, c *pull.Consumer, d pull.Delivery) *pull.Consumer // returns the consumer that goes on
		seq     uint64                                                                    // of the next delivery
		attempt int
		after   time.Duration // the earliest time of the next delivery
		letters []string
	}
	settle := func(want pull.Status, s pull.Settlement) func(w *world, n *node, c *pull.Consumer, d pull.Delivery) *pull.Consumer {
		return func(w *world, n *node, c *pull.Consumer, d pull.Delivery) *pull.Consumer {
			w.t.Helper()
			for range 2 { // a settlement that is repeated has the same answer
				if got := n.settle(d, s); got != want {
					w.t.Errorf("%v is %v, want %v", s.Kind, got, want)
				}
			}
			for _, other := range []pull.Settlement{{Kind: pull.Ack}, {Kind: pull.Retry}, {Kind: pull.Dead}, {Kind: pull.Postpone}, {Kind: pull.Extend}} {
				if other.Kind == s.Kind && other.After == s.After && other.Reason == s.Reason {
					continue
				}
				if got := n.settle(d, other); got != pull.Stale {
					w.t.Errorf("%v after %v is %v", other.Kind, s.Kind, got)
				}
			}
			return c
		}
	}
	for name, r := range map[string]row{
		"ack":            {settle: settle(pull.Done, pull.Settlement{Kind: pull.Ack}), seq: 2, attempt: 1},
		"retry":          {settle: settle(pull.Done, pull.Settlement{Kind: pull.Retry, Reason: "no"}), seq: 1, attempt: 2, after: 500 * time.Millisecond},
		"retry later":    {settle: settle(pull.Done, pull.Settlement{Kind: pull.Retry, After: 20 * time.Second}), seq: 1, attempt: 2, after: 20 * time.Second},
		"dead":           {settle: settle(pull.Done, pull.Settlement{Kind: pull.Dead, Reason: "bad"}), seq: 2, attempt: 1, letters: []string{"bad"}},
		"postpone":       {settle: settle(pull.Done, pull.Settlement{Kind: pull.Postpone}), seq: 1, attempt: 1, after: time.Second},
		"postpone later": {settle: settle(pull.Done, pull.Settlement{Kind: pull.Postpone, After: 10 * time.Second}), seq: 1, attempt: 1, after: 10 * time.Second},
		"extend": {settle: func(w *world, n *node, c *pull.Consumer, d pull.Delivery) *pull.Consumer {
			for range 3 {
				time.Sleep(25 * time.Second)
				if got := n.settle(d, pull.Settlement{Kind: pull.Extend}); got != pull.Done {
					w.t.Errorf("the extension is %v", got)
				}
			}
			if got := n.settle(d, pull.Settlement{Kind: pull.Extend, After: 5 * time.Second}); got != pull.Done {
				w.t.Errorf("the short extension is %v", got)
			}
			return c
		}, seq: 1, attempt: 2, after: 80 * time.Second},
		"lapse": {settle: func(w *world, n *node, c *pull.Consumer, d pull.Delivery) *pull.Consumer {
			time.Sleep(30*time.Second + time.Millisecond)
			if got := n.settle(d, pull.Settlement{Kind: pull.Ack}); got != pull.Stale {
				w.t.Errorf("the ack after the lease is %v", got)
			}
			return c
		}, seq: 1, attempt: 2, after: 30 * time.Second},
		"clean close": {settle: func(_ *world, n *node, c *pull.Consumer, _ pull.Delivery) *pull.Consumer {
			c.Close()
			return n.consume(1)
		}, seq: 1, attempt: 1},
		"broken stream": {settle: func(w *world, n *node, c *pull.Consumer, d pull.Delivery) *pull.Consumer {
			c.Break()
			if got := n.settle(d, pull.Settlement{Kind: pull.Ack}); got != pull.Stale {
				w.t.Errorf("the ack after the end of the stream is %v", got)
			}
			return n.consume(1)
		}, seq: 1, attempt: 2, after: 500 * time.Millisecond},
		"three broken streams": {settle: func(w *world, n *node, c *pull.Consumer, _ pull.Delivery) *pull.Consumer {
			for range 2 {
				c.Break()
				c = n.consume(1)
				w.take(c, 1)
			}
			c.Break()
			return n.consume(1)
		}, seq: 2, attempt: 1, letters: []string{"the consumer was gone before it had settled the delivery"}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, groups.Definition{Retry: retry}, func(t *testing.T, w *world) {
				n := w.node()
				c := n.consume(1)
				w.send("chat", 2)
				d := w.take(c, 1)[0]
				if d.ID.Seq != 1 || d.Attempt != 1 || d.Redelivered || d.Epoch == 0 || !d.Until.Equal(time.Now().Add(c.Lease())) {
					t.Fatalf("the first delivery is %+v", d)
				}
				began := time.Now()
				c = r.settle(w, n, c, d)
				next := w.take(c, 1)[0]
				if uint64(next.ID.Seq) != r.seq || next.Attempt != r.attempt {
					t.Errorf("seq %d comes in attempt %d, want seq %d in attempt %d", next.ID.Seq, next.Attempt, r.seq, r.attempt)
				}
				if again := r.seq == 1; next.Redelivered != again {
					t.Errorf("seq %d says redelivered %t, want %t", next.ID.Seq, next.Redelivered, again)
				}
				if after := time.Since(began); after < r.after {
					t.Errorf("it comes after %v, want %v or more", after, r.after)
				}
				time.Sleep(time.Second) // the next commit stores dead letters
				if got := w.deadLetters(); !slices.Equal(got, r.letters) {
					t.Errorf("the dead letters are %q, want %q", got, r.letters)
				}
			})
		})
	}
}
