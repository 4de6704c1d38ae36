package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

// apiSettings are the settings of the API of core serve. A zero value means the default.
type apiSettings struct {
	tokens      string
	behindProxy bool
	events      string

	jwksURL, keyFile, issuer, audiences, algorithms, userClaim string // of JWTs
}

// api defines the settings of the API of core serve.
func (b binder) api() {
	a := &b.settings.api
	b.local("tokens", &a.tokens, "`FILE` of service tokens, which core token create writes; a changed file is used within seconds").means("none")
	b.local("behind-proxy", &a.behindProxy, "a proxy in front of the API ends TLS and forwards the requests of others")
	b.local("jwt.jwks-url", &a.jwksURL, "`URL` of the JWK Set that verifies JWTs of users").means("none")
	b.local("jwt.key-file", &a.keyFile, "`FILE` with a JWK Set or PEM in place of a URL").means("none")
	b.local("jwt.issuer", &a.issuer, "required `ISSUER` of JWTs")
	b.local("jwt.audience", &a.audiences, "required `AUDIENCE` of JWTs, several with commas")
	b.local("jwt.algorithms", &a.algorithms, "accepted `ALGORITHMS` of JWTs, such as RS256,ES256")
	b.local("jwt.user-claim", &a.userClaim, "`CLAIM` of JWTs with the user id").means("sub")
	b.local("events", &a.events, "`TYPE=VERSION` of custom events that the API records, such as poll:voted=1, several with commas").means("none")
}

// eventTypes returns the declared types of custom events with their current versions.
func (a apiSettings) eventTypes() (map[domain.CustomType]int, error) {
	types := make(map[domain.CustomType]int)
	for _, part := range listOf(a.events) {
		wrong := &domain.InvalidError{Field: "events", Problem: fmt.Sprintf("has %.80q", part), Allowed: "TYPE=VERSION, such as poll:voted=1, each type once and versions from 1"}
		name, text, _ := strings.Cut(part, "=")
		version, err := strconv.Atoi(text)
		if err != nil || version < 1 {
			return nil, wrong
		}
		typ, err := domain.ParseCustomType(name)
		if err != nil {
			return nil, err
		}
		if _, twice := types[typ]; twice {
			return nil, wrong
		}
		types[typ] = version
	}
	return types, nil
}

// listOf returns the parts of a list with commas.
func listOf(text string) (parts []string) {
	for part := range strings.SplitSeq(text, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	return parts
}

// jwt returns the configuration of JWTs, and whether there is one.
func (a apiSettings) jwt() (auth.JWTConfig, bool) {
	config := auth.JWTConfig{
		JWKSURL: a.jwksURL, KeyFile: a.keyFile, Issuer: a.issuer, Audiences: listOf(a.audiences), Algorithms: listOf(a.algorithms), UserClaim: a.userClaim,
	}
	return config, cmp.Or(a.jwksURL, a.keyFile, a.issuer, a.audiences, a.algorithms, a.userClaim) != ""
}

// apiOf is the API of one run of core serve.
type apiOf struct {
	config        connect.Config
	auth          auth.Config
	authenticator *auth.Authenticator // once a core is open
}

// newAPI checks the settings of the API, before a core is opened: an address that others can reach needs tokens, and TLS or a proxy.
func (s *service) newAPI() (*apiOf, error) {
	set := s.cli.settings.api
	jwt, hasJWT := set.jwt()
	address, err := listenAddress("listen", cmp.Or(s.settings.listen, defaultListen))
	if err != nil {
		return nil, err
	}
	exposure := auth.Exposure{Tokens: set.tokens != "" || hasJWT, TLS: s.certificates != nil, BehindProxy: set.behindProxy}
	if err := auth.CheckExposure(address, exposure); err != nil {
		return nil, err
	}
	a := &apiOf{auth: auth.Config{Local: auth.IsLocalMode(address, exposure), OnError: connect.OnAuthError(s.logger)}}
	a.config = connect.Config{OpenReflection: a.auth.Local, Logger: s.logger}
	if a.config.EventTypes, err = set.eventTypes(); err != nil {
		return nil, err
	}
	if set.tokens != "" {
		if a.auth.Tokens, err = auth.OpenServiceTokens(auth.TokensConfig{File: set.tokens, Logger: s.logger}); err != nil {
			return nil, usageErrorf("tokens (%s): %w", variableOf("tokens"), err)
		}
	}
	if hasJWT {
		jwt.Logger = s.logger
		if a.auth.JWT, err = auth.NewJWT(jwt); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// handlerOf returns the handler of a core's API.
func (s *service) handlerOf(core *chatcore.Core) (http.Handler, error) {
	if s.handler != nil {
		return s.handler(core), nil
	}
	a := s.api
	a.auth.Sessions = core.Sessions
	if s.telemetry.traces != nil {
		a.config.TracerProvider = s.telemetry.traces
	}
	if s.telemetry.meters != nil {
		a.config.MeterProvider = s.telemetry.meters
	}
	api, err := connect.New(core, a.config)
	if err != nil {
		return nil, err
	}
	if a.authenticator, err = auth.New(a.auth); err != nil {
		return nil, err
	}
	return a.authenticator.Middleware(api), nil
}

// ready returns nil if the core accepts events and every kind of credential can be checked.
func (a *apiOf) ready(ctx context.Context, core *chatcore.Core) error {
	err := core.Ready(ctx)
	if a != nil && a.authenticator != nil {
		err = errors.Join(err, a.authenticator.Ready())
	}
	return err
}
