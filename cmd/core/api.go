package main

import (
	"context"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"chatcore"
	"chatcore/adapters/connect"
	"chatcore/adapters/connect/auth"
	"chatcore/adapters/connect/console"
	webconsole "chatcore/web/console"
)

// apiSettings are the settings of the API of core serve: who may call it, and the events that callers may record.
type apiSettings struct {
	tokensFile, tokens string

	jwksURL, jwtKeyFile                       string
	jwtAlgorithms                             string // with commas between them
	jwtIssuer, jwtAudiences                   string // audiences with commas between them
	jwtUserClaim                              string
	behindProxy, trustRemoteTrace, hideBlocks bool
	eventTypes                                eventTypes
}

// api defines the settings of the API of core serve.
func (b binder) api() {
	s := &b.settings.api
	b.local("tokens.file", &s.tokensFile, "tokens `FILE` of services, see core token; a changed file is used within seconds").means("none")
	b.local("tokens.entries", &s.tokens, "`JSON` of further service tokens, as a tokens file has it: it contains hashes and no secret").means("none")
	b.local("jwt.jwks-url", &s.jwksURL, "https `URL` of the JWK Set that verifies users' JWTs").means("none")
	b.local("jwt.key-file", &s.jwtKeyFile, "`FILE` of the keys that verify users' JWTs, a JWK Set or PEM, instead of jwt.jwks-url").means("none")
	b.local("jwt.algorithms", &s.jwtAlgorithms, "accepted `ALGORITHMS` of JWTs, such as RS256,ES256").means("none")
	b.local("jwt.issuer", &s.jwtIssuer, "accepted `ISSUER` (iss) of JWTs").means("none")
	b.local("jwt.audiences", &s.jwtAudiences, "`AUDIENCES` (aud) of JWTs, of which one must be named").means("none")
	b.local("jwt.user-claim", &s.jwtUserClaim, "`CLAIM` of a JWT that has the user's id").means("sub")
	b.local("behind-proxy", &s.behindProxy, "a proxy in front ends TLS and forwards requests of others: callers always need a token")
	b.local("hide-blocks", &s.hideBlocks, "answer what a block in a direct chat refuses as not deliverable, so that no user learns of the block")
	b.local("trust-remote-traces", &s.trustRemoteTrace, "make spans of calls children of the span that the caller names, instead of linking to it")
	b.local("event-types", &s.eventTypes, "`TYPE=VERSION` of custom events that callers of the API may record, such as poll:created=1; may be given several times").means("none")
}

// access is who may call the API.
type access struct {
	tokens *auth.ServiceTokens // nil without service tokens
	jwt    *auth.JWT           // nil without JWTs
	local  bool                // callers without a token act as a service with all scopes
}

// String returns who may call the API, for the log.
func (a access) String() string {
	if a.local {
		return "local mode: programs of this machine need no token"
	}
	return "by token"
}

// exposure returns how the API is reached and protected.
func (s *settings) exposure() auth.Exposure {
	a := &s.api
	return auth.Exposure{
		Tokens: a.tokensFile != "" || a.tokens != "" || a.hasJWT(), TLS: s.serve.tlsCert != "", BehindProxy: a.behindProxy,
	}
}

func (a *apiSettings) hasJWT() bool {
	return a.jwksURL+a.jwtKeyFile+a.jwtAlgorithms+a.jwtIssuer+a.jwtAudiences+a.jwtUserClaim != ""
}

// access reads the tokens and keys that the settings name, and refuses an address that others can reach without them.
func (c *cli) access(address string) (access, error) {
	settings, exposure := &c.settings.api, c.settings.exposure()
	if err := auth.CheckExposure(address, exposure); err != nil {
		return access{}, err
	}
	found := access{local: auth.IsLocalMode(address, exposure)}
	var err error
	if settings.tokensFile != "" || settings.tokens != "" {
		config := auth.TokensConfig{File: settings.tokensFile, Logger: c.logger}
		if settings.tokens != "" {
			if config.Entries, err = auth.ParseTokens([]byte(settings.tokens)); err != nil {
				return access{}, usageErrorf("tokens.entries (%s): %w", variableOf("tokens.entries"), err)
			}
		}
		if found.tokens, err = auth.OpenServiceTokens(config); err != nil {
			return access{}, usageErrorf("tokens.file (%s): %w", variableOf("tokens.file"), err)
		}
	}
	if settings.hasJWT() {
		found.jwt, err = auth.NewJWT(auth.JWTConfig{
			JWKSURL: settings.jwksURL, KeyFile: settings.jwtKeyFile, Algorithms: listOf(settings.jwtAlgorithms), Issuer: settings.jwtIssuer,
			Audiences: listOf(settings.jwtAudiences), UserClaim: settings.jwtUserClaim, Logger: c.logger,
		})
	}
	return found, err
}

// listOf returns the values of a setting that has commas between them, none for an empty one.
func listOf(text string) []string {
	if text == "" {
		return nil
	}
	values := strings.Split(text, ",")
	for i, value := range values {
		values[i] = strings.TrimSpace(value)
	}
	return values
}

// openHandler makes the handler of the API. Changes of tokens and keys are followed until the context ends.
func (s *service) openHandler(until context.Context, core *chatcore.Core) (http.Handler, error) {
	if s.handler != nil {
		return s.handler(core), nil
	}
	config := auth.Config{Tokens: s.access.tokens, Sessions: core.Sessions, JWT: s.access.jwt, Local: s.access.local, OnError: connect.OnAuthError(s.logger)}
	if !bool(s.settings.consoleOff) && !s.access.local {
		config.Browsers = &auth.Browsers{Store: core.FeedState(), BehindProxy: s.cli.settings.api.behindProxy}
	}
	authenticator, err := auth.New(config)
	if err != nil {
		return nil, err
	}
	api, err := connect.New(core, connect.Config{
		EventTypes: s.cli.settings.api.eventTypes.versions, OpenReflection: s.access.local, HideBlocks: s.cli.settings.api.hideBlocks, TrustRemoteTraces: s.cli.settings.api.trustRemoteTrace,
		TracerProvider: s.telemetry.tracerProvider(), MeterProvider: s.telemetry.meterProvider(), Logger: s.logger,
	})
	if err != nil {
		return nil, err
	}
	s.authReady = authenticator.Ready
	s.background.Go(func() { authenticator.Run(until) })
	guarded := authenticator.Middleware(api)
	if bool(s.settings.consoleOff) {
		return guarded, nil
	}
	return console.New(console.Config{
		Files: webconsole.Files(), Authenticator: authenticator, Local: s.access.local, OnError: config.OnError, Next: guarded,
	})
}

// tracerProvider returns the provider of the spans of calls.
func (e *exporters) tracerProvider() trace.TracerProvider {
	if e.traces == nil {
		return tracenoop.NewTracerProvider()
	}
	return e.traces
}

// meterProvider returns the provider of the metrics of calls.
func (e *exporters) meterProvider() metric.MeterProvider {
	if e.meters == nil {
		return metricnoop.NewMeterProvider()
	}
	return e.meters
}
