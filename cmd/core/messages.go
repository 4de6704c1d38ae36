package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// target is what most commands are about.
type target struct {
	chat, user, message, command string
}

func (t *target) flags(cmd *cobra.Command, message bool) *cobra.Command {
	cmd.Args = cobra.NoArgs
	cmd.Flags().StringVar(&t.chat, "chat", "", "chat id")
	cmd.Flags().StringVar(&t.user, "user", "", "who does it")
	cmd.Flags().StringVar(&t.command, "command-id", "", "names the command: given again, it has its effect once")
	required := []string{"chat", "user"}
	if message {
		cmd.Flags().StringVar(&t.message, "message", "", "message id")
		required = append(required, "message")
	}
	for _, name := range required {
		_ = cmd.MarkFlagRequired(name)
	}
	return cmd
}

// change is a command that gives an [app.Done].
func (c *cli) change(use, short string, t *target, message bool, run func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error)) *cobra.Command {
	return c.jsonFlag(t.flags(&cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				done, err := run(cmd, core)
				if err != nil {
					return err
				}
				return c.printDone(done)
			})
		},
	}, message))
}

func (c *cli) send() *cobra.Command {
	var t target
	var text, id, replyTo string
	cmd := &cobra.Command{
		Use: "send", Short: "Post a message",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				sent, err := core.Chats.Send(cmd.Context(), app.Send{
					Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), MessageID: domain.MessageID(id), Content: text, ReplyTo: domain.MessageID(replyTo),
				})
				if err != nil {
					return err
				}
				view := struct {
					MessageID domain.MessageID `json:"messageId"`
					Seq       domain.Seq       `json:"seq"`
					Duplicate bool             `json:"duplicate"`
					Differs   bool             `json:"differs"`
				}(sent)
				text := fmt.Sprintf("messageId %s  seq %d  duplicate %t", sent.MessageID, sent.Seq, sent.Duplicate)
				if sent.Differs {
					text += "  differs: the message that was first sent under this id says something else, and stands"
				}
				return c.print(view, text)
			})
		},
	}
	t.flags(cmd, false)
	cmd.Flags().StringVar(&text, "text", "", "what the message says")
	cmd.Flags().StringVar(&id, "id", "", "message id; the same id again is the same send")
	cmd.Flags().StringVar(&replyTo, "reply-to", "", "id of the message it answers")
	_ = cmd.MarkFlagRequired("text")
	_ = cmd.Flags().MarkHidden("command-id") // a send is named by its message id
	return c.jsonFlag(cmd)
}

func (c *cli) edit() *cobra.Command {
	var t target
	var text string
	cmd := c.change("edit", "Give a message new content", &t, true, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		return core.Chats.Edit(cmd.Context(), app.Edit{
			Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), MessageID: domain.MessageID(t.message), Content: text, Command: domain.CommandID(t.command),
		})
	})
	cmd.Flags().StringVar(&text, "text", "", "what the message says from now on")
	_ = cmd.MarkFlagRequired("text")
	return cmd
}

func (c *cli) delete() *cobra.Command {
	var t target
	var reason string
	cmd := c.change("delete", "Leave a tombstone in a message's place", &t, true, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		return core.Chats.Delete(cmd.Context(), app.Delete{
			Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), MessageID: domain.MessageID(t.message), Reason: reason, Command: domain.CommandID(t.command),
		})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why")
	return cmd
}

func (t *target) reaction(emoji string) app.React {
	return app.React{
		Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), MessageID: domain.MessageID(t.message), Emoji: emoji, Command: domain.CommandID(t.command),
	}
}

func (c *cli) react() *cobra.Command {
	var t target
	var emoji string
	cmd := c.change("react", "React to a message", &t, true, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		return core.Chats.React(cmd.Context(), t.reaction(emoji))
	})
	cmd.Flags().StringVar(&emoji, "emoji", "", "with what")
	_ = cmd.MarkFlagRequired("emoji")
	return cmd
}

func (c *cli) unreact() *cobra.Command {
	var t target
	var emoji string
	cmd := c.change("unreact", "Take a reaction back", &t, true, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		return core.Chats.Unreact(cmd.Context(), t.reaction(emoji))
	})
	cmd.Flags().StringVar(&emoji, "emoji", "", "which")
	_ = cmd.MarkFlagRequired("emoji")
	return cmd
}

func (c *cli) read() *cobra.Command {
	var t target
	var seq uint64
	cmd := c.change("read", "Mark a chat as read up to a message", &t, false, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		return core.Chats.MarkRead(cmd.Context(), app.MarkRead{
			Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), MessageID: domain.MessageID(t.message), Seq: domain.Seq(seq), Command: domain.CommandID(t.command),
		})
	})
	cmd.Flags().StringVar(&t.message, "message", "", "id of the last message read")
	cmd.Flags().Uint64Var(&seq, "seq", 0, "or its seq")
	cmd.MarkFlagsOneRequired("message", "seq")
	cmd.MarkFlagsMutuallyExclusive("message", "seq")
	return cmd
}

type toldView struct {
	Told bool `json:"told"`
}

func (c *cli) printTold(told bool) error {
	text := "told"
	if !told {
		text = "not told: nothing new"
	}
	return c.print(toldView{told}, text)
}

func (c *cli) typing() *cobra.Command {
	var t target
	var stop, list bool
	cmd := &cobra.Command{
		Use: "typing", Short: "Tell that a member is typing, or with --stop no longer; with --list show who is",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if list {
					return c.whoTypes(cmd.Context(), core, domain.ChatID(t.chat))
				}
				about := app.Typing{Chat: domain.ChatID(t.chat), By: domain.UserID(t.user)}
				if stop {
					if err := core.Chats.StopTyping(cmd.Context(), about); err != nil {
						return err
					}
					return c.printTold(true)
				}
				told, err := core.Chats.StartTyping(cmd.Context(), about)
				if err != nil {
					return err
				}
				return c.printTold(told)
			})
		},
	}
	t.flags(cmd, false)
	_ = cmd.Flags().MarkHidden("command-id") // ephemeral
	cmd.Flags().BoolVar(&stop, "stop", false, "the member stopped typing")
	cmd.Flags().BoolVar(&list, "list", false, "show who is typing in the chat instead; needs no --user")
	cmd.MarkFlagsMutuallyExclusive("stop", "list")
	_ = cmd.Flags().SetAnnotation("user", cobra.BashCompOneRequiredFlag, []string{"false"})
	cmd.MarkFlagsOneRequired("user", "list")
	return c.jsonFlag(cmd)
}

func (c *cli) whoTypes(ctx context.Context, core *chatcore.Core, chat domain.ChatID) error {
	users, err := core.Queries.Typing(ctx, chat)
	if err != nil {
		return err
	}
	if len(users) == 0 && !c.json {
		return c.print(nil, "nobody is typing")
	}
	for _, user := range users {
		view := struct {
			User domain.UserID `json:"userId"`
		}{user}
		if err := c.print(view, string(user)); err != nil {
			return err
		}
	}
	return nil
}
