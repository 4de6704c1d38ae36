package chatcore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"chatcore/adapters/redis"
	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/health"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// healthLimit bounds the inspection; servers that have not answered by then are reported as such.
const healthLimit = 3 * time.Second

// Health is the state of a core and its servers at a moment. [Health.Findings] names dangers in it, and remedies.
type Health struct {
	At        time.Time
	Live      bool    // the process answers, and the core is not closed
	Ready     bool    // the log takes events: a small write was made in every partition
	NotReady  error   // why not, or nil
	LogID     string  // "" if there is no log yet
	Level     int     // of the log, which all partitions have reached; 0 if there is none, or the log is not on Redis
	Highest   int     // level that one of the partitions has reached: above Level while an upgrade is not finished
	Log       []State // servers of the log: every master of a Cluster; none for a core that is not on Redis
	Cache     []State // servers of CacheURL; none if there is none of its own
	Pools     []Pool
	Groups    []GroupState // where the consumer groups stand
	GroupsErr error        // why they are not known, or nil

	Definitions  []groups.Definition // of groups whose handlers are in other programs, also of those that no process runs
	Holes        []Hole              // parts of the log that groups of this process have to read and cannot, because something is missing
	Stopped      []StoppedGroup      // groups that this process runs no more
	Defined      []DefinedGroup      // groups whose handlers are in other programs, as this process runs them; none unless it does
	Refused      uint64              // announcements of durable events that Redis refused, since the core was made
	LiveErr      error               // why this process hears no live events now, or nil: also nil while it has neither feeds nor listeners
	LiveLosses   uint64              // times that listeners may have missed events, because a stream no longer had them
	Replicas     int                 // that Config.Redis.Durability has confirm an append
	RetentionErr error               // why the last pass of retention in this process failed, or nil
	VaultErr     error               // why this process does not copy the log to its vault now, or nil: also nil without one
	Warn         Thresholds          // of Findings; zero fields mean the defaults
	ClusterURL   bool                // the URL names several servers, as for a Cluster
}

// StoppedGroup is a consumer group to which this process delivers no more, though its Run goes on: somebody deleted the group.
type StoppedGroup struct {
	Group string
	Err   error
}

// State is a server as it was when it was asked.
type State struct {
	Address string
	Err     error         // why nothing else is known, or nil
	Latency time.Duration // median of three PINGs
	Version string        // such as 7.0.15
	Cluster bool          // runs in cluster mode
	Replica bool          // has a master, and takes no writes
	Loading bool          // reads its data from disk, and answers nothing else

	Memory      *ports.Memory
	Persistence *ports.Persistence
	Clients     *ports.Clients
	Replication *ports.Replication
	Settings    *ports.Settings
	Slow        *ports.SlowLog
	Slots       *ports.Slots // nil without Cluster
	Unknown     []string     // commands that were refused
}

// Pool counts the connections of a client, since it was opened.
type Pool struct {
	Purpose             string
	Total, Idle         uint32
	Hits, Misses, Stale uint32 // connections that were idle when needed; that were not; that were removed
	Timeouts            uint32 // waits for a connection that were given up
}

func states(servers []ports.Server) []State {
	var states []State
	for _, s := range servers {
		states = append(states, State(s))
	}
	return states
}

// Health inspects the core and all of its servers, within three seconds. It never fails: values that cannot be read are reported as unknown. A core
// in memory, or on a custom log, is ready as long as it is not closed.
func (c *Core) Health(ctx context.Context) Health {
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	h := Health{At: time.Now(), Live: true, Ready: true, LogID: c.LogID(), Replicas: c.config.Redis.Durability.Replicas, Warn: c.config.Delivery.Warn}
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		h.Live, h.Ready, h.NotReady = false, false, ErrClosed
		return h
	}
	h.Holes = c.holes()
	if r := c.backend.redis; r != nil {
		r.inspect(ctx, c.config.Redis.URL, &h)
		h.LiveErr = r.tail.Err()
	}
	if c.vault != nil {
		h.VaultErr = c.vault.Err()
	}
	h.Defined, h.RetentionErr = c.definedGroups(), c.retentionErr()
	h.Ready, h.Stopped, h.Refused, h.LiveLosses = h.NotReady == nil, c.stoppedGroups(), c.backend.refused(), c.live.losses.Load()
	if h.Ready {
		h.Groups, h.GroupsErr = c.Groups().List(ctx)
		if h.GroupsErr == nil {
			h.Definitions, h.GroupsErr = c.definitions.List(ctx)
		}
	}
	return h
}

