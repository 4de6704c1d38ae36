package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

// completeTimeout bounds one completion: a shell waits for it.
const completeTimeout = 2 * time.Second

// completions is how cobra asks for candidates.
type completions = func(cmd *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective)

// completeArguments offers candidates for each positional argument. The last kind counts for all arguments that follow.
func (c *cli) completeArguments(arguments ...argument) completions {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(arguments) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.candidates(cmd, arguments[len(args)], args)
	}
}

// completeFlag offers candidates of a kind for a flag's value.
func (c *cli) completeFlag(kind argument) completions {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		return c.candidates(cmd, kind, args)
	}
}

func (c *cli) candidates(cmd *cobra.Command, kind argument, args []string) ([]string, cobra.ShellCompDirective) {
	switch kind {
	case roleArg:
		return []string{"member", "admin", "owner"}, cobra.ShellCompDirectiveNoFileComp
	case statusArg:
		return []string{"online", "away", "busy", "offline"}, cobra.ShellCompDirectiveNoFileComp
	case fileArg, dirArg:
		return nil, cobra.ShellCompDirectiveDefault
	case chatArg:
		return c.ask(cmd, chatIDs)
	case groupArg:
		return c.ask(cmd, groupNames)
	case webhookArg:
		return c.ask(cmd, webhookNames)
	case userArg:
		if len(args) == 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.ask(cmd, membersOf(domain.ChatID(args[0])))
	case letterArg:
		return c.ask(cmd, letterIDs(args[0]))
	case newGroupArg, urlArg, messageArg, emojiArg, entityArg, textArg, titleArg, sessionArg, tokenArg, serviceArg, holdArg: // the caller's own
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}

// completeUsers offers the members of the chat that is the first argument.
func (c *cli) completeUsers(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) == 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.ask(cmd, membersOf(domain.ChatID(args[0])))
}

func fixed(words ...string) completions {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// ask asks a core for candidates. An error offers none: a shell has nowhere to show it.
func (c *cli) ask(cmd *cobra.Command, query func(ctx context.Context, core *chatcore.Core) ([]string, error)) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), completeTimeout)
	defer cancel()
	if err := c.prepare(cmd); err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	var found []string
	err := c.with(ctx, func(core *chatcore.Core) (err error) {
		found, err = query(ctx, core)
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return found, cobra.ShellCompDirectiveNoFileComp
}

func chatIDs(ctx context.Context, core *chatcore.Core) ([]string, error) {
	chats, err := core.Queries.Chats(ctx)
	return texts(chats), err
}

func groupNames(ctx context.Context, core *chatcore.Core) ([]string, error) {
	list, err := core.Groups().List(ctx)
	var names []string
	for _, g := range list {
		names = append(names, g.Group)
	}
	return names, err
}

func membersOf(chat domain.ChatID) func(ctx context.Context, core *chatcore.Core) ([]string, error) {
	return func(ctx context.Context, core *chatcore.Core) ([]string, error) {
		members, err := core.Queries.Members(ctx, chat)
		var users []string
		for _, m := range members {
			users = append(users, string(m.User))
		}
		return users, err
	}
}

func letterIDs(group string) func(ctx context.Context, core *chatcore.Core) ([]string, error) {
	return func(ctx context.Context, core *chatcore.Core) ([]string, error) {
		var ids []string
		for d, err := range core.Groups().DeadLetters(ctx, group) {
			if err != nil {
				return nil, err
			}
			ids = append(ids, d.ID)
		}
		return ids, nil
	}
}

func texts[T ~string](list []T) []string {
	var all []string
	for _, item := range list {
		all = append(all, string(item))
	}
	slices.Sort(all)
	return all
}
