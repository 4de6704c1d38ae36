package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// Presence keeps a record of each user's devices with an index of when they end and, for whom it concerns, the keys of the wire contract. A
// step is one script, which tells the transition too. On a Cluster who is online lies in a slot of its own: there the set follows the
// step, when there was a transition, and Repair makes it right should the process end in between.
type Presence struct {
	client goredis.UniversalClient
	keys   Keys
	codec  *wireformat.Codec
	ids    ports.IDs
	ttl    ports.PresenceTTL
	lives  [3]any // ttl in milliseconds, as arguments
	token  string // names the store in the lease

	step, ends, due, lead *goredis.Script
	unreadable            metric.Int64Counter
	refused               metric.Int64Counter

	mu    sync.Mutex // of what follows: where Repair goes on
	pages pages
}

var _ ports.PresenceStore = (*Presence)(nil)

// PresenceConfig says where presence is kept, and for how long. All fields but Meter are needed.
type PresenceConfig struct {
	Client goredis.UniversalClient
	Keys   Keys
	Codec  *wireformat.Codec
	IDs    ports.IDs
	TTL    ports.PresenceTTL
	Meter  metric.Meter
}

// NewPresence keeps presence as configured.
func NewPresence(c PresenceConfig) (*Presence, error) {
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
	return &Presence{
		client: c.Client, keys: c.Keys, codec: c.Codec, ids: c.IDs, ttl: c.TTL, token: c.IDs.NewID(), unreadable: unreadable, refused: refused,
		lives: [3]any{c.TTL.Heartbeat.Milliseconds(), c.TTL.Kept.Milliseconds(), c.TTL.Status.Milliseconds()},
		step:  goredis.NewScript(presenceSource), ends: goredis.NewScript(presenceEndsSource), due: goredis.NewScript(dueSource), lead: goredis.NewScript(leadSource),
	}, err
}

// Beat implements [ports.Presence] in one round trip. A transition takes another one, and on a Cluster two more.
func (p *Presence) Beat(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, "beat", connectionField(c), user, m)
}

// Leave implements [ports.Presence].
func (p *Presence) Leave(ctx context.Context, user domain.UserID, c domain.Connection, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, "leave", connectionField(c), user, m)
}

// connectionField returns the field of a connection in its user's record. Ids have no spaces.
func connectionField(c domain.Connection) string {
	if c.ID == "" {
		return string(c.Device)
	}
	return string(c.Device) + " " + string(c.ID)
}

// Choose implements [ports.Presence].
func (p *Presence) Choose(ctx context.Context, user domain.UserID, s domain.Status, m ports.Meta) (*domain.UserStatus, error) {
	return p.move(ctx, "set", strconv.Itoa(int(s)), user, m)
}

func (p *Presence) move(ctx context.Context, op, what string, user domain.UserID, m ports.Meta) (*domain.UserStatus, error) {
	keys, args := p.keysOf(user), p.arguments(op, what, user)
	var err error
	if op != "beat" { // which is seldom a transition, and is asked again if it is
		if args, err = p.telling(args, user, m); err != nil {
			return nil, err
		}
	}
	o := p.outcome(ctx, user, keys, p.step.Run(ctx, p.client, keys, args...))
	if o.mute {
		if args, err = p.telling(args, user, m); err != nil {
			return nil, err
		}
		o = p.outcome(ctx, user, keys, p.step.Run(ctx, p.client, keys, args...))
	}
	if o.err != nil || !o.told {
		return nil, o.err
	}
	if p.keys.cluster {
		err = p.align(ctx, map[domain.UserID]domain.Status{user: o.status.Status})
	}
	return &o.status, err
}

// keysOf and arguments are those of the script presence.lua.
func (p *Presence) keysOf(user domain.UserID) []string {
	keys := make([]string, 4, 5)
	keys[0], keys[1], keys[2], keys[3] = p.keys.record(user), p.keys.presence(user), p.keys.status(user), p.keys.due(p.keys.shard(user))
	if !p.keys.cluster {
		keys = append(keys, p.keys.online())
	}
	return keys
}

func (p *Presence) arguments(op, what string, user domain.UserID) []any {
	return append(make([]any, 0, 9), op, what, string(user), p.lives[0], p.lives[1], p.lives[2])
}

// telling adds to arguments how a transition is told.
func (p *Presence) telling(args []any, user domain.UserID, m ports.Meta) ([]any, error) {
	told, err := p.codec.EncodeTold(domain.EventID(p.ids.NewID()), user, m)
	return append(args, p.keys.Channel(wireformat.TypeUserStatus), told.Head, told.Middle), err
}

