package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

// openedView is a direct chat that was opened.
type openedView struct {
	ChatID  domain.ChatID `json:"chatId"`
	ActorID domain.UserID `json:"actorId"`
	UserID  domain.UserID `json:"userId"`
	Created bool          `json:"created"`
}

func (c *cli) chatDirect() *cobra.Command {
	var actor string
	cmd := &cobra.Command{
		Use: "direct", Short: "Open the direct chat of two users and show its id",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				open := domain.OpenDirect{Actor: domain.UserID(actor), With: domain.UserID(args[0])}
				opened, err := core.Chats.OpenDirect(cmd.Context(), open)
				if err != nil {
					return err
				}
				text := string(opened.Chat)
				if opened.Created {
					text += "  created"
				}
				return c.print(openedView{opened.Chat, open.Actor, open.With, opened.Created}, text)
			})
		},
	}
	c.takes(cmd, userArg)
	c.asFlag(cmd, &actor)
	return c.rateFlag(c.jsonFlag(cmd))
}

func (c *cli) chatPolicy() *cobra.Command {
	var public, private bool
	var allow []string
	cmd := c.change("policy", "Change who may join a chat, and which roles actions take", []argument{chatArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		policy, err := policyOf(public, private, allow)
		if err != nil {
			return app.Done{}, err
		}
		return core.Chats.SetPolicy(cmd.Context(), domain.SetPolicy{Chat: ch.chat(), Actor: ch.by(), Policy: policy, Command: ch.commandID()})
	})
	cmd.Flags().BoolVar(&public, "public", false, "everybody may join")
	cmd.Flags().BoolVar(&private, "private", false, "members add others")
	cmd.Flags().StringArrayVar(&allow, "allow", nil, "`ACTION=ROLE` that the action takes, such as post=admin, or ACTION=default; may be given several times. Actions: "+strings.Join(wireformat.ActionNames(), ", "))
	cmd.MarkFlagsMutuallyExclusive("public", "private")
	return cmd
}

func policyOf(public, private bool, allow []string) (policy domain.PolicyChange, err error) {
	switch {
	case public:
		policy.Visibility = domain.Public
	case private:
		policy.Visibility = domain.Private
	}
	for _, text := range allow {
		name, role, _ := strings.Cut(text, "=")
		action, known := wireformat.ParseAction(name)
		if !known {
			return policy, &domain.InvalidError{Field: "allow", Problem: fmt.Sprintf("has the action %q", name), Allowed: strings.Join(wireformat.ActionNames(), ", ")}
		}
		if policy.Permissions == nil {
			policy.Permissions = make(map[domain.Action]domain.Role)
		}
		policy.Permissions[action] = domain.NoRole
		if role != "default" {
			if policy.Permissions[action], err = parseRole(role); err != nil {
				return policy, err
			}
		}
	}
	return policy, nil
}

// chatRestrict returns the command for a ban or a mute.
func (c *cli) chatRestrict(kind domain.RestrictionKind, short string) *cobra.Command {
	var reason string
	var lasts time.Duration
	cmd := c.change(kind.String(), short, []argument{chatArg, userArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		restrict := domain.Restrict{Chat: ch.chat(), Actor: ch.by(), User: ch.user(), Kind: kind, Reason: reason, Command: ch.commandID()}
		if lasts != 0 {
			restrict.Until = time.Now().Add(lasts)
		}
		return core.Chats.Restrict(cmd.Context(), restrict)
	})
	cmd.Flags().DurationVar(&lasts, "for", 0, "`DURATION` after which it ends by itself, such as 1h (default: it has no end)")
	cmd.Flags().StringVar(&reason, "reason", "", "`REASON`, which every member of the chat sees")
	return cmd
}

func (c *cli) chatLift() *cobra.Command {
	var ban, mute bool
	cmd := c.change("lift", "Lift a user's ban or mute", []argument{chatArg, userArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		lift := domain.Restrict{Chat: ch.chat(), Actor: ch.by(), User: ch.user(), Kind: domain.Mute, Lift: true, Command: ch.commandID()}
		if ban {
			lift.Kind = domain.Ban
		}
		return core.Chats.Restrict(cmd.Context(), lift)
	})
	cmd.Flags().BoolVar(&ban, "ban", false, "the ban")
	cmd.Flags().BoolVar(&mute, "mute", false, "the mute")
	cmd.MarkFlagsMutuallyExclusive("ban", "mute")
	cmd.MarkFlagsOneRequired("ban", "mute")
	return cmd
}

