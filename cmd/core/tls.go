package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
)

// tlsFiles are the files of certificates for rediss:// servers.
type tlsFiles struct {
	ca, cert, key, serverName string
}

// load returns the TLS settings, or nil if no file is named.
func (t *tlsFiles) load() (*tls.Config, error) {
	if *t == (tlsFiles{}) {
		return nil, nil
	}
	config := &tls.Config{ServerName: t.serverName, MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, usageErrorf("redis.tls.ca (REDIS_TLS_CA): %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usageErrorf("redis.tls.ca (REDIS_TLS_CA): there is no PEM certificate in %s", t.ca)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, usageErrorf("REDIS_TLS_CERT and REDIS_TLS_KEY belong together; one is missing")
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, usageErrorf("REDIS_TLS_CERT, REDIS_TLS_KEY: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
