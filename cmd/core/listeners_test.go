package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/adapters/connect/server"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// apiURL waits for the line that serve prints, and returns the URL.
func apiURL(t *testing.T, out *buffer) string {
	t.Helper()
	wait.Until(t, "the address is printed", func() bool { return strings.HasSuffix(out.String(), "\n") })
	return strings.TrimSpace(out.String())
}

// adminURL returns the URL of the admin listener from the log.
func adminURL(t *testing.T, errs *buffer) string {
	t.Helper()
	errs.until(t, "admin served")
	return regexp.MustCompile(`msg="admin served" address=(\S+)`).FindStringSubmatch(errs.String())[1]
}

// ask sends a GET on a connection of its own. It returns status 0 if there is no response.
func ask(t *testing.T, url string, protocol func(*http.Protocols)) (status int, body, proto string) {
	t.Helper()
	var protocols http.Protocols
	protocol(&protocols)
	transport := &http.Transport{Protocols: &protocols, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // a certificate of the test
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer func() { _ = response.Body.Close() }()
	text, _ := io.ReadAll(response.Body)
	return response.StatusCode, string(text), response.Proto
}

func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func http1(p *http.Protocols) { p.SetHTTP1(true) }

func http2(p *http.Protocols) {
	p.SetHTTP2(true)
	p.SetUnencryptedHTTP2(true)
}

// keyPair writes a certificate and its key, and returns the names of the files.
func keyPair(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: key}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestListenAddress_IsLoopbackUnlessNamed(t *testing.T) {
	for address, want := range map[string]string{
		":8080": "127.0.0.1:8080", "0.0.0.0:8080": "0.0.0.0:8080", "[::]:1": "[::]:1", "localhost:0": "localhost:0", "8080": "", "": "", "a:b:c": "",
	} {
		got, err := listenAddress("listen", address)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q is %q, %v", address, got, err)
		}
	}
}

// TestServe_PrintsOneAddress at which both protocols are answered, with and without TLS. The address has the port that is bound.
func TestServe_PrintsOneAddress(t *testing.T) {
	certFile, keyFile := keyPair(t)
	for scheme, args := range map[string][]string{"http": nil, "https": {"--tls-cert", certFile, "--tls-key", keyFile}} {
		out, errs, stop := newShell(t).follow(append([]string{"serve", "--embedded", "--listen", ":0"}, args...)...)
		url := apiURL(t, out)
		if !regexp.MustCompile(`^` + scheme + `://127\.0\.0\.1:[1-9][0-9]*\n$`).MatchString(out.String()) {
			t.Errorf("%s: printed is %q", scheme, out)
		}
		for want, protocol := range map[string]func(*http.Protocols){"HTTP/1.1": http1, "HTTP/2.0": http2} {
			for path, answer := range map[string]int{"/livez": 200, "/readyz": 200, "/nosuch": 501, "/metrics": 501} {
				if status, body, proto := ask(t, url+path, protocol); status != answer || proto != want {
					t.Errorf("%s%s over %s: %d %s, %s", url, path, want, status, proto, body)
				}
			}
		}
		errs.until(t, "address="+url)
		stop()
		if printed := strings.Count(out.String(), "\n"); printed != 1 {
			t.Errorf("%s: printed is %q", scheme, out)
		}
	}
}

// TestServe_ListenOff has no API.
func TestServe_ListenOff(t *testing.T) {
	out, errs, stop := newShell(t).follow("serve", "--listen", "off", "--admin", ":0")
	errs.until(t, "serving log")
	if status, body, _ := ask(t, adminURL(t, errs)+"/readyz", http1); status != 200 {
		t.Errorf("%d %s", status, body)
	}
	stop()
	if out.String() != "" {
		t.Errorf("printed is %q", out)
	}
}

