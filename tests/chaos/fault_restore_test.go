package chaos

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/adapters/redis/keyspace"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

var (
	//go:embed dump.lua
	dumpSource string
	//go:embed restore.lua
	restoreSource string
)

// restorer puts older data in the place of newer data while writers decide. Workers are stopped meanwhile, as docs/operating.md asks for; writers are
// not, and have to notice.
type restorer struct {
	t        *testing.T
	ctx      context.Context
	operator *operator
	writers  *writers
	deciding []*chatcore.Core  // their cores
	ids      []string          // of their witnesses
	probes   []domain.ChatID   // one of each partition, none of which exists
	scratch  *redistest.Server // where a dump is read
	cluster  bool
	servers  func() []*redistest.Server
	restores []Restore
}

// partitions is the number of partitions of a log by default.
const partitions = 16

func newRestorer(t *testing.T, o *operator, deciding []*chatcore.Core, servers func() []*redistest.Server, cluster bool) *restorer {
	t.Helper()
	r := &restorer{
		t: t, ctx: context.WithoutCancel(t.Context()), operator: o, deciding: deciding, cluster: cluster, servers: servers,
		scratch: redistest.Start(t),
	}
	keys, err := keyspace.New("", partitions, cluster)
	if err != nil {
		t.Fatal(err)
	}
	covered := make(map[int]bool)
	for i := 0; len(covered) < partitions; i++ {
		chat := domain.ChatID(fmt.Sprint("probe.", i))
		if p := keys.Partition(chat); !covered[p] {
			covered[p] = true
			r.probes = append(r.probes, chat)
		}
	}
	known := make(map[string]bool)
	wait.Until(t, "writers have witnesses", func() bool {
		r.touch()
		for key := range r.witnesses() {
			_, id, _ := strings.Cut(key, ":witness:")
			known[id] = true
		}
		return len(known) >= len(deciding)
	})
	for id := range known {
		r.ids = append(r.ids, id)
	}
	return r
}

const (
	restoreInPlace = "restore in place"
	evict          = "evict"
)

// attacks restore an earlier dump, as it is or after keys were evicted.
func (r *restorer) attacks() []attack {
	return []attack{
		r.attack(restoreInPlace, func(dice) string { return "" }),
		r.attack(evict, r.evict),
	}
}

// attack damages data while writers decide and no worker runs, and restores an earlier dump.
func (r *restorer) attack(kind string, harm func(dice) string) attack {
	return attack{kind, func(d dice) (on string, heal func()) {
		traps := setTraps(r.writers, r.deciding[0], r.deciding[1], fmt.Sprint(len(r.restores)))
		one := Restore{Dumped: time.Now(), Evicted: kind == evict}
		var dumps [][]any
		wait.Until(r.t, "a dump whose log is whole", func() bool { // an append may be half done where rights were taken
			dumps = r.dump()
			var err error
			one.Log, err = r.read(dumps)
			return err == nil
		})
		for _, t := range traps {
			t.bait()
		}
		d.between(500*time.Millisecond, 3*time.Second)
		r.operator.whileStopped(Restored, func() {
			r.awaitRaised()
			one.Begun = time.Now()
			on = harm(d)
			for i, s := range r.servers() {
				if err := s.Client(r.t).Eval(r.ctx, restoreSource, nil, dumps[i]...).Err(); err != nil {
					r.t.Errorf("restoring %s: %v", s.Addr(), err)
				}
			}
			one.Done = time.Now()
			for _, t := range traps {
				t.spring()
			}
			r.awaitRaised()
			one.Noticed = time.Now()
			r.operator.repair() // a process may have written views of lost events after the older data was there
			r.restores = append(r.restores, one)
		})
		return on, nil
	}}
}

// evict has a server evict any half of its data, until a writer is refused for that. Once the log's id is among the missing keys, no command comes as far as
// the check of the eviction policy: all writers are refused for the loss.
func (r *restorer) evict(d dice) string {
	all := r.servers()
	s := all[d.IntN(len(all))]
	one, client := []*redistest.Server{s}, s.Client(r.t) // one client: each has its connections until the test ends
	number := func(section, field string) int {
		info, err := client.InfoMap(r.ctx, section).Result()
		if err != nil {
			r.t.Errorf("%s: %v", s.Addr(), err)
			return 0
		}
		for _, fields := range info {
			if n, err := strconv.Atoi(fields[field]); err == nil {
				return n
			}
		}
		r.t.Errorf("%s does not say %s", s.Addr(), field)
		return 0
	}
	refused, evicted := r.writers.refusedForDamage(), number("stats", "evicted_keys")
	defer func() {
		if r.t.Failed() {
			r.writers.mu.Lock()
			defer r.writers.mu.Unlock()
			r.t.Logf("%d keys were evicted, %d calls refused; the latest failure: %v", number("stats", "evicted_keys")-evicted, r.writers.evicting+r.writers.damaged-refused, r.writers.last)
		}
	}()
	configure(r.t, one, "maxmemory-policy", "allkeys-lru")
	configure(r.t, one, "maxmemory", strconv.Itoa(number("memory", "used_memory")-number("memory", "used_memory_dataset")/2))
	wait.Until(r.t, "keys are evicted and a writer is refused for that", func() bool {
		return number("stats", "evicted_keys") > evicted && r.writers.refusedForDamage() > refused
	})
	n := number("stats", "evicted_keys") - evicted
	configure(r.t, one, "maxmemory-policy", "noeviction")
	configure(r.t, one, "maxmemory", "0")
	return fmt.Sprintf("%d keys of %s", n, s.Addr())
}

