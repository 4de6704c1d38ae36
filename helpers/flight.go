package helpers

import (
	"context"
	"reflect"
	"sync"

	"chatcore/ports"
)

// flights run a function once for several concurrent callers.
type flights struct {
	mu    sync.Mutex
	going map[flightKey]*flight
}

// flightKey identifies a flight.
type flightKey struct {
	key     string
	typ     reflect.Type
	lenient bool
}

type flight struct {
	done  chan struct{}
	value []byte
	err   error
	whole bool // it has ended; otherwise its leader left
}

// do calls lead, unless another caller runs it: then it waits, and returns that caller's result. lead runs in the goroutine of its caller, so that a
// panic is its caller's.
func (f *flights) do(ctx context.Context, key flightKey, lead func() ([]byte, error)) ([]byte, error) {
	for {
		f.mu.Lock()
		going := f.going[key]
		if going == nil {
			going = &flight{done: make(chan struct{})}
			f.going[key] = going
			f.mu.Unlock()
			return f.lead(ctx, key, going, lead)
		}
		f.mu.Unlock()
		select {
		case <-going.done:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if going.whole {
			return going.value, going.err
		}
	}
}

func (f *flights) lead(ctx context.Context, key flightKey, going *flight, lead func() ([]byte, error)) ([]byte, error) {
	defer func() { // also after a panic
		f.mu.Lock()
		delete(f.going, key)
		f.mu.Unlock()
		close(going.done)
	}()
	value, err := lead()
	going.value, going.err, going.whole = value, err, ports.Ended(ctx, err) == nil
	return value, err
}
