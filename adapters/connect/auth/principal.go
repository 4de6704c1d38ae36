package auth

import (
	"context"
	"slices"
	"time"

	"chatcore/domain"
)

// Principal is the authenticated caller of a request: a [Service], a [User], or [Nobody].
type Principal interface {
	// Allows reports whether the principal has a scope.
	Allows(scope Scope) bool
	// String returns the kind and the id, for logs: "service shop", "user ada", "nobody". It contains no secret.
	String() string

	principal()
}

// Service is a program with a service token. Its commands name the acting user.
type Service struct {
	ID      string
	Scopes  Scopes
	Expires time.Time // of the token; zero if it does not expire
}

// User is a user with a session token or a JWT. The user acts and reads only in its own name.
type User struct {
	ID      domain.UserID
	Session domain.SessionID // "" for a JWT
	Expires time.Time        // end of the credential; a session may end earlier, if it is closed or not used
}

// Nobody is the caller of a request without a credential.
type Nobody struct{}

// LocalID is the id of the service that callers without a credential are in local mode ([Config.Local]).
const LocalID = "local"

// Allows reports whether the service was given a scope.
func (s Service) Allows(scope Scope) bool { return s.Scopes.Has(scope) }

// Allows reports whether users have a scope: those of chats, presence and sessions, within what the user itself may do and read. The handler of a
// method must act as that user.
func (u User) Allows(scope Scope) bool {
	return slices.Contains([]Scope{ScopeChatsRead, ScopeChatsWrite, ScopePresence, ScopeSessions}, scope)
}

// Allows returns false.
func (Nobody) Allows(Scope) bool { return false }

func (s Service) String() string { return "service " + s.ID }
func (u User) String() string    { return "user " + string(u.ID) }
func (Nobody) String() string    { return "nobody" }

func (Service) principal() {}
func (User) principal()    {}
func (Nobody) principal()  {}

type principalKey struct{}

// With returns a context with a principal.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the principal of a context, or [Nobody] if it has none.
func From(ctx context.Context) Principal {
	if p, ok := ctx.Value(principalKey{}).(Principal); ok {
		return p
	}
	return Nobody{}
}
