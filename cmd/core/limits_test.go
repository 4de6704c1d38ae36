package main

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

func TestLimitsOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "--chat", "c", "--user", "ada")
	send := []string{"send", "--chat", "c", "--user", "ada", "--text", "hello", "--limit", "send=2/1h"}
	s.do(send...)
	if left := s.json("limit", "send", "ada", "--limit", "send=2/1h")[0]; left["allowed"] != true || left["remaining"] != 1.0 {
		t.Errorf("after one send: %v", left)
	}
	s.do(send...)
	if _, _, err := s.try(send...); !errors.Is(err, ports.ErrRateLimited) {
		t.Errorf("a send too many: %v", err)
	}
	if out := s.do("history", "c"); len(out) == 0 {
		t.Error("there is no history")
	}
	paced := []string{"limit", "upload", "ada", "--take", "3", "--limit", "upload=60/1h/4", "--limit", "login=5/15m"}
	if left := s.json(paced...)[0]; left["remaining"] != 1.0 || left["resetAfterSeconds"].(float64) > 180 {
		t.Errorf("what is left: %v", left)
	}
	if _, _, err := s.try(paced...); !errors.Is(err, ports.ErrRateLimited) {
		t.Errorf("too many at once: %v", err)
	}
	for _, wrong := range [][]string{
		{"limit", "send", "ada"},
		{"limit", "send", "ada", "--limit", "send=0/1h"},
		{"limit", "send", "ada", "--limit", "send=1/1h", "--take", "2"},
		{"limit", "send", "ada", "--limit", "send=1/1h/-1"},
	} {
		if _, _, err := s.try(wrong...); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, wrong := range []string{"", "send", "send=1", "send=x/1m", "send=1/x", "send=1/1m/x", "send=1/1m/1/1", "=/"} {
		if _, _, err := s.try("limit", "send", "ada", "--limit", wrong); err == nil {
			t.Errorf("--limit %q is taken", wrong)
		}
	}
	if _, _, err := s.try("typing", "--chat", "c"); err == nil {
		t.Error("typing without a user is taken")
	}
}

func TestALimitThatFailsOpenOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	args := []string{"limit", "upload", "ada", "--take", "1", "--limit", "upload=5/1h"}
	if err := redistest.Shared(t).Client(t).RPush(t.Context(), s.base[1]+":ratelimit:upload:ada", "x").Err(); err != nil {
		t.Fatal(err)
	}
	for _, closed := range [][]string{args, append(args, "--on-failure", "closed")} {
		if _, _, err := s.try(closed...); !errors.Is(err, ports.ErrForeignValue) {
			t.Errorf("%q: %v", closed, err)
		}
	}
	open := append(args, "--on-failure", "open")
	if out := s.do(open...); out != "allowed: the limit could not be checked\n" {
		t.Errorf("open prints %q", out)
	}
	if view := s.json(open...)[0]; view["allowed"] != true || view["unchecked"] != true {
		t.Errorf("open: %v", view)
	}
	if _, _, err := s.try(append(args, "--on-failure", "ajar")...); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("ajar: %v", err)
	}
}

// TestLimits_OfTheService are the library's, except those that the command line names; the help shows them as flags take them.
func TestLimits_OfTheService(t *testing.T) {
	var shown limits
	for text := range strings.SplitSeq(limitTexts(app.ServiceLimits()), ", ") {
		if err := shown.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	if !maps.Equal(map[string]app.Limit(shown), app.ServiceLimits()) {
		t.Errorf("the help shows %v", limitTexts(app.ServiceLimits()))
	}
	var given limits
	for _, text := range []string{"send=off", "edit=1/1m", "upload=2/1h"} {
		if err := given.Set(text); err != nil {
			t.Fatal(err)
		}
	}
	want := app.ServiceLimits()
	delete(want, app.LimitSend)
	want[app.LimitEdit], want["upload"] = app.Limit{Rate: 1, Per: time.Minute}, app.Limit{Rate: 2, Per: time.Hour}
	if got := given.over(app.ServiceLimits()); !maps.Equal(got, want) {
		t.Errorf("the service has %v, want %v", got, want)
	}
	out, _, err := newShell(t).try("serve", "--help")
	if err != nil || !strings.Contains(out, "react=120/1m/30") {
		t.Errorf("help is %q, error %v", out, err)
	}
}
