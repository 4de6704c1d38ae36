package effect

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"chatcore/domain"
	"chatcore/ports"
)

// form describes a command. If all words have the right form and all keys hold the right type, the command can fail only because of the server.
type form struct {
	needs  string // required type of the key's value, "" for any
	leaves string // type of the value afterwards, "" for none, "=" for unchanged, "-" if the command has no key
	counts string // where a whole number is required: "k" in the key, "f" in the field named by the third word
	usage  string // the words after the name
	fits   func(args []string) bool
}

// knownCommands is for error messages.
const knownCommands = "SET, INCR, INCRBY, DECR, DECRBY, APPEND, HSET, HDEL, HINCRBY, SADD, SREM, ZADD, ZINCRBY, ZREM, RPUSH, LPUSH, LTRIM, XADD, " +
	"DEL, UNLINK, EXPIRE, PEXPIRE, PERSIST, PUBLISH"

// maxWords is the maximum number of words of a command in an effect: a script cannot pass on arbitrarily many.
const maxWords = 1000

func formOf(name string) (form, bool) {
	switch name {
	case "SET":
		return form{"", "string", "", "KEY VALUE [EX SECONDS | PX MILLISECONDS]", fitsSet}, true
	case "INCR", "DECR":
		return form{"string", "string", "k", "KEY", exactly(1)}, true
	case "INCRBY", "DECRBY":
		return form{"string", "string", "k", "KEY NUMBER", func(a []string) bool { return len(a) == 2 && whole(a[1]) }}, true
	case "APPEND":
		return form{"string", "string", "", "KEY VALUE", exactly(2)}, true
	case "HSET":
		return form{"hash", "hash", "", "KEY FIELD VALUE [FIELD VALUE …]", pairsAfter(1)}, true
	case "HDEL":
		return form{"hash", "hash", "", "KEY FIELD …", atLeast(2)}, true
	case "HINCRBY":
		return form{"hash", "hash", "f", "KEY FIELD NUMBER", func(a []string) bool { return len(a) == 3 && whole(a[2]) }}, true
	case "SADD", "SREM":
		return form{"set", "set", "", "KEY MEMBER …", atLeast(2)}, true
	case "ZADD":
		return form{"zset", "zset", "", "KEY SCORE MEMBER [SCORE MEMBER …]", fitsZAdd}, true
	case "ZINCRBY":
		return form{"zset", "zset", "", "KEY NUMBER MEMBER", func(a []string) bool { return len(a) == 3 && finite(a[1]) }}, true
	case "ZREM":
		return form{"zset", "zset", "", "KEY MEMBER …", atLeast(2)}, true
	case "RPUSH", "LPUSH":
		return form{"list", "list", "", "KEY VALUE …", atLeast(2)}, true
	case "LTRIM":
		return form{"list", "list", "", "KEY START STOP", func(a []string) bool { return len(a) == 3 && whole(a[1]) && whole(a[2]) }}, true
	case "XADD":
		return form{"stream", "stream", "", "KEY [MAXLEN [~] COUNT] * FIELD VALUE [FIELD VALUE …]", fitsXAdd}, true
	case "DEL", "UNLINK":
		return form{"", "", "", "KEY", exactly(1)}, true
	case "EXPIRE", "PEXPIRE":
		return form{"", "=", "", "KEY TIME", func(a []string) bool { return len(a) == 2 && lifetime(a[1]) }}, true
	case "PERSIST":
		return form{"", "=", "", "KEY", exactly(1)}, true
	case "PUBLISH":
		return form{"", "-", "", "CHANNEL PAYLOAD", exactly(2)}, true
	}
	return form{}, false
}

func exactly(n int) func([]string) bool { return func(args []string) bool { return len(args) == n } }

func atLeast(n int) func([]string) bool { return func(args []string) bool { return len(args) >= n } }

func pairsAfter(n int) func([]string) bool {
	return func(args []string) bool { return len(args) >= n+2 && (len(args)-n)%2 == 0 }
}

// whole reports whether s is an integer that cannot overflow when another one is added.
func whole(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n < 1e18 && n > -1e18 && strconv.FormatInt(n, 10) == s
}

func finite(s string) bool {
	f, err := strconv.ParseFloat(s, 64)
	return err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) && !strings.ContainsAny(s, "_xXpP")
}

// lifetime reports whether s is a valid TTL in any unit.
func lifetime(s string) bool {
	n, err := strconv.ParseInt(s, 10, 64)
	return err == nil && n > 0 && n < 1e13 && whole(s)
}

func fitsSet(args []string) bool {
	if len(args) == 2 {
		return true
	}
	return len(args) == 4 && (strings.EqualFold(args[2], "EX") || strings.EqualFold(args[2], "PX")) && lifetime(args[3])
}

func fitsZAdd(args []string) bool {
	if !pairsAfter(1)(args) {
		return false
	}
	for i := 1; i < len(args); i += 2 {
		if !finite(args[i]) {
			return false
		}
	}
	return true
}

func fitsXAdd(args []string) bool {
	if len(args) < 2 {
		return false
	}
	rest := args[1:]
	if strings.EqualFold(rest[0], "MAXLEN") {
		rest = rest[1:]
		if len(rest) > 0 && rest[0] == "~" {
			rest = rest[1:]
		}
		if len(rest) < 2 || !whole(rest[0]) || strings.HasPrefix(rest[0], "-") {
			return false
		}
		rest = rest[1:]
	}
	return rest[0] == "*" && pairsAfter(1)(rest)
}

// planned is a command with its form.
type planned struct {
	ports.Command
	form
}

// plan checks the commands of an effect.
func plan(commands []ports.Command) ([]planned, error) {
	refuse := func(i int, problem, allowed string) error {
		return &domain.InvalidError{Field: fmt.Sprintf("command %d", i+1), Problem: problem, Allowed: allowed}
	}
	if n := len(commands); n == 0 || n > maxWords {
		return nil, &domain.InvalidError{Field: "effect", Problem: fmt.Sprintf("has %d commands", n), Allowed: fmt.Sprintf("1 to %d commands", maxWords)}
	}
	plans := make([]planned, len(commands))
	set := make(map[string]string) // key → the command that sets its text or fields
	for i, c := range commands {
		if len(c) == 0 {
			return nil, refuse(i, "is empty", knownCommands)
		}
		name := strings.ToUpper(c[0])
		form, known := formOf(name)
		switch {
		case !known:
			return nil, refuse(i, fmt.Sprintf("is %q", c[0]), knownCommands)
		case len(c) > maxWords:
			return nil, refuse(i, fmt.Sprintf("has %d words", len(c)), fmt.Sprintf("at most %d", maxWords))
		case !form.fits(c[1:]):
			return nil, refuse(i, name+" has other arguments", name+" "+form.usage)
		case form.counts != "" && set[c[1]] != "":
			return nil, refuse(i, fmt.Sprintf("%s counts in %q, which %s has set", name, c[1], set[c[1]]), "the sum, set at once")
		}
		switch name {
		case "SET", "APPEND", "HSET":
			set[c[1]] = name
		}
		plans[i] = planned{c, form}
	}
	return plans, nil
}
