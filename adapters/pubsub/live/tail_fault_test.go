package live_test

import (
	"bytes"
	"context"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/pubsub/live"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// TestTail_HealsFromLostConnections loses the connection while events are appended. The streams are read only because of that.
func TestTail_HealsFromLostConnections(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	r := newTailRig(t, server, rigConfig{partitions: 2, announce: true})
	one, two := r.watch(0), r.watch(1)
	count := 0
	round := func() {
		count += 3
		for p, e := range []*ear{one, two} {
			r.send(r.chatIn(p), 3)
			e.hears(r.chatIn(p), 1, count)
		}
	}
	round()
	for range 5 {
		before := r.Reconnects()
		if err := r.client.(*goredis.Client).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
			t.Fatal(err)
		}
		round()
		wait.Until(t, "the loss is counted", func() bool { return r.Reconnects() > before })
		round()
	}
	server.Kill()
	server.Restart(t)
	wait.Until(t, "Redis answers", func() bool { return r.client.Ping(t.Context()).Err() == nil })
	round()
	round()
	if r.Losts() != 0 {
		t.Errorf("%d losses", r.Losts())
	}
}

// TestTail_TellsWhatARestartLost restarts a Redis that keeps nothing.
func TestTail_TellsWhatARestartLost(t *testing.T) {
	server := redistest.Start(t)
	r := newTailRig(t, server, rigConfig{announce: true})
	e := r.watch(0)
	r.send("a", 3)
	e.hears("a", 1, 3)
	server.Kill()
	server.Restart(t)
	wait.Until(t, "the loss is told", func() bool { return e.losses() == 1 })
	r.unannounced("b", 1)
	r.unannounced("b", 2)
	if err := r.client.(*goredis.Client).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the new stream is heard", func() bool {
		seqs, _ := e.heard("b")
		return slices.Equal(seqs, []int{1, 2})
	})
	if n := e.losses(); n != 1 {
		t.Errorf("%d losses", n)
	}
}

