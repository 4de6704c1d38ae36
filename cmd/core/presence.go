package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
)

func (c *cli) presence() *cobra.Command {
	return parent("presence", "Show and set users' statuses, and record heartbeats of their devices",
		c.presenceGet(), c.presenceSet(), c.presenceOnline(),
		c.ofConnection("beat", "Record a heartbeat of a user's connection, which ends by itself", "heartbeat recorded",
			func(ctx context.Context, core *chatcore.Core, user domain.UserID, conn domain.Connection) error {
				return core.Presence.Heartbeat(ctx, user, conn.Device, conn.ID)
			}),
		c.ofConnection("leave", "End the heartbeat of a user's connection; other connections keep theirs", "left",
			func(ctx context.Context, core *chatcore.Core, user domain.UserID, conn domain.Connection) error {
				return core.Presence.Leave(ctx, user, conn.Device, conn.ID)
			}),
	)
}

func (c *cli) ofConnection(
	name, short, done string, do func(ctx context.Context, core *chatcore.Core, user domain.UserID, conn domain.Connection) error,
) *cobra.Command {
	var device, connection string
	cmd := &cobra.Command{
		Use: name, Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				conn := domain.Connection{Device: domain.DeviceID(device), ID: domain.ConnectionID(connection)}
				if err := do(cmd.Context(), core, domain.UserID(args[0]), conn); err != nil {
					return err
				}
				statuses, err := core.Presence.Statuses(cmd.Context(), domain.UserID(args[0]))
				if err != nil {
					return err
				}
				view := struct {
					statusView
					DeviceID     domain.DeviceID     `json:"deviceId"`
					ConnectionID domain.ConnectionID `json:"connectionId,omitempty"`
				}{statusViewOf(statuses[0]), conn.Device, conn.ID}
				return c.print(view, done+"; "+statusLine(statuses[0]))
			})
		},
	}
	c.takes(cmd, userArg)
	cmd.Flags().StringVar(&device, "device", "", "`ID` of the user's device (required)")
	cmd.Flags().StringVar(&connection, "connection", "", "`ID` of the device's connection, such as a session's (default: the device itself)")
	_ = cmd.MarkFlagRequired("device")
	return c.jsonFlag(cmd)
}

type statusView struct {
	UserID   string    `json:"userId"`
	Status   string    `json:"status"`
	LastSeen time.Time `json:"lastSeen,omitzero"`
}

func statusViewOf(s domain.UserStatus) statusView {
	return statusView{UserID: string(s.User), Status: wireformat.StatusName(s.Status), LastSeen: s.LastSeen}
}

func statusLine(s domain.UserStatus) string {
	line := fmt.Sprintf("%s is %s", s.User, wireformat.StatusName(s.Status))
	if !s.LastSeen.IsZero() {
		line += ", last seen " + s.LastSeen.Format(time.DateTime)
	}
	return line
}

func (c *cli) presenceGet() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "get USER...", Short: "Show users' statuses",
		Args: func(cmd *cobra.Command, args []string) error {
			return checkArguments(cmd, args[:min(len(args), 1)], []argument{userArg})
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			users := make([]domain.UserID, len(args))
			for i, arg := range args {
				users[i] = domain.UserID(arg)
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				statuses, err := core.Presence.Statuses(cmd.Context(), users...)
				if err != nil {
					return err
				}
				l := c.list("", "USER", "STATUS", "LAST SEEN")
				for _, s := range statuses {
					v, seen := statusViewOf(s), "-"
					if !v.LastSeen.IsZero() {
						seen = v.LastSeen.Format(time.DateTime)
					}
					if err := l.add(v, v.UserID, v.Status, seen); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	})
}

func (c *cli) presenceOnline() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "online", Short: "List the users that are online and not hidden", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				l := c.list("nobody is online", "USER")
				for user, err := range core.Presence.Online(cmd.Context()) {
					if err != nil {
						return err
					}
					view := struct {
						UserID string `json:"userId"`
					}{string(user)}
					if err := l.add(view, string(user)); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	})
}

func (c *cli) presenceSet() *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: "set", Short: "Choose the status that a user shows while online",
		RunE: func(cmd *cobra.Command, args []string) error {
			status, ok := wireformat.ParseStatus(args[1])
			if !ok {
				return &domain.InvalidError{Field: "status", Problem: fmt.Sprintf("is %q", args[1]), Allowed: "online, away, busy, offline"}
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				user := domain.UserID(args[0])
				published, err := core.Presence.SetStatus(cmd.Context(), user, status)
				if err != nil {
					return err
				}
				return c.printPublished(publishedView{UserID: user, Published: published})
			})
		},
	}), userArg, statusArg)
}
