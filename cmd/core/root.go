package main

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"chatcore"
)

// cli is the shared state of the commands of one command line.
type cli struct {
	out, errs io.Writer
	settings  *settings
	embedded  bool
	json      bool
	verbose   bool
	archives  bool // the command uses the vault
	patient   bool // the command lasts: it waits for a Redis that is not there yet
	logger    *slog.Logger
	begun     bool // the command line is understood, and its command runs

	handler   func(*chatcore.Core) http.Handler // of the API in tests of its server; nil: the API
	registry  *prometheus.Registry              // of the metrics that are scraped; nil if none are
	telemetry *exporters                        // of the core that is open
}

func newCLI(out, errs io.Writer) *cli { return &cli{out: out, errs: errs} }

// command returns the tree of commands, of which one may be executed.
func command(out, errs io.Writer) *cobra.Command { return newCLI(out, errs).root() }

// groups of the commands in core --help.
const (
	groupRun     = "run"
	groupChats   = "chats"
	groupUsers   = "users"
	groupOperate = "operate"
)

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "core",
		Short: "An event-sourced messaging core on Redis",
		Long: `An event-sourced messaging core on Redis: a service, and a tool to look into chats and to change them.

  core demo                                  a chat's life, without a Redis
  core chat create garden --as ada           a first chat, on the Redis of REDIS_URL
  core send garden "Hello!" --as ada
  core history garden

A command takes its object first, --as names the actor, and --json prints an object a line. Exit codes: 0 done, 1 another failure or a
finding, 2 the command line or a setting is wrong, 3 refused by a rule, 4 not found, 5 unavailable (try again), 6 the outcome is unknown.`,
		SilenceUsage:      true,
		SilenceErrors:     true,
		Version:           versionOf().String(),
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return c.prepare(cmd) },
	}
	root.SetOut(c.out)
	root.SetErr(c.errs)
	c.settings = newSettings(root.PersistentFlags())
	_ = root.RegisterFlagCompletionFunc("log-level", fixed("debug", "info", "warn", "error"))
	_ = root.RegisterFlagCompletionFunc("log-format", fixed("text", "json"))
	root.PersistentFlags().BoolVarP(&c.verbose, "verbose", "v", false, "log at level debug")
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Running:"}, &cobra.Group{ID: groupChats, Title: "Chats and messages:"},
		&cobra.Group{ID: groupUsers, Title: "Users:"}, &cobra.Group{ID: groupOperate, Title: "Operating:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		groupRun:     {c.demo(), c.serve(), c.importer(), c.tail(), c.configCommand(), c.version()},
		groupChats:   {c.chat(), c.send(), c.block("block", "Have neither of two users reach the other in their direct chat", false), c.block("unblock", "Lift the block of a user", true), c.edit(), c.delete(), c.react(), c.unreact(), c.pin(), c.unpin(), c.read(), c.typing(), c.history(), c.audit(), c.custom(), c.unread(), c.thread()},
		groupUsers:   {c.contacts(), c.blocked(), c.user(), c.session(), c.presence(), c.limit()},
		groupOperate: {c.groups(), c.webhooks(), c.rebuild(), c.deadLetters(), c.health(), c.doctor(), c.fsck(), c.erase(), c.retention(), c.hold(), c.acl(), c.token(), c.upgrade(), c.backup(), c.restore(), c.verify(), c.export(), c.vault()},
	} {
		for _, cmd := range commands {
			cmd.GroupID = group
			root.AddCommand(cmd)
		}
	}
	c.addMan(root)
	root.SetUsageFunc(usage(root.UsageFunc()))
	root.SetHelpCommand(helpCommand(root))
	c.finish(root)
	return root
}

// prepare reads the settings and makes the logger.
func (c *cli) prepare(cmd *cobra.Command) error {
	if err := c.settings.load(func(name string) bool { return cmd.Flags().Changed(name) }); err != nil {
		return err
	}
	fallback := slog.LevelError
	if cmd.Name() == "serve" {
		fallback = slog.LevelInfo
	}
	if c.verbose {
		fallback = slog.LevelDebug
	}
	var err error
	if c.logger, err = c.settings.log.logger(c.errs, fallback); err == nil {
		slog.SetDefault(c.logger)
	}
	return err
}