// through returns a client through a proxy.
func through(t *testing.T, proxy *redistest.Proxy) *goredis.Client {
	t.Helper()
	o := options(strings.TrimPrefix(proxy.URL(), "redis://"))
	o.DialerRetries, o.ReadTimeout, o.WriteTimeout, o.DialTimeout = 1, 500*time.Millisecond, 500*time.Millisecond, 500*time.Millisecond
	client := goredis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestTail_HealsFromABlackHole has a proxy swallow all bytes without closing anything.
func TestTail_HealsFromABlackHole(t *testing.T) {
	server := redistest.Shared(t)
	proxy := redistest.StartProxy(t, server)
	r := newTailRig(t, server, rigConfig{
		announce: true, pubsub: live.PubSubConfig{Client: through(t, proxy), Probe: 50 * time.Millisecond},
		tail: live.TailConfig{Client: through(t, proxy), Sweep: 100 * time.Millisecond},
	})
	e := r.watch(0)
	r.send("a", 3)
	e.hears("a", 1, 3)
	for i := range 3 {
		before := r.Reconnects()
		proxy.Swallow(true)
		r.send("a", 3)
		wait.Until(t, "the silence is noticed", func() bool { return r.Reconnects() > before })
		proxy.Swallow(false)
		e.hears("a", 1, 6*i+6)
		r.send("a", 3)
		e.hears("a", 1, 6*i+9)
	}
}

// TestTail_WatchWaitsForTheSubscription holds the SUBSCRIBE of a first watch back. No sweep would find what is appended before it arrives.
func TestTail_WatchWaitsForTheSubscription(t *testing.T) {
	server := redistest.Shared(t)
	client, requests, _ := gated(t, server)
	r := newTailRig(t, server, rigConfig{partitions: 2, announce: true, pubsub: live.PubSubConfig{Client: client}})
	r.watch(1)
	release := requests.shut(t)
	watched := make(chan *ear, 1)
	go func() { watched <- r.watch(0) }()
	receive(t, requests.held)
	chat := r.chatIn(0)
	r.send(chat, 1)
	for range 50 { // by then a read that did not wait has its reply
		if err := r.client.Ping(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-watched:
		t.Fatalf("Watch returned with %d subscribers", r.subscribers(0))
	default:
	}
	release()
	e := receive(t, watched)
	r.send(chat, 2)
	e.hears(chat, 2, 3)
	if r.Found() > 0 {
		t.Errorf("%d events were found by reads", r.Found())
	}
}

// sieve is a connection from which pub/sub messages are lost, each as a whole.
type sieve struct {
	net.Conn
	lose func() bool // whether the next message is lost

	in  []byte // not complete
	out []byte
}

func (s *sieve) Read(p []byte) (int, error) {
	piece := make([]byte, 1<<14)
	for len(s.out) == 0 {
		n, err := s.Conn.Read(piece)
		s.in = append(s.in, piece[:n]...)
		for {
			length := frame(s.in)
			if length == 0 {
				break
			}
			whole := s.in[:length]
			if kind := whole[:min(40, length)]; !bytes.Contains(kind, []byte("\r\n$7\r\nmessage\r\n")) && !bytes.Contains(kind, []byte("\r\n$8\r\nsmessage\r\n")) || !s.lose() {
				s.out = append(s.out, whole...)
			}
			s.in = s.in[length:]
		}
		if err != nil {
			return 0, err
		}
	}
	n := copy(p, s.out)
	s.out = s.out[n:]
	return n, nil
}

// frame returns the length of the RESP value with which b begins, 0 if it is not complete.
func frame(b []byte) int {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return 0
	}
	at := end + 2
	n, _ := strconv.Atoi(string(b[1:end]))
	switch b[0] {
	case '$', '=', '!':
		if n < 0 {
			return at
		}
		if at += n + 2; at > len(b) {
			return 0
		}
	case '*', '>', '~', '%', '|':
		if b[0] == '%' || b[0] == '|' {
			n *= 2
		}
		for range n {
			length := frame(b[at:])
			if length == 0 {
				return 0
			}
			at += length
		}
	}
	return at
}

// losing returns a client that loses pub/sub messages.
func losing(t *testing.T, addr string, lose func() bool) *goredis.Client {
	t.Helper()
	o := options(addr)
	o.Dialer = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &sieve{Conn: c, lose: lose}, nil
	}
	client := goredis.NewClient(o)
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// TestTail_LostMessages loses announcements. The next one reveals that, and for the last one a sweep does.
func TestTail_LostMessages(t *testing.T) {
	server := redistest.Shared(t)
	var mu sync.Mutex
	lost := 0 // messages that are lost next
	lose := func() bool {
		mu.Lock()
		defer mu.Unlock()
		if lost == 0 {
			return false
		}
		lost--
		return true
	}
	loseNext := func(n int) {
		mu.Lock()
		defer mu.Unlock()
		lost = n
	}
	t.Run("with a later one", func(t *testing.T) {
		r := newTailRig(t, server, rigConfig{announce: true, pubsub: live.PubSubConfig{Client: losing(t, server.Addr(), lose)}})
		e := r.watch(0)
		for i := range 5 {
			loseNext(2)
			r.send("a", 1)
			r.send("a", 2)
			r.send("a", 1)
			e.hears("a", 1, 4*i+4)
		}
		if r.Holes() != 5 || r.Losts() != 0 {
			t.Errorf("%d holes, %d losses", r.Holes(), r.Losts())
		}
	})
	t.Run("the last one", func(t *testing.T) {
		r := newTailRig(t, server, rigConfig{
			announce: true, pubsub: live.PubSubConfig{Client: losing(t, server.Addr(), lose)}, tail: live.TailConfig{Sweep: 50 * time.Millisecond},
		})
		e := r.watch(0)
		for i := range 5 {
			loseNext(1)
			r.send("a", 2)
			e.hears("a", 1, 2*i+2)
		}
	})
}

// TestTail_MembershipsOfALostConnection has any user named after a connection was lost.
func TestTail_MembershipsOfALostConnection(t *testing.T) {
	server := redistest.Start(t)
	r := newTailRig(t, server, rigConfig{})
	var mu sync.Mutex
	var users []domain.UserID
	stop, err := r.WatchMemberships(t.Context(), func(user domain.UserID) {
		mu.Lock()
		defer mu.Unlock()
		users = append(users, user)
	})
	if err != nil {
		t.Fatal(err)
	}
	heard := func(want ...domain.UserID) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return slices.Equal(users, want)
		}
	}
	publish := func(user string) {
		if err := r.client.Publish(t.Context(), r.keys.Views().Memberships(), user).Err(); err != nil {
			t.Fatal(err)
		}
	}
	publish("ada")
	wait.Until(t, "a user is heard", heard("ada"))
	if err := r.client.(*goredis.Client).ClientKillByFilter(t.Context(), "TYPE", "pubsub").Err(); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "any user is heard", heard("ada", ""))
	publish(strings.Repeat("x", domain.MaxIDBytes+1))
	publish("")
	publish("bob")
	wait.Until(t, "another user is heard", heard("ada", "", "bob"))
	if n := r.Malformed(); n != 2 {
		t.Errorf("%d malformed", n)
	}
	stop()
	publish("eve")
	if !heard("ada", "", "bob")() {
		t.Errorf("heard %q", users)
	}
}
