package auth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/ports"
	"chatcore/tests/wait"
)

// remote returns a JWT whose keys come from a server. change adjusts its configuration.
func (s *signer) remote(t testing.TB, server *keyServer, change func(c *auth.JWTConfig)) *auth.JWT {
	t.Helper()
	config := s.config()
	config.JWKSURL, config.Logger, config.Refresh, config.FetchTimeout = server.URL, (&logBuffer{}).logger(), time.Hour, wait.Limit
	if change != nil {
		change(&config)
	}
	return newJWT(t, config)
}

func ready(j *auth.JWT) func() bool { return func() bool { return j.Ready() == nil } }

// authenticates returns the error of a signer's usual token.
func (s *signer) authenticates(ctx context.Context, t testing.TB, j *auth.JWT) error {
	t.Helper()
	_, err := j.Authenticate(ctx, s.sign(t, s.claims()))
	return err
}

// TestJWKS_BeforeTheFirstFetch is not ready, which is never "unauthenticated", and becomes ready by itself.
func TestJWKS_BeforeTheFirstFetch(t *testing.T) {
	s := newSigner(t, "k")
	server := newKeyServer(t, s.jwk())
	server.fail()
	j := s.remote(t, server, nil)
	check := func(when string) {
		t.Helper()
		if err := j.Ready(); !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: ready: %v", when, err)
		}
		if err := s.authenticates(t.Context(), t, j); !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("%s: %v", when, err)
		}
	}
	check("before Run")
	running(t, j.Run)
	wait.Until(t, "the first fetch fails", func() bool { return strings.Contains(fmt.Sprint(j.Ready()), "502") })
	check("while the server fails")
	server.serve(s.jwk())
	wait.Until(t, "it is ready", ready(j))
	if err := s.authenticates(t.Context(), t, j); err != nil {
		t.Error(err)
	}
}

// TestJWKS_Rotation replaces the key of the set. A token that names the new key has the set fetched; further unknown keys do not, for a while.
func TestJWKS_Rotation(t *testing.T) {
	s, next, stranger := newSigner(t, "k"), newSigner(t, "next"), newSigner(t, "stranger")
	server := newKeyServer(t, s.jwk())
	j := s.remote(t, server, nil)
	running(t, j.Run)
	wait.Until(t, "it is ready", ready(j))
	server.serve(s.jwk(), next.jwk())
	if err := next.authenticates(t.Context(), t, j); !errors.Is(err, auth.ErrUnauthenticated) || server.requests.Load() != 1 {
		t.Errorf("an unknown key right after a fetch: %v, %d requests", err, server.requests.Load())
	}
	s.clock.move(10 * time.Second)
	var asking sync.WaitGroup
	for range 20 { // together they cause one fetch
		asking.Go(func() {
			if err := next.authenticates(t.Context(), t, j); err != nil {
				t.Error(err)
			}
		})
	}
	asking.Wait()
	if n := server.requests.Load(); n != 2 {
		t.Errorf("the set is fetched %d times, want 2", n)
	}
	const some = 50
	for range some {
		if err := stranger.authenticates(t.Context(), t, j); !errors.Is(err, auth.ErrUnauthenticated) {
			t.Errorf("a stranger: %v", err)
		}
	}
	if n := server.requests.Load(); n != 2 {
		t.Errorf("strangers cause %d fetches", n-2)
	}
	server.serve(next.jwk()) // the old key is revoked
	s.clock.move(10 * time.Second)
	if err := stranger.authenticates(t.Context(), t, j); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a stranger: %v", err)
	}
	if err := s.authenticates(t.Context(), t, j); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a revoked key: %v", err)
	}
}

// TestJWKS_Refreshes fetches the set without being asked.
func TestJWKS_Refreshes(t *testing.T) {
	s := newSigner(t, "k")
	server := newKeyServer(t, s.jwk())
	j := s.remote(t, server, func(c *auth.JWTConfig) { c.Refresh = quickly })
	running(t, j.Run)
	const some = 5
	wait.Until(t, "several fetches", func() bool { return server.requests.Load() >= some })
}

