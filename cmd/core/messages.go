package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

type sentView struct {
	ChatID    domain.ChatID    `json:"chatId"`
	MessageID domain.MessageID `json:"messageId"`
	SenderID  domain.UserID    `json:"senderId"`
	Seq       domain.Seq       `json:"seq"`
	Duplicate bool             `json:"duplicate"`
	Differs   bool             `json:"differs"`
}

func (c *cli) send() *cobra.Command {
	var sender, id, replyTo, thread string
	var inChat bool
	var mentions mentionFlags
	cmd := &cobra.Command{
		Use: "send", Short: "Send a message",
		Long: "Send a message. The same --id again is the same send: after a lost answer, send again.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				send := domain.Send{Chat: domain.ChatID(args[0]), Actor: domain.UserID(sender), MessageID: domain.MessageID(id), Content: args[1], ReplyTo: domain.MessageID(replyTo)}
				send.Thread, send.InChat, send.Mentions, send.Broadcast = domain.MessageID(thread), inChat, usersOf(mentions.users), mentions.broadcast()
				sent, err := core.Chats.Send(cmd.Context(), send)
				if err != nil {
					return err
				}
				text := fmt.Sprintf("messageId %s  seq %d  duplicate %t", sent.MessageID, sent.Seq, sent.Duplicate)
				if sent.Differs {
					text += "  differs: the message that was first sent under this id says something else, and stands"
				}
				return c.print(sentView{send.Chat, sent.MessageID, send.Actor, sent.Seq, sent.Duplicate, sent.Differs}, text)
			})
		},
	}
	c.takes(cmd, chatArg, textArg)
	c.asFlag(cmd, &sender)
	cmd.Flags().StringVar(&id, "id", "", "`ID` of the message (default: a new one)")
	cmd.Flags().StringVar(&replyTo, "reply-to", "", "`MESSAGE` that this one replies to")
	cmd.Flags().StringVar(&thread, "thread", "", "`MESSAGE` that this one answers in a thread")
	cmd.Flags().BoolVar(&inChat, "in-chat", false, "with --thread: show the message among those of the chat too")
	mentions.add(cmd)
	return c.rateFlag(c.jsonFlag(cmd))
}

func (c *cli) edit() *cobra.Command {
	var users []string
	var noMentions, noBroadcast bool
	cmd := c.change("edit", "Replace the text of a message", []argument{chatArg, messageArg, textArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		edit := domain.Edit{Chat: ch.chat(), Actor: ch.by(), MessageID: ch.message(), Content: ch.text(textArg), Command: ch.commandID(), RemoveBroadcast: noBroadcast}
		if edit.Mentions = usersOf(users); noMentions {
			edit.Mentions = []domain.UserID{}
		}
		return core.Chats.Edit(cmd.Context(), edit)
	})
	cmd.Flags().StringArrayVar(&users, "mention", nil, "`USER` to mention from now on, instead of those before; may be given several times")
	cmd.Flags().BoolVar(&noMentions, "no-mentions", false, "mention no user any more")
	cmd.Flags().BoolVar(&noBroadcast, "no-broadcast", false, "take a mention of all members back")
	cmd.MarkFlagsMutuallyExclusive("mention", "no-mentions")
	return cmd
}

func (c *cli) delete() *cobra.Command {
	var reason string
	cmd := c.change("delete", "Delete a message; a tombstone stays in its place", []argument{chatArg, messageArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return core.Chats.Delete(cmd.Context(), domain.Delete{Chat: ch.chat(), Actor: ch.by(), MessageID: ch.message(), Reason: reason, Command: ch.commandID()})
	})
	cmd.Flags().StringVar(&reason, "reason", "", "`REASON`, which every member of the chat sees")
	return cmd
}

func (ch *change) reaction() domain.React {
	return domain.React{Chat: ch.chat(), Actor: ch.by(), MessageID: ch.message(), Emoji: ch.text(emojiArg), Command: ch.commandID()}
}

func (c *cli) react() *cobra.Command {
	return c.change("react", "Add a reaction to a message", []argument{chatArg, messageArg, emojiArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return core.Chats.React(cmd.Context(), ch.reaction())
	})
}

func (c *cli) unreact() *cobra.Command {
	return c.change("unreact", "Remove the actor's reaction from a message", []argument{chatArg, messageArg, emojiArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return core.Chats.Unreact(cmd.Context(), ch.reaction())
	})
}

func (c *cli) read() *cobra.Command {
	var seq uint64
	takes := []argument{chatArg, messageArg}
	cmd := c.change("read", "Mark a chat as read up to MESSAGE, or up to --seq", takes, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		marked, err := core.Chats.MarkRead(cmd.Context(), domain.MarkRead{
			Chat: ch.chat(), Actor: ch.by(), MessageID: ch.message(), Seq: domain.Seq(seq), Command: ch.commandID(), AwaitRecorded: true,
		})
		ch.recorded = &marked.Recorded
		return marked.Done, err
	})
	cmd.Use = "read"
	c.mayTake(cmd, takes...)
	counted := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := counted(cmd, args); err != nil {
			return err
		}
		if (len(args) == len(takes)) == cmd.Flags().Changed("seq") {
			return usageErrorf("give the MESSAGE that was read last, or --seq: %s", cmd.UseLine())
		}
		return nil
	}
	cmd.Flags().Uint64Var(&seq, "seq", 0, "mark as read up to this `SEQ`: the last message at or before it")
	return cmd
}
