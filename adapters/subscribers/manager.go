package subscribers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"chatcore/adapters/pubsub/group"
	"chatcore/internal/backoff"
	"chatcore/ports/groups"
)

// Config configures a [Manager]. All fields are required unless they say otherwise.
type Config struct {
	Definitions groups.Definitions
	Groups      groups.Admin
	Join        group.Joiner
	Runners     map[groups.Kind]Runner
	// Interval is the time between two reads of the revision, varied by a quarter. Defaults to 1 s
	Interval time.Duration
	// Retry has the pauses before a group that cannot run, or has ended by itself, is run again. Defaults to 1 s up to 30 s, varied by half
	Retry  backoff.Policy
	Logger *slog.Logger // Defaults to slog.Default
}

// Manager follows the definitions of groups, and has the runner of its kind run each group that is not paused. A group that cannot run hurts no other one.
type Manager struct {
	config  Config
	refresh chan struct{} // holds a value while the definitions are to be read at once

	mu      sync.Mutex        // guards the fields below
	defined map[string]*entry // by group
	last    map[string]*entry // the last one that was begun, by group, until it has ended
	known   bool              // the definitions were read
}

// entry is a defined group in this process. The manager's mu guards its fields.
type entry struct {
	definition groups.Definition // as stored
	removed    bool
	changed    chan struct{} // holds a value after a change of the definition
	before     *entry        // of the same name, removed but perhaps not ended; nil if there is none
	ended      chan struct{} // closed when the entry has ended
	state      State
	problem    error // why it does not run although it should
	since      time.Time
}

// State is the state of a defined group in a process.
type State string

// The states.
const (
	StateStarting State = "starting" // it is about to run
	StateRunning  State = "running"
	StatePaused   State = "paused"
	StateFailed   State = "failed" // it cannot run now; it is tried again
)

// States returns all states.
func States() []State { return []State{StateStarting, StateRunning, StatePaused, StateFailed} }

// Status is a defined group as this process runs it.
type Status struct {
	Definition groups.Definition
	State      State
	Err        error     // of a failed group
	Since      time.Time // of the failure, by the clock of the process
}

// NewManager returns a manager, which [Manager.Run] starts.
func NewManager(c Config) *Manager {
	c.Interval = cmp.Or(c.Interval, time.Second)
	if c.Retry == (backoff.Policy{}) {
		c.Retry = backoff.Policy{First: time.Second, Max: 30 * time.Second, Jitter: true}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return &Manager{config: c, refresh: make(chan struct{}, 1), defined: make(map[string]*entry), last: make(map[string]*entry)}
}

// Run follows the definitions until ctx ends, and then stops all groups. stop bounds the stop.
func (m *Manager) Run(ctx, stop context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	var revision uint64
	for read, failing := false, false; ; {
		err := m.follow(ctx, &revision, &read, func(e *entry) {
			running.Go(func() { m.keepRunning(ctx, stop, e) })
		})
		if ctx.Err() != nil {
			return
		}
		if err != nil && !failing {
			m.config.Logger.WarnContext(ctx, "definitions of groups not read, groups run as before", "error", err)
		}
		failing = err != nil
		if !m.pause(ctx) {
			return
		}
	}
}

// pause waits for the next read. It returns false if ctx ends.
func (m *Manager) pause(ctx context.Context) bool {
	quarter := m.config.Interval / 4
	timer := time.NewTimer(m.config.Interval - quarter + rand.N(2*quarter+1)) //nolint:gosec // spreads load
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-m.refresh:
	case <-ctx.Done():
		return false
	}
	return true
}

// Refresh has the definitions read at once: they have changed. It does not wait.
func (m *Manager) Refresh() {
	select {
	case m.refresh <- struct{}{}:
	default:
	}
}

// follow reads the definitions if their revision has changed, and begins with each new one.
func (m *Manager) follow(ctx context.Context, revision *uint64, read *bool, begin func(*entry)) error {
	if *read {
		present, err := m.config.Definitions.Revision(ctx)
		if err != nil || present == *revision {
			return err
		}
	}
	all, present, err := m.config.Definitions.Definitions(ctx)
	if err != nil {
		return err
	}
	*revision, *read = present, true
	for _, e := range m.apply(all) {
		begin(e)
	}
	return nil
}

// apply passes on what has changed to the defined groups. It returns the new ones.
func (m *Manager) apply(all []groups.Definition) (added []*entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = true
	present := make(map[string]groups.Definition, len(all))
	for _, d := range all {
		present[d.Group] = d
	}
	for name, e := range m.defined {
		d, defined := present[name]
		switch {
		case !defined || !d.CreatedAt.Equal(e.definition.CreatedAt): // another definition of the same name begins anew
			e.removed = true
			delete(m.defined, name)
			wake(e.changed)
		case d.Version != e.definition.Version || d.Kind != e.definition.Kind:
			e.definition = d
			wake(e.changed)
		}
	}
	for _, d := range all {
		if _, known := m.defined[d.Group]; !known {
			e := &entry{definition: d, changed: make(chan struct{}, 1), ended: make(chan struct{}), before: m.last[d.Group], state: StateStarting}
			m.defined[d.Group], m.last[d.Group] = e, e
			added = append(added, e)
		}
	}
	return added
}

