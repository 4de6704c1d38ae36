package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) thread() *cobra.Command {
	return parent("thread", "Show threads, mark them as read and follow them", c.threadShow(), c.threadList(), c.threadRead(),
		c.threadFollow("follow", "Follow a thread", domain.Follow), c.threadFollow("unfollow", "Follow a thread no more", domain.Unfollow))
}

func (c *cli) threadShow() *cobra.Command {
	var at uint64
	var page domain.Page
	cmd := &cobra.Command{
		Use: "show", Short: "Show a message and the replies in its thread, newest first",
		Long: "Show a message and the replies in its thread, newest first: all of them, or a page with --limit.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				h, queries, root := history{c: c, chat: domain.ChatID(args[0])}, core.Queries.At(domain.Seq(at)), domain.MessageID(args[1])
				view, err := queries.Thread(cmd.Context(), h.chat, root, "")
				if err != nil {
					return err
				}
				list, err := pageOrAll(cmd.Context(), page, func(ctx context.Context, page domain.Page) (app.List[app.MessageView], error) {
					return queries.ThreadReplies(ctx, h.chat, root, page)
				}, func(ctx context.Context) ([]app.MessageView, error) {
					return everyPage(app.MaxThreadReplies, func(page domain.Page) (app.List[app.MessageView], error) {
						return queries.ThreadReplies(ctx, h.chat, root, page)
					})
				})
				if err == nil {
					err = each(append([]app.MessageView{view.Root}, list.Items...), h.printMessage)
				}
				if err != nil {
					return err
				}
				return c.printNext(list.Next)
			})
		},
	}
	cmd.Flags().Uint64Var(&at, "at", 0, "show the thread as it was at this `SEQ` (0: now)")
	pageFlags(cmd, &page)
	return c.takes(c.jsonFlag(cmd), chatArg, messageArg)
}

// everyPage returns the items of all pages of a list.
func everyPage[T any](most int, read func(domain.Page) (app.List[T], error)) (all []T, err error) {
	for page := (domain.Page{Limit: most}); ; {
		list, err := read(page)
		if err != nil {
			return nil, err
		}
		all = append(all, list.Items...)
		if page.Cursor = list.Next; page.Cursor == "" {
			return all, nil
		}
	}
}

// threadView is a thread of a list.
type threadView struct {
	ChatID    domain.ChatID `json:"chatId"`
	UserID    domain.UserID `json:"userId"` // who sees it
	Root      messageView   `json:"root"`
	Following bool          `json:"following"`
	Unread    int           `json:"unread"`
	AtLeast   bool          `json:"unreadAtLeast,omitempty"`
}

func (c *cli) threadList() *cobra.Command {
	var user string
	var page app.ThreadPage
	cmd := &cobra.Command{
		Use: "list", Short: "List the threads of a chat as a user sees them, the one with the latest reply first",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				chat, viewer := domain.ChatID(args[0]), domain.UserID(user)
				read := func(part domain.Page) (app.List[app.ThreadView], error) {
					page.Page = part
					return core.Queries.Threads(cmd.Context(), chat, viewer, page)
				}
				threads, err := pageOrAll(cmd.Context(), page.Page,
					func(_ context.Context, page domain.Page) (app.List[app.ThreadView], error) { return read(page) },
					func(context.Context) ([]app.ThreadView, error) { return everyPage(app.MaxThreads, read) })
				if err != nil {
					return err
				}
				l := c.list(fmt.Sprintf("chat %s has no such threads", chat), "MESSAGE", "REPLIES", "UNREAD", "LAST", "TEXT")
				for _, t := range threads.Items {
					view := threadView{chat, viewer, viewOf(chat, t.Root), t.Following, t.Unread, t.AtLeast}
					unread := "-"
					if t.Following {
						unread = atLeast(t.Unread, t.AtLeast)
					}
					if err := l.add(view, string(t.Root.ID), strconv.Itoa(t.Replies), unread, strconv.FormatUint(uint64(t.Last.Seq), 10), preview(&t.Root)); err != nil {
						return err
					}
				}
				return l.endPage(threads.Next)
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "`USER` that sees the threads (required)")
	_ = cmd.MarkFlagRequired("user")
	_ = cmd.RegisterFlagCompletionFunc("user", c.completeUsers)
	cmd.Flags().BoolVar(&page.Followed, "followed", false, "only threads that the user follows")
	pageFlags(cmd, &page.Page)
	return c.takes(c.jsonFlag(cmd), chatArg)
}

// atLeast is a number, with a sign if there may be more.
func atLeast(n int, more bool) string {
	if more {
		return strconv.Itoa(n) + "+"
	}
	return strconv.Itoa(n)
}

func (c *cli) threadRead() *cobra.Command {
	var reply string
	cmd := c.change("read", "Mark a thread as read up to a reply", []argument{chatArg, messageArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return markThread(cmd.Context(), core, ch, domain.MarkThread{MessageID: domain.MessageID(reply)})
	})
	cmd.Flags().StringVar(&reply, "reply", "", "`MESSAGE` that was read last (required)")
	_ = cmd.MarkFlagRequired("reply")
	return cmd
}

func (c *cli) threadFollow(use, short string, to domain.Following) *cobra.Command {
	return c.change(use, short, []argument{chatArg, messageArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return markThread(cmd.Context(), core, ch, domain.MarkThread{Following: to})
	})
}

// markThread marks the thread that the arguments name. A mark that is accepted is recorded before the command ends: closing records it.
func markThread(ctx context.Context, core *chatcore.Core, ch *change, cmd domain.MarkThread) (app.Done, error) {
	cmd.Chat, cmd.Actor, cmd.Thread, cmd.Command = ch.chat(), ch.by(), ch.message(), ch.commandID()
	marked, err := core.Chats.MarkThread(ctx, cmd)
	ch.recorded = &marked.Recorded
	return marked.Done, err
}

// mentionFlags are the mentions of a message on the command line.
type mentionFlags struct {
	users     []string
	all, here bool
}

func (m *mentionFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&m.users, "mention", nil, "`USER` to mention; may be given several times")
	cmd.Flags().BoolVar(&m.all, "all", false, "mention all members")
	cmd.Flags().BoolVar(&m.here, "here", false, "mention the members that are online when the message is delivered")
	cmd.MarkFlagsMutuallyExclusive("all", "here")
}

func (m *mentionFlags) broadcast() domain.Broadcast {
	switch {
	case m.all:
		return domain.BroadcastAll
	case m.here:
		return domain.BroadcastHere
	}
	return domain.NoBroadcast
}

// usersOf returns users of the command line, nil for none.
func usersOf(names []string) (users []domain.UserID) {
	for _, name := range names {
		users = append(users, domain.UserID(name))
	}
	return users
}