// finish completes every command of a tree: a command of commands refuses a word that is none of them, and one that runs notes that it has begun.
func (c *cli) finish(cmd *cobra.Command) {
	if run := cmd.RunE; run != nil {
		cmd.RunE = func(cmd *cobra.Command, args []string) error {
			c.begun = true
			return run(cmd, args)
		}
	} else if cmd.HasParent() {
		cmd.Args = unknownCommand
		cmd.Flags().BoolVar(&c.json, "json", false, "")
		_ = cmd.Flags().MarkHidden("json") // the commands below have it; here it decides about the form of an error
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	if cmd.Name() == "serve" || cmd.Name() == "config" {
		c.showSettings(cmd)
	}
	if lines := examples()[cmd.CommandPath()]; len(lines) > 0 {
		cmd.Example = "  " + strings.Join(lines, "\n  ")
	}
	for _, sub := range cmd.Commands() {
		c.finish(sub)
	}
}

// unknownCommand refuses the arguments of a command that has only commands.
func unknownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	text := fmt.Sprintf("unknown command %q for %q", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if like := cmd.SuggestionsFor(args[0]); len(like) > 0 {
		text += "; did you mean " + strings.Join(like, ", ") + "?"
	}
	return usageErrorf("%s", text)
}

// helpCommand is cobra's, with an error for a command that there is not.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]...", Short: "Show the help of a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err == nil && len(rest) > 0 && !cmd.Runnable() || err == nil && len(rest) > 0 && cmd.HasSubCommands() {
				err = unknownCommand(cmd, rest)
			}
			if err != nil {
				return usageErrorf("%w", err)
			}
			cmd.InitDefaultHelpFlag()
			return cmd.Help()
		},
	}
}

// usage returns a usage function that shows a command of commands as "core chat [command]" only, although it runs: it shows its help. Templates
// would do the same, but a program that links text/template keeps every exported method, which makes it a third larger.
func usage(usual func(*cobra.Command) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		if run := cmd.RunE; cmd.HasAvailableSubCommands() {
			cmd.RunE = nil
			defer func() { cmd.RunE = run }()
		}
		return usual(cmd)
	}
}

// showSettings adds to a command's help the flags of all settings.
func (c *cli) showSettings(cmd *cobra.Command) {
	usual := cmd.UsageFunc()
	cmd.SetUsageFunc(func(cmd *cobra.Command) error {
		if err := usual(cmd); err != nil {
			return err
		}
		all := newSettings(pflag.NewFlagSet("", pflag.ContinueOnError))
		shown := make(map[string]string)
		for _, v := range all.views() {
			shown[v.Key] = v.Value
		}
		flags := pflag.NewFlagSet("", pflag.ContinueOnError)
		for _, setting := range c.settings.list {
			flag := cmd.InheritedFlags().Lookup(setting.flag)
			if flag == nil || !flag.Hidden {
				continue
			}
			visible := *flag
			visible.Hidden = false
			if value := shown[setting.key]; value != "" && value != "0" && value != "false" {
				visible.Usage += " (default " + value + ")"
			}
			flags.AddFlag(&visible)
		}
		_, err := fmt.Fprintf(cmd.OutOrStderr(), "\nSettings, also as CHATCORE_ variables and in the file of --config:\n%s", flags.FlagUsages())
		return err
	})
}

func (c *cli) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print JSON, an object a line; errors too")
	return cmd
}

func (c *cli) embeddedFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.embedded, "embedded", false, "use a Redis in this process: nothing to install, nothing kept")
	return cmd
}

// rateFlag adds the rate limits to a command that heeds them.
func (c *cli) rateFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().Var(&c.settings.limits, "rate", "rate limit KIND=RATE/PERIOD[/BURST], such as send=30/1m; may be given several times (CHATCORE_LIMITS)")
	return cmd
}
