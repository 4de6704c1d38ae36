package health

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

	"chatcore/adapters/redis/rediscmd"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// ErrEvicting is returned by appends while a server of the log may evict keys of it to make room.
var ErrEvicting = ports.ErrEvicting

// Period and timeout of the monitor's checks.
const (
	monitorEvery = time.Second
	monitorLimit = 2 * time.Second
)

// roomAgain is the fraction of maxmemory below which a full server counts as having room again. Between it and the limit the state does not change,
// so that readiness does not flap at the limit.
const roomAgain = 0.95

// Monitor checks the settings that can make the servers of a log lose or refuse events and can change at run time: the eviction policy and the
// memory limit. It belongs to a [Log], which checks once when it is opened, every second from [Log.Watch] until [Log.Close], and with each
// [Log.Probe].
type Monitor struct {
	client goredis.UniversalClient
	logger *slog.Logger

	evicting atomic.Pointer[error] // the reason for which appends are refused, or nil

	mu      sync.Mutex // guards: servers
	servers map[string]serverMemory
}

// serverMemory is the known state of one server.
type serverMemory struct {
	run      string // id of the server's process
	policy   string
	evicted  int64 // evicted keys since the start of the process or CONFIG RESETSTAT
	lost     int64 // evicted keys since the first check that may have been the log's
	used     int64 // that counts toward the limit
	limit    int64 // 0: none
	full     bool
	volatile bool // the warning was logged
}

// NewMonitor returns a Monitor of the servers of a client. [Monitor.Look] checks them.
func NewMonitor(client goredis.UniversalClient, logger *slog.Logger) *Monitor {
	return &Monitor{client: client, logger: logger, servers: make(map[string]serverMemory)}
}

// Look asks every server once. It returns an error if a server did not answer; the state of that server remains. If a server refuses INFO, its state
// counts as fine.
func (m *Monitor) Look(ctx context.Context) error {
	var mu sync.Mutex
	found := make(map[string]report)
	ask := func(ctx context.Context, node *goredis.Client) error {
		text, err := node.Info(ctx, "server", "memory", "stats").Result()
		if err != nil && !rediscmd.Answered(err) {
			return rediscmd.Unavailable(ctx, err)
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
			err = rediscmd.Closed(err)
		} else if err != nil {
			err = ports.Unavailable(ctx, err)
		}
	case *goredis.Client:
		err = ask(ctx, client)
	}
	m.observe(ctx, found, err == nil)
	return err
}

// observe stores the servers' replies. If all is true, there are no other servers.
func (m *Monitor) observe(ctx context.Context, found map[string]report, all bool) {
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

// next returns the state of a server after a reply.
func (m *Monitor) next(ctx context.Context, address string, before serverMemory, known bool, r report) serverMemory {
	s := serverMemory{
		run: r["run_id"], policy: r["maxmemory_policy"], evicted: r.number("evicted_keys"), lost: before.lost,
		used: r.number("used_memory") - r.number("mem_not_counted_for_evict"), limit: r.number("maxmemory"), full: before.full, volatile: before.volatile,
	}
	since := s.evicted
	if s.run == before.run && s.evicted >= before.evicted {
		since -= before.evicted
	}
	// A volatile policy evicts only keys with a TTL, and no key of the log has one.
	if expiring := strings.HasPrefix(s.policy, "volatile") && !before.evicts() || strings.HasPrefix(before.policy, "volatile") && !s.evicts(); known && since > 0 && !expiring {
		s.lost += since
		m.logger.ErrorContext(ctx, "redis has evicted keys, perhaps of the log: core fsck finds missing ones", "address", address, "keys", since)
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

// evicts reports whether the policy may evict any key.
func (s serverMemory) evicts() bool { return strings.HasPrefix(s.policy, "allkeys") }

// losses returns the number of evicted keys as a part of an error text.
func (s serverMemory) losses() string {
	if s.lost == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d keys have been evicted, which may have been the log's (core fsck finds missing ones)", s.lost)
}

// Refusal returns the reason for which appends are refused, or nil.
func (m *Monitor) Refusal() error {
	if err := m.evicting.Load(); err != nil {
		return *err
	}
	return nil
}

// Full returns an error that names a server without memory, or nil.
func (m *Monitor) Full() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, address := range slices.Sorted(maps.Keys(m.servers)) {
		if s := m.servers[address]; s.full {
			return fmt.Errorf("%w: %w: %s uses %d of %d bytes, and counts as full until it is below %.0f %%", ports.ErrUnavailable, rediscmd.ErrFull, address, s.used, s.limit, 100*roomAgain)
		}
	}
	return nil
}

// ServerMemory is the memory of one server, in bytes.
type ServerMemory struct {
	Address     string
	Used, Limit int64 // Used counts toward Limit, which is 0 if there is none
}

// Memory returns the memory of the servers at the last check, by address. It sends no request.
func (m *Monitor) Memory() []ServerMemory {
	m.mu.Lock()
	defer m.mu.Unlock()
	var list []ServerMemory
	for _, address := range slices.Sorted(maps.Keys(m.servers)) {
		list = append(list, ServerMemory{Address: address, Used: m.servers[address].used, Limit: m.servers[address].limit})
	}
	return list
}

// Refused marks the servers near their memory limit as full after a write was refused.
func (m *Monitor) Refused() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for address, s := range m.servers {
		if s.limit > 0 && float64(s.used) >= roomAgain*float64(s.limit) {
			s.full = true
			m.servers[address] = s
		}
	}
}

// Watch checks the servers every second until ctx ends or the client is closed. It calls sample each time, which may return an error: its estimate
// then remains.
func (m *Monitor) Watch(ctx context.Context, sample func(context.Context) error) {
	for backoff.Sleep(ctx, monitorEvery) == nil {
		bounded, cancel := context.WithTimeout(ctx, monitorLimit)
		err := m.Look(bounded)
		_ = sample(bounded)
		cancel()
		if errors.Is(err, ports.ErrClosed) {
			return
		}
	}
}