// TestServe_RefusesSettings of the listeners by name, before it connects.
func TestServe_RefusesSettings(t *testing.T) {
	t.Setenv("REDIS_URL", "")
	certFile, keyFile := keyPair(t)
	for want, args := range map[string][]string{
		"listen is \"7460\"":                       {"--listen", "7460"},
		"admin is \"off\"":                         {"--admin", "off"},
		"CHATCORE_TLS_KEY":                         {"--tls-cert", certFile},
		"CHATCORE_TLS_CERT":                        {"--tls-key", keyFile},
		certFile + " and " + certFile:              {"--tls-cert", certFile, "--tls-key", certFile},
		"nosuch.pem":                               {"--tls-cert", "nosuch.pem", "--tls-key", keyFile},
		"max-connections is -1":                    {"--max-connections", "-1"},
		"max-requests is -1":                       {"--max-requests", "-1"},
		"max-streams is -1":                        {"--max-streams", "-1"},
		"drain-delay is -1s":                       {"--drain-delay", "-1s"},
		"lacks service tokens or JWTs":             {"--listen", "0.0.0.0:0", "--tls-cert", certFile, "--tls-key", keyFile},
		"and TLS":                                  {"--listen", "[::]:0"},
		"lacks TLS":                                {"--listen", "0.0.0.0:0", "--tokens-entries", `{"tokens": []}`},
		"or JWTs (a tokens file":                   {"--behind-proxy"},
		"tokens.file (CHATCORE_TOKENS_FILE)":       {"--tokens-file", "nosuch.json"},
		"tokens.entries (CHATCORE_TOKENS_ENTRIES)": {"--tokens-entries", "{"},
		"jwt.algorithms are empty":                 {"--jwt-key-file", keyFile, "--jwt-issuer", "i", "--jwt-audiences", "a"},
		"jwt.issuer is empty":                      {"--jwt-key-file", keyFile, "--jwt-algorithms", "ES256", "--jwt-audiences", "a"},
		"jwt.jwks-url":                             {"--jwt-jwks-url", "http://id.example/keys", "--jwt-algorithms", "ES256", "--jwt-issuer", "i", "--jwt-audiences", "a"},
		"no Redis is named: set REDIS_URL":         {"--drain-delay", "1s"}, // all is well until then
	} {
		_, _, err := (&shell{t: t}).try(append([]string{"serve"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", args, err)
		}
		if class := (&cli{begun: true}).classOf(err); class.exit != exitUsage {
			t.Errorf("%q exits with %d", args, class.exit)
		}
	}
}

// TestServe_AddressInUse names the setting, and ends the core.
func TestServe_AddressInUse(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for setting, args := range map[string][]string{
		"listen (CHATCORE_LISTEN): ": {"--listen", taken.Addr().String()},
		"admin (CHATCORE_ADMIN): ":   {"--admin", taken.Addr().String(), "--listen", ":0"},
	} {
		_, _, err := newShell(t).try(append([]string{"serve", "--embedded"}, args...)...)
		if err == nil || !strings.Contains(err.Error(), setting) || !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("%v: %v", args, err)
		}
	}
}

// TestServe_Metrics has the core's metrics, those of the API and of the process on the admin listener only.
func TestServe_Metrics(t *testing.T) {
	s := newShell(t)
	out, errs, stop := s.follow("serve", "--admin", ":0")
	url, admin := apiURL(t, out), adminURL(t, errs)
	if status, _, _ := ask(t, url+"/metrics", http1); status != http.StatusNotImplemented {
		t.Errorf("the API answers /metrics with %d", status)
	}
	page := ""
	wait.Until(t, "the metrics of the groups", func() bool {
		_, page, _ = ask(t, admin+"/metrics", http1)
		return strings.Contains(page, "chatcore_group_lag{")
	})
	for _, want := range []string{
		"chatcore_group_lag_age_seconds{", "chatcore_deliveries_total{", `messaging_consumer_group_name="`, "chatcore_presence_online",
		"chatcore_api_connections{", "chatcore_api_connections_closed_total{", `chatcore_reason="idle"`, "chatcore_api_requests_total{",
		"chatcore_api_requests_in_flight{", "chatcore_api_requests_refused_total{", "chatcore_api_streams{",
		"go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page has no %s", want)
		}
	}
	if t.Failed() {
		t.Log(page)
	}
	stop()
	if strings.Contains(errs.String(), "level=WARN") || strings.Contains(errs.String(), "level=ERROR") {
		t.Errorf("it logs\n%s", errs)
	}
}

