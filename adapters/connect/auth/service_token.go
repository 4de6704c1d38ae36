package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"chatcore/domain"
)

// ServiceToken is the secret of a service: cc_ID_SECRET, as text that fits into a URL and a header. In logs its text is hidden; string(token) is the
// client's value.
type ServiceToken string

// String hides the token.
func (ServiceToken) String() string { return "(service token)" }

// GoString hides the token.
func (ServiceToken) GoString() string { return "(service token)" }

// LogValue hides the token.
func (ServiceToken) LogValue() slog.Value { return slog.StringValue("(service token)") }

const (
	tokenPrefix  = "cc_"
	secretBytes  = 32
	maxServiceID = 32  // bytes
	maxComment   = 256 // bytes
)

// TokenEntry is the stored form of a service token. It holds no secret: SHA-256 without salt or stretching suffices, because 256 random bits cannot be
// guessed at any hash rate.
type TokenEntry struct {
	ID      string    // of the service, each once: 1 to 32 characters of a-z, 0-9 and dash, no dash first
	SHA256  [32]byte  // of the whole token
	Scopes  Scopes    // at least one
	Expires time.Time // zero for a token that does not expire
	Comment string    // for people, up to 256 bytes
}

// NewServiceToken returns a random token and its entry. Expires and Comment of the entry are for the caller to set.
func NewServiceToken(id string, scopes Scopes) (ServiceToken, TokenEntry, error) {
	var secret [secretBytes]byte
	_, _ = rand.Read(secret[:]) // never fails since Go 1.24
	token := ServiceToken(tokenPrefix + id + "_" + base64.RawURLEncoding.EncodeToString(secret[:]))
	entry := TokenEntry{ID: id, SHA256: sha256.Sum256([]byte(token)), Scopes: scopes}
	if err := entry.Check(); err != nil {
		return "", TokenEntry{}, err
	}
	return token, entry, nil
}

// Check returns a [*domain.InvalidError] for an entry that cannot be kept.
func (e TokenEntry) Check() error {
	if problem := serviceIDProblem(e.ID); problem != "" {
		return &domain.InvalidError{Field: "id", Problem: problem, Allowed: "1 to 32 characters of a-z, 0-9 and dash, not a dash first"}
	}
	if len(e.Comment) > maxComment {
		return &domain.InvalidError{Field: "comment", Problem: fmt.Sprintf("has %d bytes", len(e.Comment)), Allowed: "up to 256 bytes"}
	}
	texts := make([]string, len(e.Scopes))
	for i, scope := range e.Scopes {
		texts[i] = string(scope)
	}
	_, err := ParseScopes(texts)
	return err
}

func serviceIDProblem(id string) string {
	switch {
	case id == "":
		return "is empty"
	case len(id) > maxServiceID, id[0] == '-', strings.ContainsFunc(id, notInServiceID):
		return fmt.Sprintf("is %.40q", id)
	}
	return ""
}

func notInServiceID(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }

// serviceOf returns the id that a token names, or "" if it has the form of none.
func serviceOf(token string) string {
	rest, _ := strings.CutPrefix(token, tokenPrefix)
	id, _, _ := strings.Cut(rest, "_")
	return id
}

// find returns the entry of a token that is valid at a time. A token of an unknown service is hashed and compared as one of a known service, so that
// neither result nor duration distinguish it from a wrong secret.
func find(entries map[string]TokenEntry, token string, at time.Time) (TokenEntry, bool) {
	sum := sha256.Sum256([]byte(token))
	entry, known := entries[serviceOf(token)]
	same := subtle.ConstantTimeCompare(sum[:], entry.SHA256[:]) == 1
	alive := entry.Expires.IsZero() || at.Before(entry.Expires)
	return entry, known && same && alive
}

func parseSHA256(text string) (sum [32]byte, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(sum) {
		return sum, &domain.InvalidError{Field: "sha256", Problem: fmt.Sprintf("is %.80q", text), Allowed: "64 hex digits: the SHA-256 of the whole token"}
	}
	return [32]byte(b), nil
}
