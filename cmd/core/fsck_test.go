package main

import (
	"errors"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// TestFsck checks a log from the command line, before and after it is damaged.
func TestFsck(t *testing.T) {
	s := newShell(t)
	for _, chat := range []string{"garden", "attic"} {
		s.do("chat", "create", chat, "--as", "ada", "--member", "ben")
		s.do("send", chat, "x", "--as", "ada")
	}
	if out := s.do("fsck"); out != "no contradictions\n" {
		t.Errorf("a sound log: %q", out)
	}
	if found := s.json("fsck"); len(found) != 0 {
		t.Errorf("a sound log: %v", found)
	}
	if _, _, err := s.try("fsck", "--chat", "nowhere"); !errors.Is(err, domain.ErrChatNotFound) {
		t.Errorf("a chat that is not there: %v", err)
	}
	if _, _, err := s.try("fsck", "--chat", "a b"); err == nil {
		t.Error("an id that no chat has is taken")
	}
	options, err := goredis.ParseURL(redistest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	defer func() { _ = client.Close() }()
	damage := func(suffix string) {
		t.Helper()
		keys, err := client.Keys(t.Context(), s.base[1]+":*"+suffix).Result()
		if err == nil && len(keys) == 1 {
			err = client.Del(t.Context(), keys...).Err()
		}
		if err != nil || len(keys) != 1 {
			t.Fatal(keys, err)
		}
	}
	damage(":garden:u")
	out, _, err := s.try("fsck")
	if !errors.Is(err, errContradictions) || !strings.Contains(out, `members in chat "garden"`) || !strings.Contains(out, "--repair: ") {
		t.Errorf("%v\n%s", err, out)
	}
	if out := s.do("fsck", "--chat", "attic"); out != "no contradictions\n" {
		t.Errorf("the other chat: %q", out)
	}
	out, _, err = s.try("fsck", "--chat", "garden", "--repair", "--json")
	if !errors.Is(err, errContradictions) || !strings.Contains(out, `"kind":"members"`) || !strings.Contains(out, `"repaired":true`) {
		t.Errorf("%v\n%s", err, out)
	}
	if out := s.do("fsck"); out != "no contradictions\n" {
		t.Errorf("after the repair: %q", out)
	}
	damage(":attic:0")
	out, _, err = s.try("fsck", "--repair")
	if !errors.Is(err, errContradictions) || !strings.Contains(out, "cannot be repaired: ") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestFsck_Identity checks that the way out which a failed opening names is one.
func TestFsck_Identity(t *testing.T) {
	s := newShell(t)
	for _, chat := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} { // in both partitions
		s.do("chat", "create", chat, "--as", "ada")
	}
	options, err := goredis.ParseURL(redistest.Shared(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	client := goredis.NewClient(options)
	defer func() { _ = client.Close() }()
	keys := func(suffix string) []string {
		t.Helper()
		found, err := client.Keys(t.Context(), s.base[1]+":cc:*"+suffix).Result()
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	check := func(want string, args ...string) {
		t.Helper()
		out, _, err := s.try(append([]string{"fsck"}, args...)...)
		if !errors.Is(err, errContradictions) || !strings.Contains(out, want) {
			t.Errorf("core fsck %v: %v\n%s; want %q", args, err, out, want)
		}
	}
	for _, id := range keys(":id") {
		if err := client.Del(t.Context(), id).Err(); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.try("history", "a"); !errors.Is(err, ports.ErrLogLost) || !strings.Contains(err.Error(), "core fsck") {
			t.Errorf("without the identity of a partition: %v", err)
		}
		check("--repair: it gets the identity")
		check("repaired: it gets the identity", "--repair")
		s.do("history", "a")
	}
	if err := client.Del(t.Context(), s.base[1]+":cc:log").Err(); err != nil {
		t.Fatal(err)
	}
	check("repaired: it is written anew", "--repair")
	if out := s.do("fsck"); out != "no contradictions\n" {
		t.Errorf("after the repairs: %q", out)
	}

	lost := keys(":id")[0]
	for _, key := range keys("") {
		if strings.HasPrefix(key, strings.TrimSuffix(lost, "id")) {
			if err := client.Del(t.Context(), key).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := client.Del(t.Context(), s.base[1]+":message-delivery-stream:"+strings.TrimSuffix(strings.TrimPrefix(lost, s.base[1]+":cc:"), ":id")).Err(); err != nil {
		t.Fatal(err)
	}
	check("cannot be repaired: the partition has no key of the log", "--repair")
}
