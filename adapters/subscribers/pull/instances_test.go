package pull_test

import (
	"errors"
	"testing"
	"time"

	"chatcore/adapters/subscribers/pull"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// TestSettle_AtAnotherInstance settles deliveries at a process that has not made them, and after the end of the one that has.
func TestSettle_AtAnotherInstance(t *testing.T) {
	inBubble(t, groups.Definition{Retry: retry}, func(t *testing.T, w *world) {
		owner, other := w.node(), w.node()
		c := owner.consume(1)
		w.send("chat", 4)
		first := w.take(c, 1)[0]
		for range 2 {
			if got := other.settle(first, pull.Settlement{Kind: pull.Ack}); got != pull.Done {
				t.Errorf("the ack is %v", got)
			}
		}
		if got := other.settle(first, pull.Settlement{Kind: pull.Dead}); got != pull.Stale {
			t.Errorf("another outcome is %v", got)
		}
		second := w.take(c, 1)[0]
		if second.ID.Seq != 2 {
			t.Fatalf("seq %d follows", second.ID.Seq)
		}
		both := []pull.Settlement{{Token: first.Token, Kind: pull.Ack}, {Token: second.Token, Kind: pull.Retry, Reason: "no"}}
		if got, err := other.broker.Settle(t.Context(), "g", both); err != nil || got[0] != pull.Done || got[1] != pull.Done {
			t.Errorf("two settlements are %v, %v", got, err)
		}
		again := w.take(c, 1)[0]
		if again.ID.Seq != 2 || again.Attempt != 2 {
			t.Fatalf("seq %d follows in attempt %d", again.ID.Seq, again.Attempt)
		}
		owner.stop()
		if got := other.settle(again, pull.Settlement{Kind: pull.Ack}); got != pull.Stale {
			t.Errorf("the ack after the end of the process is %v", got)
		}
		next := w.take(other.consume(1), 1)[0]
		if next.ID.Seq != 2 || next.Attempt != 2 || next.Epoch <= again.Epoch {
			t.Errorf("the other process delivers seq %d in attempt %d under epoch %d, after %d", next.ID.Seq, next.Attempt, next.Epoch, again.Epoch)
		}
	})
}

// TestTakeover cuts a process whose consumer has deliveries off from the store: another process delivers them, and late settlements are stale, also those that the
// first process receives before it knows of the other one.
func TestTakeover(t *testing.T) {
	inBubble(t, groups.Definition{Retry: retry}, func(t *testing.T, w *world) {
		dying, heir := w.node(), w.node()
		c := dying.consume(10)
		w.send("a", 1)
		w.send("b", 1)
		held := make(map[domain.ChatID]pull.Delivery)
		for _, d := range w.take(c, 2) {
			held[d.ID.Chat] = d
		}
		dying.freeze()
		for _, next := range w.take(heir.consume(10), 2) {
			d := held[next.ID.Chat]
			if next.ID != d.ID || next.Epoch <= d.Epoch || !next.Redelivered {
				t.Errorf("the other process delivers %+v after %+v", next, d)
			}
			if got := heir.settle(next, pull.Settlement{Kind: pull.Ack}); got != pull.Done {
				t.Errorf("the heir's ack is %v", got)
			}
		}
		if got := dying.settle(held["a"], pull.Settlement{Kind: pull.Ack}); got != pull.Stale {
			t.Errorf("an ack at the process that is cut off is %v", got)
		}
		dying.thaw()
		time.Sleep(5 * time.Second) // it notices that it has lost the partitions
		for chat, d := range held {
			if got := dying.settle(d, pull.Settlement{Kind: pull.Ack}); got != pull.Stale {
				t.Errorf("the late ack of chat %s is %v", chat, got)
			}
		}
	})
}

// TestTokens_Forged settles with tokens that no process has made for the group.
func TestTokens_Forged(t *testing.T) {
	inBubble(t, groups.Definition{}, func(t *testing.T, w *world) {
		n, other := w.node(), w.node()
		c := n.consume(2)
		w.send("a", 1)
		w.send("b", 1)
		taken := w.take(c, 2)
		flipped := func(token string, i int) string {
			b := []byte(token)
			b[i] ^= 1
			if b[i] == '@' || b[i] == '`' || b[i] == '[' || b[i] == '{' {
				b[i] ^= 3
			}
			return string(b)
		}
		good := pull.Settlement{Token: taken[0].Token, Kind: pull.Ack}
		for name, token := range map[string]string{
			"none": "", "no token": "x", "too long": good.Token + "AAAA", "another mac": flipped(good.Token, len(good.Token)-2), "another dispatch": flipped(good.Token, 30),
		} {
			for _, at := range []*node{n, other} {
				_, err := at.broker.Settle(t.Context(), "g", []pull.Settlement{{Token: token, Kind: pull.Ack}, good})
				if !isInvalid(err, "settlements[0].token") {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
		for _, at := range []*node{n, other} {
			if _, err := at.broker.Settle(t.Context(), "other", []pull.Settlement{good}); !isInvalid(err, "settlements[0].token") {
				t.Errorf("a token of another group: %v", err)
			}
		}
		if got := n.settle(taken[0], pull.Settlement{Kind: pull.Ack}); got != pull.Done {
			t.Errorf("the ack is %v: a call with a forged token has settled it", got)
		}
	})
}

// TestEnd stops, pauses and deletes a group while its consumer has deliveries: it may settle what it has, and the rest is returned without an attempt.
func TestEnd(t *testing.T) {
	for name, end := range map[string]struct {
		prepare func(w *world) error
		want    error
	}{
		"stop": {func(*world) error { return nil }, pull.ErrStopping},
		"pause": {func(w *world) error {
			d, err := w.definitions.Definition(w.t.Context(), "g")
			d.Paused = true
			_, err2 := w.definitions.Redefine(w.t.Context(), d)
			return errors.Join(err, err2)
		}, pull.ErrPaused},
		"delete": {func(w *world) error { return w.definitions.Undefine(w.t.Context(), "g") }, pull.ErrDeleted},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, groups.Definition{Retry: retry}, func(t *testing.T, w *world) {
				n := w.node()
				c := n.consume(10)
				w.send("a", 2)
				w.send("b", 2)
				taken := w.take(c, 2)
				if err := end.prepare(w); err != nil {
					t.Fatal(err)
				}
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					_ = n.group.Stop(t.Context())
				}()
				time.Sleep(time.Second)
				if got := n.settle(taken[0], pull.Settlement{Kind: pull.Ack}); got != pull.Done {
					t.Errorf("an ack while the group ends is %v", got)
				}
				<-stopped
				n.group = nil
				if _, err := c.Take(nil, 10); !errors.Is(err, end.want) {
					t.Errorf("the consumer ends with %v, want %v", err, end.want)
				}
				if got := n.settle(taken[1], pull.Settlement{Kind: pull.Ack}); got != pull.Stale {
					t.Errorf("an ack after the end is %v", got)
				}
				if got := n.settle(taken[0], pull.Settlement{Kind: pull.Ack}); got != pull.Done {
					t.Errorf("a repeated ack after the end is %v", got)
				}
				if name != "stop" {
					return
				}
				n.run()
				for _, d := range w.take(n.consume(10), 2) {
					want := 1 + uint64(0)
					if d.ID.Chat == taken[0].ID.Chat {
						want = 2
					}
					if uint64(d.ID.Seq) != want || d.Attempt != 1 {
						t.Errorf("chat %s goes on with seq %d in attempt %d", d.ID.Chat, d.ID.Seq, d.Attempt)
					}
				}
			})
		})
	}
}

