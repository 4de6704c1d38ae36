package app

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// SessionToken is the client's secret of a session: the user id, and 32 random bytes, as text that fits into a URL and a header. Its bearer acts as
// the user. In logs its text is hidden; string(token) is the client's value.
type SessionToken string

// String hides the token.
func (SessionToken) String() string { return "(session token)" }

// GoString hides the token.
func (SessionToken) GoString() string { return "(session token)" }

// LogValue hides the token.
func (SessionToken) LogValue() slog.Value { return slog.StringValue("(session token)") }

const (
	secretBytes  = 32
	maxToken     = 256     // bytes; the longest of ours has 215
	maxTheirs    = 4 << 10 // bytes, of a token that another program made
	nobody       = " "     // no user has this id
	sessionIDLen = 16      // bytes
)

func randomText(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // never fails since Go 1.24
	return base64.RawURLEncoding.EncodeToString(b)
}

// newSessionID returns a random id that does not begin with a dash: an id is an argument of commands, and would be taken for a flag.
func newSessionID() domain.SessionID {
	for {
		if id := randomText(sessionIDLen); id[0] != '-' {
			return domain.SessionID(id)
		}
	}
}

func newToken(user domain.UserID) SessionToken {
	return SessionToken(base64.RawURLEncoding.EncodeToString([]byte(user)) + "." + randomText(secretBytes))
}

// hashed returns the key of a secret. SHA-256 without salt or stretching suffices: 256 random bits cannot be guessed at any hash rate, and no two are
// the same.
func hashed(secret string) ports.SessionKey {
	sum := sha256.Sum256([]byte(secret))
	return ports.SessionKey(base64.RawURLEncoding.EncodeToString(sum[:]))
}

// place returns the user and the key of a token's session. A malformed token is looked up too, under a key that never exists: result and duration are
// those of an unknown one.
func (t SessionToken) place(compat bool) (user domain.UserID, key ports.SessionKey, ok bool) {
	user, secret, ok := t.parse()
	switch {
	case !compat && ok:
		return user, hashed(secret), true
	case compat && ok:
		return user, ports.SessionKey(t), true
	case compat && t.plain():
		return nobody, ports.SessionKey(t), true
	}
	return nobody, hashed(string(t[:min(len(t), maxToken)])), false
}

func (t SessionToken) parse() (user domain.UserID, secret string, ok bool) {
	if len(t) > maxToken {
		return "", "", false
	}
	who, secret, _ := strings.Cut(string(t), ".")
	id, ok := decoded(who)
	if !ok {
		return "", "", false
	}
	if b, ok := decoded(secret); !ok || len(b) != secretBytes {
		return "", "", false
	}
	user, err := domain.ParseUserID(id)
	return user, secret, err == nil
}

// decoded takes the one spelling that the encoder gives: the decoder also takes line ends, and any bits that are left over at the end.
func decoded(s string) (string, bool) {
	var plain, again [maxToken]byte
	n, err := base64.RawURLEncoding.Decode(plain[:], append(again[:0], s...))
	if err != nil {
		return "", false
	}
	return string(plain[:n]), string(base64.RawURLEncoding.AppendEncode(again[:0], plain[:n])) == s
}

// plain reports whether another program's token is safe as a part of a key: it has nothing of which names of keys are made.
func (t SessionToken) plain() bool {
	return t != "" && len(t) <= maxTheirs && !strings.ContainsFunc(string(t), func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`%:{}*?[]\`, r)
	})
}
