package bench

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// growth is a cost by the size of something: of each line, by its name, one value for each size.
type growth struct {
	title, sizes string // of the picture, and the name of the sizes
	at           []int
	unit         string
	lines        map[string][]float64
	least        float64    // lower end of a logarithmic axis, or 0
	costs        [][]string // rows of the table of costs by unit
}

// add adds the value of the next size to a line.
func (g *growth) add(line string, value float64) { g.lines[line] = append(g.lines[line], value) }

// slope returns what one more of the sizes costs, between the first and the last.
func (g *growth) slope(line string) string {
	values := g.lines[line]
	last := len(values) - 1
	return fmt.Sprintf("%.1f", (values[last]-values[0])/float64(g.at[last]-g.at[0]))
}

// rows are the rows of a table.
func (g *growth) rows() [][]string {
	head := []string{g.unit + " by " + g.sizes}
	for _, size := range g.at {
		head = append(head, grouped(size))
	}
	rows := [][]string{head}
	for _, line := range slices.Sorted(maps.Keys(g.lines)) {
		row := []string{line}
		for _, value := range g.lines[line] {
			row = append(row, thousands(value))
		}
		rows = append(rows, row)
	}
	return rows
}

// BenchmarkGrowth measures how costs grow with the messages of a chat, its members, consumer groups, and readers of one chat.
func BenchmarkGrowth(b *testing.B) {
	var all []*growth
	for _, part := range []struct {
		name    string
		measure func(b *testing.B) *growth
	}{{"length", growByLength}, {"members", growByMembers}, {"groups", growByGroups}, {"readers", growByReaders}} {
		b.Run(part.name, func(b *testing.B) {
			g := part.measure(b)
			all = append(all, g)
			writeTable(b, "growth-"+part.name, g.rows())
			for line, values := range g.lines {
				b.ReportMetric(values[len(values)-1]/values[0], "×"+strings.ReplaceAll(line, " ", "-"))
			}
		})
	}
	if len(all) < 4 {
		return // only a part was asked for
	}
	plotGrowth(b, all)
	costs := [][]string{{"µs of processor time", "Redis", "process"}}
	for _, g := range all {
		costs = append(costs, g.costs...)
	}
	writeTable(b, "growth-costs", costs)
}

// growByLength measures the cost to Redis of a send by one caller, by the messages of the chat.
func growByLength(b *testing.B) *growth {
	const each = 5 // sends to each chat and round
	sizes := []int{20, 120, 400, 600, 10_000, 1_000_000}
	_, client := start(b)
	log, _ := openLog(b, client)
	all := map[int][]domain.ChatID{}
	for _, size := range sizes {
		for i := range max(1, min(200, 100_000/size)) {
			chat := domain.ChatID(fmt.Sprintf("chat-%d-%d", size, i))
			all[size] = append(all[size], chat)
			record(b, log, chat, []domain.Durable{created(chat)})
			for from := 0; from < size; from += 10_000 {
				var events []domain.Durable
				for m := from; m < min(size, from+10_000); m++ {
					events = append(events, sentTo(chat, m))
				}
				record(b, log, chat, events)
			}
		}
	}
	micros, next := map[int][]float64{}, 2_000_000
	for b.Loop() {
		for range rounds {
			for _, size := range sizes {
				n := each * len(all[size])
				if size >= 10_000 {
					n = 1000
				}
				micros[size] = append(micros[size], perCall(b, client, func() {
					for i := range n {
						next++
						chat := all[size][i%len(all[size])]
						record(b, log, chat, []domain.Durable{sentTo(chat, next)})
					}
				}, n))
			}
		}
	}
	g := &growth{title: "Messages in the chat", sizes: "messages in the chat", at: sizes, unit: "Redis, µs a send", lines: map[string][]float64{}}
	for _, size := range sizes {
		g.add("one caller", median(micros[size]))
	}
	return g
}

// growByMembers measures the processor time of Redis for a send with the built-in subscribers, including all of their work while messages are sent, beside
// one without any subscriber. It does so in 20 chats, at 100 messages a second, and as fast as 64 callers can send.
func growByMembers(b *testing.B) *growth {
	const chats, slow, fast = 20, 150, 10_000
	g := &growth{title: "Members of the chat", sizes: "members of the chat", at: []int{2, 11, 101, 1001}, unit: "Redis, µs a send", lines: map[string][]float64{}, least: 10}
	for b.Loop() {
		for _, members := range g.at {
			without, with := withMembers(b, chats, members, false), withMembers(b, chats, members, true)
			var calm, flatOut, calmBare, flatOutBare []float64
			for range rounds {
				calmBare = append(calmBare, perCall(b, without.client, func() { without.paced(b, slow) }, slow))
				calm = append(calm, perCall(b, with.client, func() { with.paced(b, slow) }, slow))
				flatOutBare = append(flatOutBare, perCall(b, without.client, func() { together(b, 64, fast, without.send) }, fast))
				flatOut = append(flatOut, perCall(b, with.client, func() { together(b, 64, fast, with.send); with.idle(b, members) }, fast))
			}
			g.add("none, 100 a second", median(calmBare))
			g.add("built-ins, 100 a second", median(calm))
			g.add("none, flat out", median(flatOutBare))
			g.add("built-ins, flat out", median(flatOut))
		}
	}
	return g
}

