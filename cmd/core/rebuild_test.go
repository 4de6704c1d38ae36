package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/foldcheck"
	"chatcore/tests/redistest"
)

func TestRebuildGivesEverythingAgain(t *testing.T) {
	s := newShell(t)
	var r record
	s.run(func(core *chatcore.Core) error {
		return core.Subscribe("g", chatcore.On(r.take), chatcore.OnPoison(chatcore.Park))
	})
	chats := []domain.ChatID{"a", "b", "c", "d", "e"}
	for _, chat := range chats {
		s.say(string(chat), "one", "two", "three")
	}
	s.say("parked", "bad", "after")
	for _, chat := range chats {
		r.until(t, chat, "[1 2 3 4]")
	}
	eventually(t, "the letter is there", func() bool { return len(s.letters("g")) == 1 })
	s.unsure("group g would begin again with the first event of every chat", "rebuild", "g")
	if n := len(s.letters("g")); n != 1 {
		t.Errorf("without --yes there are %d dead letters", n)
	}
	out := s.do("rebuild", "g", "--yes", "--wait")
	for _, text := range []string{
		"group g begins again with the first event of every chat", "its dead letters are deleted: 1 dead letter, 1 chat parked",
		"done: 2 of 2 partitions looked through, 0 chats behind, 0 failing, 1 parked, 1 dead letter", "core deadletters list g shows",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("%q is not said:\n%s", text, out)
		}
	}
	r.mend()

	progress := s.json("rebuild", "g", "--yes", "--wait")
	for _, v := range progress {
		if v["group"] != "g" || v["partitions"] != 2.0 {
			t.Errorf("progress %v", v)
		}
	}
	if last := progress[len(progress)-1]; last["state"] != "done" || last["partitionsWalked"] != 2.0 || last["behind"] != 0.0 || last["parked"] != 0.0 || last["deadLetters"] != 0.0 {
		t.Errorf("at the end it is %v", last)
	}
	for _, chat := range chats { // when it is done, so is every delivery
		if got := r.of(chat); got != "[1 2 3 4 1 2 3 4 1 2 3 4]" {
			t.Errorf("of chat %s came %s", chat, got)
		}
	}
	if got := r.of("parked"); got != "[1 1 1 2 3]" {
		t.Errorf("of the parked chat came %s", got)
	}

	if out := s.do("rebuild", "g", "--yes", "--wait"); !strings.Contains(out, "done: 2 of 2 partitions") || strings.Contains(out, "dead letter") {
		t.Errorf("without dead letters it says\n%s", out)
	}
	if out := s.do("rebuild", "g", "--yes"); !strings.Contains(out, "core groups list shows how far it is") {
		t.Errorf("without waiting it says\n%s", out)
	}
	r.until(t, "a", "[1 2 3 4 1 2 3 4 1 2 3 4 1 2 3 4 1 2 3 4]")
	s.refused(chatcore.ErrGroupNotFound, "core groups list", "rebuild", "nobody", "--yes")
}

func TestRebuildOfAGroupThatNobodyRunsIsLeftToTheNext(t *testing.T) {
	s := newShell(t)
	var r record
	subscribe := func(core *chatcore.Core) error {
		return core.Subscribe("g", chatcore.On(r.take), chatcore.OnPoison(chatcore.Park))
	}
	p := s.run(subscribe)
	s.say("c", "one")
	s.say("parked", "bad")
	r.until(t, "c", "[1 2]")
	eventually(t, "the letter is there", func() bool { return len(s.letters("g")) == 1 })
	p.end()
	s.unsure("group g would begin again with the first event of every chat", "rebuild", "g")
	if n := len(s.letters("g")); n != 1 {
		t.Errorf("without --yes there are %d dead letters", n)
	}
	out := s.do("rebuild", "g", "--yes", "--wait")
	for _, text := range []string{"its dead letters are deleted: 1 dead letter, 1 chat parked", "no process runs it now"} {
		if !strings.Contains(out, text) {
			t.Errorf("%q is not said:\n%s", text, out)
		}
	}
	if got := s.json("rebuild", "g", "--yes"); len(got) != 1 || got[0]["state"] != "left" || got[0]["group"] != "g" || got[0]["partitions"] != 2.0 {
		t.Errorf("it says %v", got)
	}
	if g := s.group("g"); g["catchesUp"] != true || g["deadLetters"] != 0.0 || g["parked"] != 0.0 {
		t.Errorf("the group is %v", g)
	}
	if out := s.do("groups", "list"); !strings.Contains(out, " 0/0 ") {
		t.Errorf("that all chats are to be looked at is not shown:\n%s", out)
	}
	r.mend()
	s.run(subscribe)
	r.until(t, "c", "[1 2 1 2]")
	r.until(t, "parked", "[1 1 2]")
	eventually(t, "it is done", func() bool { return s.group("g")["catchesUp"] == false })
}

