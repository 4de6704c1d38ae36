package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

type unreadView struct {
	UserID domain.UserID  `json:"userId"`
	ChatID domain.ChatID  `json:"chatId"`
	Unread domain.Ordinal `json:"unread"`

	*mentionCounts // with --mentions
}

type mentionCounts struct {
	Mentions       int  `json:"mentions"`
	ThreadMentions int  `json:"threadMentions"`
	AtLeast        bool `json:"mentionsAtLeast,omitempty"`
}

// totalsView is a user's unread messages over all chats.
type totalsView struct {
	UserID   domain.UserID  `json:"userId"`
	Chats    int            `json:"chats"`
	Messages domain.Ordinal `json:"messages"`
	Mentions int            `json:"mentions"`
}

func (c *cli) unread() *cobra.Command {
	var chat string
	var mentions, totals, muted bool
	cmd := &cobra.Command{
		Use: "unread", Short: "Count the messages that a user has not read, in one chat or in each",
		Long: "Count the messages that a user has not read: in one chat or, without --chat, in each chat that the user is in, as far as a running\n\"core serve\" has projected them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				user := domain.UserID(args[0])
				switch {
				case mentions:
					return c.printMentions(cmd, core, domain.ChatID(chat), user)
				case totals:
					sum, err := core.Queries.UnreadTotals(cmd.Context(), user, muted)
					if err != nil {
						return err
					}
					return c.print(totalsView{user, sum.Chats, sum.Messages, sum.Mentions}, fmt.Sprintf("%d unread in %d chats, %d with mentions", sum.Messages, sum.Chats, sum.Mentions))
				}
				var counts map[domain.ChatID]domain.Ordinal
				var err error
				if cmd.Flags().Changed("chat") {
					var n domain.Ordinal
					n, err = core.Queries.Unread(cmd.Context(), domain.ChatID(chat), user)
					counts = map[domain.ChatID]domain.Ordinal{domain.ChatID(chat): n}
				} else {
					counts, err = core.Queries.UnreadOf(cmd.Context(), user)
				}
				if err != nil {
					return err
				}
				l := c.list(args[0]+" is in no chats", "CHAT", "UNREAD")
				for _, chat := range slices.Sorted(maps.Keys(counts)) {
					if err := l.add(unreadView{UserID: user, ChatID: chat, Unread: counts[chat]}, string(chat), strconv.FormatUint(uint64(counts[chat]), 10)); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	}
	c.takes(cmd, userArg)
	cmd.Flags().StringVar(&chat, "chat", "", "only this `CHAT`")
	cmd.Flags().BoolVar(&totals, "totals", false, "count all chats together, without those that the user has muted")
	cmd.Flags().BoolVar(&muted, "include-muted", false, "with --totals: count muted chats too")
	cmd.MarkFlagsMutuallyExclusive("chat", "totals")
	_ = cmd.RegisterFlagCompletionFunc("chat", c.completeFlag(chatArg))
	cmd.Flags().BoolVar(&mentions, "mentions", false, "with --chat: count the messages that mention the user too")
	return c.jsonFlag(cmd)
}

func (c *cli) printMentions(cmd *cobra.Command, core *chatcore.Core, chat domain.ChatID, user domain.UserID) error {
	if chat == "" {
		return usageErrorf("give a --chat with --mentions: %s", cmd.UseLine())
	}
	unread, err := core.Queries.UnreadMentions(cmd.Context(), chat, user)
	if err != nil {
		return err
	}
	l := c.list("", "CHAT", "UNREAD", "MENTIONS", "IN THREADS")
	view := unreadView{UserID: user, ChatID: chat, Unread: unread.Messages, mentionCounts: &mentionCounts{unread.Mentions, unread.ThreadMentions, unread.AtLeast}}
	number := strconv.FormatUint(uint64(unread.Messages), 10)
	if err := l.add(view, string(chat), number, atLeast(unread.Mentions, unread.AtLeast), atLeast(unread.ThreadMentions, unread.AtLeast)); err != nil {
		return err
	}
	return l.end()
}
