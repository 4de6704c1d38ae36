package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/group"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// freezer is a proxy whose connections stall while it is frozen, as those of a suspended process do.
type freezer struct {
	*redistest.Proxy
	mu    sync.RWMutex
	froze bool
}

func newFreezer(t *testing.T, server *redistest.Server) *freezer {
	f := &freezer{Proxy: redistest.StartProxy(t, server)}
	pass := func([]byte) bool {
		f.mu.RLock()
		defer f.mu.RUnlock()
		return true
	}
	f.Request.Store(&pass)
	f.Reply.Store(&pass)
	t.Cleanup(func() {
		if f.froze {
			f.thaw()
		}
	})
	return f
}

func (f *freezer) freeze() {
	f.mu.Lock()
	f.froze = true
}

func (f *freezer) thaw() {
	f.froze = false
	f.mu.Unlock()
}

// client returns a client through the proxy which, like a suspended process, does not notice that time passes.
func (f *freezer) client(t *testing.T) *goredis.Client {
	options, err := goredis.ParseURL(f.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.ContextTimeoutEnabled, options.MaxRetries = true, -1
	return goredis.NewClient(options)
}

// TestAFrozenOwnerSwallowsNothing guards against a read that continues for a replaced owner, as one of a Redis consumer group does: it would get the
// next entry, and no other member would.
func TestAFrozenOwnerSwallowsNothing(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		e := newEffects()
		proxy := newFreezer(t, r.server)
		config := beginning(r.config("g"))
		config.client = proxy.client(t)
		frozen := r.start(config, e.around(nothing))
		r.send(3, "c", "d")
		e.complete(r)
		r.idle("g")
		before := r.partition("g")

		proxy.freeze()
		config.client = nil
		r.start(config, e.around(nothing))
		r.send(3, "c", "d") // the frozen owner's read is there first
		e.complete(r)
		r.idle("g")
		after := r.partition("g")
		if after.Epoch <= before.Epoch || after.Owner == before.Owner {
			t.Errorf("the partition went from %+v to %+v", before, after)
		}
		proxy.thaw()
		r.send(3, "c", "d")
		e.complete(r)
		e.once(t)
		frozen.stop()
	})
}

// TestWhatAFrozenOwnerFinishesChangesNothing ends a frozen owner's handlers after another member has acquired the partition: neither their
// checkpoints nor their dead letters count.
func TestWhatAFrozenOwnerFinishesChangesNothing(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		proxy := newFreezer(t, r.server)
		config := beginning(r.config("g"))
		config.client = proxy.client(t)
		begun, end := make(chan ports.Delivery, 8), make(chan struct{})
		frozen := r.start(config, func(_ context.Context, d ports.Delivery) error {
			begun <- d
			<-end
			if d.ID.Chat == "d" {
				return group.Permanent(errors.New("late"))
			}
			return nil
		})
		r.reading("g")
		r.send(2, "c", "d")
		first, second := receive(t, begun), receive(t, begun)
		if first.Redelivered || second.Redelivered {
			t.Error("a first delivery says that it may have come before")
		}
		commits := func() int {
			n, err := r.client.HGet(t.Context(), r.partitions[0].Base+"g:state:g", "commit").Int()
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		until(t, "it only renews its lease", func() bool { return commits() >= 6 })
		proxy.freeze()
		frozenAt := commits()
		config.client = nil
		again, hold := make(chan ports.Delivery, 8), make(chan struct{})
		r.start(config, func(_ context.Context, d ports.Delivery) error {
			again <- d
			<-hold
			return nil
		})
		for range 2 {
			d := receive(t, again)
			if d.ID.Seq != 1 || d.Attempt != 1 || !d.Redelivered || d.Epoch <= first.Epoch {
				t.Errorf("it comes again as %+v, the first time under epoch %d", d, first.Epoch)
			}
			if late := time.Since(d.Appended); late < 0 || late > patience {
				t.Errorf("it was appended %v ago", late)
			}
		}
		close(end)
		until(t, "the second one has made as many commits", func() bool { return commits() == frozenAt })
		proxy.thaw()
		until(t, "the first one notices", func() bool { return r.counters.Fenced.Load() > 0 })
		if c, d := r.checkpoint("g", "c"), r.checkpoint("g", "d"); c+d != "" || len(r.letters("g")) != 0 {
			t.Errorf("checkpoints %q and %q, dead letters %v", c, d, r.letters("g"))
		}
		close(hold)
		until(t, "the second one finishes all", func() bool { return r.checkpoint("g", "c")+r.checkpoint("g", "d") == "22" })
		frozen.stop()
	})
}

