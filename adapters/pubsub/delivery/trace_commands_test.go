package delivery_test

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// trace is a running trace: stores, members and the time.
type trace struct {
	config  delivery.Config
	stores  []*traceStore
	members map[string]*traceMember
	ordered []*traceMember // in the order of their first commands
	start   time.Time
	now     time.Time
	heads   int // chats on a page of a walk
	limits  map[string]int
	out     []string
}

// traceMember is a member, and what its process knows beside.
type traceMember struct {
	*delivery.Member
	name    string
	away    []string // streams that are assigned to another member
	flights []*traceFlight
	holes   map[string]bool
	last    *delivery.Partition                     // of the last lease
	cursors map[*delivery.Partition]groups.StreamID // where the stream was read up to
	fetch   *traceFetch
	page    *tracePage
}

// traceFlight is a start of a handler with a record, or a batch of records.
type traceFlight struct {
	records []*delivery.Record
	start   int
	epoch   uint64
	landed  bool
}

type traceCommand func(r *trace, m *traceMember, args []string, cause string) error

// traceCommands returns the commands by name. A partition is named by its stream; without one, a command is for the first partition.
func traceCommands() map[string]traceCommand {
	return map[string]traceCommand{
		"config": (*trace).configure, // field=value …, before all others: see the method

		// Changes outside of the member.
		"append":     appendTo(true, true),    // EVENT …: to the log and to the stream
		"log":        appendTo(true, false),   // EVENT …: to the log alone
		"stream":     appendTo(false, true),   // EVENT …: to the stream alone
		"entry":      (*trace).appendForeign,  // NAME [unreadable|half]: an entry of another program
		"trim":       (*trace).trim,           // ID: entries before it
		"forget":     (*trace).forget,         // EVENT …: the store loses the last events and their entries
		"damage":     (*trace).damage,         // CHAT …: the log of the chat cannot be read
		"repair":     (*trace).repair,         // CHAT …
		"check-all":  (*trace).checkAll,       // an administrator has every chat checked
		"expire":     (*trace).expire,         // the lease ends at the store, before its owner's clock says so
		"retry":      (*trace).retryLetter,    // LETTER: an administrator's decision
		"drop":       (*trace).dropLetter,     // LETTER
		"checkpoint": (*trace).setCheckpoints, // CHAT=SEQ …: of an earlier owner, or the seed of the group
		"wait":       (*trace).wait,           // DURATION; the member's timers fire in between
		"store":      (*trace).printStore,     // prints what the store has
		"crash":      (*trace).crash,          // the process ends

		// Calls of the member.
		"acquire":    (*trace).acquire,    // [PARTITION]
		"overlapped": (*trace).overlapped, // an earlier owner can start no more handlers
		"fetch":      (*trace).fetch,      // [begin|end] [most=N]: reads the stream; begin ends after the read of the checkpoints
		"deliver":    (*trace).deliver,    // [N]
		"batch":      (*trace).batch,      // QUEUES EVENTS
		"begin":      (*trace).begin,      // EVENT …: whether the handler may be called
		"succeed":    complete(delivery.Succeeded),
		"fail":       complete(delivery.Failed), // EVENT …: CAUSE
		"reject":     complete(delivery.FailedForGood),
		"unreadable": complete(delivery.FailedForGood),
		"transient":  complete(delivery.FailedTransiently),
		"newer":      complete(delivery.FailedAsNewer),
		"not-begun":  complete(delivery.NotBegun),
		"postpone":   complete(delivery.Postponed), // [after=DURATION] EVENT …: CAUSE; so does fail
		"concurrent": (*trace).setConcurrency,      // N
		"batched":    (*trace).completeBatch,       // EVENT DONE KIND [later=DURATION]: EVENT is the batch's first one
		"commit":     (*trace).commit,              // [answer-lost|not-sent]
		"read-log":   (*trace).readLog,             // [begin|end|all|fails] [PARTITION]: the next step of a partition that catches up
		"scan":       (*trace).scan,                // [fails]: the next step of the head scan
		"move":       (*trace).move,                // PARTITION: it is assigned to another member
		"keep":       (*trace).keep,                // PARTITION: it is assigned to this member again
		"lost":       (*trace).lost,                // another loop learns that the last lease is lost with records that were read
		"release":    (*trace).release,             // the partitions that were drained
		"leave":      (*trace).leave,
		"drain":      (*trace).drain,
		"signals":    (*trace).signals, // prints which loops of the runtime have something to do
		"next-wake":  (*trace).nextWake,
	}
}

