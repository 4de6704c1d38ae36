package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"chatcore"
	"chatcore/domain"
	"chatcore/tests/redistest"
)

// letters returns the output of deadletters list for a group.
func (s *shell) letters(group string) []map[string]any {
	s.t.Helper()
	return s.json("deadletters", "list", group)
}

// fail runs the groups parks and skips, has their handlers refuse the second message of each of some chats, and returns their deliveries.
func (s *shell) fail(chats ...string) (parks, skips *record) {
	s.t.Helper()
	parks, skips = &record{}, &record{}
	s.run(func(core *chatcore.Core) error {
		return errors.Join(
			core.Subscribe("parks", chatcore.On(parks.take), chatcore.OnPoison(chatcore.Park)),
			core.Subscribe("skips", chatcore.On(skips.take)),
		)
	})
	for _, chat := range chats {
		s.say(chat, "good", "bad", "after")
	}
	for _, chat := range chats {
		parks.until(s.t, domain.ChatID(chat), "[1 2]")
		skips.until(s.t, domain.ChatID(chat), "[1 2 4]")
	}
	eventually(s.t, "the letters are there", func() bool { return len(s.letters("parks")) == len(chats) && len(s.letters("skips")) == len(chats) })
	return parks, skips
}

func TestDeadLettersAreListedWithoutWhatTheySay(t *testing.T) {
	s := newShell(t)
	s.fail("c")
	for group, parked := range map[string]bool{"parks": true, "skips": false} {
		letters := s.letters(group)
		l := letters[0]
		if l["group"] != group || l["chatId"] != "c" || l["seq"] != 3.0 || l["type"] != "message:new" || l["attempts"] != 2.0 || l["parked"] != parked || l["again"] != false ||
			l["reason"] != "no answer\nfrom \x1b[31mthe phone" || l["ageSeconds"].(float64) < 0 || l["at"] == nil || l["eventId"] == "" {
			t.Errorf("the letter of %s is %v", group, l)
		}
		out := s.do("deadletters", "list", group)
		rows := strings.Split(strings.TrimSpace(out), "\n")
		state := map[bool]string{true: "parked", false: "-"}[parked]
		cells := strings.Fields(rows[1])
		if len(rows) != 2 || cells[0] != l["id"] || fmt.Sprint(cells[1:5]) != "[c 3 message:new 2]" || cells[6] != state {
			t.Errorf("the table of %s is\n%s", group, out)
		}
		if !strings.HasSuffix(rows[1], "no answer from [31mthe phone") { // one line, no colours
			t.Errorf("the reason is shown as %q", rows[1])
		}
		if text := fmt.Sprint(out, letters); strings.Contains(text, "bad") {
			t.Errorf("the list tells what the message says: %s", text)
		}
	}
	s.run(func(core *chatcore.Core) error { return core.Subscribe("fine") })
	if out := s.do("deadletters", "list", "fine"); out != "group fine has no dead letters\n" {
		t.Errorf("without letters it says %q", out)
	}
	if got := s.letters("fine"); len(got) != 0 {
		t.Errorf("without letters it gives %v", got)
	}
}

