package main

import (
	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
)

func (c *cli) serve() *cobra.Command {
	cmd := &cobra.Command{
		Use: "serve", Short: "Answer the API, and run the router and the built-in subscribers, until a signal", Args: cobra.NoArgs,
		Long: `Answer the API at --listen, and run the router and the built-in subscribers, which keep users' lists of chats and unread counts, until SIGINT or
SIGTERM. Then readiness ends, and after --drain-delay no connection is accepted any more; requests in flight finish, streams end, and the core
stops, all within --stop-timeout after the delay. A second signal ends the program at once.

When the API answers, its URL is printed. One port has HTTP/1.1 and HTTP/2, with --tls-cert and --tls-key over TLS only. /livez and /readyz are
answered there and, with Prometheus /metrics, at --admin.

It logs to standard error from level info: outages and reconnects, dead letters, chats that wait; each request at level debug. --log-format json is
for collectors.

Commands of its users are limited: ` + limitTexts(app.ServiceLimits()) + `. A setting of a kind replaces its limit; --rate KIND=off lifts it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.patient, c.archives = true, true
			c.settings.limits.addDefaults(app.ServiceLimits(), "default of core serve")
			s, err := c.newService()
			if err != nil {
				return err
			}
			err = c.with(cmd.Context(), func(core *chatcore.Core) error { return s.run(cmd.Context(), core) })
			return untilSignal(cmd.Context(), err)
		},
	}
	for _, flag := range c.settings.localFlags() {
		cmd.Flags().AddFlag(flag)
	}
	return c.rateFlag(c.embeddedFlag(cmd))
}
