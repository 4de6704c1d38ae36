package server

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// retryAfter is the value of Retry-After in seconds: requests in flight end within milliseconds.
const retryAfter = 1

// problem is the JSON form of an error, which is that of the Connect protocol. Clients of gRPC read the status instead.
type problem struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (p problem) write(w http.ResponseWriter, status int) {
	body, _ := json.Marshal(p) // two strings
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client may be gone
}

// Unavailable answers a request with status 503, Retry-After and JSON. Nothing was done for the request.
func Unavailable(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	problem{"unavailable", "too many requests are in flight; nothing was done, try again"}.write(w, http.StatusServiceUnavailable)
}

// NotFound answers a request with status 404 and JSON.
func NotFound(w http.ResponseWriter, r *http.Request) {
	problem{"unimplemented", "there is no " + strconv.Quote(shortPath(r))}.write(w, http.StatusNotFound)
}
