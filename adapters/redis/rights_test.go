package redis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/health"
	"chatcore/adapters/redis/internal/rig"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/typing"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/tests/redistest"
)

// setUser gives the user "core" these rights and no others.
func setUser(t *testing.T, admin goredis.UniversalClient, rules ...string) {
	t.Helper()
	words := []any{"acl", "setuser", "core", "reset", "on", ">secret"}
	for _, rule := range rules {
		words = append(words, rule)
	}
	if err := admin.Do(t.Context(), words...).Err(); err != nil {
		t.Fatal(err)
	}
}

// asCore returns the URL of a server for the user "core".
func asCore(server *redistest.Server) string {
	return strings.Replace(server.URL(), "redis://", "redis://core:secret@", 1)
}

// luaCommands returns the commands in the scripts of a folder.
func luaCommands(t *testing.T, pattern string) map[string][]string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, error %v", pattern, files, err)
	}
	commands := make(map[string][]string)
	for _, file := range files {
		found := commandsOf(luaSource(t, file))
		if len(found) == 0 {
			t.Errorf("%s has no commands", file)
		}
		commands[file] = found
	}
	return commands
}

// luaSource returns the text of a script, after the one that precedes it.
func luaSource(t *testing.T, file string) string {
	t.Helper()
	source, err := os.ReadFile(file)
	shared := map[string]string{
		"limits.lua": "limit/script/take.lua", "append.lua": "limit/script/take.lua", "previews.lua": "eventlog/script/chat.lua",
		"send.lua": "eventlog/script/plain.lua", "plain_end.lua": "eventlog/script/plain.lua", "erase_message.lua": "eventlog/script/plain.lua",
	}
	if before := shared[filepath.Base(file)]; err == nil && before != "" {
		var first []byte
		first, err = os.ReadFile(before)
		source = slices.Concat(first, source)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

func commandsOf(source string) []string {
	code := regexp.MustCompile(`(?m)^\s*--.*$`).ReplaceAllString(source, "")
	code = regexp.MustCompile(`'(GROUPS|STREAM)'`).ReplaceAllString(code, "")
	calls := regexp.MustCompile(`(?:call|pcall|read|after|attempt)\((?:[a-z_ >0]*and )?'([A-Z]+)'(?: or '([A-Z]+)')?|\{'(PEXPIRE|INCRBY|SET)'`)
	var found []string
	for _, m := range calls.FindAllStringSubmatch(code, -1) {
		for _, name := range m[1:] {
			if name != "" && !slices.Contains(found, name) {
				found = append(found, name)
			}
		}
	}
	return found
}

func TestRights_CoverTheScripts(t *testing.T) {
	var known []string
	for _, rule := range rig.CommandRules(t) {
		known = append(known, strings.TrimPrefix(rule, "+"))
	}
	for _, folder := range []string{"*/script/*.lua", "../pubsub/redisgroup/script/*.lua"} {
		for file, commands := range luaCommands(t, folder) {
			for _, command := range commands {
				name := strings.ToLower(command)
				if !slices.ContainsFunc(known, func(k string) bool { return k == name || strings.HasPrefix(k, name+"|") }) {
					t.Errorf("%s uses %s, which is not among the required rights", file, command)
				}
			}
		}
	}
}

// TestRights_AreMinimal removes one right after another: the log is not opened, and the error names the right.
func TestRights_AreMinimal(t *testing.T) {
	server := redistest.Start(t)
	admin := rig.Connect(t, server.URL())
	keys, err := keyspace.New("", 2, false)
	if err != nil {
		t.Fatal(err)
	}
	opening := func() error {
		client, err := conn.Connect(t.Context(), conn.Options{URL: asCore(server), Attempts: 1})
		if err != nil {
			return err
		}
		defer func() { _ = client.Close() }()
		log, err := eventlog.Open(t.Context(), client, wireformat.New(), eventlog.Config{Keys: keys, Attempts: 1})
		if err == nil {
			log.Close()
		}
		return err
	}
	rules := health.LogRights(keys).Rules(false)
	setUser(t, admin, rules...)
	if err := opening(); err != nil {
		t.Fatalf("with all rights: %v", err)
	}
	for i, rule := range rules {
		setUser(t, admin, slices.Delete(slices.Clone(rules), i, i+1)...)
		err := opening()
		var missing *ports.RightsError
		if !errors.Is(err, ports.ErrNoPermission) || !errors.As(err, &missing) {
			t.Errorf("without %s: %v", rule, err)
			continue
		}
		named := append(append(slices.Clone(missing.Commands), missing.Keys...), missing.Channels...)
		if rule == "+ping" || rule[0] == '~' && strings.HasPrefix(rule, "~cc:") { // fails earlier, or at every key
			continue
		}
		if !slices.ContainsFunc(named, func(name string) bool { return strings.HasPrefix(name, strings.TrimSuffix(rule[1:], "*")) }) {
			t.Errorf("without %s the error names %q: %v", rule, named, err)
		}
	}
	for _, usual := range [][]string{{"~*", "&*", "+@all", "-@dangerous"}, {"~*", "+@all"}} { // the second one is without channels
		setUser(t, admin, usual...)
		if err := opening(); !errors.Is(err, ports.ErrNoPermission) {
			t.Errorf("%v: %v", usual, err)
		}
	}
}

// TestProbe_NoticesRightsTakenAway checks that Probe detects a lost right and its return.
func TestProbe_NoticesRightsTakenAway(t *testing.T) {
	server := redistest.Start(t)
	admin := rig.Connect(t, server.URL())
	keys := rig.NewKeys(t, 2)
	rules := health.LogRights(keys).Rules(false)
	setUser(t, admin, rules...)
	log := rig.Open(t, rig.Connect(t, asCore(server)), keys)
	if err := log.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	before := rig.Dump(t, admin)
	if err := log.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if after := rig.Dump(t, admin); len(after) != len(before) {
		t.Errorf("a probe left keys: %d before, %d after", len(before), len(after))
	}
	for _, rule := range []string{"-publish", "-xadd", "-info", "resetchannels", "resetkeys"} {
		setUser(t, admin, append(slices.Clone(rules), rule)...)
		if err := log.Probe(t.Context()); !errors.Is(err, ports.ErrNoPermission) {
			t.Errorf("with %s: %v", rule, err)
		}
		setUser(t, admin, rules...)
		if err := log.Probe(t.Context()); err != nil {
			t.Errorf("with all rights again: %v", err)
		}
	}
}

// reversal lists the commands with which the script of an append reverts its writes.
var reversal = []string{"XDEL", "DECR", "SREM", "ZREM", "LTRIM"}

// erasing lists the commands that only erasures need: see TestScript_AppendErasure.
var erasing = []string{"HEXISTS", "LSET", "HDEL"}

// TestAppend_IsTruthfulWithoutARight revokes one command of the script from a running log: the append writes everything or nothing. If a command of
// the reversal is missing as well, the outcome is unknown, and appends stop until the right is back, so that no other chat is left half written.
func TestAppend_IsTruthfulWithoutARight(t *testing.T) {
	commands := commandsOf(luaSource(t, "eventlog/script/append.lua"))
	for _, needed := range []string{"PTTL", "TIME", "INCRBY", "PEXPIRE", "GET", "RPUSH", "HSET", "ZADD", "SADD", "XADD", "XREVRANGE", "PUBSUB", "PUBLISH", "DEL", "INFO", "MGET"} {
		if !slices.Contains(commands, needed) {
			t.Fatalf("%s is not among %v", needed, commands)
		}
	}
	for _, command := range commands {
		t.Run(command, func(t *testing.T) { appendWithout(t, strings.ToLower(command)) })
	}
	for _, command := range reversal {
		t.Run("HSET "+command, func(t *testing.T) { appendWithout(t, "hset", strings.ToLower(command)) })
	}
	t.Run("RPUSH LTRIM", func(t *testing.T) { appendWithout(t, "rpush", "ltrim") }) // the first write needs no reversal
}

func appendWithout(t *testing.T, command string, more ...string) {
	server := redistest.Shared(t)
	admin := rig.Connect(t, server.URL())
	keys := rig.NewKeys(t, 2)
	rules := health.LogRights(keys).Rules(false)
	user := strings.Join(append([]string{"core", command}, more...), "-")
	grant := func(more ...string) {
		t.Helper()
		words := []any{"acl", "setuser", user, "reset", "on", ">secret"}
		for _, rule := range append(slices.Clone(rules), more...) {
			words = append(words, rule)
		}
		if err := admin.Do(t.Context(), words...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	grant()
	log := rig.Open(t, rig.Connect(t, strings.Replace(server.URL(), "redis://", "redis://"+user+":secret@", 1)), keys)
	rig.Appended(t, log, rig.Created("c"))
	rig.Appended(t, log, rig.Sent("c", "m"))
	revoked := []string{"-" + command}
	for _, command := range more {
		revoked = append(revoked, "-"+command)
	}
	grant(revoked...)
	before := contents(t, admin, keys)

	// A batch that needs every command of the script: a new chat with a member, a deletion, a typing mark to remove, and limits of both kinds.
	deletion := rig.Deleted("c", "m")
	deletion.EndsTyping = "ada"
	deletion.Takes = []ports.Take{{Limit: rig.FiveLogins, N: 1, Name: []string{"ada", command}}, {Limit: rig.FivePaced, N: 1, Name: []string{"ada", command}}}
	if err := admin.Set(t.Context(), keys.Prefix()+"ratelimit:ada:"+command, 1, 0).Err(); err != nil { // the script reads its TTL, and sets one
		t.Fatal(err)
	}
	marks := typing.New(admin, keys.Typing(), domain.TypingTTL)
	if _, err := marks.Start(t.Context(), typingStart("c")); err != nil {
		t.Fatal(err)
	}
	subscription := admin.Subscribe(t.Context(), keys.Log().Live(0), keys.Log().Live(1)) // or XREVRANGE is not needed
	defer func() { _ = subscription.Close() }()
	for range keys.PartitionCount() {
		if _, err := subscription.Receive(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	outcomes, err := log.AppendBatch(t.Context(), []ports.Append{rig.Created("new"), deletion})
	after := contents(t, admin, keys)
	switch {
	case err == nil:
		for _, outcome := range outcomes {
			var take *ports.TakeError
			if undecided := errors.As(outcome.Err, &take) && errors.Is(take.Cause, ports.ErrNoPermission); outcome.Err != nil && (!undecided || command != "pttl") {
				t.Errorf("outcome: %v", outcome.Err)
			}
		}
		if after == before {
			t.Error("acknowledged, and nothing is there")
		}
		if refused := log.Refused(); (refused > 0) != (command == "publish" || command == "xrevrange" || command == "del") {
			t.Errorf("%d refusals are counted", refused)
		}
		unneeded := append([]string{"PUBSUB", "PUBLISH", "XREVRANGE", "XLEN", "DEL", "LINDEX", "SET", "EXISTS", "PTTL"}, reversal...)
		unneeded = append(unneeded, erasing...)
		if !slices.Contains(unneeded, strings.ToUpper(command)) {
			t.Errorf("acknowledged without %s", command)
		}
	case errors.Is(err, ports.ErrOutcomeUnknown):
		if command != "hset" || len(more) == 0 {
			t.Errorf("without %s and %v an append can be reverted, and the error is %v", command, more, err)
		}
		if after == before {
			t.Errorf("nothing was written, and the error is %v", err)
		}
		if _, err := log.Append(t.Context(), rig.Created("another")); !errors.Is(err, ports.ErrNoPermission) || !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("the next append: %v", err)
		}
		if now := contents(t, admin, keys); now != after {
			t.Error("the next append wrote something")
		}
	case errors.Is(err, ports.ErrUnavailable) && errors.Is(err, ports.ErrNoPermission):
		if after != before {
			t.Errorf("the error says not done, and something was written: %v\nbefore %s\nafter  %s", err, before, after)
		}
	default:
		t.Errorf("error %v", err)
	}
	grant()
	if err := rig.Eventually(t, func() error {
		_, err := log.Append(t.Context(), rig.Created("later"))
		return err
	}); err != nil {
		t.Errorf("with the right again: %v", err)
	}
}

// TestSend_IsTruthfulWithoutARight revokes one command of the script of plain sends, and those that revert it. The other script then has the same rights.
func TestSend_IsTruthfulWithoutARight(t *testing.T) {
	commands := commandsOf(luaSource(t, "eventlog/script/send.lua"))
	for _, needed := range []string{"MGET", "INFO", "HMGET", "RPUSH", "XADD", "HSET", "PUBSUB", "PUBLISH", "XREVRANGE", "DEL", "LTRIM", "XDEL"} {
		if !slices.Contains(commands, needed) {
			t.Fatalf("%s is not among %v", needed, commands)
		}
	}
	send := plainCall{"send", func(t *testing.T, log *eventlog.Log, id domain.MessageID) error {
		a := rig.Sent("c", id)
		a.EndsTyping = "ada"
		a.Conditions = []domain.Condition{{Entity: domain.ChatEntity(), Version: 1}, {Entity: domain.MemberEntity("ada"), Version: 1}, {Entity: domain.MessageEntity(id)}}
		_, err := log.Append(t.Context(), a)
		return err
	}}
	for _, command := range commands {
		t.Run(command, func(t *testing.T) { send.without(t, strings.ToLower(command)) })
	}
	for _, more := range []string{"xdel", "ltrim"} {
		t.Run("HSET "+more, func(t *testing.T) { send.without(t, "hset", more) })
	}
	t.Run("XADD LTRIM", func(t *testing.T) { send.without(t, "xadd", "ltrim") })
}

// TestErase_IsTruthfulWithoutARight does the same with the script of plain erasures.
func TestErase_IsTruthfulWithoutARight(t *testing.T) {
	commands := commandsOf(luaSource(t, "eventlog/script/erase_message.lua"))
	for _, needed := range []string{
		"MGET", "INFO", "HMGET", "LINDEX", "HEXISTS", "ZCARD", "ZADD", "RPUSH", "LSET", "XADD", "HSET", "HDEL", "PUBSUB", "PUBLISH", "XREVRANGE", "XDEL", "LTRIM", "ZREM",
	} {
		if !slices.Contains(commands, needed) {
			t.Fatalf("%s is not among %v", needed, commands)
		}
	}
	erase := plainCall{"erase", func(t *testing.T, log *eventlog.Log, id domain.MessageID) error {
		seq := domain.Seq(2 + slices.Index(plainMessages, id)) //nolint:gosec // a message of the chat
		e := ports.Erasure{Message: id, Append: ports.Append{Chat: "c", Conditions: []domain.Condition{{Entity: domain.MessageEntity(id), Version: seq}}}}
		for i, event := range []domain.Durable{
			domain.MessageDelete{Chat: "c", Message: id, By: "ada", Sent: seq, At: time.Now()}, domain.MessageErased{Chat: "c", Message: id, By: "ada", Sent: seq, At: time.Now()},
		} {
			e.Events = append(e.Events, ports.NewEvent{ID: domain.EventID(fmt.Sprint("e", i, id)), Event: event, Moves: domain.Moves(event)})
		}
		_, err := log.Erase(t.Context(), e)
		return err
	}}
	for _, command := range commands {
		t.Run(command, func(t *testing.T) { erase.without(t, strings.ToLower(command)) })
	}
	for _, more := range []string{"xdel", "ltrim", "zrem"} {
		t.Run("HSET "+more, func(t *testing.T) { erase.without(t, "hset", more) })
	}
	t.Run("XADD LTRIM", func(t *testing.T) { erase.without(t, "xadd", "ltrim") })
	t.Run("RPUSH ZREM", func(t *testing.T) { erase.without(t, "rpush", "zrem") })
}

// plainCall is a call that the script of plain appends does.
type plainCall struct {
	name string
	do   func(*testing.T, *eventlog.Log, domain.MessageID) error
}

// plainMessages are the messages of the calls of a test.
var plainMessages = []domain.MessageID{"first", "second", "third"} //nolint:gochecknoglobals // never changes

// without makes calls, the second one of which lacks rights.
func (c plainCall) without(t *testing.T, revoked ...string) {
	server := redistest.Shared(t)
	admin := rig.Connect(t, server.URL())
	keys := rig.NewKeys(t, 1)
	user := c.name + "-" + strings.Join(revoked, "-")
	rules := []any{"acl", "setuser", user, "reset", "on", ">secret"}
	for _, rule := range health.LogRights(keys).Rules(false) {
		rules = append(rules, rule)
	}
	if err := admin.Do(t.Context(), rules...).Err(); err != nil {
		t.Fatal(err)
	}
	log := rig.Open(t, rig.Connect(t, strings.Replace(server.URL(), "redis://", "redis://"+user+":secret@", 1)), keys)
	rig.Appended(t, log, rig.Created("c"))
	if c.name == "erase" {
		for _, id := range plainMessages {
			rig.Appended(t, log, rig.Sent("c", id))
		}
	}
	if err := c.do(t, log, plainMessages[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := typing.New(admin, keys.Typing(), domain.TypingTTL).Start(t.Context(), typingStart("c")); err != nil {
		t.Fatal(err)
	}
	subscription := admin.Subscribe(t.Context(), keys.Log().Live(0)) // or XREVRANGE is not needed
	defer func() { _ = subscription.Close() }()
	if _, err := subscription.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	words := []any{"acl", "setuser", user}
	for _, command := range revoked {
		words = append(words, "-"+command)
	}
	if err := admin.Do(t.Context(), words...).Err(); err != nil {
		t.Fatal(err)
	}
	before := contents(t, admin, keys)
	err := c.do(t, log, plainMessages[1])
	after, optional := contents(t, admin, keys), []string{"pubsub", "publish", "xrevrange", "del", "exists", "ltrim", "xdel", "zrem", "hdel"}
	switch {
	case err == nil:
		if after == before || len(revoked) > 1 || !slices.Contains(optional, revoked[0]) {
			t.Errorf("acknowledged, something is written: %v", after != before)
		}
		if refused := log.Refused() > 0; refused != slices.Contains([]string{"publish", "xrevrange", "del"}, revoked[0]) {
			t.Errorf("refusals are counted: %v", refused)
		}
	case errors.Is(err, ports.ErrOutcomeUnknown):
		if len(revoked) < 2 || after == before {
			t.Errorf("error %v, something is written: %v", err, after != before)
		}
		if err := c.do(t, log, plainMessages[2]); !errors.Is(err, ports.ErrNoPermission) || contents(t, admin, keys) != after {
			t.Errorf("the next call: %v", err)
		}
	case !errors.Is(err, ports.ErrUnavailable) || !errors.Is(err, ports.ErrNoPermission) || after != before:
		t.Errorf("error %v, something is written: %v", err, after != before)
	}
}

// contents returns the keys of a log and their values, without witnesses, typing marks and limits.
func contents(t *testing.T, admin goredis.UniversalClient, keys keyspace.Keys) string {
	t.Helper()
	names, err := admin.Keys(t.Context(), keys.Prefix()+"*").Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		if !strings.Contains(name, ":witness:") && !strings.Contains(name, "typing") && !strings.Contains(name, "ratelimit:") && !strings.Contains(name, "cc:gcra:") && !strings.HasSuffix(name, ":t") && !strings.HasSuffix(name, ":confirm") {
			if entries, err := admin.XRange(t.Context(), name, "-", "+").Result(); err == nil { // a reverted entry leaves its id in the stream
				if len(entries) > 0 {
					fmt.Fprintf(&b, "%s=%v\n", name, entries)
				}
				continue
			}
			fmt.Fprintf(&b, "%s=%x\n", name, admin.Dump(t.Context(), name).Val())
		}
	}
	return b.String()
}

func typingStart(chat domain.ChatID) domain.TypingStart {
	now := rig.Now()
	return domain.TypingStart{Chat: chat, User: "ada", At: now, ExpiresAt: now.Add(domain.TypingTTL)}
}

// TestOpen_NeedsAHistory opens logs on servers that do not report their replication ID.
func TestOpen_NeedsAHistory(t *testing.T) {
	server := redistest.Start(t)
	setUser(t, rig.Connect(t, server.URL()), "~*", "&*", "+@all", "-info")
	for name, url := range map[string]string{"without the right": asCore(server), "a server that does not have it": "redis://" + rig.PlainMini(t).Addr()} {
		_, err := eventlog.Open(t.Context(), rig.Connect(t, url), wireformat.New(), eventlog.Config{Keys: rig.NewKeys(t, 1), Attempts: 1})
		var missing *ports.RightsError
		if !errors.Is(err, ports.ErrNoPermission) || !errors.As(err, &missing) || !slices.Contains(missing.Commands, "info") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAppend_FailsClosedWithoutInfo revokes INFO from a running log whose cache may be stale.
func TestAppend_FailsClosedWithoutInfo(t *testing.T) {
	server := redistest.Start(t)
	admin := rig.Connect(t, server.URL())
	keys := rig.NewKeys(t, 1)
	setUser(t, admin, health.LogRights(keys).Rules(false)...)
	log := rig.Open(t, rig.Connect(t, asCore(server)), keys)
	rig.Appended(t, log, rig.Created("c"))
	setUser(t, admin, append(health.LogRights(keys).Rules(false), "-info")...)
	for what, do := range map[string]func(context.Context) error{
		"append": func(ctx context.Context) error { _, err := log.Append(ctx, rig.Sent("c", "m")); return err },
		"load": func(ctx context.Context) error {
			_, err := log.Load(ctx, "c", ports.LoadRequest{Entity: domain.ChatEntity()})
			return err
		},
	} {
		if err := do(t.Context()); !errors.Is(err, ports.ErrNoPermission) || !errors.Is(err, ports.ErrUnavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if page, err := log.Read(t.Context(), "c", ports.Range{From: 1, Limit: 10}); err != nil || len(page.Records) != 1 {
		t.Errorf("%d events, error %v", len(page.Records), err)
	}
}
