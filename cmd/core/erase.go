package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

func (c *cli) erase() *cobra.Command {
	return parent("erase", "Remove the content of messages from the log, for good", c.eraseMessage(), c.eraseUser(), c.eraseChat(), c.eraseVerify())
}

// erasedView is the result of the erasure of a message.
type erasedView struct {
	ChatID      domain.ChatID    `json:"chatId"`
	MessageID   domain.MessageID `json:"messageId"`
	Seq         domain.Seq       `json:"seq,omitempty"`
	Changed     bool             `json:"changed"`
	Attachments []string         `json:"attachments,omitempty"` // URLs of files, which lie elsewhere
}

func erasedViewOf(chat domain.ChatID, message domain.MessageID, e app.Erased) erasedView {
	view := erasedView{ChatID: chat, MessageID: message, Seq: e.Seq, Changed: e.Changed}
	for _, a := range e.Attachments {
		view.Attachments = append(view.Attachments, a.URL)
	}
	return view
}

func (v erasedView) text() string {
	text := fmt.Sprintf("%s %s: nothing to erase", v.ChatID, v.MessageID)
	if v.Changed {
		text = fmt.Sprintf("%s %s: erased, seq %d", v.ChatID, v.MessageID, v.Seq)
	}
	for _, url := range v.Attachments {
		text += "\n  file " + url
	}
	return text
}

// eraseFlags adds the flags of all erasures.
func (c *cli) eraseFlags(cmd *cobra.Command, actor, reason *string, yes *bool) {
	c.asFlag(cmd, actor)
	cmd.Flags().StringVar(reason, "reason", "", "`REASON`, which stays in the log")
	yesFlag(cmd, yes)
	c.jsonFlag(cmd)
}

func (c *cli) eraseMessage() *cobra.Command {
	var actor, reason string
	var yes bool
	cmd := &cobra.Command{
		Use: "message", Short: "Erase a message with all of its edits",
		Long: "Erase a message with all of its edits: from the log, its delivery stream and the caches. A tombstone stays. --as names the user or service that\n" +
			"asked for it, which need be no member. The files that are printed lie elsewhere; delete them there. Without --yes the command changes nothing and\nends with 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				chat, message := domain.ChatID(args[0]), domain.MessageID(args[1])
				if !yes {
					if _, err := core.Queries.Message(cmd.Context(), chat, message); err != nil {
						return err
					}
					return errUnsure
				}
				erased, err := core.Chats.Erase(cmd.Context(), domain.Erase{Chat: chat, Actor: domain.UserID(actor), MessageID: message, Reason: reason, Trusted: true})
				if err == nil {
					err = core.FinishErasure(cmd.Context(), chat, message)
				}
				if err != nil {
					return err
				}
				view := erasedViewOf(chat, message, erased)
				return c.print(view, view.text())
			})
		},
	}
	c.eraseFlags(cmd, &actor, &reason, &yes)
	return c.takes(cmd, chatArg, messageArg)
}

func (c *cli) eraseChat() *cobra.Command {
	var actor, reason string
	var yes bool
	cmd := &cobra.Command{
		Use: "chat", Short: "Delete a chat for good: remove its members and erase all its content",
		Long: "Delete a chat for good: close it, remove its members and erase its messages, titles, metadata, reasons of restrictions and data of custom events. Its id is never\n" +
			"free again. A deletion that was interrupted is given again. Without --yes the command changes nothing and ends with 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				chat := domain.ChatID(args[0])
				if !yes {
					if _, err := core.Queries.Chat(cmd.Context(), chat); err != nil {
						return err
					}
					return errUnsure
				}
				report := func(m domain.MessageID, e app.Erased) error {
					if err := core.FinishErasure(cmd.Context(), chat, m); err != nil {
						return err
					}
					view := erasedViewOf(chat, m, e)
					return c.print(view, view.text())
				}
				deleted, err := core.Chats.DeleteChat(cmd.Context(), domain.DeleteChat{Chat: chat, Actor: domain.UserID(actor), Reason: reason, Trusted: true}, report)
				if err == nil {
					err = core.FinishErasure(cmd.Context(), chat, "")
				}
				if err != nil {
					return err
				}
				view := struct {
					ChatID   domain.ChatID `json:"chatId"`
					Deleted  bool          `json:"deleted"`
					Members  int           `json:"members"`
					Messages int           `json:"messages"`
				}{chat, true, deleted.Members, deleted.Messages}
				return c.print(view, fmt.Sprintf("chat %s is deleted: %s removed, %s erased", chat, count(deleted.Members, "member"), count(deleted.Messages, "message")))
			})
		},
	}
	c.eraseFlags(cmd, &actor, &reason, &yes)
	return c.takes(cmd, chatArg)
}

