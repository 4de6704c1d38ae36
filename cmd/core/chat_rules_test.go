package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"chatcore/domain"
	"chatcore/ports"
)

// columns returns some fields of the objects that a command prints, one text per object.
func columns(objects []map[string]any, fields ...string) (rows []string) {
	for _, object := range objects {
		var values []string
		for _, field := range fields {
			values = append(values, fmt.Sprint(object[field]))
		}
		rows = append(rows, strings.Join(values, " "))
	}
	return rows
}

// fails runs a command that ends with an error.
func (s *shell) fails(want error, args ...string) {
	s.t.Helper()
	if _, _, err := s.try(args...); !errors.Is(err, want) {
		s.t.Errorf("core %s: %v, want %v", strings.Join(args, " "), err, want)
	}
}

func TestTheRulesOfAChatOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--title", "Garden")
	s.fails(domain.ErrForbidden, "chat", "join", "c", "--as", "eve")
	s.do("chat", "policy", "c", "--as", "ada", "--public", "--allow", "post=admin")
	s.do("chat", "join", "c", "--as", "eve")
	s.fails(domain.ErrForbidden, "send", "c", "hello", "--as", "eve")
	s.do("chat", "policy", "c", "--as", "ada", "--allow", "post=default")
	s.do("send", "c", "hello", "--as", "eve")
	s.fails(domain.ErrInvalid, "chat", "policy", "c", "--as", "ada", "--allow", "fly=admin")
	s.fails(domain.ErrInvalid, "chat", "policy", "c", "--as", "ada", "--allow", "post=king")

	added := columns(s.json("chat", "add-all", "c", "ben", "eve", "--as", "ada"), "userId", "result")
	if want := []string{"ben added", "eve member"}; !slices.Equal(added, want) {
		t.Errorf("added are %q, want %q", added, want)
	}
	s.do("chat", "mute", "c", "ben", "--as", "ada", "--for", "1h", "--reason", "noise")
	s.fails(domain.ErrMuted, "send", "c", "hello", "--as", "ben")
	s.do("chat", "ban", "c", "eve", "--as", "ada")
	s.fails(domain.ErrBanned, "chat", "join", "c", "--as", "eve")
	inForce := columns(s.json("chat", "restrictions", "c"), "userId", "restriction", "byUserId", "reason")
	if want := []string{"eve ban ada <nil>", "ben mute ada noise"}; !slices.Equal(inForce, want) {
		t.Errorf("restrictions are %q, want %q", inForce, want)
	}
	s.do("chat", "lift", "c", "ben", "--as", "ada", "--mute")
	s.do("chat", "lift", "c", "eve", "--as", "ada", "--ban")
	if out := s.do("chat", "restrictions", "c"); out != "nobody is banned or muted in chat c\n" {
		t.Errorf("after both are lifted: %q", out)
	}
	s.do("send", "c", "hello", "--as", "ben")
	s.do("chat", "join", "c", "--as", "eve")
}

func TestADirectChatOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	opened, again := s.json("chat", "direct", "ben", "--as", "ada")[0], s.json("chat", "direct", "ada", "--as", "ben")[0]
	if opened["created"] != true || again["created"] != false || opened["chatId"] != again["chatId"] {
		t.Errorf("opened %v, again %v", opened, again)
	}
	chat := fmt.Sprint(opened["chatId"])
	s.do("block", "ada", "--as", "ben", "--reason", "spam")
	s.fails(domain.ErrBlocked, "send", chat, "hello", "--as", "ada")
	s.do("unblock", "ada", "--as", "ben")
	s.do("send", chat, "hello", "--as", "ada")
	s.do("chat", "direct", "ada", "--as", "ada") // notes to oneself
}

func TestTheMetadataOfAChatOnTheCommandLine(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada", "--title", "Garden")
	if out := s.do("chat", "metadata", "c"); out != "chat c has no metadata\n" {
		t.Errorf("at first: %q", out)
	}
	done := s.json("chat", "set-metadata", "c", "--as", "ada", "--set", `topic="Harvest"`, "--set", `limits={"b": 2, "a=": 1}`)[0]
	metadata := s.json("chat", "metadata", "c")
	keys := columns(metadata, "version", "key", "value")
	if want := []string{fmt.Sprint(done["seq"], " limits map[a=:1 b:2]"), fmt.Sprint(done["seq"], " topic Harvest")}; !slices.Equal(keys, want) {
		t.Errorf("the metadata is %q, want %q", keys, want)
	}
	s.do("chat", "set-metadata", "c", "--as", "ada", "--unset", "limits", "--if-version", fmt.Sprint(done["seq"]))
	if out := s.do("chat", "metadata", "c"); !strings.Contains(out, `topic  "Harvest"`) || strings.Contains(out, "limits") {
		t.Errorf("limits is removed: %q", out)
	}
	s.fails(ports.ErrConflict, "chat", "set-metadata", "c", "--as", "ada", "--unset", "topic", "--if-version", fmt.Sprint(done["seq"]))
	for _, wrong := range [][]string{{}, {"--set", "topic"}, {"--set", "topic=Harvest"}, {"--set", "a=1", "--set", "a=2"}, {"--set", "a b=1"}, {"--set", "a=1", "--unset", "a"}} {
		s.fails(domain.ErrInvalid, append([]string{"chat", "set-metadata", "c", "--as", "ada"}, wrong...)...)
	}
	s.fails(domain.ErrChatNotFound, "chat", "metadata", "absent")
}
