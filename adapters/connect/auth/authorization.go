package auth

import (
	"net/http"
	"strings"
)

const (
	authorizationHeader = "Authorization"
	bearerScheme        = "Bearer"
	maxAuthorization    = 8 << 10 // bytes of the header's value
)

// credentialKind is the kind of a credential, which its form decides.
type credentialKind uint8

const (
	noCredential credentialKind = iota
	serviceCredential
	jwtCredential
	sessionCredential
)

// String returns the kind's name.
func (k credentialKind) String() string {
	switch k {
	case noCredential:
		return "no credential"
	case serviceCredential:
		return "service token"
	case jwtCredential:
		return "JWT"
	case sessionCredential:
		return "session token"
	}
	return ""
}

// credentialOf returns the credential of a request's Authorization header, or noCredential if there is no such header. It returns
// [ErrUnauthenticated] if there are two, and for a value other than "Bearer TOKEN" with one space, up to 8 KiB.
func credentialOf(header http.Header) (kind credentialKind, token string, err error) {
	values := header[authorizationHeader]
	switch {
	case len(values) == 0:
		return noCredential, "", nil
	case len(values) > 1 || len(values[0]) > maxAuthorization:
		return noCredential, "", ErrUnauthenticated
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if !strings.EqualFold(scheme, bearerScheme) || token == "" || strings.ContainsFunc(token, notInToken) {
		return noCredential, "", ErrUnauthenticated
	}
	return kindOf(token), token, nil
}

// kindOf returns the kind of a token: a service token begins with cc_, a JWT has two dots, and a session token of the core has one. Session tokens of other
// programs have any other form.
func kindOf(token string) credentialKind {
	const jwtDots = 2
	switch {
	case strings.HasPrefix(token, tokenPrefix):
		return serviceCredential
	case strings.Count(token, ".") == jwtDots:
		return jwtCredential
	}
	return sessionCredential
}

// notInToken reports whether a character is neither a letter nor another visible one of ASCII.
func notInToken(r rune) bool { return r <= ' ' || r > '~' }
