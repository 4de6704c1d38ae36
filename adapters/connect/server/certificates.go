package server

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"
)

// maxPEM bounds the size of a certificate or key file, in bytes.
const maxPEM = 1 << 20

// Certificates is the certificate and key of a listener, in two PEM files that may change while it serves.
type Certificates struct {
	certFile, keyFile string
	logger            *slog.Logger
	current           atomic.Pointer[tls.Certificate]
	seen              pair   // last contents that were tried; only Watch uses this and the next two after LoadCertificates
	seenErr           error  // of seen
	problem           string // last failure, which is logged
}

// pair holds the contents of the two files.
type pair struct{ cert, key []byte }

func (p pair) equal(other pair) bool {
	return bytes.Equal(p.cert, other.cert) && bytes.Equal(p.key, other.key)
}

// LoadCertificates reads a certificate chain and its private key. The error names the file.
func LoadCertificates(certFile, keyFile string, logger *slog.Logger) (*Certificates, error) {
	c := &Certificates{certFile: certFile, keyFile: keyFile, logger: logger}
	var err error
	if c.seen, err = c.read(); err != nil {
		return nil, err
	}
	loaded, err := c.parse(c.seen)
	if err != nil {
		return nil, err
	}
	c.current.Store(loaded)
	return c, nil
}

// Config returns a configuration of TLS 1.2 or newer. Each handshake uses the pair that was loaded last.
func (c *Certificates) Config() *tls.Config {
	return &tls.Config{
		MinVersion:     minVersion,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// Watch reads the files at every interval until ctx ends. A new pair is used from the next handshake on; connections that are open remain. While the
// files are unreadable, incomplete or do not belong together, the last good pair stays, and the first failure is logged.
func (c *Certificates) Watch(ctx context.Context, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.reload(ctx)
		case <-ctx.Done():
			return
		}
	}
}

// reload loads the pair again if a file has changed.
func (c *Certificates) reload(ctx context.Context) {
	loaded, err := c.changed()
	switch {
	case err != nil && err.Error() != c.problem:
		c.problem = err.Error()
		c.logger.ErrorContext(ctx, "certificate not reloaded, the last one stays", "error", err)
	case err == nil:
		c.problem = ""
	}
	if loaded != nil {
		c.current.Store(loaded)
		c.logger.InfoContext(ctx, "certificate reloaded", "file", c.certFile, "not_after", loaded.Leaf.NotAfter)
	}
}

// changed returns the pair of the files, or nil if their contents are those that were tried last.
func (c *Certificates) changed() (*tls.Certificate, error) {
	found, err := c.read()
	if err != nil {
		return nil, err
	}
	if found.equal(c.seen) {
		return nil, c.seenErr
	}
	var loaded *tls.Certificate
	loaded, c.seenErr = c.parse(found)
	c.seen = found
	return loaded, c.seenErr
}

func (c *Certificates) read() (pair, error) {
	cert, err := readPEM(c.certFile)
	if err != nil {
		return pair{}, err
	}
	key, err := readPEM(c.keyFile)
	return pair{cert, key}, err
}

// readPEM returns the contents of a file, if it is not too large.
func readPEM(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPEM || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: it is no regular file of at most %d bytes", name, maxPEM)
	}
	return os.ReadFile(name)
}

// parse returns the pair of the files. Its error has no part of the key.
func (c *Certificates) parse(p pair) (*tls.Certificate, error) {
	loaded, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	return &loaded, nil
}
