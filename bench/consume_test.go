package bench

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// delivered is one stream of events of 1,000 chats, with groups of chatcore and of the stock subscriber that have not begun to read them.
type delivered struct {
	server *redistest.Server
	client goredis.UniversalClient
	n      int
}

// deliver appends n events of about 256 bytes after creating the groups; each group consumes them once.
func deliver(b *testing.B, partitions, n, groups int) *delivered {
	b.Helper()
	server, client := start(b)
	d := &delivered{server: server, client: client, n: n}
	config := chatcore.Config{Log: chatcore.LogConfig{Partitions: partitions}}
	core := open(b, server, config)
	all := chats(b, core, 1000)
	for g := range groups {
		d.ours(b, server.URL(), config, fmt.Sprint("ours-", g), 0)
		d.typed(b, server.URL(), config, fmt.Sprint("typed-", g), 0)
		if err := client.XGroupCreateMkStream(b.Context(), "stock", fmt.Sprint("stock-", g), "0").Err(); err != nil {
			b.Fatal(err)
		}
	}
	together(b, 64, n, func(ctx context.Context, i int) error {
		_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
		return err
	})
	payload, metadata := sample(b, core, client, all[0])
	for done := 0; done < n; done += 1000 {
		_, err := client.Pipelined(b.Context(), func(p goredis.Pipeliner) error {
			for range 1000 {
				p.XAdd(b.Context(), &goredis.XAddArgs{Stream: "stock", Values: []any{
					"_watermill_message_uuid", watermill.NewUUID(), "metadata", metadata, "payload", payload,
				}})
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	return d
}

// ours consumes n events as a group of chatcore with a Watermill handler, and returns the time that it took.
func (d *delivered) ours(b *testing.B, url string, config chatcore.Config, group string, n int) time.Duration {
	b.Helper()
	return d.consume(b, url, config, group, n, func(core *chatcore.Core, group string, handled *count) error {
		return core.SubscribeMessages(group, func(*message.Message) error { handled.add(); return nil })
	})
}

// typed does the same with a typed handler, which Watermill takes no part in.
func (d *delivered) typed(b *testing.B, url string, config chatcore.Config, group string, n int) time.Duration {
	b.Helper()
	return d.consume(b, url, config, group, n, func(core *chatcore.Core, group string, handled *count) error {
		return core.Subscribe(group, chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error { handled.add(); return nil }))
	})
}

// subscribing adds a group whose handler counts its calls.
type subscribing func(core *chatcore.Core, group string, handled *count) error

func (d *delivered) consume(b *testing.B, url string, config chatcore.Config, group string, n int, subscribe subscribing) time.Duration {
	b.Helper()
	config.Redis.URL, config.Logger = url, slog.New(slog.DiscardHandler)
	core, err := chatcore.New(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	handled := newCount(n)
	if err := subscribe(core, group, handled); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	began := time.Now()
	if err := core.Start(ctx); err != nil {
		b.Fatal(err)
	}
	handled.wait(b, group)
	took := time.Since(began)
	cancel()
	if err := core.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

// stock consumes n events as a group of watermill-redisstream. It is fastest with one consumer: it acks one by one, and several share no less work.
func (d *delivered) stock(b *testing.B, addr, group string, n int) time.Duration {
	b.Helper()
	own := goredis.NewClient(&goredis.Options{Addr: addr}) // the stock subscriber closes it
	subscriber, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: own, ConsumerGroup: group, OldestId: "0", DisableIndefiniteInitialBlock: true,
	}, watermill.NopLogger{})
	if err != nil {
		b.Fatal(err)
	}
	router, err := message.NewRouter(message.RouterConfig{CloseTimeout: time.Second}, watermill.NopLogger{})
	if err != nil {
		b.Fatal(err)
	}
	handled := newCount(n)
	router.AddConsumerHandler("h", "stock", subscriber, func(*message.Message) error { handled.add(); return nil })
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- router.Run(ctx) }()
	handled.wait(b, group)
	took := time.Since(began)
	cancel()
	<-ended
	return took
}

// bare reads the same entries with a batched XREAD and does nothing with them.
func (d *delivered) bare(b *testing.B, addr string, n int) time.Duration {
	b.Helper()
	client := goredis.NewClient(&goredis.Options{Addr: addr})
	defer func() { _ = client.Close() }()
	began, last := time.Now(), "0"
	for read := 0; read < n; {
		streams, err := client.XRead(b.Context(), &goredis.XReadArgs{Streams: []string{"stock", last}, Count: 256, Block: time.Second}).Result()
		if err != nil {
			b.Fatal(err)
		}
		entries := streams[0].Messages
		read += len(entries)
		last = entries[len(entries)-1].ID
	}
	return time.Since(began)
}

// count waits for n calls.
type count struct {
	left atomic.Int64
	done chan struct{}
}

func newCount(n int) *count {
	c := &count{done: make(chan struct{})}
	c.left.Store(int64(n))
	if n == 0 {
		close(c.done)
	}
	return c
}

func (c *count) add() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

func (c *count) wait(b *testing.B, what string) {
	b.Helper()
	select {
	case <-c.done:
	case <-time.After(time.Minute):
		b.Fatalf("%s: %d are still to come", what, c.left.Load())
	}
}

// BenchmarkConsume measures the consumption of a backlog through a Watermill router: one group, no-op handler, one stream, on loopback.
func BenchmarkConsume(b *testing.B) {
	const n = 80_000 // fewer entries than a stream keeps for groups that are behind
	d := deliver(b, 1, n, rounds)
	one := chatcore.Config{Log: chatcore.LogConfig{Partitions: 1}}
	var ours, typed, stock, bare []float64
	for b.Loop() {
		for g := range rounds {
			ours = append(ours, n/d.ours(b, d.server.URL(), one, fmt.Sprint("ours-", g), n).Seconds())
			typed = append(typed, n/d.typed(b, d.server.URL(), one, fmt.Sprint("typed-", g), n).Seconds())
			stock = append(stock, n/d.stock(b, d.server.Addr(), fmt.Sprint("stock-", g), n).Seconds())
			bare = append(bare, n/d.bare(b, d.server.Addr(), n).Seconds())
		}
	}
	b.Logf("chatcore %.0f/s, typed %.0f/s, stock %.0f/s, bare XREAD %.0f/s", median(ours), median(typed), median(stock), median(bare))
	b.ReportMetric(median(ours), "msgs/s")
	b.ReportMetric(median(ours)/median(stock), "×stock")
	b.ReportMetric(median(ours)/median(bare), "×XREAD")
	b.ReportMetric(median(typed)/median(bare), "typed×XREAD")
}

// BenchmarkConsumeFar measures the same with 2 ms more for each round trip.
func BenchmarkConsumeFar(b *testing.B) {
	const n, few = 80_000, 1000
	d := deliver(b, 1, n, rounds)
	far := startDelay(b, d.server.Addr(), time.Millisecond)
	var ours, stock []float64
	for b.Loop() {
		for g := range rounds {
			ours = append(ours, n/d.ours(b, "redis://"+far, chatcore.Config{Log: chatcore.LogConfig{Partitions: 1}}, fmt.Sprint("ours-", g), n).Seconds())
			stock = append(stock, few/d.stock(b, far, fmt.Sprint("stock-", g), few).Seconds())
		}
	}
	b.Logf("chatcore %.0f/s, stock %.0f/s", median(ours), median(stock))
	b.ReportMetric(median(ours), "msgs/s")
	b.ReportMetric(median(ours)/median(stock), "×stock")
}

// BenchmarkDeliverAlone measures the time from a send to its handler, one at a time, beside a bare XADD that an XREAD waits for.
func BenchmarkDeliverAlone(b *testing.B) {
	const n = 3000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 100)
	arrived := make(chan time.Time)
	if err := core.Subscribe("g", chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
		arrived <- time.Now()
		return nil
	})); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	if err := core.Start(ctx); err != nil {
		b.Fatal(err)
	}
	payload, metadata := sample(b, core, client, all[0])
	<-arrived
	var ours, bare []float64
	for b.Loop() {
		for range rounds {
			ours = append(ours, alone(n, func(i int) {
				if _, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content}); err != nil {
					b.Error(err)
				}
			}, arrived))
			bare = append(bare, bareAlone(b, client, n, payload, metadata))
		}
	}
	cancel()
	if err := core.Wait(); err != nil {
		b.Fatal(err)
	}
	b.Logf("send to handler %.0f µs, XADD to XREAD %.0f µs", median(ours)/1e3, median(bare)/1e3)
	b.ReportMetric(median(ours)/1e3, "µs-p50")
	b.ReportMetric(median(ours)/median(bare), "×XREAD")
}

