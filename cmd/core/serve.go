package main

import (
	"os"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
)

func (c *cli) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Run the router and the built-in subscribers until a signal", Args: cobra.NoArgs,
		Long: `Run the router and the built-in subscribers, which keep users' lists of chats and unread counts, until SIGINT or SIGTERM. A second signal
ends the program at once.

It logs to standard error from level info: outages and reconnects, dead letters, chats that wait. --log-format json is for collectors. With
--health it answers /livez and /readyz; without a host in the address on loopback only.

Commands of its users are limited: ` + limitTexts(app.ServiceLimits()) + `. A setting of a kind replaces its limit; --rate KIND=off lifts it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.patient = true
			c.settings.limits.addDefaults(app.ServiceLimits(), "default of core serve")
			err := c.with(cmd.Context(), func(core *chatcore.Core) error {
				if err := core.SubscribeBuiltins(); err != nil {
					return err
				}
				if address := c.settings.health; address != "" {
					end, err := c.serveHealth(cmd.Context(), core, address)
					if err != nil {
						return err
					}
					defer end()
				}
				if err := core.Start(cmd.Context()); err == nil {
					c.logger.InfoContext(cmd.Context(), "serving log", "log_id", core.LogID(), "pid", os.Getpid())
				}
				return core.Wait() // nil for a signal, also while it starts
			})
			return untilSignal(cmd.Context(), err)
		},
	}
	cmd.Flags().AddFlag(c.settings.localFlag("health"))
	return c.rateFlag(c.embeddedFlag(cmd))
}