// dump reads all servers as of one moment: no server writes meanwhile.
func (r *restorer) dump() [][]any {
	servers := r.servers()
	each := func(what string, do func(*goredis.Client) error) {
		for _, s := range servers {
			if err := do(s.Client(r.t)); err != nil {
				r.t.Errorf("%s on %s: %v", what, s.Addr(), err)
			}
		}
	}
	each("pausing writes", func(c *goredis.Client) error {
		return c.Do(r.ctx, "client", "pause", wait.Limit.Milliseconds(), "write").Err()
	})
	var dumps [][]any
	each("dumping", func(c *goredis.Client) error {
		all, err := c.EvalRO(r.ctx, dumpSource, nil).Slice()
		dumps = append(dumps, all)
		return err
	})
	each("going on", func(c *goredis.Client) error { return c.Do(r.ctx, "client", "unpause").Err() })
	return dumps
}

// read reads the log that a dump has, on a server of its own.
func (r *restorer) read(dumps [][]any) (map[domain.ChatID][]Logged, error) {
	var all []any
	for _, dump := range dumps {
		all = append(all, dump...)
	}
	if err := r.scratch.Client(r.t).Eval(r.ctx, restoreSource, nil, all...).Err(); err != nil {
		return nil, err
	}
	core := open(r.t, chatcore.Config{Redis: chatcore.RedisConfig{URL: r.scratch.URL()}, Presence: lifetimes})
	return logOf(r.ctx, core.Queries)
}

// touch has every writer's core read something of each partition, which it will bear witness of.
func (r *restorer) touch() {
	for _, core := range r.deciding {
		for _, chat := range r.probes {
			if _, err := core.Queries.Chat(r.ctx, chat); err != nil && !errors.Is(err, domain.ErrChatNotFound) {
				r.t.Logf("reading chat %s: %v", chat, err)
			}
		}
	}
}

// witnesses are the values of all witnesses that Redis has.
func (r *restorer) witnesses() map[string]string {
	found := make(map[string]string)
	for _, s := range r.servers() {
		client := s.Client(r.t)
		keys, err := client.Keys(r.ctx, "cc:{*}:witness:*").Result()
		if err != nil {
			continue
		}
		for _, key := range keys {
			if value, err := client.Get(r.ctx, key).Result(); err == nil {
				found[key] = value
			}
		}
	}
	return found
}

// awaitRaised waits until every writer's process has raised its witness in every partition: it can notice the loss of its present state then.
func (r *restorer) awaitRaised() {
	const often = 500 * time.Millisecond
	before := r.witnesses()
	var touched time.Time
	wait.Until(r.t, "writers raise their witnesses", func() bool {
		if time.Since(touched) > often { // again, since a read may have failed
			r.touch()
			touched = time.Now()
		}
		raised := 0
		for key, value := range r.witnesses() {
			_, id, _ := strings.Cut(key, ":witness:")
			for _, known := range r.ids {
				if id == known && value != before[key] {
					raised++
				}
			}
		}
		return raised == len(r.ids)*len(r.probes)
	})
}

// TestEvict_LogLost has a server evict keys after a writer has noticed that the log's id is gone, as it is if the id is evicted before the policy was noticed.
// The writer's commands read before they append.
func TestEvict_LogLost(t *testing.T) {
	server := redistest.Start(t)
	core := open(t, chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL()}})
	w := &writers{stop: make(chan struct{}), refused: make(map[string][]error)}
	w.ctx, w.end = context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { w.finish(0) })
	give := func(ref string, give func(context.Context, *app.Chats) (app.Done, error)) {
		_ = w.answered(core, order{chat: "c", ref: ref, give: give})
	}
	w.done.Go(func() {
		give("create", func(ctx context.Context, chats *app.Chats) (app.Done, error) {
			return chats.Create(ctx, domain.Create{Chat: "c", Actor: owner, Title: "c", Command: "create"})
		})
		for i := 0; w.ctx.Err() == nil; i++ {
			id := domain.CommandID(fmt.Sprint("add:", i))
			give(string(id), func(ctx context.Context, chats *app.Chats) (app.Done, error) {
				return chats.Add(ctx, domain.Add{Chat: "c", Actor: owner, User: domain.UserID(fmt.Sprint("u", i)), Command: id})
			})
		}
	})
	await := func(what string, n int, count func() int) {
		wait.Until(t, what, func() bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			return count() >= n
		})
	}
	await("the log has much to evict", 200, func() int { return len(w.acks) })
	r := &restorer{t: t, ctx: context.WithoutCancel(t.Context()), writers: w, servers: func() []*redistest.Server { return []*redistest.Server{server} }}
	client := server.Client(t)
	ids, err := client.Keys(r.ctx, "cc:{*}:id").Result()
	if err != nil || len(ids) == 0 {
		t.Fatalf("ids of the log: %q, %v", ids, err)
	}
	if err := client.Del(r.ctx, ids...).Err(); err != nil {
		t.Fatal(err)
	}
	await("the writer has noticed", 2, func() int { return w.damaged })
	if on := r.evict(dice{rand.New(rand.NewPCG(1, 1)), t.Context()}); on == "" { //nolint:gosec // dice
		t.Error("nothing was evicted")
	}
}
