package redistest

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// pushes passes a server's replies on, but for messages of channels that are lost.
type pushes struct {
	to    io.Writer
	lost  func(channel string) bool
	reply []byte // begun and not complete
}

func (p *pushes) Write(piece []byte) (int, error) {
	p.reply = append(p.reply, piece...)
	passed, rest := p.reply[:0:0], p.reply
	for len(rest) > 0 {
		n, err := replyLength(rest)
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		if channel, is := messageOf(rest[:n]); !is || !p.lost(channel) {
			passed = append(passed, rest[:n]...)
		}
		rest = rest[n:]
	}
	p.reply = append(p.reply[:0:0], rest...)
	if len(passed) > 0 {
		if _, err := p.to.Write(passed); err != nil {
			return 0, err
		}
	}
	return len(piece), nil
}

// replyLength returns the length of the first reply of RESP2 or RESP3, and 0 if it is not complete.
func replyLength(b []byte) (int, error) {
	line, _, whole := bytes.Cut(b, []byte("\r\n"))
	if !whole {
		return 0, nil
	}
	at := len(line) + 2
	number := func() (int, error) {
		n, err := strconv.Atoi(string(line[1:]))
		if err != nil {
			return 0, fmt.Errorf("reply %.40q: %w", line, err)
		}
		return n, nil
	}
	parts := 1
	switch line[0] {
	case '$', '=', '!':
		n, err := number()
		if end := at + n + 2; err != nil || n < 0 {
			return at, err
		} else if end <= len(b) {
			return end, nil
		}
		return 0, nil
	case '%', '|':
		parts = 2
		fallthrough
	case '*', '>', '~':
		n, err := number()
		if err != nil {
			return 0, err
		}
		for range parts * n {
			length, err := replyLength(b[at:])
			if err != nil || length == 0 {
				return 0, err
			}
			at += length
		}
		return at, nil
	case '+', '-', ':', '_', '#', ',', '(':
		return at, nil
	}
	return 0, fmt.Errorf("reply %.40q is none of RESP", line)
}

// messageOf returns the channel of a message of pub/sub, and whether the reply is one.
func messageOf(reply []byte) (channel string, is bool) {
	fields := bytes.SplitN(reply, []byte("\r\n"), 6)
	if len(fields) < 6 || reply[0] != '*' && reply[0] != '>' {
		return "", false
	}
	kind := string(fields[2])
	return string(fields[4]), kind == "message" || kind == "smessage"
}
