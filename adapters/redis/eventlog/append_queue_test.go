package eventlog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// bench is a log behind a proxy that can delay Redis's replies. It counts queued appends.
type bench struct {
	t      *testing.T
	log    *eventlog.Log
	direct goredis.UniversalClient
	stream string
	proxy  *redistest.Proxy
	reader *sdkmetric.ManualReader
	calls  scriptCalls
	wg     sync.WaitGroup
}

func newBench(t *testing.T, queue int) *bench {
	t.Helper()
	server := redistest.Start(t)
	b := &bench{t: t, proxy: redistest.StartProxy(t, server), direct: rig.Connect(t, server.URL()), reader: sdkmetric.NewManualReader()}
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(b.reader))
	keys := rig.NewKeys(t, 1)
	var err error
	b.stream = keys.Log().Partitions()[0].Stream
	client := rig.Connect(t, b.proxy.URL())
	client.AddHook(&b.calls)
	b.log, err = eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, Queue: queue, Meter: meters.Meter("test")})
	if err != nil {
		t.Fatal(err)
	}
	rig.Appended(t, b.log, rig.Created("warm")) // so that Redis has the script
	return b
}

// hold delays every reply to an append until release is called.
func (b *bench) hold() (release func()) {
	_, release = b.holdEach()
	return release
}

// holdEach delays every reply to an append. one releases one delayed reply, and the replies of later appends; release releases all.
func (b *bench) holdEach() (one, release func()) {
	gate := make(chan struct{})
	wait := func(piece []byte) bool {
		if piece[0] == '$' { // not the replies with which a new connection begins
			<-gate
		}
		return true
	}
	b.proxy.Reply.Store(&wait)
	release = sync.OnceFunc(func() {
		b.proxy.Reply.Store(nil)
		close(gate)
	})
	b.t.Cleanup(release)
	one = func() {
		b.proxy.Reply.Store(nil)
		gate <- struct{}{}
	}
	return one, release
}

// append appends in a goroutine. The error is set once wg.Wait has returned.
func (b *bench) append(ctx context.Context, a ports.Append) *error {
	var err error
	b.wg.Go(func() { _, err = b.log.Append(ctx, a) })
	return &err
}

// await waits for a number of appends in the queue and of entries on the stream.
func (b *bench) await(queued, entries int64) {
	b.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(wait.Limit); ; {
		if b.queued() == queued && b.direct.XLen(b.t.Context(), b.stream).Val() == entries {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			b.t.Fatalf("%d wait, %d on the stream", b.queued(), b.direct.XLen(b.t.Context(), b.stream).Val())
		}
	}
}

func (b *bench) queued() int64 {
	b.t.Helper()
	var all metricdata.ResourceMetrics
	if err := b.reader.Collect(b.t.Context(), &all); err != nil {
		b.t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if gauge, ok := m.Data.(metricdata.Gauge[int64]); ok && m.Name == "chatcore.append.queue" {
				return gauge.DataPoints[0].Value
			}
		}
	}
	b.t.Fatal("the queue is not measured")
	return 0
}

// occupy sends two batches of one append each and delays their replies, so that all further appends are queued.
func (b *bench) occupy() {
	b.t.Helper()
	entries := b.direct.XLen(b.t.Context(), b.stream).Val()
	for i := range int64(2) {
		b.append(b.t.Context(), rig.Created(domain.ChatID(fmt.Sprint("busy-", entries+i))))
		b.await(0, entries+1+i)
	}
}

func TestAppendsThatWaitTogetherGoTogether(t *testing.T) {
	b := newBench(t, 1000)
	release := b.hold()
	b.occupy()
	for i := range 100 {
		b.append(t.Context(), rig.Created(domain.ChatID(fmt.Sprint("c", i))))
	}
	b.await(100, 3)
	var calls atomic.Int64
	count := func(piece []byte) bool {
		for _, c := range piece {
			if c == '$' {
				calls.Add(1)
			}
		}
		return true
	}
	release()
	b.proxy.Reply.Store(&count)
	b.wg.Wait()
	b.await(0, 103)
	if n := calls.Load(); n > 4 { // the two delayed replies may be among them
		t.Errorf("100 appends took %d answers", n)
	}
}

// TestQueue_PlainAndOtherAppends checks that plain sends, plain erasures and other appends that wait together go in a script call each. A single one goes with the
// others.
func TestQueue_PlainAndOtherAppends(t *testing.T) {
	b := newBench(t, 1000)
	for i := range 3 {
		chat := domain.ChatID(fmt.Sprint("c", i))
		rig.Appended(t, b.log, rig.Created(chat))
		rig.Appended(t, b.log, plainSend(chat, "first", "ada", 1, 1)) // so that Redis has the script
	}
	entries := int64(7)
	for _, test := range []struct{ sends, erasures, others, sendCalls, eraseCalls int }{
		{30, 0, 30, 1, 0},
		{30, 0, 0, 1, 0},
		{1, 0, 30, 0, 0},
		{0, 0, 30, 0, 0},
		{0, 30, 0, 0, 1},
		{30, 30, 30, 1, 1},
		{0, 1, 30, 0, 0},
		{0, 30, 1, 0, 1},
		{1, 1, 0, 0, 0},
		{30, 2, 0, 1, 1},
	} {
		erasures := b.erasures(test.erasures, fmt.Sprint(entries))
		entries += int64(test.erasures)
		one, release := b.holdEach()
		b.occupy()
		for i := range max(test.sends, test.others) {
			chat, id := domain.ChatID(fmt.Sprint("c", i%3)), fmt.Sprint(entries, "-", i)
			if i < test.sends {
				b.append(t.Context(), plainSend(chat, domain.MessageID(id), "ada", 1, 1))
			}
			if i < test.others {
				b.append(t.Context(), reaction(chat, id))
			}
		}
		for _, e := range erasures {
			b.wg.Go(func() {
				if got, err := b.log.Erase(t.Context(), e); err != nil || len(got.Events) != 1 || got.Last != got.First+1 {
					t.Errorf("an erasure: %+v, error %v", got, err)
				}
			})
		}
		entries += 2
		b.await(int64(test.sends+test.erasures+test.others), entries)
		sends, erased := b.calls.count("send"), b.calls.count("erase_message")
		one() // two at once would make two batches
		entries += int64(test.sends + 2*test.erasures + test.others)
		b.await(0, entries)
		release()
		b.wg.Wait()
		if sends, erased = b.calls.count("send")-sends, b.calls.count("erase_message")-erased; sends != test.sendCalls || erased != test.eraseCalls {
			t.Errorf("%+v: %d calls of send, %d of erase_message", test, sends, erased)
		}
	}
}

