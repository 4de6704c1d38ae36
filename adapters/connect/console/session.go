package console

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

// maxSignIn is the largest body of a sign-in, in bytes. A token has 8 KiB at most.
const maxSignIn = 16 << 10

// session is the caller of the console, as the page gets it.
type session struct {
	// Local says that there is no sign-in.
	Local bool `json:"local"`
	// Kind is "service" or "user", and "" for a browser that is not signed in.
	Kind    string      `json:"kind"`
	ID      string      `json:"id"`
	Scopes  auth.Scopes `json:"scopes"`
	Expires *time.Time  `json:"expires,omitempty"`
}

// sessionOf describes a principal.
func (h *Handler) sessionOf(p auth.Principal) session {
	s := session{Local: h.config.Local, Scopes: auth.Scopes{}}
	var expires time.Time
	switch p := p.(type) {
	case auth.Service:
		s.Kind, s.ID, s.Scopes, expires = "service", p.ID, p.Scopes, p.Expires
	case auth.User:
		s.Kind, s.ID, expires = "user", string(p.ID), p.Expires
		for _, scope := range auth.AllScopes() {
			if p.Allows(scope) {
				s.Scopes = append(s.Scopes, scope)
			}
		}
	}
	if !expires.IsZero() {
		s.Expires = &expires
	}
	return s
}

// serveSession answers GET with the caller, POST by signing in and DELETE by signing out.
func (h *Handler) serveSession(w http.ResponseWriter, r *http.Request) {
	setHeaders(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case r.Method == http.MethodGet:
		h.getSession(w, r)
	case r.Method == http.MethodPost && !h.config.Local:
		h.signIn(w, r)
	case r.Method == http.MethodDelete && !h.config.Local:
		if err := h.config.Authenticator.SignOut(w, r); err != nil {
			h.config.OnError(w, r, err)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	default:
		allowed := "GET, POST, DELETE"
		if h.config.Local {
			allowed = "GET"
		}
		w.Header().Set("Allow", allowed)
		http.Error(w, "allowed: "+allowed, http.StatusMethodNotAllowed)
	}
}

// getSession answers with the caller. A credential that is not valid any more is none: the page then asks for another one.
func (h *Handler) getSession(w http.ResponseWriter, r *http.Request) {
	p, err := h.config.Authenticator.Authenticate(r)
	if errors.Is(err, auth.ErrUnauthenticated) {
		p, err = auth.Nobody{}, nil
	}
	if err != nil {
		h.config.OnError(w, r, err)
		return
	}
	writeJSON(w, h.sessionOf(p))
}

// signIn takes {"token": "…"} as JSON: a form of another page cannot send that content type.
func (h *Handler) signIn(w http.ResponseWriter, r *http.Request) {
	media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "application/json" {
		w.Header().Set("Accept-Post", "application/json")
		http.Error(w, "allowed: Content-Type: application/json", http.StatusUnsupportedMediaType)
		return
	}
	var body struct {
		Token string `json:"token"`
	}
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxSignIn))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil || decoder.Decode(&struct{}{}) != io.EOF || body.Token == "" { //nolint:errorlint // Decode returns it as it is
		h.config.OnError(w, r, &domain.InvalidError{Field: "body", Problem: "is no sign-in", Allowed: `{"token": "TOKEN"}, at most 16 KiB`})
		return
	}
	p, err := h.config.Authenticator.SignIn(w, r, body.Token)
	if err != nil {
		h.config.OnError(w, r, err)
		return
	}
	writeJSON(w, h.sessionOf(p))
}

func writeJSON(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // the client is gone
}
