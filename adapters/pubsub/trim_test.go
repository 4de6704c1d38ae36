package pubsub_test

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/ports"
	"chatcore/tests/redistest"
)

// trim makes a group's new owner trim the stream, which is the first thing that it does.
func (r *rig) trim(group string, bound int) {
	r.t.Helper()
	before := r.partition(group).Epoch
	config := r.config(group)
	config.Bound = bound
	i := r.start(config, nothing)
	until(r.t, "the partition is taken", func() bool { return r.partition(group).Epoch > before })
	// A member trims after it has taken partitions, and sends its next heartbeat after that.
	last := r.lastHeartbeat(group)
	until(r.t, "the stream was trimmed", func() bool { return r.lastHeartbeat(group) > last })
	i.stop()
}

// lastHeartbeat returns the latest time at which a heartbeat of a group's members expires.
func (r *rig) lastHeartbeat(group string) float64 {
	r.t.Helper()
	latest, err := r.client.ZRevRangeWithScores(r.t.Context(), r.partitions[0].Base+"g:members:"+group, 0, 0).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	if len(latest) == 0 {
		return 0
	}
	return latest[0].Score
}

func (r *rig) length() int64 {
	r.t.Helper()
	n, err := r.client.XLen(r.t.Context(), r.topic()).Result()
	if err != nil {
		r.t.Fatal(err)
	}
	return n
}

// run makes a group finish all entries, as far as it handles their events.
func (r *rig) run(group string, handle func(ctx context.Context, d ports.Delivery) error, reached func() bool) {
	r.t.Helper()
	i := r.start(beginning(r.config(group)), handle)
	until(r.t, "it is reached", reached)
	i.stop()
}

// TestTrimmingTakesOnlyWhatAllHavePassed guards against trimming to a length, which loses unread and unfinished entries.
func TestTrimmingTakesOnlyWhatAllHavePassed(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	ahead, behind := newEffects(), newEffects()
	r.start(r.config("behind"), nothing).stop() // it begins here
	r.send(500, "c", "d")
	stop := make(chan struct{})
	config := r.config("behind")
	config.Drain = 50 * time.Millisecond
	i := r.start(config, behind.around(func(ctx context.Context, d ports.Delivery) error {
		if d.ID.Seq > 250 {
			<-stop
			return ctx.Err()
		}
		return nil
	}))
	until(t, "it is in the middle", func() bool { return behind.done("c") == 250 && behind.done("d") == 250 })
	go func() { <-time.After(100 * time.Millisecond); close(stop) }()
	i.stop()
	r.run("ahead", ahead.around(nothing), func() bool { return ahead.done("c") == 500 && ahead.done("d") == 500 && r.partition("ahead").Lag == 0 })

	r.trim("ahead", 100_000)
	if n := r.length(); n < 500 || n > 620 { // trimming removes whole nodes of the stream
		t.Errorf("the stream has %d entries", n)
	}
	caughtUp := r.counters.Backfilled.Load()
	r.start(r.config("behind"), behind.around(nothing))
	behind.complete(r)
	r.idle("behind")
	if n := r.counters.Backfilled.Load() - caughtUp; n != 0 {
		t.Errorf("%d events had to be read back from the log", n)
	}
	r.trim("ahead", 100_000)
	if n := r.length(); n > 120 {
		t.Errorf("the stream still has %d entries", n)
	}
	behind.check(t)
}

// TestAnAbandonedGroupDoesNotHoldTheStream checks that such a group holds the stream only up to the bound, and misses nothing when it runs again.
func TestAnAbandonedGroupDoesNotHoldTheStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	r.send(3, "c", "idle")
	left := newEffects()
	r.run("left", left.around(nothing), func() bool {
		return left.done("c") == 3 && left.done("idle") == 3 && r.partition("left").Behind == 0 && r.partition("left").Lag == 0
	})
	r.send(1, "idle")
	r.send(600, "c", "d")
	ahead := newEffects()
	r.run("ahead", ahead.around(nothing), func() bool { return r.partition("ahead").Lag == 0 && r.partition("ahead").Behind == 0 })
	const bound = 200
	r.trim("ahead", bound)
	if n := r.length(); n > bound+100 {
		t.Errorf("the stream has %d entries", n)
	}
	if l := r.partition("left"); !l.CatchesUp || r.counters.StreamOverruns.Load() != 1 {
		t.Errorf("%d groups are told to be too far behind; the one that is is at %+v", r.counters.StreamOverruns.Load(), l)
	}
	r.start(r.config("left"), left.around(nothing))
	r.send(5, "c", "d", "new")
	left.complete(r)
	left.once(t)
	r.idle("left")
}

// TestAGroupThatIsMovedWhileItRuns trims the stream beyond the position of a group whose handlers are slow.
func TestAGroupThatIsMovedWhileItRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	slow := newEffects()
	hold := make(chan struct{})
	config := beginning(r.config("slow"))
	config.Concurrency = 1
	r.start(config, slow.around(func(context.Context, ports.Delivery) error {
		<-hold
		return nil
	}))
	r.send(2000, "c", "d") // more than a window
	r.send(1, chats(100)...)
	r.run("ahead", nothing, func() bool { return r.partition("ahead").Lag == 0 && r.partition("ahead").Behind == 0 })
	r.trim("ahead", 100)
	if n := r.length(); n > 200 {
		t.Errorf("the stream has %d entries", n)
	}
	close(hold)
	slow.complete(r)
	slow.once(t)
	r.idle("slow")
}

// TestOtherConsumerGroupsHoldTheStream checks that stock groups hold the stream, up to the bound, at their first entry without an ack.
func TestOtherConsumerGroupsHoldTheStream(t *testing.T) {
	t.Parallel()
	r := newRig(t, redistest.Shared(t), 1)
	r.send(500, "c")
	ctx := t.Context()
	if err := r.client.XGroupCreate(ctx, r.topic(), "stock", "0").Err(); err != nil {
		t.Fatal(err)
	}
	r.run("g", nothing, func() bool { return r.partition("g").Lag == 0 && r.partition("g").Behind == 0 })
	holds := func(least, most int64) {
		t.Helper()
		r.trim("g", 400_000)
		if n := r.length(); n < least || n > most {
			t.Errorf("the stream has %d entries, want %d to %d", n, least, most)
		}
	}
	holds(500, 500)
	read, err := r.client.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "stock", Consumer: "x", Streams: []string{r.topic(), ">"}, Count: 400}).Result()
	if err != nil {
		t.Fatal(err)
	}
	holds(500, 500)
	for _, m := range read[0].Messages[:300] {
		if err := r.client.XAck(ctx, r.topic(), "stock", m.ID).Err(); err != nil {
			t.Fatal(err)
		}
	}
	holds(200, 300)
	r.trim("g", 100)
	if n := r.length(); n > 200 {
		t.Errorf("it holds the stream beyond the bound: %d entries", n)
	}
}
