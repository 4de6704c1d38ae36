package connect_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rpc "connectrpc.com/connect"
	"github.com/google/uuid"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/server"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/gen/chatcore/v1/chatcorev1connect"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// instance is one of several servers of one log, at an address that it keeps when it is started again.
type instance struct {
	t       *testing.T
	config  chatcore.Config
	tokens  *auth.ServiceTokens
	address string

	core  *chatcore.Core
	stop  context.CancelFunc
	ended chan error
}

// start opens a core and serves it. stopTimeout bounds how long calls in flight may last when it is stopped.
func (i *instance) start(stopTimeout time.Duration) {
	i.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	core, err := chatcore.New(context.WithoutCancel(i.t.Context()), i.config)
	if err != nil {
		i.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(i.t.Context()))
	i.core, i.stop, i.ended = core, stop, make(chan error, 1)
	handler, err := connect.New(core, connect.Config{Logger: quiet})
	if err != nil {
		i.t.Fatal(err)
	}
	authenticator, err := auth.New(auth.Config{Tokens: i.tokens, Sessions: core.Sessions, OnError: connect.OnAuthError(quiet)})
	if err != nil {
		i.t.Fatal(err)
	}
	s, err := server.New(server.Config{
		Handler: authenticator.Middleware(handler), Probes: server.NewProbes(core.Ready, quiet), Logger: quiet, StopTimeout: stopTimeout,
	})
	if err != nil {
		i.t.Fatal(err)
	}
	var listener net.Listener
	wait.Until(i.t, "the address is free", func() bool {
		listener, err = (&net.ListenConfig{}).Listen(i.t.Context(), "tcp", i.address)
		return err == nil
	})
	i.address = listener.Addr().String()
	running, stopCore := context.WithCancel(context.WithoutCancel(ctx))
	if err := core.Start(running); err != nil {
		i.t.Fatal(err)
	}
	go func() {
		served := s.Serve(ctx, listener)
		stopCore()
		if errors.Is(served, server.ErrCut) { // as meant
			served = nil
		}
		i.ended <- errors.Join(served, core.Wait())
	}()
}

// end stops the instance and waits for it.
func (i *instance) end() {
	i.t.Helper()
	i.stop()
	if err := <-i.ended; err != nil {
		i.t.Error(err)
	}
}

// caller sends messages one after another to one chat, each until it is accepted, to one instance after another.
type caller struct {
	name    string
	chat    string
	clients []chatcorev1connect.MessageServiceClient // by instance

	sent     []*v1.SendMessageResponse
	progress atomic.Int64 // messages that were accepted
	retries  int
	repeated int // messages that an earlier try had sent
}

// run sends until done is closed. It returns the first error that must not be retried.
func (c *caller) run(ctx context.Context, done <-chan struct{}) error {
	for try := 0; ; {
		select {
		case <-done:
			return nil
		default:
		}
		id := fmt.Sprint(c.name, "-", len(c.sent))
		res, err := c.clients[try%len(c.clients)].SendMessage(ctx, &v1.SendMessageRequest{ChatId: c.chat, ActorId: c.name, MessageId: id, Content: id})
		switch {
		case err == nil:
			c.sent = append(c.sent, res)
			c.progress.Add(1)
			if res.GetDuplicate() {
				c.repeated++
			}
			if res.GetMessageId() != id || res.GetDiffers() {
				return fmt.Errorf("%s: %v", id, res)
			}
		case rpc.CodeOf(err) == rpc.CodeUnavailable || rpc.CodeOf(err) == rpc.CodeDeadlineExceeded || !answered(err):
			try++ // at the next instance
			c.retries++
		default:
			return fmt.Errorf("%s: %w", id, err)
		}
	}
}

// answered reports whether an error came from the server and not from a connection.
func answered(err error) bool {
	var coded *rpc.Error
	return errors.As(err, &coded) && rpc.IsWireError(err)
}

