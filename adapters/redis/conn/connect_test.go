package conn_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore/adapters/redis/conn"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// diary records log messages.
type diary struct {
	mu      sync.Mutex
	entries []string
	written chan struct{}
}

func newDiary() *diary { return &diary{written: make(chan struct{}, 1)} }

func (d *diary) Enabled(context.Context, slog.Level) bool { return true }
func (d *diary) WithGroup(string) slog.Handler            { return d }
func (d *diary) WithAttrs(attrs []slog.Attr) slog.Handler { return noted{d, attrs} }

func (d *diary) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	d.mu.Lock()
	d.entries = append(d.entries, line)
	d.mu.Unlock()
	select {
	case d.written <- struct{}{}:
	default:
	}
	return nil
}

// noted is a diary that also records attributes.
type noted struct {
	*diary
	attrs []slog.Attr
}

func (n noted) Handle(ctx context.Context, r slog.Record) error {
	r = r.Clone()
	r.AddAttrs(n.attrs...)
	return n.diary.Handle(ctx, r)
}

// messages returns the logged messages without consecutive repetitions.
func (d *diary) messages() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var messages []string
	for _, line := range d.entries {
		if strings.HasPrefix(line, "go-redis ") {
			continue // go-redis's lines vary
		}
		words := strings.SplitN(line, " ", 3)
		messages = append(messages, words[0]+" "+strings.TrimSuffix(words[1], ","))
	}
	return slices.Compact(messages)
}

func (d *diary) until(t *testing.T, message string, times int) {
	t.Helper()
	deadline := time.After(wait.Limit)
	for {
		n := 0
		for _, m := range d.messages() {
			if m == message {
				n++
			}
		}
		if n >= times {
			return
		}
		select {
		case <-d.written:
		case <-deadline:
			t.Fatalf("%q was not logged %d times: %q", message, times, d.messages())
		}
	}
}

