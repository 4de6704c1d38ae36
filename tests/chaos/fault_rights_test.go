package chaos

import (
	"context"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/tests/redistest"
)

// user is the Redis user of workers and writers, with the least rights. Operators use the default user.
const user = "core"

// rightsOf are the rules of that user, for a core at a URL of this form.
func rightsOf(t *testing.T, url string) []string {
	t.Helper()
	acl, err := chatcore.ACLOf(chatcore.Config{Redis: chatcore.RedisConfig{URL: url}}, false)
	if err != nil {
		t.Fatal(err)
	}
	return append(acl.Log, "~"+countersPrefix+"*")
}

// accounts are the arguments of a server that has the user.
func accounts(rules []string) []string {
	return append([]string{"--user", user, "on", ">" + user}, rules...)
}

// asUser is a URL with the user's name and password.
func asUser(url string) string {
	return strings.ReplaceAll(url, "redis://", "redis://"+user+":"+user+"@")
}

const takeRights = "take rights"

// onRights revokes rights of the user on all servers and grants them again. An append that lacks one of them is done wholly or not at all, so that
// the log can be read afterwards.
func onRights(t *testing.T, rules []string, o *operator, nodes func() []*redistest.Server) attack {
	set := func(rules ...string) {
		args := []any{"acl", "setuser", user}
		for _, rule := range rules {
			args = append(args, rule)
		}
		for _, s := range nodes() {
			if err := s.Client(t).Do(context.WithoutCancel(t.Context()), args...).Err(); err != nil {
				t.Errorf("rights %v on %s: %v", rules, s.Addr(), err)
			}
		}
	}
	taken := []string{"-@all", "-xadd", "-publish", "-rpush", "-hset", "-evalsha", "-xrange", "resetchannels", "resetkeys"}
	return attack{takeRights, func(d dice) (string, func()) {
		one := taken[d.IntN(len(taken))]
		set(one)
		d.between(500*time.Millisecond, lease+time.Second)
		set(append([]string{"-@all", "resetkeys", "resetchannels"}, rules...)...)
		return one, o.awaitWhole
	}}
}
