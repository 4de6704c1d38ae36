package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/pflag"
)

// tlsFiles say how rediss:// servers prove who they are, and how this program does.
type tlsFiles struct {
	ca, cert, key, serverName string
}

func (t *tlsFiles) flags(flags *pflag.FlagSet) {
	for _, f := range []struct {
		value           *string
		name, env, text string
	}{
		{&t.ca, "redis-tls-ca", "REDIS_TLS_CA", "file of the certificate authorities of rediss:// servers, in PEM; default the system's"},
		{&t.cert, "redis-tls-cert", "REDIS_TLS_CERT", "file of this program's certificate, in PEM"},
		{&t.key, "redis-tls-key", "REDIS_TLS_KEY", "file of the certificate's private key, in PEM"},
		{&t.serverName, "redis-tls-server-name", "REDIS_TLS_SERVER_NAME", "name that servers' certificates have to be for; default the one in the URL"},
	} {
		flags.StringVar(f.value, f.name, os.Getenv(f.env), f.text+" ("+f.env+")")
		flags.Lookup(f.name).DefValue = ""
	}
}

// load gives what the files say, or nil where none is named.
func (t *tlsFiles) load() (*tls.Config, error) {
	if *t == (tlsFiles{}) {
		return nil, nil
	}
	config := &tls.Config{ServerName: t.serverName, MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		pem, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("REDIS_TLS_CA: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("REDIS_TLS_CA: there is no PEM certificate in %s", t.ca)
		}
	}
	if (t.cert == "") != (t.key == "") {
		return nil, errors.New("REDIS_TLS_CERT and REDIS_TLS_KEY belong together; one is missing")
	}
	if t.cert != "" {
		pair, err := tls.LoadX509KeyPair(t.cert, t.key)
		if err != nil {
			return nil, fmt.Errorf("REDIS_TLS_CERT, REDIS_TLS_KEY: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
