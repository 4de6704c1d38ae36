package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// settingsView is the settings of one user for a chat.
type settingsView struct {
	ChatID     domain.ChatID `json:"chatId"`
	UserID     domain.UserID `json:"userId"`
	Version    domain.Seq    `json:"version"`
	Notify     string        `json:"notify"`
	MutedUntil time.Time     `json:"mutedUntil,omitzero"`
	Favourite  bool          `json:"favourite"`
	Hidden     string        `json:"hidden"`
	HiddenSeq  domain.Seq    `json:"hiddenSeq,omitempty"`
	UnreadSeq  domain.Seq    `json:"unreadSeq,omitempty"`
}

func (c *cli) chatSettings() *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: "settings", Short: "Show the settings that a user has for a chat",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				chat, user := domain.ChatID(args[0]), domain.UserID(args[1])
				all, err := core.Queries.Settings(cmd.Context(), chat, user)
				if err != nil {
					return err
				}
				s := all[0]
				text := fmt.Sprintf("notify %s  favourite %t  hidden %s", s.Notify, s.Favourite, s.Hidden)
				if !s.MutedUntil.IsZero() {
					text += "  muted until " + s.MutedUntil.Format(minutes)
				}
				if s.UnreadSeq > 0 {
					text += fmt.Sprintf("  unread from seq %d", s.UnreadSeq)
				}
				return c.print(settingsView{
					chat, user, s.Version, s.Notify.String(), s.MutedUntil, s.Favourite, s.Hidden.String(), s.HiddenSeq, s.UnreadSeq,
				}, text)
			})
		},
	}), chatArg, userArg)
}

func (c *cli) chatSetSettings() *cobra.Command {
	var notify, hide, unreadFrom string
	var mute time.Duration
	var favourite bool
	cmd := c.change("set-settings", "Change the settings that the actor has for a chat", []argument{chatArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		var settings domain.SettingsChange
		var err error
		given := cmd.Flags().Changed
		if given("notify") {
			settings.Notify, err = named("notify", notify, domain.NotifyDefault, domain.NotifyAll, domain.NotifyMentions, domain.NotifyNone)
		}
		if given("hide") && err == nil {
			settings.Hidden, err = named("hide", hide, domain.Shown, domain.HiddenUntilMessage, domain.HiddenAlways)
		}
		if err != nil {
			return app.Done{}, err
		}
		if given("mute") {
			settings.MutedUntil = new(time.Time)
			if mute > 0 {
				settings.MutedUntil = new(time.Now().Add(mute))
			}
		}
		if given("favourite") {
			settings.Favourite = &favourite
		}
		if given("unread-from") {
			settings.UnreadFrom = new(domain.MessageID(unreadFrom))
		}
		return core.Chats.SetSettings(cmd.Context(), domain.SetSettings{Chat: ch.chat(), Actor: ch.by(), Settings: settings, Command: ch.commandID()})
	})
	cmd.Flags().StringVar(&notify, "notify", "", "`LEVEL` of notification: default, all, mentions or none")
	cmd.Flags().DurationVar(&mute, "mute", 0, "mute notifications for this `TIME`, such as 8h; 0 ends a mute")
	cmd.Flags().BoolVar(&favourite, "favourite", false, "make the chat a favourite, or with =false an ordinary one")
	cmd.Flags().StringVar(&hide, "hide", "", "`HOW` the chat list leaves the chat out: untilMessage, always or shown")
	cmd.Flags().StringVar(&unreadFrom, "unread-from", "", "`MESSAGE` from which on messages count as unread; empty takes that back")
	return cmd
}

// named returns the value that has a name.
func named[T fmt.Stringer](field, name string, values ...T) (*T, error) {
	var names []string
	for _, v := range values {
		if names = append(names, v.String()); v.String() == name {
			return &v, nil
		}
	}
	return nil, &domain.InvalidError{Field: field, Problem: fmt.Sprintf("is %q", name), Allowed: strings.Join(names, ", ")}
}

func (c *cli) pin() *cobra.Command {
	return c.change("pin", "Pin a message to its chat", []argument{chatArg, messageArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return core.Chats.Pin(cmd.Context(), ch.pin())
	})
}

func (c *cli) unpin() *cobra.Command {
	return c.change("unpin", "Remove the pin of a message", []argument{chatArg, messageArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return core.Chats.Unpin(cmd.Context(), ch.pin())
	})
}

func (ch *change) pin() domain.Pin {
	return domain.Pin{Chat: ch.chat(), Actor: ch.by(), MessageID: ch.message(), Command: ch.commandID()}
}
