package rig

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/tests/redistest"
)

// ScriptCase runs a script once, on a server with the keys of Setup only. Words are separated by spaces: · is a space in a word, ” an empty word, and @2
// the time in two hours, in milliseconds. Replies show such a time as @2. $HISTORY is the server's replication ID.
type ScriptCase struct {
	Name                string
	Setup               string // commands, separated by ;
	Keys                string
	Args                string
	Without             string // commands that the caller has no right to
	Writes              string // patterns of the only keys that the caller may write; "" for all
	Reply               string // [a b] is a list, - is nil, "error TEXT" an error that contains the text, NoRight that of a missing right; … is any text
	Heard               string // messages on all channels, "CHANNEL MESSAGE" with a semicolon after each; "" to hear none of them, NoMessage for none
	Subscribed, Sharded string // channels that have a subscriber, of SUBSCRIBE and of SSUBSCRIBE. Heard listens by a pattern
	After               string // commands and their replies: "GET k = v; TYPE l = none". If it is "", the script must write nothing
}

// NoRight is the reply to a caller without the right to a command.
const NoRight = "error no right"

// NoMessage is a script that publishes nothing.
const NoMessage = "no message"

var noRight = regexp.MustCompile(`NOPERM|ACL failure|can't run this command`)

var replicationID = regexp.MustCompile(`master_replid:(\w+)`)

// RunScript runs the cases of a script on a server of its own.
func RunScript(t *testing.T, source string, cases []ScriptCase) {
	t.Helper()
	server := redistest.Start(t)
	client := server.Client(t)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			var caller goredis.UniversalClient = client
			if c.Without != "" || c.Writes != "" {
				caller = limited(t, client, server.URL(), c)
			}
			runScript(t, client, caller, source, c)
		})
	}
}

// limited connects to a server as a user who lacks the rights that a case names.
func limited(t *testing.T, client goredis.UniversalClient, url string, c ScriptCase) goredis.UniversalClient {
	t.Helper()
	rules := []any{"ACL", "SETUSER", "limited", "reset", "on", "nopass", "&*", "+@all"}
	for command := range strings.FieldsSeq(c.Without) {
		rules = append(rules, "-"+command)
	}
	if c.Writes == "" {
		rules = append(rules, "~*")
	} else {
		rules = append(rules, "%R~*")
	}
	for pattern := range strings.FieldsSeq(c.Writes) {
		rules = append(rules, "~"+pattern)
	}
	if err := client.Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	options, err := goredis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	options.Username, options.Password = "limited", "any"
	caller := goredis.NewClient(options)
	t.Cleanup(func() { _ = caller.Close() })
	return caller
}

