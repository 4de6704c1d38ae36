package otlp

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// prefix begins the name of every variable of the package.
const prefix = "OTEL_EXPORTER_OTLP_"

// Defaults of the specification.
const (
	defaultEndpoint = "http://localhost:4318"
	defaultTimeout  = 10 * time.Second
)

// signal is a kind of telemetry.
type signal struct {
	name string // in variables
	path string // below the endpoint of all signals
}

// settings are those of one signal.
type settings struct {
	url     string
	header  http.Header
	timeout time.Duration // of an export with its retries; 0 is no bound
	gzip    bool
	tls     *tls.Config // nil: the system's authorities, no client certificate
}

// readSettings reads the environment. A variable of the signal precedes that of all signals, and an empty one counts as absent. The error names every
// variable that is wrong.
func readSettings(s signal) (settings, error) {
	var config settings
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	note(s.checkProtocol())
	var err error
	config.url, err = s.readURL()
	note(err)
	config.header, err = s.readHeader()
	note(err)
	config.timeout, err = s.readTimeout()
	note(err)
	config.gzip, err = s.readCompression()
	note(err)
	config.tls, err = s.readTLS()
	note(err)
	return config, errors.Join(errs...)
}

// lookup returns a variable's full name and its value.
func (s signal) lookup(name string) (variable, value string) {
	variable = prefix + s.name + "_" + name
	if value = strings.TrimSpace(os.Getenv(variable)); value != "" {
		return variable, value
	}
	variable = prefix + name
	return variable, strings.TrimSpace(os.Getenv(variable))
}

func (s signal) checkProtocol() error {
	switch variable, protocol := s.lookup("PROTOCOL"); protocol {
	case "", "http/protobuf":
		return nil
	case "grpc":
		return fmt.Errorf("%s: grpc is not supported; allowed: http/protobuf, which collectors accept at port 4318", variable)
	default:
		return fmt.Errorf("%s: %q is not supported; allowed: http/protobuf", variable, protocol)
	}
}

// readURL returns where to send the signal: its own endpoint as it is, or its path below the endpoint of all signals.
func (s signal) readURL() (string, error) {
	variable, endpoint := s.lookup("ENDPOINT")
	parsed, err := url.Parse(cmp.Or(endpoint, defaultEndpoint))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s is no URL; allowed: http://HOST:PORT or https://HOST:PORT", variable) // err has the text, with a password
	case parsed.Scheme != "http" && parsed.Scheme != "https" || parsed.Host == "":
		return "", fmt.Errorf("%s: %q is neither http://HOST:PORT nor https://HOST:PORT", variable, parsed.Redacted())
	case variable == prefix+"ENDPOINT":
		parsed = parsed.JoinPath(s.path)
	case parsed.Path == "":
		parsed.Path = "/"
	}
	return parsed.String(), nil
}

// readHeader reads pairs NAME=VALUE, separated by commas, with values in percent-encoding. Errors name no value: headers have tokens.
func (s signal) readHeader() (http.Header, error) {
	variable, list := s.lookup("HEADERS")
	header := make(http.Header)
	for i, pair := range strings.Split(list, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		name, encoded, found := strings.Cut(pair, "=")
		name = strings.TrimSpace(name)
		value, err := url.PathUnescape(strings.TrimSpace(encoded))
		if !found || err != nil || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%s: pair %d is not NAME=VALUE; allowed: pairs with commas between them, values in percent-encoding", variable, i+1)
		}
		header.Set(name, value)
	}
	return header, nil
}

func (s signal) readTimeout() (time.Duration, error) {
	variable, text := s.lookup("TIMEOUT")
	if text == "" {
		return defaultTimeout, nil
	}
	const most = int64(1<<63-1) / int64(time.Millisecond)
	millis, err := strconv.ParseInt(text, 10, 64)
	if err != nil || millis < 0 || millis > most {
		return 0, fmt.Errorf("%s: %q is no number of milliseconds; allowed: 0 (no bound) or more", variable, text)
	}
	return time.Duration(millis) * time.Millisecond, nil
}

func (s signal) readCompression() (bool, error) {
	switch variable, name := s.lookup("COMPRESSION"); name {
	case "", "none":
		return false, nil
	case "gzip":
		return true, nil
	default:
		return false, fmt.Errorf("%s: %q is not supported; allowed: gzip, none", variable, name)
	}
}

// readTLS reads the PEM files of authorities, and of a client's certificate and key.
func (s signal) readTLS() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	variable, path := s.lookup("CERTIFICATE")
	if path != "" {
		pem, err := os.ReadFile(path) //nolint:gosec // the operator's setting
		if err != nil {
			return nil, fmt.Errorf("%s: %w", variable, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s: %s has no certificate; allowed: a PEM file", variable, path)
		}
	}
	variable, certificate := s.lookup("CLIENT_CERTIFICATE")
	keyVariable, key := s.lookup("CLIENT_KEY")
	if (certificate == "") != (key == "") {
		return nil, fmt.Errorf("%s and %s: one is set; allowed: both or neither", variable, keyVariable)
	}
	if certificate != "" {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			return nil, fmt.Errorf("%s and %s: %w", variable, keyVariable, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