// TestJWKS_Outage has the server fail in every way after the first fetch. Known keys stay in use until MaxAge, and an unknown one is not "unauthenticated".
func TestJWKS_Outage(t *testing.T) {
	s, next := newSigner(t, "k"), newSigner(t, "next")
	elsewhere := newKeyServer(t, next.jwk())
	released := make(chan struct{})
	hang := func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-released:
		}
	}
	for name, answer := range map[string]http.HandlerFunc{
		"status":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"not found": http.NotFound,
		"keys, not OK": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			fmt.Fprintln(w, jwks(next.jwk()))
		},
		"no content": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"empty":      func(http.ResponseWriter, *http.Request) {},
		"HTML":       func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "<html>") },
		"no keys":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, jwks()) },
		"no list":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"error": "later"}`) },
		"truncated":  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, jwks(next.jwk())[:60]) },
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9999")
			fmt.Fprintln(w, jwks(next.jwk()))
		},
		"text after": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, jwks(next.jwk()), "x") },
		"large": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, jwks(next.jwk()), strings.Repeat(" ", 256<<10))
		},
		"without an end": endless,
		"many keys": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintln(w, jwks(strings.Repeat(next.jwk()+",", 64)+next.jwk()))
		},
		"closed":          func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"hanging":         hang,
		"hanging body":    func(w http.ResponseWriter, r *http.Request) { _ = http.NewResponseController(w).Flush(); hang(w, r) },
		"to another host": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere.URL, http.StatusFound) },
		"in a circle":     func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) },
		"to a file": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "file:///etc/hosts", http.StatusFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClock()
			server := newKeyServer(t, s.jwk())
			j := s.remote(t, server, func(config *auth.JWTConfig) {
				config.Clock = c.Now
				if strings.HasPrefix(name, "hanging") {
					config.FetchTimeout = 50 * time.Millisecond
				}
			})
			running(t, j.Run)
			wait.Until(t, "it is ready", ready(j))
			server.handle(answer)
			c.move(10 * time.Second)
			if err := next.authenticates(t.Context(), t, j); !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("an unknown key: %v", err)
			}
			if err := s.authenticates(t.Context(), t, j); err != nil || j.Ready() != nil {
				t.Errorf("a known key: %v, ready: %v", err, j.Ready())
			}
			wait.Until(t, "the fetch is asked for", func() bool { return server.requests.Load() >= 2 })
			server.serve(s.jwk(), next.jwk())
			c.move(10 * time.Second)
			wait.Until(t, "it recovers", func() bool { return next.authenticates(t.Context(), t, j) == nil })
		})
	}
	close(released)
	if n := elsewhere.requests.Load(); n != 0 {
		t.Errorf("the other host is asked %d times", n)
	}
}

func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := fmt.Fprintln(w, strings.Repeat(" ", 4<<10)); err != nil {
			return
		}
	}
}

// TestJWKS_MaxAge stops the use of keys that could not be fetched for too long.
func TestJWKS_MaxAge(t *testing.T) {
	s := newSigner(t, "k")
	server := newKeyServer(t, s.jwk())
	j := s.remote(t, server, func(c *auth.JWTConfig) { c.MaxAge = time.Minute })
	running(t, j.Run)
	wait.Until(t, "it is ready", ready(j))
	server.fail()
	s.clock.move(time.Minute - 1)
	if err := s.authenticates(t.Context(), t, j); err != nil {
		t.Errorf("within MaxAge: %v", err)
	}
	s.clock.move(1)
	if err := s.authenticates(t.Context(), t, j); !errors.Is(err, ports.ErrUnavailable) || !errors.Is(j.Ready(), ports.ErrUnavailable) {
		t.Errorf("beyond MaxAge: %v, ready: %v", err, j.Ready())
	}
}

// TestJWKS_SameHostRedirect is followed.
func TestJWKS_SameHostRedirect(t *testing.T) {
	s := newSigner(t, "k")
	server := newKeyServer(t)
	server.handle(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/keys" {
			http.Redirect(w, r, "/keys", http.StatusMovedPermanently)
			return
		}
		fmt.Fprintln(w, jwks(s.jwk()))
	})
	j := s.remote(t, server, nil)
	running(t, j.Run)
	wait.Until(t, "it is ready", ready(j))
}

// TestJWKS_TLS fetches over https, and refuses a redirect to http.
func TestJWKS_TLS(t *testing.T) {
	s := newSigner(t, "k")
	plain := newKeyServer(t, s.jwk())
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/plain" {
			http.Redirect(w, r, plain.URL, http.StatusFound)
			return
		}
		fmt.Fprintln(w, jwks(s.jwk()))
	}))
	t.Cleanup(server.Close)
	config := s.config()
	config.JWKSURL, config.Logger, config.Transport = server.URL, (&logBuffer{}).logger(), server.Client().Transport
	j := newJWT(t, config)
	running(t, j.Run)
	wait.Until(t, "it is ready", ready(j))
	config.JWKSURL += "/plain"
	j = newJWT(t, config)
	running(t, j.Run)
	wait.Until(t, "the redirect is refused", func() bool { return strings.Contains(fmt.Sprint(j.Ready()), "another host") })
}

// TestJWKS_CanceledCaller returns when its caller gives up, with the caller's error.
func TestJWKS_CanceledCaller(t *testing.T) {
	s, next := newSigner(t, "k"), newSigner(t, "next")
	server := newKeyServer(t, s.jwk())
	j := s.remote(t, server, nil)
	running(t, j.Run)
	wait.Until(t, "it is ready", ready(j))
	s.clock.move(10 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.handle(func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		<-r.Context().Done()
	})
	if err := next.authenticates(ctx, t, j); !errors.Is(err, context.Canceled) || !errors.Is(err, ports.ErrUnavailable) {
		t.Error(err)
	}
}
