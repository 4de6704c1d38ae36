package main

import (
	"slices"
	"strings"
	"testing"

	"chatcore"

	"chatcore/domain"
	"chatcore/tests/wait"
)

func TestADepartureOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.run((*chatcore.Core).SubscribeBuiltins)
	s.do("chat", "create", "garden", "--as", "ada", "--member", "ben", "--member", "cem")
	s.do("chat", "create", "notes", "--as", "ada")
	s.do("chat", "create", "sea", "--as", "ben", "--member", "ada")
	for _, chat := range []string{"garden", "notes", "sea"} {
		wait.Until(t, "the chats of ada", func() bool { return slices.Contains(columns(s.json("chat", "list", "--user", "ada"), "chatId"), chat) })
	}
	s.unsure("", "user", "depart", "ada")
	s.fails(domain.ErrInvalid, "user", "depart", "ada", "--yes", "--successor", "cem")
	left := columns(s.json("user", "depart", "ada", "--yes", "--successor", "garden=cem"), "chatId", "successorId", "closed")
	slices.Sort(left)
	if want := []string{"garden cem false", "notes <nil> true", "sea <nil> false"}; !slices.Equal(left, want) {
		t.Errorf("left are %q, want %q", left, want)
	}
	if out := s.do("user", "depart", "ada", "--yes"); out != "user ada: 0 chats left, 0 failed, 0 sessions closed\n" {
		t.Errorf("again: %q", out)
	}
}

func TestBlockedUsersOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.run((*chatcore.Core).SubscribeBuiltins)
	s.do("block", "eve", "--as", "ada")
	wait.Until(t, "the blocked users of ada", func() bool {
		return slices.Equal(columns(s.json("blocked", "ada"), "userId", "blockedId", "chatId"), []string{"ada eve " + string(domain.DirectID("ada", "eve"))})
	})
	s.fails(domain.ErrBlocked, "chat", "create", "c", "--as", "eve", "--member", "ada", "--check-blocks")
	s.do("unblock", "eve", "--as", "ada")
	wait.Until(t, "that ada blocks nobody", func() bool { return s.do("blocked", "ada") == "ada blocks nobody\n" })
	s.do("chat", "create", "c", "--as", "eve", "--member", "ada", "--check-blocks", "--set", "topic=1")
	if out := s.do("chat", "metadata", "c"); out != "KEY    VALUE\ntopic  1\n" {
		t.Errorf("the metadata is %q", out)
	}
	s.fails(domain.ErrCapReached, "chat", "create", "d", "--as", "eve", "--set", `a="`+strings.Repeat("x", 4<<10)+`"`)
}
