package auth_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// with returns claims with one of another value, or without one for nil.
func with(claims jwt.MapClaims, name string, value any) jwt.MapClaims {
	claims = maps.Clone(claims)
	claims[name] = value
	if value == nil {
		delete(claims, name)
	}
	return claims
}

func TestJWT_Accepts(t *testing.T) {
	s := newSigner(t, "k")
	j := s.fileJWT(t)
	c, now := s.claims(), s.clock.Now().Unix()
	for name, claims := range map[string]jwt.MapClaims{
		"usual": c, "list of audiences": with(c, "aud", []string{"x", "other"}), "valid from now": with(c, "nbf", now), "within the leeway": with(with(c, "nbf", now+9), "exp", now-9),
		"unknown claims": with(c, "admin", true), "a fraction": with(c, "exp", float64(now)+0.5),
	} {
		user, err := j.Authenticate(t.Context(), s.sign(t, claims))
		if err != nil || user.ID != "ada" || user.Session != "" || user.Expires.IsZero() {
			t.Errorf("%s: %+v, %v", name, user, err)
		}
	}
	if user, err := j.Authenticate(t.Context(), s.sign(t, c)); err != nil || !user.Expires.Equal(s.clock.Now().Add(time.Hour)) {
		t.Errorf("it expires at %v: %v", user.Expires, err)
	}
	config := s.config()
	config.KeyFile, config.UserClaim, config.Leeway = filepath.Join(t.TempDir(), "keys"), "uid", -1
	writeFile(t, config.KeyFile, jwks(s.jwk()))
	j = newJWT(t, config)
	if user, err := j.Authenticate(t.Context(), s.sign(t, with(c, "uid", "ben"))); err != nil || user.ID != "ben" {
		t.Errorf("by another claim: %+v, %v", user, err)
	}
	if _, err := j.Authenticate(t.Context(), s.sign(t, with(with(c, "uid", "ben"), "exp", now-1))); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("expired, without leeway: %v", err)
	}
}

