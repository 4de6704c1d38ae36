package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// ErrCrossSite is returned for a request with the cookie of a browser that no page of the server itself has made; the error is a [*CrossSiteError].
var ErrCrossSite = errors.New("request of another site refused")

// CrossSiteError names the header for which a request counts as one of another site, and the allowed values.
type CrossSiteError struct {
	Field   string // name of the header
	Problem string
	Allowed string
}

func (e *CrossSiteError) Error() string {
	return fmt.Sprintf("%v: %s %s; allowed: %s", ErrCrossSite, e.Field, e.Problem, e.Allowed)
}

// Is reports that a CrossSiteError is [ErrCrossSite].
func (e *CrossSiteError) Is(target error) bool { return target == ErrCrossSite }

// checkCrossSite refuses a request that a page of another site may have caused: a browser sends cookies by itself. Browsers set Sec-Fetch-Site (over https
// and on loopback) and Origin (with all requests but GET and HEAD), and no page can change them. A request that may change something needs one of them. A proxy
// may have changed Host: then X-Forwarded-Host has the name that the browser knows, or Sec-Fetch-Site alone counts.
func (a *Authenticator) checkCrossSite(r *http.Request) error {
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	sites, origins := r.Header["Sec-Fetch-Site"], r.Header["Origin"]
	for _, site := range sites {
		if site != "same-origin" && (site != "none" || !reads) {
			return &CrossSiteError{"Sec-Fetch-Site", fmt.Sprintf("is %.80q", site), "same-origin: requests of the server's own pages"}
		}
	}
	for _, origin := range origins {
		if !a.isOwnOrigin(r, origin) && (len(sites) == 0 || !a.config.Browsers.BehindProxy) {
			return &CrossSiteError{"Origin", fmt.Sprintf("is %.80q", origin), "that of the server itself"}
		}
	}
	if !reads && len(sites)+len(origins) == 0 {
		return &CrossSiteError{"Origin", "is missing", "that of the server itself, or a header Authorization instead of the cookie"}
	}
	return nil
}

// isOwnOrigin reports whether an origin is that of the server, as the browser of a request knows it.
func (a *Authenticator) isOwnOrigin(r *http.Request, origin string) bool {
	u, err := url.Parse(origin)
	scheme := "http"
	if a.isSecure(r) {
		scheme = "https"
	}
	if err != nil || u.Scheme != scheme {
		return false
	}
	hosts := []string{r.Host}
	if a.config.Browsers.BehindProxy {
		hosts = append(hosts, r.Header["X-Forwarded-Host"]...)
	}
	for _, host := range hosts {
		if strings.EqualFold(u.Host, host) {
			return true
		}
	}
	return false
}
