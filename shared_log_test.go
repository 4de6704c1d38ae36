package chatcore_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"chatcore"
	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports/groups"
	"chatcore/tests/redistest"
)

// sharedLog is a log with consumer groups that several processes use.
type sharedLog struct {
	t *testing.T
	// open opens the core of another process. cut takes its store of groups away, as the network may, until the end of the test.
	open func(c chatcore.Config) (core *chatcore.Core, cut func())
	// loseStreams removes the entries of the streams, all but the last of each.
	loseStreams func()
	// progress returns what the store has of a group's chats beyond their checkpoints, as Redis has it. It is nil if the test cannot read it.
	progress func(group string) map[string]string
}

// onEachSharedLog runs a test on Redis, and on a custom log in memory.
func onEachSharedLog(t *testing.T, test func(t *testing.T, log *sharedLog)) {
	t.Run("redis", func(t *testing.T) { test(t, redisLog(t)) })
	t.Run("custom log", func(t *testing.T) { test(t, memoryLog(t)) })
}

// onEachLog runs a test on Redis, in memory and on a custom log.
func onEachLog(t *testing.T, test func(t *testing.T, open func(chatcore.Config) *chatcore.Core)) {
	onEachBackend(t, test)
	t.Run("custom log", func(t *testing.T) {
		log := memoryLog(t)
		test(t, func(c chatcore.Config) *chatcore.Core {
			core, _ := log.open(c)
			return core
		})
	})
}

func redisLog(t *testing.T) *sharedLog {
	server := redistest.Shared(t)
	client, namespace := server.Client(t), "shared-"+uuid.NewString()
	keys := func(pattern string) []string {
		return must[[]string](t)(client.Keys(t.Context(), namespace+":"+pattern).Result())
	}
	return &sharedLog{
		t: t,
		open: func(c chatcore.Config) (core *chatcore.Core, cut func()) {
			proxy := redistest.StartProxy(t, server)
			c.Redis.URL, c.Redis.Namespace, c.Log.Partitions = proxy.URL(), namespace, 2
			core = opened(t)(chatcore.New(t.Context(), c))
			return core, func() { proxy.Swallow(true) }
		},
		loseStreams: func() {
			for _, stream := range keys("message-delivery-stream*") {
				must[int64](t)(client.XTrimMaxLen(t.Context(), stream, 1).Result())
			}
		},
		progress: func(group string) map[string]string {
			all := make(map[string]string)
			for _, key := range keys("*g:failing:" + group) {
				for chat, text := range must[map[string]string](t)(client.HGetAll(t.Context(), key).Result()) {
					all[chat] = text
				}
			}
			return all
		},
	}
}

func memoryLog(t *testing.T) *sharedLog {
	codec, local := wireformat.New(), live.NewLocal(0)
	log := memory.New(codec, machineClock{}, local.Announce)
	stores := memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: machineClock{}, Partitions: 2})
	return &sharedLog{
		t: t,
		open: func(c chatcore.Config) (core *chatcore.Core, cut func()) {
			var gone atomic.Bool
			faults := memgroup.WithFaults(stores, func(memgroup.Call) memgroup.Fault { return memgroup.Fault{NotMade: gone.Load()} })
			core = opened(t)(chatcore.New(t.Context(), c, chatcore.WithEventLog(chatcore.EventLog{
				ID: log.ID(), Log: log, Groups: faults, Backlog: stores.Backlog(), Live: local,
			})))
			return core, func() { gone.Store(true) }
		},
		loseStreams: func() {
			for _, p := range stores.Partitions() {
				last := must[groups.StreamID](t)(stores.Store("none").Last(t.Context(), p))
				must[int](t)(stores.Lose(t.Context(), p, func(e groups.Entry) bool { return e.ID != last }))
			}
		},
	}
}

// machineClock is the time of the machine.
type machineClock struct{}

func (machineClock) Now() time.Time { return time.Now() }

func (machineClock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pushes records the handler starts of a group in one process. Messages whose content has a failure fail with it.
type pushes struct {
	*chatcore.Core
	stop func()
	cut  func()

	mu       sync.Mutex // guards the fields below
	failures map[string]error
	starts   map[string][]chatcore.Delivery[domain.MessageNew]
	handled  []string
}

// newPushes opens a process with a group "push" that handles messages. failures are by the content of the messages.
func (l *sharedLog) newPushes(failures map[string]error, options ...chatcore.SubscribeOption) *pushes {
	l.t.Helper()
	config := chatcore.Config{StopTimeout: 2 * time.Second}
	config.Delivery.Lease = group.MinLease
	config.Delivery.Retry = chatcore.RetryPolicy{Attempts: 1_000_000, First: time.Millisecond, Max: 20 * time.Millisecond}
	p := &pushes{failures: failures, starts: make(map[string][]chatcore.Delivery[domain.MessageNew])}
	p.Core, p.cut = l.open(config)
	options = append(options, chatcore.FromBeginning(), chatcore.On(p.handle))
	if err := p.Subscribe("push", options...); err != nil {
		l.t.Fatal(err)
	}
	p.stop = start(l.t, p.Core)
	return p
}

func (p *pushes) handle(_ context.Context, d chatcore.Delivery[domain.MessageNew]) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	content := string(d.Event.Content)
	p.starts[content] = append(p.starts[content], d)
	if err := p.failures[content]; err != nil {
		return err
	}
	p.handled = append(p.handled, content)
	return nil
}

// mend ends the failures.
func (p *pushes) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.failures = nil
}

// startsOf returns the starts with a message.
func (p *pushes) startsOf(content string) []chatcore.Delivery[domain.MessageNew] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]chatcore.Delivery[domain.MessageNew](nil), p.starts[content]...)
}

// count returns how often messages whose contents begin with a prefix were handled.
func (p *pushes) count(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, content := range p.handled {
		if strings.HasPrefix(content, prefix) {
			n++
		}
	}
	return n
}

// startCount returns how often handlers were started with messages whose contents begin with a prefix.
func (p *pushes) startCount(prefix string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for content, starts := range p.starts {
		if strings.HasPrefix(content, prefix) {
			n += len(starts)
		}
	}
	return n
}