// TestJWT_Attacks has one error for every token that must not be accepted.
func TestJWT_Attacks(t *testing.T) {
	s, stranger := newSigner(t, "k"), newSigner(t, "k")
	private := rsaKey()
	config := s.config()
	config.Algorithms = []string{"ES256", "RS256"}
	config.KeyFile = filepath.Join(t.TempDir(), "keys.json")
	writeFile(t, config.KeyFile, jwks(s.jwk(), rsaJWK("rsa", &private.PublicKey), `{"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"}`))
	j := newJWT(t, config)
	c, now := s.claims(), s.clock.Now().Unix()
	good := s.sign(t, c)
	parts := strings.Split(good, ".")
	rsaPEM := publicPEM(t, &private.PublicKey)
	der := x509.MarshalPKCS1PublicKey(&private.PublicKey)
	kid := func(v any) map[string]any { return map[string]any{"kid": v} }
	es := func(header map[string]any, claims jwt.Claims) string {
		return signed(t, jwt.SigningMethodES256, s.key, header, claims)
	}
	for name, token := range map[string]string{
		"alg none":                           signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid("k"), c),
		"alg None":                           segment(map[string]any{"alg": "None", "kid": "k"}) + "." + parts[1] + ".",
		"alg none, with the signature":       segment(map[string]any{"alg": "none", "kid": "k"}) + "." + parts[1] + "." + parts[2],
		"alg empty":                          segment(map[string]any{"alg": "", "kid": "k"}) + "." + parts[1] + ".",
		"no alg":                             segment(map[string]any{"kid": "k"}) + "." + parts[1] + "." + parts[2],
		"alg a number":                       segment(map[string]any{"alg": 1, "kid": "k"}) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key in PEM":   signed(t, jwt.SigningMethodHS256, []byte(rsaPEM), kid("rsa"), c),
		"HS256 with the PEM, trimmed":        signed(t, jwt.SigningMethodHS256, []byte(strings.TrimSpace(rsaPEM)), kid("rsa"), c),
		"HS256 with the public key in DER":   signed(t, jwt.SigningMethodHS256, der, kid("rsa"), c),
		"HS256 with the modulus":             signed(t, jwt.SigningMethodHS256, private.N.Bytes(), kid("rsa"), c),
		"HS256 with a shared key of the set": signed(t, jwt.SigningMethodHS256, []byte("secret"), kid("shared"), c),
		"HS256 with an empty key":            signed(t, jwt.SigningMethodHS256, []byte{}, kid("k"), c),
		"PS256, which is not pinned":         signed(t, jwt.SigningMethodPS256, private, kid("rsa"), c),
		"RS512, which is not pinned":         signed(t, jwt.SigningMethodRS512, private, kid("rsa"), c),
		"RS256 with the key of ECDSA":        signed(t, jwt.SigningMethodRS256, private, kid("k"), c),
		"ES256 with the key of RSA":          es(kid("rsa"), c),
		"another's key under the same kid":   stranger.sign(t, c),
		"another's key without a kid":        signed(t, jwt.SigningMethodES256, stranger.key, nil, c),
		"another's key in the header":        signed(t, jwt.SigningMethodES256, stranger.key, map[string]any{"kid": "k", "jwk": map[string]any{"kty": "EC"}, "jku": "http://127.0.0.1:1/keys"}, c),
		"unknown kid":                        es(kid("other"), c),
		"kid a path":                         es(kid("../../../../dev/null"), c),
		"kid a path of the key file":         es(kid(config.KeyFile), c),
		"kid of SQL":                         es(kid("k' OR '1'='1"), c),
		"kid with a zero":                    es(kid("k\x00"), c),
		"kid in capitals":                    es(kid("K"), c),
		"kid a number":                       es(kid(7), c),
		"kid null":                           es(kid(nil), c),
		"kid a list":                         es(kid([]string{"k"}), c),
		"kid huge":                           es(kid(strings.Repeat("k", 7000)), c),
		"critical extension":                 es(map[string]any{"kid": "k", "crit": []string{"b64"}, "b64": false}, c),
		"no crit values":                     es(map[string]any{"kid": "k", "crit": nil}, c),
		"expired":                            s.sign(t, with(c, "exp", now-11)),
		"expired in 1970":                    s.sign(t, with(c, "exp", 0)),
		"no exp":                             s.sign(t, with(c, "exp", nil)),
		"exp null":                           s.sign(t, jwt.MapClaims{"iss": c["iss"], "aud": c["aud"], "sub": "ada", "exp": nil}),
		"exp text":                           s.sign(t, with(c, "exp", "2099-01-01T00:00:00Z")),
		"exp a number in text":               s.sign(t, with(c, "exp", "4070908800")),
		"exp negative":                       s.sign(t, with(c, "exp", -1)),
		"not yet valid":                      s.sign(t, with(c, "nbf", now+11)),
		"nbf text":                           s.sign(t, with(c, "nbf", "now")),
		"no iss":                             s.sign(t, with(c, "iss", nil)),
		"another iss":                        s.sign(t, with(c, "iss", "https://id.example.evil")),
		"iss with a slash more":              s.sign(t, with(c, "iss", "https://id.example/")),
		"iss a list":                         s.sign(t, with(c, "iss", []string{"https://id.example"})),
		"no aud":                             s.sign(t, with(c, "aud", nil)),
		"another aud":                        s.sign(t, with(c, "aud", "mail")),
		"other auds":                         s.sign(t, with(c, "aud", []string{"mail", "Chat", "chat "})),
		"aud empty":                          s.sign(t, with(c, "aud", []string{})),
		"aud a part":                         s.sign(t, with(c, "aud", "chatty")),
		"no sub":                             s.sign(t, with(c, "sub", nil)),
		"sub empty":                          s.sign(t, with(c, "sub", "")),
		"sub a number":                       s.sign(t, with(c, "sub", 7)),
		"sub a list":                         s.sign(t, with(c, "sub", []string{"ada"})),
		"sub with a space":                   s.sign(t, with(c, "sub", "a da")),
		"sub with a line end":                s.sign(t, with(c, "sub", "ada\n")),
		"sub too long":                       s.sign(t, with(c, "sub", strings.Repeat("a", 129))),
		"payload changed":                    parts[0] + "." + segment(with(c, "sub", "root")) + "." + parts[2],
		"header changed":                     segment(map[string]any{"alg": "ES256", "kid": "k", "typ": "jwt"}) + "." + parts[1] + "." + parts[2],
		"no signature":                       parts[0] + "." + parts[1] + ".",
		"signature of zeros":                 parts[0] + "." + parts[1] + "." + strings.Repeat("A", 86),
		"signature padded":                   good + "==",
		"no payload":                         parts[0] + ".." + parts[2],
		"payload null":                       parts[0] + "." + segment(nil) + "." + parts[2],
		"payload a list":                     parts[0] + "." + segment([]int{1}) + "." + parts[2],
		"four parts":                         good + ".x",
		"dots":                               "..",
		"nothing":                            "",
		"huge":                               s.sign(t, with(c, "x", strings.Repeat("x", 1<<20)))[:1<<20],
	} {
		user, err := j.Authenticate(t.Context(), token)
		if err != auth.ErrUnauthenticated || user.ID != "" { //nolint:errorlint // the very same error, with nothing added
			t.Errorf("%s: %+v, %v", name, user, err)
		}
	}
	for _, token := range []string{good, signed(t, jwt.SigningMethodRS256, private, kid("rsa"), c)} {
		if user, err := j.Authenticate(t.Context(), token); err != nil || user.ID != "ada" {
			t.Errorf("a good token: %+v, %v", user, err)
		}
	}
}