// growByGroups measures the processor time of a message by 64 callers with its deliveries to consumer groups of one process: of Redis, and of the process.
func growByGroups(b *testing.B) *growth {
	const n = 5_000
	server, client := start(b)
	g := &growth{title: "Consumer groups", sizes: "consumer groups", at: []int{1, 2, 4, 8, 16}, unit: "µs a message", lines: map[string][]float64{}}
	redis, process := map[int][]float64{}, map[int][]float64{}
	for _, groups := range g.at {
		chats(b, open(b, server, namespaced(server, groups)), 100)
	}
	for b.Loop() {
		for range rounds {
			for _, groups := range g.at {
				before := ownCPU(b)
				redis[groups] = append(redis[groups], perCall(b, client, func() { sendToGroups(b, namespaced(server, groups), groups, n) }, n))
				process[groups] = append(process[groups], 1e6*(ownCPU(b)-before)/n)
			}
		}
	}
	for _, groups := range g.at {
		g.add("Redis", median(redis[groups]))
		g.add("process", median(process[groups]))
	}
	g.costs = [][]string{{"a delivery to one more group", g.slope("Redis"), g.slope("process")}}
	return g
}

// namespaced returns the configuration of the cores with a number of groups.
func namespaced(server *redistest.Server, groups int) chatcore.Config {
	return chatcore.Config{Redis: chatcore.RedisConfig{URL: server.URL(), Namespace: fmt.Sprint("groups-", groups)}, Logger: slog.New(slog.DiscardHandler)}
}

// sendToGroups runs a number of groups until each of them has handled n messages of 100 chats.
func sendToGroups(b *testing.B, config chatcore.Config, groups, n int) {
	b.Helper()
	core, err := chatcore.New(b.Context(), config)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	handled := newCount(groups * n)
	for i := range groups {
		if err := core.Subscribe(fmt.Sprint("group-", i), chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
			handled.add()
			return nil
		})); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	if err := core.Start(ctx); err != nil {
		b.Fatal(err)
	}
	together(b, 64, n, func(ctx context.Context, i int) error { return sendOne(ctx, core, domain.ChatID(chatID(i%100))) })
	handled.wait(b, fmt.Sprint(groups, " groups"))
	stop()
	if err := core.Wait(); err != nil {
		b.Fatal(err)
	}
}

// growByReaders measures the time from a send until the last of the feeds of one chat, over HTTP/1.1, has the event, and the processor time of an event at
// a feed. Instance and readers share the process.
func growByReaders(b *testing.B) *growth {
	const n = 60
	server, _ := start(b)
	sending, serving := open(b, server, chatcore.Config{}), open(b, server, chatcore.Config{})
	address := serveAPI(b, serving)
	g := &growth{title: "Readers of one chat", sizes: "readers of one chat", at: []int{1, 16, 256, 1024}, lines: map[string][]float64{}, unit: "to the last reader, ms", least: 0.1}
	all := chats(b, sending, len(g.at))
	feeds := make([]*chatReaders, len(g.at))
	for i, readers := range g.at {
		feeds[i] = openReadersOf(b, address, all[i], openSessions(b, sending, all[i:i+1], readers))
	}
	took, cost := map[int][]float64{}, map[int][]float64{}
	for b.Loop() {
		for range rounds {
			for i, readers := range g.at {
				before := ownCPU(b)
				for range n {
					began := time.Now()
					if err := sendOne(b.Context(), sending, all[i]); err != nil {
						b.Fatal(err)
					}
					feeds[i].wait(b)
					took[readers] = append(took[readers], float64(time.Since(began).Microseconds())/1e3)
				}
				cost[readers] = append(cost[readers], 1e6*(ownCPU(b)-before)/float64(n*readers))
			}
		}
	}
	for _, readers := range g.at {
		g.add("median", percentile(took[readers], 0.5))
		g.add("99 %", percentile(took[readers], 0.99))
	}
	g.costs = [][]string{{"an event at one of 1,024 feeds", "", fmt.Sprintf("%.1f", median(cost[1024]))}}
	return g
}

// chatReaders are the feeds of one chat.
type chatReaders struct {
	n            int64
	want         int64 // events in all
	live, events atomic.Int64
}

// openReadersOf opens a feed of the chat for each of the sessions.
func openReadersOf(b *testing.B, address string, chat domain.ChatID, tokens []app.SessionToken) *chatReaders {
	b.Helper()
	f := &chatReaders{n: int64(len(tokens))}
	for _, token := range tokens {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		if _, err := fmt.Fprintf(conn, "GET /v1/feed?chat=%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", chat, address, string(token)); err != nil {
			b.Fatal(err)
		}
		go countFeed(conn, &f.live, &f.events)
	}
	for deadline := time.Now().Add(time.Minute); f.live.Load() < f.n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d feeds have caught up", f.live.Load(), f.n)
		}
	}
	f.want = f.events.Load()
	return f
}

// wait waits until each feed has one event more.
func (f *chatReaders) wait(b *testing.B) {
	b.Helper()
	f.want += f.n
	for deadline := time.Now().Add(time.Minute); f.events.Load() < f.want; time.Sleep(20 * time.Microsecond) {
		if time.Now().After(deadline) {
			b.Fatalf("%d of %d events have arrived", f.events.Load(), f.want)
		}
	}
}
