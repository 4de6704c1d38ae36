package main

import (
	"errors"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
	"chatcore/tests/redistest"
)

// atLevel1 removes the additions of later levels from a log, as programs before them made logs.
func atLevel1(t *testing.T, client *goredis.Client, tags ...string) {
	t.Helper()
	for _, tag := range tags {
		key := "cc:{" + tag + "}:id"
		id, _, _ := strings.Cut(client.Get(t.Context(), key).Val(), ";")
		if err := client.Set(t.Context(), key, id, 0).Err(); err != nil || id == "" {
			t.Fatal(id, err)
		}
	}
	for _, index := range client.Keys(t.Context(), "cc:{*}:*:x").Val() {
		for field, value := range client.HGetAll(t.Context(), index).Val() {
			parts := strings.Split(value, ":")
			switch {
			case field == " ":
				client.HSet(t.Context(), index, field, parts[0]+":"+parts[1])
			case strings.HasPrefix(field, " r"):
				client.HDel(t.Context(), index, field) // no event has moved it
			}
		}
	}
	if err := client.HDel(t.Context(), "cc:log", "level", "names").Err(); err != nil {
		t.Fatal(err)
	}
}

func TestUpgrade_OnTheCommandLine(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	client := server.Client(t)
	s := &shell{t: t, base: []string{"--redis-url", server.URL()}}
	if _, _, err := s.try("upgrade"); !errors.Is(err, domain.ErrInvalid) || client.DBSize(t.Context()).Val() > 0 {
		t.Errorf("without a log: %v", err)
	}
	s.do("chat", "create", "c", "--as", "ada", "--partitions", "2")
	keys := client.Keys(t.Context(), "cc:{*}:id").Val()
	var tags []string
	for _, key := range keys {
		tags = append(tags, key[4:strings.Index(key, "}")])
	}
	atLevel1(t, client, tags...)

	if out := s.do("doctor"); !strings.Contains(out, "at level 1; this program knows up to 4") || !strings.Contains(out, "core upgrade, once every program") {
		t.Errorf("the doctor says:\n%s", out)
	}
	if _, _, err := s.try("upgrade", "--rewrite"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("a rewrite below level 3: %v", err)
	}
	s.do("send", "c", "on level 1", "--as", "ada") // it finds the number of partitions
	out, errs, err := s.try("upgrade")
	if !errors.Is(err, errNotConfirmed) || !strings.Contains(out, "partition 1: level 1 to 4") || !strings.Contains(errs, "do not know level 4") {
		t.Errorf("%v\n%s%s", err, out, errs)
	}
	if strings.Contains(client.Get(t.Context(), keys[0]).Val(), ";") {
		t.Error("something was raised without --yes")
	}
	// It is interrupted after the first partition.
	raised := client.Get(t.Context(), keys[0]).Val() + ";4;2;fnv1a-64;"
	client.Set(t.Context(), keys[0], raised, 0)
	if out := s.do("upgrade", "--yes"); strings.Count(out, "\n") != 1 || client.Get(t.Context(), keys[1]).Val() != raised {
		t.Errorf("the rest: %s", out)
	}
	if _, errs, err := s.try("upgrade", "--yes"); err != nil || !strings.Contains(errs, "is at level 4 already") {
		t.Errorf("once more: %v, %s", err, errs)
	}
	if _, _, err := s.try("upgrade", "--to", "1", "--yes"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("to a lower level: %v", err)
	}
	if out := s.do("doctor", "--json"); !strings.Contains(out, `"level":4`) {
		t.Errorf("the doctor says:\n%s", out)
	}

	if out := s.do("upgrade", "--rewrite", "--json"); !strings.Contains(out, `"chats":1,"segments":0,"rewritten":0`) {
		t.Errorf("the rewrite says:\n%s", out)
	}
	if _, _, err := s.try("upgrade", "--rewrite", "--to", "3"); err == nil {
		t.Error("a level is accepted beside a rewrite")
	}

	// Names: this program has no settings for them, and takes those of the log.
	if _, _, err := s.try("upgrade", "--name", "Session", "--yes"); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("a name without a value: %v", err)
	}
	s.do("upgrade", "--name", "Session=s:", "--name", "Stream=events", "--yes")
	s.do("session", "open", "ada")
	s.do("send", "c", "on other names", "--as", "ada")
	if n := len(client.Keys(t.Context(), "s:ada:*").Val()); n != 1 || len(client.Keys(t.Context(), "events:*").Val()) == 0 {
		t.Errorf("%d sessions; keys %v", n, client.Keys(t.Context(), "*").Val())
	}
	// cc:log is lost.
	client.Del(t.Context(), "cc:log")
	if out := s.do("doctor"); strings.Contains(out, "there is no log") {
		t.Errorf("the doctor says:\n%s", out)
	}
	client.Del(t.Context(), "cc:log")
	if out := s.do("history", "c"); !strings.Contains(out, "on other names") {
		t.Errorf("history says:\n%s", out)
	}
}
