package presence

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Store stores a record of each user's devices, an index of the ends of their heartbeats, and the keys of the wire contract for other programs. A
// step is one script, which also publishes the transition. On a Cluster the set of online users has another slot: it is updated after a step with a
// transition, and Repair corrects it if the process ends in between.
type Store struct {
	client goredis.UniversalClient
	keys   keyspace.Presence
	codec  *wireformat.Codec
	ids    ports.IDs
	ttl    ports.PresenceTTL
	lives  [3]any // ttl in milliseconds, as arguments
	token  string // identifies the store in the lease

	step, ends, due, lead *goredis.Script
	unreadable            metric.Int64Counter
	refused               metric.Int64Counter

	mu    sync.Mutex // guards: pages
	pages pages
}

var _ ports.PresenceStore = (*Store)(nil)

// Config is the configuration of Presence. All fields but Meter are required.
type Config struct {
	Client goredis.UniversalClient
	Keys   keyspace.Presence
	Codec  *wireformat.Codec
	IDs    ports.IDs
	TTL    ports.PresenceTTL
	Meter  metric.Meter
}

// New returns a Store with the given configuration.
func New(c Config) (*Store, error) {
	meter := c.Meter
	if meter == nil {
		meter = noop.Meter{}
	}
	unreadable, err := meter.Int64Counter("chatcore.statuses.unreadable",
		metric.WithUnit("{status}"), metric.WithDescription("Users' statuses in Redis that could not be read, and counted as offline."))
	if err != nil {
		return nil, err
	}
	refused, err := meter.Int64Counter("chatcore.statuses.refused",
		metric.WithUnit("{status}"), metric.WithDescription("Transitions of users' statuses whose announcement Redis refused."))
	return &Store{
		client: c.Client, keys: c.Keys, codec: c.Codec, ids: c.IDs, ttl: c.TTL, token: c.IDs.NewID(), unreadable: unreadable, refused: refused,
		lives: [3]any{c.TTL.Heartbeat.Milliseconds(), c.TTL.Kept.Milliseconds(), c.TTL.Status.Milliseconds()},
		step:  goredis.NewScript(presenceSource), ends: goredis.NewScript(presenceEndsSource), due: goredis.NewScript(dueSource), lead: goredis.NewScript(leadSource),
	}, err
}

// Heartbeat implements [ports.Presence] in one round trip. A transition takes one more, and on a Cluster two further ones.
func (p *Store) Heartbeat(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, "beat", connectionField(c), user, m)
}

// Leave implements [ports.Presence].
func (p *Store) Leave(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, "leave", connectionField(c), user, m)
}

// connectionField returns the field of a connection in its user's record. Ids have no spaces.
func connectionField(c domain.Connection) string {
	if c.ID == "" {
		return string(c.Device)
	}
	return string(c.Device) + " " + string(c.ID)
}

// SetStatus implements [ports.Presence].
func (p *Store) SetStatus(ctx context.Context, user domain.UserID, s domain.Status, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, "set", strconv.Itoa(int(s)), user, m)
}

func (p *Store) move(ctx context.Context, op, what string, user domain.UserID, m ports.Meta) (*domain.UserStatus, error) {
	keys, args := p.keysOf(user), p.arguments(op, what, user)
	var err error
	if op != "beat" { // a heartbeat is seldom a transition, and is sent again if it is
		if args, err = p.publicationArgs(args, user, m); err != nil {
			return nil, err
		}
	}
	o := p.outcome(ctx, user, keys, p.step.Run(ctx, p.client, keys, args...))
	if o.mute {
		if args, err = p.publicationArgs(args, user, m); err != nil {
			return nil, err
		}
		o = p.outcome(ctx, user, keys, p.step.Run(ctx, p.client, keys, args...))
	}
	if o.err != nil || !o.told {
		return nil, o.err
	}
	if p.keys.Cluster() {
		err = p.align(ctx, map[domain.UserID]domain.Status{user: o.status.Status})
	}
	return &o.status, err
}

// keysOf and arguments return the keys and arguments of presence.lua.
func (p *Store) keysOf(user domain.UserID) []string {
	keys := make([]string, 4, 5)
	keys[0], keys[1], keys[2], keys[3] = p.keys.Record(user), p.keys.Devices(user), p.keys.Status(user), p.keys.Due(p.keys.Shard(user))
	if !p.keys.Cluster() {
		keys = append(keys, p.keys.Online())
	}
	return keys
}

func (p *Store) arguments(op, what string, user domain.UserID) []any {
	return append(make([]any, 0, 9), op, what, string(user), p.lives[0], p.lives[1], p.lives[2])
}

// publicationArgs adds the arguments for the publication of a transition.
func (p *Store) publicationArgs(args []any, user domain.UserID, m ports.Meta) ([]any, error) {
	published, err := p.codec.EncodeStatus(domain.EventID(p.ids.NewID()), user, m)
	return append(args, p.keys.Channel(wireformat.TypeUserStatus), published.Head, published.Middle), err
}

// outcome is the result of a step.
type outcome struct {
	status  domain.UserStatus
	told    bool // the step is a transition
	unknown bool // there is no record of the user
	mute    bool // the step would be a transition, but its arguments have no publication
	err     error
}