// TestARebuildIsFollowedUntilThereIsNothingToFollow has a rebuild that does not end, because its handler blocks.
func TestARebuildIsFollowedUntilThereIsNothingToFollow(t *testing.T) {
	type scene struct {
		s         *shell
		client    *goredis.Client
		p         *program
		interrupt context.CancelFunc
	}
	for _, tc := range []struct {
		name  string
		upset func(scene)
		want  error
		words string
	}{
		{"interrupted", func(sc scene) { sc.interrupt() }, context.Canceled, "goes on"},
		{"deleted", func(sc scene) { sc.s.do("groups", "delete", "g", "--yes") }, chatcore.ErrGroupNotFound, "core groups list"},
		{"flushed", func(sc scene) { sc.client.FlushAll(sc.s.t.Context()) }, ports.ErrLogLost, "run the command again"},
		{"left alone", func(sc scene) { sc.p.stop() }, errLeft, "the next one that does"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			server := redistest.Start(t)
			t.Setenv("REDIS_URL", server.URL())
			client := goredis.NewClient(&goredis.Options{Addr: server.Addr()})
			t.Cleanup(func() { _ = client.Close() })
			s := &shell{t: t, base: []string{"--namespace", "own", "--partitions", "2"}}
			var r record
			p := s.run(func(core *chatcore.Core) error { return core.Subscribe("g", chatcore.On(r.take)) })
			s.say("c", "one")
			r.until(t, "c", "[1 2]")
			held := make(chan struct{})
			r.hold(held)
			t.Cleanup(func() { close(held) })

			var out buffer
			following := newRebuild(&cli{out: &out}, s.groups(), "g")
			following.every, following.patience = 5*time.Millisecond, 2*lease
			ctx, interrupt := context.WithCancel(t.Context())
			defer interrupt()
			ended := make(chan error, 1)
			go func() { ended <- advised(following.run(ctx, true, true)) }()
			out.until(t, "2 of 2 partitions looked through, 1 chat behind")
			tc.upset(scene{s, client, p, interrupt})
			select {
			case err := <-ended:
				if !errors.Is(err, tc.want) || !strings.Contains(fmt.Sprint(err), tc.words) {
					t.Errorf("it ends with %v, want %v and %q", err, tc.want, tc.words)
				}
			case <-time.After(patience):
				t.Errorf("it does not end; it says\n%s", out.String())
			}
			if strings.Contains(out.String(), "done") {
				t.Errorf("it was not done, and says\n%s", out.String())
			}
		})
	}
}

// groups are those of the shell's command lines.
func (s *shell) groups() chatcore.Groups {
	s.t.Helper()
	core, err := chatcore.New(s.t.Context(), s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = core.Close() })
	return core.Groups()
}

// watched signals when a read of the groups has failed.
type watched struct {
	chatcore.Groups
	failed chan error
}

func (w watched) List(ctx context.Context) ([]chatcore.GroupState, error) {
	list, err := w.Groups.List(ctx)
	if err != nil {
		select {
		case w.failed <- err:
		default:
		}
	}
	return list, err
}

// TestARebuildIsFollowedThroughAnOutage has Redis away in the middle.
func TestARebuildIsFollowedThroughAnOutage(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	t.Setenv("REDIS_URL", server.URL())
	s := &shell{t: t, base: []string{"--namespace", "own", "--partitions", "2"}}
	var r record
	s.run(func(core *chatcore.Core) error { return core.Subscribe("g", chatcore.On(r.take)) })
	s.say("c", "one")
	r.until(t, "c", "[1 2]")
	held := make(chan struct{})
	r.hold(held)
	var out buffer
	groups := watched{s.groups(), make(chan error, 1)}
	following := newRebuild(&cli{out: &out}, groups, "g")
	ended := make(chan error, 1)
	go func() { ended <- following.run(t.Context(), true, true) }()
	out.until(t, "1 chat behind")
	server.Stop()
	select {
	case err := <-groups.failed:
		if !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("without Redis a look fails with %v", err)
		}
	case <-time.After(patience):
		t.Error("no look fails without Redis")
	}
	server.Restart(t)
	close(held)
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(2 * patience):
		t.Error("it does not end")
	}
	out.until(t, "done")
}

// TestRebuild_RestoresDeletedViews by the command line, under two programs that run the built-in subscribers, while messages are sent.
func TestRebuild_RestoresDeletedViews(t *testing.T) {
	s := newShell(t)
	builtins := func(core *chatcore.Core) error { return core.SubscribeBuiltins() }
	s.run(builtins)
	s.run(builtins)
	checked, err := chatcore.New(t.Context(), s.config())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = checked.Close() })
	client := redistest.Shared(t).Client(t)
	namespace := s.base[1]
	same := func(what string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		differences, err := foldcheck.Await(ctx, checked)
		if err != nil || len(differences) > 0 {
			t.Fatalf("%s: %q, error %v", what, differences, err)
		}
	}
	for i := range 6 {
		s.do("chat", "create", fmt.Sprint("c", i), "--as", "ada", "--member", "ben")
		s.do("send", fmt.Sprint("c", i), "x", "--as", "ada")
	}
	same("at first")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				if _, err := checked.Chats.Send(t.Context(), domain.Send{Chat: "c0", Actor: "ada", Content: "more"}); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for _, pattern := range []string{":cc:user-chats:*", ":chat:unread:*", ":cc:{*:cc:user-chats:*}:v", ":cc:{*:chat:unread:*}:v"} {
		keys, err := client.Keys(t.Context(), namespace+pattern).Result()
		if err != nil || len(keys) == 0 {
			t.Errorf("%s: keys %q, error %v", pattern, keys, err)
		}
		client.Del(t.Context(), keys...)
	}
	for _, group := range []string{chatcore.BuiltinGroup} {
		s.do("rebuild", group, "--yes")
	}
	close(stop)
	<-stopped
	same("after the rebuild")
	s.do("rebuild", chatcore.BuiltinGroup, "--yes", "--wait")
	same("after another")
}
