package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

// errContradictions ends a check with 1. What was repaired counts too: whoever damaged it may do so again.
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
			"and the views of the built-in subscribers. Prints each contradiction, and ends with 1 if there is one. With --repair it corrects what\n" +
			"follows from the log first. What is lost is named with its consequences and is not invented. It runs beside everything else.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config.Chat = domain.ChatID(chat)
			if cmd.Flags().Changed("chat") {
				if _, err := domain.ParseChatID(chat); err != nil {
					return err
				}
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error { return c.check(cmd, core, config) })
		},
	}
	cmd.Flags().BoolVar(&config.Repair, "repair", false, "correct what follows from the log")
	cmd.Flags().StringVar(&chat, "chat", "", "check only this chat")
	return c.jsonFlag(cmd)
}

func (c *cli) check(cmd *cobra.Command, core *chatcore.Core, config chatcore.FsckConfig) error {
	found, repaired := 0, 0
	for f, err := range core.Fsck(cmd.Context(), config) {
		if err != nil {
			return err
		}
		found++
		if f.Repaired {
			repaired++
		}
		view := contradictionView{f.Kind, f.Chat, f.Seq, f.Group, f.Key, f.What, f.Repair, f.Lost, f.Repaired}
		if err := c.print(view, contradictionLine(f, config.Repair)); err != nil {
			return err
		}
	}
	if found == 0 {
		if c.json {
			return nil
		}
		_, err := fmt.Fprintln(c.out, "no contradictions")
		return err
	}
	return fmt.Errorf("%w: %s, %d repaired", errContradictions, count(found, "contradiction"), repaired)
}

// contradictionLine tells a contradiction to people: what, where, and what becomes of it.
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
