package feedreader

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
)

// receiveBuffer is the size of the buffers of a reader's connections: small, so that a server notices a reader that has stopped.
const receiveBuffer = 64 << 10

// dialer has the connections of a reader.
type dialer struct {
	mu    sync.Mutex
	conns map[*conn]struct{} // mu guards conns
}

// conn is a connection that can become a black hole.
type conn struct {
	net.Conn
	dialer *dialer
	hole   atomic.Bool
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dialed, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := dialed.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(receiveBuffer)
	}
	c := &conn{Conn: dialed, dialer: d}
	d.mu.Lock()
	d.conns[c] = struct{}{}
	d.mu.Unlock()
	return c, nil
}

// swallow makes all present connections black holes.
func (d *dialer) swallow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for c := range d.conns {
		c.hole.Store(true)
	}
}

func (c *conn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.hole.Load() {
			return n, err
		}
	}
}

func (c *conn) Write(p []byte) (int, error) {
	if c.hole.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *conn) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.conns, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

// client returns a client whose connections can become black holes.
func (d *dialer) client(p Protocol) *http.Client {
	t := &http.Transport{DialContext: d.dial, DisableCompression: true}
	if p == GRPC {
		t.Protocols = new(http.Protocols)
		t.Protocols.SetUnencryptedHTTP2(true)
	}
	return &http.Client{Transport: t}
}