// TestEpochsGrowAndRedeliveriesAreTold has several owners, one after another.
func TestEpochsGrowAndRedeliveriesAreTold(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		epoch := uint64(0)
		for round := range 4 {
			deliveries := make(chan ports.Delivery, 8)
			i := r.start(beginning(r.config("g")), func(_ context.Context, d ports.Delivery) error {
				deliveries <- d
				return nil
			})
			r.reading("g")
			sent := time.Now()
			r.send(1, "c")
			d := receive(t, deliveries)
			if d.ID.Seq != domain.Seq(round+1) || d.Epoch <= epoch || d.Redelivered { //nolint:gosec // a small number
				t.Errorf("in round %d it comes as %+v after epoch %d", round, d, epoch)
			}
			if d.Appended.Before(sent.Add(-time.Second)) || d.Appended.After(time.Now().Add(time.Second)) {
				t.Errorf("it was appended at %v, sent at %v", d.Appended, sent)
			}
			epoch = d.Epoch
			i.stop()
		}
	})
}

// TestPartitionsAreReleasedAtOnce has another member acquire the partitions long before the lease would have expired.
func TestPartitionsAreReleasedAtOnce(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 4).plainly(plain)
		config := beginning(r.config("g"))
		config.Lease = time.Minute
		e := newEffects()
		first := r.start(config, e.around(nothing))
		r.send(1, chats(20)...)
		e.complete(r)
		r.start(config, e.around(nothing))
		first.stop()
		stopped := time.Now()
		r.send(1, chats(20)...)
		e.complete(r)
		e.once(t)
		if took := time.Since(stopped); took > config.Lease/2 {
			t.Errorf("it took %v", took)
		}
		if n := r.client.ZCard(t.Context(), r.partitions[0].Base+"g:members:g").Val(); n != 1 {
			t.Errorf("%d members are left", n)
		}
	})
}

// TestPartitionsAreShared spreads the partitions over members as these start.
func TestPartitionsAreShared(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 16)
	for n := range 3 {
		r.start(beginning(r.config("g")), nothing)
		until(t, fmt.Sprint(n+1, " have partitions"), func() bool {
			list, err := r.groups().List(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			owners := make(map[string]bool)
			for _, l := range list[0].Partitions {
				owners[l.Owner] = true
			}
			return len(owners) == n+1 && !owners[""]
		})
	}
}

// TestHandlersMayTakeLongerThanTheLease guards against redelivery of messages in flight, to the same or to another member.
func TestHandlersMayTakeLongerThanTheLease(t *testing.T) {
	t.Parallel()
	ways(t, func(t *testing.T, plain bool) {
		r := newRig(t, redistest.Shared(t), 1).plainly(plain)
		e := newEffects()
		config := beginning(r.config("g"))
		config.Lease = group.MinLease
		handle := e.around(func(ctx context.Context, d ports.Delivery) error {
			if d.ID.Chat == "long" {
				<-time.After(4 * group.MinLease)
			}
			return nil
		})
		r.start(config, handle)
		r.send(1, "long")
		until(t, "it begins", func() bool { e.mu.Lock(); defer e.mu.Unlock(); return e.starts == 1 })
		r.start(config, handle)
		r.send(2, "long", "c")
		e.complete(r)
		e.once(t)
	})
}
