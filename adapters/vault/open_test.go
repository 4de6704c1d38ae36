package vault_test

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"chatcore/adapters/memory"
	"chatcore/adapters/vault"
	"chatcore/domain"
	"chatcore/ports"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	other := memory.NewVault()
	more := vault.Openers{"other": func(_ context.Context, u *url.URL) (ports.Vault, error) {
		if u.Host != "host" {
			return nil, errors.ErrUnsupported
		}
		return other, nil
	}}
	for _, text := range []string{"file://" + dir + "/a%20b", filepath.Join(dir, "a b"), "memory://", "other://host/x"} {
		v, err := vault.Open(t.Context(), text, more)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := v.Put(t.Context(), "name", []byte(text)); err != nil && !errors.Is(err, ports.ErrExists) {
			t.Errorf("%q: %v", text, err)
		}
	}
	again, err := vault.Open(t.Context(), dir+"/a b", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Get(t.Context(), "name", 0, ports.WholeObject); err != nil || !strings.HasPrefix(string(got), "file://") {
		t.Errorf("the vault of the path has %q, error %v, want the object of the URL", got, err)
	}
	if got, err := other.Get(t.Context(), "name", 0, ports.WholeObject); err != nil || string(got) != "other://host/x" {
		t.Errorf("the other vault has %q, error %v", got, err)
	}
}

func TestOpen_Refuses(t *testing.T) {
	for _, text := range []string{
		"", "://", "file://", "file://host/path", "file:///path?x=1", "file:///path#x", "file://user:secret@/path", "memory://x", "memory:///x", "memory://?x",
		"s3://bucket", "http://user:secret@host/", "file:///%zz-secret",
	} {
		v, err := vault.Open(t.Context(), text, nil)
		var invalid *domain.InvalidError
		if v != nil || !errors.As(err, &invalid) || invalid.Field != "vault" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, %v, want an InvalidError without the URL", text, v, err)
		}
	}
}
