package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// argument is the kind of one positional argument, by the name that help gives it.
type argument string

// Kinds of arguments. Completions are read from Redis.
const (
	chatArg     argument = "CHAT"
	messageArg  argument = "MESSAGE"
	userArg     argument = "USER"
	roleArg     argument = "ROLE"
	statusArg   argument = "STATUS"
	emojiArg    argument = "EMOJI"
	entityArg   argument = "ENTITY"
	textArg     argument = "TEXT"
	titleArg    argument = "TITLE"
	groupArg    argument = "GROUP"
	newGroupArg argument = "NAME"
	webhookArg  argument = "WEBHOOK"
	urlArg      argument = "URL"
	letterArg   argument = "ID"
	sessionArg  argument = "SESSION"
	tokenArg    argument = "TOKEN"
	fileArg     argument = "FILE"
	serviceArg  argument = "SERVICE"
	dirArg      argument = "DIR"
	holdArg     argument = "HOLD"
)

// takes gives a command its positional arguments: exactly these.
func (c *cli) takes(cmd *cobra.Command, arguments ...argument) *cobra.Command {
	for _, a := range arguments {
		cmd.Use += " " + string(a)
	}
	cmd.Args = func(cmd *cobra.Command, args []string) error { return checkArguments(cmd, args, arguments) }
	cmd.ValidArgsFunction = c.completeArguments(arguments...)
	return cmd
}

// mayTake gives a command arguments of which the last may be left out.
func (c *cli) mayTake(cmd *cobra.Command, arguments ...argument) *cobra.Command {
	required, optional := arguments[:len(arguments)-1], arguments[len(arguments)-1]
	for _, a := range required {
		cmd.Use += " " + string(a)
	}
	cmd.Use += " [" + string(optional) + "]"
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == len(arguments) {
			return nil
		}
		return checkArguments(cmd, args, required)
	}
	cmd.ValidArgsFunction = c.completeArguments(arguments...)
	return cmd
}

func checkArguments(cmd *cobra.Command, args []string, arguments []argument) error {
	switch {
	case len(args) < len(arguments):
		var missing []string
		for _, a := range arguments[len(args):] {
			missing = append(missing, string(a))
		}
		return usageErrorf("missing %s: %s", strings.Join(missing, " "), cmd.UseLine())
	case len(args) > len(arguments):
		return usageErrorf("%q is one argument too many; put text with spaces in quotes: %s", args[len(arguments)], cmd.UseLine())
	}
	return nil
}

// asFlag adds the flag for the actor.
func (c *cli) asFlag(cmd *cobra.Command, actor *string) {
	cmd.Flags().StringVar(actor, "as", "", "acting `USER` (required)")
	_ = cmd.MarkFlagRequired("as")
	_ = cmd.RegisterFlagCompletionFunc("as", c.completeUsers)
}

// commandFlag adds the flag for the id of a command.
func commandFlag(cmd *cobra.Command, command *string) {
	cmd.Flags().StringVar(command, "command-id", "", "`ID` of the command; given again with the same id, it has its effect once")
}

// parent returns a command of commands.
func parent(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	cmd.AddCommand(commands...)
	return cmd
}
