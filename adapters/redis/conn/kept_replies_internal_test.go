package conn

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"chatcore/tests/redistest"
)

// scriptedConn is a connection to a server that answers each write with the next replies, in parts of random sizes.
type scriptedConn struct {
	net.Conn
	replies [][]byte // of each write
	pending []byte
	part    func(most int) int
}

func (c *scriptedConn) Write(p []byte) (int, error) {
	c.pending, c.replies = append(c.pending, c.replies[0]...), c.replies[1:]
	return len(p), nil
}

func (c *scriptedConn) Read(p []byte) (int, error) {
	if len(c.pending) == 0 {
		return 0, io.ErrUnexpectedEOF // a reader that waits for more than was sent
	}
	n := copy(p[:min(len(p), c.part(len(p)))], c.pending)
	c.pending = c.pending[n:]
	return n, nil
}

func bulk(text string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text) }

// drawReply returns an element of any kind.
func drawReply(rt *rapid.T, depth int) string {
	switch kind := rapid.IntRange(0, 6).Draw(rt, "kind"); {
	case kind == 0:
		return rapid.SampledFrom([]string{"$-1\r\n", "*-1\r\n", "*0\r\n", "+OK\r\n", ":7\r\n", "-ERR wrong\r\n"}).Draw(rt, "simple")
	case kind < 4 || depth == 0:
		return bulk(rapid.OneOf(rapid.SampledFrom([]string{"", "\r\n", "*3\r\n$1", ":1\r\n"}), rapid.StringN(0, 20, 3000)).Draw(rt, "text"))
	}
	elements := rapid.IntRange(1, 5).Draw(rt, "elements")
	reply := fmt.Sprintf("*%d\r\n", elements)
	for range elements {
		reply += drawReply(rt, depth-1)
	}
	return reply
}

// TestKeptReplies_Model reads replies in parts of any size. Replies with entries are kept if all commands of a pipeline read streams. Other replies pass
// unchanged, and none is left over.
func TestKeptReplies_Model(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		server := &scriptedConn{part: func(most int) int {
			return rapid.OneOf(rapid.IntRange(1, 3), rapid.Just(most)).Draw(rt, "part")
		}}
		into := &keptReplies{replies: make(map[int64][]byte)}
		client := &Client{watch: &connMonitor{kept: into}}
		c := &keepingConn{Conn: server, kept: into}
		for range rapid.IntRange(1, 4).Draw(rt, "pipelines") {
			request, sent, reads := "", []string{}, true
			for range rapid.IntRange(1, 3).Draw(rt, "commands") {
				name := rapid.SampledFrom([]string{"xread", "xrange", "xrange", "xrange", "get", "xreadgroup"}).Draw(rt, "name")
				reads = reads && (name == "xread" || name == "xrange")
				request += "*2\r\n" + bulk(name) + bulk("stream\r\nxrange")
				sent = append(sent, drawReply(rt, 3))
			}
			server.replies = append(server.replies, []byte(strings.Join(sent, "")))
			if _, err := c.Write([]byte(request)); err != nil {
				rt.Fatal(err)
			}
			var got bytes.Buffer
			buffer := make([]byte, 1+rapid.IntRange(0, 64).Draw(rt, "buffer"))
			for i, want := range sent {
				kept := reads && want[0] == '*' && want[1] != '-' && want[1] != '0'
				length := len(want)
				if kept {
					length = len(fmt.Sprintf(":%d\r\n", into.last+1))
				}
				for got.Len() < length {
					n, err := c.Read(buffer[:min(len(buffer), length-got.Len())])
					if err != nil {
						rt.Fatalf("reply %d, %q: %v", i, want, err)
					}
					got.Write(buffer[:n])
				}
				if reply := got.String(); kept != (reply != want) || kept && string(client.TakeReply([]byte(reply))) != want {
					rt.Fatalf("reply %d is %q, want %q", i, reply, want)
				}
				got.Reset()
			}
		}
		if len(into.replies) > 0 || len(server.pending) > 0 {
			rt.Fatalf("%d replies are left, and %q", len(into.replies), server.pending)
		}
	})
}

// TestKeptReplies_Redis compares the replies of a client that keeps them with those of another client, also to other commands, with errors and without entries.
func TestKeptReplies_Redis(t *testing.T) {
	server := redistest.Start(t)
	connect := func(kept bool) *Client {
		client, err := Connect(t.Context(), Options{URL: server.URL(), KeepReplies: kept})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = client.Close() })
		return client
	}
	ctx, plain, client := t.Context(), connect(false), connect(true)
	for i := range 3000 {
		if err := plain.XAdd(ctx, &goredis.XAddArgs{Stream: "s", ID: fmt.Sprint(i + 1), Values: []string{"payload", strings.Repeat("x\r\n", i%97)}}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(c *Client, args ...any) ([]byte, bool) {
		t.Helper()
		cmd := goredis.NewRawCmd(ctx, args...)
		_ = c.Process(ctx, cmd)
		raw := cmd.Val()
		reply := c.TakeReply(raw)
		return reply, &reply[0] != &raw[0]
	}
	for _, c := range []struct {
		args []any
		kept bool
	}{
		{[]any{"xrange", "s", "-", "+"}, true},
		{[]any{"xrange", "s", "7", "7"}, true},
		{[]any{"xread", "count", 100, "block", 1000, "streams", "s", "50"}, true},
		{[]any{"xread", "block", 1, "streams", "s", "$"}, false},
		{[]any{"xrange", "absent", "-", "+"}, false},
		{[]any{"xrange", "s", "x", "+"}, false},
		{[]any{"lrange", "absent", 0, -1}, false},
		{[]any{"xrevrange", "s", "+", "-"}, false},
		{[]any{"xlen", "s"}, false},
	} {
		got, kept := ask(client, c.args...)
		want, _ := ask(plain, c.args...)
		if !bytes.Equal(got, want) || kept != c.kept {
			t.Errorf("%v gives %.80q, kept: %t, want %.80q", c.args, got, kept, want)
		}
	}
	if left := len(client.watch.kept.replies); left > 0 {
		t.Errorf("%d replies are left", left)
	}
}
