package s3

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"go.uber.org/goleak"

	"chatcore/adapters/vault"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/porttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// service is a service of S3 in this process, and what it does otherwise than the fake.
type service struct {
	backend *s3mem.Backend
	fake    http.Handler
	change  func(w http.ResponseWriter, r *http.Request) (done bool) // nil for no change
	lock    string                                                   // state of the object lock, "" for none
	puts    atomic.Int64
	address string
}

const bucket = "vault"

func serve(t *testing.T) *service {
	t.Helper()
	s := &service{backend: s3mem.New()}
	if err := s.backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	s.fake = gofakes3.New(s.backend).Server()
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.address = strings.TrimPrefix(server.URL, "http://")
	return s
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPut {
		s.puts.Add(1)
	}
	switch {
	case s.change != nil && s.change(w, r):
	case r.URL.Query().Has("object-lock") && s.lock != "":
		_, _ = io.WriteString(w, "<ObjectLockConfiguration><ObjectLockEnabled>"+s.lock+"</ObjectLockEnabled></ObjectLockConfiguration>")
	case r.URL.Query().Has("object-lock"):
		refuse(w, http.StatusNotFound, noLock)
	default:
		s.fake.ServeHTTP(w, r)
	}
}

// refuse answers as the service does to a failed request.
func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	_ = xml.NewEncoder(w).Encode(struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
	}{Code: code})
}

// open opens a vault of the service under a prefix.
func (s *service) open(t *testing.T, prefix string) *Vault {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	opened, err := vault.Open(t.Context(), "s3://"+bucket+prefix+"?insecure=1&endpoint="+s.address, vault.Openers{"s3": Open})
	if err != nil {
		t.Fatal(err)
	}
	v := opened.(*Vault)
	t.Cleanup(v.Close)
	return v
}

func TestVault(t *testing.T) {
	for _, prefix := range []string{"", "/some/prefix/"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			v := serve(t).open(t, prefix)
			porttest.Vault(t, func(*testing.T) ports.Vault { return v })
		})
	}
}

// TestVault_Prefix has two vaults in a bucket: none sees the other's objects.
func TestVault_Prefix(t *testing.T) {
	s := serve(t)
	a, b, whole := s.open(t, "/a"), s.open(t, "/b/c"), s.open(t, "")
	for _, v := range []*Vault{a, b} {
		if err := v.Put(t.Context(), "name", []byte(v.prefix)); err != nil {
			t.Fatal(err)
		}
		if got, err := v.Get(t.Context(), "name", 0, ports.WholeObject); err != nil || string(got) != v.prefix {
			t.Errorf("got %q, error %v", got, err)
		}
	}
	var names []string
	for o, err := range whole.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, o.Name)
	}
	if want := []string{"a/name", "b/c/name"}; !slices.Equal(names, want) {
		t.Errorf("the bucket has %q, want %q", names, want)
	}
}

// TestVault_LostAnswer loses the answer of a Put. The request is not repeated, and the error does not say that nothing was stored.
func TestVault_LostAnswer(t *testing.T) {
	s := serve(t)
	v := s.open(t, "")
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		s.fake.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler) // the connection breaks
	}
	before := s.puts.Load()
	if err := v.Put(t.Context(), "name", []byte("body")); !errors.Is(err, ports.ErrUnavailable) || errors.Is(err, ports.ErrExists) {
		t.Errorf("put: %v, want %v", err, ports.ErrUnavailable)
	}
	if sent := s.puts.Load() - before; sent != 1 {
		t.Errorf("%d requests, want 1", sent)
	}
	s.change = nil
	if err := v.Put(t.Context(), "name", []byte("body")); !errors.Is(err, ports.ErrExists) {
		t.Errorf("put again: %v, want %v", err, ports.ErrExists)
	}
}

// TestVault_Errors answers every request with an error of the service.
func TestVault_Errors(t *testing.T) {
	s := serve(t)
	v := s.open(t, "")
	for _, answer := range []struct {
		status int
		code   string
		want   error
	}{
		{http.StatusForbidden, "AccessDenied", ports.ErrVaultDenied},
		{http.StatusForbidden, "SignatureDoesNotMatch", ports.ErrVaultDenied},
		{http.StatusNotFound, "NoSuchBucket", ports.ErrVaultDenied},
		{http.StatusNotImplemented, "NotImplemented", ports.ErrVaultDenied},
		{http.StatusInsufficientStorage, "XMinioStorageFull", ports.ErrVaultFull},
		{http.StatusBadRequest, "QuotaExceeded", ports.ErrVaultFull},
		{http.StatusConflict, "ConditionalRequestConflict", ports.ErrUnavailable},
		{http.StatusServiceUnavailable, "SlowDown", ports.ErrUnavailable},
		{http.StatusInternalServerError, "InternalError", ports.ErrUnavailable},
	} {
		s.change = func(w http.ResponseWriter, _ *http.Request) bool {
			refuse(w, answer.status, answer.code)
			return true
		}
		for call, err := range calls(t.Context(), v) {
			if !errors.Is(err, answer.want) {
				t.Errorf("%s after %s: %v, want %v", call, answer.code, err, answer.want)
			}
		}
	}
}

// calls makes a call of every method.
func calls(ctx context.Context, v *Vault) map[string]error {
	_, get := v.Get(ctx, "name", 0, 1)
	var list error
	for _, list = range v.List(ctx, "", "") { //nolint:revive // the error is the last one
	}
	return map[string]error{"Get": get, "List": list, "Put": v.Put(ctx, "name", nil), "Delete": v.Delete(ctx, "name")}
}

