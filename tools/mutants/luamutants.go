package main

import (
	"regexp"
	"slices"
	"strings"
)

// luaToken is a name, a number, an operator or a string.
type luaToken struct {
	text     string
	from, to int
}

var luaTokens = regexp.MustCompile(`--[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|[A-Za-z_]\w*|\d[\w.]*|[=~<>]=|\.\.+|\S`)

func luaScan(src string) (tokens []luaToken) {
	for _, at := range luaTokens.FindAllStringIndex(src, -1) {
		if text := src[at[0]:at[1]]; !strings.HasPrefix(text, "--") {
			tokens = append(tokens, luaToken{text, at[0], at[1]})
		}
	}
	return tokens
}

// luaWithoutComments removes comments but not their line breaks.
func luaWithoutComments(src string) string {
	return luaTokens.ReplaceAllStringFunc(src, func(token string) string {
		if strings.HasPrefix(token, "--") {
			return ""
		}
		return token
	})
}

// luaWrites lists the writing commands of the scripts.
var luaWrites = []string{
	"SET", "DEL", "UNLINK", "HSET", "HDEL", "HINCRBY", "INCRBY", "INCR", "EXPIRE", "PEXPIRE", "PEXPIREAT", "PERSIST", "RPUSH", "LPUSH", "LTRIM", "LPOP", "RPOP",
	"ZADD", "ZREM", "SADD", "SREM", "XADD", "XTRIM", "XDEL", "PUBLISH", "ZREMRANGEBYSCORE", "HSETNX", "SETEX", "PSETEX", "RESTORE", "XGROUP",
}

var luaSwaps = map[string][]string{
	"==": {"~="}, "~=": {"=="}, "<": {"<=", ">="}, "<=": {"<", ">"}, ">": {">=", "<="}, ">=": {">", "<"},
}

// luaMutants returns the mutants of a script: reversed comparisons or ones with the other boundary, conditions that always or never hold, removed
// operands, removed writes.
func luaMutants(file, src string) (mutants []mutant) {
	tokens := luaScan(src)
	add := func(from, to int, kind, text string) {
		line := 1 + strings.Count(src[:from], "\n")
		mutants = append(mutants, mutant{file: file, line: line, what: kind + ": " + oneLine(src[from:to]), script: src[:from] + text + src[to:]})
	}
	for i, t := range tokens {
		for _, other := range luaSwaps[t.text] {
			from, to := luaAround(tokens, i)
			add(from, to, "with "+other, src[from:t.from]+other+src[t.to:to])
		}
		switch t.text {
		case "if", "elseif":
			if end := luaThen(tokens, i); end > i+1 {
				from, to := tokens[i+1].from, tokens[end-1].to
				add(from, to, "always", "true or ("+src[from:to]+")")
				add(from, to, "never", "false and ("+src[from:to]+")")
				luaOperands(src, tokens[i+1:end], add)
			}
		case "redis":
			if end := luaWrite(tokens, i); end > 0 {
				add(t.from, tokens[end].to, "removed", "")
			}
		}
	}
	return mutants
}

// luaAround returns some text around a comparison, for the list.
func luaAround(tokens []luaToken, i int) (from, to int) {
	return tokens[max(0, i-3)].from, tokens[min(len(tokens)-1, i+3)].to
}

func luaThen(tokens []luaToken, i int) int {
	for k := i + 1; k < len(tokens); k++ {
		if tokens[k].text == "then" {
			return k
		}
	}
	return 0
}

// luaOperands removes the operands of and/or at the top of a condition.
func luaOperands(src string, tokens []luaToken, add func(from, to int, kind, text string)) {
	depth, start := 0, 0
	var parts [][2]int
	var operators []string
	for k, t := range tokens {
		switch t.text {
		case "(", "[", "{", "function":
			depth++
		case ")", "]", "}", "end":
			depth--
		case "and", "or":
			if depth == 0 {
				parts, operators, start = append(parts, [2]int{tokens[start].from, tokens[k-1].to}), append(operators, t.text), k+1
			}
		}
	}
	if len(operators) == 0 {
		return
	}
	parts = append(parts, [2]int{tokens[start].from, tokens[len(tokens)-1].to})
	for k, p := range parts {
		neutral := "true"
		if operators[max(0, k-1)] == "or" {
			neutral = "false"
		}
		add(p[0], p[1], "without", neutral)
	}
}

// luaWrite returns the end of the call of a write that is a separate statement, or 0.
func luaWrite(tokens []luaToken, i int) int {
	if i+5 >= len(tokens) || tokens[i+1].text != "." || (tokens[i+2].text != "call" && tokens[i+2].text != "pcall") || tokens[i+3].text != "(" {
		return 0
	}
	if i > 0 && slices.Contains([]string{"=", "(", ",", "return", "{", "not", "and", "or", "==", "in", "if"}, tokens[i-1].text) {
		return 0
	}
	if !slices.Contains(luaWrites, strings.ToUpper(strings.Trim(tokens[i+4].text, `'"`))) {
		return 0
	}
	depth := 0
	for k := i + 3; k < len(tokens); k++ {
		switch tokens[k].text {
		case "(":
			depth++
		case ")":
			if depth--; depth == 0 {
				return k
			}
		}
	}
	return 0
}
