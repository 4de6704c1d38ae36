// Package server serves one [http.Handler] over HTTP/1.1 and HTTP/2, with and without TLS, to clients that nobody trusts. It owns listeners,
// connections, bounds, timeouts, certificates, probes, the access log and the graceful stop. It must not know protos, principals or the core.
//
// Every connection and request is bounded: connections by [Config.MaxConnections], requests by [Config.MaxInFlight], streams by [Config.MaxStreams],
// headers by [Config.MaxHeaderBytes], HTTP/2 streams of a connection by [Config.MaxConcurrentStreams], and times by [Timeouts]. There is no timeout
// for a whole response, because a stream has no end: a handler of a stream calls [Stream].
package server
