package server

import (
	"container/list"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connections is a listener that bounds how many connections are open. A connection is in one of three states: incomplete (its first request has not
// arrived completely), idle, or busy.
type connections struct {
	net.Listener
	most     int           // open at a time
	stall    time.Duration // of each write
	requests atomic.Int64

	mu         sync.Mutex // guards the fields below and the place of each conn
	open       int
	incomplete *list.List // of *conn; the one that has waited longest is first
	idle       *list.List // likewise
	closed     int64      // for new ones
	refused    int64
}

func newConnections(most int, stall time.Duration) *connections {
	return &connections{most: most, stall: stall, incomplete: list.New(), idle: list.New()}
}

// Accept implements [net.Listener].
func (c *connections) Accept() (net.Conn, error) {
	for {
		accepted, err := c.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if admitted := c.admit(accepted); admitted != nil {
			return admitted, nil
		}
		_ = accepted.Close() // refused
	}
}

// admit makes an accepted connection one of those that are open. At the bound it closes another one, which does nothing now. It returns nil if there
// is none.
func (c *connections) admit(accepted net.Conn) *conn {
	c.mu.Lock()
	var victim *conn
	if c.open >= c.most {
		first := c.idle.Front()
		if first == nil {
			first = c.incomplete.Front()
		}
		if first == nil {
			c.refused++
			c.mu.Unlock()
			return nil
		}
		victim = first.Value.(*conn) //nolint:forcetypeassert // nothing else is there
		c.remove(victim)
		c.closed++
	}
	admitted := &conn{Conn: accepted, owner: c}
	c.open++
	admitted.move(c.incomplete)
	c.mu.Unlock()
	if victim != nil {
		_ = victim.Close()
	}
	return admitted
}

// remove ends the part of a connection in the counts. The caller holds the mutex.
func (c *connections) remove(closing *conn) {
	if !closing.gone {
		closing.gone = true
		closing.move(nil)
		c.open--
	}
}

// observe implements [http.Server.ConnState].
func (c *connections) observe(changed net.Conn, state http.ConnState) {
	if encrypted, is := changed.(*tls.Conn); is {
		changed = encrypted.NetConn()
	}
	observed, is := changed.(*conn)
	if !is {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case observed.gone:
	case state == http.StateActive:
		observed.move(nil)
	case state == http.StateIdle:
		observed.move(c.idle)
	default: // new ones are incomplete already; closed ones call Close
	}
}

// closeIncomplete closes the connections whose first request has not arrived completely: all of them, or only those that have sent nothing.
func (c *connections) closeIncomplete(silent bool) {
	c.mu.Lock()
	var closing []*conn
	for e := c.incomplete.Front(); e != nil; e = e.Next() {
		if one := e.Value.(*conn); !silent || !one.received.Load() { //nolint:forcetypeassert // nothing else is there
			closing = append(closing, one)
		}
	}
	c.mu.Unlock()
	for _, one := range closing {
		_ = one.Close()
	}
}

func (c *connections) stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Connections: c.open, Requests: c.requests.Load(), ConnectionsClosed: c.closed, ConnectionsRefused: c.refused}
}
