package redistest

import (
	"context"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is a proxy between clients and a server, for faults of the network. Its hooks determine which bytes are lost, and when. They are called for
// every piece that arrives, from many goroutines at once.
type Proxy struct {
	addr string

	// Accept, unless nil, is called for every new connection. If it returns false, the connection is closed at once, as by a load balancer in front
	// of a server that is down.
	Accept atomic.Pointer[func() bool]
	// Request, unless nil, is called with each piece that a client sends. The piece is passed on when it returns true; the connection is closed if it
	// returns false.
	Request atomic.Pointer[func(piece []byte) bool]
	// Reply is the same for the server's bytes.
	Reply atomic.Pointer[func(piece []byte) bool]
	// Lose, unless nil, is called with the channel of each message of pub/sub that the server sends. The message is lost when it returns true. It
	// counts for connections that are made while it is not nil.
	Lose atomic.Pointer[func(channel string) bool]

	mu         sync.Mutex
	swallowing bool
	links      map[*link]struct{}
}

// StartProxy starts a proxy to a server, which need not run, and stops it when the test ends.
func StartProxy(t testing.TB, s *Server) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{addr: l.Addr().String(), links: make(map[*link]struct{})}
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
			if allowed := p.Accept.Load(); allowed != nil && !(*allowed)() {
				_ = client.Close()
				continue
			}
			running.Go(func() { p.connect(ctx, client, s.Addr()) })
		}
	})
	return p
}

// URL returns the proxy's redis:// URL.
func (p *Proxy) URL() string { return "redis://" + p.addr }

// Swallow turns every connection into a black hole, the present ones and, until it is turned off, new ones. They stay open, bytes of either side
// disappear, and a close of one side is not passed to the other. After it is turned off, new connections work. A black hole remains one until it is
// Cut, as behind a firewall that has forgotten it.
func (p *Proxy) Swallow(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swallowing = on
	for l := range p.links {
		if on {
			l.hole.Store(true)
		}
	}
}

// Cut closes all connections, black holes too. New ones can be made at once.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.cut()
	}
}

// link is one connection through the proxy.
type link struct {
	hole atomic.Bool // whether its bytes disappear
	cut  context.CancelFunc
}

func (p *Proxy) connect(ctx context.Context, client net.Conn, to string) {
	defer func() { _ = client.Close() }()
	ctx, cut := context.WithCancel(ctx)
	defer cut()
	l := &link{cut: cut}
	p.add(l)
	defer p.remove(l)
	stop := context.AfterFunc(ctx, func() { _ = client.Close() })
	defer stop()
	if l.hole.Load() {
		l.pass(io.Discard, client, &p.Request)
		<-ctx.Done()
		return
	}
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
	if err != nil {
		l.ended(ctx)
		return
	}
	defer func() { _ = server.Close() }()
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	var both sync.WaitGroup
	both.Go(func() { // a request is passed on even if its client has gone
		l.pass(server, client, &p.Request)
		l.ended(ctx)
		_ = server.(*net.TCPConn).CloseWrite()
	})
	replies := io.Writer(client)
	if p.Lose.Load() != nil {
		replies = &pushes{to: client, lost: func(channel string) bool {
			lost := p.Lose.Load()
			return lost != nil && (*lost)(channel)
		}}
	}
	l.pass(replies, server, &p.Reply)
	l.ended(ctx)
	_ = client.Close()
	both.Wait()
}

func (p *Proxy) add(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l.hole.Store(p.swallowing)
	p.links[l] = struct{}{}
}

func (p *Proxy) remove(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.links, l)
}

// ended returns when the end of one side may be passed to the other: at once, or for a black hole when it is cut.
func (l *link) ended(ctx context.Context) {
	if l.hole.Load() {
		<-ctx.Done()
	}
}

func (l *link) pass(to io.Writer, from io.Reader, hook *atomic.Pointer[func([]byte) bool]) {
	piece := make([]byte, 1<<16)
	for {
		n, err := from.Read(piece)
		if n > 0 && !l.hole.Load() {
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
