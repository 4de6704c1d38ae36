package app

import (
	"strings"
	"testing"

	"chatcore/domain"
)

// FuzzSessionToken reads any text as a token. One that names a user is the only spelling of its session: no other text leads to the same place. Other
// text leads to no user, and to a key that never exists.
func FuzzSessionToken(f *testing.F) {
	f.Add(string(newToken("ada")))
	f.Add(string(newToken("ü🍅")))
	f.Add(string(newToken(domain.UserID(strings.Repeat("x", domain.MaxIDBytes)))))
	for _, seed := range []string{"", ".", "YWRh.", "YWRh.AAAA", "5f1d8a2e-guide", "a:b", "*", strings.Repeat("A", maxTheirs+1), string(newToken("ada")) + "\n", string(newToken("a b"))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		token := SessionToken(text)
		user, key, ok := token.place(false)
		_, invalid := domain.ParseUserID(string(user))
		switch {
		case ok && (invalid != nil || len(text) > maxToken):
			t.Errorf("%q is a token of %q", text, user)
		case !ok && user != nobody:
			t.Errorf("%q is no token, and of %q", text, user)
		case len(key) != 43 || strings.ContainsAny(string(key), ":{}*?%"):
			t.Errorf("%q is kept as %q", text, key)
		}
		if who, secret, parsed := token.parse(); parsed {
			for _, other := range []string{text + "\n", "\n" + text, text + "=", text + ".", strings.ToUpper(text), text[:len(text)-1] + "_"} {
				user2, secret2, ok := SessionToken(other).parse()
				if other != text && ok && user2 == who && secret2 == secret {
					t.Errorf("%q and %q are one token", text, other)
				}
			}
		}
		user2, key2, ok2 := token.place(true)
		if ok && (!ok2 || user2 != user || string(key2) != text) {
			t.Errorf("%q is of %q, beside other programs' of %q", text, user, user2)
		}
		if ok2 && strings.ContainsAny(string(key2), ":{}*?[]%\\ \n") {
			t.Errorf("%q is kept as %q beside other programs' tokens", text, key2)
		}
		if !ok2 && string(key2) != string(key) {
			t.Errorf("%q is no token, and kept as %q", text, key2)
		}
	})
}

// TestNewSessionID_IsNoFlag guards against ids that a command line takes for flags: one in 64 random texts begins with a dash.
func TestNewSessionID_IsNoFlag(t *testing.T) {
	const some = 2000
	for range some {
		if id := newSessionID(); id[0] == '-' || len(id) != 22 {
			t.Fatalf("id %q", id)
		}
	}
}
