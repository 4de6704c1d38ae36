package pull

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"sync"

	"github.com/google/uuid"
)

// A token consists of a version, the id of the process that made it, the number of the dispatch, and a MAC over these and the group, with a key of the
// process. A number is that of one delivery of the process, and comes never again: it stands for the partition, the epoch, the chat, the seq and the
// start. The process therefore distinguishes a forged token from one whose delivery it has forgotten.
const (
	tokenVersion  = 1
	instanceBytes = 16
	macBytes      = 16
	tokenBytes    = 1 + instanceBytes + 8 + macBytes
)

// token is a parsed token.
type token struct {
	instance [instanceBytes]byte
	dispatch uint64
	mac      [macBytes]byte
}

// tokens makes and checks the tokens of a process.
type tokens struct {
	instance [instanceBytes]byte
	macs     sync.Pool // of *keyedMAC
}

// keyedMAC computes MACs without allocations.
type keyedMAC struct {
	hash hash.Hash
	text []byte
	sum  []byte
}

func newTokens(instance uuid.UUID) *tokens {
	var key [sha256.Size]byte
	_, _ = rand.Read(key[:]) // it never fails
	return &tokens{instance: instance, macs: sync.Pool{New: func() any { return &keyedMAC{hash: hmac.New(sha256.New, key[:])} }}}
}

// make returns the token of a dispatch of a group.
func (t *tokens) make(group string, dispatch uint64) string {
	var raw [tokenBytes]byte
	mac := t.mac(group, dispatch)
	raw[0] = tokenVersion
	copy(raw[1:], t.instance[:])
	binary.BigEndian.PutUint64(raw[1+instanceBytes:], dispatch)
	copy(raw[tokenBytes-macBytes:], mac[:])
	return base64.RawURLEncoding.EncodeToString(raw[:])
}

func (t *tokens) mac(group string, dispatch uint64) (mac [macBytes]byte) {
	m, _ := t.macs.Get().(*keyedMAC)
	defer t.macs.Put(m)
	m.text = append(append(m.text[:0], tokenVersion), t.instance[:]...)
	m.text = append(binary.BigEndian.AppendUint64(m.text, dispatch), group...)
	m.hash.Reset()
	_, _ = m.hash.Write(m.text) // it never fails
	m.sum = m.hash.Sum(m.sum[:0])
	copy(mac[:], m.sum)
	return mac
}

// isOf reports whether this process has made a token, for a group.
func (t *tokens) isOf(parsed token, group string) bool {
	mac := t.mac(group, parsed.dispatch)
	return hmac.Equal(mac[:], parsed.mac[:])
}

// parseToken parses a token. It returns false for a text that has not the form of one.
func parseToken(text string) (parsed token, ok bool) {
	var raw [tokenBytes]byte
	if base64.RawURLEncoding.DecodedLen(len(text)) != tokenBytes {
		return token{}, false
	}
	n, err := base64.RawURLEncoding.Strict().Decode(raw[:], []byte(text))
	if err != nil || n != tokenBytes || raw[0] != tokenVersion {
		return token{}, false
	}
	copy(parsed.instance[:], raw[1:])
	parsed.dispatch = binary.BigEndian.Uint64(raw[1+instanceBytes:])
	copy(parsed.mac[:], raw[tokenBytes-macBytes:])
	return parsed, true
}
