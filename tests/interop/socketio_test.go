//go:build interop

package interop

import (
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// balance accepts connections on a port, and forwards each to the first program that accepts it, the next one first for the next connection.
func balance(t *testing.T, programs ...*program) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for turn := 0; ; turn++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(conn, turn, programs)
		}
	}()
	return "http://" + listener.Addr().String()
}

func forward(conn net.Conn, turn int, programs []*program) {
	for i := range programs {
		to, err := net.Dial("tcp", programs[(turn+i)%len(programs)].address.Load().Host)
		if err != nil {
			continue
		}
		go func() {
			_, _ = io.Copy(to, conn)
			_ = conn.Close()
			_ = to.Close()
		}()
		_, _ = io.Copy(conn, to)
		_ = to.Close()
		break
	}
	_ = conn.Close()
}

// TestSocketIO runs examples/socketio on two instances, with real Socket.IO clients. Instances of the example and of chatcore, and Redis, end in between:
// each client gets each message once and in order.
func TestSocketIO(t *testing.T) {
	example, err := filepath.Abs("../../examples/socketio")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(example, "dist", "main.js")); err != nil {
		t.Fatalf("%v; `make interop` builds the example", err)
	}
	service := startService(t)
	faults := service.faults(t)
	front := httptest.NewServer(service.front(t, faults))
	t.Cleanup(front.Close)
	core := front.URL + "/a," + front.URL + "/b"
	env := append(os.Environ(), "CHATCORE_URL="+core, "CHATCORE_TOKEN="+service.token, "CORE="+core, "TOKEN="+service.token, "FAULTS="+front.URL)
	start := func() *exec.Cmd {
		cmd := exec.Command("node", "dist/main.js")
		cmd.Dir, cmd.Env = example, env
		return cmd
	}
	one, other := startProgram(t, start), startProgram(t, start)
	faults["kill-one"] = func() error { return one.again(syscall.SIGKILL) }
	faults["stop-other"] = func() error { return other.again(syscall.SIGTERM) }

	p := &project{t: t}
	out := p.with(append(env, "URL="+balance(t, one, other)), example, "node", "test/clients.mjs")
	reported(t, strings.TrimSpace(out))
}