func (p *Store) outcome(ctx context.Context, user domain.UserID, keys []string, cmd *goredis.Cmd) outcome {
	reply, err := cmd.Result()
	if err != nil {
		if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") { // for the first key, which is read before the types of all are checked
			return outcome{err: &ports.ForeignValueError{Key: keys[0], Holds: "no hash", For: "a user's presence"}}
		}
		return outcome{err: rediscmd.Unavailable(ctx, err)}
	}
	words, ok := reply.([]any)
	if !ok {
		return outcome{}
	}
	switch number(words, 0) {
	case -1:
		holds, _ := words[2].(string)
		return outcome{err: &ports.ForeignValueError{Key: keys[number(words, 1)-1], Holds: holds, For: "a user's presence"}}
	case 2:
		return outcome{unknown: true}
	case 3:
		return outcome{mute: true}
	}
	if len(words) > 4 {
		p.refused.Add(ctx, 1)
	}
	return outcome{told: number(words, 0) == 1, status: domain.UserStatus{
		User: user, Status: domain.Status(number(words, 1)), LastSeen: time.UnixMilli(number(words, 2)).UTC(), At: time.UnixMilli(number(words, 3)).UTC(),
	}}
}

func number(words []any, i int) int64 {
	n, _ := words[i].(int64)
	return n
}

// settle expires the users' heartbeats in one pipeline, and returns the outcomes in the order of the users.
func (p *Store) settle(ctx context.Context, users []domain.UserID) ([]outcome, error) {
	calls := make([]rediscmd.Call, len(users))
	for i, user := range users {
		args, err := p.publicationArgs(p.arguments("expire", "", user), user, ports.Meta{})
		if err != nil {
			return nil, err
		}
		calls[i] = rediscmd.Call{Keys: p.keysOf(user), Args: args}
	}
	outcomes := make([]outcome, len(users))
	for i, cmd := range rediscmd.RunEach(ctx, p.client, p.step, calls, nil) {
		outcomes[i] = p.outcome(ctx, users[i], calls[i].Keys, cmd)
	}
	return outcomes, nil
}

// transitionsOf returns the transitions among outcomes, and their errors without duplicates.
func transitionsOf(outcomes []outcome) (published []domain.UserStatus, err error) {
	var errs []error
	seen := make(map[string]bool)
	for _, o := range outcomes {
		if o.told {
			published = append(published, o.status)
		}
		if o.err != nil && len(errs) < maxTroubles && !seen[o.err.Error()] {
			seen[o.err.Error()] = true
			errs = append(errs, o.err)
		}
	}
	return published, errors.Join(errs...)
}

// maxTroubles is the maximum number of different errors that one sweep reports.
const maxTroubles = 3

// align adds online users to the set of online users on a Cluster and removes offline ones. A status may have changed meanwhile, and the alignment
// for the newer status may have run before this one. So align reads the statuses again afterwards, until none has changed.
func (p *Store) align(ctx context.Context, statuses map[domain.UserID]domain.Status) error {
	for len(statuses) > 0 {
		var in, out []any
		for user, status := range statuses {
			if status == domain.Offline {
				out = append(out, string(user))
			} else {
				in = append(in, string(user))
			}
		}
		_, err := p.client.TxPipelined(ctx, func(tx goredis.Pipeliner) error {
			for _, set := range []string{p.keys.Added(), p.keys.Online()} {
				if len(in) > 0 {
					tx.SAdd(ctx, set, in...)
				}
				if len(out) > 0 {
					tx.SRem(ctx, set, out...)
				}
			}
			return nil
		})
		if err != nil {
			return p.alignment(ctx, err)
		}
		if statuses, err = p.differing(ctx, statuses); err != nil {
			return err
		}
	}
	return nil
}

func (p *Store) alignment(ctx context.Context, err error) error {
	if rediscmd.Answered(err) && rediscmd.HasCode(err, "WRONGTYPE") {
		return &ports.ForeignValueError{Key: p.keys.Online(), Holds: "no set, or its set of added users is none", For: "the set of online users"}
	}
	return rediscmd.Unavailable(ctx, err)
}

// differing returns the statuses that have changed, with their current values.
func (p *Store) differing(ctx context.Context, statuses map[domain.UserID]domain.Status) (map[domain.UserID]domain.Status, error) {
	published := make(map[domain.UserID]*goredis.StringCmd, len(statuses))
	_, _ = p.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
		for user := range statuses {
			published[user] = pipe.HGet(ctx, p.keys.Record(user), " told")
		}
		return nil
	})
	others := make(map[domain.UserID]domain.Status)
	for user, cmd := range published {
		if err := cmd.Err(); err != nil && !rediscmd.Answered(err) && !errors.Is(err, goredis.Nil) {
			return nil, rediscmd.Unavailable(ctx, err)
		}
		status := domain.Offline
		if n, err := strconv.Atoi(cmd.Val()); err == nil && n != int(domain.Offline) { // a lost record and one of another program are offline
			status = domain.Online
		}
		if (status == domain.Offline) != (statuses[user] == domain.Offline) {
			others[user] = status
		}
	}
	return others, nil
}
