package auth

import (
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// checkLocal refuses requests that a web page or a proxy may have caused. In local mode a request without a credential acts as a service with all
// scopes, and a browser sends what the pages of any site ask for:
//
//   - A page whose name resolves to 127.0.0.1 (DNS rebinding) is of the same origin for the browser: its requests have that name as Host.
//   - A page of another origin has it in Origin or Sec-Fetch-Site, and may send only the content types of forms without being asked first.
//   - A proxy that forwards requests of other machines says so.
func checkLocal(r *http.Request) error {
	if !isLoopbackHost(hostOf(r.Host)) {
		return &NotLocalError{"Host", fmt.Sprintf("is %.80q", r.Host), "localhost, 127.0.0.1 or [::1], with or without a port"}
	}
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via"} {
		if len(r.Header[name]) > 0 {
			return &NotLocalError{name, "is set", "requests that no proxy has forwarded"}
		}
	}
	for _, origin := range r.Header["Origin"] {
		if !sameOrigin(r, origin) {
			return &NotLocalError{"Origin", fmt.Sprintf("is %.80q", origin), "none, or that of the server itself"}
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return &NotLocalError{"Sec-Fetch-Site", fmt.Sprintf("is %.80q", site), "none, or same-origin"}
		}
	}
	return checkContentType(r)
}

func sameOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return err == nil && u.Scheme == scheme && strings.EqualFold(u.Host, r.Host)
}

// checkContentType refuses a content type that no protocol of the server has. GET, HEAD and OPTIONS have none.
func checkContentType(r *http.Request) error {
	if slices.Contains([]string{http.MethodGet, http.MethodHead, http.MethodOptions}, r.Method) {
		return nil
	}
	values := r.Header["Content-Type"]
	if len(values) == 1 {
		media, _, err := mime.ParseMediaType(values[0])
		if err == nil && (slices.Contains(localMediaTypes(), media) || media == grpcMedia || strings.HasPrefix(media, grpcMedia+"+") || strings.HasPrefix(media, grpcMedia+"-web")) {
			return nil
		}
	}
	return &NotLocalError{"Content-Type", fmt.Sprintf("is %.80q", values), "application/json, application/proto, or one of Connect, gRPC or gRPC-Web"}
}

const grpcMedia = "application/grpc"

func localMediaTypes() []string {
	return []string{"application/json", "application/proto", "application/connect+json", "application/connect+proto"}
}