// TestJWT_KeyFiles reads public keys of each form and kind.
func TestJWT_KeyFiles(t *testing.T) {
	s := newSigner(t, "k")
	private := rsaKey()
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PUBLIC KEY", Bytes: x509.MarshalPKCS1PublicKey(&private.PublicKey)}))
	all := publicPEM(t, &s.key.PublicKey) + pkcs1 + publicPEM(t, edPublic)
	verifies := func(name, text, algorithm string, method jwt.SigningMethod, key any, header map[string]any) {
		t.Helper()
		config := s.config()
		config.KeyFile, config.Algorithms = filepath.Join(t.TempDir(), "keys"), []string{algorithm}
		writeFile(t, config.KeyFile, text)
		if user, err := newJWT(t, config).Authenticate(t.Context(), signed(t, method, key, header, s.claims())); err != nil || user.ID != "ada" {
			t.Errorf("%s: %+v, %v", name, user, err)
		}
	}
	verifies("ECDSA in PEM", publicPEM(t, &s.key.PublicKey), "ES256", jwt.SigningMethodES256, s.key, nil)
	verifies("RSA in PEM, with a kid", publicPEM(t, &private.PublicKey), "RS256", jwt.SigningMethodRS256, private, map[string]any{"kid": "any"})
	verifies("RSA of PKCS #1", pkcs1, "PS256", jwt.SigningMethodPS256, private, nil)
	verifies("Ed25519 in PEM", publicPEM(t, edPublic), "EdDSA", jwt.SigningMethodEdDSA, edPrivate, nil)
	verifies("the last of three keys", all, "EdDSA", jwt.SigningMethodEdDSA, edPrivate, nil)
	verifies("a set, without a kid", jwks(rsaJWK("r", &private.PublicKey), s.jwk()), "ES256", jwt.SigningMethodES256, s.key, nil)
	verifies("a set with keys of other kinds", jwks(`{"kty": "OKP", "crv": "Ed448", "x": "AAAA", "kid": "x"}`, `{"kty": "new", "kid": "y"}`, `{"kid": "z"}`,
		`{"kty": "RSA", "kid": "w", "n": "AQAB", "e": "AQAB"}`, s.jwk()), "ES256", jwt.SigningMethodES256, s.key, map[string]any{"kid": "k"})

	privatePEM, err := x509.MarshalPKCS8PrivateKey(s.key)
	if err != nil {
		t.Fatal(err)
	}
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "words": "keys", "no keys": jwks(), "no list": "{}", "broken": `{"keys": [`, "secret only": jwks(`{"kty": "oct", "k": "c2VjcmV0"}`),
		"private key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: privatePEM})), "text after": all + "x", "weak": publicPEM(t, &small.PublicKey),
		"weak in a set": jwks(rsaJWK("k", &small.PublicKey)), "wrong bytes": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})),
		"many": jwks(strings.Repeat(s.jwk()+",", 64) + s.jwk()), "many in PEM": strings.Repeat(publicPEM(t, edPublic), 65), "large": strings.Repeat(" ", 256<<10+1),
		"for encryption": jwks(strings.Replace(s.jwk(), `"sig"`, `"enc"`, 1)),
	} {
		config := s.config()
		config.KeyFile = filepath.Join(t.TempDir(), "keys")
		writeFile(t, config.KeyFile, text)
		if _, err := auth.NewJWT(config); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJWT_KeyFileRotates changes the file while the process runs.
func TestJWT_KeyFileRotates(t *testing.T) {
	s, next := newSigner(t, "k"), newSigner(t, "next")
	var log logBuffer
	config := s.config()
	config.KeyFile, config.Logger, config.Poll = filepath.Join(t.TempDir(), "keys"), log.logger(), quickly
	writeFile(t, config.KeyFile, jwks(s.jwk()))
	j := newJWT(t, config)
	running(t, j.Run)
	valid := func(s *signer) bool {
		_, err := j.Authenticate(t.Context(), s.sign(t, s.claims()))
		return err == nil
	}
	writeFile(t, config.KeyFile, "{")
	wait.Until(t, "a broken version is logged", func() bool { return log.count("level=ERROR") > 0 })
	if !valid(s) || valid(next) {
		t.Error("a broken version is in effect")
	}
	writeFile(t, config.KeyFile, jwks(next.jwk()))
	wait.Until(t, "the new key is in effect", func() bool { return valid(next) })
	if valid(s) {
		t.Error("the removed key is in effect")
	}
}

func TestNewJWT_Refuses(t *testing.T) {
	base := newSigner(t, "k").config()
	base.JWKSURL = "https://id.example/keys"
	if _, err := auth.NewJWT(base); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(c *auth.JWTConfig){
		"jwt.jwks-url and no source":   func(c *auth.JWTConfig) { c.JWKSURL = "" },
		"jwt.jwks-url and both":        func(c *auth.JWTConfig) { c.KeyFile = "keys" },
		"jwt.jwks-url over http":       func(c *auth.JWTConfig) { c.JWKSURL = "http://id.example/keys" },
		"jwt.jwks-url of a file":       func(c *auth.JWTConfig) { c.JWKSURL = "file:///etc/keys" },
		"jwt.jwks-url without a host":  func(c *auth.JWTConfig) { c.JWKSURL = "https:///keys" },
		"jwt.jwks-url with a password": func(c *auth.JWTConfig) { c.JWKSURL = "https://a:b@id.example/keys" },
		"jwt.jwks-url wrong":           func(c *auth.JWTConfig) { c.JWKSURL = "https://id.example:x/keys" },
		"jwt.algorithms none":          func(c *auth.JWTConfig) { c.Algorithms = nil },
		"jwt.algorithms \"none\"":      func(c *auth.JWTConfig) { c.Algorithms = []string{"none"} },
		"jwt.algorithms shared":        func(c *auth.JWTConfig) { c.Algorithms = []string{"RS256", "HS256"} },
		"jwt.algorithms in lower case": func(c *auth.JWTConfig) { c.Algorithms = []string{"rs256"} },
		"jwt.issuer":                   func(c *auth.JWTConfig) { c.Issuer = "" },
		"jwt.audiences none":           func(c *auth.JWTConfig) { c.Audiences = nil },
		"jwt.audiences with none":      func(c *auth.JWTConfig) { c.Audiences = []string{"chat", ""} },
		"jwt.leeway":                   func(c *auth.JWTConfig) { c.Leeway = 31 * time.Second },
		"jwt.refresh":                  func(c *auth.JWTConfig) { c.MaxAge = -1 },
	} {
		c := base
		change(&c)
		field, _, _ := strings.Cut(name, " ")
		if _, err := auth.NewJWT(c); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := base
	c.Algorithms, c.Issuer, c.Leeway = nil, "", time.Hour
	if _, err := auth.NewJWT(c); err == nil || strings.Count(err.Error(), "allowed: ") != 3 {
		t.Errorf("three faults: %v", err)
	}
}
