package ports

import (
	"context"
	"time"
)

// Prober checks whether the event log accepts events.
type Prober interface {
	// Probe returns nil if every partition exists and accepts a write now. It makes a small write, which expires, on each. The error is the one that
	// an append would return: [ErrUnavailable], [ErrLogLost], or the reason for which durable writes are refused.
	Probe(ctx context.Context) error
}

// Inspector reports on the servers that hold state.
type Inspector interface {
	// Inspect asks all servers at once, by ctx's deadline; one that does not answer is returned with its Err. Values that a server does not report,
	// or not to this user, are nil and named in Unknown.
	Inspect(ctx context.Context) []Server
	// Pool counts the client's connections, since it was opened.
	Pool() Pool
}

// Server is one server as it was when it was asked.
type Server struct {
	Address string
	Err     error         // why nothing else is known, or nil
	Latency time.Duration // median of three PINGs
	Version string        // such as 7.0.15
	Cluster bool          // runs in cluster mode
	Replica bool          // has a master, and takes no writes
	Loading bool          // reads its data from disk, and answers nothing else

	Memory      *Memory
	Persistence *Persistence
	Clients     *Clients
	Replication *Replication
	Settings    *Settings
	Slow        *SlowLog
	Slots       *Slots   // nil without Cluster
	Unknown     []string // commands that were refused
}

// Memory is in bytes.
type Memory struct {
	Used, Max, System int64  // Max is 0 for no limit
	Policy            string // of eviction
	Evicted           int64  // keys since the server's start
}

// Persistence is how the server keeps its data on disk.
type Persistence struct {
	AppendOnly        bool
	AppendFailed      bool // last write of the append-only file
	RewriteFailed     bool // last rewrite of the append-only file
	SaveFailed        bool // last snapshot
	LastSave          time.Time
	ChangesSinceSaved int64
}

// Clients are the server's connections.
type Clients struct {
	Connected, Max, Rejected int64
}

// Replication lists the replicas of a master.
type Replication struct {
	Replicas []Replica
	Good     int // online, and heard of within 10 s; where min-replicas-to-write is set, as the server counts
}

// Replica is one that follows.
type Replica struct {
	Address string
	Online  bool
	Behind  int64         // bytes
	Lag     time.Duration // since it was last heard of, in seconds
}

// Settings are the server's settings that INFO does not report.
type Settings struct {
	Fsync       string // of the append-only file: always, everysec or no
	SavePoints  string // when snapshots are made; "" for never
	StopWrites  bool   // when a snapshot has failed
	MinReplicas int    // below which writes are refused
}

// SlowLog summarizes the server's slow commands.
type SlowLog struct {
	Entries int64
	Slowest time.Duration // of the last 32
	Command string        // of the slowest: its name only
	At      time.Time     // of the slowest
}

// Slots are a Cluster's, as the server knows.
type Slots struct {
	OK              bool // the Cluster serves
	Assigned, Up    int
	Masters, Others int // nodes
}

// Pool is a client's connections.
type Pool struct {
	Purpose             string
	Total, Idle         uint32
	Hits, Misses, Stale uint32 // connections that were idle when needed; that were not; that were removed
	Timeouts            uint32 // waits for a connection that were given up
}
