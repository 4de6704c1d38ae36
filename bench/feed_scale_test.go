package bench

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

const (
	manyFeeds = 10_000
	feedChats = 1_000
)

// BenchmarkFeeds measures one instance, a process of its own, with 10,000 feeds of 1,000 chats over HTTP/1.1: memory and goroutines while they are idle
// and while 100 messages a second are sent, and then a storm: all connections close, each chat gets 100 messages, and all feeds come back at once with
// their positions, while messages are sent on.
func BenchmarkFeeds(b *testing.B) {
	const rate, missed = 100, 100
	server, _ := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, feedChats)
	tokens := openSessions(b, core, all, manyFeeds)
	instance := startInstance(b, server)
	for b.Loop() {
		seqs := heads(b, core, all)
		before := instance.figures(b)
		feeds := openFeeds(b, instance.address, all, seqs, tokens)
		idle := instance.figures(b)
		calm := sendAtRate(b, core, all, rate, 10*time.Second, nil)
		busy := instance.figures(b)
		feeds.close()

		seqs = heads(b, core, all)
		together(b, 64, missed*len(all), func(ctx context.Context, i int) error { return sendOne(ctx, core, all[i%len(all)]) })
		began, served := time.Now(), make(chan struct{})
		stormy := make(chan []float64, 1)
		go func() { stormy <- sendAtRate(b, core, all, rate, time.Minute, served) }()
		feeds = openFeeds(b, instance.address, all, seqs, tokens)
		took := feeds.wait(b, missed*manyFeeds, began)
		close(served)
		storm := <-stormy
		stormed := instance.figures(b)
		feeds.close()

		b.Logf("GOMEMLIMIT %q: idle %v, %.2f goroutines a feed; at %d/s %v; in the storm %v", os.Getenv("GOMEMLIMIT"), idle, float64(idle.goroutines-before.goroutines)/manyFeeds, rate, busy, stormed)
		b.Logf("storm: %d feeds with %d events each in %v; p99 of a send %.2f ms, before %.2f ms", manyFeeds, missed, took.Round(time.Millisecond), percentile(storm, 0.99), percentile(calm, 0.99))
		b.ReportMetric(float64(idle.resident>>20), "MiB-idle")
		b.ReportMetric(float64(busy.resident>>20), "MiB-busy")
		b.ReportMetric(float64(idle.goroutines-before.goroutines)/manyFeeds, "goroutines/feed")
		b.ReportMetric(took.Seconds(), "s-storm")
		b.ReportMetric(percentile(storm, 0.99)/percentile(calm, 0.99), "×calm/p99")
	}
}

// BenchmarkFeedInstances measures the Redis CPU of a send to chats that one instance watches, with 1 and with 16 instances.
func BenchmarkFeedInstances(b *testing.B) {
	const n = 20_000
	costs := map[int][]float64{}
	for b.Loop() {
		for range rounds {
			for _, instances := range []int{1, 16} {
				costs[instances] = append(costs[instances], feedCost(b, instances, n))
			}
		}
	}
	for instances, all := range costs {
		b.Logf("%2d instances: %5.2f µs of Redis CPU for each event", instances, median(all))
	}
	b.ReportMetric(median(costs[16])/median(costs[1]), "×one/cpu")
}

// feedCost returns the Redis CPU of one of n sends to a chat that one of the instances watches, in µs. Each instance has a feed: the others of chats in
// other partitions, to which nobody sends.
func feedCost(b *testing.B, instances, n int) float64 {
	server, client := start(b)
	sending := open(b, server, chatcore.Config{})
	all := chats(b, sending, 64)
	watched := readFeed(b, feedURL(serveAPI(b, open(b, server, chatcore.Config{})), all[0], 0))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for got := 0; got < n; {
			if (<-watched).Event.MessageNew.MessageID != "" {
				got++
			}
		}
	}()
	for i := range instances - 1 {
		other := all[1+i%(len(all)-1)]
		messages := readFeed(b, feedURL(serveAPI(b, open(b, server, chatcore.Config{})), other, 0))
		go func() {
			for range messages { // heartbeats
			}
		}()
	}
	return perCall(b, client, func() {
		together(b, 64, n, func(ctx context.Context, _ int) error { return sendOne(ctx, sending, all[0]) })
		<-done
	}, n)
}

var sent atomic.Uint64 //nolint:gochecknoglobals // ids of all benchmarks

func sendOne(ctx context.Context, core *chatcore.Core, chat domain.ChatID) error {
	_, err := core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("f", sent.Add(1))), Content: content})
	return err
}

