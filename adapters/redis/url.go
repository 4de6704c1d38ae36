package redis

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// ErrURL is a REDIS_URL that cannot be understood.
var ErrURL = errors.New("unusable Redis URL")

const allowedURL = "redis://[[user]:password@]host:port[/db] or rediss://…, several separated by commas for a Cluster, " +
	"or redis://[[user]:password@]sentinel:26379[/db]?master_name=NAME[&addr=sentinel2:26379…][&username=…&password=…]"

// ParseURL understands a REDIS_URL: one server, with commas the seeds of a Cluster, or with master_name a Sentinel of that master, as go-redis's
// own failover URL has it: the credentials before the host are the Sentinels', username and password are Redis's. With rediss:// every
// connection is encrypted; its certificate has to be for the host that is dialed. The error says what is allowed and never repeats the URL,
// which may hold a password.
func ParseURL(s string) (*goredis.UniversalOptions, error) {
	if strings.TrimSpace(s) == "" {
		return nil, urlError("it is empty")
	}
	parts := strings.Split(s, ",")
	var first *url.URL
	var universal *goredis.UniversalOptions
	for i, part := range parts {
		part = strings.TrimSpace(part)
		if i > 0 && !strings.Contains(part, "://") {
			part = first.Scheme + "://" + part
		}
		u, err := parseAddress(part)
		if err != nil {
			return nil, urlError("address %d of %d %w", i+1, len(parts), err)
		}
		if i == 0 {
			first = u
			if universal, err = optionsOf(u); err != nil {
				return nil, urlError("it %w", err)
			}
			continue
		}
		if err := fits(u, first); err != nil {
			return nil, urlError("address %d of %d %w", i+1, len(parts), err)
		}
		node, err := optionsOf(u)
		if err != nil {
			return nil, urlError("address %d of %d %w", i+1, len(parts), err)
		}
		universal.Addrs = append(universal.Addrs, node.Addrs...)
	}
	if len(parts) > 1 {
		switch {
		case universal.MasterName != "":
			return nil, urlError("it has both commas and master_name; further Sentinels are given as addr")
		case universal.DB != 0:
			return nil, urlError("a Cluster has no database but 0")
		}
		universal.IsClusterMode = true
	}
	return universal, nil
}

func urlError(format string, args ...any) error {
	return fmt.Errorf("%w: %w; allowed: %s", ErrURL, fmt.Errorf(format, args...), allowedURL)
}

// settings are what may stand in the query: what is more would be ignored, or would undo what is promised of commands.
func settings(sentinel bool) []string {
	if sentinel {
		return []string{"master_name", "addr", "username", "password", "db", "client_name", "skip_verify"}
	}
	return []string{"db", "client_name", "skip_verify"}
}

func parseAddress(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, errors.New("is no URL") // url's own error repeats the password
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, fmt.Errorf("has the scheme %q", u.Scheme)
	}
	if u.Hostname() == "" {
		return nil, errors.New("names no host")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return nil, errors.New("has a query that cannot be read")
	}
	taken := settings(query.Has("master_name"))
	for name := range query {
		if !slices.Contains(taken, name) {
			return nil, fmt.Errorf("has the setting %q; those are taken: %s", name, strings.Join(taken, ", "))
		}
	}
	return u, nil
}

// fits says why an address cannot stand beside the first one of a list, or nil.
func fits(u, first *url.URL) error {
	if u.Scheme != first.Scheme {
		return errors.New("mixes redis:// and rediss://")
	}
	if u.User != nil && (first.User == nil || u.User.String() != first.User.String()) {
		return errors.New("has other credentials than the first, which count for all")
	}
	if u.RawQuery != "" && u.Query().Encode() != first.Query().Encode() || strings.Trim(u.Path, "/") != "" && u.Path != first.Path {
		return errors.New("has other settings than the first, which count for all")
	}
	return nil
}

// optionsOf are what go-redis reads out of a URL.
func optionsOf(u *url.URL) (*goredis.UniversalOptions, error) {
	o := &goredis.UniversalOptions{}
	if u.Query().Has("master_name") {
		failover, err := goredis.ParseFailoverURL(u.String())
		if err != nil {
			return nil, unusable(err)
		}
		if failover.MasterName == "" {
			return nil, errors.New("has an empty master_name")
		}
		o.Addrs, o.MasterName, o.DB, o.ClientName = failover.SentinelAddrs, failover.MasterName, failover.DB, failover.ClientName
		o.SentinelUsername, o.SentinelPassword = failover.SentinelUsername, failover.SentinelPassword
		o.Username, o.Password, o.TLSConfig = failover.Username, failover.Password, failover.TLSConfig
	} else {
		node, err := goredis.ParseURL(u.String())
		if err != nil {
			return nil, unusable(err)
		}
		o.Addrs, o.DB, o.ClientName = []string{node.Addr}, node.DB, node.ClientName
		o.Username, o.Password, o.TLSConfig = node.Username, node.Password, node.TLSConfig
	}
	if o.TLSConfig != nil {
		// Without a name the one that is dialed is asked for, which need not be the first.
		o.TLSConfig.ServerName, o.TLSConfig.MinVersion = "", tls.VersionTLS12
	}
	return o, nil
}

// unusable tells what go-redis found wrong without what may be a password.
func unusable(err error) error {
	if strings.Contains(err.Error(), "database") {
		return errors.New("has a database that is no number")
	}
	return errors.New("has a path, an addr or a setting that cannot be read")
}

// encrypted is the TLS that Options ask for, on what the URL says.
func encrypted(fromURL, given *tls.Config) (*tls.Config, error) {
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
