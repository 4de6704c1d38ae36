package connect_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	rpc "connectrpc.com/connect"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// world is a core that serves the API. A request without a credential is that of a service with all scopes.
type world struct {
	core *chatcore.Core
	url  string

	namespace string // on Redis
	handler   http.Handler
	log       *logText
	ids       atomic.Int64
	doomed    atomic.Int64 // groups that tests have taken

	mu     sync.Mutex // guards tokens
	tokens map[domain.UserID]string
}

// worldConfig is what tests change of a world.
type worldConfig struct {
	core    chatcore.Config
	options []chatcore.Option
	api     connect.Config
	wrap    func(http.Handler) http.Handler // around the whole server
}

// onEachBackend runs a test on Redis and in memory.
func onEachBackend(t *testing.T, test func(t *testing.T, w *world)) {
	t.Run("redis", func(t *testing.T) { test(t, redisWorld(t, worldConfig{})) })
	t.Run("memory", func(t *testing.T) { test(t, memoryWorld(t, worldConfig{})) })
}

func redisWorld(t testing.TB, c worldConfig) *world {
	t.Helper()
	if c.core.Redis.URL == "" {
		c.core.Redis.URL = redistest.Shared(t).URL()
	}
	c.core.Redis.Namespace, c.core.Log.Partitions = "connect-"+uuid.NewString(), 2
	c.core.Limits.Rates, c.core.Webhooks = limited(c.core.Limits.Rates), webhookKey()
	core, err := chatcore.New(t.Context(), c.core, c.options...)
	w := newWorld(t, c, core, err)
	w.namespace = c.core.Redis.Namespace
	return w
}

func memoryWorld(t testing.TB, c worldConfig) *world {
	t.Helper()
	c.core.Limits.Rates, c.core.Webhooks = limited(c.core.Limits.Rates), webhookKey()
	core, err := chatcore.NewInMemory(c.core, c.options...)
	return newWorld(t, c, core, err)
}

func newWorld(t testing.TB, c worldConfig, core *chatcore.Core, err error) *world {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := errors.Join(core.SubscribeBuiltins(), core.SubscribeDefined(), subscribeFailing(core)); err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	if err := core.Start(running); err != nil {
		stop()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stop()
		if err := core.Wait(); err != nil && !errors.Is(err, chatcore.ErrGroupDeleted) {
			t.Errorf("the core ended with %v", err)
		}
	})
	w := &world{core: core, log: &logText{}, tokens: make(map[domain.UserID]string)}
	if c.api.Logger == nil {
		c.api.Logger = slog.New(slog.NewTextHandler(w.log, nil))
	}
	if c.api.EventTypes == nil {
		c.api.EventTypes = map[domain.CustomType]int{"poll:voted": 3}
	}
	c.api.OpenReflection = true
	handler, err := connect.New(core, c.api)
	if err != nil {
		t.Fatal(err)
	}
	w.serve(t, handler, c.wrap)
	return w
}

// serve serves a handler behind the middleware of package auth, over HTTP/1.1 and HTTP/2 without TLS.
func (w *world) serve(t testing.TB, handler http.Handler, wrap func(http.Handler) http.Handler) {
	t.Helper()
	authenticator, err := auth.New(auth.Config{Sessions: w.core.Sessions, Local: true, OnError: connect.OnAuthError(nil)})
	if err != nil {
		t.Fatal(err)
	}
	handler = authenticator.Middleware(handler)
	if wrap != nil {
		handler = wrap(handler)
	}
	w.listen(t, handler)
}

// listen serves a handler over HTTP/1.1 and HTTP/2 without TLS.
func (w *world) listen(t testing.TB, handler http.Handler) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	var open atomic.Int64 // connections: net/http keeps that of a refused body for half a second
	count := func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		case http.StateActive, http.StateIdle:
		}
	}
	server := &http.Server{ConnState: count, Handler: handler, Protocols: &protocols, ReadHeaderTimeout: wait.Limit, ErrorLog: slog.NewLogLogger(slog.NewTextHandler(w.log, nil), slog.LevelError)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("the server ended with %v", err)
		}
		wait.Until(t, "the server's connections have ended", func() bool { return open.Load() == 0 })
	})
	w.handler, w.url = handler, "http://"+listener.Addr().String()
}

// client returns a client whose connections are closed with the test.
func (*world) client(t testing.TB) *http.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// id returns an id that the test has not used.
func (w *world) id(prefix string) string { return fmt.Sprintf("%s-%d", prefix, w.ids.Add(1)) }

// token returns a session token of a user.
func (w *world) token(t testing.TB, user domain.UserID) string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tokens[user] == "" {
		opened, err := w.core.Sessions.Open(t.Context(), domain.OpenSession{User: user})
		if err != nil {
			t.Fatal(err)
		}
		w.tokens[user] = string(opened.Token)
	}
	return w.tokens[user]
}

// chat creates a chat of ada, owner, with bob as member, and returns its id.
func (w *world) chat(t testing.TB) string {
	t.Helper()
	id := w.id("chat")
	if _, err := w.core.Chats.Create(t.Context(), domain.Create{Chat: domain.ChatID(id), Actor: "ada", Title: "Title", Members: []domain.UserID{"bob"}}); err != nil {
		t.Fatal(err)
	}
	return id
}

// message sends a message of ada to a chat, and returns its id.
func (w *world) message(t testing.TB, chat string) string {
	t.Helper()
	id := w.id("message")
	send := domain.Send{Chat: domain.ChatID(chat), Actor: "ada", MessageID: domain.MessageID(id), Content: "hello"}
	if _, err := w.core.Chats.Send(t.Context(), send); err != nil {
		t.Fatal(err)
	}
	return id
}

// logText is the text that a logger wrote.
type logText struct {
	mu   sync.Mutex
	text []byte
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// refusal is an error of a call as its client sees it.
type refusal struct {
	code    rpc.Code
	message string
	detail  *v1.ErrorDetail // nil if there is none
}

func (r *refusal) Error() string { return fmt.Sprintf("%v: %s (%v)", r.code, r.message, r.detail) }

// refusalOf returns the error of a client of connect.
func refusalOf(err error) error {
	coded, ok := errorAs[*rpc.Error](err)
	if !ok {
		return err
	}
	r := &refusal{code: coded.Code(), message: coded.Message()}
	for _, d := range coded.Details() {
		if value, err := d.Value(); err == nil {
			r.detail, _ = proto.Clone(value).(*v1.ErrorDetail)
		}
	}
	return r
}
