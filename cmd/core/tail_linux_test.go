package main

import (
	"os"
	"strings"
	"testing"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// TestTail_ReadsOnAfterASlowOutput fills the queue of the feed while the output is not read.
func TestTail_ReadsOnAfterASlowOutput(t *testing.T) {
	const sent = 200
	s := newShell(t)
	s.do("chat", "create", "c", "--as", "ada")
	core, err := chatcore.New(t.Context(), s.config())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	read, write := smallPipe(t)
	defer func() { _ = read.Close() }()
	var errs buffer
	cmd := s.program("tail", "--chat", "c", "--from", "1", "--json", "--feeds-queue-count", "4")
	cmd.Stdout, cmd.Stderr = write, &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = write.Close()
	wait.Until(t, "the tail prints", func() bool { return unread(t, read) > 0 })
	for range sent {
		if _, err := core.Chats.Send(t.Context(), domain.Send{Chat: "c", Actor: "ada", Content: strings.Repeat("x", os.Getpagesize()/8)}); err != nil {
			t.Fatal(err)
		}
	}
	var out buffer
	go func() {
		var block [4096]byte
		for {
			n, err := read.Read(block[:])
			_, _ = out.Write(block[:n])
			if err != nil {
				return
			}
		}
	}()
	upTo(t, &out, 1, sent+1)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v, printed was\n%s", err, errs.String())
	}
}