// block returns the command that blocks a user, or that lifts a block.
func (c *cli) block(use, short string, lift bool) *cobra.Command {
	var reason string
	cmd := c.change(use, short, []argument{userArg}, func(cmd *cobra.Command, core *chatcore.Core, ch *change) (app.Done, error) {
		return core.Chats.Block(cmd.Context(), domain.BlockUser{Actor: ch.by(), User: ch.user(), Reason: reason, Lift: lift, Command: ch.commandID()})
	})
	if !lift {
		cmd.Flags().StringVar(&reason, "reason", "", "`REASON`, which services see")
	}
	return cmd
}

// restrictionView is a restriction that is in force.
type restrictionView struct {
	ChatID      domain.ChatID `json:"chatId"`
	UserID      domain.UserID `json:"userId"`
	Restriction string        `json:"restriction"`
	ByUserID    domain.UserID `json:"byUserId"`
	Since       time.Time     `json:"since"`
	Until       *time.Time    `json:"until,omitempty"`
	Reason      domain.Reason `json:"reason,omitempty"`
}

func (c *cli) chatRestrictions() *cobra.Command {
	var page domain.Page
	cmd := c.takes(c.jsonFlag(&cobra.Command{
		Use: "restrictions", Short: "List the bans and mutes of a chat that are in force, the latest first",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				return c.listRestrictions(cmd.Context(), core, domain.ChatID(args[0]), page)
			})
		},
	}), chatArg)
	pageFlags(cmd, &page)
	return cmd
}

func (c *cli) listRestrictions(ctx context.Context, core *chatcore.Core, chat domain.ChatID, page domain.Page) error {
	read := func(ctx context.Context, page domain.Page) (app.List[app.Restricted], error) {
		return core.Queries.Restrictions(ctx, chat, page)
	}
	found, err := pageOrPages(ctx, page, read)
	if err != nil {
		return err
	}
	l := c.list(fmt.Sprintf("nobody is banned or muted in chat %s", chat), "USER", "RESTRICTION", "BY", "SINCE", "UNTIL", "REASON")
	for _, r := range found.Items {
		view := restrictionView{chat, r.User, r.Kind.String(), r.By, r.Since, nil, r.Reason}
		until := "it is lifted"
		if !r.Until.IsZero() {
			view.Until, until = &r.Until, r.Until.Format(time.DateTime)
		}
		if err := l.add(view, string(r.User), r.Kind.String(), string(r.By), r.Since.Format(time.DateTime), until, string(r.Reason)); err != nil {
			return err
		}
	}
	return l.endPage(found.Next)
}

// addedView says what became of a user.
type addedView struct {
	ChatID domain.ChatID `json:"chatId"`
	UserID domain.UserID `json:"userId"`
	Result string        `json:"result"`
	Seq    domain.Seq    `json:"seq,omitempty"` // of the last event of the command
}

func (c *cli) chatAddMany() *cobra.Command {
	var actor, command string
	cmd := &cobra.Command{
		Use: "add-all CHAT USER…", Short: "Add users to a chat in one step", Args: cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				add := domain.AddMembers{Chat: domain.ChatID(args[0]), Actor: domain.UserID(actor), Command: domain.CommandID(command)}
				for _, user := range args[1:] {
					add.Users = append(add.Users, domain.UserID(user))
				}
				added, err := core.Chats.AddMembers(cmd.Context(), add)
				if err != nil {
					return err
				}
				l := c.list("nobody", "USER", "RESULT")
				for _, u := range added.Users {
					if err := l.add(addedView{add.Chat, u.User, u.Admission.String(), added.Seq}, string(u.User), u.Admission.String()); err != nil {
						return err
					}
				}
				return l.end()
			})
		},
	}
	c.asFlag(cmd, &actor)
	commandFlag(cmd, &command)
	return c.rateFlag(c.jsonFlag(cmd))
}

// policyText describes a change of a policy for people.
func policyText(e domain.ChatPolicy) string {
	var parts []string
	if e.Visibility != 0 {
		parts = append(parts, e.Visibility.String())
	}
	for action := domain.ActionPost; action <= domain.Actions; action++ {
		role, set := e.Permissions[action]
		switch {
		case !set:
		case role == domain.NoRole:
			parts = append(parts, action.String()+" as by default")
		default:
			parts = append(parts, action.String()+" takes "+role.String())
		}
	}
	return fmt.Sprintf("%s changes the policy: %s", e.Actor, strings.Join(parts, ", "))
}

// restrictionText describes a restriction for people.
func restrictionText(e domain.MemberRestriction) string {
	switch {
	case e.Lifted:
		return fmt.Sprintf("%s lifts the %s of %s", e.Actor, e.Kind, e.User)
	case e.Until.IsZero():
		return fmt.Sprintf("%s sets a %s on %s", e.Actor, e.Kind, e.User)
	}
	return fmt.Sprintf("%s sets a %s on %s until %s", e.Actor, e.Kind, e.User, e.Until.Format(time.DateTime))
}
