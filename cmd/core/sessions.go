package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) session() *cobra.Command {
	cmd := parent("session", "Open, list, verify, rotate and close the sessions of users",
		c.sessionOpen(), c.sessionList(), c.sessionVerify(), c.sessionRotate(), c.sessionClose())
	cmd.Aliases = []string{"sessions"}
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

// printOpened prints a session with its token, which is shown this once.
func (c *cli) printOpened(opened app.OpenedSession) error {
	view := sessionViewOf(opened.Session)
	view.Token = string(opened.Token)
	return c.print(view, fmt.Sprintf("session %s  until %s  token %s", view.SessionID, view.EndsAt.Format(time.RFC3339), view.Token))
}

func (c *cli) sessionOpen() *cobra.Command {
	var device string
	var d domain.Device
	cmd := &cobra.Command{
		Use: "open", Short: "Log a user in and print the token, which is not shown again",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				d.ID = domain.DeviceID(device)
				opened, err := core.Sessions.Open(cmd.Context(), domain.OpenSession{User: domain.UserID(args[0]), Device: d})
				if err != nil {
					return err
				}
				return c.printOpened(opened)
			})
		},
	}
	c.takes(cmd, userArg)
	cmd.Flags().StringVar(&device, "device", "", "`ID` of the device")
	cmd.Flags().StringVar(&d.Name, "name", "", "`NAME` that the user gave the device")
	cmd.Flags().StringVar(&d.UserAgent, "user-agent", "", "`PROGRAM` that logs in")
	cmd.Flags().StringVar(&d.IP, "ip", "", "`ADDRESS` that the user logs in from")
	return c.jsonFlag(cmd)
}

func (c *cli) sessionList() *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List a user's live sessions, the oldest first",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				sessions, err := core.Sessions.List(cmd.Context(), domain.UserID(args[0]))
				if err != nil {
					return err
				}
				l := c.list(args[0]+" has no session", "SESSION", "DEVICE", "NAME", "OPENED", "SEEN", "EXPIRES")
				for _, s := range sessions {
					v := sessionViewOf(s)
					row := []string{v.SessionID, v.DeviceID, v.Name}
					for _, at := range []time.Time{v.OpenedAt, v.SeenAt, v.ExpiresAt} {
						row = append(row, at.Format(time.DateTime))
					}
					if err := l.add(v, row...); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	}), userArg)
}

func (c *cli) sessionVerify() *cobra.Command {
	return c.ofToken("verify", "Show the session of a token; this counts as its use",
		func(ctx context.Context, core *chatcore.Core, token app.SessionToken) error {
			session, err := core.Sessions.Get(ctx, token)
			if err != nil {
				return err
			}
			v := sessionViewOf(session)
			return c.print(v, fmt.Sprintf("session %s of %s  expires %s unless it is used  ends %s", v.SessionID, v.UserID, v.ExpiresAt.Format(time.RFC3339), v.EndsAt.Format(time.RFC3339)))
		})
}

func (c *cli) sessionRotate() *cobra.Command {
	return c.ofToken("rotate", "Give a session another token and print it, this once; the old token ends",
		func(ctx context.Context, core *chatcore.Core, token app.SessionToken) error {
			rotated, err := core.Sessions.Rotate(ctx, token)
			if err != nil {
				return err
			}
			return c.printOpened(rotated)
		})
}

func (c *cli) ofToken(use, short string, run func(ctx context.Context, core *chatcore.Core, token app.SessionToken) error) *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: use, Short: short,
		Long: short + ".\nA TOKEN of - is read from standard input, where other users of the machine do not see it.",
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := readToken(cmd, args[0])
			if err != nil {
				return err
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error { return run(cmd.Context(), core, token) })
		},
	}), tokenArg)
}

// readToken returns the token of an argument, or the first line of standard input for "-".
func readToken(cmd *cobra.Command, argument string) (app.SessionToken, error) {
	if argument != "-" {
		return app.SessionToken(argument), nil
	}
	line, err := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", err
	}
	return app.SessionToken(strings.TrimSpace(line)), nil
}

func (c *cli) sessionClose() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "close", Short: "Close one session of a user, or --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				user, closed := domain.UserID(args[0]), 1
				var session domain.SessionID
				var err error
				if all {
					closed, err = core.Sessions.CloseAll(cmd.Context(), user)
				} else {
					session = domain.SessionID(args[1])
					err = core.Sessions.Close(cmd.Context(), user, session)
				}
				if errors.Is(err, domain.ErrNoSession) {
					return fmt.Errorf("%w; core session list %s shows those that there are", err, user)
				}
				if err != nil {
					return err
				}
				view := struct {
					UserID    domain.UserID    `json:"userId"`
					SessionID domain.SessionID `json:"sessionId,omitempty"`
					Closed    int              `json:"closed"`
				}{user, session, closed}
				return c.print(view, "closed "+count(closed, "session"))
			})
		},
	}
	c.mayTake(cmd, userArg, sessionArg)
	counted := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := counted(cmd, args); err != nil {
			return err
		}
		if all == (len(args) == 2) {
			return usageErrorf("give the id of a SESSION, or --all: %s", cmd.UseLine())
		}
		return nil
	}
	cmd.Flags().BoolVar(&all, "all", false, "all sessions of the user")
	return c.jsonFlag(cmd)
}
