package delivery

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"chatcore/ports/groups"
)

const (
	mostRead = 6       // entries of one read
	plenty   = 1 << 20 // a bound of dead letters that is never reached
)

// world is a log with its streams, the store of a group, and the processes that run its members. A program of random numbers drives it.
type world struct {
	config     Config
	limits     limits
	faultless  bool // nothing fails: each event is handled once
	busy       int  // how often events are appended, in percent of what members can handle or more
	now        time.Time
	skew       time.Duration // of the store's clock
	partitions []*worldPartition
	nodes      []*node
	living     map[string]*living
	facts      map[string]*fact

	made, named int
	seeds       uint64
	leaps       int // changes of the store that end a lease before its owner knows
	failovers   int
	abnormal    int // leases that ended otherwise than by a release
	begins      int // handlers
	steps       int
	blocked     map[*node]int
	story       []string
	tells       bool
	settling    bool
}

type living struct {
	until    time.Time
	declined map[string]time.Time // by stream
}

// failure is a broken invariant.
type failure struct{ rule, text string }

func (w *world) fail(format string, args ...any) {
	panic(failure{format, fmt.Sprintf(format, args...)})
}

// note adds to the story, if somebody reads it.
func (w *world) note(format string, args ...any) {
	if w.tells {
		w.story = append(w.story, fmt.Sprintf("%10v ", w.now.Sub(epoch))+fmt.Sprintf(format, args...))
	}
}

var epoch = time.UnixMilli(1_700_000_000_000)

func (w *world) storeNow() time.Time { return w.now.Add(w.skew) }

// dice draws numbers from one random number.
type dice uint64

func (d *dice) roll(n int) int {
	*d = *d*6364136223846793005 + 1442695040888963407
	return int(uint64(*d) >> 33 % uint64(n)) //nolint:gosec // n is small
}

func (d *dice) chance(percent int) bool { return d.roll(100) >= 100-percent }

// newWorld returns a world whose shape is drawn from a number.
func newWorld(shape uint64, order Order, faultless bool) *world {
	d := dice(shape)
	w := &world{now: epoch, faultless: faultless, facts: make(map[string]*fact), living: make(map[string]*living), blocked: make(map[*node]int)}
	w.config = Config{
		Order: order, Retry: RetryPolicy{Attempts: 1 + d.roll(3), First: 100 * time.Millisecond, Max: time.Second}, Concurrency: 1 + d.roll(6),
		DeadLetterBound: plenty, Lease: 6 * time.Second, Slow: 3 * time.Second, CoolDown: 2 * time.Second, Ephemeral: d.chance(10),
	}
	if w.config.Order == ByChat && d.chance(50) {
		w.config.OnPoison = Park
	}
	if w.config.Order != ByChat && d.chance(50) {
		w.config.ChatConcurrency = 1 + d.roll(2)
	}
	if d.chance(25) {
		w.config.DeadLetterBound = 1 + d.roll(2)
	}
	w.busy = [...]int{20, 40, 100}[d.roll(3)]
	w.limits = defaultLimits()
	if d.chance(70) {
		w.limits = limits{
			window: 3 + d.roll(8), share: 2 + d.roll(4), chats: 2 + d.roll(4), behind: 1 + d.roll(3), waiting: 2 + d.roll(3), chatWaiting: 1 + d.roll(2),
			pageChats: 1 + d.roll(3), pageEvents: 1 + d.roll(4), low: 1 + d.roll(3),
		}
	}
	for i := range 1 + d.roll(2) {
		number := i
		if d.chance(5) {
			number = -1
		}
		w.partitions = append(w.partitions, &worldPartition{
			Partition: groups.Partition{Stream: fmt.Sprint("s", i), Number: number}, w: w, store: newGroupStore(), last: groups.StreamID{Milliseconds: 1},
		})
		w.partitions[i].store.walk = number >= 0
	}
	for range 1 + d.roll(3) {
		w.join()
	}
	return w
}

// join starts a process.
func (w *world) join() {
	w.named++
	n := w.start(fmt.Sprint("m", w.named))
	w.nodes = append(w.nodes, n)
}

// heartbeat is Store.Heartbeat.
func (w *world) heartbeat(n *node, declined []groups.Partition) (m groups.Members) {
	me := w.living[n.name]
	if me == nil {
		me = &living{declined: make(map[string]time.Time)}
		w.living[n.name] = me
	}
	now := w.storeNow()
	me.until = now.Add(w.config.Lease)
	for _, p := range declined {
		me.declined[p.Stream] = now.Add(w.config.CoolDown)
	}
	m.Declined = make(map[string][]string)
	for name, l := range w.living {
		if l.until.Before(now) {
			continue
		}
		m.Living = append(m.Living, name)
		for stream, until := range l.declined {
			if until.After(now) {
				m.Declined[stream] = append(m.Declined[stream], name)
			}
		}
	}
	slices.Sort(m.Living)
	return m
}

// crash ends a process. Its handlers end with it, unless they go on for a while.
func (w *world) crash(n *node) {
	w.abnormal++
	w.note("%s crashes", n.name)
	w.remove(n)
}

func (w *world) remove(n *node) {
	w.nodes = slices.DeleteFunc(w.nodes, func(o *node) bool { return o == n })
	delete(w.blocked, n)
	if len(w.nodes) == 0 {
		w.join()
	}
}

// leave ends a process in order once it has drained.
func (n *node) leave() {
	if n.m.InFlight() > 0 || !n.m.Committed() || !n.commits.sent.IsZero() {
		return
	}
	n.release(n.m.Leave())
	n.take()
	delete(n.w.living, n.name)
	n.w.remove(n)
}

// drain begins the end of a process.
func (n *node) drain() {
	n.ends = true
	n.w.note("%s drains", n.name)
	n.m.Drain(n.now())
	n.take()
	n.reclaim()
}

// step takes one step that a random number describes.
func (w *world) step(number uint64) {
	d := dice(number)
	w.steps++
	w.act(&d)
	for _, n := range w.nodes {
		n.take()
	}
}

// run runs a program, and reports the broken invariant.
func (w *world) run(program []uint64) (broken failure) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case failure:
			broken = r
		default:
			broken = failure{"panic", fmt.Sprintf("panic: %v\n%s", r, stack())}
		}
	}()
	for i, number := range program {
		w.step(number)
		if i%8 == 0 {
			for _, n := range w.nodes {
				w.checkInside(n)
			}
		}
	}
	w.settle()
	return failure{}
}

// story runs the program again and returns what happens.
func (m *modelRun) story() string {
	w := m.world()
	w.tells = true
	broken := w.run(m.program)
	return fmt.Sprintf("%+v %+v\n%s\n%s", w.config, w.limits, strings.Join(w.story, "\n"), broken.text)
}
