package main

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

// errContradictions ends a check with 1. Repaired contradictions count too: their cause may still exist.
var errContradictions = errors.New("there are contradictions; see the findings")

type contradictionView struct {
	Kind     string        `json:"kind"`
	ChatID   domain.ChatID `json:"chatId,omitempty"`
	Seq      domain.Seq    `json:"seq,omitempty"`
	Group    string        `json:"group,omitempty"`
	Key      string        `json:"key,omitempty"`
	What     string        `json:"what"`
	Repair   string        `json:"repair,omitempty"`
	Lost     string        `json:"lost,omitempty"`
	Repaired bool          `json:"repaired"`
}

func (c *cli) fsck() *cobra.Command {
	var config chatcore.FsckConfig
	var chat string
	cmd := &cobra.Command{
		Use: "fsck", Short: "Check the log, its indexes, streams, groups and views against each other, and repair them", Args: cobra.NoArgs,
		Long: "Check every structure of the log against the others: segments, indexes, sets of chats, delivery streams, consumer groups, dead letters\n" +
			"and the views of the built-in subscribers. Prints each contradiction, and ends with 1 if there is one. With --repair it first corrects all structures that\n" +
			"follow from the log. It names lost data with the consequences, and invents none. It runs beside all other commands.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Chat = domain.ChatID(chat)
			if cmd.Flags().Changed("chat") {
				if _, err := domain.ParseChatID(chat); err != nil {
					return err
				}
			}
			return c.check(cmd.Context(), config)
		},
	}
	cmd.Flags().BoolVar(&config.Repair, "repair", false, "correct structures that follow from the log")
	cmd.Flags().StringVar(&chat, "chat", "", "check only this `CHAT`")
	_ = cmd.RegisterFlagCompletionFunc("chat", c.completeFlag(chatArg))
	return c.jsonFlag(cmd)
}

// check checks the partitions' identity first: without it no core can be opened to check the rest.
func (c *cli) check(ctx context.Context, config chatcore.FsckConfig) error {
	settings, err := c.named()
	if err != nil {
		return err
	}
	var found tally
	if err := c.contradictions(chatcore.FsckIdentity(ctx, settings, config), config, &found); err != nil {
		return err
	}
	if found.all == found.repaired {
		err := c.with(ctx, func(core *chatcore.Core) error { return c.contradictions(core.Fsck(ctx, config), config, &found) })
		if err != nil {
			return err
		}
	}
	if found.all > 0 {
		return fmt.Errorf("%w: %s, %d repaired", errContradictions, count(found.all, "contradiction"), found.repaired)
	}
	if c.json {
		return nil
	}
	_, err = fmt.Fprintln(c.out, "no contradictions")
	return err
}

// tally counts contradictions.
type tally struct{ all, repaired int }

// contradictions prints and counts the contradictions of a check.
func (c *cli) contradictions(check iter.Seq2[chatcore.Contradiction, error], config chatcore.FsckConfig, found *tally) error {
	for f, err := range check {
		if err != nil {
			return err
		}
		found.all++
		if f.Repaired {
			found.repaired++
		}
		view := contradictionView{f.Kind, f.Chat, f.Seq, f.Group, f.Key, f.What, f.Repair, f.Lost, f.Repaired}
		if err := c.print(view, contradictionLine(f, config.Repair)); err != nil {
			return err
		}
	}
	return nil
}

// contradictionLine formats a contradiction for people: its kind, place and treatment.
func contradictionLine(f chatcore.Contradiction, repair bool) string {
	line := f.Kind
	if f.Group != "" {
		line += " of group " + f.Group
	}
	if f.Chat != "" {
		line += fmt.Sprintf(" in chat %q", f.Chat)
	}
	if f.Seq > 0 {
		line += fmt.Sprintf(" at seq %d", f.Seq)
	}
	line += ": " + f.What
	if f.Key != "" {
		line += "\n    key: " + f.Key
	}
	switch {
	case f.Repaired:
		line += "\n    repaired: " + f.Repair
	case f.Repair != "" && repair:
		line += "\n    not repaired, it has changed meanwhile; check once more: " + f.Repair
	case f.Repair != "":
		line += "\n    --repair: " + f.Repair
	default:
		return line + "\n    cannot be repaired: " + f.Lost
	}
	if f.Lost != "" {
		line += "\n    lost: " + f.Lost
	}
	return line
}
