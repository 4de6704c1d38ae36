package webhook

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// TestSignature_KnownVector checks the example of the specification of Standard Webhooks.
func TestSignature_KnownVector(t *testing.T) {
	secret, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	got := signature([]Secret{secret}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	if got != want {
		t.Errorf("signature %q, want %q", got, want)
	}
	other := NewSecret()
	if both := signature([]Secret{secret, other}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`)); !strings.HasPrefix(both, want+" v1,") {
		t.Errorf("two secrets sign as %q", both)
	}
}

// TestSecret_Text checks the form of secrets, and that logs do not show them.
func TestSecret_Text(t *testing.T) {
	s := NewSecret()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Text(), "whsec_"))
	if err != nil || !bytes.Equal(raw, s) || len(raw) != 32 || !strings.HasPrefix(s.Text(), "whsec_") {
		t.Errorf("the secret is %q: %v", s.Text(), err)
	}
	if shown := fmt.Sprintf("%v %s %+v %#v %q", s, s, s, s, s); strings.Contains(shown, s.Text()[8:]) || strings.Contains(shown, fmt.Sprintf("%d", []byte(s))) {
		t.Errorf("a log shows %s", shown)
	}
}

// TestKeyring_Seal encrypts a secret, and opens it with other keys, as another webhook, and damaged.
func TestKeyring_Seal(t *testing.T) {
	key := func(b byte) []byte { return bytes.Repeat([]byte{b}, KeyBytes) }
	ring := func(keys ...[]byte) Keyring {
		r, err := NewKeyring(keys...)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	secret := NewSecret()
	sealed, err := ring(key(1), key(2)).Seal("hook", secret)
	if err != nil || sealed.Key != KeyID(key(1)) || bytes.Contains(sealed.Sealed, secret) {
		t.Fatalf("sealed %+v: %v", sealed, err)
	}
	for name, keys := range map[string]Keyring{"the same": ring(key(1), key(2)), "another first": ring(key(3), key(1))} {
		if got, err := keys.Open("hook", sealed); err != nil || !bytes.Equal(got, secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ring(key(2)).Open("hook", sealed); !errors.Is(err, ErrKeyMissing) {
		t.Errorf("without its key: %v", err)
	}
	if _, err := ring(key(1)).Open("other", sealed); !errors.Is(err, ErrSealed) {
		t.Errorf("as another webhook: %v", err)
	}
	for i := range sealed.Sealed {
		damaged := groups.SealedSecret{Key: sealed.Key, Sealed: bytes.Clone(sealed.Sealed)}
		damaged.Sealed[i] ^= 1
		if _, err := ring(key(1)).Open("hook", damaged); !errors.Is(err, ErrSealed) {
			t.Errorf("with byte %d damaged: %v", i, err)
		}
	}
	for n := range 28 {
		if _, err := ring(key(1)).Open("hook", groups.SealedSecret{Key: sealed.Key, Sealed: sealed.Sealed[:n]}); !errors.Is(err, ErrSealed) {
			t.Errorf("of %d bytes: %v", n, err)
		}
	}
	if _, err := (Keyring{}).Seal("hook", secret); !errors.Is(err, ErrNoKey) || !strings.Contains(err.Error(), "CHATCORE_WEBHOOKS_KEYS") {
		t.Errorf("without a key: %v", err)
	}
	for _, raw := range [][]byte{nil, make([]byte, 16), make([]byte, 33)} {
		if _, err := NewKeyring(raw); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("a key of %d bytes: %v", len(raw), err)
		}
	}
	for _, text := range []string{"", "x", base64.StdEncoding.EncodeToString(make([]byte, 31)), base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32))} {
		if _, err := ParseKey(text); !errors.Is(err, domain.ErrInvalid) || text != "" && strings.Contains(err.Error(), text+"x") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if shown := fmt.Sprintf("%v %+v %#v", ring(key(1)), ring(key(1)), ring(key(1))); strings.Contains(shown, "1 1 1") || strings.Contains(shown, "0x1") {
		t.Errorf("a log shows %s", shown)
	}
}

// TestLive checks when secrets sign.
func TestLive(t *testing.T) {
	now := time.Now()
	secrets := []liveSecret{{Secret("new"), time.Time{}}, {Secret("old"), now.Add(time.Second)}, {Secret("gone"), now}}
	if got := live(secrets, now); len(got) != 2 || string(got[0]) != "new" || string(got[1]) != "old" {
		t.Errorf("%d secrets sign", len(got))
	}
}
