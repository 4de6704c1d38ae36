package auth_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"chatcore/adapters/connect/auth"
)

// rsaKey makes one key for all tests: that takes long.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

// signer signs JWTs with an ECDSA key.
type signer struct {
	kid   string
	key   *ecdsa.PrivateKey
	clock *clock
}

func newSigner(t testing.TB, kid string) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &signer{kid, key, newClock()}
}

// claims returns those of an accepted token of ada, which expires in an hour.
func (s *signer) claims() jwt.MapClaims {
	return jwt.MapClaims{"iss": "https://id.example", "aud": "chat", "sub": "ada", "exp": s.clock.Now().Add(time.Hour).Unix()}
}

func (s *signer) sign(t testing.TB, claims jwt.Claims) string {
	t.Helper()
	return signed(t, jwt.SigningMethodES256, s.key, map[string]any{"kid": s.kid}, claims)
}

// signed returns a JWT with further header fields.
func signed(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims jwt.Claims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s *signer) jwk() string { return ecJWK(s.kid, s.key) }

func ecJWK(kid string, key *ecdsa.PrivateKey) string {
	public, err := key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	half := (len(public) - 1) / 2
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty": "EC", "crv": "P-256", "use": "sig", "kid": %q, "x": %q, "y": %q}`, kid, encode(public[1:1+half]), encode(public[1+half:]))
}

func rsaJWK(kid string, key *rsa.PublicKey) string {
	encode := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"kty": "RSA", "kid": %q, "n": %q, "e": %q}`, kid, encode(key.N.Bytes()), encode(big.NewInt(int64(key.E)).Bytes()))
}

func jwks(keys ...string) string { return `{"keys": [` + strings.Join(keys, ",") + `]}` }

func publicPEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// config returns a configuration that accepts the signer's tokens, without the place of its keys.
func (s *signer) config() auth.JWTConfig {
	return auth.JWTConfig{Algorithms: []string{"ES256"}, Issuer: "https://id.example", Audiences: []string{"chat", "other"}, Clock: s.clock.Now}
}

// fileJWT returns a JWT that has the signer's key from a file.
func (s *signer) fileJWT(t testing.TB) *auth.JWT {
	t.Helper()
	config := s.config()
	config.KeyFile = filepath.Join(t.TempDir(), "keys.json")
	writeFile(t, config.KeyFile, jwks(s.jwk()))
	return newJWT(t, config)
}

func newJWT(t testing.TB, config auth.JWTConfig) *auth.JWT {
	t.Helper()
	j, err := auth.NewJWT(config)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// keyServer serves a JWK Set that tests replace. It counts its requests.
type keyServer struct {
	*httptest.Server
	answer   atomic.Pointer[http.HandlerFunc]
	requests atomic.Int64
}

func newKeyServer(t testing.TB, keys ...string) *keyServer {
	s := &keyServer{}
	s.serve(keys...)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *keyServer) serve(keys ...string) {
	s.handle(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, jwks(keys...)) })
}

func (s *keyServer) fail() {
	s.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) })
}

func (s *keyServer) handle(answer http.HandlerFunc) { s.answer.Store(&answer) }

// segment returns a part of a JWT.
func segment(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}
