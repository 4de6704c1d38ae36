package main

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// entry is one line of a transcript.
type entry struct {
	Chat string    `json:"chat"`
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	User string    `json:"user"`
	Text string    `json:"text"`
	line int
}

// maxLine is the longest line of a transcript, in bytes.
const maxLine = 1 << 20

// readTranscript calls take for each line in order, with why it is malformed if it is. It ends with the first error of take.
func readTranscript(path string, progress func(io.Reader) io.Reader, take func(e entry, malformed error) error) error {
	file, err := os.Open(path) //nolint:gosec // the user names the file
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	in := progress(file)
	if strings.HasSuffix(path, ".gz") {
		unzipped, err := gzip.NewReader(in)
		if err != nil {
			return fmt.Errorf("%s is not gzip: %w", path, err)
		}
		in = unzipped
	}
	lines := bufio.NewScanner(in)
	lines.Buffer(make([]byte, 0, 64<<10), maxLine)
	n := 0
	for lines.Scan() {
		n++
		e := entry{}
		malformed := json.Unmarshal(lines.Bytes(), &e)
		if malformed == nil {
			malformed = e.check()
		}
		e.line = n
		if err := take(e, malformed); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s, line %d: %w", path, n+1, err)
	}
	return nil
}

func (e entry) check() error {
	switch {
	case e.Chat == "":
		return errors.New("it has no chat")
	case e.User == "":
		return errors.New("it has no user")
	case e.At.IsZero():
		return errors.New("it has no time")
	}
	switch e.Kind {
	case "message", "action", "join", "leave":
		return nil
	case "rename":
		if e.Text == "" {
			return errors.New("it is a rename to no name")
		}
		return nil
	}
	return fmt.Errorf("its kind is %q; allowed: message, action, join, leave, rename", e.Kind)
}
