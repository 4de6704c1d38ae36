package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
)

var (
	// ErrEvicting is returned by appends while a server of the log may evict keys of it to make room.
	ErrEvicting = ports.ErrEvicting
	// ErrFull is returned for writes that Redis refuses because it is at its maxmemory, and by [Log.Probe] until there is room again.
	ErrFull = errors.New("redis is at its memory limit")
)

// The monitor's period, and how long one look may take.
const (
	monitorEvery = time.Second
	monitorLimit = 2 * time.Second
)

// roomAgain is the share of maxmemory below which a server that was full counts as one with room. What is between it and the limit changes
// nothing: a server that hovers at its limit would otherwise be ready and not ready by turns.
const roomAgain = 0.95

// serverMonitor watches what makes servers of a log lose or refuse events and can be changed while they run: the eviction policy and the
// memory limit. It belongs to a [Log], which looks once when it is opened, then every second until [Log.Close], and with each [Log.Probe].
type serverMonitor struct {
	client goredis.UniversalClient
	logger *slog.Logger

	evicting atomic.Pointer[error] // why appends are refused, or nil

	mu      sync.Mutex // guards: servers
	servers map[string]serverMemory
}

// serverMemory is what is known of one server.
type serverMemory struct {
	run      string // id of the server's process
	policy   string
	evicted  int64 // keys, since the start of the process or CONFIG RESETSTAT
	lost     int64 // of them, those that may have been the log's and went since the monitor first looked
	used     int64 // that counts for the limit
	limit    int64 // 0: none
	full     bool
	volatile bool // the warning was logged
}

func newServerMonitor(client goredis.UniversalClient, logger *slog.Logger) *serverMonitor {
	return &serverMonitor{client: client, logger: logger, servers: make(map[string]serverMemory)}
}

// look asks every server once. It returns an error if one of them did not answer, whose state then stays as it was. Whatever a server does not
// say, because its user may not INFO, is taken to be fine.
func (m *serverMonitor) look(ctx context.Context) error {
	var mu sync.Mutex
	found := make(map[string]report)
	ask := func(ctx context.Context, node *goredis.Client) error {
		text, err := node.Info(ctx, "server", "memory", "stats").Result()
		if err != nil && !answered(err) {
			return unavailable(ctx, err)
		}
		mu.Lock()
		defer mu.Unlock()
		found[node.Options().Addr] = parse(text)
		return nil
	}
	var err error
	switch client := m.client.(type) {
	case *goredis.ClusterClient:
		if err = client.ForEachMaster(ctx, ask); errors.Is(err, goredis.ErrClosed) {
			err = closed(err)
		} else if err != nil {
			err = ports.Unavailable(ctx, err)
		}
	case *goredis.Client:
		err = ask(ctx, client)
	}
	m.observe(ctx, found, err == nil)
	return err
}

// observe takes what servers have answered; all says that there are no others.
func (m *serverMonitor) observe(ctx context.Context, found map[string]report, all bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for address, r := range found {
		before, known := m.servers[address]
		m.servers[address] = m.next(ctx, address, before, known, r)
	}
	if all {
		maps.DeleteFunc(m.servers, func(address string, _ serverMemory) bool { _, there := found[address]; return !there })
	}
	var refuse error
	for _, address := range slices.Sorted(maps.Keys(m.servers)) {
		if s := m.servers[address]; s.evicts() {
			refuse = fmt.Errorf("%w: maxmemory-policy of %s is %s%s; set it to noeviction, or move caches to a server of their own", ErrEvicting, address, s.policy, s.losses())
			break
		}
	}
	if refuse == nil {
		if m.evicting.Swap(nil) != nil {
			m.logger.InfoContext(ctx, "durable writes are accepted again: redis no longer evicts keys of the log")
		}
		return
	}
	if m.evicting.Swap(&refuse) == nil {
		m.logger.ErrorContext(ctx, "durable writes are refused", "error", refuse)
	}
}

// next is what is known of a server after its answer.
func (m *serverMonitor) next(ctx context.Context, address string, before serverMemory, known bool, r report) serverMemory {
	s := serverMemory{
		run: r["run_id"], policy: r["maxmemory_policy"], evicted: r.number("evicted_keys"), lost: before.lost,
		used: r.number("used_memory") - r.number("mem_not_counted_for_evict"), limit: r.number("maxmemory"), full: before.full, volatile: before.volatile,
	}
	since := s.evicted
	if s.run == before.run && s.evicted >= before.evicted {
		since -= before.evicted
	}
	// Under a volatile policy only keys that expire go, and none of the log's do.
	if expiring := strings.HasPrefix(s.policy, "volatile") && !before.evicts() || strings.HasPrefix(before.policy, "volatile") && !s.evicts(); known && since > 0 && !expiring {
		s.lost += since
		m.logger.ErrorContext(ctx, "redis has evicted keys, perhaps of the log: core fsck finds what is missing", "address", address, "keys", since)
	}
	if s.volatile = strings.HasPrefix(s.policy, "volatile"); s.volatile && !before.volatile {
		m.logger.WarnContext(ctx, "redis evicts keys that expire; noeviction is safer", "address", address, "maxmemory_policy", s.policy)
	}
	switch {
	case s.limit == 0 || float64(s.used) < roomAgain*float64(s.limit):
		s.full = false
	case s.used > s.limit && s.policy == "noeviction":
		s.full = true
	}
	if s.full != before.full {
		m.logger.WarnContext(ctx, "redis's memory limit", "address", address, "full", s.full, "used", s.used, "maxmemory", s.limit)
	}
	return s
}

// evicts reports whether any key may go.
func (s serverMemory) evicts() bool { return strings.HasPrefix(s.policy, "allkeys") }

// losses says in an error what is gone already.
func (s serverMemory) losses() string {
	if s.lost == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d keys have been evicted, which may have been the log's (core fsck finds what is missing)", s.lost)
}

// refusal returns why appends are refused, or nil.
func (m *serverMonitor) refusal() error {
	if err := m.evicting.Load(); err != nil {
		return *err
	}
	return nil
}

// full returns which server was at its limit and has no room again, or nil.
func (m *serverMonitor) full() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, address := range slices.Sorted(maps.Keys(m.servers)) {
		if s := m.servers[address]; s.full {
			return fmt.Errorf("%w: %w: %s uses %d of %d bytes, and counts as full until it is below %.0f %%", ports.ErrUnavailable, ErrFull, address, s.used, s.limit, 100*roomAgain)
		}
	}
	return nil
}

// refused notes that a write was refused for want of memory, on a server of those that have no room to spare.
func (m *serverMonitor) refused() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for address, s := range m.servers {
		if s.limit > 0 && float64(s.used) >= roomAgain*float64(s.limit) {
			s.full = true
			m.servers[address] = s
		}
	}
}

// watch looks, and samples the log's clock, every second until ctx ends or the client is closed.
func (m *serverMonitor) watch(ctx context.Context, clock *Clock) {
	for pause(ctx, monitorEvery) == nil {
		bounded, cancel := context.WithTimeout(ctx, monitorLimit)
		err := m.look(bounded)
		_ = clock.sample(bounded) // the estimate that there is goes on
		cancel()
		if errors.Is(err, ports.ErrClosed) {
			return
		}
	}
}
