package conn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// ErrURL is returned for a Redis URL that cannot be used.
var ErrURL = errors.New("unusable Redis URL")

const allowedURL = "redis://[[user]:password@]host:port[/db] or rediss://…, several separated by commas for a Cluster; " +
	"redis://[[user]:password@]sentinel:26379[/db]?master_name=NAME[&addr=sentinel2:26379…][&username=…&password=…]; " +
	"unix://[[user]:password@]/path/to/socket[?db=N]; in a user or password, %XX stands for a character that a URL reserves, such as , / # ? @ : %"

// ParseURL parses a Redis URL: one server, several seeds of a Cluster separated by commas, a Sentinel if the query has master_name, or a Unix socket.
// With master_name, the credentials before the host are those of the Sentinels; username and password in the query are those of Redis. rediss://
// encrypts every connection, and the certificate must be valid for the dialed host.
//
// Invariant: every part of an accepted URL takes effect. ParseURL returns ErrURL for a part that would be ignored, such as a user without a password.
// The error lists the allowed forms and never repeats the URL, which may hold a password.
func ParseURL(s string) (*goredis.UniversalOptions, error) {
	if strings.TrimSpace(s) == "" {
		return nil, urlError("it is empty")
	}
	parts := strings.Split(s, ",")
	addresses := make([]*address, len(parts))
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if i > 0 && !strings.Contains(part, "://") {
			part = addresses[0].scheme + "://" + part
		}
		a, err := parseAddress(part)
		if err == nil && i > 0 {
			err = a.fits(addresses[0])
		}
		if err != nil {
			return nil, urlError("address %d of %d %w", i+1, len(parts), err)
		}
		addresses[i] = a
	}
	options := addresses[0].options()
	if len(parts) == 1 {
		return options, nil
	}
	switch {
	case options.MasterName != "":
		return nil, urlError("it has both commas and master_name; further Sentinels are given as addr")
	case addresses[0].scheme == "unix":
		return nil, urlError("it has both commas and a Unix socket; a Cluster is reached by host and port")
	case options.DB != 0:
		return nil, urlError("a Cluster has no database but 0")
	}
	options.IsClusterMode = true
	for _, a := range addresses[1:] {
		options.Addrs = append(options.Addrs, a.dial...)
	}
	return options, nil
}

func urlError(format string, args ...any) error {
	return fmt.Errorf("%w: %w; allowed: %s", ErrURL, fmt.Errorf(format, args...), allowedURL)
}

// address is one parsed URL of a list.
type address struct {
	scheme     string
	dial       []string // host:port of a server or of Sentinels, or the path of a Unix socket
	user       *url.Userinfo
	db         int
	hasDB      bool
	settings   map[string][]string
	skipVerify bool
}

// allowedSettings returns the names that the query may have. Any other would be ignored or would weaken the guarantees of [Connect].
func allowedSettings(sentinel bool) []string {
	allowed := []string{"db", "client_name", "skip_verify"}
	if sentinel {
		allowed = append(allowed, "master_name", "addr", "username", "password")
	}
	return allowed
}

func parseAddress(s string) (*address, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is no URL") // url's own error repeats the password
	}
	a := &address{scheme: u.Scheme, user: u.User}
	if err := a.parseHost(u); err != nil {
		return nil, err
	}
	if u.Fragment != "" || strings.Contains(s, "#") {
		return nil, errors.New("has a #, which ends a URL")
	}
	if err := a.parseSettings(u.RawQuery); err != nil {
		return nil, err
	}
	return a, errors.Join(a.parseDB(u), checkUser(u.User), a.checkSentinelUser())
}

func (a *address) parseHost(u *url.URL) error {
	switch {
	case a.scheme == "unix":
		if u.Host != "" || !strings.HasPrefix(u.Path, "/") || len(u.Path) == 1 {
			return errors.New("names no absolute path of a Unix socket")
		}
		a.dial = []string{u.Path}
		return nil
	case a.scheme != "redis" && a.scheme != "rediss":
		return fmt.Errorf("has the scheme %q", a.scheme)
	case u.Hostname() == "":
		return errors.New("names no host")
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return errors.New("has a host with a colon; an IPv6 address stands in brackets")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	a.dial = []string{net.JoinHostPort(u.Hostname(), port)}
	return checkPort(port)
}

func checkPort(port string) error {
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("has a port that is not a number from 1 to 65535")
	}
	return nil
}

