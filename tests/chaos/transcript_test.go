package chaos

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatcore/domain"
)

// line is one of a transcript, as core import reads it.
type line struct {
	Chat, Kind, User, Text string
}

// script is the sequence of actions in one chat.
type script struct {
	chat  string
	lines []line
}

// readTranscript gives the chats of the transcript that CHATCORE_TRANSCRIPT names, or of the sample. Lines that nobody could say are left
// out.
func readTranscript(t *testing.T) []*script {
	t.Helper()
	path := os.Getenv("CHATCORE_TRANSCRIPT")
	if path == "" {
		path = filepath.Join("..", "testdata", "transcript.jsonl")
	}
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
	var scripts []*script
	byChat := make(map[string]*script)
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if !l.possible() {
			continue
		}
		s := byChat[l.Chat]
		if s == nil {
			s = &script{chat: l.Chat}
			byChat[l.Chat] = s
			scripts = append(scripts, s)
		}
		s.lines = append(s.lines, l)
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return scripts
}

func (l line) possible() bool {
	_, err := domain.ParseUserID(l.User)
	switch l.Kind {
	case "message", "action":
		if err == nil {
			_, err = domain.NewContent(l.Text)
		}
	case "rename":
		if err == nil {
			_, err = domain.ParseUserID(l.Text)
		}
	}
	return err == nil
}
