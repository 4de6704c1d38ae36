// Package auth authenticates HTTP requests before anything of them is decoded. [Authenticator.Middleware] reads the Authorization header, checks its
// credential, and puts the [Principal] into the request's context, from which handlers read it with [From].
//
// A credential is one of three kinds, which their form distinguishes: a service token (cc_ID_SECRET), a JWT (two dots), or the token of a session. The
// package owns the tokens file of services and the keys that verify JWTs, and follows changes of both while [Authenticator.Run] runs. It knows neither
// protocols nor messages: the caller renders errors, and decides by [Principal.Allows] which principal may call which method.
//
// No token is ever part of an error, a log line or a principal.
package auth