// holes returns the holes that the groups of this process have found, by group and chat.
func (c *Core) holes() (holes []Hole) {
	groups := c.counters.All()
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		for _, hole := range groups[group].Holes.List() {
			holes = append(holes, Hole(hole))
		}
	}
	return holes
}

// stoppedGroups returns the groups whose members have ended by themselves, by name.
func (c *Core) stoppedGroups() (stopped []StoppedGroup) {
	c.mu.Lock()
	router := c.router
	c.mu.Unlock()
	if router == nil {
		return nil
	}
	failed := router.Failed()
	for _, group := range slices.Sorted(maps.Keys(failed)) {
		stopped = append(stopped, StoppedGroup{group, failed[group]})
	}
	return stopped
}

// Inspect inspects the servers of a configuration without opening a core: it changes nothing, and works on servers, such as a replica, on which no
// core can be opened. It reports neither whether the log is ready, nor its groups. It returns [ErrURL], [ErrUnreachable] or [ErrRejected].
func Inspect(ctx context.Context, config Config) (_ Health, err error) {
	config = config.WithDefaults()
	if err := config.Validate(); err != nil {
		return Health{}, err
	}
	h := Health{At: time.Now(), Live: true, NotReady: errNotOpened, Replicas: config.Redis.Durability.Replicas, Warn: config.Delivery.Warn}
	if h.ClusterURL, err = conn.IsCluster(config.Redis.URL); err != nil {
		return Health{}, err
	}
	settings := redisConfig(config)
	keys, err := redis.NewKeys(settings.Keyspace)
	if err != nil {
		return Health{}, err
	}
	all, err := redis.DialToInspect(ctx, settings.Servers)
	if err != nil {
		return Health{}, err
	}
	defer func() { err = errors.Join(err, all.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	inspectServers(ctx, all, &h)
	info, err := eventlog.Find(ctx, all.Commands.UniversalClient, keys)
	if err != nil && (h.ClusterURL || !slices.ContainsFunc(h.Log, func(s State) bool { return s.Cluster })) { // one node of a Cluster has a part only
		h.NotReady = fmt.Errorf("the log was not found: %w", err)
	}
	h.LogID, h.Level, h.Highest = info.ID, info.Level, info.Highest
	return h, nil
}

var errNotOpened = errors.New("the log was not opened")

// inspectServers asks all servers at once.
func inspectServers(ctx context.Context, c *redis.Clients, h *Health) {
	cached := make(chan []ports.Server, 1)
	go func() {
		defer close(cached)
		if c.OwnCache {
			cached <- health.NewInspector(c.Cache, "cache").Inspect(ctx)
		}
	}()
	h.Log = states(health.NewInspector(c.Commands, "commands").Inspect(ctx))
	h.Cache = states(<-cached)
	for _, client := range []struct {
		purpose string
		*conn.Client
		own bool
	}{
		{"commands", c.Commands, true},
		{"streams", c.Blocking, true},
		{"pubsub", c.PubSub, true},
		{"cache", c.Cache, c.OwnCache},
	} {
		if client.Client != nil && client.own {
			h.Pools = append(h.Pools, Pool(health.NewInspector(client.Client, client.purpose).Pool()))
		}
	}
}

// inspect fills in how the servers are and whether the log takes events.
func (r *onRedis) inspect(ctx context.Context, urls string, h *Health) {
	probed := make(chan error, 1)
	go func() { probed <- r.log.Probe(ctx) }()
	inspectServers(ctx, r.clients, h)
	h.NotReady = <-probed
	h.Level, h.Highest = r.log.Levels()
	h.ClusterURL, _ = conn.IsCluster(urls) // which was parsed before
}
