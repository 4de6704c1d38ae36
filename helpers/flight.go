package helpers

import (
	"context"
	"reflect"

	"chatcore/internal/flight"
	"chatcore/ports"
)

// flights run a function once for several concurrent callers.
type flights = flight.Group[flightKey, struct{}, loadedValue]

// flightKey identifies a flight.
type flightKey struct {
	key     string
	typ     reflect.Type
	lenient bool
}

// loadedValue is the result of a flight.
type loadedValue struct {
	value []byte
	err   error
	whole bool // the load has ended; otherwise its caller left
}

// loadOnce calls load, unless another caller runs it: then it waits, and returns that caller's result, or takes over if that caller left. load runs in
// the goroutine of its caller, so that a panic is its caller's.
func (h *Client) loadOnce(ctx context.Context, key flightKey, load func() ([]byte, error)) ([]byte, error) {
	result, _, err := h.flights.Do(ctx, key, flight.Call[struct{}, loadedValue]{
		Lead: func(func() struct{}) loadedValue {
			value, err := load()
			return loadedValue{value, err, ports.Ended(ctx, err) == nil}
		},
		Accept: func(l loadedValue) bool { return l.whole },
	})
	if err != nil {
		return nil, err
	}
	return result.value, result.err
}
