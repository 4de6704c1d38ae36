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
	cmd := &cobra.Command{Use: "presence", Short: "See who is there, and say that a device is"}
	cmd.AddCommand(c.presenceBeat(), c.presenceLeave(), c.presenceStatus(), c.presenceOnline())
	return cmd
}

func (c *cli) presenceBeat() *cobra.Command {
	return c.ofConnection("beat", "Record a heartbeat of a user's connection, which ends by itself", "heartbeat recorded",
		func(ctx context.Context, core *chatcore.Core, user domain.UserID, conn domain.Connection) error {
			return core.Presence.Heartbeat(ctx, user, conn.Device, conn.ID)
		})
}

func (c *cli) presenceLeave() *cobra.Command {
	return c.ofConnection("leave", "End the heartbeat of a user's connection; other connections keep theirs", "left",
		func(ctx context.Context, core *chatcore.Core, user domain.UserID, conn domain.Connection) error {
			return core.Presence.Leave(ctx, user, conn.Device, conn.ID)
		})
}

func (c *cli) ofConnection(
	name, short, done string, do func(ctx context.Context, core *chatcore.Core, user domain.UserID, conn domain.Connection) error,
) *cobra.Command {
	var user, device, connection string
	cmd := &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				conn := domain.Connection{Device: domain.DeviceID(device), ID: domain.ConnectionID(connection)}
				if err := do(cmd.Context(), core, domain.UserID(user), conn); err != nil {
					return err
				}
				statuses, err := core.Presence.Statuses(cmd.Context(), domain.UserID(user))
				if err != nil {
					return err
				}
				return c.print(statusViewOf(statuses[0]), done+"; "+statusLine(statuses[0]))
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "whose")
	cmd.Flags().StringVar(&device, "device", "", "which of the user's devices")
	cmd.Flags().StringVar(&connection, "connection", "", "which of the device's connections, such as a session's id (default: the device itself)")
	_ = cmd.MarkFlagRequired("user")
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
		line += ", last seen " + s.LastSeen.Format("2006-01-02 15:04:05")
	}
	return line
}

func (c *cli) presenceStatus() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "status USER…", Short: "Show users' statuses", Args: cobra.MinimumNArgs(1),
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
				for _, s := range statuses {
					if err := c.print(statusViewOf(s), statusLine(s)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
}

func (c *cli) presenceOnline() *cobra.Command {
	return c.jsonFlag(&cobra.Command{
		Use: "online", Short: "List who is there and not hidden", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				for user, err := range core.Presence.Online(cmd.Context()) {
					if err != nil {
						return err
					}
					view := struct {
						UserID string `json:"userId"`
					}{string(user)}
					if err := c.print(view, string(user)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	})
}

func (c *cli) status() *cobra.Command {
	var user, name string
	cmd := &cobra.Command{
		Use: "status", Short: "Choose what a user shows while there", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			status, ok := wireformat.ParseStatus(name)
			if !ok {
				return &domain.InvalidError{Field: "status", Problem: fmt.Sprintf("is %q", name), Allowed: "online, away, busy, offline"}
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				told, err := core.Presence.SetStatus(cmd.Context(), domain.UserID(user), status)
				if err != nil {
					return err
				}
				return c.printTold(told)
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "whose")
	cmd.Flags().StringVar(&name, "status", "", "online, away, busy or offline")
	_ = cmd.MarkFlagRequired("user")
	_ = cmd.MarkFlagRequired("status")
	return c.jsonFlag(cmd)
}
