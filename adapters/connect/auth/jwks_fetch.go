package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/golang-jwt/jwt/v5"

	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

const (
	defaultRefresh      = 15 * time.Minute
	defaultFetchTimeout = 5 * time.Second
	defaultMaxAge       = 24 * time.Hour
	fetchPause          = 10 * time.Second // least time between two fetches that JWTs with unknown keys cause
	maxRedirects        = 3
	maxFetchHeader      = 64 << 10 // bytes of an answer's header
)

// checkJWKSURL refuses a URL by which others could supply keys: plain http, save to this machine.
func checkJWKSURL(text string) error {
	u, err := url.Parse(text)
	if err == nil && u.Host != "" && u.User == nil && (u.Scheme == "https" || u.Scheme == "http" && isLoopbackHost(u.Hostname())) {
		return nil
	}
	return &domain.InvalidError{Field: "jwt.jwks-url", Problem: "is no URL of a JWK Set that can be trusted", Allowed: "https://HOST/PATH without a password, or http:// to this machine"}
}

// isLoopbackHost reports whether a host name or address is this machine.
func isLoopbackHost(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.Unmap().IsLoopback()
}

// fetchedKeys is a key set and the time of the fetch that returned it.
type fetchedKeys struct {
	*keySet
	at time.Time
}

// remoteKeys are the keys of a JWK Set that run fetches. Keys stay in use while fetches fail, for maxAge.
type remoteKeys struct {
	url                      string
	client                   *http.Client
	refresh, timeout, maxAge time.Duration
	clock                    func() time.Time
	logger                   *slog.Logger
	current                  atomic.Pointer[fetchedKeys] // nil before the first success
	wanted                   chan struct{}               // has an element if a fetch is asked for; filled and emptied under mu, received by run

	mu sync.Mutex
	// mu guards: begun, fetching, err, next.
	begun    time.Time     // of the last fetch
	fetching bool          // it has not ended
	err      error         // of the last fetch that has ended; not nil before
	next     chan struct{} // closed when the fetch that runs, or the next one, has ended
}

func newRemoteKeys(config JWTConfig) *remoteKeys {
	k := &remoteKeys{
		url: config.JWKSURL, refresh: cmp.Or(config.Refresh, defaultRefresh), timeout: cmp.Or(config.FetchTimeout, defaultFetchTimeout),
		maxAge: cmp.Or(config.MaxAge, defaultMaxAge), clock: config.Clock, logger: config.Logger,
		wanted: make(chan struct{}, 1), next: make(chan struct{}), err: errors.New("the JWK Set has not been fetched yet"),
	}
	transport := config.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, TLSHandshakeTimeout: k.timeout, MaxResponseHeaderBytes: maxFetchHeader, DisableKeepAlives: true,
		}
	}
	k.client = &http.Client{Transport: transport, CheckRedirect: sameHost}
	return k
}

// sameHost refuses a redirect to another host, port or scheme, and a chain of them.
func sameHost(r *http.Request, via []*http.Request) error {
	if from := via[0].URL; r.URL.Host != from.Host || r.URL.Scheme != from.Scheme {
		return errors.New("redirect to another host refused")
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// usable returns the keys, or ports.ErrUnavailable if there are none or they are too old.
func (k *remoteKeys) usable() (*keySet, error) {
	keys := k.current.Load()
	if keys != nil && k.clock().Sub(keys.at) < k.maxAge {
		return keys.keySet, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return nil, fmt.Errorf("%w: no keys to verify JWTs: %w", ports.ErrUnavailable, k.err)
}

func (k *remoteKeys) ready() error {
	_, err := k.usable()
	return err
}

func (k *remoteKeys) key(ctx context.Context, token *jwt.Token) (any, error) {
	keys, err := k.usable()
	if err != nil {
		return nil, err
	}
	key, err := keys.key(ctx, token)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	if err := k.fetchAgain(ctx); err != nil {
		return nil, fmt.Errorf("%w: the JWT names an unknown key: %w", ports.ErrUnavailable, err)
	}
	if keys, err = k.usable(); err != nil {
		return nil, err
	}
	return keys.key(ctx, token)
}

// fetchAgain waits for the fetch that runs, or for a new one; if the last one began a moment ago and has ended, it waits for none. It returns the
// error of that fetch.
func (k *remoteKeys) fetchAgain(ctx context.Context) error {
	next, err := k.askForFetch()
	if next == nil {
		return err
	}
	timer := time.NewTimer(k.timeout)
	defer timer.Stop()
	select {
	case <-next:
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.err
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fmt.Errorf("the JWK Set was not fetched within %s", k.timeout)
	}
}

// askForFetch returns a channel that is closed when the fetch that runs, or the next one, has ended. It asks for one if none runs. If the last one began
// a moment ago and has ended, it returns no channel but the error of that fetch.
func (k *remoteKeys) askForFetch() (next <-chan struct{}, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fetching {
		return k.next, nil
	}
	if k.clock().Sub(k.begun) < fetchPause {
		return nil, k.err
	}
	select {
	case k.wanted <- struct{}{}:
	default: // asked for already
	}
	return k.next, nil
}

// run fetches the set at once, then every refresh, sooner after a failure, and whenever it is asked for, until ctx ends.
func (k *remoteKeys) run(ctx context.Context) {
	pauses := backoff.Policy{First: time.Second, Max: time.Minute, Jitter: true}
	for failures := 0; ctx.Err() == nil; {
		err := k.fetch(ctx)
		pause := k.refresh
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			failures++
			pause = min(pause, pauses.Pause(failures))
			k.logger.WarnContext(ctx, "JWK Set not fetched, trying again", "url", k.url, "retry_in", pause, "error", err)
		case failures > 0:
			failures = 0
			k.logger.InfoContext(ctx, "JWK Set fetched again", "url", k.url)
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-k.wanted:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// fetch replaces the keys by those of the set. If it returns an error, the keys stay as they are.
func (k *remoteKeys) fetch(ctx context.Context) error {
	began := k.clock()
	k.mu.Lock()
	k.begun, k.fetching = began, true
	select {
	case <-k.wanted: // the callers that asked wait for this fetch
	default:
	}
	k.mu.Unlock()
	keys, err := k.get(ctx)
	if err == nil {
		k.current.Store(&fetchedKeys{keys, began})
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.fetching = err, false
	close(k.next)
	k.next = make(chan struct{})
	return err
}

func (k *remoteKeys) get(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, err
	}
	response, err := k.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close() //nolint:errcheck // it was only read
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the server of the JWK Set answers %s", response.Status)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxKeySet+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxKeySet:
		return nil, fmt.Errorf("the JWK Set has more than %d bytes", maxKeySet)
	}
	return parseJWKS(text) //nolint:contextcheck // it stays in memory
}

// hostOf returns the host of an address with or without a port. It returns "" for an address that has neither form.
func hostOf(address string) string {
	if host, _, err := net.SplitHostPort(address); err == nil {
		return host
	}
	if inner, bracketed := strings.CutPrefix(address, "["); bracketed {
		inner, closed := strings.CutSuffix(inner, "]")
		if !closed {
			return ""
		}
		return inner
	}
	return address
}
