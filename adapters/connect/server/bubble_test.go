package server_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"chatcore/adapters/connect/server"
)

// pipes is a listener in memory, for tests with virtual time.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.accepted:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial opens a connection and sends the beginning of a request.
func (p *pipes) dial(t *testing.T, begin string) net.Conn {
	t.Helper()
	client, accepted := net.Pipe()
	p.accepted <- accepted
	if _, err := io.WriteString(client, begin); err != nil {
		t.Fatal(err)
	}
	return client
}

// TestStop_Times has the times of a stop, in virtual time: the delay, and half a second for a request that is arriving. A connection that has sent
// nothing takes no time.
func TestStop_Times(t *testing.T) {
	for begin, want := range map[string]time.Duration{"": time.Second, "GET / HT": time.Second + 500*time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			probes := server.NewProbes(func(context.Context) error { return nil }, nil)
			s, err := server.New(server.Config{Handler: http.NotFoundHandler(), Probes: probes, DrainDelay: time.Second, Timeouts: server.Timeouts{Header: time.Hour}})
			if err != nil {
				t.Fatal(err)
			}
			listener := &pipes{make(chan net.Conn), make(chan struct{})}
			ctx, end := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- s.Serve(ctx, listener) }()
			conn := listener.dial(t, begin)
			defer func() { _ = conn.Close() }()
			synctest.Wait()
			began := time.Now()
			end()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if took := time.Since(began); took < want || took > want+time.Second/2-1 {
				t.Errorf("after %q the stop takes %v, want %v", begin, took, want)
			}
		})
	}
}
