// Package connect serves the commands and queries of a core over HTTP, in the protocols Connect (JSON and protobuf), gRPC and gRPC-Web, as the protos in
// proto/ define them.
//
// [New] returns one handler. It expects the caller of a request in the request's context, as the middleware of package auth puts it there, and checks by
// one table which method the caller may call before it reads the body. Handlers return the errors of the core as they are; one table gives each its
// code and its reason.
package connect
