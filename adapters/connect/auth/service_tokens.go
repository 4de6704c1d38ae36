package auth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"log/slog"
	"sync/atomic"
	"time"

	"chatcore/domain"
)

// TokensConfig names the sources of service tokens. Their entries add up, and no id may occur twice.
type TokensConfig struct {
	File    string           // tokens file, see [ParseTokens]; it is read again when it changes. Defaults to none.
	Entries []TokenEntry     // entries of the configuration. Defaults to none.
	Poll    time.Duration    // how often the file is read. Defaults to 2 s.
	Logger  *slog.Logger     // Defaults to slog.Default.
	Clock   func() time.Time // Defaults to time.Now.
}

// ServiceTokens are the service tokens that are in effect. Its methods may be called concurrently.
type ServiceTokens struct {
	inline   []TokenEntry
	clock    func() time.Time
	file     *watchedFile // nil without a file
	inEffect atomic.Pointer[map[string]TokenEntry]
}

// OpenServiceTokens reads the tokens of all sources. It returns an error for a file that cannot be read, and for entries that are not valid.
func OpenServiceTokens(config TokensConfig) (*ServiceTokens, error) {
	if config.File == "" && len(config.Entries) == 0 {
		return nil, &domain.InvalidError{Field: "tokens", Problem: "have no source", Allowed: "a tokens file, or entries"}
	}
	for _, e := range config.Entries {
		if err := e.Check(); err != nil {
			return nil, err
		}
	}
	s := &ServiceTokens{inline: config.Entries, clock: config.Clock}
	if s.clock == nil {
		s.clock = time.Now
	}
	if config.File == "" {
		return s, s.replace(nil)
	}
	s.file = &watchedFile{
		path: config.File, limit: maxTokensFile, poll: cmp.Or(config.Poll, filePoll), logger: cmp.Or(config.Logger, slog.Default()),
		load: func(text []byte) error {
			entries, err := ParseTokens(text)
			if err != nil {
				return err
			}
			return s.replace(entries)
		},
	}
	return s, s.Reload()
}

// replace puts the entries of a file, with those of the configuration, into effect.
func (s *ServiceTokens) replace(entries []TokenEntry) error {
	all, err := byID(append(append([]TokenEntry(nil), s.inline...), entries...))
	if err != nil {
		return err
	}
	s.inEffect.Store(&all)
	return nil
}

// Reload reads the file now. If it returns an error, the tokens of the last good version stay in effect.
func (s *ServiceTokens) Reload() error {
	if s.file == nil {
		return nil
	}
	_, err := s.file.read()
	return err
}

// Run reads the file whenever it changes, until ctx ends. A version that cannot be read is logged once, and the last good one stays in effect.
func (s *ServiceTokens) Run(ctx context.Context) {
	if s.file != nil {
		s.file.run(ctx)
	}
}

// current returns the service of the token with a SHA-256, if the token is in effect.
func (s *ServiceTokens) current(id string, sum [sha256.Size]byte) (Service, bool) {
	entry, known := (*s.inEffect.Load())[id]
	if !known || entry.SHA256 != sum || !entry.Expires.IsZero() && !s.clock().Before(entry.Expires) {
		return Service{}, false
	}
	return Service{ID: entry.ID, Scopes: entry.Scopes, Expires: entry.Expires}, true
}

// Authenticate returns the service of a token, or [ErrUnauthenticated]. An unknown id, a wrong secret and an expired token are not distinguished.
func (s *ServiceTokens) Authenticate(token ServiceToken) (Service, error) {
	entry, valid := find(*s.inEffect.Load(), string(token), s.clock())
	if !valid {
		return Service{}, ErrUnauthenticated
	}
	return Service{ID: entry.ID, Scopes: entry.Scopes, Expires: entry.Expires}, nil
}