// TestVault_Interrupted ends the caller's context while the service is silent.
func TestVault_Interrupted(t *testing.T) {
	s := serve(t)
	v := s.open(t, "")
	entered := make(chan struct{})
	s.change = func(_ http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body) // the end of the connection shows then
		entered <- struct{}{}
		<-r.Context().Done()
		return true
	}
	for name, call := range map[string]func(context.Context) error{
		"Put": func(ctx context.Context) error { return v.Put(ctx, "name", []byte("x")) },
		"Get": func(ctx context.Context) error { _, err := v.Get(ctx, "name", 0, 1); return err },
		"List": func(ctx context.Context) (err error) {
			for _, err = range v.List(ctx, "", "") { //nolint:revive // the error is the last one
			}
			return err
		},
		"Delete": func(ctx context.Context) error { return v.Delete(ctx, "name") },
	} {
		ctx, end := context.WithCancel(t.Context())
		go func() {
			<-entered
			end()
		}()
		if err := call(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v, want %v and %v", name, err, ports.ErrUnavailable, context.Canceled)
		}
		end()
	}
}

// TestVault_CutAnswer ends an answer before its length.
func TestVault_CutAnswer(t *testing.T) {
	s := serve(t)
	v := s.open(t, "")
	if err := v.Put(t.Context(), "name", make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		recorded := httptest.NewRecorder()
		s.fake.ServeHTTP(recorded, r)
		for name, values := range recorded.Header() {
			w.Header()[name] = values
		}
		w.WriteHeader(recorded.Code)
		_, _ = w.Write(recorded.Body.Bytes()[:recorded.Body.Len()/2])
		return true
	}
	if got, err := v.Get(t.Context(), "name", 0, ports.WholeObject); !errors.Is(err, ports.ErrUnavailable) {
		t.Errorf("%d bytes, error %v, want %v", len(got), err, ports.ErrUnavailable)
	}
}

func TestVault_Check(t *testing.T) {
	unconditional := func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("If-None-Match") != "" {
			refuse(w, http.StatusNotImplemented, "NotImplemented")
			return true
		}
		return false
	}
	overwriting := func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("If-None-Match")
		return false
	}
	silent := func(parameter string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has(parameter) {
				refuse(w, http.StatusForbidden, "AccessDenied")
				return true
			}
			return false
		}
	}
	for name, c := range map[string]struct {
		prepare func(s *service)
		want    []ports.VaultFindingCode
	}{
		"a good bucket":                      {func(*service) {}, nil},
		"conditional writes are refused":     {func(s *service) { s.change = unconditional }, []ports.VaultFindingCode{ports.VaultUnconditional}},
		"conditions are ignored":             {func(s *service) { s.change = overwriting }, []ports.VaultFindingCode{ports.VaultOverwrites}},
		"versions are kept":                  {func(s *service) { s.version(t, gofakes3.VersioningEnabled) }, []ports.VaultFindingCode{ports.VaultVersioned}},
		"versions were kept":                 {func(s *service) { s.version(t, gofakes3.VersioningSuspended) }, []ports.VaultFindingCode{ports.VaultVersioned}},
		"objects are locked":                 {func(s *service) { s.lock = "Enabled" }, []ports.VaultFindingCode{ports.VaultLocked}},
		"the right to read the lock lacks":   {func(s *service) { s.change = silent("object-lock") }, []ports.VaultFindingCode{ports.VaultUnknown}},
		"the right to read versioning lacks": {func(s *service) { s.change = silent("versioning") }, []ports.VaultFindingCode{ports.VaultUnknown}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			v := s.open(t, "/p")
			c.prepare(s)
			found, err := v.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var codes []ports.VaultFindingCode
			for _, f := range found {
				codes = append(codes, f.Code)
			}
			if !slices.Equal(codes, c.want) {
				t.Errorf("findings %+v, want %q", found, c.want)
			}
			for o, err := range v.List(t.Context(), "", "") {
				t.Errorf("the check has left %v, error %v", o, err)
			}
		})
	}
}

func (s *service) version(t *testing.T, status gofakes3.VersioningStatus) {
	t.Helper()
	for _, status := range []gofakes3.VersioningStatus{gofakes3.VersioningEnabled, status} {
		if err := s.backend.SetVersioningConfiguration(bucket, gofakes3.VersioningConfiguration{Status: status}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestVault_CheckDenied(t *testing.T) {
	s := serve(t)
	s.change = func(w http.ResponseWriter, _ *http.Request) bool {
		refuse(w, http.StatusForbidden, "AccessDenied")
		return true
	}
	if found, err := s.open(t, "").Check(t.Context()); !errors.Is(err, ports.ErrVaultDenied) || len(found) > 0 {
		t.Errorf("findings %v, error %v, want %v", found, err, ports.ErrVaultDenied)
	}
}

func TestOpen_Refuses(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "hidden")
	for _, text := range []string{
		"s3://", "s3:///prefix", "s3://bucket#x", "s3://u:hidden@bucket", "s3://bucket/../x", "s3://bucket/.x", "s3://bucket/" + strings.Repeat("x/", 255) + "xx", "s3://bucket?key=hidden",
		"s3://bucket?insecure=yes", "s3://bucket?region=a&region=b", "s3://bucket?endpoint=http://x/y",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		v, err := Open(t.Context(), u)
		var invalid *domain.InvalidError
		if v != nil || !errors.As(err, &invalid) || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%q: %v, error %v, want an InvalidError", text, v, err)
		}
	}
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	u := &url.URL{Scheme: "s3", Host: "bucket", RawQuery: "endpoint=localhost:1"}
	if v, err := Open(t.Context(), u); v != nil || !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("without credentials: %v, error %v, want %v", v, err, domain.ErrInvalid)
	}
}