// TestServe_DrainsBeforeTheCoreStops ends a stream, and has a call in flight write to the core after the signal.
func TestServe_DrainsBeforeTheCoreStops(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	handler := func(core *chatcore.Core) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/stream" {
				if err := server.Stream(r.Context()); err != nil {
					t.Error(err)
				}
				entered <- struct{}{}
				<-server.Draining(r.Context())
				_, _ = io.WriteString(w, "resume")
				return
			}
			entered <- struct{}{}
			<-release
			if _, err := core.Chats.Create(r.Context(), domain.Create{Actor: "ada", Chat: "late"}); err != nil {
				t.Error(err)
			}
			_, _ = io.WriteString(w, "done")
		})
	}
	s := newShell(t)
	out, errs, end := s.start(handler, "serve", "--admin", ":0")
	url, admin := apiURL(t, out), adminURL(t, errs)
	bodies := map[string]chan string{"/stream": make(chan string, 1), "/call": make(chan string, 1)}
	for path, body := range bodies {
		go func() {
			_, text, _ := ask(t, url+path, http2)
			body <- text
		}()
		<-entered
	}
	ended := make(chan error, 1)
	go func() { ended <- end() }()
	if text := <-bodies["/stream"]; text != "resume" {
		t.Errorf("the stream has %q", text)
	}
	if status, text, _ := ask(t, admin+"/readyz", http1); status != http.StatusServiceUnavailable || text != "draining\n" {
		t.Errorf("while it drains: %d %q", status, text)
	}
	if status, _, _ := ask(t, admin+"/livez", http1); status != http.StatusOK {
		t.Errorf("while it drains, live is %d", status)
	}
	if status, _, _ := ask(t, url+"/livez", http1); status != 0 {
		t.Errorf("a new connection gets %d", status)
	}
	close(release)
	if text := <-bodies["/call"]; text != "done" {
		t.Errorf("the call has %q", text)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	s.do("history", "late")
}

// TestServe_CutsOff ends although a handler does not, within the stop timeout, and reports it.
func TestServe_CutsOff(t *testing.T) {
	entered := make(chan struct{})
	handler := func(*chatcore.Core) http.Handler {
		return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(entered)
			<-r.Context().Done()
		})
	}
	out, _, end := newShell(t).start(handler, "serve", "--stop-timeout", "500ms")
	url := apiURL(t, out)
	failed := make(chan int, 1)
	go func() {
		status, _, _ := ask(t, url, http1)
		failed <- status
	}()
	<-entered
	if err := end(); !errors.Is(err, server.ErrCut) || !strings.Contains(err.Error(), "1 requests") || !strings.Contains(err.Error(), "200ms") {
		t.Errorf("it ends with %v", err)
	}
	if status := <-failed; status != 0 {
		t.Errorf("the client gets %d", status)
	}
}

// TestServe_EndsWithItsCore closes the API when the core ends by itself.
func TestServe_EndsWithItsCore(t *testing.T) {
	s := newShell(t)
	c := newCLI(&buffer{}, &buffer{})
	out := &buffer{}
	c.out = out
	cmd := c.root() //nolint:contextcheck // commands have the context that executes them
	cmd.SetArgs(append([]string{"serve", "--listen", ":0"}, s.base...))
	ended := make(chan error, 1)
	go func() { ended <- cmd.ExecuteContext(t.Context()) }()
	url := apiURL(t, out)
	s.do("groups", "delete", chatcore.BuiltinGroup, "--yes")
	if err := <-ended; !errors.Is(err, chatcore.ErrGroupDeleted) || errors.Is(err, domain.ErrInvalid) {
		t.Errorf("it ends with %v", err)
	}
	if status, _, _ := ask(t, url+"/livez", http1); status != 0 {
		t.Errorf("afterwards: %d", status)
	}
}
