package auth_test

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

func TestParseScope(t *testing.T) {
	for _, text := range []string{"chats:read", "chats:write", "presence", "sessions", "consume:push", "consume:*", "consume:a:b", "webhooks", "admin"} {
		if scope, err := auth.ParseScope(text); err != nil || string(scope) != text {
			t.Errorf("%q is the scope %q: %v", text, scope, err)
		}
	}
	for _, text := range []string{"", "chats", "chats:", "Chats:Read", "chats:read ", "consume", "consume:", "consume:a b", "consume:\n", "*", "root", strings.Repeat("x", 1000), "consume:" + strings.Repeat("x", 200)} {
		_, err := auth.ParseScope(text)
		invalid, ok := errors.AsType[*domain.InvalidError](err)
		if !ok || invalid.Field != "scope" || !strings.Contains(invalid.Allowed, "consume:GROUP") || !strings.Contains(invalid.Allowed, "chats:read") || len(err.Error()) > 400 {
			t.Errorf("%.20q: %v", text, err)
		}
	}
}

func TestParseScopes_IsASet(t *testing.T) {
	scopes, err := auth.ParseScopes([]string{"presence", "admin", "presence"})
	if want := (auth.Scopes{"admin", "presence"}); err != nil || !slices.Equal(scopes, want) {
		t.Errorf("scopes %v: %v, want %v", scopes, err, want)
	}
	for _, texts := range [][]string{nil, {"admin", "nosuch"}, make([]string, 65)} {
		if _, err := auth.ParseScopes(texts); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%d scopes: %v", len(texts), err)
		}
	}
}

// TestPrincipal_Allows compares every principal with every scope.
func TestPrincipal_Allows(t *testing.T) {
	all := append(auth.AllScopes(), auth.ScopeConsume("push"), auth.ScopeConsume("other"))
	ofUser := []auth.Scope{auth.ScopeChatsRead, auth.ScopeChatsWrite, auth.ScopePresence, auth.ScopeSessions}
	for name, c := range map[string]struct {
		p    auth.Principal
		want []auth.Scope
	}{
		"nobody":           {auth.Nobody{}, nil},
		"user":             {auth.User{ID: "ada"}, ofUser},
		"no scopes":        {auth.Service{ID: "a"}, nil},
		"one scope":        {auth.Service{ID: "a", Scopes: auth.Scopes{auth.ScopeAdmin}}, []auth.Scope{auth.ScopeAdmin}},
		"a group":          {auth.Service{ID: "a", Scopes: auth.Scopes{auth.ScopeConsume("push")}}, []auth.Scope{auth.ScopeConsume("push")}},
		"every group":      {auth.Service{ID: "a", Scopes: auth.Scopes{auth.ScopeConsumeAll}}, []auth.Scope{auth.ScopeConsumeAll, auth.ScopeConsume("push"), auth.ScopeConsume("other")}},
		"every scope":      {auth.Service{ID: "a", Scopes: auth.AllScopes()}, all},
		"none of the kind": {auth.Service{ID: "a", Scopes: auth.Scopes{"nosuch"}}, nil},
	} {
		for _, scope := range all {
			if got, want := c.p.Allows(scope), slices.Contains(c.want, scope); got != want {
				t.Errorf("%s allows %s: %t, want %t", name, scope, got, want)
			}
		}
	}
}

func TestFrom(t *testing.T) {
	if p := auth.From(t.Context()); p != (auth.Nobody{}) {
		t.Errorf("a context without a principal has %v", p)
	}
	for _, p := range []auth.Principal{auth.Nobody{}, auth.User{ID: "ada", Session: "s"}, auth.Service{ID: "shop", Scopes: auth.AllScopes()}} {
		if got := auth.From(auth.With(t.Context(), p)); !reflect.DeepEqual(got, p) {
			t.Errorf("got %v, want %v", got, p)
		}
	}
	if text := (auth.Service{ID: "shop"}).String() + (auth.User{ID: "ada"}).String() + (auth.Nobody{}).String(); text != "service shopuser adanobody" {
		t.Errorf("texts are %q", text)
	}
}
