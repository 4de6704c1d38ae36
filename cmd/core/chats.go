package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) chat() *cobra.Command {
	cmd := &cobra.Command{Use: "chat", Short: "Create and change chats, and who is in them"}
	cmd.AddCommand(
		c.chatCreate(), c.chatRename(), c.chatMembers(), c.chatList(),
		c.ofChat("archive", "Close a chat to new messages, reactions and members", func(cmd *cobra.Command, core *chatcore.Core, t target) (app.Done, error) {
			return core.Chats.Archive(cmd.Context(), app.Archive{Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), Command: domain.CommandID(t.command)})
		}),
		c.ofChat("unarchive", "Open an archived chat again", func(cmd *cobra.Command, core *chatcore.Core, t target) (app.Done, error) {
			return core.Chats.Unarchive(cmd.Context(), app.Unarchive{Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), Command: domain.CommandID(t.command)})
		}),
		c.ofChat("leave", "End one's own membership", func(cmd *cobra.Command, core *chatcore.Core, t target) (app.Done, error) {
			return core.Chats.Leave(cmd.Context(), app.Leave{Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), Command: domain.CommandID(t.command)})
		}),
		c.ofMember("add", "Make a user a member", false, func(cmd *cobra.Command, core *chatcore.Core, m member) (app.Done, error) {
			return core.Chats.Add(cmd.Context(), app.Add{Chat: m.chat, By: m.by, User: m.user, Command: m.command})
		}),
		c.ofMember("remove", "End a user's membership", false, func(cmd *cobra.Command, core *chatcore.Core, m member) (app.Done, error) {
			return core.Chats.Remove(cmd.Context(), app.Remove{Chat: m.chat, By: m.by, User: m.user, Command: m.command})
		}),
		c.ofMember("promote", "Raise a member's role", true, func(cmd *cobra.Command, core *chatcore.Core, m member) (app.Done, error) {
			return core.Chats.Promote(cmd.Context(), app.Promote{Chat: m.chat, By: m.by, User: m.user, Role: m.role, Command: m.command})
		}),
		c.ofMember("demote", "Lower a member's role", true, func(cmd *cobra.Command, core *chatcore.Core, m member) (app.Done, error) {
			return core.Chats.Demote(cmd.Context(), app.Demote{Chat: m.chat, By: m.by, User: m.user, Role: m.role, Command: m.command})
		}),
	)
	return cmd
}

func (c *cli) ofChat(use, short string, run func(cmd *cobra.Command, core *chatcore.Core, t target) (app.Done, error)) *cobra.Command {
	var t target
	return c.change(use, short, &t, false, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) { return run(cmd, core, t) })
}

// member is a command by one member about another user.
type member struct {
	chat     domain.ChatID
	by, user domain.UserID
	role     domain.Role
	command  domain.CommandID
}

func (c *cli) ofMember(use, short string, role bool, run func(cmd *cobra.Command, core *chatcore.Core, m member) (app.Done, error)) *cobra.Command {
	var t target
	var about, name string
	cmd := c.change(use, short, &t, false, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		m := member{chat: domain.ChatID(t.chat), by: domain.UserID(t.user), user: domain.UserID(about), command: domain.CommandID(t.command)}
		if role {
			var ok bool
			if m.role, ok = wireformat.ParseRole(name); !ok {
				return app.Done{}, &domain.InvalidError{Field: "role", Problem: fmt.Sprintf("is %q", name), Allowed: "member, admin, owner"}
			}
		}
		return run(cmd, core, m)
	})
	cmd.Flags().StringVar(&about, "member", "", "whom it is about")
	_ = cmd.MarkFlagRequired("member")
	if role {
		cmd.Flags().StringVar(&name, "role", "", "member, admin or owner")
		_ = cmd.MarkFlagRequired("role")
	}
	return cmd
}

func (c *cli) chatCreate() *cobra.Command {
	var t target
	var title string
	var members []string
	cmd := c.change("create", "Start a chat", &t, false, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		create := app.Create{Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), Title: title, Command: domain.CommandID(t.command)}
		for _, m := range members {
			create.Members = append(create.Members, domain.UserID(m))
		}
		return core.Chats.Create(cmd.Context(), create)
	})
	cmd.Flags().StringVar(&title, "title", "", "its title")
	cmd.Flags().StringArrayVar(&members, "member", nil, "a first member; may be given several times")
	return cmd
}

