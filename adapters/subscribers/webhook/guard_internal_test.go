package webhook

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/domain"
)

func newTestGuard(t *testing.T, allowHTTP bool, allow ...string) *Guard {
	t.Helper()
	g, err := NewGuard(allow, allowHTTP)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestGuard_Check checks URLs.
func TestGuard_Check(t *testing.T) {
	g, lax := newTestGuard(t, false), newTestGuard(t, true, "10.1.0.0/16", "127.0.0.1", "intern.test", "fd00::/8")
	for raw, want := range map[string]string{ // "": refused by both; "lax": refused without the configuration; "ok": by neither
		"https://hooks.example.com/in":                       "ok",
		"https://HOOKS.example.com:8443/in?a=b":              "ok",
		"https://hooks.example.com./in":                      "ok",
		"https://hooks_1.example.com":                        "ok",
		"https://8.8.8.8/":                                   "ok",
		"https://8.8.8.8:1/":                                 "ok",
		"https://[2606:4700:4700::1111]/":                    "ok",
		"https://xn--bcher-kva.example/":                     "ok",
		"http://hooks.example.com/in":                        "lax",
		"http://10.1.2.3/":                                   "lax",
		"https://10.1.2.3:9000/":                             "lax",
		"https://127.0.0.1/":                                 "lax",
		"https://[::ffff:127.0.0.1]/":                        "lax",
		"https://localhost/":                                 "lax", // resolves to an address that is allowed, or the dial is refused
		"https://localhost./":                                "lax",
		"https://a.LOCALHOST/":                               "lax",
		"https://[fd00::1]/":                                 "lax",
		"":                                                   "",
		"hooks.example.com":                                  "",
		"//hooks.example.com/":                               "",
		"https://":                                           "",
		"https:///path":                                      "",
		"https:hooks.example.com":                            "",
		"ftp://hooks.example.com/":                           "",
		"file:///etc/passwd":                                 "",
		"gopher://hooks.example.com/":                        "",
		"https://user@hooks.example.com/":                    "",
		"https://user:pass@hooks.example.com/":               "",
		"https://hooks.example.com/#part":                    "",
		"https://hooks.example.com/#":                        "",
		"https://hooks.example.com:0/":                       "",
		"https://hooks.example.com:65536/":                   "",
		"https://hooks.example.com:/":                        "",
		"https://hooks.example.com:https/":                   "",
		"https://hooks..example.com/":                        "",
		"https://bücher.example/":                            "",
		"https://hooks.example.com\\@10.0.0.1/":              "",
		"https://hooks.example.com%2f@10.0.0.1/":             "",
		"https://hooks.example.com/\r\nx: y":                 "",
		"https://ho oks.example.com/":                        "",
		"https://127.0.0.2/":                                 "",
		"https://127.1/":                                     "",
		"https://2130706433/":                                "",
		"https://0x7f000001/":                                "",
		"https://0x7f.0.0.1/":                                "",
		"https://0x7f.1/":                                    "",
		"https://0177.0.0.1/":                                "",
		"https://017700000001/":                              "",
		"https://127.0.0.1.2/":                               "",
		"https://127.0.0.0x1/":                               "",
		"https://127.0.0.2./":                                "",
		"https://[fe80::1%25eth0]/":                          "",
		"https://[::1%25lo]/":                                "",
		"https://[::1]/":                                     "",
		"https://[::]/":                                      "",
		"https://[::ffff:10.0.0.1]/":                         "",
		"https://[::ffff:a9fe:a9fe]/":                        "",
		"https://[::127.0.0.1]/":                             "",
		"https://[64:ff9b::10.0.0.1]/":                       "",
		"https://[64:ff9b:1::1]/":                            "",
		"https://[2002:7f00:1::]/":                           "",
		"https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/":    "",
		"https://[fe80::1]/":                                 "",
		"https://[fec0::1]/":                                 "",
		"https://[fc00::1]/":                                 "",
		"https://[ff02::1]/":                                 "",
		"https://[2001:db8::1]/":                             "",
		"https://[100::1]/":                                  "",
		"https://0.0.0.0/":                                   "",
		"https://10.0.0.1/":                                  "",
		"https://100.64.0.1/":                                "",
		"https://169.254.169.254/latest/meta-data/":          "",
		"https://172.16.0.1/":                                "",
		"https://172.31.255.255/":                            "",
		"https://192.168.0.1/":                               "",
		"https://192.0.0.1/":                                 "",
		"https://192.0.2.1/":                                 "",
		"https://198.18.0.1/":                                "",
		"https://198.51.100.1/":                              "",
		"https://203.0.113.1/":                               "",
		"https://224.0.0.1/":                                 "",
		"https://240.0.0.1/":                                 "",
		"https://255.255.255.255/":                           "",
		"https://168.63.129.16/":                             "",
		"https://example.com/" + strings.Repeat("x", MaxURL): "",
	} {
		for guard, ok := range map[*Guard]bool{g: want == "ok", lax: want != ""} {
			_, err := guard.Check(raw)
			invalid, typed := errors.AsType[*domain.InvalidError](err)
			switch {
			case ok && err != nil:
				t.Errorf("%.100q (http allowed: %t): %v", raw, guard.allowHTTP, err)
			case !ok && (!typed || invalid.Field != "url" || invalid.Allowed == ""):
				t.Errorf("%.100q (http allowed: %t): %v, want an error of the field url", raw, guard.allowHTTP, err)
			}
		}
	}
}

// TestNewGuard checks entries of the list of what is allowed.
func TestNewGuard(t *testing.T) {
	for _, entry := range []string{"", "10.0.0.0/33", "host:80", "https://host", "a b", "*", "fe80::1%eth0", "127.1", "*.example.com"} {
		if _, err := NewGuard([]string{entry}, false); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v", entry, err)
		}
	}
}

