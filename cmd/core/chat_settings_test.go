package main

import (
	"slices"
	"strings"
	"testing"

	"chatcore/domain"
)

func TestPinsOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--member", "ben")
	for _, id := range []string{"m1", "m2", "m3"} {
		s.do("send", "c", "hello "+id, "--as", "ada", "--id", id)
	}
	s.fails(domain.ErrForbidden, "pin", "c", "m1", "--as", "ben")
	s.do("pin", "c", "m3", "--as", "ada")
	s.do("pin", "c", "m1", "--as", "ada")
	if pins, want := columns(s.json("history", "c", "--pins"), "messageId"), []string{"m3", "m1"}; !slices.Equal(pins, want) {
		t.Errorf("the pins are %q, want %q", pins, want)
	}
	s.do("unpin", "c", "m3", "--as", "ada")
	s.do("delete", "c", "m1", "--as", "ada")
	if out := s.do("history", "c", "--pins"); out != "chat c has no such pinned messages\n" {
		t.Errorf("without pins: %q", out)
	}
	if out := s.do("history", "c", "--changes"); !strings.Contains(out, "ada pins m3") || !strings.Contains(out, "ada unpins m3") || !strings.Contains(out, "hello m2") {
		t.Errorf("with changes: %q", out)
	}
	s.do("read", "c", "m2", "--as", "ben")
	if readers := columns(s.json("history", "c", "--read-by", "m2"), "userId"); !slices.Equal(readers, []string{"ben"}) {
		t.Errorf("read by %q", readers)
	}
	if out := s.do("history", "c", "--read-by", "m3"); out != "nobody else has read the message\n" {
		t.Errorf("read by nobody: %q", out)
	}
}

func TestSettingsOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--member", "ben")
	s.do("send", "c", "hello", "--as", "ada", "--id", "m1")
	s.do("chat", "set-settings", "c", "--as", "ben", "--notify", "mentions", "--mute", "8h", "--favourite", "--hide", "untilMessage", "--unread-from", "m1")
	settings := columns(s.json("chat", "settings", "c", "ben"), "notify", "favourite", "hidden", "unreadSeq")
	if want := []string{"mentions true untilMessage 3"}; !slices.Equal(settings, want) {
		t.Errorf("the settings are %q, want %q", settings, want)
	}
	if out := s.do("chat", "settings", "c", "ben"); !strings.Contains(out, "muted until") || !strings.Contains(out, "unread from seq 3") {
		t.Errorf("the settings are %q", out)
	}
	s.do("chat", "set-settings", "c", "--as", "ben", "--mute", "0", "--favourite=false", "--hide", "shown", "--unread-from", "")
	if out, want := s.do("chat", "settings", "c", "ben"), "notify mentions  favourite false  hidden shown\n"; out != want {
		t.Errorf("afterwards they are %q, want %q", out, want)
	}
	for _, wrong := range [][]string{{"--notify", "some"}, {"--hide", "never"}, {}} {
		s.fails(domain.ErrInvalid, append([]string{"chat", "set-settings", "c", "--as", "ben"}, wrong...)...)
	}
	s.fails(domain.ErrNotMember, "chat", "set-settings", "c", "--as", "eve", "--favourite")
}
