package tests

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// proseRules are the ways of writing that TestProse counts. docs/glossary.md names what to write instead.
var proseRules = []struct {
	name string
	text *regexp.Regexp
}{
	// A sentence names its subject.
	{"headless", regexp.MustCompile(`^(What|Who|Whoever|Whom|Whose|Whatever|Whichever|Of (someone|those|what|whom|who|whoever))\b[^?]*$`)},
	// Verbs and nouns that have a standard term.
	{"phrase", regexp.MustCompile(`(?i)\b(told|tells?|telling|tak(e|es|en|ing) down|took down|g[ia]v(e|es|en|ing) back|set(s|ting)? aside|lays?|laid|laying|h[eo]ld(s|ing)? up|` +
		`ma[dk](e|es|ing) right|com(e|es|ing) to|came to|look(s|ed|ing)? at|whoever|of one's own)\b`)},
}

// sentence is a piece of text and where it begins.
type sentence struct {
	file string
	line int
	text string
}

// TestProse finds breaches of the rules of language in comments, docs and messages.
func TestProse(t *testing.T) {
	found := make(map[string][]string) // by rule and folder
	sources := os.DirFS("..")
	err := fs.WalkDir(sources, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipped(d.Name())
		}
		if file == "tests/prose_test.go" || file == "docs/glossary.md" { // they name the phrases
			return nil
		}
		sentences, err := sentencesOf(sources, file)
		if err != nil {
			return err
		}
		for _, s := range sentences {
			for _, rule := range proseRules {
				if rule.text.MatchString(s.text) {
					key := rule.name + " " + path.Dir(file)
					found[key] = append(found[key], fmt.Sprintf("%s:%d: %s", s.file, s.line, s.text))
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range slices.Sorted(maps.Keys(found)) {
		t.Errorf("%s: %d breaches:\n%s", key, len(found[key]), strings.Join(found[key], "\n"))
	}
}

// TestProse_Rules shows that each rule matches what it is for, and nothing else.
func TestProse_Rules(t *testing.T) {
	for text, want := range map[string]string{
		"What was handed out is taken back.":       "headless",
		"Of someone who left, nothing stays.":      "headless",
		"What does a command cost?":                "",
		"Whatever happens, it ends.":               "headless",
		"The member releases what it has.":         "",
		"The server told its replication ID.":      "phrase",
		"lay gives a new group the heads.":         "phrase",
		"The layer test compares imports.":         "",
		"A retry holds up the chat.":               "phrase",
		"The member gives the partition back.":     "",
		"The caller looks at the result.":          "phrase",
		"The count comes to what a fold returns.":  "phrase",
		"The lease expires after its last renewal": "",
	} {
		var got string
		for _, rule := range proseRules {
			if rule.text.MatchString(text) {
				got = rule.name
			}
		}
		if got != want {
			t.Errorf("%q: rule %q, want %q", text, got, want)
		}
	}
}

// sentencesOf returns the sentences of a file's comments, messages and paragraphs.
func sentencesOf(sources fs.FS, file string) ([]sentence, error) {
	switch path.Ext(file) {
	case ".go", ".lua", ".md", ".proto", ".ts":
	default:
		return nil, nil
	}
	text, err := fs.ReadFile(sources, file)
	if err != nil {
		return nil, err
	}
	switch path.Ext(file) {
	case ".go":
		return goSentences(file, text)
	case ".lua":
		return lineSentences(file, string(text), func(line string) (string, bool) { return strings.CutPrefix(strings.TrimSpace(line), "--") }), nil
	case ".proto", ".ts":
		return lineSentences(file, string(text), func(line string) (string, bool) { return strings.CutPrefix(strings.TrimLeft(line, " *"), "// ") }), nil
	}
	code := false
	return lineSentences(file, string(text), func(line string) (string, bool) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			code = !code
			return "", false
		}
		return strings.TrimLeft(line, " -*#>"), !code && strings.TrimSpace(line) != ""
	}), nil
}

// goSentences returns the sentences of comments and, save in tests, of string literals that hold words.
func goSentences(file string, text []byte) ([]sentence, error) {
	set := token.NewFileSet()
	parsed, err := parser.ParseFile(set, file, text, parser.ParseComments)
	if err != nil || ast.IsGenerated(parsed) {
		return nil, err
	}
	var found []sentence
	for _, group := range parsed.Comments {
		found = append(found, split(file, set.Position(group.Pos()).Line, group.Text())...)
	}
	if strings.HasSuffix(file, "_test.go") {
		return found, nil
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		literal, ok := n.(*ast.BasicLit)
		if !ok || literal.Kind != token.STRING {
			return true
		}
		if value, err := strconv.Unquote(literal.Value); err == nil && strings.Count(value, " ") > 1 {
			found = append(found, split(file, set.Position(literal.Pos()).Line, value)...)
		}
		return true
	})
	return found, nil
}

// lineSentences returns the sentences of consecutive lines that text accepts.
func lineSentences(file, all string, text func(line string) (string, bool)) (found []sentence) {
	var paragraph strings.Builder
	start, number := 0, 0
	end := func() {
		found = append(found, split(file, start, paragraph.String())...)
		paragraph.Reset()
	}
	for line := range strings.Lines(all) {
		number++
		content, ok := text(line)
		if !ok {
			end()
			continue
		}
		if paragraph.Len() == 0 {
			start = number
		}
		paragraph.WriteString(content)
		paragraph.WriteByte(' ')
	}
	end()
	return found
}

var sentenceEnd = regexp.MustCompile(`[.!?:]\**\s+|\n\n`)

// split cuts a text into sentences. Names in code are not prose.
func split(file string, line int, text string) (found []sentence) {
	text = regexp.MustCompile("`[^`]*`|' [a-z]+'").ReplaceAllString(text, "`…`") // the latter are fields in Redis
	from := 0
	add := func(to int) {
		if words := strings.Join(strings.Fields(text[from:to]), " "); words != "" {
			found = append(found, sentence{file: file, line: line + strings.Count(text[:from], "\n"), text: words})
		}
		from = to
	}
	for _, end := range sentenceEnd.FindAllStringIndex(text, -1) {
		add(end[1])
	}
	add(len(text))
	return found
}
