package auth_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

func TestNewServiceToken_Form(t *testing.T) {
	form := regexp.MustCompile(`^cc_shop-2_[A-Za-z0-9_-]{43}$`)
	seen := make(map[auth.ServiceToken]bool)
	const some = 500 // secrets with a dash and an underscore anywhere are among them
	for range some {
		token, entry := newToken(t, "shop-2", auth.ScopeAdmin)
		if !form.MatchString(string(token)) || url.QueryEscape(string(token)) != string(token) || seen[token] {
			t.Fatal("a token has another form, or occurs twice")
		}
		seen[token] = true
		if entry.SHA256 != sha256.Sum256([]byte(token)) || entry.ID != "shop-2" {
			t.Fatalf("the entry is %+v", entry)
		}
		tokens := openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}})
		if service, err := tokens.Authenticate(token); err != nil || service.ID != "shop-2" {
			t.Fatalf("its service is %v: %v", service, err)
		}
	}
}

func TestNewServiceToken_Refuses(t *testing.T) {
	for _, id := range []string{"", "Shop", "a_b", "a b", "a.b", "-a", "é", "a\n", strings.Repeat("a", 33)} {
		if token, _, err := auth.NewServiceToken(id, auth.AllScopes()); !errors.Is(err, domain.ErrInvalid) || token != "" {
			t.Errorf("id %q: %v", id, err)
		}
	}
	for _, scopes := range []auth.Scopes{nil, {}, {"nosuch"}} {
		if _, _, err := auth.NewServiceToken("a", scopes); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("scopes %q: %v", scopes, err)
		}
	}
	if _, _, err := auth.NewServiceToken(strings.Repeat("a", 32), auth.AllScopes()); err != nil {
		t.Error(err)
	}
}

// TestServiceToken_Hidden formats a token in every usual way.
func TestServiceToken_Hidden(t *testing.T) {
	token, entry := newToken(t, "shop", auth.ScopeAdmin)
	var logged strings.Builder
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("made", "token", token)
	shown := fmt.Sprintf("%s %v %+v %#v", token, token, token, token) + logged.String() + fmt.Sprintf("%v %#v", entry, entry)
	if strings.Contains(shown, string(token)) || strings.Contains(shown, "cc_") {
		t.Errorf("the token is shown: %s", shown)
	}
}

// TestServiceTokens_Authenticate has one error for all that is wrong with a token.
func TestServiceTokens_Authenticate(t *testing.T) {
	c := newClock()
	good, a := newToken(t, "good", auth.ScopeAdmin)
	ending, b := newToken(t, "ending", auth.ScopePresence)
	b.Expires = c.Now().Add(time.Hour)
	unknown, _ := newToken(t, "unknown", auth.ScopeAdmin)
	otherSecret, _ := newToken(t, "good", auth.ScopeAdmin)
	tokens := openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{a, b}, Clock: c.Now})
	check := func(name string, token auth.ServiceToken, want string) {
		t.Helper()
		service, err := tokens.Authenticate(token)
		if want != "" && (err != nil || service.ID != want) || want == "" && (err != auth.ErrUnauthenticated || service.ID != "") { //nolint:errorlint // the very same error, with nothing added
			t.Errorf("%s: %v, %v", name, service, err)
		}
	}
	check("good", good, "good")
	check("ending", ending, "ending")
	secretOf := func(token auth.ServiceToken) string { return strings.SplitN(string(token), "_", 3)[2] }
	for name, token := range map[string]auth.ServiceToken{
		"unknown id": unknown, "another secret": otherSecret, "empty": "", "prefix only": "cc_", "no secret": "cc_good", "empty secret": "cc_good_",
		"no id": auth.ServiceToken("cc__" + secretOf(good)), "id of another": auth.ServiceToken("cc_ending_" + secretOf(good)), "short": good[:len(good)-1], "long": good + "A",
		"another spelling": auth.ServiceToken(strings.ToUpper(string(good))), "space": good + " ", "padded": good + "=", "hash": auth.ServiceToken(fmt.Sprintf("cc_good_%x", a.SHA256)),
		"large": auth.ServiceToken("cc_good_" + strings.Repeat("A", 8000)),
	} {
		check(name, token, "")
	}
	c.move(time.Hour)
	check("at its end", ending, "")
	check("without an end", good, "good")
}
