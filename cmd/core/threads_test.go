package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"chatcore/domain"
)

func TestThreadsOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--title", "Garden", "--member", "ben", "--member", "cem")
	s.do("send", "c", "Who comes?", "--as", "ada", "--id", "m1")
	s.do("send", "c", "I do", "--as", "ben", "--id", "r1", "--thread", "m1", "--mention", "ada", "--mention", "cem")
	s.do("send", "c", "So do I", "--as", "cem", "--id", "r2", "--thread", "m1", "--in-chat")
	s.do("send", "c", "all of us", "--as", "ada", "--id", "m2", "--all")
	s.fails(domain.ErrThread, "send", "c", "x", "--as", "ben", "--thread", "r1")
	s.fails(domain.ErrForbidden, "send", "c", "x", "--as", "ben", "--here")

	if out := s.do("history", "c"); !strings.Contains(out, "thread of 2 replies") || strings.Contains(out, ": I do") || !strings.Contains(out, "So do I") {
		t.Errorf("the history is %q", out)
	}
	shown := columns(s.json("thread", "show", "c", "m1"), "messageId", "threadId", "replies")
	if want := []string{"m1 <nil> 2", "r2 m1 <nil>", "r1 m1 <nil>"}; !slices.Equal(shown, want) {
		t.Errorf("the thread is %q, want %q", shown, want)
	}
	page := s.json("thread", "show", "c", "m1", "--limit", "1")
	if rest := s.json("thread", "show", "c", "m1", "--cursor", fmt.Sprint(page[2]["next"])); len(rest) != 2 || rest[1]["messageId"] != "r1" {
		t.Errorf("after %v comes %v", page, rest)
	}
	list := func(user string, want ...string) {
		t.Helper()
		if got := columns(s.json("thread", "list", "c", "--user", user, "--followed"), "following", "unread"); !slices.Equal(got, want) {
			t.Errorf("%s has the threads %q, want %q", user, got, want)
		}
	}
	list("ada", "true 2")
	list("ben", "true 1")
	s.do("thread", "read", "c", "m1", "--as", "ada", "--reply", "r1")
	list("ada", "true 1")
	s.do("thread", "unfollow", "c", "m1", "--as", "ada")
	list("ada")
	s.do("thread", "follow", "c", "m1", "--as", "ada")
	list("ada", "true 0")
	if out := s.do("thread", "list", "c", "--user", "ada"); !strings.Contains(out, "m1") || !strings.Contains(out, "Who comes?") {
		t.Errorf("the list is %q", out)
	}

	unread := func(user, want string) {
		t.Helper()
		if got := columns(s.json("unread", user, "--chat", "c", "--mentions"), "unread", "mentions", "threadMentions"); !slices.Equal(got, []string{want}) {
			t.Errorf("%s has %q, want %q", user, got, want)
		}
	}
	unread("ben", "3 1 0")
	unread("cem", "1 1 0") // the reply has read the thread
	mentioning := func(want string, args ...string) {
		t.Helper()
		messages := s.json(append([]string{"history", "c", "--mentions-of", "cem"}, args...)...)
		if got := strings.Join(columns(messages, "messageId"), " "); got != want {
			t.Errorf("%q: cem is mentioned in %q, want %q", args, got, want)
		}
	}
	mentioning("m2")
	s.do("send", "c", "cem?", "--as", "ada", "--id", "m9", "--mention", "cem")
	mentioning("m2 m9")
	mentioning("m9", "--limit", "1")
	mentioning("r1", "--in-threads")
	s.do("delete", "c", "m9", "--as", "ada")
	mentioning("m2")
	s.do("edit", "c", "m2", "all of us", "--as", "ada", "--no-broadcast", "--mention", "cem")
	unread("ben", "3 0 0")
	unread("cem", "1 1 0")
	s.do("edit", "c", "m2", "all of us", "--as", "ada", "--no-mentions")
	unread("cem", "1 0 0")
	if _, _, err := s.try("unread", "ben", "--mentions"); err == nil {
		t.Error("mentions without a chat are counted")
	}
	raw := s.do("history", "c", "--raw")
	for _, text := range []string{"ben in the thread of m1: I do", "ada has read the thread of m1 up to seq", "ada sets following of the thread of m1 to unfollow"} {
		if !strings.Contains(raw, text) {
			t.Errorf("there is no %q in %q", text, raw)
		}
	}
}
