package pull_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/subscribers"
	"chatcore/adapters/subscribers/pull"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// bubbleClock is the clock of a synctest bubble.
type bubbleClock struct{}

func (bubbleClock) Now() time.Time { return time.Now() }

func (bubbleClock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// world is a log in memory with the pull group "g", whose processes are nodes.
type world struct {
	t           *testing.T
	log         *memory.Log
	codec       *wireformat.Codec
	groups      *memgroup.Groups
	definitions groups.Definitions
	relay       *memory.Relay
	nodes       []*node
	sent        int
}

// node is one process.
type node struct {
	w      *world
	broker *pull.Broker
	group  subscribers.Running
	ctx    context.Context
	kill   context.CancelFunc

	mu      sync.Mutex
	members []*member     // mu guards
	frozen  chan struct{} // mu guards; closed when the process reaches the store again; nil if it does
}

func (n *node) fault(memgroup.Call) memgroup.Fault {
	n.mu.Lock()
	defer n.mu.Unlock()
	return memgroup.Fault{Frozen: n.frozen}
}

// freeze has the process reach the store no more, until thaw.
func (n *node) freeze() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frozen = make(chan struct{})
}

func (n *node) thaw() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.frozen)
	n.frozen = nil
}

// member is a membership of a node.
type member struct{ *group.Member }

// Leave implements [group.Membership].
func (m member) Leave(ctx context.Context) error {
	m.Stop()
	select {
	case <-m.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// inBubble runs a test in virtual time with a world whose group has the definition.
func inBubble(t *testing.T, d groups.Definition, test func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, codec: wireformat.New(), relay: memory.NewRelay()}
		w.log = memory.New(w.codec, bubbleClock{}, nil)
		w.groups = memgroup.New(memgroup.Config{Log: w.log, Codec: w.codec, Clock: bubbleClock{}, Partitions: 2})
		w.definitions = memory.NewDefinitions(bubbleClock{})
		d.Group, d.Kind, d.Start.Beginning = "g", groups.KindPull, true
		if _, err := w.definitions.Define(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		defer w.stop()
		test(t, w)
	})
}

func (w *world) stop() {
	for _, n := range w.nodes {
		n.stop()
	}
}

// node starts a process that runs the group.
func (w *world) node() *node {
	w.t.Helper()
	n := &node{w: w, broker: pull.New(pull.Config{Definitions: w.definitions, Relay: w.relay, Logger: slog.New(slog.DiscardHandler)})}
	n.ctx, n.kill = context.WithCancel(context.Background())
	n.run()
	w.nodes = append(w.nodes, n)
	return n
}

// run runs the group as it is defined.
func (n *node) run() {
	n.w.t.Helper()
	d, err := n.w.definitions.Definition(n.w.t.Context(), "g")
	if err == nil {
		n.group, err = n.broker.Run(n.ctx, d.WithDefaults(), n.join)
	}
	if err != nil {
		n.w.t.Fatal(err)
	}
}

func (n *node) join(ctx context.Context, c group.Config, h group.Handler) (group.Membership, error) {
	w := n.w
	stores := memgroup.WithFaults(w.groups, n.fault)
	c.Store, c.Partitions, c.LogID, c.Backlog, c.Codec = stores.Store("g"), stores.Partitions(), w.log.ID(), w.groups.Backlog(), w.codec
	c.Lease, c.Logger, c.Counters = 3*time.Second, slog.New(slog.DiscardHandler), &group.Counters{}
	joined, err := group.Join(ctx, c, h)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	n.members = append(n.members, &member{joined})
	n.mu.Unlock()
	go joined.Run(n.ctx) //nolint:contextcheck // ctx bounds the joining alone
	return member{joined}, nil
}

// stop ends a process in order.
func (n *node) stop() {
	if n.group != nil {
		_ = n.group.Stop(context.Background())
		n.group = nil
	}
	n.broker.Close()
	n.kill()
}

// isMember reports whether the process is a member of the group.
func (n *node) isMember() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range n.members {
		select {
		case <-m.Done():
		default:
			return true
		}
	}
	return false
}

// send appends n messages to a chat.
func (w *world) send(chat string, n int) {
	w.t.Helper()
	for range n {
		w.sent++
		e := domain.MessageNew{
			Chat: domain.ChatID(chat), Message: domain.MessageID(fmt.Sprint("m", w.sent)), Sender: "ada", Content: "x", At: time.Now().UTC().Truncate(time.Millisecond),
		}
		a := ports.Append{Chat: e.Chat, Events: []ports.NewEvent{{ID: domain.EventID(fmt.Sprint("e", w.sent)), Event: e, Moves: domain.Moves(e)}}}
		if _, err := w.log.Append(w.t.Context(), a); err != nil {
			w.t.Fatal(err)
		}
	}
}

// consume adds a consumer with a credit.
func (n *node) consume(credit int) *pull.Consumer {
	n.w.t.Helper()
	c, err := n.broker.Consume(n.w.t.Context(), pull.Request{Group: "g", Credit: credit, Lease: 30 * time.Second})
	if err != nil {
		n.w.t.Fatal(err)
	}
	return c
}

// take returns the next deliveries of a consumer, and waits for n of them for a minute at most.
func (w *world) take(c *pull.Consumer, n int) []pull.Delivery {
	w.t.Helper()
	var taken []pull.Delivery
	limit := time.After(time.Minute)
	for len(taken) < n {
		var err error
		if taken, err = c.Take(taken, n-len(taken)); err != nil {
			w.t.Fatal(err)
		}
		if len(taken) == n {
			break
		}
		select {
		case <-c.Ready():
		case <-limit:
			w.t.Fatalf("%d of %d deliveries came", len(taken), n)
		}
	}
	return taken
}

// none fails the test if a consumer gets a delivery within a time.
func (w *world) none(c *pull.Consumer, within time.Duration) {
	w.t.Helper()
	time.Sleep(within)
	if taken, err := c.Take(nil, 100); err != nil || len(taken) > 0 {
		w.t.Fatalf("a consumer was given %v, error %v", taken, err)
	}
}

// settle settles a delivery at a node, and returns the status.
func (n *node) settle(d pull.Delivery, s pull.Settlement) pull.Status {
	n.w.t.Helper()
	s.Token = d.Token
	statuses, err := n.broker.Settle(n.w.t.Context(), "g", []pull.Settlement{s})
	if err != nil {
		n.w.t.Fatal(err)
	}
	return statuses[0]
}

// deadLetters returns the reasons of the group's dead letters.
func (w *world) deadLetters() (reasons []string) {
	w.t.Helper()
	for d, err := range w.groups.DeadLettersAfter(w.t.Context(), "g", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		reasons = append(reasons, d.Reason)
	}
	return reasons
}

func isInvalid(err error, field string) bool {
	var invalid *domain.InvalidError
	return errors.As(err, &invalid) && invalid.Field == field
}
