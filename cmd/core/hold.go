package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

func (c *cli) hold() *cobra.Command {
	return parent("hold", "Protect messages from every erasure: legal holds", c.holdAdd(), c.holdList(), c.holdRemove())
}

// holdView is a legal hold.
type holdView struct {
	HoldID domain.HoldID `json:"holdId"`
	ChatID domain.ChatID `json:"chatId,omitempty"`
	UserID domain.UserID `json:"userId,omitempty"` // neither for the log
	Reason string        `json:"reason"`
	By     domain.UserID `json:"by"`
	At     time.Time     `json:"at"`
}

// subjectFlags adds the flags that name what a hold protects, and returns what they name.
func subjectFlags(cmd *cobra.Command) func() (domain.HoldSubject, error) {
	var chat, user string
	var log bool
	cmd.Flags().StringVar(&chat, "chat", "", "the messages of a `CHAT`")
	cmd.Flags().StringVar(&user, "user", "", "the messages that a `USER` has sent")
	cmd.Flags().BoolVar(&log, "log", false, "all messages")
	cmd.MarkFlagsOneRequired("chat", "user", "log")
	cmd.MarkFlagsMutuallyExclusive("chat", "user", "log")
	return func() (domain.HoldSubject, error) {
		if cmd.Flags().Changed("log") != log || !log && chat == "" && user == "" {
			return domain.HoldSubject{}, usageErrorf("--chat and --user need an id")
		}
		return domain.HoldSubject{Chat: domain.ChatID(chat), User: domain.UserID(user)}, nil
	}
}

func (c *cli) holdAdd() *cobra.Command {
	var actor, reason string
	cmd := &cobra.Command{
		Use: "add", Short: "Set a legal hold",
		Long: "Set a legal hold: from then on neither retention nor any command erases what it protects. HOLD names it, such as the number of a case; a chat may have several.",
	}
	subject := subjectFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := subject()
		if err != nil {
			return err
		}
		return c.with(cmd.Context(), func(core *chatcore.Core) error {
			h := domain.Hold{HoldSubject: of, ID: domain.HoldID(args[0]), Reason: domain.Reason(reason), By: domain.UserID(actor), At: time.Now().UTC()}
			if err := core.Retention.AddHold(cmd.Context(), h); err != nil {
				return err
			}
			return c.print(holdViewOf(h), fmt.Sprintf("%s is under the hold %s", of, h.ID))
		})
	}
	c.asFlag(cmd, &actor)
	cmd.Flags().StringVar(&reason, "reason", "", "`REASON`, which only core hold list shows (required)")
	_ = cmd.MarkFlagRequired("reason")
	return c.takes(c.jsonFlag(cmd), holdArg)
}

func holdViewOf(h domain.Hold) holdView {
	return holdView{h.ID, h.Chat, h.User, string(h.Reason), h.By, h.At}
}

func (c *cli) holdList() *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the legal holds",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				holds, err := core.Retention.Holds(cmd.Context())
				if err != nil {
					return err
				}
				l := c.list("there are no legal holds", "HOLD", "OF", "SET", "BY", "REASON")
				for _, h := range holds {
					if err := l.add(holdViewOf(h), string(h.ID), h.String(), h.At.Format(minutes), string(h.By), string(h.Reason)); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	}))
}

func (c *cli) holdRemove() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "remove", Short: "Remove a legal hold",
		Long: "Remove a legal hold. The next run of retention erases messages that were due meanwhile. Without --yes the command changes nothing and ends with 1.",
	}
	subject := subjectFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		of, err := subject()
		if err != nil {
			return err
		}
		if !yes {
			return errUnsure
		}
		return c.with(cmd.Context(), func(core *chatcore.Core) error {
			id := domain.HoldID(args[0])
			if err := core.Retention.RemoveHold(cmd.Context(), of, id); err != nil {
				return err
			}
			view := struct {
				HoldID  domain.HoldID `json:"holdId"`
				Removed bool          `json:"removed"`
			}{id, true}
			return c.print(view, fmt.Sprintf("%s has no hold %s any more", of, id))
		})
	}
	yesFlag(cmd, &yes)
	return c.takes(c.jsonFlag(cmd), holdArg)
}
