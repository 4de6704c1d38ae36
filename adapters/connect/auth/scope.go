package auth

import (
	"fmt"
	"slices"
	"strings"

	"chatcore/domain"
)

// Scope is one right of a service. [ParseScope] makes one from text.
type Scope string

// Scopes of services. A scope includes no other one.
const (
	ScopeChatsRead  Scope = "chats:read"  // queries of chats, messages, events and read models
	ScopeChatsWrite Scope = "chats:write" // commands, in the name of any user
	ScopePresence   Scope = "presence"    // heartbeats, status and typing
	ScopeSessions   Scope = "sessions"    // open, verify, list and close sessions
	ScopeWebhooks   Scope = "webhooks"    // define webhooks
	ScopeAdmin      Scope = "admin"       // groups, dead letters, health and findings

	// ScopeConsumeAll allows to consume every group. [ScopeConsume] returns the scope of one.
	ScopeConsumeAll Scope = consumePrefix + "*"
)

const (
	consumePrefix = "consume:"
	maxScopes     = 64 // of a service
)

const allowedScopes = "chats:read, chats:write, presence, sessions, consume:GROUP (consume:* for every group), webhooks, admin"

// ScopeConsume returns the scope to consume a group.
func ScopeConsume(group string) Scope { return Scope(consumePrefix + group) }

// Consumes reports whether the scope allows to consume a group, or all.
func (s Scope) Consumes() bool { return strings.HasPrefix(string(s), consumePrefix) }

// AllScopes returns every scope, with the one to consume any group.
func AllScopes() Scopes {
	return Scopes{ScopeAdmin, ScopeChatsRead, ScopeChatsWrite, ScopeConsumeAll, ScopePresence, ScopeSessions, ScopeWebhooks}
}

// ParseScope checks s as a scope. The error is a [*domain.InvalidError], which names the scopes that there are.
func ParseScope(s string) (Scope, error) {
	invalid := &domain.InvalidError{Field: "scope", Problem: fmt.Sprintf("is %.80q", s), Allowed: allowedScopes}
	if group, consume := strings.CutPrefix(s, consumePrefix); consume {
		if _, err := domain.ParseUserID(group); err != nil { // names of groups have the form of ids
			return "", invalid
		}
		return Scope(s), nil
	}
	if !slices.Contains(AllScopes(), Scope(s)) {
		return "", invalid
	}
	return Scope(s), nil
}

// Scopes is the set of scopes of a service, sorted, each once.
type Scopes []Scope

// ParseScopes checks 1 to 64 scopes and returns their set.
func ParseScopes(texts []string) (Scopes, error) {
	if len(texts) == 0 || len(texts) > maxScopes {
		return nil, &domain.InvalidError{Field: "scopes", Problem: fmt.Sprintf("are %d", len(texts)), Allowed: fmt.Sprintf("1 to %d of %s", maxScopes, allowedScopes)}
	}
	scopes := make(Scopes, 0, len(texts))
	for _, text := range texts {
		scope, err := ParseScope(text)
		if err != nil {
			return nil, err
		}
		scopes = append(scopes, scope)
	}
	slices.Sort(scopes)
	return slices.Compact(scopes), nil
}

// Has reports whether the set contains a scope. [ScopeConsumeAll] contains the scope of every group.
func (s Scopes) Has(scope Scope) bool {
	return slices.Contains(s, scope) || strings.HasPrefix(string(scope), consumePrefix) && slices.Contains(s, ScopeConsumeAll)
}