func TestADeadLetterIsShownWithWhatItSays(t *testing.T) {
	s := newShell(t)
	s.fail("c")
	id := s.letters("parks")[0]["id"].(string)
	got := s.json("deadletters", "show", "parks", id)[0]
	payload, _ := got["payload"].(map[string]any)
	metadata, _ := got["metadata"].(map[string]any)
	if got["id"] != id || got["seq"] != 3.0 || got["parked"] != true || payload["content"] != "bad" || payload["eventId"] != got["eventId"] || metadata["type"] != "message:new" || got["payloadBytes"] != nil {
		t.Errorf("it is %v", got)
	}
	out := s.do("deadletters", "show", "parks", id)
	for _, text := range []string{id, "seq 3 of chat c", "attempts   2", "parked", "reason     no answer\n", "reason     from [31mthe phone\n", "type: message:new", `"content": "bad"`} {
		if !strings.Contains(out, text) {
			t.Errorf("%q is not shown:\n%s", text, out)
		}
	}

	// An entry of another program need be neither an event nor JSON.
	client := goredis.NewClient(&goredis.Options{Addr: redistest.Shared(t).Addr()})
	defer func() { _ = client.Close() }()
	garbage := "no json \x1b[2J\xff"
	if err := client.XAdd(t.Context(), &goredis.XAddArgs{Stream: s.base[1] + ":message-delivery-stream", Values: []any{"payload", garbage}}).Err(); err != nil {
		t.Fatal(err)
	}
	var group string // the one that has met it first
	eventually(t, "the foreign letter is there", func() bool {
		for _, group = range []string{"parks", "skips"} {
			letters := s.letters(group)
			if i := slices.IndexFunc(letters, func(l map[string]any) bool { return l["chatId"] == nil }); i >= 0 {
				id = letters[i]["id"].(string)
				return true
			}
		}
		return false
	})
	got = s.json("deadletters", "show", group, id)[0]
	if bytes, err := base64.StdEncoding.DecodeString(fmt.Sprint(got["payloadBytes"])); err != nil || string(bytes) != garbage || got["payload"] != nil || got["seq"] != nil {
		t.Errorf("the foreign letter is %v", got)
	}
	if out := s.do("deadletters", "show", group, id); !strings.Contains(out, `"no json \x1b[2J\xff"`) || !strings.Contains(out, "of another program") {
		t.Errorf("the foreign letter is shown as\n%q", out)
	}
	if out := s.do("deadletters", "list", group); !strings.Contains(out, id) || strings.Contains(out, "no json") {
		t.Errorf("the foreign letter is listed as\n%s", out)
	}
	if out := s.do("deadletters", "drop", group, id); !strings.Contains(out, " of another program) is dropped") {
		t.Errorf("dropping it says %q", out)
	}
}

func TestARetriedLetterIsHandledOnceItsHandlerIsMended(t *testing.T) {
	s := newShell(t)
	parks, skips := s.fail("c", "d")
	// Not mended yet: the retry fails, and the letter says so.
	failedAgain := func(group, id string) bool {
		letters := s.letters(group)
		i := slices.IndexFunc(letters, func(l map[string]any) bool { return l["id"] == id })
		return len(letters) == 2 && i >= 0 && letters[i]["failedAt"] != nil && letters[i]["first"] != nil && letters[i]["attempts"].(float64) > 1 && letters[i]["again"] == false
	}
	first := s.letters("skips")[0]["id"].(string)
	if out := s.do("deadletters", "retry", "skips", first); !strings.Contains(out, first+" (seq 3 of chat ") || !strings.Contains(out, "out of order") {
		t.Errorf("it says %q", out)
	}
	eventually(t, "the letter has failed again", func() bool { return failedAgain("skips", first) })
	if out := s.do("deadletters", "show", "skips", first); !strings.Contains(out, "without success") {
		t.Errorf("the letter is shown as\n%s", out)
	}
	parked := s.letters("parks")[0]
	chat := domain.ChatID(parked["chatId"].(string))
	if got := s.json("deadletters", "retry", "parks", parked["id"].(string)); len(got) != 1 || got[0]["decision"] != "retry" || got[0]["id"] != parked["id"] || got[0]["parked"] != true {
		t.Errorf("it says %v", got)
	}
	eventually(t, "the chat is parked again", func() bool { return failedAgain("parks", parked["id"].(string)) })
	if got := parks.of(chat); got != "[1 2]" {
		t.Errorf("of the parked chat came %s", got)
	}

	parks.mend()
	skips.mend()
	for _, l := range s.letters("parks") {
		if out := s.do("deadletters", "retry", "parks", l["id"].(string)); !strings.Contains(out, "the chat flows on from it") {
			t.Errorf("it says %q", out)
		}
	}
	for _, chat := range []domain.ChatID{"c", "d"} {
		parks.until(t, chat, "[1 2 3 4]") // in order
	}
	if got := s.json("deadletters", "retry", "skips", "--all"); len(got) != 2 || got[0]["decision"] != "retry" {
		t.Errorf("it says %v", got)
	}
	for _, chat := range []domain.ChatID{"c", "d"} {
		skips.until(t, chat, "[1 2 4 3]") // out of order
	}
	for _, group := range []string{"parks", "skips"} {
		eventually(t, "no letters are left", func() bool { return len(s.letters(group)) == 0 })
		if g := s.group(group); g["parked"] != 0.0 || g["deadLetters"] != 0.0 {
			t.Errorf("group %v", g)
		}
		if out := s.do("deadletters", "retry", group, "--all"); out != "group "+group+" has no dead letters\n" {
			t.Errorf("it says %q", out)
		}
	}
}

