package main

import (
	"slices"
	"strings"
	"testing"

	"chatcore/domain"
)

func TestRetentionOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	for range 3 {
		s.do("send", "c", "hello", "--as", "ada")
	}
	if out := s.do("retention", "status"); !strings.Contains(out, "(all others)  all") {
		t.Errorf("without policies the status is %q", out)
	}
	out := s.do("retention", "set", "c", "--max-messages", "2", "--max-age", "720h", "--as", "ops")
	if !strings.HasPrefix(out, "chat c keeps 720h0m0s, 2 messages from ") {
		t.Errorf("the policy is %q", out)
	}
	s.do("retention", "set", "d", "--keep-all", "--as", "ops")
	rows := columns(s.json("retention", "status", "--count"), "chatId", "maxAgeSeconds", "maxMessages", "setBy", "due", "applied")
	if want := []string{"<nil> <nil> <nil> <nil> 0 map[]", "c 2.592e+06 2 ops 0 map[]", "d <nil> <nil> ops 0 map[]"}; !slices.Equal(rows, want) {
		t.Errorf("the status is %q, want %q", rows, want)
	}
	s.fails(errUnsure, "retention", "run")
	if out := s.do("retention", "run", "--yes"); out != "0 messages erased in 0 chats; 0 messages stay under a legal hold\n" {
		t.Errorf("a run during the grace prints %q", out)
	}
	s.do("retention", "clear", "c", "--as", "ops")
	s.do("retention", "clear", "d", "--as", "ops")
	if all := s.json("retention", "status"); len(all) != 1 {
		t.Errorf("without policies there are %v", all)
	}
	s.fails(domain.ErrInvalid, "retention", "set", "c", "--max-age", "1s", "--as", "ops")
	if _, _, err := s.try("retention", "set", "c", "--as", "ops"); err == nil {
		t.Error("a policy without a bound is accepted")
	}
}

func TestHoldsOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	s.do("send", "c", "hello", "--as", "ada", "--id", "m1")
	if out := s.do("hold", "list"); out != "there are no legal holds\n" {
		t.Errorf("the list is %q", out)
	}
	for _, flags := range []string{"--chat c", "--user ada", "--log"} {
		of := strings.Fields(flags)
		s.do(append([]string{"hold", "add", "case-7", "--reason", "a claim", "--as", "legal"}, of...)...)
		s.fails(domain.ErrHoldExists, append([]string{"hold", "add", "case-7", "--reason", "another", "--as", "legal"}, of...)...)
		s.fails(domain.ErrLegalHold, "erase", "message", "c", "m1", "--as", "ops", "--yes")
		if rows := columns(s.json("hold", "list"), "holdId", "reason", "by"); !slices.Equal(rows, []string{"case-7 a claim legal"}) {
			t.Errorf("under %s the list is %q", flags, rows)
		}
		s.fails(errUnsure, append([]string{"hold", "remove", "case-7"}, of...)...)
		s.do(append([]string{"hold", "remove", "case-7", "--yes"}, of...)...)
		s.fails(domain.ErrHoldNotFound, append([]string{"hold", "remove", "case-7", "--yes"}, of...)...)
	}
	for _, flags := range []string{"", "--chat c --log", "--log=false"} {
		if _, _, err := s.try(append([]string{"hold", "add", "x", "--reason", "r", "--as", "legal"}, strings.Fields(flags)...)...); err == nil {
			t.Errorf("a hold with the flags %q is accepted", flags)
		}
	}
	s.do("erase", "message", "c", "m1", "--as", "ops", "--yes")
}