// outcome is what a step came to.
type outcome struct {
	status  domain.UserStatus
	told    bool // it is a transition
	unknown bool // nothing is known of the user
	mute    bool // it would be a transition, and it was not said how to tell it
	err     error
}

func (p *Presence) outcome(ctx context.Context, user domain.UserID, keys []string, cmd *goredis.Cmd) outcome {
	reply, err := cmd.Result()
	if err != nil {
		if answered(err) && hasCode(err, "WRONGTYPE") { // at the one key that is read before all are looked at
			return outcome{err: &ports.ForeignValueError{Key: keys[0], Holds: "no hash", For: "a user's presence"}}
		}
		return outcome{err: unavailable(ctx, err)}
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

// settle lets time alone move users' presence on, all in one pipeline, and gives what became of each in their order.
func (p *Presence) settle(ctx context.Context, users []domain.UserID) ([]outcome, error) {
	outcomes, again := make([]outcome, len(users)), make([]int, len(users))
	for i := range users {
		again[i] = i
	}
	for _, run := range []func(context.Context, goredis.Scripter, []string, ...any) *goredis.Cmd{p.step.EvalSha, p.step.Eval} {
		pipeline := p.client.Pipeline()
		cmds, keysOf := make([]*goredis.Cmd, len(again)), make([][]string, len(again))
		for j, i := range again {
			keys := p.keysOf(users[i])
			args, err := p.telling(p.arguments("expire", "", users[i]), users[i], ports.Meta{})
			if err != nil {
				return nil, err
			}
			cmds[j], keysOf[j] = run(ctx, pipeline, keys, args...), keys
		}
		_, _ = pipeline.Exec(ctx) // each reply has its own error
		var unknown []int         // to whom the script is
		for j, i := range again {
			if err := cmds[j].Err(); err != nil && answered(err) && hasCode(err, "NOSCRIPT") {
				unknown = append(unknown, i)
			}
			outcomes[i] = p.outcome(ctx, users[i], keysOf[j], cmds[j])
		}
		if again = unknown; len(again) == 0 {
			break
		}
	}
	return outcomes, nil
}

// toldOf are the transitions among outcomes, and what went wrong, the same trouble once.
func toldOf(outcomes []outcome) (told []domain.UserStatus, err error) {
	var errs []error
	seen := make(map[string]bool)
	for _, o := range outcomes {
		if o.told {
			told = append(told, o.status)
		}
		if o.err != nil && len(errs) < maxTroubles && !seen[o.err.Error()] {
			seen[o.err.Error()] = true
			errs = append(errs, o.err)
		}
	}
	return told, errors.Join(errs...)
}

// maxTroubles is how many different errors one sweep tells.
const maxTroubles = 3

// align makes the set of who is online, on a Cluster, as was told. Statuses may have become others meanwhile, and their own alignment may have
// come before this one: so it looks again afterwards, until nothing has changed.
func (p *Presence) align(ctx context.Context, statuses map[domain.UserID]domain.Status) error {
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
			for _, set := range []string{p.keys.added(), p.keys.online()} {
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

func (p *Presence) alignment(ctx context.Context, err error) error {
	if answered(err) && hasCode(err, "WRONGTYPE") {
		return &ports.ForeignValueError{Key: p.keys.online(), Holds: "no set, or has none beside it", For: "who is online"}
	}
	return unavailable(ctx, err)
}

// differing are the statuses that are others by now, as they are.
func (p *Presence) differing(ctx context.Context, statuses map[domain.UserID]domain.Status) (map[domain.UserID]domain.Status, error) {
	told := make(map[domain.UserID]*goredis.StringCmd, len(statuses))
	_, _ = p.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error { // each reply has its own error
		for user := range statuses {
			told[user] = pipe.HGet(ctx, p.keys.record(user), " told")
		}
		return nil
	})
	others := make(map[domain.UserID]domain.Status)
	for user, cmd := range told {
		if err := cmd.Err(); err != nil && !answered(err) && !errors.Is(err, goredis.Nil) {
			return nil, unavailable(ctx, err)
		}
		status := domain.Offline
		if n, err := strconv.Atoi(cmd.Val()); err == nil && n != int(domain.Offline) { // what is lost, or someone else's, is offline
			status = domain.Online
		}
		if (status == domain.Offline) != (statuses[user] == domain.Offline) {
			others[user] = status
		}
	}
	return others, nil
}
