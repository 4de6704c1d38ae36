package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

// limits are those of the command line, by kind. The zero limit is off.
type limits map[string]app.Limit

// over returns the limits with defaults for the kinds that they do not name.
func (l limits) over(defaults map[string]app.Limit) map[string]app.Limit {
	all := maps.Clone(defaults)
	if all == nil {
		all = make(map[string]app.Limit)
	}
	maps.Copy(all, l)
	maps.DeleteFunc(all, func(_ string, limit app.Limit) bool { return limit == app.Limit{} })
	return all
}

// Type implements pflag.Value.
func (*limits) Type() string { return "kind=rate/period[/burst]" }

// String implements pflag.Value.
func (l *limits) String() string { return strings.Join(slices.Sorted(maps.Keys(*l)), " ") }

// Set implements pflag.Value. Whether there can be such a limit is checked with the other settings.
func (l *limits) Set(text string) error {
	wrong := &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("is %q", text), Allowed: "kind=rate/period[/burst], for example send=30/1m or send=30/1m/5, or kind=off"}
	kind, rest, _ := strings.Cut(text, "=")
	if *l == nil {
		*l = make(limits)
	}
	if rest == "off" {
		(*l)[kind] = app.Limit{}
		return nil
	}
	parts := strings.Split(rest, "/")
	if len(parts) < 2 || len(parts) > 3 {
		return wrong
	}
	var limit app.Limit
	var err error
	if limit.Rate, err = strconv.Atoi(parts[0]); err != nil {
		return wrong
	}
	if limit.Per, err = time.ParseDuration(parts[1]); err != nil {
		return wrong
	}
	if len(parts) == 3 {
		limit.Algorithm = ports.GCRA
		if limit.Burst, err = strconv.Atoi(parts[2]); err != nil {
			return wrong
		}
	}
	(*l)[kind] = limit
	return nil
}

// limitTexts are limits as --limit takes them, in the order of their kinds.
func limitTexts(all map[string]app.Limit) string {
	var texts []string
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		l := all[kind]
		period := l.Per.String()
		switch {
		case l.Per%time.Hour == 0:
			period = strconv.Itoa(int(l.Per/time.Hour)) + "h"
		case l.Per%time.Minute == 0:
			period = strconv.Itoa(int(l.Per/time.Minute)) + "m"
		}
		text := fmt.Sprintf("%s=%d/%s", kind, l.Rate, period)
		if l.Algorithm == ports.GCRA {
			text += fmt.Sprintf("/%d", l.Burst)
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

type decisionView struct {
	Allowed           bool    `json:"allowed"`
	Remaining         int     `json:"remaining"`
	RetryAfterSeconds float64 `json:"retryAfterSeconds"`
	ResetAfterSeconds float64 `json:"resetAfterSeconds"`
	Unchecked         bool    `json:"unchecked,omitempty"` // it could not be, and is open on failure
}

// onFailure takes the text of a flag.
func onFailure(text string) (app.Failure, error) {
	switch text {
	case "open":
		return app.FailOpen, nil
	case "closed":
		return app.FailClosed, nil
	}
	return 0, &domain.InvalidError{Field: "on-failure", Problem: fmt.Sprintf("is %q", text), Allowed: "open, closed"}
}

func (c *cli) limit() *cobra.Command {
	var take int
	var failing string
	cmd := &cobra.Command{
		Use: "limit KIND SUBJECT...", Short: "Show what a limit leaves, or take from it", Args: cobra.MinimumNArgs(2),
		Long: "Show what a limit leaves to somebody, or with --take count so many calls, as a service would. --limit says how much is allowed:\n\n" +
			"  core limit --limit login=5/15m login ada --take 1\n\nIt ends with 1 if it is too much.",
		RunE: func(cmd *cobra.Command, args []string) error {
			failure, err := onFailure(failing)
			if err != nil {
				return err
			}
			if limit, there := c.limits[args[0]]; there {
				limit.OnFailure = failure
				c.limits[args[0]] = limit
			}
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				d, err := core.Limits.AllowN(cmd.Context(), args[0], take, args[1:]...)
				if err != nil {
					return err
				}
				view := decisionView{Allowed: d.Allowed, Remaining: d.Remaining, RetryAfterSeconds: d.RetryAfter.Seconds(), ResetAfterSeconds: d.ResetAfter.Seconds()}
				if view.Unchecked = core.Stats().Unchecked > 0; view.Unchecked {
					return c.print(view, "allowed: the limit could not be checked")
				}
				return c.print(view, fmt.Sprintf("%d left; all of it in %v", d.Remaining, d.ResetAfter.Round(time.Millisecond)))
			})
		},
	}
	cmd.Flags().StringVar(&failing, "on-failure", "closed", "what becomes of a call whose limit cannot be checked: open or closed")
	cmd.Flags().IntVar(&take, "take", 0, "calls to take, all or none")
	return c.jsonFlag(cmd)
}
