package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

// Secret is a key that signs requests: 32 random bytes.
type Secret []byte

const secretPrefix = "whsec_"

// NewSecret returns a random secret.
func NewSecret() Secret {
	s := make(Secret, 32)
	_, _ = rand.Read(s) // never fails
	return s
}

// Text returns the secret as receivers configure it: whsec_ and base64.
func (s Secret) Text() string { return secretPrefix + base64.StdEncoding.EncodeToString(s) }

// String hides the secret in logs.
func (Secret) String() string { return secretPrefix + "…" }

// GoString hides the secret in logs.
func (s Secret) GoString() string { return s.String() }

// signature returns the header webhook-signature: a signature by each secret, separated by spaces.
func signature(secrets []Secret, id, timestamp string, body []byte) string {
	var b strings.Builder
	for i, s := range secrets {
		if i > 0 {
			b.WriteByte(' ')
		}
		mac := hmac.New(sha256.New, s)
		mac.Write([]byte(id))
		mac.Write([]byte{'.'})
		mac.Write([]byte(timestamp))
		mac.Write([]byte{'.'})
		mac.Write(body)
		b.WriteString("v1,")
		b.WriteString(base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return b.String()
}

// liveSecret is a secret and its end.
type liveSecret struct {
	secret Secret
	until  time.Time // zero: no end
}

// live returns the secrets that sign at a time.
func live(all []liveSecret, now time.Time) []Secret {
	secrets := make([]Secret, 0, len(all))
	for _, s := range all {
		if s.until.IsZero() || now.Before(s.until) {
			secrets = append(secrets, s.secret)
		}
	}
	return secrets
}