// sendAtRate sends at a rate, whatever the answers, until the time is over or the channel is closed. It returns how long each took from when it was due.
func sendAtRate(b *testing.B, core *chatcore.Core, all []domain.ChatID, rate int, most time.Duration, end <-chan struct{}) []float64 {
	var mu sync.Mutex
	var took []float64
	var sends sync.WaitGroup
	began := time.Now()
	for i := range int(most.Seconds()) * rate {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		select {
		case <-end:
			sends.Wait()
			return took
		case <-time.After(time.Until(due)):
		}
		sends.Go(func() {
			if err := sendOne(b.Context(), core, all[i%len(all)]); err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, float64(time.Since(due).Microseconds())/1e3)
		})
	}
	sends.Wait()
	return took
}

func heads(b *testing.B, core *chatcore.Core, all []domain.ChatID) []domain.Seq {
	b.Helper()
	seqs := make([]domain.Seq, len(all))
	together(b, 32, len(all), func(ctx context.Context, i int) error {
		events, err := core.Queries.Events(ctx, all[i], domain.Span{Limit: 1})
		if err == nil && len(events) > 0 {
			seqs[i] = events[0].Seq
		}
		return err
	})
	return seqs
}

func feedURL(address string, chat domain.ChatID, seq domain.Seq) string {
	return fmt.Sprintf("http://%s/v1/feed?chat=%s:%d", address, chat, seq)
}

// openSessions makes n readers of feeds, each a member of one chat, and returns the tokens of their sessions.
func openSessions(b *testing.B, core *chatcore.Core, all []domain.ChatID, n int) []app.SessionToken {
	b.Helper()
	tokens := make([]app.SessionToken, n)
	together(b, 32, n, func(ctx context.Context, i int) error {
		user := domain.UserID(fmt.Sprint("reader", i))
		_, err := core.Chats.Add(ctx, domain.Add{Chat: all[i%len(all)], Actor: "ada", User: user})
		if err != nil {
			return err
		}
		opened, err := core.Sessions.Open(ctx, domain.OpenSession{User: user})
		tokens[i] = opened.Token
		return err
	})
	return tokens
}

// instance is the program, serving.
type instance struct {
	pid            int
	address, admin string
}

// startInstance builds the program and starts it on a server.
func startInstance(b *testing.B, server *redistest.Server) instance {
	b.Helper()
	program := filepath.Join(b.TempDir(), "core")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", program, "chatcore/cmd/core")
	build.Dir, build.Stderr = "..", os.Stderr
	if err := build.Run(); err != nil {
		b.Fatal(err)
	}
	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	admin := reserved.Addr().String()
	_ = reserved.Close()
	cmd := exec.CommandContext(b.Context(), program, "serve", "--listen", "127.0.0.1:0", "--admin", admin)
	cmd.Env, cmd.Stderr = append(os.Environ(), "REDIS_URL="+server.URL()), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		b.Fatal(err)
	}
	return instance{pid: cmd.Process.Pid, address: strings.TrimPrefix(strings.TrimSpace(line), "http://"), admin: admin}
}

// figures are those of a process at one moment.
type figures struct {
	resident, peak int64 // bytes
	heap, stacks   int64 // bytes that the Go heap and the stacks of goroutines have in use
	goroutines     int
}

func (f figures) String() string {
	return fmt.Sprintf("%d MiB (at most %d; heap %d, stacks %d)", f.resident>>20, f.peak>>20, f.heap>>20, f.stacks>>20)
}

func (i instance) figures(b *testing.B) figures {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", i.pid))
	if err != nil {
		b.Fatal(err)
	}
	f := figures{resident: int64(fieldOf(b, string(status), "VmRSS:")) << 10, peak: int64(fieldOf(b, string(status), "VmHWM:")) << 10}
	res, err := http.Get("http://" + i.admin + "/metrics")
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.Fatal(err)
	}
	f.goroutines = int(fieldOf(b, string(text), "go_goroutines"))
	f.heap, f.stacks = int64(fieldOf(b, string(text), "go_memstats_heap_inuse_bytes")), int64(fieldOf(b, string(text), "go_memstats_stack_inuse_bytes"))
	return f
}

// fieldOf returns the number after a name at the beginning of a line.
func fieldOf(b *testing.B, text, name string) float64 {
	b.Helper()
	for line := range strings.Lines(text) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			n, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatalf("there is no %s", name)
	return 0
}
