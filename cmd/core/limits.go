package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
)

// limitTexts returns limits as --rate takes them, in the order of their kinds.
func limitTexts(all map[string]app.Limit) string {
	var texts []string
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		texts = append(texts, kind+"="+limitText(all[kind]))
	}
	return strings.Join(texts, ", ")
}

type decisionView struct {
	Kind              string   `json:"kind"`
	Subject           []string `json:"subject"`
	Allowed           bool     `json:"allowed"`
	Remaining         int      `json:"remaining"`
	RetryAfterSeconds float64  `json:"retryAfterSeconds"`
	ResetAfterSeconds float64  `json:"resetAfterSeconds"`
	Unchecked         bool     `json:"unchecked,omitempty"` // it could not be, and is open on failure
}

const limitHelp = `Show how many calls a rate limit leaves to a SUBJECT, or take calls with --take, as a service does. A refusal exits with 3. How much is allowed is
set by kind, with --rate, CHATCORE_LIMITS or the file of --config:

  send=30/1m          30 calls in a window of a minute
  send=30/1m/5        one after the other instead, one each 2 seconds, 5 of them at once
  login=5/15m/closed  a call is refused if the limit cannot be checked; with /open it is allowed. Without either, kind login is closed, others open`

func (c *cli) limit() *cobra.Command {
	var take int
	cmd := &cobra.Command{
		Use: "limit KIND SUBJECT...", Short: "Show the remainder of a rate limit, or take from it", Long: limitHelp, Args: cobra.MinimumNArgs(2),
		ValidArgsFunction: c.completeArguments(),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				d, err := core.Limits.AllowN(cmd.Context(), args[0], take, args[1:]...)
				if err != nil {
					return err
				}
				view := decisionView{
					Kind: args[0], Subject: args[1:], Allowed: d.Allowed, Remaining: d.Remaining,
					RetryAfterSeconds: d.RetryAfter.Seconds(), ResetAfterSeconds: d.ResetAfter.Seconds(),
				}
				if view.Unchecked = core.Stats().Unchecked > 0; view.Unchecked {
					return c.print(view, "allowed: the limit could not be checked")
				}
				return c.print(view, fmt.Sprintf("%d left; all of it in %v", d.Remaining, d.ResetAfter.Round(time.Millisecond)))
			})
		},
	}
	cmd.Flags().IntVar(&take, "take", 0, "take this `NUMBER` of calls, all or none")
	return c.rateFlag(c.jsonFlag(cmd))
}