// parseSettings parses the query. A plus remains a plus, as in the rest of a URL: it does not mean a space as in an HTML form.
func (a *address) parseSettings(query string) error {
	settings, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B"))
	if err != nil {
		return errors.New("has a query that cannot be read")
	}
	a.settings = settings
	allowed := allowedSettings(settings.Has("master_name"))
	for name, values := range settings {
		switch {
		case !slices.Contains(allowed, name):
			return fmt.Errorf("has the setting %q; allowed: %s", name, strings.Join(allowed, ", "))
		case len(values) > 1 && name != "addr":
			return fmt.Errorf("has the setting %q more than once", name)
		case slices.Contains(values, ""):
			return fmt.Errorf("has the setting %q without a value", name)
		}
	}
	for _, addr := range settings["addr"] {
		host, port, err := net.SplitHostPort(addr)
		if err != nil || host == "" || checkPort(port) != nil {
			return errors.New("has an addr that is no host:port")
		}
		a.dial = append(a.dial, net.JoinHostPort(host, port))
	}
	if verify, ok := settings["skip_verify"]; ok {
		if a.scheme != "rediss" {
			return errors.New("has skip_verify without rediss://, so that there is nothing to verify")
		}
		if a.skipVerify, err = strconv.ParseBool(verify[0]); err != nil {
			return errors.New("has a skip_verify that is neither true nor false")
		}
	}
	return nil
}

// parseDB reads the database: the path of the URL, or the setting db.
func (a *address) parseDB(u *url.URL) error {
	text := ""
	if a.scheme != "unix" {
		text = strings.TrimPrefix(u.Path, "/")
	}
	if db, ok := a.settings["db"]; ok {
		if text != "" {
			return errors.New("has a database both in its path and as db")
		}
		text = db[0]
	}
	if text == "" {
		return nil
	}
	db, err := strconv.ParseUint(text, 10, 31)
	if err != nil {
		return errors.New("has a database that is not a number from 0 up")
	}
	a.db, a.hasDB = int(db), true //nolint:gosec // 31 bits
	return nil
}

// checkUser refuses a user without a password: go-redis would send neither, and Redis would use its default user.
func checkUser(user *url.Userinfo) error {
	if user == nil {
		return nil
	}
	password, _ := user.Password()
	return checkCredentials(user.Username(), password)
}

func (a *address) checkSentinelUser() error {
	return checkCredentials(a.setting("username"), a.setting("password"))
}

func checkCredentials(user, password string) error {
	if user != "" && password == "" {
		return errors.New("names a user without a password; give both, or neither for Redis's default user")
	}
	return nil
}

func (a *address) setting(name string) string {
	if values := a.settings[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// fits returns an error if an address cannot follow first in a list: credentials and settings of the first apply to all.
func (a *address) fits(first *address) error {
	switch {
	case a.scheme != first.scheme:
		return errors.New("has another scheme than the first")
	case a.user != nil && (first.user == nil || a.user.String() != first.user.String()):
		return errors.New("has other credentials than the first, which count for all")
	case a.hasDB && a.db != first.db:
		return errors.New("has another database than the first, which counts for all")
	}
	for name, values := range a.settings {
		if name != "db" && !slices.Equal(values, first.settings[name]) {
			return errors.New("has other settings than the first, which count for all")
		}
	}
	return nil
}

// options returns the address as options of go-redis.
func (a *address) options() *goredis.UniversalOptions {
	o := &goredis.UniversalOptions{Addrs: a.dial, DB: a.db, ClientName: a.setting("client_name"), MasterName: a.setting("master_name")}
	user, password := "", ""
	if a.user != nil {
		user = a.user.Username()
		password, _ = a.user.Password()
	}
	if o.MasterName == "" {
		o.Username, o.Password = user, password
	} else {
		o.SentinelUsername, o.SentinelPassword = user, password
		o.Username, o.Password = a.setting("username"), a.setting("password")
	}
	if a.scheme == "rediss" {
		// Without a ServerName, crypto/tls verifies the name that is dialed, which need not be the first.
		o.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: a.skipVerify} //nolint:gosec // the URL requests it
	}
	return o
}

// mergeTLS returns the TLS configuration of [Options] on top of the URL's.
func mergeTLS(fromURL, given *tls.Config) (*tls.Config, error) {
	if given == nil {
		return fromURL, nil
	}
	if fromURL == nil {
		return nil, fmt.Errorf("%w: there are TLS settings, but it does not begin with rediss://", ErrURL)
	}
	merged := given.Clone()
	merged.InsecureSkipVerify = merged.InsecureSkipVerify || fromURL.InsecureSkipVerify
	merged.MinVersion = max(merged.MinVersion, fromURL.MinVersion)
	return merged, nil
}

// IsCluster reports whether a URL names the seeds of a Cluster.
func IsCluster(s string) (bool, error) {
	universal, err := ParseURL(s)
	if err != nil {
		return false, err
	}
	return universal.IsClusterMode, nil
}
