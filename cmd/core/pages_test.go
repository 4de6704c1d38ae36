package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/tests/wait"
)

// TestLists_InPages walks every list that has pages, by its JSON and by the text that names the next page, and gives each a wrong cursor and limit.
func TestLists_InPages(t *testing.T) {
	s := newShell(t)
	const chats = 5
	for i := range chats {
		s.do("chat", "create", fmt.Sprint("c", i), "--as", "ada", "--title", "T", "--member", "ben", "--member", "cem", "--member", fmt.Sprint("user-", i))
		s.do("send", fmt.Sprint("c", i), "hello\nworld", "--as", "ben")
	}
	s.run(func(core *chatcore.Core) error {
		return core.Subscribe("failing", chatcore.FromBeginning(), chatcore.On(func(context.Context, chatcore.Delivery[domain.MessageNew]) error {
			return chatcore.Permanent(errors.New("bad"))
		}))
	})
	wait.Until(t, "the dead letters", func() bool { return len(s.letters("failing")) == chats })
	_, _, stop := s.follow("serve")
	defer stop()
	wait.Until(t, "the chats are projected", func() bool {
		out, _, err := s.try("chat", "list", "--user", "ada", "--json")
		return err == nil && strings.Count(out, "\n") == chats
	})
	s.vote("c0", "poll", 5)
	for _, tc := range []struct {
		args, id string
		items    int
	}{
		{"chat list", "chatId", chats},
		{"chat list --user ada", "chatId", chats},
		{"chat members c0", "userId", 4},
		{"contacts ada", "contactId", 2 + chats},
		{"custom c0 poll", "eventId", 5},
		{"audit c0", "eventId", 10},
		{"audit c0 --user ada", "eventId", 9},
		{"deadletters list failing", "id", 5},
	} {
		args := strings.Fields(tc.args)
		all := s.json(args...)
		if len(all) != tc.items || all[0][tc.id] == nil {
			t.Errorf("core %s has %v", tc.args, all)
			continue
		}
		var paged []map[string]any
		texts := 0
		for cursor, first := "", true; first || cursor != ""; first = false {
			page := append(slices.Clone(args), "--limit", "2")
			if cursor != "" {
				page = append(page, "--cursor", cursor)
			}
			objects := s.json(page...)
			named := regexp.MustCompile(`(?m)^more: --cursor (.*)$`).FindStringSubmatch(s.do(page...))
			cursor = ""
			if next, is := objects[len(objects)-1]["next"].(string); is {
				cursor, objects = next, objects[:len(objects)-1]
			}
			if (len(named) > 0) != (cursor != "") || len(named) > 0 && strings.Trim(named[1], "'") != cursor {
				t.Errorf("core %s names the next page %q, its JSON %q", tc.args, named, cursor)
			}
			if len(objects) > 2 {
				t.Errorf("core %s --limit 2 has %d items", tc.args, len(objects))
			}
			paged, texts = append(paged, objects...), texts+1
		}
		for _, o := range slices.Concat(all, paged) {
			delete(o, "ageSeconds") // of two moments
		}
		sortBy(tc.id, all, paged)
		if !reflect.DeepEqual(paged, all) || texts < tc.items/2 {
			t.Errorf("core %s has in %d pages\n%v, at once\n%v", tc.args, texts, paged, all)
		}
		for flag, field := range map[string]string{"--cursor=nonsense": "cursor", "--limit=-1": "limit", fmt.Sprint("--limit=", app.MaxList+1): "limit"} {
			code, out, errs := s.exit(append(slices.Clone(args), flag, "--json")...)
			if code != exitUsage || out != "" || !strings.Contains(errs, `"code":"invalid"`) || !strings.Contains(errs, `"field":"`+field+`"`) {
				t.Errorf("core %s %s exits with %d: %s%s", tc.args, flag, code, out, errs)
			}
		}
	}
	if row := s.json("chat", "list", "--user", "ada", "--limit", "1")[0]; row["title"] != "T" || row["role"] != "owner" || row["unread"] != 1.0 ||
		row["lastMessage"].(map[string]any)["content"] != "hello\nworld" || row["userId"] != "ada" {
		t.Errorf("a chat of a user is %v", row)
	}
	if out := s.do("contacts", "nobody"); out != "nobody has no contacts\n" {
		t.Errorf("without contacts: %q", out)
	}
}

// sortBy sorts objects: not every list has an order.
func sortBy(id string, lists ...[]map[string]any) {
	for _, list := range lists {
		slices.SortFunc(list, func(a, b map[string]any) int { return strings.Compare(fmt.Sprint(a[id]), fmt.Sprint(b[id])) })
	}
}

// vote is a custom event.
type vote int

func (v vote) Custom() (domain.Custom, error) {
	return domain.Custom{Type: "team:vote", Version: 1, Data: fmt.Sprintf(`{"n":%d}`, v)}, nil
}

// vote records custom events of a poll.
func (s *shell) vote(chat domain.ChatID, poll domain.CustomID, n int) {
	s.t.Helper()
	core, err := chatcore.New(s.t.Context(), s.config())
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = core.Close() }()
	for i := range n {
		if _, err := core.Chats.Record(s.t.Context(), domain.Record{Chat: chat, Actor: "ada", Entity: poll, Event: vote(i)}); err != nil {
			s.t.Fatal(err)
		}
	}
}
