package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// change is a command on a chat, as the command line gives it.
type change struct {
	takes   []argument
	args    []string
	actor   string
	command string

	recorded *bool // whether a read mark is recorded; nil for other commands
}

// text returns the argument of a kind, "" if there is none.
func (ch *change) text(kind argument) string {
	if i := slices.Index(ch.takes, kind); i >= 0 && i < len(ch.args) {
		return ch.args[i]
	}
	return ""
}

func (ch *change) chat() domain.ChatID         { return domain.ChatID(ch.text(chatArg)) }
func (ch *change) message() domain.MessageID   { return domain.MessageID(ch.text(messageArg)) }
func (ch *change) user() domain.UserID         { return domain.UserID(ch.text(userArg)) }
func (ch *change) by() domain.UserID           { return domain.UserID(ch.actor) }
func (ch *change) commandID() domain.CommandID { return domain.CommandID(ch.command) }

// change returns a command that changes a chat and prints the result.
func (c *cli) change(use, short string, takes []argument, run func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error)) *cobra.Command {
	ch := &change{takes: takes}
	cmd := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			ch.args = args
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				done, err := run(cmd, core, ch)
				if err != nil {
					return err
				}
				return c.printDone(ch, done)
			})
		},
	}
	c.takes(cmd, takes...)
	c.asFlag(cmd, &ch.actor)
	commandFlag(cmd, &ch.command)
	return c.rateFlag(c.jsonFlag(cmd))
}

// doneView is the result of a change, with its ids.
type doneView struct {
	ChatID    domain.ChatID    `json:"chatId"`
	MessageID domain.MessageID `json:"messageId,omitempty"`
	UserID    domain.UserID    `json:"userId,omitempty"`
	ActorID   domain.UserID    `json:"actorId"`
	Seq       domain.Seq       `json:"seq,omitempty"`
	Changed   bool             `json:"changed"`
	Duplicate bool             `json:"duplicate"`
	Recorded  *bool            `json:"recorded,omitempty"`
}

func (c *cli) printDone(ch *change, d app.Done) error {
	text := "nothing to change"
	if d.Changed {
		text = fmt.Sprintf("seq %d", d.Seq)
	}
	if d.Duplicate {
		text += " (was done before)"
	}
	return c.print(doneView{ch.chat(), ch.message(), ch.user(), ch.by(), d.Seq, d.Changed, d.Duplicate, ch.recorded}, text)
}
