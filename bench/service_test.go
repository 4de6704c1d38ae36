package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

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
	api, err := connect.New(core, connect.Config{Logger: logger})
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
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, listener) }()
	b.Cleanup(func() {
		stop()
		<-served
	})
	return listener.Addr().String()
}

// senders returns a send through each way to the core: a call in the process, gRPC by grpc-go, and HTTP/1.1 with JSON by net/http.
func senders(b *testing.B, core *chatcore.Core, callers int) map[string]func(ctx context.Context, chat domain.ChatID) error {
	b.Helper()
	address := serveAPI(b, core)
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers}}
	b.Cleanup(func() {
		_ = conn.Close()
		client.CloseIdleConnections()
	})
	var ids atomic.Uint64
	id := func() string { return fmt.Sprint("m", ids.Add(1)) }
	return map[string]func(ctx context.Context, chat domain.ChatID) error{
		"in process": func(ctx context.Context, chat domain.ChatID) error {
			_, err := core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: "ada", MessageID: domain.MessageID(id()), Content: content})
			return err
		},
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
// Redis share the machine.
func BenchmarkService(b *testing.B) {
	const callers, n = 64, 15_000
	server, _ := start(b)
	core := open(b, server, chatcore.Config{})
	all := chats(b, core, 1000)
	ways := senders(b, core, callers)
	rates := map[string][]float64{}
	for b.Loop() {
		for range rounds {
			for name, send := range ways {
				took := together(b, callers, n, func(ctx context.Context, i int) error { return send(ctx, all[i%len(all)]) })
				rates[name] = append(rates[name], n/took.Seconds())
			}
		}
	}
	for name := range ways {
		b.Logf("%-10s %7.0f/s", name, median(rates[name]))
	}
	b.ReportMetric(median(rates["gRPC"])/median(rates["in process"]), "×process/gRPC")
	b.ReportMetric(median(rates["JSON"])/median(rates["in process"]), "×process/JSON")
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
