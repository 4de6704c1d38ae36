package memory

import (
	"context"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"chatcore/ports"
)

// Vault keeps objects in memory.
type Vault struct {
	mu      sync.Mutex // guards objects
	objects map[string][]byte
}

var _ ports.Vault = (*Vault)(nil)

// NewVault returns a vault without objects.
func NewVault() *Vault { return &Vault{objects: make(map[string][]byte)} }

// Put implements [ports.Vault].
func (v *Vault) Put(ctx context.Context, name string, body []byte) error {
	if err := enterVault(ctx, name); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if _, taken := v.objects[name]; taken {
		return ports.ErrExists
	}
	v.objects[name] = slices.Clone(body)
	return nil
}

// Get implements [ports.Vault].
func (v *Vault) Get(ctx context.Context, name string, from, length int64) ([]byte, error) {
	if err := ports.CheckObjectRange(length); err != nil {
		return nil, err
	}
	if err := enterVault(ctx, name); err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	body, found := v.objects[name]
	if !found {
		return nil, ports.ErrObjectNotFound
	}
	first, end := ports.ObjectRange(int64(len(body)), from, length)
	return slices.Clone(body[first:end]), nil
}

// List implements [ports.Vault]. It yields the objects of one moment.
func (v *Vault) List(ctx context.Context, prefix, after string) iter.Seq2[ports.Object, error] {
	return func(yield func(ports.Object, error) bool) {
		for _, o := range v.list(prefix, after) {
			if err := enterVault(ctx); err != nil {
				yield(ports.Object{}, err)
				return
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := enterVault(ctx); err != nil {
			yield(ports.Object{}, err)
		}
	}
}

// list returns the objects of a list, in order.
func (v *Vault) list(prefix, after string) (found []ports.Object) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(v.objects)) {
		if strings.HasPrefix(name, prefix) && name > after {
			found = append(found, ports.Object{Name: name, Size: int64(len(v.objects[name]))})
		}
	}
	return found
}

// Delete implements [ports.Vault].
func (v *Vault) Delete(ctx context.Context, names ...string) error {
	if err := enterVault(ctx, names...); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, name := range names {
		delete(v.objects, name)
	}
	return nil
}

// enterVault returns the error of a call that is refused.
func enterVault(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := ports.CheckObjectName(name); err != nil {
			return err
		}
	}
	return ports.Unavailable(ctx, ctx.Err())
}
