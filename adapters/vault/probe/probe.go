// Package probe tests with objects of its own whether the store of a vault keeps the promises of [ports.Vault]. Adapters add what only they can read.
package probe

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"

	"chatcore/ports"
)

// pairs are names that some stores take for the same: by case, or by the normal form of Unicode.
var pairs = [...][2]string{{"name", "NAME"}, {"\u00e9", "e\u0301"}} //nolint:gochecknoglobals // never changes

// Writes stores objects twice and deletes them. It returns the promises that the store breaks. A store that refuses every conditional write is found if
// conditional reports so for the error of Put.
func Writes(ctx context.Context, v ports.Vault, conditional func(error) bool) (found []ports.VaultFinding, err error) {
	folder := "check-" + rand.Text() + "/"
	defer func() {
		for _, pair := range pairs {
			err = errors.Join(err, v.Delete(context.WithoutCancel(ctx), folder+pair[0], folder+pair[1]))
		}
	}()
	for i, pair := range pairs {
		switch err := v.Put(ctx, folder+pair[0], []byte(pair[0])); {
		case err != nil && conditional(err):
			return []ports.VaultFinding{{Code: ports.VaultUnconditional, Detail: err.Error()}}, nil
		case err != nil:
			return found, err
		}
		if i == 0 {
			overwrites, err := overwrites(ctx, v, folder+pair[0], pair[0])
			if err != nil {
				return found, err
			}
			found = append(found, overwrites...)
		}
		switch err := v.Put(ctx, folder+pair[1], []byte(pair[1])); {
		case errors.Is(err, ports.ErrExists):
			found = append(found, ports.VaultFinding{Code: ports.VaultFoldsNames, Detail: "the names " + pair[0] + " and " + pair[1] + " are the same"})
		case err != nil:
			return found, err
		}
	}
	return found, nil
}

// overwrites stores another object under a name that is taken.
func overwrites(ctx context.Context, v ports.Vault, name, body string) ([]ports.VaultFinding, error) {
	switch err := v.Put(ctx, name, []byte("other")); {
	case err == nil:
		return []ports.VaultFinding{{Code: ports.VaultOverwrites, Detail: "a second object under the same name was accepted"}}, nil
	case !errors.Is(err, ports.ErrExists):
		return nil, err
	}
	got, err := v.Get(ctx, name, 0, ports.WholeObject)
	if err == nil && !bytes.Equal(got, []byte(body)) {
		return []ports.VaultFinding{{Code: ports.VaultOverwrites, Detail: "a refused object replaced the one before"}}, nil
	}
	return nil, err
}
