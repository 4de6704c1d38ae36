package helpers

import (
	"context"
	"errors"
	"fmt"
	"time"

	"chatcore/domain"
	"chatcore/ports"
)

// Get is [Client.Get] of a value of a type.
func Get[T any](ctx context.Context, h *Client, key string) (value T, found bool, err error) {
	found, err = h.Get(ctx, key, &value)
	return value, found, err
}

// GetOrSet is [Client.GetOrSet] of a value of a type.
func GetOrSet[T any](ctx context.Context, h *Client, key string, ttl time.Duration, load func(context.Context) (T, error)) (value T, err error) {
	err = h.GetOrSet(ctx, key, ttl, &value, func(ctx context.Context) (any, error) { return load(ctx) })
	return value, err
}

// GetOrSet reads the value of a key into the target of into. If there is none (see [Client.Get]) it calls load, and stores the result for ttl. Of
// callers in this process at the same time, for the same key and type, one loads, with its own ctx, and all get the result; if that one's ctx ends
// another takes over. The result of load is returned as it would be read back, by way of its JSON; nil is not stored.
//
// An error of load is returned, and nothing is stored. Without Redis values are loaded and not stored, which is counted.
func (h *Client) GetOrSet(ctx context.Context, key string, ttl time.Duration, into any, load func(context.Context) (any, error)) error {
	to, err := targetOf(into)
	if err != nil {
		return err
	}
	if err := errors.Join(ports.CheckKey(key), ports.CheckTTL(ttl), checkLoad(load)); err != nil {
		return err
	}
	tolerable := func(err error) bool { return errors.Is(err, ports.ErrUnavailable) }
	value, err := h.loadOnce(ctx, flightKey{key, to.Type(), false}, func() ([]byte, error) { return h.fill(ctx, key, ttl, to, load, tolerable) })
	if err != nil {
		return err
	}
	return to.take(value)
}

func checkLoad(load func(context.Context) (any, error)) error {
	if load == nil {
		return &domain.InvalidError{Field: "load", Problem: "is missing", Allowed: "a function"}
	}
	return nil
}

// fill gives the value of a key, which it loads and keeps if there is none. Errors of the store that are tolerable are swallowed.
func (h *Client) fill(
	ctx context.Context, key string, ttl time.Duration, to target, load func(context.Context) (any, error), tolerable func(error) bool,
) ([]byte, error) {
	value, found, err := h.config.Values.Get(ctx, key)
	ended := ports.Ended(ctx, err)
	switch {
	case err == nil && found && !isNull(value):
		if to.fits(value) {
			return value, nil
		}
		h.unreadable.Add(1)
	case ended != nil:
		return nil, ended
	case err != nil && !tolerable(err):
		return nil, err
	case err != nil:
		h.swallow(ctx, "getOrSet", err)
	}
	loaded, loadErr := load(ctx)
	if loadErr != nil {
		return nil, loadErr
	}
	if value, loadErr = encodeValue(loaded); loadErr != nil {
		return nil, loadErr
	}
	if err != nil || isNull(value) {
		return value, nil
	}
	if err := h.config.Values.Set(ctx, key, value, ttl); err != nil {
		if !tolerable(err) {
			return nil, err
		}
		h.swallow(ctx, "getOrSet", err)
	}
	return value, nil
}

// take decodes the loaded value.
func (t target) take(value []byte) error {
	if !t.decode(value) {
		return &domain.InvalidError{Field: "value", Problem: fmt.Sprintf("does not come back from its JSON as a %s", t.Type()), Allowed: "what does"}
	}
	return nil
}