func (c *cli) eraseUser() *cobra.Command {
	var actor, reason string
	var yes bool
	cmd := &cobra.Command{
		Use: "user", Short: "Erase all messages of a user",
		Long: "Erase all messages that a user has sent, in every chat of the log, end the user's memberships as core user depart does, and close the user's sessions. The\n" +
			"events of memberships, reactions and read marks stay, and so do quotes and mentions in messages of others, which nobody can find. An erasure that was interrupted is given again. Without --yes the command\nchanges nothing and ends with 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				user := domain.UserID(args[0])
				if !yes {
					return errUnsure
				}
				report := func(e app.UserErasure) error {
					for _, a := range e.Attachments {
						file := struct {
							File string `json:"file"`
						}{a.URL}
						if err := c.print(file, "file "+a.URL); err != nil {
							return err
						}
					}
					return nil
				}
				done, err := core.Erasures.EraseUser(cmd.Context(), app.EraseUser{User: user, Actor: domain.UserID(actor), Reason: reason}, report)
				if err != nil {
					return err
				}
				view := struct {
					UserID   domain.UserID `json:"userId"`
					Chats    int           `json:"chats"`
					Left     int           `json:"left"`
					Found    int           `json:"found"`
					Erased   int           `json:"erased"`
					Sessions int           `json:"sessions"`
				}{user, done.Chats, done.Left, done.Found, done.Erased, done.Sessions}
				return c.print(view, fmt.Sprintf("user %s: %s examined, %d left now, %s found, %d erased now, %s closed", user, count(done.Chats, "chat"), done.Left, count(done.Found, "message"), done.Erased, count(done.Sessions, "session")))
			})
		},
	}
	c.eraseFlags(cmd, &actor, &reason, &yes)
	return c.takes(cmd, userArg)
}

// placeView is a place that was examined.
type placeView struct {
	Place  string    `json:"place"`
	Status string    `json:"status"`
	Until  time.Time `json:"until,omitzero"`
	Detail string    `json:"detail,omitempty"`
}

func (c *cli) eraseVerify() *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify", Short: "Examine every place for the content of an erased message or chat",
		Long: "Examine every place where the content of an erased message, or of a deleted chat if no message is given, may be, and print for each whether it is done,\n" +
			"pending, or was not reached. It ends with 1 unless all places that were reached are done.",
		RunE: func(cmd *cobra.Command, args []string) error {
			c.archives = true
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				message := domain.MessageID("")
				if len(args) > 1 {
					message = domain.MessageID(args[1])
				}
				places, err := core.VerifyErasure(cmd.Context(), domain.ChatID(args[0]), message)
				if err != nil {
					return err
				}
				pending := 0
				for _, p := range places {
					if p.Status == ports.ErasurePending {
						pending++
					}
					text := fmt.Sprintf("%-12s  %s", p.Place, p.Status)
					if !p.Until.IsZero() {
						text += " until " + p.Until.Format(minutes)
					}
					if p.Detail != "" {
						text += ": " + p.Detail
					}
					if err := c.print(placeView{p.Place, p.Status.String(), p.Until, p.Detail}, text); err != nil {
						return err
					}
				}
				if pending > 0 {
					return fmt.Errorf("%s pending", count(pending, "place"))
				}
				return nil
			})
		},
	}
	return c.mayTake(c.jsonFlag(cmd), chatArg, messageArg)
}
