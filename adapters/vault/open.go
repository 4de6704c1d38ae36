package vault

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatcore/adapters/memory"
	"chatcore/adapters/vault/file"
	"chatcore/domain"
	"chatcore/ports"
)

// Openers open vaults by the scheme of their URL.
type Openers map[string]func(ctx context.Context, u *url.URL) (ports.Vault, error)

// Open opens a vault:
//
//	file:///DIRECTORY  a directory, which is created; also a path without a scheme
//	memory://          a new vault in memory
//
// and the schemes of more. It returns a [*domain.InvalidError] for any other text. The error does not repeat the URL, which may hold a password.
func Open(ctx context.Context, vault string, more Openers) (ports.Vault, error) {
	scheme, _, found := strings.Cut(vault, "://")
	if !found && vault != "" {
		return opened(file.Open(vault))
	}
	u, err := url.Parse(vault)
	if err != nil {
		return nil, &domain.InvalidError{Field: "vault", Problem: "is no URL", Allowed: allowed(more)}
	}
	switch open := more[scheme]; {
	case open != nil:
		return open(ctx, u)
	case scheme == "file" && u.Host == "" && u.Path != "" && plain(u):
		return opened(file.Open(u.Path))
	case scheme == "memory" && u.Host == "" && u.Path == "" && plain(u):
		return memory.NewVault(), nil
	case scheme == "file", scheme == "memory":
		return nil, &domain.InvalidError{Field: "vault", Problem: "is no URL of a " + scheme + " vault", Allowed: allowed(more)}
	}
	return nil, &domain.InvalidError{Field: "vault", Problem: "has the scheme " + strconv.Quote(scheme), Allowed: allowed(more)}
}

// opened returns the vault without its type, and nil with an error.
func opened(v *file.Vault, err error) (ports.Vault, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

// plain reports whether a URL has nothing but scheme, host and path.
func plain(u *url.URL) bool {
	return u.User == nil && u.RawQuery == "" && u.Fragment == "" && !u.ForceQuery
}

func allowed(more Openers) string {
	text := "a path, file:///DIRECTORY, memory://"
	for _, scheme := range slices.Sorted(maps.Keys(more)) {
		text += ", " + scheme + "://…"
	}
	return text
}
