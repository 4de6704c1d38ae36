package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"time"

	"chatcore/domain"
)

// BrowserStore keeps the credentials of browsers that are signed in. [chatcore/ports.FeedState] has these methods, and their rules.
type BrowserStore interface {
	Keep(ctx context.Context, key string, value []byte, ttl time.Duration) error
	Get(ctx context.Context, key string) (value []byte, found bool, err error)
	Take(ctx context.Context, key string) (value []byte, found bool, err error)
}

// Browsers configures the sign-in of browsers by a cookie.
type Browsers struct {
	// Store keeps one value for each browser that is signed in, for every instance of the server. Required.
	Store BrowserStore
	// Lifetime is how long a browser is signed in, unless its credential ends before. Defaults to 12 h.
	Lifetime time.Duration
	// BehindProxy says that a proxy in front ends TLS: the cookie is for https alone, and the origin of the server is one of https.
	BehindProxy bool
}

const (
	browserLifetime = 12 * time.Hour
	maxHandle       = 128 // bytes of the value of a cookie

	// cookieName is the name of the cookie over plain HTTP. A browser takes secureCookieName over https from the host itself only, for its whole path.
	cookieName       = "chatcore_console"
	secureCookieName = "__Host-" + cookieName
)

// browserKey returns the key of a handle: a hash, so that a reader of the names of keys cannot use handles.
func browserKey(handle string) string {
	sum := sha256.Sum256([]byte(handle))
	return "console:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// SignIn checks a token, and sets a cookie that stands for it from then on. The token itself is neither in the cookie nor in the store, except that of a
// session in compat mode. It returns [ErrCrossSite] for a request that no page of the server has made, and [ErrUnauthenticated] for a token that is not
// valid. A browser that was signed in is signed out first.
func (a *Authenticator) SignIn(w http.ResponseWriter, r *http.Request, token string) (Principal, error) {
	if err := a.checkBrowser(r); err != nil {
		return nil, err
	}
	kind, token, err := credentialOf(http.Header{authorizationHeader: {bearerScheme + " " + token}})
	if err != nil {
		return nil, err
	}
	p, c, err := a.verify(r.Context(), kind, token)
	if err != nil {
		return nil, err
	}
	value, err := Grant(authenticated(r.Context(), p, c))
	if err != nil {
		return nil, err
	}
	if err := a.dropHandle(r); err != nil {
		return nil, err
	}
	life := a.lifetime(c)
	if life < time.Millisecond {
		return nil, ErrUnauthenticated
	}
	handle := rand.Text() + rand.Text()
	if err := a.config.Browsers.Store.Keep(r.Context(), browserKey(handle), value, life); err != nil {
		return nil, unavailable(r.Context(), err)
	}
	http.SetCookie(w, a.cookie(r, handle, int(life.Seconds())))
	return p, nil
}

// SignOut ends the sign-in of a browser, on every instance of the server, and removes its cookie. It returns [ErrCrossSite] for a request that no page of
// the server has made.
func (a *Authenticator) SignOut(w http.ResponseWriter, r *http.Request) error {
	if err := a.checkBrowser(r); err != nil {
		return err
	}
	if err := a.dropHandle(r); err != nil {
		return err
	}
	http.SetCookie(w, a.cookie(r, "", -1))
	return nil
}

// lifetime returns how long a sign-in with a credential lasts.
func (a *Authenticator) lifetime(c Credential) time.Duration {
	life := a.config.Browsers.Lifetime
	if life == 0 {
		life = browserLifetime
	}
	if !c.expires.IsZero() {
		life = min(life, c.expires.Sub(a.now()))
	}
	return life
}

// dropHandle removes the sign-in that the cookie of a request stands for, if there is one.
func (a *Authenticator) dropHandle(r *http.Request) error {
	handle := a.handleOf(r)
	if handle == "" {
		return nil
	}
	if _, _, err := a.config.Browsers.Store.Take(r.Context(), browserKey(handle)); err != nil {
		return unavailable(r.Context(), err)
	}
	return nil
}

// cookie returns the cookie with a handle.
func (a *Authenticator) cookie(r *http.Request, handle string, maxAge int) *http.Cookie {
	cookie := &http.Cookie{
		Name: cookieName, Value: handle, Path: "/", MaxAge: maxAge, HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: a.isSecure(r),
	}
	if cookie.Secure {
		cookie.Name = secureCookieName
	}
	return cookie
}

// isSecure reports whether the browser of a request uses https.
func (a *Authenticator) isSecure(r *http.Request) bool {
	return r.TLS != nil || a.config.Browsers.BehindProxy
}

// handleOf returns the handle in the cookie of a request, or "" if it has none. Of several cookies none counts: a page of another host of the domain may
// have set one.
func (a *Authenticator) handleOf(r *http.Request) string {
	if a.config.Browsers == nil {
		return ""
	}
	name := cookieName
	if a.isSecure(r) {
		name = secureCookieName
	}
	if found := r.CookiesNamed(name); len(found) == 1 && len(found[0].Value) <= maxHandle {
		return found[0].Value
	}
	return ""
}

// browser authenticates a request by its cookie. found is false if it has none.
func (a *Authenticator) browser(r *http.Request) (p Principal, c Credential, found bool, err error) {
	handle := a.handleOf(r)
	if handle == "" {
		return nil, Credential{}, false, nil
	}
	if err := a.checkCrossSite(r); err != nil {
		return nil, Credential{}, true, err
	}
	value, kept, err := a.config.Browsers.Store.Get(r.Context(), browserKey(handle))
	switch {
	case err != nil:
		return nil, Credential{}, true, unavailable(r.Context(), err)
	case !kept:
		return nil, Credential{}, true, ErrUnauthenticated
	}
	ctx, err := Restore(authenticated(r.Context(), Nobody{}, Credential{authenticator: a}), value)
	if err != nil {
		return nil, Credential{}, true, err
	}
	return From(ctx), CredentialFrom(ctx), true, nil
}

// checkBrowser returns the error for a request that may not sign a browser in or out.
func (a *Authenticator) checkBrowser(r *http.Request) error {
	if a.config.Browsers == nil {
		return &domain.InvalidError{Field: "Browsers", Problem: "is nil", Allowed: "a configuration with the sign-in of browsers"}
	}
	return a.checkCrossSite(r)
}
