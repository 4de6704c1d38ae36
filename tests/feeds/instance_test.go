package feeds

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	"chatcore/ports"
	"chatcore/tests/child"
	"chatcore/tests/wait"
)

// instanceVariable makes the test binary an instance. It holds an instanceConfig.
const instanceVariable = "CHATCORE_FEEDS_INSTANCE"

// instanceConfig is the configuration of an instance.
type instanceConfig struct {
	RedisURL string
	Address  string // to listen at
	Service  string // id of the service
	Token    []byte // SHA-256 of its token
}

// Bounds of instances, so small that readers reach them.
const (
	queueCount  = 48
	queueBytes  = 64 << 10
	cacheBytes  = 64 << 10
	sendBuffer  = 64 << 10
	partitions  = 2 // so that chats share them
	heartbeat   = 300 * time.Millisecond
	readerQuiet = 5 * time.Second
)

// serveInstance is the body of an instance. It returns the exit code.
func serveInstance(encoded string) int {
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var c instanceConfig
	err := json.Unmarshal([]byte(encoded), &c)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	for err == nil {
		var ran bool
		if ran, err = c.serve(ctx, logger); ran || ctx.Err() != nil {
			break
		}
		if errors.Is(err, ports.ErrUnavailable) || errors.Is(err, chatcore.ErrUnreachable) || errors.Is(err, ports.ErrOutcomeUnknown) {
			logger.Warn("instance cannot begin, trying again", "error", err)
			pause(ctx, 50*time.Millisecond)
			err = nil
		}
	}
	if err != nil && ctx.Err() == nil {
		logger.Error("instance ends", "error", err)
		return 1
	}
	return 0
}

// serve opens a core and serves it until ctx ends. It reports whether it ran at all.
func (c instanceConfig) serve(ctx context.Context, logger *slog.Logger) (ran bool, err error) {
	core, err := chatcore.New(ctx, chatcore.Config{
		Redis: chatcore.RedisConfig{URL: c.RedisURL}, Log: chatcore.LogConfig{Partitions: partitions}, Logger: logger,
		Feeds: chatcore.FeedsConfig{QueueCount: queueCount, QueueBytes: queueBytes, CacheBytes: cacheBytes, Heartbeat: heartbeat},
	})
	if err != nil {
		return false, err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	if err := errors.Join(core.SubscribeBuiltins(), core.Start(running)); err != nil {
		return false, errors.Join(err, core.Close())
	}
	served := c.serveCore(ctx, core, logger)
	end()
	return true, errors.Join(served, core.Wait())
}

func (c instanceConfig) serveCore(ctx context.Context, core *chatcore.Core, logger *slog.Logger) error {
	handler, err := connect.New(core, connect.Config{Logger: logger})
	if err != nil {
		return err
	}
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{Entries: []auth.TokenEntry{{ID: c.Service, SHA256: [32]byte(c.Token), Scopes: auth.AllScopes()}}})
	if err != nil {
		return err
	}
	authenticator, err := auth.New(auth.Config{Tokens: tokens, Sessions: core.Sessions, OnError: connect.OnAuthError(logger)})
	if err != nil {
		return err
	}
	s, err := server.New(server.Config{Handler: authenticator.Middleware(handler), Probes: server.NewProbes(core.Ready, logger), Logger: logger, StopTimeout: 2 * time.Second})
	if err != nil {
		return err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Address)
	if err != nil {
		return err
	}
	fmt.Println(listener.Addr()) // for the test
	if err := s.Serve(ctx, narrow{listener}); err != nil && !errors.Is(err, server.ErrCut) {
		return err
	}
	return nil
}

// narrow gives connections small buffers, so that an instance notices a reader that has stopped.
type narrow struct{ net.Listener }

func (n narrow) Accept() (net.Conn, error) {
	c, err := n.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(sendBuffer)
	}
	return c, err
}

// instance is an instance as the test sees it.
type instance struct {
	t       *testing.T
	name    string
	config  instanceConfig
	dir     string
	starts  int
	process *child.Process
	leaves  *atomic.Bool // whether the present process may end
	watched sync.WaitGroup

	mu  sync.Mutex
	url string // mu guards url
}

func startInstance(t *testing.T, name string, config instanceConfig) *instance {
	t.Helper()
	i := &instance{t: t, name: name, config: config, dir: t.TempDir()}
	i.config.Address = "127.0.0.1:0"
	t.Cleanup(func() {
		i.kill()
		i.watched.Wait()
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", name, i.log())
		}
	})
	i.start()
	wait.Until(t, name+" listens", func() bool { return i.address() != "" })
	return i
}

// start starts a process in the place of the one that has ended. It need not listen yet.
func (i *instance) start() {
	i.starts++
	encoded, err := json.Marshal(i.config)
	if err != nil {
		i.t.Error(err)
		return
	}
	log, err := os.Create(i.logFile())
	if err != nil {
		i.t.Error(err)
		return
	}
	defer func() { _ = log.Close() }()
	out, in, err := os.Pipe()
	if err != nil {
		i.t.Error(err)
		return
	}
	defer func() { _ = in.Close() }()
	cmd := exec.Command(os.Args[0]) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), instanceVariable+"="+string(encoded))
	cmd.Stdout, cmd.Stderr = in, log
	process, err := child.Start(cmd)
	if err != nil {
		_ = out.Close()
		i.t.Error(err)
		return
	}
	leaves := &atomic.Bool{}
	i.process, i.leaves = process, leaves
	i.watched.Go(func() {
		defer func() { _ = out.Close() }()
		for lines := bufio.NewScanner(out); lines.Scan(); {
			i.mu.Lock()
			i.url = "http://" + lines.Text()
			i.mu.Unlock()
		}
	})
	i.watched.Go(func() {
		if err := process.Err(); !leaves.Load() {
			i.t.Errorf("%s ended by itself: %v", i.name, err)
		}
	})
}

// kill ends the process as a crash would.
func (i *instance) kill() { i.end(syscall.SIGKILL) }

// stop signals the process to stop, and waits for its end.
func (i *instance) stop() {
	i.end(syscall.SIGTERM)
}

func (i *instance) end(sig os.Signal) {
	i.leaves.Store(true)
	i.process.End(sig, wait.Limit)
}

func (i *instance) address() string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.url
}

func (i *instance) logFile() string { return filepath.Join(i.dir, fmt.Sprint(i.starts, ".log")) }

func (i *instance) log() string {
	const most = 4 << 10
	text, err := os.ReadFile(i.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-most):])
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
