package server

import (
	"container/list"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// writePart is how many bytes of a write have one deadline, so that a slow client that reads is not taken for one that does not.
const writePart = 64 << 10

// conn is a connection of a listener. Each write has a deadline, so that a client that never reads cannot keep its handler.
type conn struct {
	net.Conn
	owner    *connections
	received atomic.Bool // the client has sent something

	list *list.List    // incomplete or idle, nil while the connection is busy; the owner's mutex guards this and the next two
	at   *list.Element // in list
	gone bool          // the connection no longer counts

	mu       sync.Mutex // guards the fields below, and orders deadlines
	deadline time.Time  // that net/http or a handler has set; zero if none
	stalled  time.Time  // deadline of the last part of a write
}

// move puts a connection at the end of a list, or in none. The caller holds the owner's mutex.
func (c *conn) move(to *list.List) {
	if c.list != nil {
		c.list.Remove(c.at)
	}
	if c.list, c.at = to, nil; to != nil {
		c.at = to.PushBack(c)
	}
}

// Read implements [net.Conn].
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.received.Load() {
		c.received.Store(true)
	}
	return n, err
}

// Write implements [net.Conn]. It fails if the client accepts less than writePart within the stall timeout, or at the deadline of net/http.
func (c *conn) Write(p []byte) (written int, err error) {
	for {
		if err := c.bound(); err != nil {
			return written, err
		}
		n, err := c.Conn.Write(p[written:min(len(p), written+writePart)])
		if written += n; err != nil || written == len(p) {
			return written, err
		}
	}
}

// bound sets the deadline of the next part of a write.
func (c *conn) bound() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled = time.Now().Add(c.owner.stall)
	return c.Conn.SetWriteDeadline(earlier(c.deadline, c.stalled))
}

// SetWriteDeadline implements [net.Conn]. It does not lift the deadline of a write that is under way.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	return c.Conn.SetWriteDeadline(earlier(t, c.stalled))
}

// SetDeadline implements [net.Conn].
func (c *conn) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}

// earlier returns the earlier of two deadlines, of which a zero one is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.owner.mu.Lock()
	c.owner.remove(c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite lets the client read the last response before the connection is closed.
func (c *conn) CloseWrite() error {
	if half, is := c.Conn.(interface{ CloseWrite() error }); is {
		return half.CloseWrite()
	}
	return nil
}
