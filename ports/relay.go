package ports

import (
	"context"
	"errors"
)

// ErrNoInstance is returned by [Relay.Ask] when no process answers to an instance id: it has ended, or never was.
var ErrNoInstance = errors.New("there is no such instance")

// MaxRelayed is the most bytes of a request, and of an answer, of a [Relay].
const MaxRelayed = 1 << 20

// Relay carries requests between the processes of a log. Nothing is stored: a request reaches a process that listens at that time, at most once.
type Relay interface {
	// Answer has the process answer the requests to an instance id, from its return on until stop is called, which waits for answers under way. answer is
	// called by several goroutines. Its ctx ends with stop.
	Answer(ctx context.Context, instance string, answer func(ctx context.Context, request []byte) []byte) (stop func(), err error)
	// Ask returns the answer of an instance. It returns [ErrNoInstance] if the request has reached no process, [ErrTooLarge] for more than [MaxRelayed] bytes, and
	// [ErrUnavailable] if there is no answer before ctx ends or within a few seconds: the instance may have handled the request then.
	Ask(ctx context.Context, instance string, request []byte) (answer []byte, err error)
}
