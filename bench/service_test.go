package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

const sendMethod = "/chatcore.v1.MessageService/SendMessage"

// serveAPI serves a core as core serve does in local mode, and returns its address.
func serveAPI(b *testing.B, core *chatcore.Core) string {
	b.Helper()
	logger := slog.New(slog.DiscardHandler)
	api, err := connect.New(core, connect.Config{Logger: logger, TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()})
	if err != nil {
		b.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Sessions: core.Sessions, Local: true, OnError: connect.OnAuthError(logger)})
	if err != nil {
		b.Fatal(err)
	}
	s, err := server.New(server.Config{Handler: authenticator.Middleware(api), Probes: server.NewProbes(core.Ready, logger), Logger: logger})
	if err != nil {
		b.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	reserve := make([]byte, 32<<20) // as core serve has it
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	b.Cleanup(func() {
		stop()
		<-served
		runtime.KeepAlive(reserve)
	})
	return listener.Addr().String()
}

// serveConstant serves a response of SendMessage by net/http alone. It reads no request. It returns its address.
func serveConstant(b *testing.B) string {
	b.Helper()
	res := &v1.SendMessageResponse{MessageId: "m1000000", Seq: 1000}
	message, err := proto.Marshal(res)
	if err != nil {
		b.Fatal(err)
	}
	envelope := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	text, err := protojson.Marshal(res)
	if err != nil {
		b.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.ProtoMajor == 1 {
			w.Header()["Content-Type"] = []string{"application/json"}
			_, _ = w.Write(text)
			return
		}
		w.Header()["Content-Type"] = []string{"application/grpc"}
		_, _ = w.Write(envelope)
		w.Header()[http.TrailerPrefix+"Grpc-Status"] = []string{"0"}
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	b.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// send sends a message to a chat.
type send func(ctx context.Context, chat domain.ChatID) error

// senders returns a send through each way to the core: a call in the process, gRPC by grpc-go, and HTTP/1.1 with JSON by net/http.
func senders(b *testing.B, core *chatcore.Core, callers int) map[string]send {
	b.Helper()
	var ids atomic.Uint64
	id := func() string { return fmt.Sprint("m", ids.Add(1)) }
	ways := clients(b, serveAPI(b, core), callers, id)
	ways["in process"] = func(ctx context.Context, chat domain.ChatID) error {
		_, err := core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: domain.MessageID(id()), Content: content})
		return err
	}
	return ways
}

// clients returns a send over gRPC and one over JSON.
func clients(b *testing.B, address string, callers int, id func() string) map[string]send {
	b.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	b.Cleanup(func() {
		_ = conn.Close()
		client.CloseIdleConnections()
	})
	return map[string]send{
		"gRPC": func(ctx context.Context, chat domain.ChatID) error {
			req := &v1.SendMessageRequest{ChatId: string(chat), ActorId: "ada", MessageId: id(), Content: content}
			return conn.Invoke(ctx, sendMethod, req, &v1.SendMessageResponse{})
		},
		"JSON": func(ctx context.Context, chat domain.ChatID) error {
			body, err := json.Marshal(map[string]string{"chat_id": string(chat), "actor_id": "ada", "message_id": id(), "content": content})
			if err != nil {
				return err
			}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+sendMethod, bytes.NewReader(body))
			if err != nil {
				return err
			}
			req.Header.Set("Content-Type", "application/json")
			res, err := client.Do(req)
			if err != nil {
				return err
			}
			defer func() { _ = res.Body.Close() }()
			if text, err := io.ReadAll(res.Body); err != nil || res.StatusCode != http.StatusOK {
				return fmt.Errorf("status %d: %s (%w)", res.StatusCode, text, err)
			}
			return nil
		},
	}
}

