package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

// seqsOf returns the seqs of the events that a tail of a chat has printed as JSON.
func seqsOf(t *testing.T, out *buffer) (seqs []int) {
	t.Helper()
	for line := range strings.Lines(out.String()) {
		var event struct {
			Chat string `json:"chatId"`
			Seq  int    `json:"seq"`
		}
		if !strings.HasSuffix(line, "\n") {
			continue
		}
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if event.Seq > 0 {
			seqs = append(seqs, event.Seq)
		}
	}
	return seqs
}

// upTo waits until a tail has printed every seq from first to last, each once and in order.
func upTo(t *testing.T, out *buffer, first, last int) {
	t.Helper()
	wait.Until(t, fmt.Sprintf("seq %d is printed", last), func() bool {
		seqs := seqsOf(t, out)
		return len(seqs) > 0 && seqs[len(seqs)-1] >= last
	})
	seqs := seqsOf(t, out)
	for i, seq := range seqs {
		if seq != first+i {
			t.Fatalf("printed are the seqs %v, want %d to %d", seqs, first, last)
		}
	}
}

// TestTail_OfAChat prints what there is from a seq on, and then what comes, also what was appended while Redis was away, and nothing of another chat.
func TestTail_OfAChat(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	t.Setenv("REDIS_URL", server.URL())
	s := &shell{t: t}
	s.do("chat", "create", "c", "--as", "ada")
	s.do("chat", "create", "other", "--as", "ada")
	for range 3 {
		s.do("send", "c", "x", "--as", "ada")
	}
	out, _, stop := s.follow("tail", "--chat", "c", "--from", "2", "--json")
	upTo(t, out, 2, 4)
	s.do("send", "other", "y", "--as", "ada")
	s.do("send", "c", "x", "--as", "ada")
	upTo(t, out, 2, 5)
	server.Kill()
	server.Restart(t)
	for range 3 {
		s.do("send", "c", "x", "--as", "ada")
	}
	upTo(t, out, 2, 8)
	if strings.Contains(out.String(), `"other"`) {
		t.Errorf("printed is\n%s", out)
	}
	stop()

	live, errs, stop := s.follow("tail", "--chat", "new", "--json")
	errs.until(t, "chat new has no events yet")
	s.do("chat", "create", "new", "--as", "ada")
	upTo(t, live, 1, 1)
	stop()
}

// TestTail_OfAUser follows the chats that the user joins, until the removal.
func TestTail_OfAUser(t *testing.T) {
	s := newShell(t)
	_, serving, stopServing := s.follow("serve") // keeps the lists of chats
	defer stopServing()
	serving.until(t, "serving log")
	s.do("chat", "create", "c", "--as", "ada", "--member", "ben")
	wait.Until(t, "ben has the chat", func() bool { return len(s.json("chat", "list", "--user", "ben")) == 1 })
	out, errs, stop := s.follow("tail", "--user", "ben")
	wait.Until(t, "an event is shown", func() bool {
		s.do("send", "c", "hello", "--as", "ada")
		return strings.Contains(out.String(), "hello")
	})
	s.do("chat", "create", "later", "--as", "ada", "--member", "ben")
	errs.until(t, "following chat later from seq 2 on")
	s.do("send", "later", "welcome", "--as", "ada")
	out.until(t, "welcome")
	s.do("chat", "remove", "later", "ben", "--as", "ada")
	errs.until(t, "the user is no member of chat later any more")
	s.do("send", "later", "secret", "--as", "ada")
	s.do("send", "c", "last", "--as", "ada")
	out.until(t, "last")
	if strings.Contains(out.String(), "secret") {
		t.Errorf("shown is\n%s", out)
	}
	stop()
}

// TestTail_RefusesArguments names what is wrong.
func TestTail_RefusesArguments(t *testing.T) {
	s := newShell(t)
	for want, args := range map[string][]string{
		"--from needs --chat":    {"--from", "3"},
		"a seq from 1":           {"--chat", "c", "--from", "0"},
		"[chat user]":            {"--chat", "c", "--user", "ada"},
		"[chat group]":           {"--chat", "c", "--group", "g"},
		"unknown flag: --live":   {"--live"},
		"chatId has a space":     {"--chat", "a b"},
		"userId has a space":     {"--user", "a b"},
		"is 4294967296; allowed": {"--chat", "c", "--from", "4294967296"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		c := newCLI(&out, &errs)
		cmd := c.root() //nolint:contextcheck // commands have the context that executes them
		cmd.SetArgs(append(append([]string{"tail"}, args...), s.base...))
		err := cmd.ExecuteContext(ctx)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		} else if class := c.classOf(err); class.exit != exitUsage {
			t.Errorf("%q exits with %d", args, class.exit)
		}
		cancel()
	}
}