func runScript(t *testing.T, client, caller goredis.UniversalClient, source string, c ScriptCase) {
	t.Helper()
	ctx := t.Context()
	now := time.Now()
	if err := client.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil { // an earlier case may have filled the memory
		t.Fatal(err)
	}
	for line := range parts(c.Setup) {
		if err := client.Do(ctx, words(now, line)...).Err(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
	}
	before := valuesAndTTLs(t, client)
	var keys []string
	for _, key := range words(now, c.Keys) {
		keys = append(keys, fmt.Sprint(key))
	}
	if strings.Contains(c.Args, "$HISTORY") {
		c.Args = strings.ReplaceAll(c.Args, "$HISTORY", replicationID.FindStringSubmatch(client.Info(ctx, "replication").Val())[1])
	}
	subscribed(t, client.Subscribe, c.Subscribed)
	subscribed(t, client.SSubscribe, c.Sharded)
	heard := func() string { return c.Heard }
	if c.Heard != "" {
		heard = listen(t, client)
	}
	reply, err := caller.Eval(ctx, source, keys, words(now, c.Args)...).Result()
	if want, isError := strings.CutPrefix(c.Reply, "error "); isError {
		if err == nil || !strings.Contains(err.Error(), want) && (c.Reply != NoRight || !noRight.MatchString(err.Error())) {
			t.Errorf("the reply is %s, error %v; want an error with %q", shown(now, reply), err, want)
		}
	} else if err != nil || !matches(c.Reply, shown(now, reply)) {
		t.Errorf("the reply is %s, error %v; want %s", shown(now, reply), err, c.Reply)
	}
	if messages := heard(); !matches(c.Heard, messages) {
		t.Errorf("the script published %s, want %s", messages, c.Heard)
	}
	if c.After == "" {
		if after := valuesAndTTLs(t, client); after != before {
			t.Errorf("the script left\n%swant\n%s", after, before)
		}
		return
	}
	for line := range parts(c.After) {
		command, want, _ := strings.Cut(line, " = ")
		if held, err := client.Do(ctx, words(now, command)...).Result(); !matches(want, shown(now, held)) {
			t.Errorf("afterwards %s replies %s, error %v; want %s", command, shown(now, held), err, want)
		}
	}
}

// subscribed subscribes to channels until the test ends.
func subscribed(t *testing.T, subscribe func(context.Context, ...string) *goredis.PubSub, channels string) {
	t.Helper()
	names := strings.Fields(channels)
	if len(names) == 0 {
		return
	}
	subscription := subscribe(t.Context(), names...)
	t.Cleanup(func() { _ = subscription.Close() })
	for range names {
		if _, err := subscription.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// listen subscribes to all channels. The function that it returns ends that, and returns the messages since then, as in ScriptCase.Heard.
func listen(t *testing.T, client goredis.UniversalClient) func() string {
	t.Helper()
	heard := client.PSubscribe(t.Context(), "*")
	if _, err := heard.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	return func() string {
		defer func() { _ = heard.Close() }()
		const last = "end of the messages"
		if err := client.Publish(t.Context(), last, "").Err(); err != nil {
			t.Fatal(err)
		}
		messages := ""
		for {
			m, err := heard.ReceiveMessage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if m.Channel == last {
				break
			}
			messages += m.Channel + " " + m.Payload + ";"
		}
		return cmp.Or(messages, NoMessage)
	}
}

// matches reports whether a text is that of a pattern, in which … stands for any text.
func matches(pattern, text string) bool {
	return regexp.MustCompile("(?s)^" + strings.ReplaceAll(regexp.QuoteMeta(pattern), "…", ".*") + "$").MatchString(text)
}

// parts yields the parts of a text between semicolons.
func parts(text string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for part := range strings.SplitSeq(text, ";") {
			if part = strings.TrimSpace(part); part != "" && !yield(part) {
				return
			}
		}
	}
}

func words(now time.Time, line string) (words []any) {
	for word := range strings.FieldsSeq(line) {
		word = strings.ReplaceAll(word, "·", " ")
		if word == "''" {
			word = ""
		}
		for {
			before, after, found := strings.Cut(word, "@")
			if !found {
				break
			}
			end := 0
			for end < len(after) && strings.ContainsRune("-.0123456789", rune(after[end])) {
				end++
			}
			hours, _ := strconv.ParseFloat(after[:end], 64)
			word = before + strconv.FormatInt(now.Add(time.Duration(hours*float64(time.Hour))).UnixMilli(), 10) + after[end:]
		}
		words = append(words, word)
	}
	return words
}

// shown returns the text of a reply. A time is shown as the hours until it, rounded to tenths.
func shown(now time.Time, value any) string {
	switch value := value.(type) {
	case nil:
		return "-"
	case []any:
		texts := make([]string, len(value))
		for i, v := range value {
			texts[i] = shown(now, v)
		}
		return "[" + strings.Join(texts, " ") + "]"
	case map[any]any:
		var texts []string
		for k, v := range value {
			texts = append(texts, shown(now, k)+":"+shown(now, v))
		}
		slices.Sort(texts)
		return "{" + strings.Join(texts, " ") + "}"
	}
	text := fmt.Sprint(value)
	if text == "" {
		return "''"
	}
	fields := strings.Split(text, " ")
	for i, field := range fields {
		if ms, err := strconv.ParseInt(field, 10, 64); err == nil && len(field) == 13 {
			fields[i] = "@" + strconv.FormatFloat(time.UnixMilli(ms).Sub(now).Round(6*time.Minute).Hours(), 'f', -1, 64)
		}
	}
	return strings.ReplaceAll(strings.Join(fields, "·"), "@-0", "@0")
}

// valuesAndTTLs returns all keys and values of a server. It names the keys that expire.
func valuesAndTTLs(t *testing.T, client goredis.UniversalClient) string {
	t.Helper()
	all := Dump(t, client)
	var b strings.Builder
	names := client.Keys(t.Context(), "*").Val()
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "  %s = %q until %d\n", name, all[name], client.PExpireTime(t.Context(), name).Val())
	}
	return b.String()
}