// TestRollingRestart_LosesAndRepeatsNothing restarts two instances in turn while callers send over every protocol: first in order, then with calls in flight
// cut off. The log must have each accepted message once, in the order of its caller, at the seq that the answer named.
func TestRollingRestart_LosesAndRepeatsNothing(t *testing.T) {
	token, entry, err := auth.NewServiceToken("load", auth.AllScopes())
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
	if err != nil {
		t.Fatal(err)
	}
	config := chatcore.Config{
		Redis: chatcore.RedisConfig{URL: redistest.Shared(t).URL(), Namespace: "rolling-" + uuid.NewString()}, Log: chatcore.LogConfig{Partitions: 2},
		Logger: slog.New(slog.DiscardHandler),
	}
	const orderly, cut = 10 * time.Second, time.Millisecond
	instances := []*instance{{t: t, config: config, tokens: tokens, address: "127.0.0.1:0"}, {t: t, config: config, tokens: tokens, address: "127.0.0.1:0"}}
	for _, i := range instances {
		i.start(orderly)
	}
	callers := newCallers(t, instances, string(token))
	ctx, cancel := context.WithTimeout(t.Context(), 2*wait.Limit)
	defer cancel()
	done := make(chan struct{})
	results := make([]error, len(callers))
	var calling sync.WaitGroup
	for n, c := range callers {
		calling.Go(func() { results[n] = c.run(ctx, done) })
	}
	progressed := func() {
		t.Helper()
		var from []int64
		for _, c := range callers {
			from = append(from, c.progress.Load())
		}
		wait.Until(t, "every caller goes on", func() bool {
			return !slices.ContainsFunc(callers, func(c *caller) bool { return c.progress.Load() < from[slices.Index(callers, c)]+10 })
		})
	}
	for _, next := range []time.Duration{cut, orderly} { // how the instance stops next time
		for _, i := range instances {
			progressed()
			i.end()
			progressed()
			i.start(next)
		}
	}
	progressed()
	close(done)
	calling.Wait()
	if err := errors.Join(results...); err != nil {
		t.Error(err)
	}
	retries, repeated := 0, 0
	for _, c := range callers {
		c.check(t, instances[0].core)
		retries, repeated = retries+c.retries, repeated+c.repeated
	}
	if retries == 0 {
		t.Error("no call was repeated")
	}
	t.Logf("%d retries, of which %d found the message sent", retries, repeated)
	for _, i := range instances {
		i.end()
	}
}

// newCallers returns callers of every protocol. Two of them share each chat.
func newCallers(t *testing.T, instances []*instance, token string) (callers []*caller) {
	t.Helper()
	var only http.Protocols
	only.SetUnencryptedHTTP2(true)
	one, two := &http.Transport{}, &http.Transport{Protocols: &only}
	t.Cleanup(one.CloseIdleConnections)
	t.Cleanup(two.CloseIdleConnections)
	for n, via := range []struct {
		transport *http.Transport
		options   []rpc.ClientOption
	}{
		{one, []rpc.ClientOption{rpc.WithProtoJSON()}},
		{one, nil},
		{two, []rpc.ClientOption{rpc.WithGRPC()}},
		{two, []rpc.ClientOption{rpc.WithProtoJSON()}},
		{one, []rpc.ClientOption{rpc.WithGRPCWeb()}},
		{two, []rpc.ClientOption{rpc.WithGRPC()}},
	} {
		c := &caller{name: fmt.Sprint("caller", n), chat: fmt.Sprint("chat", n/2)}
		for _, i := range instances {
			c.clients = append(c.clients, chatcorev1connect.NewMessageServiceClient(&http.Client{Transport: via.transport}, "http://"+i.address, append(via.options, as(token))...))
		}
		callers = append(callers, c)
		chats, first := instances[0].core.Chats, domain.UserID(fmt.Sprint("caller", n/2*2))
		var err error
		if domain.UserID(c.name) == first {
			_, err = chats.Create(t.Context(), domain.Create{Chat: domain.ChatID(c.chat), Actor: first})
		} else {
			_, err = chats.Add(t.Context(), domain.Add{Chat: domain.ChatID(c.chat), Actor: first, User: domain.UserID(c.name)})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return callers
}

// check compares the log with the answers that the caller got.
func (c *caller) check(t *testing.T, core *chatcore.Core) {
	t.Helper()
	var found []domain.MessageNew
	var seqs []uint32
	for span := (domain.Span{First: true, Limit: 1000}); ; {
		records, err := core.Queries.Events(t.Context(), domain.ChatID(c.chat), span)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range records {
			if m, ok := r.Event.(domain.MessageNew); ok && string(m.Sender) == c.name {
				found, seqs = append(found, m), append(seqs, uint32(r.Seq))
			}
			span = domain.Span{After: r.Seq, Limit: 1000}
		}
		if len(records) < 1000 {
			break
		}
	}
	if len(found) < len(c.sent) || len(found) > len(c.sent)+1 { // the last one may have been cut off by the end of the test
		t.Errorf("%s: the log has %d messages, %d were accepted", c.name, len(found), len(c.sent))
	}
	for n, m := range found {
		if want := fmt.Sprint(c.name, "-", n); string(m.Message) != want || n < len(c.sent) && seqs[n] != c.sent[n].GetSeq() {
			t.Errorf("%s: message %d is %s at seq %d, want %s, accepted as %v", c.name, n, m.Message, seqs[n], want, c.sent[min(n, len(c.sent)-1)])
			return
		}
	}
}
