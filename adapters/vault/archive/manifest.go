package archive

import (
	"context"
	"errors"
	"fmt"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// prepare writes the first manifest of the log, or one that says that the log takes events again, if that is not what the last one says. It returns a
// [*domain.InvalidError] if the vault has the log with another number of partitions.
func (a *Archiver) prepare(ctx context.Context) error {
	a.opening.Lock()
	defer a.opening.Unlock()
	return a.prepareLocked(ctx)
}

// prepareUnlessClosed is prepare for what no event has asked for. It returns false if the log is closed, and leaves it so.
func (a *Archiver) prepareUnlessClosed(ctx context.Context) (bool, error) {
	a.opening.Lock()
	defer a.opening.Unlock()
	if a.closed {
		return false, nil
	}
	return true, a.prepareLocked(ctx)
}

// prepareLocked is prepare with the mutex held.
func (a *Archiver) prepareLocked(ctx context.Context) error {
	if a.open {
		return nil
	}
	if err := a.changeManifest(ctx, 0); err != nil {
		return err
	}
	a.open, a.closed = true, false
	return nil
}

// Open writes into the vault that the log takes events: before the first one, if the log was closed. Otherwise the first flush does it, and a loss of Redis before that would look
// like none. Errors are those of the vault, and a [*domain.InvalidError] if the vault has the log with another number of partitions.
func (a *Archiver) Open(ctx context.Context) error { return a.prepare(ctx) }

// isClosed reports whether Close has succeeded, and no event came since.
func (a *Archiver) isClosed() bool {
	a.opening.Lock()
	defer a.opening.Unlock()
	return a.closed
}

// close writes a manifest that says that the log takes no events any more.
func (a *Archiver) close(ctx context.Context) error {
	a.opening.Lock()
	defer a.opening.Unlock()
	a.open = false
	err := a.changeManifest(ctx, a.now())
	a.closed = err == nil
	return err
}

// changeManifest writes a manifest if the last one does not say whether the log is closed as given. Of two writers one succeeds, and the other one reads again.
func (a *Archiver) changeManifest(ctx context.Context, closed uint64) error {
	for {
		last, err := a.lastManifest(ctx)
		if err != nil {
			return err
		}
		next := &object.ManifestObject{Name: object.Manifest(a.config.LogID, 0), Log: a.config.LogID, Partitions: a.config.Partitions, Hash: a.config.Hash, CreatedAt: a.now()}
		if last == nil && a.config.Ancestors != nil {
			if next.Ancestors, err = a.config.Ancestors(ctx); err != nil {
				return err
			}
		}
		if last != nil {
			if last.Partitions != a.config.Partitions || last.Hash != a.config.Hash {
				return &domain.InvalidError{
					Field: "vault", Problem: fmt.Sprintf("has the log %s with %d partitions and the hash %s", last.Log, last.Partitions, last.Hash),
					Allowed: fmt.Sprintf("%d partitions and the hash %s, as the log has them", a.config.Partitions, a.config.Hash),
				}
			}
			if (last.Closed > 0) == (closed > 0) {
				return nil
			}
			next = last
			next.Name.Number++
		}
		next.Closed = closed
		data, err := object.EncodeManifest(next)
		if err != nil {
			return err
		}
		if err := a.put(ctx, next.Name, data); !errors.Is(err, ports.ErrExists) {
			return err
		}
	}
}

// lastManifest returns the manifest that holds, nil if there is none.
func (a *Archiver) lastManifest(ctx context.Context) (*object.ManifestObject, error) {
	last := object.Name{}
	for name, err := range a.list(ctx, object.Manifest(a.config.LogID, 0).Siblings()) {
		if err != nil {
			return nil, err
		}
		last = name
	}
	if last.Log == "" {
		return nil, nil
	}
	data, err := a.get(ctx, last)
	if err != nil {
		return nil, err
	}
	return object.DecodeManifest(last, data)
}
