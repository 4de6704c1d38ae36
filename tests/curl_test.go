package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// curlCall is a curl line of a page, and the response that the page shows below it.
type curlCall struct {
	page     string
	line     int
	command  string
	response string // one line of JSON, or empty
}

// curlCalls returns the curl lines of a page, in order. A line of a block of type sh is a comment, an assignment, a curl line, or a response.
func curlCalls(page, text string) (calls []curlCall, err error) {
	within, number := false, 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		switch {
		case line == "```sh":
			within = true
		case strings.HasPrefix(line, "```"):
			within = false
		case !within || line == "" || strings.HasPrefix(line, "#") || regexp.MustCompile(`^[A-Z]+=\S+$`).MatchString(line):
		case strings.HasPrefix(line, "curl ") || strings.HasPrefix(line, "printf "):
			calls = append(calls, curlCall{page: page, line: number, command: line})
		case strings.HasPrefix(line, "{") && len(calls) > 0 && calls[len(calls)-1].response == "":
			calls[len(calls)-1].response = line
		default:
			return nil, fmt.Errorf("%s:%d: %q is no comment, assignment, curl line or response", page, number, line)
		}
	}
	return calls, nil
}

// words splits a line as a shell does: bare text, '…' and "…", with variables outside of '…'.
func words(line string, variables map[string]string) (split []string, err error) {
	expand := func(text string) string {
		return regexp.MustCompile(`\$[A-Z]+`).ReplaceAllStringFunc(text, func(name string) string {
			value, known := variables[name[1:]]
			if !known {
				err = fmt.Errorf("%s is not set: no response before this line shows it", name)
			}
			return value
		})
	}
	segment := regexp.MustCompile(`^(?:'([^']*)'|"([^"\\` + "`" + `]*)"|([A-Za-z0-9$_./:=@,+?&%-]+))`)
	for rest := strings.TrimSpace(line); rest != ""; rest = strings.TrimLeft(rest, " ") {
		var word strings.Builder
		for rest != "" && rest[0] != ' ' {
			if rest[0] == '|' && word.Len() == 0 {
				word.WriteString("|")
				rest = rest[1:]
				break
			}
			m := segment.FindStringSubmatch(rest)
			if m == nil {
				return nil, fmt.Errorf("%q: no such syntax; allowed: words, '…', \"…\" and |", rest)
			}
			word.WriteString(m[1] + expand(m[2]) + expand(m[3]))
			rest = rest[len(m[0]):]
		}
		split = append(split, word.String())
	}
	return split, err
}

// request returns the request that a curl line sends. It knows the options that the pages use, and no others.
func (c curlCall) request(variables map[string]string) (*http.Request, error) {
	args, err := words(c.command, variables)
	if err != nil {
		return nil, err
	}
	var input []byte
	if args[0] == "printf" { // printf 'FORMAT' | curl …
		if len(args) < 4 || args[2] != "|" || args[3] != "curl" {
			return nil, errors.New("printf: allowed: printf 'FORMAT' | curl …")
		}
		if input, err = printf(args[1]); err != nil {
			return nil, err
		}
		args = args[3:]
	}
	var target string
	var body []byte
	method, header, query := http.MethodGet, make(http.Header), url.Values{}
	for i := 1; i < len(args); i++ {
		option := args[i]
		value := func() string {
			if i++; i < len(args) {
				return args[i]
			}
			err = fmt.Errorf("%s has no value", option)
			return ""
		}
		switch {
		case option == "--json":
			method, body = http.MethodPost, []byte(value())
			header.Set("Content-Type", "application/json")
			header.Set("Accept", "application/json")
		case option == "--data-binary":
			if from := value(); from != "@-" || input == nil {
				return nil, errors.New("--data-binary: allowed: @-, after printf")
			}
			method, body = http.MethodPost, input
		case option == "--data-urlencode":
			name, text, _ := strings.Cut(value(), "=")
			query.Add(name, text)
		case option == "-G", option == "-N", option == "--http2-prior-knowledge":
		case option == "-H":
			name, text, found := strings.Cut(value(), ": ")
			if !found {
				return nil, fmt.Errorf("-H %q is no header", name)
			}
			header.Set(name, text)
		case strings.HasPrefix(option, "-"), target != "":
			return nil, fmt.Errorf("%q: allowed: one URL, --json, -H, -G with --data-urlencode, --data-binary @-, --http2-prior-knowledge", option)
		default:
			target = option
		}
	}
	if err != nil {
		return nil, err
	}
	if len(query) > 0 != strings.Contains(c.command, " -G ") {
		return nil, errors.New("-G and --data-urlencode belong together")
	}
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	r, err := http.NewRequest(method, target, bytes.NewReader(body)) //nolint:noctx // the client has a timeout
	if err != nil {
		return nil, err
	}
	r.Header = header
	return r, nil
}

