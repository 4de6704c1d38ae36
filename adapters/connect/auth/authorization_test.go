package auth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/adapters/memory"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/apptest"
)

// newSessions returns sessions in memory, and the token of a session of ada.
func newSessions(t testing.TB, compat bool) (*app.Sessions, app.OpenedSession) {
	t.Helper()
	policy := domain.SessionPolicy{Idle: time.Hour, Lifetime: 5 * time.Hour, PerUser: 3}
	sessions := app.NewSessions(memory.NewSessions(&apptest.Stepping{At: time.Now()}, policy), nil, app.SessionMode{Compat: compat})
	opened, err := sessions.Open(t.Context(), domain.OpenSession{User: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return sessions, opened
}

// TestAuthorization_Malformed refuses every malformed header with one error, also if it holds a valid token.
func TestAuthorization_Malformed(t *testing.T) {
	sessions, opened := newSessions(t, false)
	service, entry := newToken(t, "shop", auth.ScopeAdmin)
	signer := newSigner(t, "k")
	a := authenticator(t, auth.Config{Sessions: sessions, Tokens: openTokens(t, auth.TokensConfig{Entries: []auth.TokenEntry{entry}}), JWT: signer.fileJWT(t)})
	for _, token := range []string{string(service), string(opened.Token), signer.sign(t, signer.claims())} {
		for _, good := range []string{"Bearer " + token, "bearer " + token, "BEARER " + token} {
			if p, err := a.Authenticate(request(good)); err != nil || p == nil {
				t.Fatalf("%.10q: %v, %v", good, p, err)
			}
		}
		for name, values := range map[string][]string{
			"empty": {""}, "scheme only": {"Bearer"}, "no token": {"Bearer "}, "token only": {token}, "no space": {"Bearer" + token}, "another scheme": {"Basic " + token},
			"another separator": {"Bearer\t" + token}, "two spaces": {"Bearer  " + token}, "space before": {" Bearer " + token}, "space after": {"Bearer " + token + " "},
			"two tokens": {"Bearer " + token + " " + token}, "comma": {"Bearer " + token + ", Bearer " + token}, "two headers": {"Bearer " + token, "Bearer " + token},
			"an empty header beside": {"Bearer " + token, ""}, "line end": {"Bearer " + token + "\n"}, "zero": {"Bearer " + token + "\x00"}, "not ASCII": {"Bearer é" + token},
			"not UTF-8": {"Bearer \xff" + token}, "quoted": {`Bearer "` + token + `"`}, "oversized": {"Bearer " + token + strings.Repeat("A", 8<<10)},
			"padded": {"Bearer " + token + "="}, "scheme of more": {"BearerX " + token},
		} {
			p, err := a.Authenticate(request(values...))
			if !errors.Is(err, auth.ErrUnauthenticated) || p != nil || err.Error() != auth.ErrUnauthenticated.Error() {
				t.Errorf("%s: %v, %v", name, p, err)
			}
		}
	}
	if p, err := a.Authenticate(request()); err != nil || p != (auth.Nobody{}) {
		t.Errorf("without a header: %v, %v", p, err)
	}
	long := func(bytes int) string {
		return "Bearer " + signer.sign(t, with(signer.claims(), "x", strings.Repeat("x", bytes)))
	}
	if p, err := a.Authenticate(request(long(5000))); err != nil || p.String() != "user ada" {
		t.Errorf("a long JWT: %v, %v", p, err)
	}
	if p, err := a.Authenticate(request(long(6000))); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("a valid JWT above 8 KiB: %v, %v", p, err)
	}
	longest := "Bearer " + strings.Repeat("A", 8<<10-len("Bearer "))
	if _, err := a.Authenticate(request(longest)); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("8 KiB: %v", err)
	}
}

// FuzzAuthorization reads any header. Only the spellings of one valid token are authenticated, and no error contains a part of a token.
func FuzzAuthorization(f *testing.F) {
	sessions, opened := newSessions(f, false)
	service, entry := newToken(f, "shop", auth.ScopeAdmin)
	signer := newSigner(f, "k")
	jwt := signer.sign(f, signer.claims())
	a := authenticator(f, auth.Config{Sessions: sessions, Tokens: openTokens(f, auth.TokensConfig{Entries: []auth.TokenEntry{entry}}), JWT: signer.fileJWT(f)})
	valid := map[string]string{string(service): "service shop", string(opened.Token): "user ada", jwt: "user ada"}
	for token := range valid {
		for _, header := range []string{"Bearer " + token, token, "bearer " + token, "Bearer " + token + "\n", "Bearer " + token[1:], "Basic " + token} {
			f.Add(header)
		}
	}
	for _, header := range []string{"", "Bearer ", "Bearer cc_", "Bearer cc_shop_", "Bearer ..", "Bearer a.b.c", "Bearer .", "Bearer a.b", "Bearer eyJhbGciOiJub25lIn0.e30."} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		r := request()
		r.Header = http.Header{"Authorization": {header}}
		p, err := a.Authenticate(r)
		scheme, token, _ := strings.Cut(header, " ")
		switch {
		case err == nil && (!strings.EqualFold(scheme, "bearer") || p.String() != valid[token]):
			t.Errorf("%q is %v", header, p)
		case err != nil && (p != nil || err.Error() != auth.ErrUnauthenticated.Error()):
			t.Errorf("%q: %v, %v", header, p, err)
		}
	})
}
