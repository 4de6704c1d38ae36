package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

func (c *cli) typing() *cobra.Command {
	return parent("typing", "Start and stop a member's typing, and list the typing members",
		c.typingChange("start", "Show the actor as typing, for 5 seconds", func(ctx context.Context, core *chatcore.Core, t domain.Typing) (bool, error) {
			return core.Chats.StartTyping(ctx, t)
		}),
		c.typingChange("stop", "Show the actor as no longer typing", func(ctx context.Context, core *chatcore.Core, t domain.Typing) (bool, error) {
			return true, core.Chats.StopTyping(ctx, t)
		}),
		c.typingList(),
	)
}

type publishedView struct {
	ChatID    domain.ChatID `json:"chatId,omitempty"`
	UserID    domain.UserID `json:"userId"`
	Published bool          `json:"published"`
}

// printPublished prints whether something ephemeral was published.
func (c *cli) printPublished(v publishedView) error {
	text := "published"
	if !v.Published {
		text = "not published: nothing new"
	}
	return c.print(v, text)
}

func (c *cli) typingChange(use, short string, run func(ctx context.Context, core *chatcore.Core, t domain.Typing) (bool, error)) *cobra.Command {
	var actor string
	cmd := &cobra.Command{
		Use: use, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				t := domain.Typing{Chat: domain.ChatID(args[0]), Actor: domain.UserID(actor)}
				published, err := run(cmd.Context(), core, t)
				if err != nil {
					return err
				}
				return c.printPublished(publishedView{t.Chat, t.Actor, published})
			})
		},
	}
	c.takes(cmd, chatArg)
	c.asFlag(cmd, &actor)
	return c.rateFlag(c.jsonFlag(cmd))
}

func (c *cli) typingList() *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List the typing members of a chat",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				chat := domain.ChatID(args[0])
				users, err := core.Queries.Typing(cmd.Context(), chat)
				if err != nil {
					return err
				}
				l := c.list(fmt.Sprintf("nobody is typing in %s", chat), "USER")
				for _, user := range users {
					view := struct {
						ChatID domain.ChatID `json:"chatId"`
						UserID domain.UserID `json:"userId"`
					}{chat, user}
					if err := l.add(view, string(user)); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	}), chatArg)
}
