package consume_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	"chatcore/adapters/memory"
	"chatcore/adapters/pubsub/group"
	"chatcore/adapters/pubsub/live"
	"chatcore/adapters/pubsub/memgroup"
	"chatcore/adapters/wireformat"
	"chatcore/consume"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// instance is a core on a log in memory that serves the pull group "g" over HTTP.
type instance struct {
	core   *chatcore.Core
	groups *memgroup.Groups
	url    string
	sent   atomic.Int64
	stop   func() // ends the server and the core
	probes *server.Probes
}

// draining reports whether the server stops.
func (i *instance) draining() bool {
	answer := httptest.NewRecorder()
	i.probes.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/readyz", nil))
	return answer.Code != http.StatusOK
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// member is a membership in memory.
type member struct{ *group.Member }

func (m member) Leave(ctx context.Context) error {
	m.Stop()
	select {
	case <-m.Done():
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serve starts an instance.
func serve(t testing.TB, d groups.Definition) *instance {
	t.Helper()
	clock := systemClock{}
	codec, bus := wireformat.New(), live.NewLocal(0)
	log := memory.New(codec, clock, bus.Announce)
	i := &instance{groups: memgroup.New(memgroup.Config{Log: log, Codec: codec, Clock: clock, Partitions: 4})}
	definitions := memory.NewDefinitions(clock)
	core, err := chatcore.New(t.Context(), chatcore.Config{}, chatcore.WithEventLog(chatcore.EventLog{
		ID: log.ID(), Log: log, Groups: i.groups, Backlog: i.groups.Backlog(), Live: bus, Definitions: definitions,
	}))
	if err != nil {
		t.Fatal(err)
	}
	i.core = core
	d.Group, d.Kind, d.Start.Beginning = "g", groups.KindPull, true
	running, end := context.WithCancel(context.Background())
	join := func(ctx context.Context, c group.Config, h group.Handler) (group.Membership, error) {
		c.Store, c.Partitions, c.LogID, c.Backlog, c.Codec = i.groups.Store("g"), i.groups.Partitions(), log.ID(), i.groups.Backlog(), codec
		c.Logger, c.Counters = slog.New(slog.DiscardHandler), &group.Counters{}
		joined, err := group.Join(ctx, c, h)
		if err == nil {
			go joined.Run(running)
		}
		return member{joined}, err
	}
	if d, err = definitions.Define(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	if _, err := core.Consumers().Run(running, d.WithDefaults(), join); err != nil {
		t.Fatal(err)
	}
	closeServer := i.listen(t)
	i.stop = sync.OnceFunc(func() {
		closeServer()
		core.Consumers().Close()
		end()
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(i.stop)
	return i
}

// listen serves the API until stop is called.
func (i *instance) listen(t testing.TB) (stop func()) {
	t.Helper()
	logger := slog.New(slog.DiscardHandler)
	handler, err := connect.New(i.core, connect.Config{Logger: logger})
	if err != nil {
		t.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Sessions: i.core.Sessions, Local: true, OnError: connect.OnAuthError(nil)})
	if err != nil {
		t.Fatal(err)
	}
	i.probes = server.NewProbes(func(context.Context) error { return nil }, logger)
	s, err := server.New(server.Config{
		Handler: authenticator.Middleware(handler), Probes: i.probes, Logger: logger, BeginsStream: connect.BeginsStream,
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	i.url = "http://" + listener.Addr().String()
	serving, end := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(serving, listener) }()
	return func() {
		end()
		if err := <-ended; err != nil && !errors.Is(err, server.ErrCut) {
			t.Error(err)
		}
	}
}

// send sends n messages to each of some chats.
func (i *instance) send(t testing.TB, n int, chats ...string) {
	t.Helper()
	for _, chat := range chats {
		_, err := i.core.Chats.Create(t.Context(), domain.Create{Chat: domain.ChatID(chat), Actor: "ada", Title: "T"})
		if err != nil && !errors.Is(err, domain.ErrChatExists) {
			t.Fatal(err)
		}
		for range n {
			send := domain.Send{Chat: domain.ChatID(chat), Actor: "ada", MessageID: domain.MessageID(fmt.Sprint("m", i.sent.Add(1))), Content: "x"}
			if _, err := i.core.Chats.Send(t.Context(), send); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// ledger notes what a handler was given.
type ledger struct {
	mu       sync.Mutex
	seqs     map[string][]uint32 // mu guards; by chat
	attempts map[string]int      // mu guards; the last attempt by event
}

func newLedger() *ledger {
	return &ledger{seqs: make(map[string][]uint32), attempts: make(map[string]int)}
}

func (l *ledger) note(d consume.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seqs[d.Event.GetChatId()] = append(l.seqs[d.Event.GetChatId()], d.Event.GetSeq())
	l.attempts[d.Event.GetId()] = d.Attempt
}

// firsts returns the seqs of a chat, each at its first time.
func (l *ledger) firsts(chat string) (firsts []uint32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var last uint32
	for _, seq := range l.seqs[chat] {
		if seq > last {
			firsts = append(firsts, seq)
			last = seq
		}
	}
	return firsts
}

// run runs a consumer until stop is called, which returns how it has ended.
func run(t testing.TB, c consume.Config, h consume.Handler) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if c.Group == "" {
		c.Group = "g"
	}
	c.Logger = slog.New(slog.DiscardHandler)
	ended := make(chan error, 1)
	go func() { ended <- consume.Run(ctx, c, h) }()
	stop = sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(2 * time.Minute):
			return errors.New("the consumer does not end")
		}
	})
	t.Cleanup(func() { _ = stop() })
	return stop
}