func stack() []byte { return debug.Stack() }

func newTrace() *trace {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	r := &trace{start: start, now: start, members: make(map[string]*traceMember), heads: 1000, limits: make(map[string]int)}
	r.config = delivery.Config{
		Retry: delivery.RetryPolicy{Attempts: 3, First: 500 * time.Millisecond, Max: time.Minute}, Concurrency: 100, DeadLetterBound: 100,
		Lease: 3 * time.Second, Slow: 30 * time.Second, CoolDown: time.Minute, Seed: 1,
	}
	r.stores = []*traceStore{newTraceStore(groups.Partition{Stream: "p0"})}
	return r
}

// configure takes order=by-chat|by-key|unordered, poison=park, attempts, concurrency, chat-concurrency, bound (of dead letters), lease, slow,
// ephemeral=yes, heads (chats on a page of a walk), partitions=p0,p1,…, other=NAME (a stream that carries no log), and the bounds of
// [delivery.Member.SetLimit].
func (r *trace) configure(_ *traceMember, args []string, _ string) error {
	var errs []error
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		errs = append(errs, err)
		return n
	}
	duration := func(text string) time.Duration {
		d, err := time.ParseDuration(text)
		errs = append(errs, err)
		return d
	}
	c := &r.config
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		switch name {
		case "order":
			c.Order = map[string]delivery.Order{"by-key": delivery.ByKey, "unordered": delivery.Unordered}[value]
		case "poison":
			c.OnPoison = map[string]delivery.Poison{"park": delivery.Park}[value]
		case "attempts":
			c.Retry.Attempts = number(value)
		case "concurrency":
			c.Concurrency = number(value)
		case "chat-concurrency":
			c.ChatConcurrency = number(value)
		case "bound":
			c.DeadLetterBound = number(value)
		case "lease":
			c.Lease = duration(value)
		case "slow":
			c.Slow = duration(value)
		case "ephemeral":
			c.Ephemeral = value == "yes"
		case "heads":
			r.heads = number(value)
		case "partitions":
			r.stores = nil
			for i, stream := range strings.Split(value, ",") {
				r.stores = append(r.stores, newTraceStore(groups.Partition{Stream: stream, Number: i}))
			}
		case "other":
			r.stores = []*traceStore{newTraceStore(groups.Partition{Stream: value, Number: -1})}
		default:
			r.limits[name] = number(value)
		}
	}
	clear(r.members) // they are made again, with the configuration
	r.ordered = nil
	for name, n := range r.limits {
		if !delivery.New(r.config, nil).SetLimit(name, n) {
			return fmt.Errorf("no field %q", name)
		}
	}
	return errors.Join(errs...)
}

func (r *trace) member(name string) *traceMember {
	m := r.members[name]
	if m == nil {
		var partitions []groups.Partition
		for _, s := range r.stores {
			partitions = append(partitions, s.Partition)
		}
		m = &traceMember{Member: delivery.New(r.config, partitions), name: name, holes: make(map[string]bool), cursors: make(map[*delivery.Partition]groups.StreamID)}
		for limit, n := range r.limits {
			m.SetLimit(limit, n)
		}
		r.members[name] = m
		r.ordered = append(r.ordered, m)
	}
	return m
}

// partition returns the index of the partition that the first argument names, and the other arguments.
func (r *trace) partition(args []string) (int, []string) {
	if len(args) > 0 {
		for i, s := range r.stores {
			if s.Stream == args[0] {
				return i, args[1:]
			}
		}
	}
	return 0, args
}

