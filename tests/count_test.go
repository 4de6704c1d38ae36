package tests

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
)

// transcriptCount is the expected result of an import. It is counted from the transcript alone, without code of the program.
type transcriptCount struct {
	lines, messages, rejected, events int
	chats                             map[string]*chatCount
}

type chatCount struct {
	events  int
	said    []utterance
	members map[string]bool
}

type utterance struct {
	user, text string
	at         time.Time
}

func count(t *testing.T, path string) transcriptCount {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var in io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if in, err = gzip.NewReader(file); err != nil {
			t.Fatal(err)
		}
	}
	total := transcriptCount{chats: map[string]*chatCount{}}
	scanner := bufio.NewScanner(in)
	for scanner.Scan() {
		var line struct {
			Chat, Kind, User, Text string
			At                     time.Time
		}
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		total.lines++
		chat := total.chats[line.Chat]
		if chat == nil {
			chat = &chatCount{events: 1, members: map[string]bool{"importer": true}}
			total.chats[line.Chat] = chat
		}
		join := func(user string) {
			if !chat.members[user] {
				chat.members[user] = true
				chat.events++
			}
		}
		leave := func(user string) {
			if chat.members[user] {
				delete(chat.members, user)
				chat.events++
			}
		}
		speaks := line.Kind == "message" || line.Kind == "action"
		switch {
		case !goodName(line.User), speaks && !goodText(line.Text), line.Kind == "rename" && !goodName(line.Text):
			total.rejected++
		case speaks:
			join(line.User)
			chat.events++
			chat.said = append(chat.said, utterance{line.User, line.Text, line.At})
		case line.Kind == "join":
			join(line.User)
		case line.Kind == "leave":
			leave(line.User)
		case line.Kind == "rename":
			leave(line.User)
			join(line.Text)
		default:
			t.Fatalf("line %d has the kind %q", total.lines, line.Kind)
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	for _, chat := range total.chats {
		total.events += chat.events
		total.messages += len(chat.said)
	}
	return total
}

func goodText(s string) bool {
	if strings.TrimSpace(s) == "" || len(s) > 16<<10 || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsControl(r) && r != '\t' && r != '\n' {
			return false
		}
	}
	return true
}

func goodName(s string) bool {
	if s == "" || len(s) > 128 || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if unicode.IsSpace(r) || !unicode.IsGraphic(r) {
			return false
		}
	}
	return true
}
