package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) chat() *cobra.Command {
	one, member, role := []argument{chatArg}, []argument{chatArg, userArg}, []argument{chatArg, userArg, roleArg}
	cmd := parent("chat", "Create, list and change chats and their members",
		c.chatCreate(), c.chatDirect(), c.chatList(), c.chatMembers(), c.chatAddMany(), c.chatPolicy(), c.chatMetadata(), c.chatSetMetadata(), c.chatSettings(), c.chatSetSettings(),
		c.change("join", "Join a public chat", one, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			return core.Chats.Join(cmd.Context(), domain.Join{Chat: ch.chat(), Actor: ch.by(), Command: ch.commandID()})
		}),
		c.chatRestrict(domain.Ban, "Ban a user from a chat, and remove a member"), c.chatRestrict(domain.Mute, "Mute a user in a chat"), c.chatLift(), c.chatRestrictions(),
		c.change("rename", "Change the title of a chat", []argument{chatArg, titleArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			return core.Chats.Rename(cmd.Context(), domain.Rename{Chat: ch.chat(), Actor: ch.by(), Title: ch.text(titleArg), Command: ch.commandID()})
		}),
		c.change("archive", "Archive a chat: no new messages, reactions and members", one, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			return core.Chats.Archive(cmd.Context(), domain.Archive{Chat: ch.chat(), Actor: ch.by(), Command: ch.commandID()})
		}),
		c.change("unarchive", "Reopen an archived chat", one, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			return core.Chats.Unarchive(cmd.Context(), domain.Unarchive{Chat: ch.chat(), Actor: ch.by(), Command: ch.commandID()})
		}),
		c.change("leave", "Leave a chat: end the actor's membership", one, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			return core.Chats.Leave(cmd.Context(), domain.Leave{Chat: ch.chat(), Actor: ch.by(), Command: ch.commandID()})
		}),
		c.change("add", "Add a user to a chat", member, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			return core.Chats.Add(cmd.Context(), domain.Add{Chat: ch.chat(), Actor: ch.by(), User: ch.user(), Command: ch.commandID()})
		}),
		c.change("remove", "Remove a user from a chat", member, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			return core.Chats.Remove(cmd.Context(), domain.Remove{Chat: ch.chat(), Actor: ch.by(), User: ch.user(), Command: ch.commandID()})
		}),
		c.change("promote", "Raise a member's role to admin or owner", role, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			to, err := parseRole(ch.text(roleArg))
			if err != nil {
				return app.Done{}, err
			}
			return core.Chats.Promote(cmd.Context(), domain.Promote{Chat: ch.chat(), Actor: ch.by(), User: ch.user(), Role: to, Command: ch.commandID()})
		}),
		c.change("demote", "Lower a member's role to admin or member", role, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
			to, err := parseRole(ch.text(roleArg))
			if err != nil {
				return app.Done{}, err
			}
			return core.Chats.Demote(cmd.Context(), domain.Demote{Chat: ch.chat(), Actor: ch.by(), User: ch.user(), Role: to, Command: ch.commandID()})
		}),
	)
	cmd.Aliases = []string{"chats"}
	return cmd
}

func parseRole(name string) (domain.Role, error) {
	role, ok := wireformat.ParseRole(name)
	if !ok {
		return role, &domain.InvalidError{Field: "role", Problem: fmt.Sprintf("is %q", name), Allowed: "member, admin, owner"}
	}
	return role, nil
}

func (c *cli) chatCreate() *cobra.Command {
	var title string
	var members, set []string
	cmd := c.change("create", "Create a chat that the actor owns", []argument{chatArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		values, err := valuesOf("set", set)
		if err != nil {
			return app.Done{}, err
		}
		create := domain.Create{Chat: ch.chat(), Actor: ch.by(), Title: title, Metadata: values, Command: ch.commandID()}
		for _, m := range members {
			create.Members = append(create.Members, domain.UserID(m))
		}
		return core.Chats.Create(cmd.Context(), create)
	})
	cmd.ValidArgsFunction = c.completeArguments() // the id is new
	cmd.Flags().StringVar(&title, "title", "", "`TITLE` of the chat")
	cmd.Flags().StringArrayVar(&members, "member", nil, "`USER` to add as a first member; may be given several times")
	cmd.Flags().StringArrayVar(&set, "set", nil, "`KEY=JSON` of the metadata, such as topic='\"Harvest\"'; may be given several times")
	return cmd
}

type memberView struct {
	ChatID   domain.ChatID `json:"chatId"`
	UserID   domain.UserID `json:"userId"`
	Role     string        `json:"role"`
	JoinedAt time.Time     `json:"joinedAt"`
}

func (c *cli) chatMembers() *cobra.Command {
	var page domain.Page
	cmd := c.takes(c.jsonFlag(&cobra.Command{
		Use: "members", Short: "List a chat's members",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				chat := domain.ChatID(args[0])
				members, err := pageOrAll(cmd.Context(), page, func(ctx context.Context, page domain.Page) (app.List[domain.Member], error) {
					return core.Queries.MemberPage(ctx, chat, page)
				}, func(ctx context.Context) ([]domain.Member, error) {
					return core.Queries.Members(ctx, chat)
				})
				if err != nil {
					return err
				}
				l := c.list(fmt.Sprintf("chat %s has no members", chat), "USER", "ROLE", "JOINED")
				for _, m := range members.Items {
					if err := l.add(memberView{chat, m.User, m.Role.String(), m.JoinedAt}, string(m.User), m.Role.String(), m.JoinedAt.Format(time.DateTime)); err != nil {
						return err
					}
				}
				return l.endPage(members.Next)
			})
		},
	}), chatArg)
	pageFlags(cmd, &page)
	return cmd
}