func TestWhatHappensToAConnectionIsLoggedInOrder(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "secret-word")
	log := newDiary()
	url := strings.Replace(server.URL(), "redis://", "redis://:secret-word@", 1)
	client, err := conn.Connect(t.Context(), conn.Options{URL: url, Purpose: "commands", Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	var many sync.WaitGroup
	for range 16 { // concurrently, so that there are many connections
		many.Go(func() { client.BLPop(t.Context(), 50*time.Millisecond, "nothing-comes-here") })
	}
	many.Wait()
	server.Stop()
	for range 50 { // commands cause no further messages
		if client.Ping(t.Context()).Err() == nil {
			t.Fatal("a stopped server answers")
		}
	}
	log.until(t, "redis reconnecting", 1)
	server.Restart(t)
	log.until(t, "redis ready", 2)
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if err := errors.Join(client.Close(), client.Close()); err != nil && !strings.Contains(err.Error(), "closed") {
		t.Error(err)
	}
	want := []string{"redis connect", "redis ready", "redis error", "redis reconnecting", "redis ready", "redis end"}
	if got := log.messages(); !slices.Equal(got, want) {
		t.Errorf("logged %q, want %q", got, want)
	}
	for _, line := range log.entries {
		if !strings.HasPrefix(line, "go-redis ") && !strings.Contains(line, "purpose=commands") || strings.Contains(line, "secret-word") {
			t.Errorf("the line %q", line)
		}
	}
}

// TestClosingEndsTheWaitForRedis guards against a probe that outlives its client. The package's TestMain would find it.
func TestClosingEndsTheWaitForRedis(t *testing.T) {
	proxy := redistest.StartProxy(t, redistest.Shared(t))
	log := newDiary()
	client, err := conn.Connect(t.Context(), conn.Options{URL: proxy.URL(), Timeout: time.Second, Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	proxy.Swallow(true)
	if client.Ping(t.Context()).Err() == nil {
		t.Fatal("a black hole answers")
	}
	log.until(t, "redis reconnecting", 1)
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}

func TestACallersOwnDeadlineIsNoLoss(t *testing.T) {
	log := newDiary()
	client, err := conn.Connect(t.Context(), conn.Options{URL: redistest.Shared(t).URL(), Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := client.BLPop(ctx, 10*time.Second, "nothing-comes-here").Err(); !errors.Is(err, context.DeadlineExceeded) && !os.IsTimeout(err) {
		t.Errorf("the deadline gave %v", err)
	}
	if err := client.Close(); err != nil {
		t.Error(err)
	}
	if got := log.messages(); slices.Contains(got, "redis error") {
		t.Errorf("logged %q", got)
	}
}

func trusting(t *testing.T, files redistest.Certificates) *tls.Config {
	t.Helper()
	pem, err := os.ReadFile(files.CA)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
	config.RootCAs.AppendCertsFromPEM(pem)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config
}

// TestALostServerIsNotStormed has 64 callers use a port that accepts connections and drops them. They cause a dial now and then, not one for every
// command. Once the server is back, commands succeed again.
func TestALostServerIsNotStormed(t *testing.T) {
	const callers, calls, pool = 64, 400, 8
	proxy := redistest.StartProxy(t, redistest.Start(t))
	var dials atomic.Int64
	drop := func() bool {
		dials.Add(1)
		return false
	}
	var wg sync.WaitGroup
	client, err := conn.Connect(t.Context(), conn.Options{URL: proxy.URL(), PoolSize: pool, Timeout: 10 * time.Second, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	proxy.Accept.Store(&drop)
	proxy.Cut()
	began := time.Now()
	for range callers {
		wg.Go(func() {
			for range calls {
				if err := client.Set(t.Context(), "k", "v", 0).Err(); err == nil {
					t.Error("it is answered")
				}
			}
		})
	}
	wg.Wait()
	// Dials until the loss is noticed, and those in progress at that time; after that one in 10 ms.
	if most := 2*pool + callers + pool + int(time.Since(began)/(10*time.Millisecond)); int(dials.Load()) > most {
		t.Errorf("%d calls in %v made %d dials, want at most %d", callers*calls, time.Since(began), dials.Load(), most)
	}
	proxy.Accept.Store(nil)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(wait.Limit); ; {
		if err = client.Set(t.Context(), "k", "v", 0).Err(); err == nil {
			break
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("it is back, and is not reached: %v", err)
		}
	}
	for range 2 * callers {
		wg.Go(func() {
			if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
				t.Errorf("once it was reached: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestTLS(t *testing.T) {
	server, url, files := redistest.StartTLS(t)
	trust := trusting(t, files)
	try := func(url string, config *tls.Config) error {
		const attempts = 20 // a server may reset the connection before its alert is read
		client, err := conn.Connect(t.Context(), conn.Options{URL: url, TLS: config, Attempts: attempts, Logger: slog.New(slog.DiscardHandler)})
		if err == nil {
			err = client.Close()
		}
		return err
	}
	if err := try(url, trust); err != nil {
		t.Errorf("with authority and certificate: %v", err)
	}
	if err := try(strings.Replace(url, "127.0.0.1", "localhost", 1), trust); err != nil {
		t.Errorf("by name: %v", err)
	}
	nameless, elsewhere := trust.Clone(), trust.Clone()
	nameless.Certificates = nil
	elsewhere.ServerName = "redis.example.org"
	for problem, config := range map[string]*tls.Config{"no authority": nil, "no certificate": nameless, "another server's name": elsewhere} {
		if err := try(url, config); !errors.Is(err, conn.ErrRejected) {
			t.Errorf("%s: %v", problem, err)
		}
	}
	if err := try(server.URL(), trust); !errors.Is(err, conn.ErrURL) {
		t.Errorf("TLS settings for a redis:// URL: %v", err)
	}
}

func TestAFailoverOfSentinelsIsFollowed(t *testing.T) {
	sentinels := redistest.StartSentinels(t, "data-secret")
	log := newDiary()
	client, err := conn.Connect(t.Context(), conn.Options{URL: sentinels.URL(), Timeout: time.Second, Logger: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Set(t.Context(), "k", "before", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := client.Do(t.Context(), "wait", 1, 5000).Int(); err != nil || n != 1 {
		t.Fatalf("%d replicas have it, error %v", n, err)
	}
	sentinels.Master.Kill()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(wait.Limit)
	for err = errors.New("not tried"); err != nil; err = client.Set(t.Context(), "l", "after", 0).Err() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("nobody takes writes: %v", err)
		}
	}
	if v, err := client.Get(t.Context(), "k").Result(); v != "before" || err != nil {
		t.Errorf("the new master has %q, error %v", v, err)
	}
	log.until(t, "redis ready", 2)
	for _, line := range log.entries {
		if strings.Contains(line, "secret") {
			t.Errorf("the line %q", line)
		}
	}
}
