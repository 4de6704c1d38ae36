package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// commands calls fn with every command that runs.
func commands(fn func(cmd *cobra.Command)) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if !cmd.HasSubCommands() {
			fn(cmd)
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(command(&buffer{}, &buffer{}))
}

// TestHelp_NamesValues of the flags of commands, and says of each flag that is required that it is.
func TestHelp_NamesValues(t *testing.T) {
	commands(func(cmd *cobra.Command) {
		cmd.LocalNonPersistentFlags().VisitAll(func(flag *pflag.Flag) {
			value, usage := pflag.UnquoteUsage(flag)
			if flag.Value.Type() != "bool" && (value == "" || value != strings.ToUpper(value)) {
				t.Errorf("%s --%s takes a %q", cmd.CommandPath(), flag.Name, value)
			}
			_, required := flag.Annotations[cobra.BashCompOneRequiredFlag]
			if required != strings.HasSuffix(usage, "(required)") {
				t.Errorf("%s --%s is required: %t, by its help %q", cmd.CommandPath(), flag.Name, required, usage)
			}
		})
	})
}

// TestHelp_Examples are given for every command with arguments, and are command lines that the program takes.
func TestHelp_Examples(t *testing.T) {
	paths := make(map[string]bool)
	commands(func(cmd *cobra.Command) {
		paths[cmd.CommandPath()] = true
		if !cmd.Hidden && strings.ContainsAny(cmd.Use, " ") && cmd.Example == "" {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		for line := range strings.Lines(cmd.Example) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), "  ")
			given := words(line)
			found, rest, err := command(&buffer{}, &buffer{}).Find(given[1:])
			if err != nil || found.CommandPath() != cmd.CommandPath() {
				t.Errorf("%q is no command line of %s: %v", line, cmd.CommandPath(), err)
				continue
			}
			if err := found.ParseFlags(rest); err != nil {
				t.Errorf("%q: %v", line, err)
				continue
			}
			if err := found.ValidateArgs(found.Flags().Args()); err != nil {
				t.Errorf("%q: %v", line, err)
			}
			if err := found.ValidateRequiredFlags(); err != nil {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
	for path := range examples() {
		if !paths[path] {
			t.Errorf("there are examples of %q, which is no command that runs", path)
		}
	}
}

// TestHelp_OfGroups shows the commands below, and no way to run the group itself.
func TestHelp_OfGroups(t *testing.T) {
	for _, name := range []string{"", "chat", "session", "groups", "deadletters"} {
		var out buffer
		cmd := command(&out, &out)
		cmd.SetArgs(append(strings.Fields(name), "--help"))
		if err := cmd.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if text := out.String(); strings.Contains(text, "[flags]") || !strings.Contains(text, "[command]") {
			t.Errorf("core %s --help:\n%s", name, text)
		}
	}
}
