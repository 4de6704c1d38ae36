package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

var errNotConfirmed = fmt.Errorf("%w once every program on the log is new enough", errUnsure)

func (c *cli) upgrade() *cobra.Command {
	var to int
	var names []string
	var yes, rewrite bool
	cmd := &cobra.Command{
		Use: "upgrade", Short: "Raise the level of a log, or change its names", Args: cobra.NoArgs,
		Long: "Raise the level of a log to the highest that this program knows, or to --to, while programs use it. Programs that do not know the level stop:\n" +
			"upgrade them first (docs/upgrading.md). Shows the steps, and takes them with --yes; one that was interrupted is finished by the next one.\n" +
			"--name changes the names of keys or channels; programs with the old names stop, and data under old names stays there.\n" +
			"--rewrite stores the older events of a log at level 3 in the compact form, while programs use it; one that was interrupted is continued by the next one.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.located(cmd.Context())
			if err != nil {
				return err
			}
			if rewrite {
				return c.rewrite(cmd.Context(), config)
			}
			changes := make(map[string]string)
			for _, name := range names {
				field, value, ok := strings.Cut(name, "=")
				if !ok {
					return &domain.InvalidError{Field: "name", Problem: fmt.Sprintf("is %.80q", name), Allowed: "NAME=VALUE, such as Session=s: or Channels/message:new=new; without a value it is the default"}
				}
				changes[field] = value
			}
			return c.raise(cmd.Context(), config, chatcore.UpgradeConfig{To: to, Names: changes}, yes)
		},
	}
	cmd.Flags().IntVar(&to, "to", 0, fmt.Sprintf("`LEVEL` to reach (default %d, the highest that this program knows)", chatcore.LogLevel))
	cmd.Flags().StringArrayVar(&names, "name", nil, "name to change, as `NAME=VALUE`, such as Session=s: or Channels/message:new=new")
	cmd.Flags().BoolVar(&yes, "yes", false, "take the steps, which stop older programs")
	cmd.Flags().BoolVar(&rewrite, "rewrite", false, "store older events in the compact form, and change nothing else")
	cmd.MarkFlagsMutuallyExclusive("rewrite", "to")
	cmd.MarkFlagsMutuallyExclusive("rewrite", "name")
	return c.jsonFlag(cmd)
}

// rewriteEvery is the time between two lines of progress.
const rewriteEvery = 5 * time.Second

// rewrite stores older events in the compact form. It writes its progress to standard error.
func (c *cli) rewrite(ctx context.Context, config chatcore.Config) error {
	shown := time.Now()
	done, err := chatcore.Rewrite(ctx, config, func(p chatcore.RewriteProgress) error {
		if time.Since(shown) >= rewriteEvery {
			shown = time.Now()
			fmt.Fprintf(c.errs, "%d chats, %d of %d segments rewritten, %d bytes saved\n", p.Chats, p.Rewritten, p.Segments, p.Saved)
		}
		return nil
	})
	if printed := c.print(rewriteView(done), fmt.Sprintf("%d chats, %d of %d segments rewritten, %d events, %d bytes saved", done.Chats, done.Rewritten, done.Segments, done.Events, done.Saved)); printed != nil {
		return printed
	}
	return err
}

type rewriteView struct {
	Chats     int   `json:"chats"`
	Segments  int   `json:"segments"`
	Rewritten int   `json:"rewritten"`
	Changed   int   `json:"changed"`
	Events    int   `json:"events"`
	Saved     int64 `json:"savedBytes"`
}

// raise shows the steps of an upgrade and, if they were agreed to, takes them.
func (c *cli) raise(ctx context.Context, config chatcore.Config, u chatcore.UpgradeConfig, yes bool) error {
	info, err := chatcore.FindLog(ctx, config)
	if err != nil {
		return err
	}
	u.DryRun = !yes
	steps, err := chatcore.Upgrade(ctx, config, u)
	for _, s := range steps {
		what := fmt.Sprintf("level %d to %d", s.From, s.To)
		if s.From == s.To {
			what = fmt.Sprintf("level %d", s.To)
		}
		if s.Renamed {
			what += ", other names"
		}
		if err := c.print(stepView{info.ID, s.Partition, s.From, s.To, s.Renamed, yes}, fmt.Sprintf("partition %d: %s", s.Partition, what)); err != nil {
			return err
		}
	}
	switch {
	case err != nil:
		return err
	case len(steps) == 0:
		fmt.Fprintf(c.errs, "log %s is at level %d already, with these names\n", info.ID, info.Level)
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(u.Names)) {
		fmt.Fprintf(c.errs, "%s becomes %q\n", name, u.Names[name])
	}
	if !yes {
		fmt.Fprintf(c.errs, "programs that do not know level %d, or have other names, stop with these steps\n", steps[0].To)
		return errNotConfirmed
	}
	return nil
}

type stepView struct {
	LogID     string `json:"logId"`
	Partition int    `json:"partition"`
	From      int    `json:"from"`
	To        int    `json:"to"`
	Renamed   bool   `json:"renamed"`
	Done      bool   `json:"done"`
}
