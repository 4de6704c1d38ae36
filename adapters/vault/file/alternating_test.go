package file

import (
	"context"
	"iter"
	"sync/atomic"

	"chatcore/ports"
)

// alternating passes each call to another opening of the vault than the one before.
type alternating struct {
	*Vault
	other *Vault
	calls atomic.Int64
}

func (a *alternating) next() *Vault {
	if a.calls.Add(1)%2 == 0 {
		return a.other
	}
	return a.Vault
}

func (a *alternating) Put(ctx context.Context, name string, body []byte) error {
	return a.next().Put(ctx, name, body)
}

func (a *alternating) Get(ctx context.Context, name string, from, length int64) ([]byte, error) {
	return a.next().Get(ctx, name, from, length)
}

func (a *alternating) List(ctx context.Context, prefix, after string) iter.Seq2[ports.Object, error] {
	return a.next().List(ctx, prefix, after)
}

func (a *alternating) Delete(ctx context.Context, names ...string) error {
	return a.next().Delete(ctx, names...)
}