// TestALetterWaitsForWhoRunsItsGroup retries a dead letter while no process runs its group.
func TestALetterWaitsForWhoRunsItsGroup(t *testing.T) {
	s := newShell(t)
	var r record
	subscribe := func(core *chatcore.Core) error { return core.Subscribe("g", chatcore.On(r.take)) }
	p := s.run(subscribe)
	s.say("c", "bad")
	eventually(t, "the letter is there", func() bool { return len(s.letters("g")) == 1 })
	p.end()
	r.mend()
	s.do("deadletters", "retry", "g", "--all")
	if l := s.letters("g"); len(l) != 1 || l[0]["again"] != true {
		t.Errorf("letters %v", l)
	}
	if out := s.do("deadletters", "list", "g"); !strings.Contains(out, " again ") {
		t.Errorf("the table is\n%s", out)
	}
	s.run(subscribe)
	r.until(t, "c", "[1 2]")
	eventually(t, "no letters are left", func() bool { return len(s.letters("g")) == 0 })
}

func TestADroppedLetterLetsItsChatFlow(t *testing.T) {
	s := newShell(t)
	parks, skips := s.fail("c", "d", "e")
	l := s.letters("parks")[0]
	chat := domain.ChatID(l["chatId"].(string))
	if out := s.do("deadletters", "drop", "parks", l["id"].(string)); !strings.Contains(out, "the chat flows on behind it") {
		t.Errorf("it says %q", out)
	}
	parks.until(t, chat, "[1 2 4]")
	eventually(t, "the chat is not parked", func() bool { return s.group("parks")["parked"] == 2.0 })
	s.refused(chatcore.ErrDeadLetterNotFound, "core deadletters list", "deadletters", "drop", "parks", l["id"].(string))

	s.refused(nil, "2 dead letters of group parks would be gone for good: nothing was changed", "deadletters", "drop", "parks", "--all")
	if n := len(s.letters("parks")); n != 2 {
		t.Errorf("without --yes %d letters are left", n)
	}
	if got := s.json("deadletters", "drop", "parks", "--all", "--yes"); len(got) != 2 || got[0]["decision"] != "drop" {
		t.Errorf("it says %v", got)
	}
	for _, chat := range []domain.ChatID{"c", "d", "e"} {
		parks.until(t, chat, "[1 2 4]")
	}
	if out := s.do("deadletters", "drop", "skips", "--all", "--yes"); strings.Count(out, "is dropped\n") != 3 {
		t.Errorf("it says\n%s", out)
	}
	if out := s.do("deadletters", "drop", "skips", "--all"); out != "group skips has no dead letters\n" {
		t.Errorf("it says %q", out)
	}
	if got := skips.of("c"); got != "[1 2 4]" {
		t.Errorf("of a chat whose letter was dropped came %s", got)
	}
}

func TestLettersThatAreNotThereAreRefusedByName(t *testing.T) {
	s := newShell(t)
	s.run(func(core *chatcore.Core) error { return core.Subscribe("g") })
	for _, verb := range []string{"show", "retry", "drop"} {
		s.refused(chatcore.ErrGroupNotFound, `"nobody"; core groups list`, "deadletters", verb, "nobody", "0/1-1")
		s.refused(chatcore.ErrDeadLetterNotFound, "core deadletters list", "deadletters", verb, "g", "0/1-1")
		for _, id := range []string{"1-1", "9/1-1", "0/x"} {
			s.refused(domain.ErrInvalid, "such as 3/1764057600000-0", "deadletters", verb, "g", id)
		}
	}
	s.refused(chatcore.ErrGroupNotFound, `"nobody"; core groups list`, "deadletters", "list", "nobody")
	for _, verb := range []string{"retry", "drop"} {
		s.refused(chatcore.ErrGroupNotFound, `"nobody"; core groups list`, "deadletters", verb, "nobody", "--all")
		s.refused(nil, "by its ID, or give --all", "deadletters", verb, "g")
		s.refused(nil, "by its ID, or give --all", "deadletters", verb, "g", "0/1-1", "--all")
	}
}