func wake(changed chan struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

// Lookup returns the definition of a group as this process knows it, with the defaults of its kind. It reports false if there is none.
func (m *Manager) Lookup(name string) (groups.Definition, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, defined := m.defined[name]
	if !defined {
		return groups.Definition{}, false
	}
	return e.definition.Clone().WithDefaults(), true
}

// Known reports whether the definitions were read since the manager runs.
func (m *Manager) Known() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// Statuses returns the state of every defined group, sorted by name.
func (m *Manager) Statuses() []Status {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := make([]Status, 0, len(m.defined))
	for _, name := range slices.Sorted(maps.Keys(m.defined)) {
		e := m.defined[name]
		all = append(all, Status{Definition: e.definition.Clone(), State: e.state, Err: e.problem, Since: e.since})
	}
	return all
}

// set records the state of a group.
func (m *Manager) set(e *entry, state State, problem error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if problem != nil && e.problem == nil {
		e.since = time.Now()
	}
	e.state, e.problem = state, problem
}

// wanted returns the definition of a group, with its defaults, and whether it is to run.
func (m *Manager) wanted(e *entry) (d groups.Definition, run, removed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return e.definition.Clone().WithDefaults(), !e.definition.Paused, e.removed
}

// joiner returns the joiner of a defined group. It joins no group whose definition was removed, and leaves none behind: a process that joins while another
// one deletes the group would otherwise create it again.
func (m *Manager) joiner(e *entry) group.Joiner {
	return func(ctx context.Context, c group.Config, h group.Handler) (group.Membership, error) {
		if err := m.isDefined(ctx, e, c.Group); err != nil {
			return nil, err
		}
		membership, err := m.config.Join(ctx, c, h)
		if err != nil {
			return nil, err
		}
		if err := m.isDefined(ctx, e, c.Group); errors.Is(err, groups.ErrNotDefined) {
			gone := m.config.Groups.Delete(ctx, c.Group)
			if errors.Is(gone, groups.ErrGroupNotFound) {
				gone = nil
			}
			return nil, errors.Join(err, membership.Leave(ctx), gone)
		}
		return membership, nil
	}
}

// isDefined returns [groups.ErrNotDefined] if the definition of a group was removed.
func (m *Manager) isDefined(ctx context.Context, e *entry, name string) error {
	d, err := m.config.Definitions.Definition(ctx, name)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !d.CreatedAt.Equal(e.definition.CreatedAt) {
		return groups.ErrNotDefined
	}
	return nil
}

// keepRunning runs a group as its definition says until ctx ends or the definition is removed.
func (m *Manager) keepRunning(ctx, stop context.Context, e *entry) {
	defer m.ended(e)
	if e.before != nil {
		<-e.before.ended
	}
	g := &running{m: m, e: e, stop: stop}
	defer g.end()
	for failed := 0; ; {
		d, run, removed := m.wanted(e)
		if removed || ctx.Err() != nil {
			return
		}
		err := g.reach(ctx, d, run)
		var retry <-chan time.Time
		switch {
		case err == nil:
			failed = 0
		case errors.Is(err, groups.ErrNotDefined): // the next read of the definitions says so
			m.Refresh()
			failed++
			retry = time.After(m.config.Retry.Pause(failed))
		default:
			failed++
			wait := m.config.Retry.Pause(failed)
			m.set(e, StateFailed, err)
			if ctx.Err() == nil {
				m.config.Logger.WarnContext(ctx, "defined group does not run, trying again", "group", d.Group, "kind", string(d.Kind), "wait", wait, "error", err)
			}
			retry = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-e.changed:
		case <-retry:
		case <-g.done():
		}
	}
}

// ended records that an entry has ended.
func (m *Manager) ended(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	close(e.ended)
	if m.last[e.definition.Group] == e {
		delete(m.last, e.definition.Group)
	}
}

// running is a defined group while its goroutine runs.
type running struct {
	m       *Manager
	e       *entry
	stop    context.Context // bounds stops
	now     Running         // nil while nothing runs
	applied groups.Definition
}

// done is closed when what runs has ended by itself.
func (g *running) done() <-chan struct{} {
	if g.now == nil {
		return nil
	}
	return g.now.Done()
}

// reach makes the group run as a definition says, or not run. It returns why it does not run although it should: also once after it has ended by itself, so
// that it runs again after a pause.
func (g *running) reach(ctx context.Context, d groups.Definition, run bool) error {
	if err, ended := g.ended(); ended {
		g.end()
		return err
	}
	if !run {
		g.end()
		g.m.set(g.e, StatePaused, nil)
		return nil
	}
	if g.now != nil && d.Version != g.applied.Version && !g.now.Update(d) {
		g.end()
	}
	if g.now == nil {
		runner := g.m.config.Runners[d.Kind]
		if runner == nil {
			return fmt.Errorf("%w: %.40q", ErrKind, string(d.Kind))
		}
		now, err := runner.Run(ctx, d, g.m.joiner(g.e))
		if err != nil {
			return err
		}
		g.now = now
	}
	g.applied = d
	g.m.set(g.e, StateRunning, nil)
	return nil
}

// ended reports whether what runs has ended by itself, and why.
func (g *running) ended() (err error, ended bool) { //nolint:revive,staticcheck // both are results of the same question
	select {
	case <-g.done():
		return cmp.Or(g.now.Err(), ErrEnded), true
	default:
		return nil, false
	}
}

// end stops what runs.
func (g *running) end() {
	if g.now == nil {
		return
	}
	now := g.now
	g.now = nil
	if err := now.Stop(g.stop); err != nil {
		g.m.config.Logger.WarnContext(g.stop, "defined group not stopped cleanly", "group", g.applied.Group, "error", err)
	}
}

// Errors of groups that do not run.
var (
	// ErrKind is returned for a definition of a kind that this process does not run: a later version of the program has written it, or it cannot be read.
	ErrKind = errors.New("this process does not run groups of the kind")
	// ErrEnded is returned for a group that has ended by itself for no known reason.
	ErrEnded = errors.New("the group has ended")
)
