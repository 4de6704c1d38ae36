package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// contactView is a contact of a user.
type contactView struct {
	UserID    domain.UserID `json:"userId"` // whose contact it is
	ContactID domain.UserID `json:"contactId"`
	Chats     int           `json:"chats"` // chats that both are in
}

func (c *cli) contacts() *cobra.Command {
	var page domain.Page
	cmd := c.takes(c.jsonFlag(&cobra.Command{
		Use: "contacts", Short: "List the users that share a chat with a user",
		Long: "List the users that share a chat of up to 256 members with a user, those that share most chats first, at most 1,000, as far as a running\n" +
			"\"core serve\" has projected them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				user := domain.UserID(args[0])
				contacts, err := pageOrAll(cmd.Context(), page, func(ctx context.Context, page domain.Page) (app.List[app.Contact], error) {
					return core.Queries.ContactPage(ctx, user, page)
				}, func(ctx context.Context) ([]app.Contact, error) {
					return core.Queries.Contacts(ctx, user)
				})
				if err != nil {
					return err
				}
				l := c.list(args[0]+" has no contacts", "USER", "CHATS")
				for _, contact := range contacts.Items {
					if err := l.add(contactView{user, contact.User, contact.Chats}, string(contact.User), strconv.Itoa(contact.Chats)); err != nil {
						return err
					}
				}
				return l.endPage(contacts.Next)
			})
		},
	}), userArg)
	pageFlags(cmd, &page)
	return cmd
}

func (c *cli) custom() *cobra.Command {
	var page domain.Page
	cmd := c.takes(c.jsonFlag(&cobra.Command{
		Use: "custom", Short: "List the custom events of an entity of a chat",
		Long: "List the events that an application has recorded for an entity of its own in a chat, such as a poll, newest first. With --json each is as\n" +
			"the log has it. \"core history --raw\" shows all events of a chat.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				h, entity := history{c: c, core: core, chat: domain.ChatID(args[0])}, domain.CustomID(args[1])
				events, err := pageOrAll(cmd.Context(), page, func(ctx context.Context, page domain.Page) (app.List[ports.Record], error) {
					return core.Queries.CustomPage(ctx, h.chat, entity, page)
				}, func(ctx context.Context) ([]ports.Record, error) {
					all, err := core.Queries.Custom(ctx, h.chat, entity)
					slices.Reverse(all.Events)
					return all.Events, err
				})
				if err != nil {
					return err
				}
				for _, r := range events.Items {
					if err := h.printEvent(r); err != nil {
						return err
					}
				}
				if err := h.ended(fmt.Sprintf("events of %s", entity), nil); err != nil {
					return err
				}
				return c.printNext(events.Next)
			})
		},
	}), chatArg, entityArg)
	pageFlags(cmd, &page)
	return cmd
}
