package webhook

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// Errors of secrets.
var (
	// ErrNoKey is returned where a secret is made and the configuration has no key that encrypts it.
	ErrNoKey = errors.New("no key encrypts the secrets of webhooks: set webhooks.keys (CHATCORE_WEBHOOKS_KEYS) to base64 of 32 random bytes")
	// ErrKeyMissing is returned for a secret that a key encrypts that the configuration does not have.
	ErrKeyMissing = errors.New("the key that encrypts the webhook's secret is not in webhooks.keys")
	// ErrSealed is returned for a secret that does not decrypt: it is damaged, or of another webhook.
	ErrSealed = errors.New("the webhook's secret does not decrypt")
)

// KeyBytes is the length of a key of a [Keyring].
const KeyBytes = 32

// Keyring encrypts secrets with AES-256-GCM. The name of the webhook is authenticated with each, so that none can be moved to another webhook. The first key
// encrypts, all decrypt. The zero Keyring has no key.
type Keyring struct{ keys []key }

type key struct {
	id   string
	aead cipher.AEAD
}

// String hides the keys in logs.
func (k Keyring) String() string { return fmt.Sprintf("%d keys", len(k.keys)) }

// GoString hides the keys in logs.
func (k Keyring) GoString() string { return k.String() }

// NewKeyring returns a keyring of keys of [KeyBytes] bytes.
func NewKeyring(keys ...[]byte) (Keyring, error) {
	var ring Keyring
	for i, raw := range keys {
		if len(raw) != KeyBytes {
			return Keyring{}, &domain.InvalidError{Field: "webhooks.keys", Problem: fmt.Sprintf("has %d bytes in key %d", len(raw), i+1), Allowed: "keys of 32 bytes"}
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			return Keyring{}, err
		}
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return Keyring{}, err
		}
		ring.keys = append(ring.keys, key{KeyID(raw), aead})
	}
	return ring, nil
}

// KeyID returns the id of a key: the start of a hash of it.
func KeyID(raw []byte) string {
	sum := sha256.Sum256(append([]byte("chatcore webhook key:"), raw...))
	return hex.EncodeToString(sum[:4])
}

// ParseKey returns the key of its base64.
func ParseKey(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(raw) != KeyBytes {
		return nil, &domain.InvalidError{Field: "webhooks.keys", Problem: "has a key that is not base64 of 32 bytes", Allowed: "keys as openssl rand -base64 32 makes them, separated by commas"}
	}
	return raw, nil
}

// Seal encrypts a secret of a webhook. It returns [ErrNoKey] if there is no key.
func (k Keyring) Seal(group string, s Secret) (groups.SealedSecret, error) {
	if len(k.keys) == 0 {
		return groups.SealedSecret{}, ErrNoKey
	}
	first := k.keys[0]
	nonce := make([]byte, first.aead.NonceSize())
	_, _ = rand.Read(nonce) // never fails
	return groups.SealedSecret{Key: first.id, Sealed: first.aead.Seal(nonce, nonce, s, []byte(group))}, nil
}

// Open decrypts a secret of a webhook. It returns [ErrKeyMissing] or [ErrSealed].
func (k Keyring) Open(group string, sealed groups.SealedSecret) (Secret, error) {
	for _, key := range k.keys {
		if key.id != sealed.Key {
			continue
		}
		size := key.aead.NonceSize()
		if len(sealed.Sealed) < size {
			return nil, ErrSealed
		}
		secret, err := key.aead.Open(nil, sealed.Sealed[:size], sealed.Sealed[size:], []byte(group))
		if err != nil {
			return nil, ErrSealed
		}
		return secret, nil
	}
	return nil, fmt.Errorf("%w: key %q", ErrKeyMissing, sealed.Key)
}

// open decrypts all secrets of a webhook.
func (k Keyring) open(group string, sealed []groups.SealedSecret) ([]liveSecret, error) {
	secrets := make([]liveSecret, 0, len(sealed))
	for _, s := range sealed {
		secret, err := k.Open(group, s)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, liveSecret{secret, s.ExpiresAt})
	}
	return secrets, nil
}
