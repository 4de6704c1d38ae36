package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatcore/tests/child"
	"chatcore/tests/wait"
)

// stopPatience bounds the stop of a worker; its handlers may finish meanwhile.
const stopPatience = wait.Limit

// crew are the workers of a run. Each has a post, with its own way to Redis, where another one replaces it after its end. mu guards: commands to
// workers.
type crew struct {
	t        *testing.T
	dir      string // of their logs
	late     bool   // whether new workers run the group that begins later
	posts    []*post
	watchers sync.WaitGroup
	mu       sync.Mutex // guards: late, the posts' workers
}

type post struct {
	crew    *crew
	place   int
	config  workerConfig
	workers int    // it has had
	name    string // of the present worker
	process *child.Process
	heeding chan struct{} // closed when it heeds SIGTERM
	running chan struct{}
	leaves  *atomic.Bool // whether the present worker may end, also with an error
}

// hire puts a worker on a post of its own for each configuration. They are killed when the test ends.
func hire(t *testing.T, configs ...workerConfig) *crew {
	t.Helper()
	c := &crew{t: t, dir: t.TempDir()}
	t.Cleanup(func() {
		for _, p := range c.posts {
			p.kill()
		}
		c.watchers.Wait()
	})
	for i, config := range configs {
		p := &post{crew: c, place: i, config: config}
		c.posts = append(c.posts, p)
		p.start()
	}
	late := time.After(stopPatience)
	for _, p := range c.posts {
		select {
		case <-p.running:
		case <-p.process.Exited():
			t.Fatalf("worker %s does not run:\n%s", p.name, p.log())
		case <-late:
			t.Fatalf("worker %s does not run after %v:\n%s", p.name, stopPatience, p.log())
		}
	}
	return c
}

// start puts a new worker on the post.
func (p *post) start() {
	p.workers++
	p.name = fmt.Sprintf("%s%d.%d", p.config.Role.initial(), p.place, p.workers)
	config := p.config
	config.Name, config.Late = p.name, p.crew.late
	encoded, err := json.Marshal(config)
	if err != nil {
		p.crew.t.Error(err)
		return
	}
	log, err := os.Create(p.logFile())
	if err != nil {
		p.crew.t.Error(err)
		return
	}
	defer func() { _ = log.Close() }()
	said := newSays(heeding, running)
	cmd := exec.Command(os.Args[0]) //nolint:gosec // this program
	cmd.Env = append(os.Environ(), workerVariable+"="+string(encoded))
	cmd.Stdout, cmd.Stderr = said, log
	process, err := child.Start(cmd)
	if err != nil {
		p.crew.t.Error(err)
		return
	}
	name, leaves := p.name, &atomic.Bool{}
	p.process, p.heeding, p.running, p.leaves = process, said.heard[heeding], said.heard[running], leaves
	p.crew.watchers.Go(func() {
		if err := process.Err(); !leaves.Load() {
			p.crew.t.Errorf("worker %s ended by itself: %v\n%s", name, err, p.crew.logOf(name))
		}
	})
}

// kill ends the worker as a crash would.
func (p *post) kill() { p.end(syscall.SIGKILL) }

// stop signals the worker to stop and waits for its end.
func (p *post) stop() {
	select {
	case <-p.process.Exited(): // which was signaled
		return
	default:
	}
	began := time.Now()
	select { // before that, the signal would end it as a kill does
	case <-p.heeding:
	case <-p.process.Exited():
	case <-time.After(stopPatience):
		p.crew.t.Errorf("worker %s does not begin:\n%s", p.name, p.log())
	}
	excused := p.leaves.Load()
	p.end(syscall.SIGTERM)
	if err := p.process.Err(); err != nil && !excused {
		p.crew.t.Errorf("worker %s was told to stop and ended after %v: %v\n%s", p.name, time.Since(began), err, p.log())
	}
}

// stopAll stops all workers, and returns a function that starts others in their places.
func (c *crew) stopAll() (start func()) {
	var all sync.WaitGroup
	for _, p := range c.posts {
		all.Go(p.stop)
	}
	all.Wait()
	return func() {
		for _, p := range c.posts {
			p.start()
		}
	}
}

// excuse allows the workers that are there to end by themselves, with an error.
func (c *crew) excuse() {
	for _, p := range c.posts {
		p.leaves.Store(true)
	}
}

func (p *post) end(sig os.Signal) {
	if p.process == nil {
		return
	}
	p.leaves.Store(true)
	p.process.End(sig, stopPatience)
}

func (p *post) logFile() string { return filepath.Join(p.crew.dir, p.name+".log") }
func (p *post) log() string     { return p.crew.logOf(p.name) }

// logOf returns the end of a worker's log.
func (c *crew) logOf(name string) string {
	const lines = 30
	text, err := os.ReadFile(filepath.Join(c.dir, name+".log")) //nolint:gosec // its own file
	if err != nil {
		return err.Error()
	}
	all := bytes.SplitAfter(text, []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], nil))
}

// says hears which words have been written to it, each on a line of its own.
type says struct {
	got   []byte
	heard map[string]chan struct{}
}

func newSays(words ...string) *says {
	s := &says{heard: make(map[string]chan struct{})}
	for _, word := range words {
		s.heard[word] = make(chan struct{})
	}
	return s
}

func (s *says) Write(piece []byte) (int, error) {
	s.got = append(s.got, piece...)
	for {
		line, rest, whole := bytes.Cut(s.got, []byte("\n"))
		if !whole {
			return len(piece), nil
		}
		s.got = rest
		if heard := s.heard[string(line)]; heard != nil {
			select {
			case <-heard:
			default:
				close(heard)
			}
		}
	}
}
