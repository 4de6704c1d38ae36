package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// documented returns the command lines that a page shows: in a code block, or between backticks.
func documented(page string) []string {
	var lines []string
	block := false
	for line := range strings.Lines(page) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(strings.TrimSpace(line), "```"):
			block = !block
		case block && strings.HasPrefix(line, "core "):
			line, _, _ = strings.Cut(line, " #")
			if i := strings.Index(line, "  "); i >= 0 { // an explanation follows
				line = line[:i]
			}
			lines = append(lines, line)
		case !block:
			for _, code := range regexp.MustCompile("`core ([^`]*)`").FindAllStringSubmatch(line, -1) {
				lines = append(lines, "core "+code[1])
			}
		}
	}
	return lines
}

// words are those of a shell, as far as the pages use it. Brackets of optional words are left out.
func words(line string) []string {
	var found []string
	for _, match := range regexp.MustCompile(`"([^"]*)"|'([^']*)'|[^\s\[\]]+`).FindAllString(line, -1) {
		found = append(found, strings.Trim(match, `"'`))
	}
	return found
}

// TestDocs_NameCommandsThatExist finds every documented command with its flags and the number of its arguments.
func TestDocs_NameCommandsThatExist(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join("..", "..", "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, path := range append(pages, "../../README.md", "../../CONTRIBUTING.md", "../../CHANGELOG.md", "../../findings.go", "../../acl.go") {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range documented(string(page)) {
			checked++
			if problem := undocumented(line); problem != "" {
				t.Errorf("%s: %q: %s", path, line, problem)
			}
		}
	}
	if checked < 60 {
		t.Errorf("only %d command lines were found", checked)
	}
}

// undocumented returns the fault of a command line of a page.
func undocumented(line string) string {
	args := words(line)[1:]
	if len(args) > 0 && args[0] == strings.ToUpper(args[0]) { // core COMMAND
		return ""
	}
	root := command(&buffer{}, &buffer{})
	root.InitDefaultCompletionCmd(args...)
	cmd, rest, err := root.Find(args)
	if err != nil {
		return err.Error()
	}
	if cmd.HasSubCommands() && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") {
		return cmd.CommandPath() + " has no command " + rest[0]
	}
	cmd.InitDefaultHelpFlag()
	positional, problem := arguments(cmd, rest)
	if problem != "" {
		return problem
	}
	if _, names, _ := strings.Cut(cmd.Use, " "); len(positional) > len(strings.Fields(names)) && !strings.Contains(names, "...") {
		return "it has more arguments than " + cmd.UseLine()
	}
	return ""
}

// arguments returns the arguments of a documented command line, or the fault of its flags.
func arguments(cmd *cobra.Command, rest []string) (positional []string, problem string) {
	for i := 0; i < len(rest); i++ {
		word := rest[i]
		if !strings.HasPrefix(word, "-") || word == "-" {
			positional = append(positional, word)
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(word, "-"), "=")
		var flag *pflag.Flag
		if flag = cmd.Flags().Lookup(name); flag == nil {
			flag = cmd.InheritedFlags().Lookup(name)
		}
		if flag == nil {
			return nil, "there is no --" + name
		}
		if !hasValue && flag.NoOptDefVal == "" && i+1 < len(rest) && !strings.HasPrefix(rest[i+1], "--") {
			i++
		}
	}
	return positional, ""
}

// TestDocs_ShowTheSettings compares the page with the flags of all settings: each setting is reachable from the field that the table names.
func TestDocs_ShowTheSettings(t *testing.T) {
	var out buffer
	help := command(&out, &out)
	help.SetArgs([]string{"config", "--help"})
	if err := help.ExecuteContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, setting := range newSettings(pflag.NewFlagSet("", pflag.ContinueOnError)).list {
		if setting.flag != "" && setting.local == nil && !strings.Contains(out.String(), "--"+setting.flag+" ") {
			t.Errorf("core config --help does not show --%s", setting.flag)
		}
	}
}
