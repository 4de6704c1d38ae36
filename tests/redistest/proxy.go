package redistest

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between clients and a server, for faults of the network. What is lost, and when, its hooks say; they are called for every
// piece that arrives, from many goroutines at once.
type Proxy struct {
	addr string

	// Request, unless nil, is given what a client sends; the piece is passed on when it returns, or the connection closed if it returns false.
	Request atomic.Pointer[func(piece []byte) bool]
	// Reply is the same for what the server sends.
	Reply atomic.Pointer[func(piece []byte) bool]
}

// StartProxy starts a proxy to a server, which need not run, and stops it when the test ends.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{addr: l.Addr().String()}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
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
			running.Go(func() { p.connect(ctx, client, s.Addr()) })
		}
	})
	return p
}

// URL is the proxy's redis:// URL.
func (p *Proxy) URL() string { return "redis://" + p.addr }

func (p *Proxy) connect(ctx context.Context, client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	stop := context.AfterFunc(ctx, func() {
		_ = client.Close()
		_ = server.Close()
	})
	defer stop()
	var both sync.WaitGroup
	both.Go(func() { // a request is passed on even if its client has gone
		pass(server, client, &p.Request)
		_ = server.(*net.TCPConn).CloseWrite()
	})
	pass(client, server, &p.Reply)
	_ = client.Close()
	both.Wait()
}

func pass(to io.Writer, from io.Reader, hook *atomic.Pointer[func([]byte) bool]) {
	piece := make([]byte, 1<<16)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if allowed := hook.Load(); allowed != nil && !(*allowed)(piece[:n]) {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
