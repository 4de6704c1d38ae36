package main

import (
	"strings"
	"testing"

	"chatcore/tests/redistest"
)

// TestTheProgramOverTLS names the files by flags.
func TestTheProgramOverTLS(t *testing.T) {
	_, url, files := redistest.StartTLS(t)
	testSendAndRead(t, "--redis-url", url, "--redis-tls-ca", files.CA, "--redis-tls-cert", files.Cert, "--redis-tls-key", files.Key)
	s := &shell{t: t, base: []string{"--redis-url", url, "--redis-tls-ca", files.CA + ".missing"}}
	if _, _, err := s.try("history", "c"); err == nil || !strings.Contains(err.Error(), "REDIS_TLS_CA") {
		t.Errorf("an authority that is not there: %v", err)
	}
}

// TestTheProgramByTheNameThatSentinelsKnow is given Sentinels instead of a server.
func TestTheProgramByTheNameThatSentinelsKnow(t *testing.T) {
	testSendAndRead(t, "--redis-url", redistest.StartSentinels(t, "data-secret").URL())
}

func testSendAndRead(t *testing.T, base ...string) {
	t.Helper()
	s := &shell{t: t, base: base}
	s.do("chat", "create", "c", "--as", "ada")
	s.do("send", "c", "hello", "--as", "ada")
	if out := s.do("history", "c"); !strings.Contains(out, "hello") {
		t.Errorf("the history is %q", out)
	}
}
