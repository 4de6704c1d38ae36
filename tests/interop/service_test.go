//go:build interop

package interop

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatcore/tests/child"
	"chatcore/tests/redistest"
)

// program is a process that prints its address. It can be ended, and started again at another address.
type program struct {
	t       *testing.T
	start   func() *exec.Cmd
	mu      sync.Mutex // mu guards process
	process *child.Process
	address atomic.Pointer[url.URL]
}

// startProgram starts a program that runs until the test ends.
func startProgram(t *testing.T, start func() *exec.Cmd) *program {
	t.Helper()
	p := &program{t: t, start: start}
	if err := p.run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end(syscall.SIGKILL) })
	return p
}

// run starts the process, and waits for its address.
func (p *program) run() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	cmd, out := p.start(), &firstLine{line: make(chan string, 1)}
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = out, &errs
	process, err := child.Start(cmd)
	if err != nil {
		return err
	}
	p.process = process
	select {
	case line := <-out.line:
		address, err := url.Parse(line)
		p.address.Store(address)
		return err
	case <-process.Exited():
		return fmt.Errorf("%s ended: %w\n%s", cmd, process.Err(), errs.String())
	case <-time.After(patience):
		return fmt.Errorf("%s prints no address", cmd)
	}
}

// end ends the process by a signal, and waits for its end.
func (p *program) end(signal syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.process.End(signal, patience)
}

// again ends the process by a signal, and starts another one.
func (p *program) again(signal syscall.Signal) error {
	p.end(signal)
	return p.run()
}

// firstLine is a writer that sends the first line on a channel.
type firstLine struct {
	text []byte
	sent bool
	line chan string
}

func (w *firstLine) Write(text []byte) (int, error) {
	if w.text = append(w.text, text...); !w.sent {
		if line, _, ok := bytes.Cut(w.text, []byte("\n")); ok {
			w.sent = true
			w.line <- string(line)
		}
	}
	return len(text), nil
}

// service is two instances of core serve on one Redis that keeps its data.
type service struct {
	redis     *redistest.Server
	instances map[string]*program // a and b
	token     string              // of a service that may do what the programs do
}

// startService builds the program, and runs it with further settings until the test ends.
func startService(t *testing.T, settings ...string) *service {
	t.Helper()
	dir := t.TempDir()
	binary, tokens := filepath.Join(dir, "core"), filepath.Join(dir, "tokens.json")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/core").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	create := []string{"token", "create", "tests", "--file", tokens}
	for _, scope := range []string{"chats:read", "chats:write", "presence", "sessions", "consume:*", "webhooks", "admin"} {
		create = append(create, "--scope", scope)
	}
	token, err := exec.CommandContext(t.Context(), binary, create...).Output() //nolint:gosec // the program that was built
	if err != nil {
		t.Fatal(err)
	}
	s := &service{redis: redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always"), token: strings.TrimSpace(string(token)), instances: make(map[string]*program)}
	for _, name := range []string{"a", "b"} {
		s.instances[name] = startProgram(t, func() *exec.Cmd {
			args := []string{
				"serve", "--listen", "127.0.0.1:0", "--redis-url", s.redis.URL(), "--tokens-file", tokens, "--drain-delay", "50ms",
				"--rate", "send=off", "--rate", "send-in-chat=off",
			}
			return exec.Command(binary, append(args, settings...)...) //nolint:gosec // built above
		})
	}
	return s
}

// front serves the instances at /a and /b, whatever their addresses. A POST or GET of /fault/NAME makes a fault, and returns when it is over.
func (s *service) front(t *testing.T, faults map[string]func() error) http.Handler {
	t.Helper()
	mux := http.NewServeMux()
	for name, instance := range s.instances {
		proxy := &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(instance.address.Load()) },
			FlushInterval: -1,
			ErrorHandler:  func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
			ErrorLog:      log.New(io.Discard, "", 0),
		}
		mux.Handle("/"+name+"/", http.StripPrefix("/"+name, proxy))
	}
	mux.HandleFunc("/fault/{name}", func(w http.ResponseWriter, r *http.Request) {
		fault, ok := faults[r.PathValue("name")]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if err := fault(); err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	return mux
}

// faults are the faults of a service.
func (s *service) faults(t *testing.T) map[string]func() error {
	return map[string]func() error{
		"kill-a": func() error { return s.instances["a"].again(syscall.SIGKILL) },
		"stop-b": func() error { return s.instances["b"].again(syscall.SIGTERM) },
		"restart-redis": func() error {
			s.redis.Stop()
			s.redis.Restart(t)
			return nil
		},
	}
}