// erasures sends a number of messages, and returns erasures of them that need no reading.
func (b *bench) erasures(n int, name string) (all []ports.Erasure) {
	b.t.Helper()
	for i := range n {
		chat, m := domain.ChatID(fmt.Sprint("c", i%3)), domain.MessageID(fmt.Sprint("erased-", name, "-", i))
		sent, err := b.log.Append(b.t.Context(), plainSend(chat, m, "ada", 1, 1))
		if err != nil {
			b.t.Fatal(err)
		}
		page, err := b.log.Read(b.t.Context(), chat, ports.Range{From: sent.First, Limit: 1})
		if err != nil {
			b.t.Fatal(err)
		}
		e := erasureBy("ada", chat, m, sent.First, sent.First)
		e.Known = page.Records
		all = append(all, e)
	}
	return all
}

func TestAQueueIsBoundedAsAWholeAndForEachChat(t *testing.T) {
	b := newBench(t, 8)
	release := b.hold()
	b.occupy()
	for i := range 2 {
		b.append(t.Context(), rig.Sent("hot", domain.MessageID(fmt.Sprint("m", i))))
	}
	b.await(2, 3)
	if _, err := b.log.Append(t.Context(), rig.Sent("hot", "one too many")); !errors.Is(err, ports.ErrOverloaded) {
		t.Errorf("beyond a chat's share: %v", err)
	}
	for i := range 6 {
		b.append(t.Context(), rig.Created(domain.ChatID(fmt.Sprint("c", i))))
	}
	b.await(8, 3)
	if _, err := b.log.Append(t.Context(), rig.Created("another")); !errors.Is(err, ports.ErrOverloaded) {
		t.Errorf("beyond the queue: %v", err)
	}
	release()
	b.wg.Wait()
	b.await(0, 11)
	rig.Appended(t, b.log, rig.Created("another"))
}

func TestAHotChatDoesNotHoldUpOthers(t *testing.T) {
	const hot = 1500
	b := newBench(t, 4*hot)
	release := b.hold()
	b.occupy()
	for i := range hot {
		b.append(t.Context(), rig.Sent("hot", domain.MessageID(fmt.Sprint("m", i))))
	}
	b.await(hot, 3)
	b.append(t.Context(), rig.Created("cold"))
	b.await(hot+1, 3)
	release()
	b.wg.Wait()
	entries, err := b.direct.XRange(t.Context(), b.stream, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	for i, entry := range entries {
		if entry.Values["chat"] == "cold" {
			if i > 3+4*128 { // the next batch, or a few further on if its leader is slow to wake
				t.Errorf("the cold chat's event came at place %d of %d", i, len(entries))
			}
			return
		}
	}
	t.Error("the cold chat's event is not there")
}

func TestACancelledAppendLeavesTheQueueOrIsWaitedFor(t *testing.T) {
	b := newBench(t, 100)
	release := b.hold()
	ctx, cancel := context.WithCancel(t.Context())
	flying := b.append(ctx, rig.Created("flying"))
	b.await(0, 2)
	b.append(t.Context(), rig.Created("busy"))
	b.await(0, 3)
	waiting := b.append(ctx, rig.Created("waiting"))
	b.await(1, 3)
	behind := b.append(t.Context(), rig.Created("behind"))
	b.await(2, 3)
	cancel()
	b.await(1, 3)
	release()
	b.wg.Wait()
	if !errors.Is(*waiting, context.Canceled) {
		t.Errorf("the one that waited: %v", *waiting)
	}
	if *flying != nil || *behind != nil {
		t.Errorf("the one that was sent: %v; the one behind: %v", *flying, *behind)
	}
	b.await(0, 4)
}

// TestAnAppendOfAnotherEpochIsNotSent validates in one epoch and appends in the next, alone and in a batch with one of the current epoch.
func TestAnAppendOfAnotherEpochIsNotSent(t *testing.T) {
	client := rig.Connect(t, redistest.Shared(t).URL())
	var epoch atomic.Uint64
	log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: rig.NewKeys(t, 2), Epoch: epoch.Load})
	if err != nil {
		t.Fatal(err)
	}
	rig.Appended(t, log, rig.Created("c"))
	epoch.Add(1)
	late, present := rig.Sent("c", "late"), rig.Sent("c", "present")
	present.Epoch = 1
	if _, err := log.Append(t.Context(), late); !errors.Is(err, ports.ErrConflict) {
		t.Errorf("of another epoch: %v", err)
	}
	if _, err := log.AppendBatch(t.Context(), []ports.Append{present, late}); !errors.Is(err, ports.ErrConflict) {
		t.Errorf("a batch with one of another epoch: %v", err)
	}
	rig.Appended(t, log, present)
	if page, err := log.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10}); err != nil || len(page.Records) != 2 {
		t.Errorf("%d events, error %v", len(page.Records), err)
	}
}
