package connect

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	rpc "connectrpc.com/connect"
)

// errorInterceptor gives the errors of handlers their codes and details, returns the errors of requests that could not be decoded, and turns panics
// into internal errors.
type errorInterceptor struct {
	config Config
	rules  map[string]rule
}

// WrapUnary implements [rpc.Interceptor].
func (i *errorInterceptor) WrapUnary(next rpc.UnaryFunc) rpc.UnaryFunc {
	return func(ctx context.Context, req rpc.AnyRequest) (res rpc.AnyResponse, err error) {
		m := i.methodOf(req.Spec())
		defer i.recoverPanic(ctx, m, &err)
		if err := decodeErrorOf(req.Any()); err != nil {
			return nil, failureOf(ctx, i.config.Logger, m, err).connectError()
		}
		res, err = next(ctx, req)
		return res, i.mapped(ctx, m, err)
	}
}

// WrapStreamingClient implements [rpc.Interceptor]: a handler is no client.
func (i *errorInterceptor) WrapStreamingClient(next rpc.StreamingClientFunc) rpc.StreamingClientFunc {
	return next
}

// WrapStreamingHandler implements [rpc.Interceptor].
func (i *errorInterceptor) WrapStreamingHandler(next rpc.StreamingHandlerFunc) rpc.StreamingHandlerFunc {
	return func(ctx context.Context, conn rpc.StreamingHandlerConn) (err error) {
		m := i.methodOf(conn.Spec())
		defer i.recoverPanic(ctx, m, &err)
		return i.mapped(ctx, m, next(ctx, decodingConn{conn}))
	}
}

// mapped returns an error with its code. Errors of the protocol have one.
func (i *errorInterceptor) mapped(ctx context.Context, m method, err error) error {
	if err == nil {
		return nil
	}
	if coded, ok := errors.AsType[*rpc.Error](err); ok {
		return coded
	}
	return failureOf(ctx, i.config.Logger, m, i.config.shown(err)).connectError()
}

// recoverPanic turns a panic into an internal error. The log has its stack.
func (i *errorInterceptor) recoverPanic(ctx context.Context, m method, err *error) {
	switch r := recover(); r {
	case nil:
	case http.ErrAbortHandler:
		panic(r)
	default:
		*err = failureOf(ctx, i.config.Logger, m, panicError(r)).connectError()
	}
}

// panicError returns a recovered panic with its stack.
func panicError(r any) error { return fmt.Errorf("panic: %v\n%s", r, debug.Stack()) }

// decodingConn is a stream that returns the errors of messages that could not be decoded.
type decodingConn struct{ rpc.StreamingHandlerConn }

// Receive implements [rpc.StreamingHandlerConn].
func (c decodingConn) Receive(msg any) error {
	if err := c.StreamingHandlerConn.Receive(msg); err != nil {
		return err
	}
	return decodeErrorOf(msg)
}

func (i *errorInterceptor) methodOf(spec rpc.Spec) method {
	name := methodName(spec)
	return method{name: name, query: spec.IdempotencyLevel == rpc.IdempotencyNoSideEffects, rule: i.rules[name]}
}

// methodName returns the full name of a method.
func methodName(spec rpc.Spec) string {
	return strings.Replace(strings.TrimPrefix(spec.Procedure, "/"), "/", ".", 1)
}
