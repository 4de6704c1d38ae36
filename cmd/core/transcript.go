package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"chatcore/domain"
)

// entry is one line of a transcript.
type entry struct {
	Chat string    `json:"chat"`
	At   time.Time `json:"at"`
	Kind string    `json:"kind"`
	User string    `json:"user"`
	Text string    `json:"text"`

	line    int
	id      string // the line's identity within its chat
	refused error  // why the line cannot be recorded, nil if it can
}

// maxLine is the longest line of a transcript, in bytes, without its end. A longer line is skipped as it is read and never held in memory.
const maxLine = 1 << 20

// Errors about lines that are not entries.
var (
	errBlank   = errors.New("the line is blank")
	errTooLong = fmt.Errorf("it is too long; allowed: %d bytes", maxLine)
)

// readTranscript calls take for each line in order, with the reason if the line is not an entry: errBlank for a blank one. It returns the first
// error of take, or an error that names the line at which the file could not be read.
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
	lines := lineReader{in: bufio.NewReaderSize(in, 64<<10)}
	for n := 1; ; n++ {
		raw, err := lines.next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, errTooLong):
			return fmt.Errorf("%s, line %d: %w", path, n, err)
		}
		e := entry{}
		if err == nil {
			e, err = parseEntry(raw)
		}
		e.line = n
		if err := take(e, err); err != nil {
			return err
		}
	}
}

// lineReader splits a stream into lines. It holds at most maxLine bytes and its reader's buffer.
type lineReader struct {
	in  *bufio.Reader
	buf []byte
}

// next returns the next line without its end. The line is valid until the next call. next returns errTooLong for a line of more than maxLine
// bytes, which it skips, and io.EOF behind the last line.
func (r *lineReader) next() ([]byte, error) {
	r.buf = r.buf[:0]
	tooLong := false
	for read := 0; ; {
		part, err := r.in.ReadSlice('\n')
		read += len(part)
		if tooLong = tooLong || len(r.buf)+len(part) > maxLine+2; !tooLong {
			r.buf = append(r.buf, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && (!errors.Is(err, io.EOF) || read == 0):
			return nil, err
		}
		line := bytes.TrimSuffix(bytes.TrimSuffix(r.buf, []byte("\n")), []byte("\r"))
		if tooLong || len(line) > maxLine {
			return nil, errTooLong
		}
		return line, nil
	}
}

// byteOrderMark begins a file that some programs write as UTF-8.
const byteOrderMark = "\ufeff"

// parseEntry reads a line. An entry that is well formed and cannot be recorded has the reason in refused.
func parseEntry(raw []byte) (entry, error) {
	raw = bytes.TrimPrefix(raw, []byte(byteOrderMark))
	if len(bytes.TrimSpace(raw)) == 0 {
		return entry{}, errBlank
	}
	if !utf8.Valid(raw) {
		return entry{}, errors.New("it is not valid UTF-8")
	}
	e := entry{}
	if err := json.Unmarshal(raw, &e); err != nil {
		return entry{}, err
	}
	if escape := loneSurrogate(raw); escape != "" {
		return entry{}, fmt.Errorf("%s is half of a surrogate pair", escape)
	}
	if err := e.check(); err != nil {
		return entry{}, err
	}
	e.refused = e.recordable()
	return e, nil
}

func (e entry) check() error {
	switch at := e.At.UTC(); {
	case e.Chat == "":
		return errors.New("it has no chat")
	case e.User == "":
		return errors.New("it has no user")
	case at.IsZero():
		return errors.New("it has no time")
	case at.Year() < 1 || at.Year() > 9999:
		return fmt.Errorf("its time is in the year %d in UTC; allowed: 1 to 9999", at.Year())
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
	return fmt.Errorf("its kind is %q; allowed: message, action, join, leave, rename", short(e.Kind))
}

// recordable returns the rule that ids or the text of the entry break, or nil.
func (e entry) recordable() (err error) {
	if _, err = domain.ParseUserID(e.User); err != nil {
		return err
	}
	switch e.Kind {
	case "message", "action":
		_, err = domain.NewContent(e.Text)
	case "rename":
		_, err = domain.ParseUserID(e.Text)
	}
	return err
}

// loneSurrogate returns the first \u escape of a valid JSON text that is half of a surrogate pair, or "". Package encoding/json replaces such
// escapes silently.
func loneSurrogate(raw []byte) string {
	for i := 0; i+1 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if i++; raw[i] != 'u' {
			continue
		}
		escape := string(raw[i-1 : i+5])
		switch unit := escaped(raw[i-1:]); {
		case unit >= 0xd800 && unit < 0xdc00:
			if low := escaped(raw[i+5:]); low < 0xdc00 || low > 0xdfff {
				return escape
			}
			i += 10
		case unit >= 0xdc00 && unit < 0xe000:
			return escape
		default:
			i += 4
		}
	}
	return ""
}

// escaped returns the UTF-16 unit of the \u escape that a text begins with, or -1.
func escaped(raw []byte) int64 {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseInt(string(raw[2:6]), 16, 32)
	if err != nil {
		return -1
	}
	return unit
}
