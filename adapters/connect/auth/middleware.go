package auth

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"sync"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// Sessions returns the session of a token, and reports whether sessions are live. [*app.Sessions] implements it.
type Sessions interface {
	Get(ctx context.Context, token app.SessionToken) (domain.Session, error)
	Ref(token app.SessionToken, session domain.Session) ports.SessionRef
	Live(ctx context.Context, refs []ports.SessionRef) ([]bool, error)
}

// Config says which credentials are accepted. A kind that is nil is not: its tokens are [ErrUnauthenticated].
type Config struct {
	Tokens   *ServiceTokens
	Sessions Sessions
	JWT      *JWT

	// Local makes callers without a credential a service with the id [LocalID] and all scopes, if their request can only come from a program on this machine; other
	// requests without a credential are refused with [ErrNotLocal]. It is for a server on loopback without tokens, see [IsLocalMode], and excludes Tokens and
	// JWT. Defaults to false: such callers are [Nobody].
	Local bool

	// Browsers lets browsers sign in: a request without an Authorization header then has the credential that its cookie stands for, if a page of the server
	// itself has made it. Defaults to nil: cookies are ignored. It excludes Local.
	Browsers *Browsers

	// OnError answers a request whose authentication failed with err: [ErrUnauthenticated], [ErrNotLocal], [ErrCrossSite] or [ports.ErrUnavailable]. It is
	// required.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
}

// Authenticator authenticates requests. Its methods may be called concurrently.
type Authenticator struct {
	config Config
	local  Principal // of callers without a credential in local mode
}

// New returns an authenticator. It returns a [*domain.InvalidError] for a configuration that contradicts itself.
func New(config Config) (*Authenticator, error) {
	if config.OnError == nil {
		return nil, &domain.InvalidError{Field: "OnError", Problem: "is nil", Allowed: "a function that answers the request"}
	}
	if config.Local && (config.Tokens != nil || config.JWT != nil) {
		return nil, &domain.InvalidError{Field: "Local", Problem: "is set beside tokens", Allowed: "local mode without service tokens and JWTs"}
	}
	if config.Browsers != nil && (config.Local || config.Browsers.Store == nil) {
		return nil, &domain.InvalidError{Field: "Browsers", Problem: "is set beside local mode, or without a store", Allowed: "a store, without local mode"}
	}
	return &Authenticator{config: config, local: localService()}, nil
}

// Middleware returns a handler that authenticates a request and has next serve it, with its principal in the context. A request that fails is answered by
// Config.OnError instead. A request without an Authorization header and without the cookie of a browser that is signed in passes as [Nobody], or in local mode as
// the local service.
func (a *Authenticator) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, c, err := a.authenticate(r)
		if err != nil {
			a.config.OnError(w, r, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(authenticated(r.Context(), p, c)))
	})
}

// Authenticate returns the principal of a request. A session token costs one round trip to Redis, and counts as a use of its session.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, error) {
	p, _, err := a.authenticate(r)
	return p, err
}

// authenticate is Authenticate, which also returns the credential.
func (a *Authenticator) authenticate(r *http.Request) (Principal, Credential, error) {
	kind, token, err := credentialOf(r.Header)
	if err != nil {
		return nil, Credential{}, err
	}
	if kind == noCredential {
		if p, c, found, err := a.browser(r); found {
			return p, c, err
		}
		return a.anonymous(r)
	}
	return a.verify(r.Context(), kind, token)
}

// verify returns the principal of a token, whose form has decided its kind.
func (a *Authenticator) verify(ctx context.Context, kind credentialKind, token string) (Principal, Credential, error) {
	switch kind {
	case serviceCredential:
		return a.service(token)
	case jwtCredential:
		if a.config.JWT != nil {
			user, err := a.config.JWT.Authenticate(ctx, token)
			if err != nil {
				return nil, Credential{}, err
			}
			return user, Credential{authenticator: a, expires: user.Expires, jwt: true}, nil
		}
	case sessionCredential, noCredential:
	}
	return a.session(ctx, token) // another program's token may have dots too
}

func (a *Authenticator) anonymous(r *http.Request) (Principal, Credential, error) {
	if !a.config.Local {
		return Nobody{}, Credential{authenticator: a}, nil
	}
	if err := checkLocal(r); err != nil {
		return nil, Credential{}, err
	}
	return a.local, Credential{authenticator: a, local: true}, nil
}

func (a *Authenticator) service(token string) (Principal, Credential, error) {
	if a.config.Tokens == nil {
		return nil, Credential{}, ErrUnauthenticated
	}
	service, err := a.config.Tokens.Authenticate(ServiceToken(token))
	if err != nil {
		return nil, Credential{}, err
	}
	return service, Credential{authenticator: a, expires: service.Expires, service: service.ID, sum: sha256.Sum256([]byte(token))}, nil
}

func (a *Authenticator) session(ctx context.Context, token string) (Principal, Credential, error) {
	if a.config.Sessions == nil {
		return nil, Credential{}, ErrUnauthenticated
	}
	session, err := a.config.Sessions.Get(ctx, app.SessionToken(token))
	switch {
	case errors.Is(err, domain.ErrNoSession):
		return nil, Credential{}, ErrUnauthenticated
	case err != nil:
		return nil, Credential{}, unavailable(ctx, err)
	}
	ref := a.config.Sessions.Ref(app.SessionToken(token), session)
	return User{ID: session.User, Session: session.ID, Expires: session.EndsAt}, Credential{authenticator: a, expires: session.EndsAt, session: &ref}, nil
}

// Ready returns nil if every kind of credential can be checked by this process, and otherwise [ports.ErrUnavailable] with the reason.
func (a *Authenticator) Ready() error {
	if a.config.JWT == nil {
		return nil
	}
	return a.config.JWT.Ready()
}

// Run follows changes of tokens and keys until ctx ends, and returns when its goroutines have ended.
func (a *Authenticator) Run(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	if a.config.Tokens != nil {
		running.Go(func() { a.config.Tokens.Run(ctx) })
	}
	if a.config.JWT != nil {
		running.Go(func() { a.config.JWT.Run(ctx) })
	}
}
