package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) session() *cobra.Command {
	cmd := &cobra.Command{Use: "session", Short: "Open, see and close the sessions of users"}
	cmd.AddCommand(c.sessionOpen(), c.sessionList(), c.sessionClose())
	return cmd
}

type sessionView struct {
	SessionID string    `json:"sessionId"`
	UserID    string    `json:"userId"`
	DeviceID  string    `json:"deviceId,omitempty"`
	Name      string    `json:"deviceName,omitempty"`
	UserAgent string    `json:"userAgent,omitempty"`
	IP        string    `json:"ip,omitempty"`
	OpenedAt  time.Time `json:"openedAt"`
	SeenAt    time.Time `json:"seenAt"`
	ExpiresAt time.Time `json:"expiresAt"` // if it is not used again
	EndsAt    time.Time `json:"endsAt"`
	Token     string    `json:"token,omitempty"`
}

func sessionViewOf(s domain.Session) sessionView {
	return sessionView{
		SessionID: string(s.ID), UserID: string(s.User), DeviceID: string(s.Device.ID), Name: s.Device.Name, UserAgent: s.Device.UserAgent, IP: s.Device.IP,
		OpenedAt: s.OpenedAt, SeenAt: s.SeenAt, ExpiresAt: s.ExpiresAt(), EndsAt: s.EndsAt,
	}
}

func userFlag(cmd *cobra.Command, user *string) *cobra.Command {
	cmd.Flags().StringVar(user, "user", "", "whose")
	_ = cmd.MarkFlagRequired("user")
	return cmd
}

func (c *cli) sessionOpen() *cobra.Command {
	var user, device string
	var d domain.Device
	cmd := &cobra.Command{
		Use: "open", Short: "Log a user in and print the token, this once", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				d.ID = domain.DeviceID(device)
				opened, err := core.Sessions.Open(cmd.Context(), app.OpenSession{User: domain.UserID(user), Device: d})
				if err != nil {
					return err
				}
				view := sessionViewOf(opened.Session)
				view.Token = string(opened.Token)
				return c.print(view, fmt.Sprintf("session %s  until %s  token %s", view.SessionID, view.EndsAt.Format(time.RFC3339), view.Token))
			})
		},
	}
	cmd.Flags().StringVar(&device, "device", "", "device id")
	cmd.Flags().StringVar(&d.Name, "name", "", "what the user calls the device")
	cmd.Flags().StringVar(&d.UserAgent, "user-agent", "", "the program that logs in")
	cmd.Flags().StringVar(&d.IP, "ip", "", "where it is")
	return c.jsonFlag(userFlag(cmd, &user))
}

func (c *cli) sessionList() *cobra.Command {
	var user string
	cmd := &cobra.Command{
		Use: "list", Short: "Show a user's live sessions, the oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				list, err := core.Sessions.List(cmd.Context(), domain.UserID(user))
				if err != nil {
					return err
				}
				if len(list) == 0 && !c.json {
					return c.print(nil, user+" has no session")
				}
				rows := [][]string{{"SESSION", "DEVICE", "NAME", "OPENED", "SEEN", "EXPIRES"}}
				for _, s := range list {
					v := sessionViewOf(s)
					if c.json {
						if err := c.print(v, ""); err != nil {
							return err
						}
					}
					row := []string{v.SessionID, v.DeviceID, v.Name}
					for _, at := range []time.Time{v.OpenedAt, v.SeenAt, v.ExpiresAt} {
						row = append(row, at.Format(time.DateTime))
					}
					rows = append(rows, row)
				}
				if c.json {
					return nil
				}
				return c.table(rows)
			})
		},
	}
	return c.jsonFlag(userFlag(cmd, &user))
}

var errWhichSession = errors.New("give the id of a session, or --all")

func (c *cli) sessionClose() *cobra.Command {
	var user string
	var all bool
	cmd := &cobra.Command{
		Use: "close [SESSION]", Short: "Close a session of a user, or all", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errWhichSession
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				closed := 1
				var err error
				if all {
					closed, err = core.Sessions.CloseAll(cmd.Context(), domain.UserID(user))
				} else {
					err = core.Sessions.Close(cmd.Context(), domain.UserID(user), domain.SessionID(args[0]))
				}
				if errors.Is(err, domain.ErrNoSession) {
					return fmt.Errorf("%w; core session list shows those that there are", err)
				}
				if err != nil {
					return err
				}
				view := struct {
					UserID string `json:"userId"`
					Closed int    `json:"closed"`
				}{user, closed}
				return c.print(view, "closed "+count(closed, "session"))
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all sessions of the user")
	return c.jsonFlag(userFlag(cmd, &user))
}
