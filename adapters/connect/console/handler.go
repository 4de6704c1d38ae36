package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

// Paths of the console.
const (
	indexPath   = "/"
	assetsPath  = "/assets/"
	sessionPath = "/console/session"
)

// securityPolicy lets the page load and call its own server and nothing else, and no other page embed it.
const securityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"

// Config configures a [Handler].
type Config struct {
	// Files has index.html, and below assets files whose names change with their content. Required.
	Files fs.FS
	// Authenticator checks tokens and keeps sign-ins. Required.
	Authenticator *auth.Authenticator
	// Local says that callers need no token: there is no sign-in. Defaults to false.
	Local bool
	// OnError answers a request for the session that failed; see [auth.Config]. Required.
	OnError func(w http.ResponseWriter, r *http.Request, err error)
	// Next answers all other requests: the API. Required.
	Next http.Handler
}

// Handler serves the console and passes all other requests on.
type Handler struct {
	config Config
	files  map[string]*file // by path
}

// file is one file of the console with its headers.
type file struct {
	plain, zipped []byte // zipped is nil if it would be no smaller
	contentType   string
	tag           string // its ETag, without quotes
	immutable     bool
}

// New reads all files. It returns a [*domain.InvalidError] for a wrong configuration.
func New(config Config) (*Handler, error) {
	if config.Files == nil || config.Authenticator == nil || config.OnError == nil || config.Next == nil {
		return nil, &domain.InvalidError{Field: "Config", Problem: "lacks a field", Allowed: "Files, Authenticator, OnError and Next"}
	}
	h := &Handler{config: config, files: make(map[string]*file)}
	err := fs.WalkDir(config.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(config.Files, name)
		if err != nil {
			return err
		}
		served := "/" + name
		if name == "index.html" {
			served = indexPath
		} else if !strings.HasPrefix(served, assetsPath) {
			return nil
		}
		h.files[served], err = newFile(name, content, served != indexPath)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("files of the console: %w", err)
	}
	if h.files[indexPath] == nil {
		return nil, &domain.InvalidError{Field: "Files", Problem: "have no index.html", Allowed: "the built files of web/console"}
	}
	return h, nil
}

func newFile(name string, content []byte, immutable bool) (*file, error) {
	sum := sha256.Sum256(content)
	f := &file{plain: content, contentType: mime.TypeByExtension(path.Ext(name)), tag: base64.RawURLEncoding.EncodeToString(sum[:16]), immutable: immutable}
	switch path.Ext(name) { // the table of the machine may differ
	case ".html":
		f.contentType = "text/html; charset=utf-8"
	case ".js":
		f.contentType = "text/javascript; charset=utf-8"
	case ".css":
		f.contentType = "text/css; charset=utf-8"
	case ".svg":
		f.contentType = "image/svg+xml"
	}
	var zipped bytes.Buffer
	writer, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := writer.Write(content); err != nil {
		return nil, err
	}
	if err := writer.Close(); err != nil {
		return nil, err
	}
	if zipped.Len() < len(content) {
		f.zipped = zipped.Bytes()
	}
	return f, nil
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch f := h.files[r.URL.Path]; {
	case f != nil:
		h.serveFile(w, r, f)
	case r.URL.Path == sessionPath:
		h.serveSession(w, r)
	case strings.HasPrefix(r.URL.Path, assetsPath):
		setHeaders(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "the console has no such file; load its page again: it may be of another version", http.StatusNotFound)
	default:
		h.config.Next.ServeHTTP(w, r)
	}
}

// setHeaders sets the headers that all answers of the console have.
func setHeaders(header http.Header) {
	header.Set("Content-Security-Policy", securityPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("X-Frame-Options", "DENY")
}

func (h *Handler) serveFile(w http.ResponseWriter, r *http.Request, f *file) {
	header := w.Header()
	setHeaders(header)
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "allowed: GET, HEAD", http.StatusMethodNotAllowed)
		return
	}
	header.Set("Cache-Control", "no-cache")
	if f.immutable {
		header.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, tag := f.plain, f.tag
	header.Set("Vary", "Accept-Encoding")
	if f.zipped != nil && acceptsGzip(r.Header) {
		header.Set("Content-Encoding", "gzip")
		body, tag = f.zipped, f.tag+"-gzip"
	}
	header.Set("ETag", `"`+tag+`"`)
	if matches(r.Header.Values("If-None-Match"), tag) {
		header.Del("Content-Encoding")
		w.WriteHeader(http.StatusNotModified)
		return
	}
	header.Set("Content-Type", f.contentType)
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // the client is gone
	}
}

// acceptsGzip reports whether a client takes gzip.
func acceptsGzip(header http.Header) bool {
	for _, value := range header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(value, ",") {
			name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
			quality = strings.ReplaceAll(quality, " ", "")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				q, err := strconv.ParseFloat(strings.TrimPrefix(quality, "q="), 64)
				return quality == "" || err == nil && q > 0
			}
		}
	}
	return false
}

// matches reports whether a list of ETags has a tag.
func matches(values []string, tag string) bool {
	for _, value := range values {
		for part := range strings.SplitSeq(value, ",") {
			part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
			if part == "*" || part == `"`+tag+`"` {
				return true
			}
		}
	}
	return false
}
