package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports"
)

func eventSeq(r ports.Record) domain.Seq { return r.Seq }

func (h *history) printEvent(r ports.Record) error {
	raw, err := rawOf(r.ID, r.Seq, r.Ordinal, r.Event, r.Meta)
	if err != nil {
		return err
	}
	h.shown++
	return h.c.print(raw, h.c.row(eventRow(r)))
}

func (c *cli) tail() *cobra.Command {
	var group string
	var live bool
	cmd := &cobra.Command{
		Use: "tail", Short: "Show events as they come, until interrupted", Args: cobra.NoArgs,
		Long: "Show events as they come, until interrupted: durable ones as a consumer group of its own, under --group as a lasting one\nthat goes on where it was, or with --live everything on the live channels.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.patient = true
			return untilSignal(cmd.Context(), c.with(cmd.Context(), func(core *chatcore.Core) error {
				if live {
					if err := core.Listen(chatcore.OnLive(func(_ context.Context, l chatcore.Live[domain.Event]) {
						c.show(l.ID, l.Seq, l.Ordinal, l.Event, l.Meta)
					})); err != nil {
						return err
					}
					return core.Run(cmd.Context())
				}
				return c.tailGroup(cmd.Context(), core, group)
			}))
		},
	}
	cmd.Flags().StringVar(&group, "group", "", "read as this consumer `GROUP`, which is kept: the next tail of the group goes on where this one ends")
	_ = cmd.RegisterFlagCompletionFunc("group", c.completeFlag(groupArg))
	cmd.Flags().BoolVar(&live, "live", false, "show the live channels: typing and status too, but nothing from before")
	cmd.MarkFlagsMutuallyExclusive("group", "live")
	return c.jsonFlag(cmd)
}

func (c *cli) tailGroup(ctx context.Context, core *chatcore.Core, group string) error {
	options := []chatcore.SubscribeOption{chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		c.show(d.ID.Event, d.ID.Seq, d.Ordinal, d.Event, d.Meta)
		return nil
	})}
	if group == "" {
		group, options = "tail-"+uuid.NewString(), append(options, chatcore.Ephemeral())
	}
	if err := core.Subscribe(group, options...); err != nil {
		return err
	}
	return core.Run(ctx)
}

func (c *cli) show(id domain.EventID, seq domain.Seq, ordinal domain.Ordinal, e domain.Event, m ports.Meta) {
	if id == "" {
		id = "foreign"
	}
	raw, err := rawOf(id, seq, ordinal, e, m)
	if err == nil {
		err = c.print(raw, c.row(tailRow(seq, e)))
	}
	if err != nil {
		fmt.Fprintln(c.errs, "core:", err)
	}
}