// owned returns the partition that the first argument names, its store, and the other arguments.
func (r *trace) owned(m *traceMember, args []string) (*delivery.Partition, *traceStore, []string, error) {
	i, args := r.partition(args)
	p := m.Owned(i)
	if p == nil {
		return nil, nil, nil, fmt.Errorf("member %s does not own %s", m.name, r.stores[i].Stream)
	}
	return p, r.stores[i], args, nil
}

func (r *trace) print(format string, args ...any) {
	r.out = append(r.out, fmt.Sprintf(format, args...))
}

func appendTo(log, stream bool) traceCommand {
	return func(r *trace, _ *traceMember, args []string, _ string) error {
		i, args := r.partition(args)
		for _, arg := range args {
			events, err := parseEvents(arg)
			if err != nil {
				return err
			}
			for _, e := range events {
				if err := r.stores[i].append(e, log, stream); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

func (r *trace) appendForeign(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	e := traceEvent{uuid: args[0]}
	switch {
	case slices.Contains(args, "unreadable"):
		e.broken = "the entry has no metadata"
	case slices.Contains(args, "half"):
		e.half = true
	}
	return r.stores[i].append(e, false, true)
}

func (r *trace) trim(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	id, err := groups.ParseStreamID(args[0])
	s := r.stores[i]
	s.stream = slices.DeleteFunc(s.stream, func(e traceEntry) bool { return e.id.Compare(id) < 0 })
	s.removed = true
	return err
}

func (r *trace) forget(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	s := r.stores[i]
	for _, name := range args {
		events, err := parseEvents(name)
		if err != nil {
			return err
		}
		for _, e := range events {
			s.stream = slices.DeleteFunc(s.stream, func(of traceEntry) bool { return of.uuid == e.uuid })
			s.events[e.chat] = slices.DeleteFunc(s.events[e.chat], func(of traceEvent) bool { return of.uuid == e.uuid })
		}
	}
	return nil
}

func (r *trace) damage(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	for _, chat := range args {
		r.stores[i].damaged[chat] = true
	}
	return nil
}

func (r *trace) repair(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	for _, chat := range args {
		delete(r.stores[i].damaged, chat)
	}
	return nil
}

func (r *trace) expire(_ *traceMember, args []string, _ string) error {
	i, _ := r.partition(args)
	r.stores[i].until = r.now
	return nil
}

func (r *trace) checkAll(_ *traceMember, args []string, _ string) error {
	i, _ := r.partition(args)
	r.stores[i].walk = true
	r.stores[i].revision++
	return nil
}

func (r *trace) retryLetter(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	return r.stores[i].decide(args[0], false)
}

func (r *trace) dropLetter(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	return r.stores[i].decide(args[0], true)
}

func (r *trace) setCheckpoints(_ *traceMember, args []string, _ string) error {
	i, args := r.partition(args)
	for _, arg := range args {
		chat, text, _ := strings.Cut(arg, "=")
		seq, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		r.stores[i].checkpoints[chat] = domain.Seq(seq)
	}
	return nil
}

func (r *trace) wait(m *traceMember, args []string, _ string) error {
	d, err := time.ParseDuration(args[0])
	if err != nil {
		return err
	}
	end := r.now.Add(d)
	for {
		at := m.WakeAt()
		if at.IsZero() || at.After(end) {
			break
		}
		r.now = at
		m.Tick(at)
		r.printEvents(m)
	}
	r.now = end
	for _, m := range r.ordered {
		m.Tick(end)
	}
	return nil
}

func (r *trace) setConcurrency(m *traceMember, args []string, _ string) error {
	n, err := strconv.Atoi(args[0])
	m.SetConcurrency(n, r.now)
	return err
}

func (r *trace) crash(m *traceMember, _ []string, _ string) error {
	delete(r.members, m.name)
	r.ordered = slices.DeleteFunc(r.ordered, func(of *traceMember) bool { return of == m })
	return nil
}