// printf returns the bytes of a format with octal escapes.
func printf(format string) ([]byte, error) {
	var failed error
	text := regexp.MustCompile(`\\[0-7]{1,3}|\\.|%`).ReplaceAllStringFunc(format, func(escape string) string {
		n, err := strconv.ParseUint(strings.TrimLeft(escape, `\`), 8, 8)
		if err != nil {
			failed = fmt.Errorf("printf: %q: allowed: octal escapes", escape)
		}
		return string([]byte{byte(n)})
	})
	return []byte(text), failed
}

// run sends a curl line to a server, and checks the response. It sets the variables that the page's response shows.
func (c curlCall) run(t *testing.T, variables map[string]string, whole bool) {
	t.Helper()
	fail := func(format string, args ...any) {
		t.Helper()
		t.Errorf("%s:%d: %s\n%s", c.page, c.line, fmt.Sprintf(format, args...), c.command)
	}
	r, err := c.request(variables)
	if err != nil {
		fail("%v", err)
		return
	}
	client := http.DefaultClient
	if strings.Contains(c.command, " --http2-prior-knowledge ") {
		transport := &http.Transport{Protocols: new(http.Protocols)}
		transport.Protocols.SetUnencryptedHTTP2(true)
		defer transport.CloseIdleConnections()
		client = &http.Client{Transport: transport}
	}
	response, err := client.Do(r.WithContext(t.Context()))
	if err != nil {
		fail("%v", err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	var body []byte
	if feed := regexp.MustCompile(`FeedService/Watch|/v1/feed`).MatchString(c.command); feed && response.StatusCode == http.StatusOK {
		if err := readFeed(response.Body); err != nil {
			fail("%v", err)
		}
		return
	}
	if body, err = io.ReadAll(response.Body); err != nil {
		fail("%v", err)
		return
	}
	var want any
	if c.response != "" {
		if err := json.Unmarshal([]byte(c.response), &want); err != nil {
			fail("the response of the page is no JSON: %v", err)
			return
		}
	}
	shown, _ := want.(map[string]any)
	if refused := shown["code"] != nil && shown["message"] != nil; (response.StatusCode == http.StatusOK) == refused {
		fail("status %s: %s", response.Status, body)
		return
	}
	if strings.HasPrefix(response.Header.Get("Content-Type"), "application/connect+") {
		if bytes.Contains(body, []byte(`"error"`)) {
			fail("the stream ends with an error: %q", body)
		}
		return
	}
	var got any
	if err := json.Unmarshal(body, &got); err != nil {
		fail("the response is no JSON: %v: %q", err, body)
		return
	}
	if want != nil && !matches(want, got, whole, variables) {
		fail("the page shows\n%s\nand the response is\n%s", c.response, body)
	}
}

// readFeed reads a feed until it has given what was missed: it has no end.
func readFeed(body io.Reader) error {
	var read bytes.Buffer
	for {
		n, err := io.CopyN(&read, body, 1)
		switch text := read.Bytes(); {
		case n == 0:
			return fmt.Errorf("the feed ended: %w: %q", err, text)
		case bytes.HasSuffix(text, []byte(`"caughtUp":`)):
			return nil
		}
	}
}

var timestamp = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)

// matches reports whether a value is the one of a page, and sets the variables that the page has in its place. Any timestamp matches any other. An object
// may have more properties than that of the page, unless the page shows the whole.
func matches(want, got any, whole bool, variables map[string]string) bool {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok || whole && len(got) != len(want) {
			return false
		}
		for name, value := range want {
			if !matches(value, got[name], whole, variables) {
				return false
			}
		}
		return true
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) < len(want) || whole && len(got) != len(want) {
			return false
		}
		for i := range want {
			if !matches(want[i], got[i], whole, variables) {
				return false
			}
		}
		return true
	case string:
		text, ok := got.(string)
		if ok && strings.HasPrefix(want, "$") {
			variables[want[1:]] = text
			return text != ""
		}
		return ok && (want == text || timestamp.MatchString(want) && timestamp.MatchString(text))
	default:
		return reflect.DeepEqual(want, got)
	}
}

// TestCurl shows which curl lines the tests of the pages understand, and what they send.
func TestCurl(t *testing.T) {
	variables := map[string]string{"CORE": "http://localhost:1", "TOKEN": "se'cret"}
	for line, want := range map[string]string{
		`curl $CORE/a.B/C --json '{"a":"b c"}'`:                                                  `POST http://localhost:1/a.B/C {"a":"b c"} application/json`,
		`curl $CORE/a.B/C -H "Authorization: Bearer $TOKEN" --json '{"t":"'"$TOKEN"'"}'`:         `POST http://localhost:1/a.B/C {"t":"se'cret"} application/json Bearer se'cret`,
		`curl -G $CORE/a.B/C --data-urlencode 'message={"a":1}' --data-urlencode encoding=json`:  `GET http://localhost:1/a.B/C?encoding=json&message=%7B%22a%22%3A1%7D`,
		`printf '\0\0\0\0\2{}' | curl $CORE/a -H 'Content-Type: application/x' --data-binary @-`: "POST http://localhost:1/a \x00\x00\x00\x00\x02{} application/x",
		`curl $CORE/a --insecure`:                     "error",
		`curl $CORE/a $CORE/b`:                        "error",
		`curl $CORE/a --json`:                         "error",
		`curl $CORE/a --json '{"a":1`:                 "error",
		`curl $UNKNOWN/a`:                             "error",
		"curl $CORE/`id`":                             "error",
		`curl $CORE/a; rm -r /`:                       "error",
		`curl $CORE/a --data-urlencode a=b`:           "error",
		`curl $CORE/a -H Authorization`:               "error",
		`curl $CORE/a --data-binary @file`:            "error",
		`printf '%s' | curl $CORE/a --data-binary @-`: "error",
		`printf '\0' > file`:                          "error",
	} {
		got := "error"
		if r, err := (curlCall{command: line}).request(variables); err == nil {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Fatal(err)
			}
			parts := []string{r.Method, r.URL.String(), string(body), r.Header.Get("Content-Type"), r.Header.Get("Authorization")}
			got = strings.Join(strings.Fields(strings.Join(parts, " ")), " ")
			want = strings.Join(strings.Fields(want), " ")
		}
		if got != want {
			t.Errorf("%s\nsends %q, want %q", line, got, want)
		}
	}
	if _, err := curlCalls("p.md", "```sh\ncurl a\nwget b\n```\n"); err == nil {
		t.Error("a line of another program is no error")
	}
	for _, c := range []struct {
		want, got string
		whole, is bool
	}{
		{`{"a":1}`, `{"a":1,"b":2}`, false, true},
		{`{"a":1}`, `{"a":1,"b":2}`, true, false},
		{`{"a":[1]}`, `{"a":[1,2]}`, true, false},
		{`{"a":[1]}`, `{"a":[1,2]}`, false, true},
		{`{"a":"$NEW"}`, `{"a":"value"}`, true, true},
		{`{"at":"2026-11-29T12:00:00.123Z"}`, `{"at":"2027-01-01T00:00:00Z"}`, true, true},
		{`{"at":"2026-11-29T12:00:00.123Z"}`, `{"at":"soon"}`, true, false},
		{`{"a":"x"}`, `{}`, false, false},
	} {
		var want, got any
		if err := errors.Join(json.Unmarshal([]byte(c.want), &want), json.Unmarshal([]byte(c.got), &got)); err != nil {
			t.Fatal(err)
		}
		if matches(want, got, c.whole, variables) != c.is {
			t.Errorf("%s matches %s: want %v", c.want, c.got, c.is)
		}
	}
	if variables["NEW"] != "value" {
		t.Errorf("the variable is %q", variables["NEW"])
	}
}
