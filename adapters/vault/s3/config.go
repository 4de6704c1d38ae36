package s3

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"chatcore/domain"
	"chatcore/ports"
)

// Amazon's service, and the region that other services take when none is set.
const (
	amazon        = "s3.amazonaws.com"
	defaultRegion = "us-east-1"
)

// maxKey is the longest key of an object, in bytes.
const maxKey = 1024

// Open opens the vault of a URL:
//
//	s3://BUCKET/PREFIX?endpoint=HOST:PORT&region=REGION&insecure=1
//
// PREFIX may be empty. endpoint defaults to Amazon's service; region to the one that Amazon names, and on another service to us-east-1. insecure=1 is HTTP
// without TLS. Credentials are those of the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; on Amazon's service also the role of
// the machine. Open sends no request. It returns a [*domain.InvalidError] for any other URL and without credentials.
func Open(_ context.Context, u *url.URL) (ports.Vault, error) {
	v, err := newVault(u)
	if err != nil {
		return nil, err
	}
	return v, nil
}

func newVault(u *url.URL) (*Vault, error) {
	query := u.Query()
	if problem := problemOf(u, query); problem != "" {
		return nil, &domain.InvalidError{Field: "vault", Problem: problem, Allowed: "s3://BUCKET/PREFIX?endpoint=HOST:PORT&region=REGION&insecure=1"}
	}
	v := &Vault{bucket: u.Host, prefix: strings.Trim(u.Path, "/")}
	if v.prefix != "" {
		v.prefix += "/"
	}
	endpoint, region, secure := query.Get("endpoint"), query.Get("region"), query.Get("insecure") != "1"
	providers := []credentials.Provider{&credentials.EnvAWS{}}
	if endpoint == "" {
		endpoint, providers = amazon, append(providers, &credentials.IAM{})
	} else if region == "" {
		region = defaultRegion
	}
	creds := credentials.NewChainCredentials(providers)
	if len(providers) == 1 {
		if value, err := creds.GetWithContext(&credentials.CredContext{}); err != nil || value.AccessKeyID == "" {
			return nil, &domain.InvalidError{Field: "vault", Problem: "has no credentials", Allowed: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"}
		}
	}
	transport, err := minio.DefaultTransport(secure)
	if err == nil {
		v.transport = transport
		// The client sends nothing twice: the caller decides about a lost answer.
		v.core, err = minio.NewCore(endpoint, &minio.Options{Creds: creds, Secure: secure, Region: region, Transport: transport, MaxRetries: 1})
	}
	if err != nil {
		return nil, &domain.InvalidError{Field: "vault", Problem: fmt.Sprintf("has an endpoint that is none: %v", err), Allowed: "HOST or HOST:PORT"}
	}
	return v, nil
}

// problemOf returns why a URL names no vault. It repeats nothing that may be a secret.
func problemOf(u *url.URL, query url.Values) string {
	prefix := strings.Trim(u.Path, "/")
	switch {
	case u.Host == "":
		return "has no bucket"
	case u.User != nil:
		return "has a user or a password"
	case u.Fragment != "":
		return "has a fragment"
	case prefix != "" && ports.CheckObjectName(prefix) != nil:
		return "has a prefix that is no name of an object"
	case len(prefix)+1+ports.MaxObjectName > maxKey:
		return fmt.Sprintf("has a prefix of %d bytes, more than %d", len(prefix), maxKey-1-ports.MaxObjectName)
	}
	for name, values := range query {
		if !slices.Contains([]string{"endpoint", "region", "insecure"}, name) || len(values) != 1 || name == "insecure" && values[0] != "0" && values[0] != "1" {
			return fmt.Sprintf("has the parameter %q, or a value of it, that is not known", name)
		}
	}
	return ""
}