func alone(n int, send func(i int), arrived <-chan time.Time) float64 {
	took := make([]float64, n)
	for i := range n {
		began := time.Now()
		go send(i)
		took[i] = float64((<-arrived).Sub(began))
	}
	return median(took)
}

func bareAlone(b *testing.B, client goredis.UniversalClient, n int, payload, metadata []byte) float64 {
	b.Helper()
	add := func() string {
		id, err := client.XAdd(b.Context(), &goredis.XAddArgs{Stream: "alone", Values: []any{
			"_watermill_message_uuid", watermill.NewUUID(), "metadata", metadata, "payload", payload,
		}}).Result()
		if err != nil {
			b.Error(err)
		}
		return id
	}
	last, arrived := add(), make(chan time.Time)
	go func() {
		for got := 0; got < n; {
			streams, err := client.XRead(b.Context(), &goredis.XReadArgs{Streams: []string{"alone", last}, Count: 256, Block: time.Second}).Result()
			if err != nil {
				continue
			}
			for _, m := range streams[0].Messages {
				last = m.ID
				got++
				arrived <- time.Now()
			}
		}
	}()
	return alone(n, func(int) { add() }, arrived)
}

// BenchmarkConsumeAllocations counts the allocations for the delivery of a message, including those of the router.
func BenchmarkConsumeAllocations(b *testing.B) {
	const n = 20_000
	d := deliver(b, 1, n, rounds)
	var found []float64
	for b.Loop() {
		for g := range rounds {
			found = append(found, allocations(n, func() {
				d.ours(b, d.server.URL(), chatcore.Config{Log: chatcore.LogConfig{Partitions: 1}}, fmt.Sprint("ours-", g), n)
			}))
		}
	}
	b.ReportMetric(median(found), "allocs/message")
}

