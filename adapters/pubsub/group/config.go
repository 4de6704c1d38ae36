package group

import (
	"log/slog"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Store keeps the state of a consumer group: adapters/pubsub/redisgroup and adapters/pubsub/memgroup implement it.
type Store = groups.Store

// DefaultLease is the default of [Config].Lease.
const DefaultLease = 3 * time.Second

// MinLease is the shortest lease. A shorter one would expire when a machine is busy.
const MinLease = 300 * time.Millisecond

// Config is the configuration of a [Member].
type Config struct {
	Group      string
	Store      Store // is not closed
	Partitions []groups.Partition

	// LogID identifies the log whose events the partitions carry. Backlog and Codec read it. All three are required if a partition is one of a log.
	LogID   string
	Backlog ports.Backlog
	Codec   *wireformat.Codec

	// Order says which events of a chat wait for each other. Key returns what stands for the order of an event of [delivery.ByKey]; events of a chat
	// with the same key are delivered in the order of their seqs. It is called once for each event that is read. Defaults to [delivery.ByChat].
	Order delivery.Order
	Key   func(d ports.Delivery) string

	// Batch handles deliveries instead of a [Handler]; nil for none. The order is by chat then.
	Batch BatchHandler
	// BatchChats and BatchEvents bound a call of the batch handler: its chats, and the events of one chat. Concurrency bounds the chats as well. They default to
	// 128 and 512.
	BatchChats, BatchEvents int
	// Gather is how long a call of the batch handler waits for further chats once one is ready. Defaults to 0.
	Gather time.Duration
	// Encoded delivers the events of the log to the batch handler without decoding them; see [ports.Delivery].JSON. Entries of other programs are
	// finished without a handler, and counted in [Counters].Ignored.
	Encoded bool
	// Pace is the time between two reads of a stream that has nothing more. Reads then do not wait for entries, so that appends wake no reader.
	// Defaults to 0: reads wait for entries.
	Pace time.Duration
	// Metadata has the metadata of entries unpacked when they are read, for handlers that need all of it.
	Metadata bool

	Ephemeral bool         // the group is deleted after its run: it stores no dead letter for all groups
	Start     groups.Start // where a new group starts. Defaults to the next event
	OnPoison  delivery.Poison
	Retry     delivery.RetryPolicy

	Concurrency     int // most deliveries in flight. Defaults to 64
	ChatConcurrency int // most deliveries of one chat in flight, if Order allows more than one. Defaults to Concurrency

	// Slow is how long a handler may run before its chat is reported as blocked. Defaults to 30 s
	Slow time.Duration
	// CoolDown is how long a partition is offered to other members when it has an event that only a later version of the program can read.
	// Defaults to 2 min
	CoolDown time.Duration

	Lease time.Duration // how long an owner that does not answer keeps a partition. Defaults to 3 s, at least [MinLease]
	Drain time.Duration // how long handlers may still run at the end. Defaults to 30 s
	// Finish is how long the last commits may take after the drain. Releasing the partitions may then take another second. Defaults to 2 s
	Finish time.Duration
	Bound  int // entries that a stream keeps for groups that are behind; they take older ones from the log. Defaults to 100,000

	// DeadLetterBound is the most dead letters that the group has on a partition. At the bound, a delivery that would become one is retried every
	// Retry.Max instead. Defaults to 10,000.
	DeadLetterBound int

	// CountHandled has the member count finished deliveries in Counters.Handled. Handlers that count by themselves leave it unset.
	CountHandled bool

	Counters *Counters // Defaults to those of CountersOf for the group, or to new ones
	// CountersOf returns the counters of any group: trimming moves other groups, which is counted there. Defaults to Counters for all.
	CountersOf func(group string) *Counters
	Logger     *slog.Logger // Defaults to slog.Default
}

// withDefaults returns the configuration with its defaults. It returns a [*domain.InvalidError] that names a wrong field.
func (c Config) withDefaults() (Config, error) {
	logged := false
	for _, p := range c.Partitions {
		logged = logged || p.Logged()
	}
	switch {
	case c.Group == "":
		return c, &domain.InvalidError{Field: "Group", Problem: "is missing", Allowed: "a name"}
	case c.Store == nil:
		return c, &domain.InvalidError{Field: "Store", Problem: "is missing", Allowed: "a store"}
	case len(c.Partitions) == 0:
		return c, &domain.InvalidError{Field: "Partitions", Problem: "are missing", Allowed: "one or more"}
	case logged && (c.LogID == "" || c.Backlog == nil || c.Codec == nil):
		return c, &domain.InvalidError{Field: "LogID, Backlog and Codec", Problem: "are not all there", Allowed: "all three where a partition carries a log"}
	case c.Lease != 0 && c.Lease < MinLease:
		return c, &domain.InvalidError{Field: "Lease", Problem: "is " + c.Lease.String(), Allowed: "at least " + MinLease.String()}
	case c.Order == delivery.ByKey && c.Key == nil:
		return c, &domain.InvalidError{Field: "Key", Problem: "is missing", Allowed: "a function where the order is by key"}
	case c.Order != delivery.ByChat && c.OnPoison == delivery.Park:
		return c, &domain.InvalidError{Field: "OnPoison", Problem: "is Park", Allowed: "Skip, or the order of chats: a chat without an order has nothing that could wait"}
	case c.Encoded && c.Batch == nil:
		return c, &domain.InvalidError{Field: "Encoded", Problem: "is set", Allowed: "false without a batch handler"}
	case c.Order != delivery.ByChat && c.Batch != nil:
		return c, &domain.InvalidError{Field: "Batch", Problem: "is set", Allowed: "nil unless the order is by chat"}
	}
	c.Retry = c.Retry.WithDefaults()
	c.Concurrency = positive(c.Concurrency, 64)
	c.BatchChats, c.BatchEvents = positive(c.BatchChats, 128), positive(c.BatchEvents, 512)
	c.Lease = positive(c.Lease, DefaultLease)
	c.Drain = positive(c.Drain, 30*time.Second)
	c.Finish = positive(c.Finish, 2*time.Second)
	c.Slow = positive(c.Slow, 30*time.Second)
	c.CoolDown = positive(c.CoolDown, 2*time.Minute)
	c.Bound = positive(c.Bound, 100_000)
	c.DeadLetterBound = positive(c.DeadLetterBound, 10_000)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.CountersOf == nil {
		own := c.Counters
		if own == nil {
			own = &Counters{}
		}
		c.CountersOf = func(string) *Counters { return own }
	}
	if c.Counters == nil {
		c.Counters = c.CountersOf(c.Group)
	}
	if c.Codec == nil {
		c.Codec = wireformat.New()
	}
	return c, nil
}

func positive[N int | time.Duration](n, otherwise N) N {
	if n > 0 {
		return n
	}
	return otherwise
}
