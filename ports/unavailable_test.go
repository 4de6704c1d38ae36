package ports_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"chatcore/ports"
)

func TestUnavailable(t *testing.T) {
	dialed := func() error {
		_, err := (&net.Dialer{Timeout: time.Nanosecond}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("a dial that timed out gave %v", err)
		}
		return err
	}()
	unbounded := func() context.Context { return t.Context() }
	within := func(d time.Duration) func() context.Context {
		return func() context.Context {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			t.Cleanup(cancel)
			return ctx
		}
	}
	cancelled := func() context.Context {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		return ctx
	}
	for name, test := range map[string]struct {
		ctx  func() context.Context
		err  error
		want error // of the caller's context
	}{
		"socket of an expired caller":         {within(0), os.ErrDeadlineExceeded, context.DeadlineExceeded},
		"socket shortly before the deadline":  {within(30 * time.Millisecond), os.ErrDeadlineExceeded, context.DeadlineExceeded},
		"dial shortly before the deadline":    {within(30 * time.Millisecond), dialed, context.DeadlineExceeded},
		"lost connection of a cancelled call": {cancelled, io.EOF, context.Canceled},
		"socket of an unbounded caller":       {unbounded, os.ErrDeadlineExceeded, nil},
		"dial of an unbounded caller":         {unbounded, dialed, nil},
		"context of someone else":             {unbounded, context.Canceled, nil},
		"dial long before the deadline":       {within(time.Hour), dialed, nil},
		"lost connection before the deadline": {within(time.Hour), io.EOF, nil},
		"translated before":                   {unbounded, ports.Unavailable(within(0)(), io.EOF), nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := test.ctx()
			err := ports.Unavailable(ctx, test.err)
			if !errors.Is(err, ports.ErrUnavailable) {
				t.Errorf("%v is not ErrUnavailable", err)
			}
			for _, end := range []error{context.Canceled, context.DeadlineExceeded} {
				if got := errors.Is(err, end); got != errors.Is(test.want, end) {
					t.Errorf("%v: is %v: %t", err, end, got)
				}
			}
			if test.want == nil {
				var timeout net.Error
				if errors.As(test.err, &timeout) != errors.As(err, &timeout) {
					t.Errorf("%v has lost what %v is", err, test.err)
				}
			} else if ctx.Err() == nil {
				t.Error("the caller's context has not ended")
			}
		})
	}
	if err := ports.Unavailable(within(0)(), nil); err != nil {
		t.Errorf("no error became %v", err)
	}
	if err := ports.Unavailable(t.Context(), ports.ErrClosed); !errors.Is(err, ports.ErrClosed) || errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("a closed store gave %v", err)
	}
}
