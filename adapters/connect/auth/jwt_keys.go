package auth

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"sync/atomic"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"

	"chatcore/domain"
)

const (
	maxKeySet  = 256 << 10 // bytes
	maxKeys    = 64        // a JWT that names no key is compared with all of them
	minRSABits = 2048
)

// keySource has the keys that verify JWTs.
type keySource interface {
	// key returns the key, or the keys, that may have signed a token. It returns ports.ErrUnavailable if it cannot know.
	key(ctx context.Context, token *jwt.Token) (any, error)
	ready() error
	run(ctx context.Context)
}

func newKeySource(config JWTConfig) (keySource, error) {
	if config.KeyFile == "" {
		return newRemoteKeys(config), nil
	}
	k := &fileKeys{}
	k.file = &watchedFile{path: config.KeyFile, limit: maxKeySet, poll: cmp.Or(config.Poll, filePoll), logger: config.Logger, load: k.load}
	_, err := k.file.read()
	return k, err
}

// keySet is a set of public keys. It does not change.
type keySet struct {
	keys    keyfunc.Keyfunc
	unnamed bool // the keys have no ids, and a JWT is compared with all of them
}

func (s *keySet) key(ctx context.Context, token *jwt.Token) (any, error) {
	if s.unnamed {
		return s.keys.VerificationKeySet(ctx)
	}
	return s.keys.KeyfuncCtx(ctx)(token)
}

func newKeySet(keys []jwkset.JWK, unnamed bool) (*keySet, error) {
	storage := jwkset.NewMemoryStorage()
	for _, key := range keys {
		if err := storage.KeyWrite(context.Background(), key); err != nil {
			return nil, err
		}
	}
	found, err := keyfunc.New(keyfunc.Options{Storage: storage, UseWhitelist: []jwkset.USE{jwkset.UseSig, ""}})
	return &keySet{found, unnamed}, err
}

// fileKeys are the keys of a file.
type fileKeys struct {
	file    *watchedFile
	current atomic.Pointer[keySet]
}

func (k *fileKeys) key(ctx context.Context, token *jwt.Token) (any, error) {
	return k.current.Load().key(ctx, token)
}
func (k *fileKeys) ready() error            { return nil }
func (k *fileKeys) run(ctx context.Context) { k.file.run(ctx) }

func (k *fileKeys) load(text []byte) error {
	parse := parsePEM
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) {
		parse = parseJWKS
	}
	set, err := parse(text)
	if err == nil {
		k.current.Store(set)
	}
	return err
}

func invalidKeys(problem string) error {
	return &domain.InvalidError{
		Field: "keys", Problem: problem, Allowed: "a JWK Set, or public keys and certificates in PEM: 1 to 64 keys of RSA with at least 2048 bits, ECDSA or Ed25519",
	}
}

// parseJWKS reads a JWK Set. As RFC 7517 asks, it leaves out keys that it cannot use: of other kinds, malformed, for encryption, shared secrets, and weak
// ones. A set without any other key is refused. Certificates and URLs of certificates in the set are ignored.
func parseJWKS(text []byte) (*keySet, error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, invalidKeys("cannot be read: " + err.Error())
	}
	if len(set.Keys) > maxKeys {
		return nil, invalidKeys(fmt.Sprintf("are %d", len(set.Keys)))
	}
	var keys []jwkset.JWK
	for _, marshal := range set.Keys {
		if marshal.USE == jwkset.UseEnc {
			continue
		}
		marshal.X5C, marshal.X5T, marshal.X5TS256, marshal.X5U = nil, "", "", ""
		key, err := jwkset.NewJWKFromMarshal(marshal, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err == nil && !weak(key.Key()) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, invalidKeys("have none that verifies signatures")
	}
	return newKeySet(keys, false)
}

// parsePEM reads public keys and certificates. A certificate counts as its public key; neither its dates nor its issuer are checked.
func parsePEM(text []byte) (*keySet, error) {
	var keys []jwkset.JWK
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		public, err := publicKey(block)
		if err != nil {
			return nil, err
		}
		if weak(public) {
			return nil, invalidKeys("have a weak one")
		}
		key, err := jwkset.NewJWKFromKey(public, jwkset.JWKOptions{})
		if err != nil {
			return nil, invalidKeys("have a wrong one: " + err.Error())
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 || len(keys) > maxKeys || len(bytes.TrimSpace(text)) > 0 {
		return nil, invalidKeys(fmt.Sprintf("are %d, or there is text after them", len(keys)))
	}
	return newKeySet(keys, true)
}

func publicKey(block *pem.Block) (crypto.PublicKey, error) {
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		return nil, invalidKeys(fmt.Sprintf("have a block %.40q", block.Type))
	}
	if err != nil {
		return nil, invalidKeys("cannot be read: " + err.Error())
	}
	return key, nil
}

// weak reports whether a key is one of RSA that is too short.
func weak(key any) bool {
	public, isRSA := key.(*rsa.PublicKey)
	return isRSA && public.N.BitLen() < minRSABits
}