// TestIsPublic checks the first and last addresses of special networks, and their neighbors.
func TestIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"9.255.255.255": true, "10.0.0.0": false, "10.255.255.255": false, "11.0.0.0": true, "100.63.255.255": true, "100.64.0.0": false, "100.127.255.255": false, "100.128.0.0": true,
		"172.15.255.255": true, "172.16.0.0": false, "172.31.255.255": false, "172.32.0.0": true, "198.17.255.255": true, "198.19.255.255": false, "198.20.0.0": true, "223.255.255.255": true,
		"1fff:ffff::": false, "2000::": true, "2001:1ff:ffff::": false, "2001:200::": true, "2002::": false, "2003::": true, "3ffe::": true, "3fff:0fff::": false, "3fff:1000::": true, "4000::": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s is public: %t, want %t", text, got, want)
		}
	}
}

// nameServer answers questions about names, from a list of addresses for each: each answer has the next one, and the last one again and again.
type nameServer struct {
	mu    sync.Mutex
	names map[string][]netip.Addr
	asked map[string]int // questions about IPv4 addresses
}

// resolver returns a resolver that asks the server alone.
func (s *nameServer) resolver(t *testing.T) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		question := make([]byte, 512)
		for {
			n, from, err := conn.ReadFrom(question)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(s.reply(question[:n]), from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func (s *nameServer) reply(q []byte) []byte {
	var labels []string
	at := 12
	for q[at] != 0 {
		labels = append(labels, string(q[at+1:at+1+int(q[at])]))
		at += 1 + int(q[at])
	}
	typ, end := binary.BigEndian.Uint16(q[at+1:]), at+5
	name := strings.ToLower(strings.Join(labels, "."))
	s.mu.Lock()
	defer s.mu.Unlock()
	r := append([]byte(nil), q[:end]...)
	r[2], r[3] = 0x84, 0x80
	copy(r[6:], []byte{0, 0, 0, 0, 0, 0})
	list, known := s.names[name]
	if !known {
		r[3] |= 3
		return r
	}
	i := min(s.asked[name], len(list)-1)
	if typ == 1 {
		s.asked[name]++
	} else if s.asked[name] > 0 && !list[0].Is6() {
		i = min(s.asked[name]-1, len(list)-1)
	}
	addr := list[i]
	if addr.Is4() != (typ == 1) {
		return r
	}
	r[7] = 1
	r = append(r, 0xc0, 12, byte(typ>>8), byte(typ), 0, 1, 0, 0, 0, 0, 0, byte(addr.BitLen()/8))
	return append(r, addr.AsSlice()...)
}

// TestGuard_Dial dials names that resolve to addresses that are not public, also after they have resolved to one that is allowed.
func TestGuard_Dial(t *testing.T) {
	received := make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.Host
		http.Redirect(w, r, "http://169.254.169.254/latest/meta-data/", http.StatusTemporaryRedirect)
	}))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	loopback := netip.MustParseAddr("127.0.0.1")
	names := &nameServer{asked: make(map[string]int), names: map[string][]netip.Addr{
		"loop.test": {loopback}, "named.test": {loopback}, "ten.test": {netip.MustParseAddr("10.0.0.1")}, "metadata.google.internal": {netip.MustParseAddr("169.254.169.254")},
		"six.test": {netip.MustParseAddr("::1")}, "mapped.test": {netip.MustParseAddr("::ffff:127.0.0.1")}, "nat64.test": {netip.MustParseAddr("64:ff9b::7f00:1")},
		"local6.test": {netip.MustParseAddr("fe80::1")}, "ula.test": {netip.MustParseAddr("fd12::1")}, "rebind.test": {netip.MustParseAddr("127.0.0.2"), loopback}, "zero.test": {netip.MustParseAddr("0.0.0.0")},
	}}
	for _, test := range []struct {
		host  string
		allow []string
		want  Result
	}{
		{"loop.test", nil, Refused},
		{"loop.test", []string{"127.0.0.0/8"}, Rejected}, // of the redirect, which is not followed
		{"named.test", []string{"named.test"}, Rejected},
		{"NAMED.test.", []string{"named.test"}, Rejected},
		{"loop.test", []string{"named.test"}, Refused},
		{"ten.test", nil, Refused},
		{"metadata.google.internal", nil, Refused},
		{"six.test", nil, Refused},
		{"mapped.test", nil, Refused},
		{"nat64.test", nil, Refused},
		{"local6.test", nil, Refused},
		{"ula.test", nil, Refused},
		{"zero.test", nil, Refused},
		{"localhost", []string{"10.0.0.0/8"}, Refused},
		{"unknown.test", nil, Unreachable},
	} {
		t.Run(fmt.Sprint(test.host, test.allow), func(t *testing.T) {
			g := newTestGuard(t, true, test.allow...)
			g.resolver = names.resolver(t)
			a := postTo(t, g, "http://"+test.host+":"+port+"/")
			if a.result != test.want || (a.result == Refused) != errors.Is(a.err, ErrAddressRefused) {
				t.Errorf("%s: %v, want %s", a.result, a.err, test.want)
			}
			if test.want == Rejected && a.status != http.StatusTemporaryRedirect {
				t.Errorf("status %d", a.status)
			}
			if n := len(received); n != map[bool]int{true: 1}[test.want == Rejected] {
				t.Errorf("the server received %d requests", n)
			}
			for len(received) > 0 {
				<-received
			}
		})
	}
	t.Run("rebinding", func(t *testing.T) { // the first address is allowed and nobody listens there, the second is not allowed
		g := newTestGuard(t, true, "127.0.0.2")
		g.resolver = names.resolver(t)
		if _, err := g.Check("http://rebind.test:" + port + "/"); err != nil {
			t.Fatal(err)
		}
		for i, want := range []Result{Unreachable, Refused, Refused} {
			if a := postTo(t, g, "http://rebind.test:"+port+"/"); a.result != want {
				t.Errorf("request %d: %s, %v; want %s", i+1, a.result, a.err, want)
			}
		}
		if len(received) != 0 {
			t.Error("the server received a request")
		}
	})
}

// TestTransport_IgnoresProxy sets a proxy in the environment: no request goes there.
func TestTransport_IgnoresProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy received a request") }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	names := &nameServer{asked: make(map[string]int), names: map[string][]netip.Addr{"ten.test": {netip.MustParseAddr("10.0.0.1")}}}
	g := newTestGuard(t, true)
	g.resolver = names.resolver(t)
	if transport := newTransport(g, 1, nil); transport.Proxy != nil {
		t.Error("the transport has a proxy")
	}
	if a := postTo(t, g, "http://ten.test/"); a.result != Refused {
		t.Errorf("%s: %v", a.result, a.err)
	}
}

func postTo(t *testing.T, g *Guard, raw string) answer {
	t.Helper()
	u, err := g.Check(raw)
	if err != nil {
		if u, err = newTestGuard(t, true, "127.0.0.0/8", "::1").Check(raw); err != nil {
			t.Fatal(err)
		}
	}
	transport := newTransport(g, 1, nil)
	defer transport.CloseIdleConnections()
	return (&target{url: u, timeout: 30 * time.Second, secrets: []liveSecret{{secret: NewSecret()}}}).post(t.Context(), transport, testMessage("hook", time.Now()))
}
