package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) user() *cobra.Command {
	return parent("user", "Take a user out of all chats", c.userDepart())
}

// departedView is what became of a chat that a user departed from.
type departedView struct {
	UserID      domain.UserID `json:"userId"`
	ChatID      domain.ChatID `json:"chatId"`
	SuccessorID domain.UserID `json:"successorId,omitempty"`
	Closed      bool          `json:"closed"`
	Problem     string        `json:"problem,omitempty"` // the user is still a member
}

func (d departedView) text() string {
	switch {
	case d.Problem != "":
		return "stays: " + d.Problem
	case d.Closed:
		return "left, archived: nobody else was a member"
	case d.SuccessorID != "":
		return "left, owner is " + string(d.SuccessorID)
	}
	return "left"
}

func (c *cli) userDepart() *cobra.Command {
	var successors []string
	var yes bool
	cmd := &cobra.Command{
		Use: "depart", Short: "End a user's memberships of all chats, and the user's sessions",
		Long: "End a user's memberships of all chats, also of direct ones and those of a last owner, and close the user's sessions. A group whose last owner departs is given\n" +
			"to the admin who joined first, or without admins to the member who joined first. A chat without other members is archived. Messages stay. A departure that was\n" +
			"interrupted is given again. Without --yes the command changes nothing and ends with 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			depart := app.DepartUser{User: domain.UserID(args[0])}
			var err error
			if depart.Successors, err = successorsOf(successors); err != nil {
				return err
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if !yes {
					return errUnsure
				}
				done, err := core.Users.Depart(cmd.Context(), depart, func(d app.DepartedChat) error {
					view := departedView{UserID: depart.User, ChatID: d.Chat, SuccessorID: d.Successor, Closed: d.Closed}
					if d.Err != nil {
						view.Problem = d.Err.Error()
					}
					return c.print(view, fmt.Sprintf("chat %s: %s", d.Chat, view.text()))
				})
				if err != nil || c.json {
					return err
				}
				return c.print(nil, fmt.Sprintf("user %s: %s left, %d failed, %s closed", depart.User, count(done.Left, "chat"), done.Failed, count(done.Sessions, "session")))
			})
		},
	}
	cmd.Flags().StringArrayVar(&successors, "successor", nil, "`CHAT=USER` who becomes owner of a chat; may be given several times")
	cmd.Flags().BoolVar(&yes, "yes", false, "end the memberships")
	return c.takes(c.jsonFlag(cmd), userArg)
}

func successorsOf(texts []string) (map[domain.ChatID]domain.UserID, error) {
	successors := make(map[domain.ChatID]domain.UserID, len(texts))
	for _, text := range texts {
		i := strings.LastIndex(text, "=")
		if i < 0 {
			return nil, &domain.InvalidError{Field: "successor", Problem: fmt.Sprintf("is %q", text), Allowed: "CHAT=USER"}
		}
		successors[domain.ChatID(text[:i])] = domain.UserID(text[i+1:])
	}
	return successors, nil
}

// blockedUserView is a user whom another one blocks.
type blockedUserView struct {
	UserID    domain.UserID `json:"userId"` // who blocks
	BlockedID domain.UserID `json:"blockedId"`
	ChatID    domain.ChatID `json:"chatId"`
}

func (c *cli) blocked() *cobra.Command {
	var page domain.Page
	cmd := c.takes(c.jsonFlag(&cobra.Command{
		Use: "blocked", Short: "List the users whom a user blocks",
		Long: "List the users whom a user blocks in direct chats, in no particular order, as far as a running \"core serve\" has projected them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				user := domain.UserID(args[0])
				blocked, err := pageOrPages(cmd.Context(), page, func(ctx context.Context, page domain.Page) (app.List[app.BlockedUser], error) {
					return core.Queries.Blocked(ctx, user, page)
				})
				if err != nil {
					return err
				}
				l := c.list(args[0]+" blocks nobody", "USER", "CHAT")
				for _, b := range blocked.Items {
					if err := l.add(blockedUserView{user, b.User, b.Chat}, string(b.User), string(b.Chat)); err != nil {
						return err
					}
				}
				return l.endPage(blocked.Next)
			})
		},
	}), userArg)
	pageFlags(cmd, &page)
	return cmd
}
