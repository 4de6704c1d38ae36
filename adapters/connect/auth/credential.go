package auth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Credential is how a request was authenticated, for streams and tickets, which outlast the request. It contains no secret, except in compat mode of
// sessions, so its fields are hidden.
type Credential struct {
	authenticator *Authenticator // nil for a request that no authenticator has seen
	expires       time.Time      // zero if it does not expire
	session       *ports.SessionRef
	service       string // id of the service of a token, "" for other credentials
	sum           [sha256.Size]byte
	jwt, local    bool
}

// String hides the fields.
func (Credential) String() string { return "(credential)" }

// GoString hides the fields.
func (Credential) GoString() string { return "(credential)" }

// Expired reports whether the credential has reached its end. A JWT reaches it at its "exp": the leeway is for the beginning of calls only.
func (c Credential) Expired(now time.Time) bool { return !c.expires.IsZero() && !now.Before(c.expires) }

// Session returns the session of a session token, and false for other credentials.
func (c Credential) Session() (ports.SessionRef, bool) {
	if c.session == nil {
		return ports.SessionRef{}, false
	}
	return *c.session, true
}

// Revoked reports whether the token of a service has been removed or replaced, or has lost a scope. Sessions are checked by their store.
func (c Credential) Revoked(scope Scope) bool {
	if c.service == "" {
		return false
	}
	service, known := c.authenticator.config.Tokens.current(c.service, c.sum)
	return !known || !service.Allows(scope)
}

type credentialKey struct{}

// CredentialFrom returns the credential of a request's context. It is the zero value if no authenticator has seen the request.
func CredentialFrom(ctx context.Context) Credential {
	c, _ := ctx.Value(credentialKey{}).(Credential)
	return c
}

// authenticated returns a context with a principal and its credential.
func authenticated(ctx context.Context, p Principal, c Credential) context.Context {
	return With(context.WithValue(ctx, credentialKey{}, c), p)
}

// grant is the stored form of a principal and its credential.
type grant struct {
	Service string            `json:"service,omitempty"`
	SHA256  []byte            `json:"sha256,omitempty"`
	Local   bool              `json:"local,omitempty"`
	User    domain.UserID     `json:"user,omitempty"`
	JWT     bool              `json:"jwt,omitempty"`
	Session domain.SessionID  `json:"session,omitempty"`
	Owner   domain.UserID     `json:"owner,omitempty"` // as the store of sessions takes it
	Key     *ports.SessionKey `json:"key,omitempty"`
	Expires time.Time         `json:"expires,omitzero"`
}

// Grant returns the caller of a request and its credential as a text, for [Restore]. The text is a secret. It returns [ErrUnauthenticated] for a caller
// without a credential.
func Grant(ctx context.Context) ([]byte, error) {
	c := CredentialFrom(ctx)
	g := grant{Service: c.service, Local: c.local, JWT: c.jwt, Expires: c.expires}
	if c.service != "" {
		g.SHA256 = c.sum[:]
	}
	if user, ok := From(ctx).(User); ok {
		g.User = user.ID
	}
	if c.session != nil {
		g.Session, g.Owner, g.Key = c.session.ID, c.session.User, &c.session.Key
	}
	if g.Service == "" && !g.Local && !g.JWT && g.Key == nil {
		return nil, ErrUnauthenticated
	}
	return json.Marshal(g)
}

// Restore returns a context with the caller and the credential of a grant, if the credential is valid now: [ErrUnauthenticated] otherwise, and
// [ports.ErrUnavailable] if that cannot be checked. A session costs one round trip, and is not used by it. ctx is that of a request.
func Restore(ctx context.Context, text []byte) (context.Context, error) {
	a := CredentialFrom(ctx).authenticator
	var g grant
	if json.Unmarshal(text, &g) != nil || a == nil {
		return nil, ErrUnauthenticated
	}
	p, c, err := a.restore(ctx, g)
	if err != nil {
		return nil, err
	}
	if c.Expired(a.now()) {
		return nil, ErrUnauthenticated
	}
	return authenticated(ctx, p, c), nil
}

func (a *Authenticator) restore(ctx context.Context, g grant) (Principal, Credential, error) {
	c := Credential{authenticator: a, expires: g.Expires}
	user := User{ID: g.User, Session: g.Session, Expires: g.Expires}
	switch {
	case g.Local && a.config.Local:
		c.local = true
		return localService(), c, nil
	case g.Service != "" && a.config.Tokens != nil && len(g.SHA256) == sha256.Size:
		c.service, c.sum = g.Service, [sha256.Size]byte(g.SHA256)
		if service, known := a.config.Tokens.current(c.service, c.sum); known {
			return service, c, nil
		}
	case g.JWT && a.config.JWT != nil:
		c.jwt = true
		return user, c, nil
	case g.Key != nil && a.config.Sessions != nil:
		c.session = &ports.SessionRef{User: g.Owner, ID: g.Session, Key: *g.Key}
		live, err := a.config.Sessions.Live(ctx, []ports.SessionRef{*c.session})
		if err != nil {
			return nil, Credential{}, unavailable(ctx, err)
		}
		if live[0] {
			return user, c, nil
		}
	}
	return nil, Credential{}, ErrUnauthenticated
}

// now is the clock of expiries.
func (a *Authenticator) now() time.Time {
	if a.config.Tokens != nil {
		return a.config.Tokens.clock()
	}
	return time.Now()
}

func localService() Service { return Service{ID: LocalID, Scopes: AllScopes()} }