// BenchmarkFourGroups counts the XREAD calls of four groups of one process, against those of one.
func BenchmarkFourGroups(b *testing.B) {
	const n = 5000
	server, client := start(b)
	runs := 0
	reads := func(groups int) float64 {
		runs++
		namespace := fmt.Sprint("run-", runs)
		core := open(b, server, chatcore.Config{Redis: chatcore.RedisConfig{Namespace: namespace}})
		all := chats(b, core, 100)
		handled := newCount(groups * n)
		for g := range groups {
			if err := core.SubscribeMessages(fmt.Sprint("g", g), func(*message.Message) error { handled.add(); return nil }); err != nil {
				b.Fatal(err)
			}
		}
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		if err := core.Start(ctx); err != nil {
			b.Fatal(err)
		}
		before := calls(b, client, "xread")
		together(b, 8, n, func(ctx context.Context, i int) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: all[i%len(all)], Actor: "ada", Content: content})
			return err
		})
		handled.wait(b, namespace)
		after := calls(b, client, "xread")
		cancel()
		if err := core.Wait(); err != nil {
			b.Fatal(err)
		}
		return after - before
	}
	var ratios []float64
	for b.Loop() {
		for range rounds {
			one, four := reads(1), reads(4)
			ratios = append(ratios, four/one)
		}
	}
	b.ReportMetric(median(ratios), "×reads")
}

// startDelay starts a proxy between clients and a server that delays all bytes, in either direction, without limiting how many are under way.
func startDelay(b *testing.B, to string, each time.Duration) (addr string) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	b.Cleanup(func() {
		cancel()
		_ = l.Close()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			context.AfterFunc(ctx, func() { _, _ = client.Close(), server.Close() })
			running.Go(func() { hold(server, client, each) })
			running.Go(func() { hold(client, server, each) })
		}
	})
	return l.Addr().String()
}

func hold(to net.Conn, from net.Conn, each time.Duration) {
	type piece struct {
		bytes []byte
		due   time.Time
	}
	pieces := make(chan piece, 4096)
	go func() {
		defer close(pieces)
		for {
			buf := make([]byte, 64<<10)
			n, err := from.Read(buf)
			if n > 0 {
				pieces <- piece{buf[:n], time.Now().Add(each)}
			}
			if err != nil {
				return
			}
		}
	}()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for p := range pieces {
		if wait := time.Until(p.due); wait > 0 {
			timer.Reset(wait)
			<-timer.C
		}
		if _, err := to.Write(p.bytes); err != nil {
			break
		}
	}
	_, _ = to.Close(), from.Close()
	for range pieces {
		continue
	}
}
