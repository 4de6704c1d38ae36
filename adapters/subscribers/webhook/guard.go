package webhook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"chatcore/domain"
)

// MaxURL is the most bytes of the URL of an endpoint.
const MaxURL = 2048

// ErrAddressRefused is returned for a request to an address that the configuration does not allow.
var ErrAddressRefused = errors.New("the address is not a public one, and webhooks.allow does not name it")

// Guard decides which endpoints requests may reach: public addresses, and those that the configuration allows. It checks the address of each connection just
// before the dial, after the name was resolved, so that a name cannot resolve to another address in between. Every port is allowed. The zero Guard allows
// public addresses with https alone.
type Guard struct {
	networks  []netip.Prefix
	hosts     map[string]bool // in lower case and without a dot at the end
	allowHTTP bool
	resolver  *net.Resolver // nil: the system's
}

// NewGuard returns a guard. allow holds networks (10.1.0.0/16), addresses, and names of hosts, whose addresses are all allowed.
func NewGuard(allow []string, allowHTTP bool) (*Guard, error) {
	g := &Guard{hosts: make(map[string]bool), allowHTTP: allowHTTP}
	for _, entry := range allow {
		if network, err := netip.ParsePrefix(entry); err == nil {
			g.networks = append(g.networks, network.Masked())
			continue
		}
		if addr, err := netip.ParseAddr(entry); err == nil && addr.Zone() == "" {
			addr = addr.Unmap()
			g.networks = append(g.networks, netip.PrefixFrom(addr, addr.BitLen()))
			continue
		}
		host := normalHost(entry)
		if !isHostName(host) {
			return nil, &domain.InvalidError{Field: "webhooks.allow", Problem: fmt.Sprintf("has %.80q", entry), Allowed: "networks such as 10.1.0.0/16, addresses, and names of hosts without a port"}
		}
		g.hosts[host] = true
	}
	return g, nil
}

// Check returns the URL of an endpoint. It returns a [*domain.InvalidError] of the field url for one that no request may ever reach. A name is resolved by
// each dial, and not here.
func (g *Guard) Check(raw string) (*url.URL, error) {
	refuse := func(problem, allowed string) (*url.URL, error) {
		return nil, &domain.InvalidError{Field: "url", Problem: problem, Allowed: allowed}
	}
	scheme := "https"
	if g.allowHTTP {
		scheme = "https, http"
	}
	if raw == "" {
		return refuse("is missing", scheme+"://HOST[:PORT]/PATH")
	}
	if len(raw) > MaxURL {
		return refuse(fmt.Sprintf("has %d bytes", len(raw)), fmt.Sprintf("at most %d", MaxURL))
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return refuse("is no URL", scheme+"://HOST[:PORT]/PATH")
	case u.Scheme == "http" && !g.allowHTTP:
		return refuse("has the scheme http", "https; http where webhooks.allow-http is set")
	case u.Scheme != "https" && u.Scheme != "http":
		return refuse(fmt.Sprintf("has the scheme %.20q", u.Scheme), scheme)
	case u.User != nil:
		return refuse("has a user", "a URL without one")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return refuse("has a fragment", "a URL without one")
	case u.Hostname() == "" || u.Opaque != "":
		return refuse("has no host", scheme+"://HOST[:PORT]/PATH")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return refuse(fmt.Sprintf("has the port %.20q", port), "1 to 65535")
		}
	}
	if err := g.checkHost(u.Hostname()); err != nil {
		return nil, err
	}
	return u, nil
}

// checkHost refuses a host that no request may ever reach.
func (g *Guard) checkHost(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		if err := g.checkAddress(addr); err != nil {
			return &domain.InvalidError{Field: "url", Problem: fmt.Sprintf("has the address %s", addr), Allowed: "public addresses, and those of webhooks.allow"}
		}
		return nil
	}
	name := normalHost(host)
	switch {
	case !isHostName(name):
		return &domain.InvalidError{Field: "url", Problem: fmt.Sprintf("has the host %.80q", host), Allowed: "an address in its usual form, or a name of ASCII letters, digits, hyphens, underscores and dots"}
	case (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !g.hosts[name] && !g.allowsLoopback():
		return &domain.InvalidError{Field: "url", Problem: fmt.Sprintf("has the host %q", host), Allowed: "public hosts, and those of webhooks.allow"}
	}
	return nil
}

// allowsLoopback reports whether a network of the configuration has loopback addresses.
func (g *Guard) allowsLoopback() bool {
	return g.checkAddress(netip.AddrFrom4([4]byte{127, 0, 0, 1})) == nil || g.checkAddress(netip.IPv6Loopback()) == nil
}

// checkAddress returns [ErrAddressRefused] for an address that no request may reach.
func (g *Guard) checkAddress(addr netip.Addr) error {
	if addr.Zone() != "" {
		return fmt.Errorf("%w: %s has a zone", ErrAddressRefused, addr)
	}
	addr = addr.Unmap()
	for _, n := range g.networks {
		if n.Contains(addr) {
			return nil
		}
	}
	if !isPublic(addr) {
		return fmt.Errorf("%w: %s", ErrAddressRefused, addr)
	}
	return nil
}

// dialTimeout bounds a dial with its resolution.
const dialTimeout = 10 * time.Second

// dial connects to a host and port. The name is resolved once, and each address is checked when its connection is made.
func (g *Guard) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	d := net.Dialer{Timeout: dialTimeout, Resolver: g.resolver}
	if !g.hosts[normalHost(host)] {
		d.Control = g.control
	}
	return d.DialContext(ctx, network, address)
}

// control refuses a connection to an address that no request may reach.
func (g *Guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrAddressRefused, err)
	}
	return g.checkAddress(to.Addr())
}

func normalHost(host string) string { return strings.ToLower(strings.TrimSuffix(host, ".")) }

// isHostName reports whether a text is the name of a host: ASCII labels, and a last one that is no number. A resolver could take a name such as 2130706433,
// 0x7f.1 or 0177.0.0.1 for an address.
func isHostName(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	if hex, ok := strings.CutPrefix(last, "0x"); ok && strings.Trim(hex, "0123456789abcdef") == "" {
		return false
	}
	return strings.Trim(last, "0123456789") != ""
}
