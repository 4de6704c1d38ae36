package main

import (
	"errors"
	"strings"
	"testing"

	"chatcore/domain"
)

func TestSessionCommands(t *testing.T) {
	s := newShell(t)
	opened := s.json("session", "open", "ada", "--device", "phone", "--name", "Ada's phone")[0]
	id, token := opened["sessionId"].(string), opened["token"].(string)
	if id == "" || len(token) < 43 {
		t.Fatalf("opened %v", opened)
	}
	if out := s.do("session", "open", "ada"); !strings.Contains(out, "token ") {
		t.Errorf("open prints %q", out)
	}
	list := s.json("session", "list", "ada")
	if len(list) != 2 || list[0]["sessionId"] != id || list[0]["deviceId"] != "phone" || list[0]["token"] != nil {
		t.Errorf("listed %v", list)
	}
	if out := s.do("session", "list", "ada"); !strings.Contains(out, id) || !strings.Contains(out, "Ada's phone") || strings.Contains(out, token) {
		t.Errorf("list prints %q", out)
	}
	if out := s.do("session", "close", "ada", id); out != "closed 1 session\n" {
		t.Errorf("close prints %q", out)
	}
	if _, _, err := s.try("session", "close", "ada", id); !errors.Is(err, domain.ErrNoSession) || !strings.Contains(err.Error(), "session list") {
		t.Errorf("close again: %v", err)
	}
	if closed := s.json("session", "close", "ada", "--all"); closed[0]["closed"] != 1.0 {
		t.Errorf("closed %v", closed)
	}
	if out := s.do("session", "list", "ada"); out != "ada has no session\n" {
		t.Errorf("list prints %q", out)
	}
	for _, args := range [][]string{{"close", "ada"}, {"close", "ada", "x", "--all"}, {"open"}, {"open", "a b"}, {"list"}, {"verify"}, {"rotate", "nonsense"}} {
		if _, _, err := s.try(append([]string{"session"}, args...)...); err == nil {
			t.Errorf("%q succeeds", args)
		}
	}
}
