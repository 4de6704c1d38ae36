package main

import (
	"strings"
	"sync/atomic"
	"testing"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// dials returns a proxy that refuses every connection after it was accepted, and the number of connections.
func dials(t *testing.T) (url string, count *atomic.Int64) {
	t.Helper()
	proxy := redistest.StartProxy(t, redistest.Shared(t))
	count = &atomic.Int64{}
	refuse := func() bool {
		count.Add(1)
		return false
	}
	proxy.Accept.Store(&refuse)
	return proxy.URL(), count
}

// TestConnect_OneShotCommandsTryOnce counts connections: a one-shot command fails at once, unless a flag asks for further attempts.
func TestConnect_OneShotCommandsTryOnce(t *testing.T) {
	s := newShell(t)
	for _, tc := range []struct {
		args []string
		want int64
	}{
		{[]string{"history", "c"}, 1},
		{[]string{"send", "c", "x", "--as", "ada"}, 1},
		{[]string{"doctor"}, 1},
		{[]string{"fsck"}, 1},
		{[]string{"groups", "list"}, 1},
		{[]string{"upgrade"}, 1},
		{[]string{"history", "c", "--redis-connect-attempts", "3"}, 3},
	} {
		url, count := dials(t)
		code, _, errs := s.exit(append(tc.args, "--redis-url", url)...)
		if code != exitUnavailable {
			t.Errorf("core %q exits with %d: %s", tc.args, code, errs)
		}
		if n := count.Load(); n != tc.want {
			t.Errorf("core %q makes %d connections, want %d", tc.args, n, tc.want)
		}
	}
	url, count := dials(t)
	s.base = nil
	s.exit("__complete", "--redis-url", url, "history", "")
	if n := count.Load(); n != 1 {
		t.Errorf("a completion makes %d connections", n)
	}
}

// TestConnect_LastingCommandsWait tries again until Redis is there.
func TestConnect_LastingCommandsWait(t *testing.T) {
	s := newShell(t)
	for _, args := range [][]string{{"serve"}, {"tail"}} {
		url, count := dials(t)
		_, errs, stop := s.follow(append(args, "--redis-url", url)...)
		wait.Until(t, "it tries again", func() bool { return count.Load() > 1 })
		stop()
		if strings.Contains(errs.String(), "serving") {
			t.Errorf("core %q: %s", args, errs.String())
		}
	}
}

// TestConnect_WhatCannotMendIsSaidAsWhatItIs counts attempts with wrong credentials, none, and a database that is not there: one each, also for serve.
func TestConnect_WhatCannotMendIsSaidAsWhatItIs(t *testing.T) {
	server := redistest.Start(t, "--requirepass", "right")
	proxy := redistest.StartProxy(t, server)
	var dials atomic.Int64
	count := func() bool {
		dials.Add(1)
		return true
	}
	proxy.Accept.Store(&count)
	s := newShell(t)
	for userinfo, want := range map[string]string{"": "NOAUTH", ":wrong@": "WRONGPASS", ":right@": "DB index is out of range"} {
		url := strings.Replace(proxy.URL(), "redis://", "redis://"+userinfo, 1)
		if userinfo == ":right@" {
			url += "/99"
		}
		for _, args := range [][]string{{"history", "c"}, {"serve"}, {"doctor"}} {
			dials.Store(0)
			code, _, errs := s.exit(append(args, "--redis-url", url, "--json")...)
			if args[0] == "serve" { // it has no --json
				code, _, errs = s.exit(append(args, "--redis-url", url)...)
			}
			if code != exitUsage || !strings.Contains(errs, want) || !strings.Contains(errs, "rejected") || strings.Contains(errs, "is it running") {
				t.Errorf("core %q of %q exits with %d: %s", args, userinfo, code, errs)
			}
			if n := dials.Load(); n != 1 {
				t.Errorf("core %q of %q makes %d connections", args, userinfo, n)
			}
		}
	}
}
