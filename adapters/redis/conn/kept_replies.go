package conn

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
)

// keptReplies has the replies to XREAD and XRANGE that the connections of a client have received, until they are taken by their numbers.
type keptReplies struct {
	// mu guards: last, replies.
	mu      sync.Mutex
	last    int64
	replies map[int64][]byte
}

// TakeReply returns a raw reply to XREAD or XRANGE. If a connection has kept it ([Options].KeepReplies), raw is its number, and nobody else gets the reply. It must be
// called for each of these commands, also of a pipeline that has failed: the reply stays in memory until then.
func (c *Client) TakeReply(raw []byte) []byte {
	if c.watch.kept == nil || len(raw) == 0 || raw[0] != ':' {
		return raw
	}
	number, _ := strconv.ParseInt(strings.TrimSpace(string(raw[1:])), 10, 64)
	if reply, ok := c.watch.kept.take(number); ok {
		return reply
	}
	return raw
}

func (k *keptReplies) take(number int64) ([]byte, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	reply, ok := k.replies[number]
	delete(k.replies, number)
	return reply, ok
}

func (k *keptReplies) put(reply []byte) (number int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last++
	k.replies[k.last] = reply
	return k.last
}

// keepingConn is a connection in RESP2 that keeps replies to XREAD and XRANGE. It is for one goroutine at a time, as go-redis uses its connections.
type keepingConn struct {
	net.Conn
	kept *keptReplies

	waiting int    // replies that it keeps when they arrive
	fresh   bool   // none of them has come
	largest int    // bytes of the largest of them, which is what the next one is expected to have
	in      []byte // bytes that were received
	out     []byte // bytes that go-redis gets before those
}

// leastBuffer is the least size of a buffer in bytes.
const leastBuffer = 4 << 10

// Write implements [net.Conn].
func (c *keepingConn) Write(p []byte) (int, error) {
	if reads := countStreamReads(p); reads > 0 && c.waiting == 0 && len(c.in)+len(c.out) == 0 {
		c.waiting, c.fresh = reads, true
	}
	return c.Conn.Write(p)
}

// Read implements [net.Conn].
func (c *keepingConn) Read(p []byte) (n int, err error) {
	if len(c.out) == 0 && c.waiting > 0 {
		if err := c.receive(); err != nil {
			return 0, err
		}
	}
	switch {
	case len(c.out) > 0:
		n = copy(p, c.out)
		c.out = c.out[n:]
	case len(c.in) > 0:
		n = copy(p, c.in)
		c.in = c.in[n:]
	default:
		n, err = c.Conn.Read(p)
	}
	return n, err
}

// receive receives one reply, and keeps it if it has entries.
func (c *keepingConn) receive() error {
	if size := c.largest + leastBuffer; c.fresh && cap(c.in) < size {
		c.in = append(make([]byte, 0, size), c.in...)
	}
	reply := frame{open: 1}
	for !reply.endsIn(c.in) {
		if cap(c.in)-len(c.in) < leastBuffer/2 {
			c.in = append(make([]byte, 0, 2*cap(c.in)+leastBuffer), c.in...)
		}
		n, err := c.Conn.Read(c.in[len(c.in):cap(c.in)])
		if c.in = c.in[:len(c.in)+n]; n == 0 && err != nil {
			return err
		}
	}
	raw, rest := c.in[:reply.at:reply.at], bytes.Clone(c.in[reply.at:])
	if 2*len(raw) < cap(c.in) { // entries keep the memory of their reply
		raw = bytes.Clone(raw)
	}
	c.in = rest
	if c.fresh {
		c.largest = 0
	}
	c.waiting, c.fresh, c.largest = c.waiting-1, false, max(c.largest, len(raw))
	if raw[0] != '*' || raw[1] == '-' || raw[1] == '0' {
		c.out = raw
		return nil
	}
	c.out = append(strconv.AppendInt([]byte{':'}, c.kept.put(raw), 10), '\r', '\n')
	return nil
}

// frame finds the end of one element in RESP2 (https://redis.io/docs/latest/develop/reference/protocol-spec/) in bytes that come in parts.
type frame struct {
	at   int // behind what is complete
	open int // elements that are missing
}

// endsIn reports whether b has the whole element, which ends at f.at then. b begins with the bytes of the call before.
func (f *frame) endsIn(b []byte) bool {
	for f.open > 0 {
		line := bytes.IndexByte(b[f.at:], '\n')
		if line < 0 {
			return false
		}
		end, inside := f.at+line+1, 0
		switch n := lengthIn(b[f.at:end]); b[f.at] {
		case '$':
			if n >= 0 {
				end += n + len("\r\n")
			}
		case '*':
			inside = max(n, 0)
		}
		if end > len(b) {
			return false
		}
		f.at = end
		f.open += inside - 1
	}
	return true
}

// lengthIn returns the number in the first line of an element, -1 for null.
func lengthIn(line []byte) (n int) {
	for _, digit := range line[1:] {
		switch {
		case digit == '-':
			return -1
		case digit < '0' || digit > '9':
			return n
		}
		n = 10*n + int(digit-'0')
	}
	return n
}

// countStreamReads returns the number of commands that go-redis writes, or 0 if one of them is neither XREAD nor XRANGE or is not complete.
func countStreamReads(p []byte) (n int) {
	for len(p) > 0 {
		command := frame{open: 1}
		if !command.endsIn(p) {
			return 0
		}
		_, words, _ := bytes.Cut(p[:command.at], []byte("\r\n"))
		if !bytes.HasPrefix(words, []byte("$5\r\nxread\r\n")) && !bytes.HasPrefix(words, []byte("$6\r\nxrange\r\n")) {
			return 0
		}
		n, p = n+1, p[command.at:]
	}
	return n
}
