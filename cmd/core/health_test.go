package main

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"chatcore/ports"
)

func TestHealth_AsksTheListener(t *testing.T) {
	for _, test := range []struct {
		settings   serveSettings
		url, error string
	}{
		{serveSettings{}, "http://127.0.0.1:7460/readyz", ""},
		{serveSettings{listen: "0.0.0.0:80"}, "http://127.0.0.1:80/readyz", ""},
		{serveSettings{admin: ":7461", listen: "off"}, "http://127.0.0.1:7461/readyz", ""},
		{serveSettings{admin: "[::]:7461", tlsCert: "c"}, "http://[::1]:7461/readyz", ""},
		{serveSettings{admin: "10.0.0.1:7461"}, "http://10.0.0.1:7461/readyz", ""},
		{serveSettings{listen: "off"}, "", "set admin"},
		{serveSettings{tlsCert: "c"}, "", "set admin"},
		{serveSettings{admin: "nowhere"}, "", "admin"},
	} {
		url, err := test.settings.readyURL("")
		if url != test.url || (err == nil) != (test.error == "") || err != nil && !strings.Contains(err.Error(), test.error) {
			t.Errorf("%+v: %q, error %v; want %q, %q", test.settings, url, err, test.url, test.error)
		}
	}
}

func TestHealth_Answers(t *testing.T) {
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte("word\n"))
	}))
	defer server.Close()
	s := &shell{t: t}
	if out := s.do("health", "--url", server.URL); out != "word\n" {
		t.Errorf("it prints %q", out)
	}
	status = http.StatusServiceUnavailable
	if _, _, err := s.try("health", "--url", server.URL); !errors.Is(err, ports.ErrUnavailable) || !strings.Contains(err.Error(), "503") {
		t.Errorf("while it is not ready: %v", err)
	}
	server.Close()
	if code, _, _ := s.exit("health", "--url", server.URL); code != exitUnavailable {
		t.Errorf("exit code %d", code)
	}
	if code, _, _ := s.exit("health", "--url", "ftp://host"); code != exitUsage {
		t.Errorf("exit code %d", code)
	}
}