func (c *cli) chatRename() *cobra.Command {
	var t target
	var title string
	cmd := c.change("rename", "Give a chat a title", &t, false, func(cmd *cobra.Command, core *chatcore.Core) (app.Done, error) {
		return core.Chats.Rename(cmd.Context(), app.Rename{Chat: domain.ChatID(t.chat), By: domain.UserID(t.user), Title: title, Command: domain.CommandID(t.command)})
	})
	cmd.Flags().StringVar(&title, "title", "", "its title from now on")
	_ = cmd.MarkFlagRequired("title")
	return cmd
}

func (c *cli) chatMembers() *cobra.Command {
	var page app.Page
	cmd := c.jsonFlag(&cobra.Command{
		Use: "members CHAT", Short: "List a chat's members", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if cmd.Flags().Changed("limit") || page.Cursor != "" {
					list, err := core.Queries.MemberPage(cmd.Context(), domain.ChatID(args[0]), page)
					return c.printPage(list.Next, err, printEach(list.Items, c.printMember))
				}
				members, err := core.Queries.Members(cmd.Context(), domain.ChatID(args[0]))
				if err != nil {
					return err
				}
				return printEach(members, c.printMember)()
			})
		},
	})
	pageFlags(cmd, &page)
	return cmd
}

func (c *cli) printMember(m domain.Member) error {
	view := struct {
		UserID   domain.UserID `json:"userId"`
		Role     string        `json:"role"`
		JoinedAt time.Time     `json:"joinedAt"`
	}{m.User, m.Role.String(), m.JoinedAt}
	return c.print(view, fmt.Sprintf("%-8s %s", m.Role, m.User))
}

func (c *cli) printChat(chat domain.ChatID) error {
	return c.print(map[string]domain.ChatID{"chatId": chat}, string(chat))
}

// pageFlags adds the flags of a list that is printed in pages.
func pageFlags(cmd *cobra.Command, page *app.Page) {
	cmd.Flags().IntVar(&page.Limit, "limit", 0, fmt.Sprintf("print a page of so many at most, 1 to %d; without it, all", app.MaxList))
	cmd.Flags().StringVar(&page.Cursor, "cursor", "", "print the page behind the one that named this cursor")
}

func printEach[T any](items []T, show func(T) error) func() error {
	return func() error {
		for _, item := range items {
			if err := show(item); err != nil {
				return err
			}
		}
		return nil
	}
}

// printPage prints the items of a page and how to get the next one.
func (c *cli) printPage(next string, err error, items func() error) error {
	if err != nil {
		return err
	}
	if err := items(); err != nil || next == "" {
		return err
	}
	return c.print(map[string]string{"next": next}, "more: --cursor "+strconv.Quote(next))
}

func (c *cli) chatList() *cobra.Command {
	var user string
	var page app.Page
	cmd := &cobra.Command{
		Use: "list", Short: "List all chats, or those that one user is in", Args: cobra.NoArgs,
		Long: "List all chats, or with --user those that one user is in, as far as a running \"core serve\" has projected them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if cmd.Flags().Changed("limit") || page.Cursor != "" {
					pageOf := core.Queries.ChatPage
					if cmd.Flags().Changed("user") {
						pageOf = func(ctx context.Context, page app.Page) (app.List[domain.ChatID], error) {
							return core.Queries.ChatsOfPage(ctx, domain.UserID(user), page)
						}
					}
					some, err := pageOf(cmd.Context(), page)
					return c.printPage(some.Next, err, printEach(some.Items, c.printChat))
				}
				list := core.Queries.Chats
				if cmd.Flags().Changed("user") {
					list = func(ctx context.Context) ([]domain.ChatID, error) {
						return core.Queries.ChatsOf(ctx, domain.UserID(user))
					}
				}
				chats, err := list(cmd.Context())
				if err != nil {
					return err
				}
				return printEach(chats, c.printChat)()
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "whose")
	pageFlags(cmd, &page)
	return c.jsonFlag(cmd)
}
