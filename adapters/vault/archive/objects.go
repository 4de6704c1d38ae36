package archive

import (
	"bytes"
	"context"
	"errors"
	"iter"

	"chatcore/adapters/vault/object"
	"chatcore/ports"
)

// put stores an object. An equal object under the name is a success: an earlier attempt may have stored it. It returns [ports.ErrExists] for another one.
func (a *Archiver) put(ctx context.Context, name object.Name, data []byte) error {
	err := a.config.Vault.Put(ctx, name.String(), data)
	if errors.Is(err, ports.ErrExists) {
		stored, failed := a.get(ctx, name)
		switch {
		case failed != nil:
			err = failed
		case bytes.Equal(stored, data):
			err = nil
		}
	}
	switch {
	case err == nil:
		a.counts.objects.Add(1)
		a.counts.bytes.Add(uint64(len(data)))
	case !errors.Is(err, ports.ErrExists):
		a.counts.failedPuts.Add(1)
	}
	return err
}

// get returns the bytes of an object.
func (a *Archiver) get(ctx context.Context, name object.Name) ([]byte, error) {
	return a.config.Vault.Get(ctx, name.String(), 0, ports.WholeObject)
}

// list yields the names of objects that begin with a prefix, in order. It leaves out names that no object has.
func (a *Archiver) list(ctx context.Context, prefix string) iter.Seq2[object.Name, error] {
	return func(yield func(object.Name, error) bool) {
		for found, err := range a.config.Vault.List(ctx, prefix, "") {
			if err != nil {
				yield(object.Name{}, err)
				return
			}
			if name, err := object.ParseName(found.Name); err == nil && !yield(name, nil) {
				return
			}
		}
	}
}

// remove deletes objects, some at a time.
func (a *Archiver) remove(ctx context.Context, names []object.Name) error {
	const atATime = 256
	for len(names) > 0 {
		n := min(atATime, len(names))
		texts := make([]string, n)
		for i, name := range names[:n] {
			texts[i] = name.String()
		}
		if err := a.config.Vault.Delete(ctx, texts...); err != nil {
			return err
		}
		names = names[n:]
	}
	return nil
}
