package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// retention defines the settings of retention.
func (b binder) retention(c *chatcore.Config) {
	b.add("retention.max-age", &c.Retention.MaxAge, "age from which on messages are erased, at least 1m").means("no age")
	b.add("retention.max-messages", &c.Retention.MaxMessages, "newest messages of a chat that are kept").means("all of them")
	b.add("retention.rate", &c.Retention.Rate, "messages that retention erases in a second, in this process")
}

func (c *cli) retention() *cobra.Command {
	return parent("retention", "Show, set and run the rules by which messages are erased", c.retentionStatus(), c.retentionSet(), c.retentionClear(), c.retentionRun())
}

// policyView is a retention policy with its effect.
type policyView struct {
	ChatID domain.ChatID `json:"chatId,omitempty"` // empty for the log
	retentionView
	Inherits bool           `json:"inherits,omitempty"`
	Applied  *retentionView `json:"applied,omitempty"` // now
	From     time.Time      `json:"from,omitzero"`     // end of the grace
	SetAt    time.Time      `json:"setAt,omitzero"`
	SetBy    domain.UserID  `json:"setBy,omitempty"`
	Due      *int           `json:"due,omitempty"`
}

type retentionView struct {
	MaxAge      float64 `json:"maxAgeSeconds,omitempty"`
	MaxMessages int     `json:"maxMessages,omitempty"`
}

func retentionViewOf(r domain.Retention) retentionView {
	return retentionView{r.MaxAge.Seconds(), r.MaxMessages}
}

// keptText describes a retention for people.
func keptText(r domain.Retention) string {
	var parts []string
	if r.MaxAge > 0 {
		parts = append(parts, r.MaxAge.String())
	}
	if r.MaxMessages > 0 {
		parts = append(parts, count(r.MaxMessages, "message"))
	}
	if len(parts) == 0 {
		return "all"
	}
	return strings.Join(parts, ", ")
}

func (c *cli) retentionStatus() *cobra.Command {
	var counts bool
	cmd := &cobra.Command{
		Use: "status", Short: "Show what is kept, from when on, and how much is due",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				all, err := core.Retention.Status(cmd.Context(), counts)
				if err != nil {
					return err
				}
				l := c.list("", "CHAT", "KEEPS", "NOW", "FROM", "DUE")
				for _, s := range all {
					view, applied := policyViewOf(s.Chat, s.Policy), retentionViewOf(s.Applied)
					if view.Applied = &applied; counts {
						view.Due = &s.Due
					}
					if err := l.add(view, policyRow(s, counts)...); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	}
	cmd.Flags().BoolVar(&counts, "count", false, "count what is due, which reads the messages that are")
	return c.takes(c.jsonFlag(cmd))
}

func policyViewOf(chat domain.ChatID, p domain.RetentionPolicy) policyView {
	return policyView{ChatID: chat, retentionView: retentionViewOf(p.Retention), Inherits: p.Inherits, From: p.From, SetAt: p.SetAt, SetBy: p.SetBy}
}

func policyRow(s app.PolicyStatus, counts bool) []string {
	chat, keeps, from, due := string(s.Chat), keptText(s.Policy.Retention), "-", "-"
	if chat == "" {
		chat = "(all others)"
	}
	if s.Policy.Inherits {
		keeps = "as the log"
	}
	if !s.Policy.From.IsZero() {
		from = s.Policy.From.Format(minutes)
	}
	if counts {
		due = fmt.Sprint(s.Due)
	}
	return []string{chat, keeps, keptText(s.Applied), from, due}
}

func (c *cli) retentionSet() *cobra.Command {
	var actor string
	var kept domain.Retention
	var all bool
	cmd := &cobra.Command{
		Use: "set", Short: "Set what is kept of a chat, in the place of what is kept of the log",
		Long: "Set what is kept of a chat. A policy that is stricter than the one before applies 24 hours later; until then it can be taken back without a loss.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (kept != domain.Retention{}) {
				return usageErrorf("give --max-age, --max-messages or both, or --keep-all")
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				policy, err := core.Retention.SetPolicy(cmd.Context(), domain.ChatID(args[0]), kept, domain.UserID(actor))
				if err != nil {
					return err
				}
				text := fmt.Sprintf("chat %s keeps %s", args[0], keptText(policy.Retention))
				if !policy.From.IsZero() {
					text += " from " + policy.From.Format(minutes) + " on"
				}
				return c.print(policyViewOf(domain.ChatID(args[0]), policy), text)
			})
		},
	}
	cmd.Flags().DurationVar(&kept.MaxAge, "max-age", 0, "`AGE` from which on messages are erased, such as 720h")
	cmd.Flags().IntVar(&kept.MaxMessages, "max-messages", 0, "`NUMBER` of the newest messages that are kept")
	cmd.Flags().BoolVar(&all, "keep-all", false, "erase nothing, whatever the log says")
	c.asFlag(cmd, &actor)
	return c.takes(c.jsonFlag(cmd), chatArg)
}

func (c *cli) retentionClear() *cobra.Command {
	var actor string
	cmd := &cobra.Command{
		Use: "clear", Short: "Remove the policy of a chat: what is kept of the log is kept of it",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if err := core.Retention.ClearPolicy(cmd.Context(), domain.ChatID(args[0]), domain.UserID(actor)); err != nil {
					return err
				}
				view := struct {
					ChatID domain.ChatID `json:"chatId"`
				}{domain.ChatID(args[0])}
				return c.print(view, fmt.Sprintf("chat %s has no policy of its own", args[0]))
			})
		},
	}
	c.asFlag(cmd, &actor)
	return c.takes(c.jsonFlag(cmd), chatArg)
}

func (c *cli) retentionRun() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "run", Short: "Erase now what is due, without waiting for core serve",
		Long: "Erase now what is due, at most --retention-rate messages in a second. It prints the files of erased messages: they lie elsewhere. A run that was interrupted\n" +
			"is given again. Without --yes the command shows how much is due, changes nothing and ends with 1.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.settings.config.Retention.Files = c.printFiles
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if !yes {
					return c.showDue(cmd.Context(), core)
				}
				done, err := core.Retention.ExpireAll(cmd.Context())
				view := struct {
					Chats  int `json:"chats"`
					Erased int `json:"erased"`
					Held   int `json:"held"`
				}{done.Chats, done.Erased, done.Held}
				if err != nil {
					return err
				}
				return c.print(view, fmt.Sprintf("%s erased in %s; %s stay under a legal hold", count(done.Erased, "message"), count(done.Chats, "chat"), count(done.Held, "message")))
			})
		},
	}
	yesFlag(cmd, &yes)
	return c.takes(c.jsonFlag(cmd))
}

func (c *cli) showDue(ctx context.Context, core *chatcore.Core) error {
	all, err := core.Retention.Status(ctx, true)
	if err != nil {
		return err
	}
	due := 0
	for _, s := range all {
		due += s.Due
	}
	fmt.Fprintf(c.errs, "%s due\n", count(due, "message"))
	return errUnsure
}

func (c *cli) printFiles(_ context.Context, _ domain.ChatID, _ domain.MessageID, files []domain.Attachment) {
	for _, f := range files {
		file := struct {
			File string `json:"file"`
		}{f.URL}
		_ = c.print(file, "file "+f.URL) // the erasure is done
	}
}
