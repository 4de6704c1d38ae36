package main

import (
	"fmt"
	"strings"
	"testing"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// TestGroups_Define defines a group, changes, pauses, resumes and deletes it.
func TestGroups_Define(t *testing.T) {
	s := newShell(t)
	s.do("chat", "create", "garden", "--as", "ada")
	made := s.json("groups", "create", "push", "--type", "message:new,poll:made", "--type", "chat:update", "--chat", "garden", "--from-beginning", "--unordered",
		"--attempts", "3", "--first-pause", "2s", "--max-pause", "1m", "--concurrency", "9")[0]
	for field, want := range map[string]any{
		"group": "push", "kind": "pull", "version": 1., "fromBeginning": true, "unordered": true, "onPoison": "skip", "attempts": 3., "firstPause": "2s", "maxPause": "1m0s",
		"concurrency": 9., "paused": false,
	} {
		if made[field] != want {
			t.Errorf("%s is %v, want %v", field, made[field], want)
		}
	}
	if got := fmt.Sprint(made["eventTypes"], made["chatIds"]); got != "[message:new poll:made chat:update] [garden]" {
		t.Errorf("the filter is %s", got)
	}
	if out := s.do("groups", "update", "push", "--concurrency", "20", "--type", "", "--version", "1"); !strings.Contains(out, "group push is changed: version 2") {
		t.Error(out)
	}
	if out := s.do("groups", "pause", "push", "--reason", "it is down"); !strings.Contains(out, "group push is paused: version 3") {
		t.Error(out)
	}
	listed := s.group("push")
	definition, _ := listed["definition"].(map[string]any)
	for field, want := range map[string]any{"version": 3., "concurrency": 20., "attempts": 3., "paused": true, "pauseReason": "it is down", "eventTypes": nil} {
		if definition[field] != want {
			t.Errorf("%s is %v, want %v", field, definition[field], want)
		}
	}
	s.run(func(core *chatcore.Core) error { return core.Subscribe("own", chatcore.On((&record{}).take)) })
	table := s.do("groups", "list")
	rows := make(map[string]string)
	for line := range strings.Lines(table) {
		if fields := strings.Fields(line); len(fields) > 3 {
			rows[fields[0]] = strings.Join(fields[1:], " ")
		}
	}
	if !strings.HasPrefix(rows["push"], "pull yes: it is down") || !strings.HasPrefix(rows["own"], "code - ") {
		t.Error(table)
	}
	if out := s.do("groups", "resume", "push"); !strings.Contains(out, "group push is resumed: version 4") {
		t.Error(out)
	}

	s.refused(groups.ErrDefined, "core groups update", "groups", "create", "push")
	s.refused(chatcore.ErrGroupOfCode, "another name", "groups", "create", "own")
	s.refused(chatcore.ErrGroupOfCode, "own", "groups", "pause", "own")
	s.refused(groups.ErrNotDefined, `"nobody"; core groups list`, "groups", "resume", "nobody")
	s.refused(groups.ErrDefinitionChanged, "core groups list --json", "groups", "update", "push", "--concurrency", "5", "--version", "1")
	for words, args := range map[string][]string{
		"on-poison":   {"create", "x", "--on-poison", "wait"},
		"start-at":    {"create", "x", "--start-at", "yesterday"},
		"start":       {"create", "x", "--start-at", "2026-01-31T08:00:00Z", "--from-beginning"},
		"concurrency": {"update", "push", "--concurrency", "5000"},
		"eventTypes":  {"update", "push", "--type", "message"},
		"chatIds":     {"create", "x", "--chat", "a b"},
		"attempts":    {"create", "x", "--attempts", "-1"},
		"maxPause":    {"create", "x", "--max-pause", "25h"},
		"group":       {"create", "x y"},
	} {
		s.refused(domain.ErrInvalid, words, append([]string{"groups"}, args...)...)
	}
	s.do("groups", "delete", "push", "--yes")
	if g := s.group("push"); g != nil {
		t.Errorf("it is listed as %v", g)
	}
}
