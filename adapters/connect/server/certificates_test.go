package server_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"chatcore/adapters/connect/server"
	"chatcore/tests/wait"
)

// issue returns a certificate of its own authority for 127.0.0.1, and its key, in PEM.
func issue(t *testing.T, name string) (cert, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
}

// trusting is a client's configuration that reports names of certificates and checks none.
func trusting(*testing.T) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // certificates of the test
}

func write(t *testing.T, name string, contents []byte) {
	t.Helper()
	if err := os.WriteFile(name, contents, 0o600); err != nil {
		t.Fatal(err)
	}
}

// pairOf writes a pair to two files.
func pairOf(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	cert, key := issue(t, name)
	write(t, certFile, cert)
	write(t, keyFile, key)
	return certFile, keyFile
}

// presented returns the name of the certificate of a new handshake.
func presented(t *testing.T, address string) string {
	t.Helper()
	conn, err := (&tls.Dialer{Config: trusting(t)}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName //nolint:forcetypeassert // of tls.Dialer
}

// TestCertificates_Reload replaces a pair while a stream is open over it, also by files that are broken in every way.
func TestCertificates_Reload(t *testing.T) {
	certFile, keyFile := pairOf(t, "first")
	log := &buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	certificates, err := server.LoadCertificates(certFile, keyFile, logger)
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() { certificates.Watch(ctx, time.Millisecond) })
	defer watching.Wait()
	defer end()

	next := make(chan struct{})
	r := start(t, server.Config{TLS: certificates.Config(), Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range next {
			_, _ = io.WriteString(w, ".")
			_ = http.NewResponseController(w).Flush()
		}
	})})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+r.address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { next <- struct{}{} }()
	response, err := r.http2().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()

	good, goodKey := issue(t, "second")
	other, _ := issue(t, "other")
	for _, broken := range []struct {
		what      string
		cert, key []byte
	}{
		{"another key", other, goodKey},
		{"half a certificate", good[:len(good)/2], goodKey},
		{"half a key", good, goodKey[:len(goodKey)/2]},
		{"empty files", nil, nil},
		{"a huge file", make([]byte, 2<<20), goodKey},
		{"no PEM", []byte("soon"), []byte("soon")},
	} {
		before := strings.Count(log.String(), "certificate not reloaded")
		write(t, keyFile, broken.key) // in this order no pair is good for a moment
		write(t, certFile, broken.cert)
		wait.Until(t, broken.what+" is logged", func() bool { return strings.Count(log.String(), "certificate not reloaded") > before })
		if name := presented(t, r.address); name != "first" {
			t.Errorf("%s: %q is presented", broken.what, name)
		}
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	log.until(t, "no such file")
	if name := presented(t, r.address); name != "first" {
		t.Errorf("without a key: %q is presented", name)
	}
	write(t, certFile, good)
	write(t, keyFile, goodKey)
	wait.Until(t, "the second pair is presented", func() bool { return presented(t, r.address) == "second" })

	next <- struct{}{}
	close(next)
	if body, err := io.ReadAll(response.Body); err != nil || string(body) != ".." {
		t.Errorf("the stream has %q, error %v", body, err)
	}
	if strings.Contains(log.String(), "PRIVATE") {
		t.Errorf("the log has a key:\n%s", log)
	}
}

// TestCertificates_LoggedOnce polls a broken pair many times.
func TestCertificates_LoggedOnce(t *testing.T) {
	certFile, keyFile := pairOf(t, "first")
	log := &buffer{}
	certificates, err := server.LoadCertificates(certFile, keyFile, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	original, err := os.ReadFile(certFile)
	if err != nil {
		t.Fatal(err)
	}
	certificates.Reload(t.Context())
	write(t, certFile, []byte("broken"))
	for range 3 {
		certificates.Reload(t.Context())
	}
	write(t, certFile, original)
	certificates.Reload(t.Context())
	if err := os.Remove(certFile); err != nil {
		t.Fatal(err)
	}
	for range 2 { // missing, there again, and missing
		for range 3 {
			certificates.Reload(t.Context())
		}
		write(t, certFile, original)
		certificates.Reload(t.Context())
		if err := os.Remove(certFile); err != nil {
			t.Fatal(err)
		}
	}
	if failed, loaded := strings.Count(log.String(), "not reloaded"), strings.Count(log.String(), "certificate reloaded"); failed != 3 || loaded != 1 {
		t.Errorf("%d failures and %d reloads are logged:\n%s", failed, loaded, log)
	}
}

// TestCertificates_Refused names the file that is wrong at the start.
func TestCertificates_Refused(t *testing.T) {
	certFile, keyFile := pairOf(t, "first")
	_, otherKey := pairOf(t, "other")
	missing := filepath.Join(t.TempDir(), "missing.pem")
	for _, files := range [][3]string{{missing, keyFile, missing}, {certFile, missing, missing}, {certFile, otherKey, otherKey}, {keyFile, keyFile, keyFile}, {t.TempDir(), keyFile, "regular"}} {
		if _, err := server.LoadCertificates(files[0], files[1], slog.Default()); err == nil || !strings.Contains(err.Error(), files[2]) {
			t.Errorf("%q: %v", files, err)
		}
	}
}

// TestTLS_Versions refuses versions before 1.2, and answers both protocols.
func TestTLS_Versions(t *testing.T) {
	certificates, err := server.LoadCertificates(first(pairOf(t, "first")))
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, server.Config{TLS: certificates.Config(), Handler: hello()})
	for version, want := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		config := trusting(t)
		config.MinVersion, config.MaxVersion = tls.VersionTLS10, version
		conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", r.address)
		if (err == nil) != want {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	for want, client := range r.clients() {
		if got := r.get(client, "/x"); got.protocol != want || got.body != "hello 0" {
			t.Errorf("%s: %+v", want, got)
		}
	}
}

func first(certFile, keyFile string) (string, string, *slog.Logger) {
	return certFile, keyFile, slog.Default()
}
