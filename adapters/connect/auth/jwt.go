package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"chatcore/domain"
	"chatcore/ports"
)

const (
	defaultLeeway = 10 * time.Second
	maxLeeway     = 30 * time.Second
)

// JWTConfig says which JWTs are accepted, and where the keys are that verify them. Exactly one of JWKSURL and KeyFile is set.
type JWTConfig struct {
	// JWKSURL is an https URL of a JWK Set, or an http URL of this machine. The set is fetched while [JWT.Run] runs. Defaults to none.
	JWKSURL string
	// KeyFile has a JWK Set, or public keys and certificates in PEM. It is read again when it changes. Defaults to none.
	KeyFile string
	// Algorithms are accepted, and no others: of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512 and EdDSA. It has no default.
	Algorithms []string
	// Issuer is the only accepted "iss". It has no default.
	Issuer string
	// Audiences are those of which "aud" must contain one. It has no default.
	Audiences []string
	// UserClaim names the claim with the user id, a string. Defaults to "sub".
	UserClaim string
	// Leeway is the tolerated difference of clocks for "exp" and "nbf", up to 30 s; below 0 none. Defaults to 10 s.
	Leeway time.Duration

	Poll         time.Duration     // how often the key file is read. Defaults to 2 s.
	Refresh      time.Duration     // time between two fetches of the set. Defaults to 15 min.
	FetchTimeout time.Duration     // bound of a fetch. Defaults to 5 s.
	MaxAge       time.Duration     // time for which fetched keys are used while fetches fail. Defaults to 24 h.
	Transport    http.RoundTripper // of fetches. Defaults to one of its own.
	Logger       *slog.Logger      // Defaults to slog.Default.
	Clock        func() time.Time  // Defaults to time.Now.
}

// jwtAlgorithms returns the algorithms that may be accepted: signatures by a private key. With those of a shared secret, and with none, everybody who
// knows a public key could sign.
func jwtAlgorithms() []string {
	return []string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
}

// check returns every fault of the configuration.
func (c JWTConfig) check() error {
	var faults []error
	invalid := func(field, problem, allowed string) {
		faults = append(faults, &domain.InvalidError{Field: "jwt." + field, Problem: problem, Allowed: allowed})
	}
	if (c.JWKSURL == "") == (c.KeyFile == "") {
		invalid("jwks-url", "and jwt.key-file are both set, or neither is", "one of them")
	}
	if len(c.Algorithms) == 0 {
		invalid("algorithms", "are empty", "some of "+fmt.Sprint(jwtAlgorithms()))
	}
	for _, algorithm := range c.Algorithms {
		if !slices.Contains(jwtAlgorithms(), algorithm) {
			invalid("algorithms", fmt.Sprintf("have %.20q", algorithm), "some of "+fmt.Sprint(jwtAlgorithms()))
		}
	}
	if c.Issuer == "" {
		invalid("issuer", "is empty", "the \"iss\" of accepted tokens")
	}
	if len(c.Audiences) == 0 || slices.Contains(c.Audiences, "") {
		invalid("audiences", "are empty, or one is", "one or more values of \"aud\"")
	}
	if c.Leeway > maxLeeway {
		invalid("leeway", "is "+c.Leeway.String(), "up to 30s")
	}
	if c.Poll < 0 || c.Refresh < 0 || c.FetchTimeout < 0 || c.MaxAge < 0 {
		invalid("refresh", "or another time is negative", "positive durations, or 0 for the default")
	}
	if c.JWKSURL != "" {
		if err := checkJWKSURL(c.JWKSURL); err != nil {
			faults = append(faults, err)
		}
	}
	return errors.Join(faults...)
}

// JWT authenticates users by JWTs. Its methods may be called concurrently.
type JWT struct {
	parser *jwt.Parser
	claim  string
	keys   keySource
}

// NewJWT returns a JWT by a valid configuration. It reads a key file, and returns an error if that cannot be read. A JWK Set is not fetched yet: until [JWT.Run] has
// fetched it once, [JWT.Ready] and Authenticate return [ports.ErrUnavailable].
func NewJWT(config JWTConfig) (*JWT, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Clock == nil {
		config.Clock = time.Now
	}
	config.Logger = cmp.Or(config.Logger, slog.Default())
	keys, err := newKeySource(config)
	if err != nil {
		return nil, err
	}
	return &JWT{
		parser: jwt.NewParser(
			jwt.WithValidMethods(config.Algorithms), jwt.WithIssuer(config.Issuer), jwt.WithAudience(config.Audiences...),
			jwt.WithExpirationRequired(), jwt.WithLeeway(max(cmp.Or(config.Leeway, defaultLeeway), 0)), jwt.WithStrictDecoding(), jwt.WithTimeFunc(config.Clock),
		),
		claim: cmp.Or(config.UserClaim, "sub"),
		keys:  keys,
	}, nil
}

// errCritical is the refusal of a header that asks for an extension: RFC 7515 has a verifier refuse those that it does not know, and this one knows none.
var errCritical = errors.New("the token's header has critical extensions")

// Authenticate returns the user of a JWT, or [ErrUnauthenticated]. It returns [ports.ErrUnavailable] if there are no keys to verify the JWT with: before the first
// fetch, after MaxAge without a successful one, or if the JWT names an unknown key and the set cannot be fetched. A JWT that names an unknown key has the
// set fetched, once in 10 s at most, and waits for the result.
func (j *JWT) Authenticate(ctx context.Context, token string) (User, error) {
	claims := jwt.MapClaims{}
	_, err := j.parser.ParseWithClaims(token, claims, func(t *jwt.Token) (any, error) {
		if _, critical := t.Header["crit"]; critical {
			return nil, errCritical
		}
		return j.keys.key(ctx, t)
	})
	switch {
	case errors.Is(err, ports.ErrUnavailable):
		return User{}, unavailable(ctx, err)
	case err != nil:
		return User{}, ErrUnauthenticated
	}
	text, _ := claims[j.claim].(string)
	id, err := domain.ParseUserID(text)
	if err != nil {
		return User{}, ErrUnauthenticated
	}
	expires, err := claims.GetExpirationTime()
	if err != nil || expires == nil {
		return User{}, ErrUnauthenticated
	}
	return User{ID: id, Expires: expires.Time}, nil
}

// Ready returns nil if there are keys to verify JWTs with, and otherwise [ports.ErrUnavailable] with the reason.
func (j *JWT) Ready() error { return j.keys.ready() }

// Run fetches the keys and follows their changes until ctx ends.
func (j *JWT) Run(ctx context.Context) { j.keys.run(ctx) }
