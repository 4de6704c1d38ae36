package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports"
)

// tailOptions say which events tail shows.
type tailOptions struct {
	group, chat, user string
	from              uint64
}

func (c *cli) tail() *cobra.Command {
	var o tailOptions
	cmd := &cobra.Command{
		Use: "tail", Short: "Show events as they come, until interrupted", Args: cobra.NoArgs,
		Long: "Show events as they come, until interrupted: those of all chats, those of one --chat, or those that one --user may read. Without --group,\ntyping and statuses are shown too. Outages of Redis are waited for.\n\n" +
			"With --from, --chat first shows the events of the log from there on. With --group, tail reads as a consumer group, which is kept: the\nnext tail of the group goes on where this one ends.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			request, err := o.request(cmd.Flags().Changed("from"))
			if err != nil {
				return err
			}
			c.patient = true
			if bound := &c.settings.config.Feeds.MaxCatchUp; *bound == 0 {
				*bound = maxInt // all events from --from on
			}
			ctx := cmd.Context()
			return untilSignal(ctx, c.with(ctx, func(core *chatcore.Core) error {
				switch {
				case o.group != "":
					return c.tailGroup(ctx, core, o.group)
				case o.chat != "" || o.user != "":
					return c.tailFeed(ctx, core, request)
				}
				return c.tailAll(ctx, core)
			}))
		},
	}
	cmd.Flags().StringVar(&o.chat, "chat", "", "show the events of this `CHAT`")
	cmd.Flags().Uint64Var(&o.from, "from", 0, "begin with the event of --chat that has this `SEQ` instead of with the next one")
	cmd.Flags().StringVar(&o.user, "user", "", "show the events of all chats of this `USER`, as the user may read them")
	cmd.Flags().StringVar(&o.group, "group", "", "read as this consumer `GROUP`")
	_ = cmd.RegisterFlagCompletionFunc("chat", c.completeFlag(chatArg))
	_ = cmd.RegisterFlagCompletionFunc("group", c.completeFlag(groupArg))
	cmd.MarkFlagsMutuallyExclusive("group", "chat", "user")
	return c.jsonFlag(cmd)
}

// tailAll shows the live events of all chats.
func (c *cli) tailAll(ctx context.Context, core *chatcore.Core) error {
	if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.Event]) {
		c.show(l.ID, l.Seq, l.Ordinal, l.Event, l.Meta)
	})); err != nil {
		return err
	}
	return core.Run(ctx)
}

func (c *cli) tailGroup(ctx context.Context, core *chatcore.Core, group string) error {
	if err := core.Subscribe(group, chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		c.show(d.ID.Event, d.ID.Seq, d.Ordinal, d.Event, d.Meta)
		return nil
	})); err != nil {
		return err
	}
	return core.Run(ctx)
}

// show prints an event for a handler, which goes on if that fails.
func (c *cli) show(id domain.EventID, seq domain.Seq, ordinal domain.Ordinal, e domain.Event, m ports.Meta) {
	if err := c.printLive(id, seq, ordinal, e, m); err != nil {
		fmt.Fprintln(c.errs, "core:", err)
	}
}

func (c *cli) printLive(id domain.EventID, seq domain.Seq, ordinal domain.Ordinal, e domain.Event, m ports.Meta) error {
	if id == "" {
		id = "foreign"
	}
	raw, err := rawOf(id, seq, ordinal, e, m)
	if err != nil {
		return err
	}
	return c.print(raw, c.row(tailRow(seq, e)))
}
