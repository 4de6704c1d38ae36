package main

import (
	"context"
	"fmt"
	"os"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

func eventSeq(r ports.Record) domain.Seq { return r.Seq }

func (h *history) printEvent(r ports.Record) error {
	raw, err := rawOf(r.ID, r.Seq, r.Ordinal, r.Event, r.Meta)
	if err != nil {
		return err
	}
	return h.c.print(raw, h.c.row(eventRow(r)))
}

func (c *cli) tail() *cobra.Command {
	var group string
	var live bool
	cmd := &cobra.Command{
		Use: "tail", Short: "Show events as they come, until interrupted", Args: cobra.NoArgs,
		Long: "Show events as they come, until interrupted: durable ones as a consumer group of its own, under --group as a lasting one\nthat goes on where it was, or with --live everything on the live channels.",
		RunE: func(cmd *cobra.Command, _ []string) error {
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
	cmd.Flags().StringVar(&group, "group", "", "consumer group; kept, so that the next tail goes on where this one ends")
	cmd.Flags().BoolVar(&live, "live", false, "the live channels instead: typing and status too, nothing is caught up")
	cmd.MarkFlagsMutuallyExclusive("group", "live")
	return c.jsonFlag(cmd)
}

func (c *cli) tailGroup(ctx context.Context, core *chatcore.Core, group string) error {
	options := []chatcore.SubscribeOption{chatcore.On(func(_ context.Context, d chatcore.Delivery[domain.Durable]) error {
		c.show(d.ID.Event, d.ID.Seq, d.Ordinal, d.Event, d.Meta)
		return nil
	})}
	if group == "" {
		group, options = "tail-"+uuid.NewString(), append(options, chatcore.Passing())
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

func (c *cli) serve() *cobra.Command {
	var health string
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the router and the built-in subscribers until a signal", Args: cobra.NoArgs,
		Long: "Run the router and the built-in subscribers until a signal. Commands of its users are limited: " + limitTexts(app.ServiceLimits()) + ". --limit replaces one of them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.defaults = app.ServiceLimits()
			err := c.with(cmd.Context(), func(core *chatcore.Core) error {
				if err := core.SubscribeBuiltins(); err != nil {
					return err
				}
				if health != "" {
					end, err := c.serveHealth(cmd.Context(), core, health)
					if err != nil {
						return err
					}
					defer end()
				}
				if err := core.Start(cmd.Context()); err == nil {
					fmt.Fprintf(c.errs, "serving log %s (pid %d)\n", core.LogID(), os.Getpid())
				}
				return core.Wait() // nil for a signal, also while it starts
			})
			return untilSignal(cmd.Context(), err)
		},
	}
	cmd.Flags().StringVar(&health, "health", "", "an address such as :8080 at which /livez and /readyz answer")
	return c.embeddedFlag(cmd)
}
