package connect_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"google.golang.org/protobuf/reflect/protoreflect"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// guarded is a server with authentication in front of the handler, on a core on Redis.
type guarded struct {
	t        testing.TB
	core     *chatcore.Core
	handler  http.Handler // with authentication
	url      string
	client   *http.Client
	services map[string]string                // tokens, by what the service may do
	invalid  map[string]func(p *place) string // tokens that are not valid, by the reason
	sign     func(user string, expires time.Time) string
	places   *int
}

// of returns the same server for a subtest.
func (g *guarded) of(t testing.TB) *guarded {
	other := *g
	other.t = t
	return &other
}

const (
	issuer   = "https://id.example"
	audience = "chat"
)

func newGuarded(t testing.TB, change ...func(*connect.Config)) *guarded {
	t.Helper()
	core, err := chatcore.New(t.Context(), chatcore.Config{
		Redis:  chatcore.RedisConfig{URL: redistest.Start(t).URL(), Namespace: "api-" + uuid.NewString()},
		Log:    chatcore.LogConfig{Partitions: 2},
		Limits: chatcore.LimitsConfig{Rates: map[string]app.Limit{app.LimitLogin: {Rate: 1000, Per: time.Hour}, "tight": {Rate: 2, Per: time.Hour}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	g := &guarded{t: t, core: core, client: &http.Client{Transport: &http.Transport{}}, services: make(map[string]string), places: new(int)}
	t.Cleanup(func() {
		g.client.CloseIdleConnections()
		if err := core.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := core.SubscribeBuiltins(); err != nil {
		t.Fatal(err)
	}
	if err := core.Subscribe("g"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	if err := core.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := core.Wait(); err != nil {
			t.Error(err)
		}
	})
	config := connect.Config{EventTypes: map[domain.CustomType]int{"poll:voted": 2}}
	for _, c := range change {
		c(&config)
	}
	handler, err := connect.New(core, config)
	if err != nil {
		t.Fatal(err)
	}
	g.handler = g.authenticator().Middleware(handler)
	server := httptest.NewUnstartedServer(g.handler)
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	g.url = server.URL
	wait.Until(t, "the groups own their partitions", func() bool { // from then on they start no more goroutines of their own
		groups, err := core.Groups().List(t.Context())
		return err == nil && len(groups) == 2 && !slices.ContainsFunc(groups, func(s chatcore.GroupState) bool {
			return slices.ContainsFunc(s.Partitions, func(p chatcore.PartitionState) bool { return p.Owner == "" })
		})
	})
	return g
}

// authenticator makes credentials of every kind, and what accepts them.
func (g *guarded) authenticator() *auth.Authenticator {
	g.t.Helper()
	var entries []auth.TokenEntry
	service := func(id string, scopes auth.Scopes) (string, *auth.TokenEntry) {
		token, entry, err := auth.NewServiceToken(id, scopes)
		if err != nil {
			g.t.Fatal(err)
		}
		entries = append(entries, entry)
		return string(token), &entries[len(entries)-1]
	}
	g.services["all"], _ = service("all", auth.AllScopes())
	for i, scope := range auth.AllScopes() {
		g.services["without "+string(scope)], _ = service(fmt.Sprint("without-", i), slices.DeleteFunc(auth.AllScopes(), func(s auth.Scope) bool { return s == scope }))
	}
	expired, entry := service("expired", auth.AllScopes())
	entry.Expires = time.Now().Add(-time.Minute)
	tokens, err := auth.OpenServiceTokens(auth.TokensConfig{Entries: entries})
	if err != nil {
		g.t.Fatal(err)
	}
	jwts := g.jwts()
	g.invalid = map[string]func(*place) string{
		"a service with a wrong secret": func(*place) string { return "cc_all_" + g.services["without chats:read"][len("cc_without-1_"):] },
		"no credential of any kind":     func(*place) string { return "nonsense" },
		"an expired service token":      func(*place) string { return expired },
		"an expired JWT":                func(p *place) string { return g.sign(p.member(), time.Now().Add(-time.Hour)) },
		"a session closed a moment ago": func(p *place) string { return p.closedLogin() },
	}
	a, err := auth.New(auth.Config{Tokens: tokens, Sessions: g.core.Sessions, JWT: jwts, OnError: connect.OnAuthError(nil)})
	if err != nil {
		g.t.Fatal(err)
	}
	return a
}

// jwts accepts the JWTs that sign signs.
func (g *guarded) jwts() *auth.JWT {
	g.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		g.t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		g.t.Fatal(err)
	}
	file := filepath.Join(g.t.TempDir(), "keys.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		g.t.Fatal(err)
	}
	accepted, err := auth.NewJWT(auth.JWTConfig{KeyFile: file, Algorithms: []string{"ES256"}, Issuer: issuer, Audiences: []string{audience}})
	if err != nil {
		g.t.Fatal(err)
	}
	g.sign = func(user string, expires time.Time) string {
		token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": issuer, "aud": audience, "sub": user, "exp": expires.Unix()})
		text, err := token.SignedString(key)
		if err != nil {
			g.t.Fatal(err)
		}
		return text
	}
	return accepted
}

// place is a chat of its own with users of its own, one of each kind.
type place struct {
	*guarded
	n        int
	chat     string
	commands int
}

func (p *place) user(name string) string { return fmt.Sprint(name, "-", p.n) }
func (p *place) owner() string           { return p.user("olga") }
func (p *place) admin() string           { return p.user("adam") }
func (p *place) member() string          { return p.user("mia") }
func (p *place) other() string           { return p.user("otto") }   // a member as well
func (p *place) former() string          { return p.user("fred") }   // was removed
func (p *place) outsider() string        { return p.user("oscar") }  // never was a member
func (p *place) stranger() string        { return p.user("stefan") } // the same

// newPlace makes the chat, with a message of the member.
func (g *guarded) newPlace() *place {
	g.t.Helper()
	*g.places++
	p := &place{guarded: g, n: *g.places, chat: fmt.Sprintf("chat-%06d", *g.places)}
	chat, owner, ctx := domain.ChatID(p.chat), domain.UserID(p.owner()), g.t.Context()
	did := func(_ any, err error) {
		g.t.Helper()
		if err != nil {
			g.t.Fatal(err)
		}
	}
	did(g.core.Chats.Create(ctx, domain.Create{
		Chat: chat, Actor: owner,
		Members: []domain.UserID{domain.UserID(p.admin()), domain.UserID(p.member()), domain.UserID(p.other()), domain.UserID(p.former())},
	}))
	did(g.core.Chats.Promote(ctx, domain.Promote{Chat: chat, Actor: owner, User: domain.UserID(p.admin()), Role: domain.RoleAdmin}))
	did(g.core.Chats.Send(ctx, domain.Send{Chat: chat, Actor: domain.UserID(p.member()), MessageID: "m", Content: "hello"}))
	did(g.core.Chats.Remove(ctx, domain.Remove{Chat: chat, Actor: owner, User: domain.UserID(p.former())}))
	return p
}

// login is a session of a user.
type login struct{ token, id string }

func (g *guarded) login(user string) login {
	g.t.Helper()
	opened, err := g.core.Sessions.Open(g.t.Context(), domain.OpenSession{User: domain.UserID(user)})
	if err != nil {
		g.t.Fatal(err)
	}
	return login{string(opened.Token), string(opened.ID)}
}

// closedLogin returns the token of a session that was used, and closed.
func (p *place) closedLogin() string {
	p.t.Helper()
	l := p.login(p.member())
	if got := p.post("/chatcore.v1.SessionService/ListSessions", l.token, "application/json", []byte("{}")); got.status != http.StatusOK {
		p.t.Fatalf("%d %s", got.status, got.body)
	}
	if err := p.core.Sessions.Close(p.t.Context(), domain.UserID(p.member()), domain.SessionID(l.id)); err != nil {
		p.t.Fatal(err)
	}
	return l.token
}

// call calls a method in the Connect protocol with JSON.
func (g *guarded) call(m protoreflect.MethodDescriptor, token string, request object) answer {
	g.t.Helper()
	text, err := json.Marshal(request)
	if err != nil {
		g.t.Fatal(err)
	}
	return g.callText(m, token, text)
}

func (g *guarded) callText(m protoreflect.MethodDescriptor, token string, text []byte) answer {
	g.t.Helper()
	path := fmt.Sprintf("/%s/%s", m.Parent().FullName(), m.Name())
	if m.IsStreamingServer() {
		if m.IsStreamingClient() {
			g = g.overHTTP2()
			defer g.client.CloseIdleConnections()
		}
		return g.post(path, token, "application/connect+json", envelope(text)).lastMessage(g.t)
	}
	return g.post(path, token, "application/json", text)
}

// overHTTP2 returns g with a client of HTTP/2.
func (g *guarded) overHTTP2() *guarded {
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	other := *g
	other.client = &http.Client{Transport: &http.Transport{Protocols: &protocols}}
	return &other
}

// post sends a request, and reads the code of an error in the form of Connect.
func (g *guarded) post(path, token, contentType string, body []byte) answer {
	g.t.Helper()
	request, err := http.NewRequestWithContext(g.t.Context(), http.MethodPost, g.url+path, bytes.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := g.client.Do(request)
	if err != nil {
		g.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	got := answer{status: response.StatusCode, header: response.Header}
	if got.status == http.StatusOK && strings.HasSuffix(path, ".FeedService/Watch") {
		got.body = feedBody(g.t, response.Body)
		return got
	}
	if got.body, err = io.ReadAll(response.Body); err != nil {
		g.t.Fatal(err)
	}
	if got.status != http.StatusOK {
		got.code = codeOf(got.body)
	}
	return got
}

// feedBody returns the body of a feed up to where it has nothing more to give at once, as if it ended there.
func feedBody(t testing.TB, body io.Reader) (read []byte) {
	t.Helper()
	const last = 2
	for {
		flags, message := readEnvelope(t, body)
		framed := envelope(message)
		framed[0] = flags
		read = append(read, framed...)
		if flags&last != 0 {
			return read
		}
		if bytes.Contains(message, []byte("caughtUp")) || bytes.Contains(message, []byte("chatLeft")) {
			end := envelope([]byte("{}"))
			end[0] = last
			return append(read, end...)
		}
	}
}

func codeOf(body []byte) string {
	var e struct{ Code string }
	if err := json.Unmarshal(body, &e); err != nil || e.Code == "" {
		return "no code"
	}
	return e.Code
}

// envelope returns a message as the Connect protocol carries it in a stream.
func envelope(text []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(text))), text...)
}

// lastMessage returns the answer of a stream: the error of its last message, or its first message.
func (a answer) lastMessage(t testing.TB) answer {
	t.Helper()
	const head, last = 5, 2
	for rest := a.body; len(rest) >= head && a.status == http.StatusOK; {
		size := int(binary.BigEndian.Uint32(rest[1:head]))
		if rest[0]&last != 0 {
			var end struct{ Error json.RawMessage }
			if err := json.Unmarshal(rest[head:head+size], &end); err != nil {
				t.Fatal(err)
			}
			if end.Error != nil {
				a.body, a.code = end.Error, codeOf(end.Error)
			}
			return a
		}
		rest = rest[head+size:]
	}
	if a.status == http.StatusOK {
		t.Errorf("a stream without an end: %q", a.body)
	}
	return a
}