// BenchmarkService measures SendMessage with 64 callers and 1,000 chats over gRPC and over JSON, beside the same send in the process. Clients, server and
// Redis share the machine. Beside them are the same calls of a handler that returns a constant: the part of clients, net/http and kernel. It logs what a
// call costs, which other load of the machine changes less than the rates.
func BenchmarkService(b *testing.B) {
	const callers, n = 64, 15_000
	server, client := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 1000)
	ways := senders(b, core, callers)
	for name, send := range clients(b, serveConstant(b), callers, func() string { return "m1000000" }) {
		ways[name+", constant"] = send
	}
	rates, costs := map[string][]float64{}, map[string][]callCost{}
	for b.Loop() {
		for range rounds {
			for name, send := range ways {
				before := spent(b, client)
				took := together(b, callers, n, func(ctx context.Context, i int) error { return send(ctx, all[i%len(all)]) })
				costs[name] = append(costs[name], spent(b, client).since(before, n))
				rates[name] = append(rates[name], n/took.Seconds())
			}
		}
	}
	for name := range ways {
		of := func(figure func(c callCost) float64) float64 {
			var figures []float64
			for _, cost := range costs[name] {
				figures = append(figures, figure(cost))
			}
			return median(figures)
		}
		b.Logf("%-14s %7.0f/s; a call: %5.1f µs of processors and %4.1f of Redis, %3.0f allocations, %5.0f bytes; %4.2f batches", name, median(rates[name]),
			of(func(c callCost) float64 { return c.process }), of(func(c callCost) float64 { return c.redis }), of(func(c callCost) float64 { return c.allocations }),
			of(func(c callCost) float64 { return c.bytes }), of(func(c callCost) float64 { return c.batches }))
	}
	b.ReportMetric(median(rates["gRPC"])/median(rates["in process"]), "×process/gRPC")
	b.ReportMetric(median(rates["JSON"])/median(rates["in process"]), "×process/JSON")
}

// callCost is what calls cost: the processor time of clients and server (one process) and of Redis in microseconds, allocations and their bytes, and
// batches of appends.
type callCost struct{ process, redis, allocations, bytes, batches float64 }

// spent returns what the process and Redis have spent so far.
func spent(b *testing.B, client goredis.UniversalClient) callCost {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return callCost{
		process: float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e3, redis: 1e6 * cpu(b, client),
		allocations: float64(memory.Mallocs), bytes: float64(memory.TotalAlloc), batches: calls(b, client, "evalsha"),
	}
}

// since returns the cost of each of n calls.
func (c callCost) since(before callCost, n float64) callCost {
	return callCost{
		process: (c.process - before.process) / n, redis: (c.redis - before.redis) / n, allocations: (c.allocations - before.allocations) / n,
		bytes: (c.bytes - before.bytes) / n, batches: (c.batches - before.batches) / n,
	}
}

// BenchmarkServiceAlone measures one caller's send over gRPC and JSON, beside the same send in the process.
func BenchmarkServiceAlone(b *testing.B) {
	const n = 3_000
	server, _ := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 100)
	ways := senders(b, core, 1)
	p50 := map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for name, send := range ways {
				took := make([]float64, n)
				for i := range took {
					began := time.Now()
					if err := send(b.Context(), all[i%len(all)]); err != nil {
						b.Fatal(err)
					}
					took[i] = float64(time.Since(began).Microseconds())
				}
				p50[name] = append(p50[name], median(took))
			}
		}
	}
	for name := range ways {
		b.Logf("%-10s %4.0f µs p50", name, median(p50[name]))
	}
	b.ReportMetric(median(p50["gRPC"])-median(p50["in process"]), "µs-added/gRPC")
	b.ReportMetric(median(p50["JSON"])-median(p50["in process"]), "µs-added/JSON")
}

// BenchmarkServiceStart measures how long the program takes from its start with an embedded Redis until it answers /readyz.
func BenchmarkServiceStart(b *testing.B) {
	program := filepath.Join(b.TempDir(), "core")
	build := exec.CommandContext(b.Context(), "go", "build", "-o", program, "chatcore/cmd/core")
	build.Dir, build.Stderr = "..", os.Stderr
	if err := build.Run(); err != nil {
		b.Fatal(err)
	}
	var took []float64
	for b.Loop() {
		for range 4 * rounds {
			took = append(took, float64(startAndAsk(b, program).Microseconds())/1e3)
		}
	}
	b.ReportMetric(median(took), "ms-p50")
	b.ReportMetric(percentile(took, 0.95), "ms-p95")
}

// startAndAsk starts the program, and returns the time until it has answered the first request.
func startAndAsk(b *testing.B, program string) time.Duration {
	b.Helper()
	cmd := exec.CommandContext(b.Context(), program, "serve", "--embedded", "--listen", "127.0.0.1:0")
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	line := make([]byte, 64)
	n, err := out.Read(line)
	if err != nil {
		b.Fatal(err)
	}
	res, err := http.Get(strings.TrimSpace(string(line[:n])) + "/readyz")
	if err != nil {
		b.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != http.StatusOK {
		b.Fatal(res.Status)
	}
	return time.Since(began)
}
