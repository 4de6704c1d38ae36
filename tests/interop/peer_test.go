//go:build interop

package interop

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// patience bounds a wait for something that happens at once on an idle machine.
const patience = wait.Limit

// peer is a service in TypeScript: the Node program in node/peer.mjs.
type peer struct {
	t  *testing.T
	in io.Writer

	mu      sync.Mutex
	calls   int
	answers map[int]chan line
	heard   map[string]chan json.RawMessage
	ready   chan struct{}
}

type line struct {
	Ready   bool            `json:"ready"`
	ID      int             `json:"id"`
	Result  json.RawMessage `json:"result"`
	Error   string          `json:"error"`
	Channel string          `json:"channel"`
	Message json.RawMessage `json:"message"`
}

// startPeer runs a peer on a Redis until the test ends.
func startPeer(t *testing.T, url string) *peer {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("the other side of these tests runs on Node: %v; `make interop` installs it where it may", err)
	}
	cmd := exec.Command(node, "peer.mjs")
	cmd.Dir, cmd.Env, cmd.Stderr = "node", append(os.Environ(), "REDIS_URL="+url), os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, in: in, answers: make(map[int]chan line), heard: make(map[string]chan json.RawMessage), ready: make(chan struct{})}
	var listened error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		listened = p.listen(out)
	}()
	t.Cleanup(func() {
		_ = in.Close()
		<-ended
		if err := errors.Join(listened, cmd.Wait()); err != nil {
			t.Errorf("the peer ended with %v", err)
		}
	})
	select {
	case <-p.ready:
	case <-ended:
		t.Fatal("the peer has ended before it began; `make interop` installs what it needs")
	case <-time.After(patience):
		t.Fatal("the peer does not begin")
	}
	return p
}

func (p *peer) listen(out io.Reader) error {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return err
		}
		switch {
		case l.Ready:
			close(p.ready)
		case l.Channel != "":
			p.hears(l.Channel) <- l.Message
		default:
			p.mu.Lock()
			answer := p.answers[l.ID]
			delete(p.answers, l.ID)
			p.mu.Unlock()
			answer <- l
		}
	}
	return lines.Err()
}

func (p *peer) hears(channel string) chan json.RawMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.heard[channel] == nil {
		p.heard[channel] = make(chan json.RawMessage, 1024)
	}
	return p.heard[channel]
}

// does makes the peer run an operation, and returns its result.
func does[T any](p *peer, op string, args ...any) T {
	p.t.Helper()
	if args == nil {
		args = []any{}
	}
	p.mu.Lock()
	p.calls++
	id, answer := p.calls, make(chan line, 1)
	p.answers[id] = answer
	request, err := json.Marshal(map[string]any{"id": id, "op": op, "args": args})
	if err == nil {
		_, err = p.in.Write(append(request, '\n'))
	}
	p.mu.Unlock()
	if err != nil {
		p.t.Fatal(err)
	}
	var result T
	select {
	case l := <-answer:
		if l.Error != "" {
			p.t.Fatalf("%s%v: %s", op, args, l.Error)
		}
		if err := json.Unmarshal(l.Result, &result); err != nil {
			p.t.Fatalf("%s%v gives %s: %v", op, args, l.Result, err)
		}
	case <-time.After(patience):
		p.t.Fatalf("%s%v does not end", op, args)
	}
	return result
}

// message returns the next message that the peer hears on a channel.
func (p *peer) message(channel string) map[string]any {
	p.t.Helper()
	select {
	case raw := <-p.hears(channel):
		var fields map[string]any
		if err := json.Unmarshal(raw, &fields); err != nil {
			p.t.Fatalf("on %s came %s: %v", channel, raw, err)
		}
		return fields
	case <-time.After(patience):
		p.t.Fatalf("nothing came on %s", channel)
		return nil
	}
}

// eventually calls so until it returns true. Each call is a round trip, so the loop does not spin.
func eventually(t *testing.T, so func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !so(); {
		if time.Now().After(until) {
			t.Fatal("it does not come to be so")
		}
	}
}
