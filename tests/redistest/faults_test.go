package redistest_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// soon is how long the tests check that nothing arrives.
const soon = 100 * time.Millisecond

// bare is a connection without a client's retries and timeouts.
type bare struct {
	net.Conn
	t *testing.T
}

func dial(t *testing.T, url string) bare {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "redis://"))
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return bare{conn, t}
}

func (b bare) send(command string) {
	b.t.Helper()
	_, err := b.Write([]byte(command + "\r\n"))
	must(b.t, err)
}

// reply returns the next reply, or the error if none arrives.
func (b bare) reply(within time.Duration) (string, error) {
	b.t.Helper()
	must(b.t, b.SetReadDeadline(time.Now().Add(within)))
	piece := make([]byte, 64)
	n, err := b.Read(piece)
	return string(piece[:n]), err
}

func (b bare) answers(command, want string) {
	b.t.Helper()
	b.send(command)
	if got, err := b.reply(wait.Limit); err != nil || got != want {
		b.t.Fatalf("%s: %q, %v; want %q", command, got, err, want)
	}
}

// silent fails unless the connection is open and nothing arrives.
func (b bare) silent() {
	b.t.Helper()
	got, err := b.reply(soon)
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		b.t.Fatalf("%q, %v; want silence", got, err)
	}
}

func (b bare) closed() {
	b.t.Helper()
	if got, err := b.reply(wait.Limit); got != "" || err == nil || errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "timeout") {
		b.t.Fatalf("%q, %v; want it closed", got, err)
	}
}

func TestAFrozenServerGoesOnWhereItWas(t *testing.T) {
	s := redistest.Start(t)
	conn := dial(t, s.URL())
	conn.answers("INCR n", ":1\r\n")
	s.Freeze()
	conn.send("INCR n")
	conn.silent()
	s.Thaw()
	if got, err := conn.reply(wait.Limit); err != nil || got != ":2\r\n" {
		t.Fatalf("thawed: %q, %v", got, err)
	}
}

func TestAFrozenServerCanBeStoppedAndKilled(t *testing.T) {
	s := redistest.Start(t)
	for _, end := range []func(){s.Stop, s.Kill} {
		s.Freeze()
		began := time.Now()
		end()
		if took := time.Since(began); took > wait.Limit/4 {
			t.Errorf("took %v", took)
		}
		s.Freeze() // the server need not run
		s.Thaw()
		s.Restart(t)
	}
	must(t, client(t, s).Ping(t.Context()).Err())
}

func TestKilledClientsComeBack(t *testing.T) {
	s := redistest.Start(t)
	normal, subscriber := dial(t, s.URL()), dial(t, s.URL())
	normal.answers("PING", "+PONG\r\n")
	subscriber.answers("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
	s.KillClients(t)
	normal.closed()
	subscriber.closed()
	dial(t, s.URL()).answers("PING", "+PONG\r\n")
}

func TestABlackHoleStaysOne(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s)
	old := dial(t, p.URL())
	old.answers("INCR old", ":1\r\n")
	p.Swallow(true)
	old.send("INCR old")
	old.silent()
	fresh := dial(t, p.URL())
	fresh.send("INCR fresh")
	fresh.silent()
	s.KillClients(t) // the server's end closes, and the client's does not notice
	old.silent()

	p.Swallow(false)
	works := dial(t, p.URL())
	works.answers("INCR works", ":1\r\n")
	for _, hole := range []bare{old, fresh} {
		hole.send("INCR late")
		hole.silent()
	}
	c := client(t, s)
	if n := c.Get(t.Context(), "old").Val(); n != "1" {
		t.Errorf("swallowed, and %s were counted", n)
	}
	if n := c.Exists(t.Context(), "fresh", "late").Val(); n != 0 {
		t.Error("something came through a black hole")
	}

	p.Cut()
	for _, conn := range []bare{old, fresh, works} {
		conn.closed()
	}
	dial(t, p.URL()).answers("INCR works", ":2\r\n")
}

func TestWhatTheServerSendsIsSwallowedToo(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s)
	subscriber := dial(t, p.URL())
	subscriber.answers("SUBSCRIBE c", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n")
	p.Swallow(true)
	if n := client(t, s).Publish(t.Context(), "c", "x").Val(); n != 1 {
		t.Fatalf("the server sees %d subscribers", n)
	}
	subscriber.silent()
	p.Swallow(false)
	must(t, subscriber.Close())
	if n := client(t, s).Publish(t.Context(), "c", "x").Val(); n != 1 {
		t.Errorf("the server was told of the end of a black hole: it sees %d subscribers", n)
	}
	p.Cut()
	counted(t, func() bool { return client(t, s).Publish(t.Context(), "c", "x").Val() == 0 }, "a cut connection has its subscriber")
}

// counted waits until a condition holds.
func counted(t *testing.T, holds func() bool, otherwise string) {
	t.Helper()
	again, late := time.NewTicker(5*time.Millisecond), time.After(wait.Limit)
	defer again.Stop()
	for !holds() {
		select {
		case <-again.C:
		case <-late:
			t.Fatal(otherwise)
		}
	}
}

func TestAProxyStillLosesWhatItsHooksSay(t *testing.T) {
	s := redistest.Start(t)
	p := redistest.StartProxy(t, s)
	lose := func([]byte) bool { return false }
	p.Reply.Store(&lose)
	conn := dial(t, p.URL())
	conn.send("INCR n")
	if _, err := conn.reply(wait.Limit); !errors.Is(err, io.EOF) {
		t.Fatalf("the reply is lost: %v", err)
	}
	p.Reply.Store(nil)
	dial(t, p.URL()).answers("GET n", "$1\r\n1\r\n")
}

func TestFailovers(t *testing.T) {
	c := redistest.StartReplicatedCluster(t, 3, 1)
	if n := len(c.Nodes()); n != 6 {
		t.Fatalf("%d nodes", n)
	}
	for shard, want := range c.Masters {
		if got := c.Master(t, shard); got != want {
			t.Errorf("shard %d is at %s, want %s", shard, got.Addr(), want.Addr())
		}
	}
	shard := c.Shard(int(c.Client(t, 0).ClusterKeySlot(t.Context(), "k").Val()))
	count := func(want int64) {
		t.Helper()
		if n, err := c.Master(t, shard).Client(t).Incr(t.Context(), "k").Result(); err != nil || n != want {
			t.Errorf("counted to %d instead of %d: %v", n, want, err)
		}
	}
	first, second := c.Masters[shard], c.Replicas[shard][0]
	count(1)

	c.Failover(t, shard)
	if got := c.Master(t, shard); got != second {
		t.Fatalf("handed over, it is at %s", got.Addr())
	}
	count(2)
	end := c.Migrate(t, "k")
	end()
	must(t, second.Client(t).Wait(t.Context(), 1, wait.Limit).Err())

	if killed := c.KillMaster(t, shard); killed != second {
		t.Fatalf("killed %s", killed.Addr())
	}
	if got := c.Master(t, shard); got != first {
		t.Fatalf("promoted, it is at %s", got.Addr())
	}
	count(3)

	second.Restart(t)
	c.Settle(t)
	if got := c.Master(t, shard); got != first {
		t.Errorf("back again, it is at %s", got.Addr())
	}
	first.Freeze()
	c.AwaitPromotion(t, shard, first)
	first.Thaw()
	c.Settle(t)
	if got := c.Master(t, shard); got != second {
		t.Errorf("after a freeze it is at %s", got.Addr())
	}
	count(4)
}