// TestMembership joins with the first consumer, and leaves a while after the last one, but not while a delivery is unsettled.
func TestMembership(t *testing.T) {
	inBubble(t, groups.Definition{}, func(t *testing.T, w *world) {
		n := w.node()
		w.send("a", 3)
		time.Sleep(time.Minute)
		if n.isMember() {
			t.Fatal("a process without consumers is a member")
		}
		taken, err := n.broker.Fetch(t.Context(), pull.Request{Group: "g", Credit: 5, Lease: time.Minute}, 30*time.Second)
		if err != nil || len(taken) != 1 {
			t.Fatal(taken, err)
		}
		time.Sleep(50 * time.Second)
		if !n.isMember() {
			t.Error("the process has left while a delivery is unsettled")
		}
		n.settle(taken[0], pull.Settlement{Kind: pull.Ack})
		time.Sleep(9 * time.Second)
		if !n.isMember() {
			t.Error("the process has left at once")
		}
		time.Sleep(10 * time.Second)
		if n.isMember() {
			t.Error("the process stays a member without a consumer")
		}
		if got := w.take(n.consume(1), 1)[0].ID.Seq; got != 2 {
			t.Errorf("seq %d follows", got)
		}
	})
}

// TestCredit changes the credit: never more than it is in flight, and other consumers get what is returned.
func TestCredit(t *testing.T) {
	inBubble(t, groups.Definition{}, func(t *testing.T, w *world) {
		n := w.node()
		c := n.consume(2)
		for _, chat := range []string{"a", "b", "c", "d", "e", "f"} {
			w.send(chat, 1)
		}
		taken := w.take(c, 2)
		w.none(c, 10*time.Second)
		c.SetCredit(4)
		w.take(c, 2)
		w.none(c, 10*time.Second)
		c.SetCredit(0)
		n.settle(taken[0], pull.Settlement{Kind: pull.Ack})
		n.settle(taken[1], pull.Settlement{Kind: pull.Ack})
		w.none(c, 5*time.Second)
		other := n.consume(10)
		w.take(other, 2)
		w.none(other, time.Second)
	})
}

// TestRoundRobin gives consumers with room their turns.
func TestRoundRobin(t *testing.T) {
	inBubble(t, groups.Definition{}, func(t *testing.T, w *world) {
		n := w.node()
		a, b, c := n.consume(4), n.consume(4), n.consume(1)
		for _, chat := range []string{"a", "b", "c", "d", "e", "f", "g", "h", "i"} {
			w.send(chat, 1)
		}
		w.take(a, 4)
		w.take(b, 4)
		w.take(c, 1)
	})
}
