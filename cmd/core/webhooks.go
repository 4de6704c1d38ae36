package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/adapters/subscribers/webhook"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

func (c *cli) webhooks() *cobra.Command {
	cmd := parent("webhook", "Send events to HTTP endpoints: define webhooks, test them and see their attempts",
		c.webhookCreate(), c.webhookList(), c.webhookGet(), c.webhookUpdate(), c.webhookTest(), c.webhookRotate(), c.webhookPause(), c.webhookResume(), c.webhookDelete(),
		c.webhookAttempts())
	cmd.Aliases = []string{"webhooks"}
	return cmd
}

// webhookView is a webhook as programs read it.
type webhookView struct {
	Webhook            string    `json:"webhook"`
	URL                string    `json:"url"`
	Timeout            string    `json:"timeout"`
	OldSecretExpiresAt time.Time `json:"oldSecretExpiresAt,omitzero"`
	Secret             string    `json:"secret,omitempty"` // a new one
	definitionView
}

func webhookViewOf(w webhook.Webhook) webhookView {
	d := w.WithDefaults()
	return webhookView{
		Webhook: d.Group, URL: d.Webhook.URL, Timeout: d.Webhook.Timeout.String(), OldSecretExpiresAt: w.OldSecretExpiresAt(time.Now()), definitionView: definitionViewOf(w.Definition),
	}
}

// attemptView is an attempt of a webhook as programs read it.
type attemptView struct {
	StartedAt time.Time  `json:"startedAt"`
	TookMs    int64      `json:"tookMs"`
	EventID   string     `json:"eventId"`
	ChatID    string     `json:"chatId,omitempty"`
	Seq       domain.Seq `json:"seq,omitempty"`
	Type      string     `json:"type"`
	Attempt   int        `json:"attempt"`
	Status    int        `json:"status,omitempty"`
	OK        bool       `json:"ok"`
	Error     string     `json:"error,omitempty"`
	Answer    string     `json:"answer,omitempty"`
}

func attemptViewOf(a ports.WebhookAttempt) attemptView {
	return attemptView{a.StartedAt, a.Took.Milliseconds(), string(a.Event), string(a.Chat), a.Seq, a.Type, a.Attempt, a.Status, a.OK, a.Error, a.Answer}
}

// outcome is what came of an attempt, in words.
func (v attemptView) outcome() string {
	switch {
	case v.OK:
		return "taken"
	case v.Error != "":
		return short(plain(v.Error))
	}
	return "failed"
}

// withWebhooks runs one command on the webhooks. Its errors name a remedy.
func (c *cli) withWebhooks(ctx context.Context, run func(webhooks *webhook.Administration) error) error {
	return c.with(ctx, func(core *chatcore.Core) error {
		err := run(core.Webhooks())
		switch {
		case errors.Is(err, chatcore.ErrWebhookNotFound):
			return fmt.Errorf("%w; core webhook list shows those that there are", err)
		case errors.Is(err, chatcore.ErrGroupDefined):
			return fmt.Errorf("%w; core webhook update changes a webhook, and core webhook rotate makes a new secret", err)
		case errors.Is(err, chatcore.ErrWebhookKeyMissing):
			return fmt.Errorf("%w; add it, or make a new secret with core webhook rotate", err)
		}
		return advised(err)
	})
}

// endpointFlags are the flags of the endpoint of a webhook.
type endpointFlags struct {
	url     string
	timeout time.Duration
}

func (f *endpointFlags) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.timeout, "timeout", 0, "bound of one request, 1s to 1m, by `TIME` (default 15s)")
}

func (c *cli) webhookCreate() *cobra.Command {
	var settings settingsFlags
	var endpoint endpointFlags
	var beginning, unordered bool
	var startAt string
	cmd := &cobra.Command{
		Use: "create", Short: "Define a webhook and show its secret, once",
		Long: "Define a webhook: the processes of core serve send each event to its endpoint, signed as Standard Webhooks says. It starts with the next event\n" +
			"unless a flag says otherwise. The secret is shown once. The configuration needs a key that encrypts it: webhooks.keys.",
		RunE: func(cmd *cobra.Command, args []string) error {
			d := groups.Definition{
				Group: args[0], Start: groups.Start{Beginning: beginning}, Unordered: unordered, Webhook: &groups.Webhook{URL: args[1], Timeout: endpoint.timeout},
			}
			if startAt != "" {
				at, err := time.Parse(time.RFC3339, startAt)
				if err != nil {
					return &domain.InvalidError{Field: "start-at", Problem: fmt.Sprintf("is %q", startAt), Allowed: "a time such as 2026-01-31T08:00:00Z"}
				}
				d.Start.At = at
			}
			if err := settings.apply(cmd, &d); err != nil {
				return err
			}
			return c.withWebhooks(cmd.Context(), func(webhooks *webhook.Administration) error {
				w, secret, err := webhooks.Create(cmd.Context(), d)
				if err != nil {
					return err
				}
				view := webhookViewOf(w)
				view.Secret = secret.Text()
				return c.print(view, fmt.Sprintf("webhook %s is defined; its secret, which is not shown again:\n%s", w.Group, view.Secret))
			})
		},
	}
	endpoint.add(cmd)
	settings.add(cmd)
	cmd.Flags().BoolVar(&beginning, "from-beginning", false, "start with the first event of every chat")
	cmd.Flags().StringVar(&startAt, "start-at", "", "start in each chat with the first event of this `TIME` or later, such as 2026-01-31T08:00:00Z")
	cmd.Flags().BoolVar(&unordered, "unordered", false, "events of a chat do not wait for each other")
	return c.takes(c.jsonFlag(cmd), newGroupArg, urlArg)
}

func (c *cli) webhookList() *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List webhooks", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withWebhooks(cmd.Context(), func(webhooks *webhook.Administration) error {
				all, err := webhooks.List(cmd.Context())
				if err != nil {
					return err
				}
				rows := [][]string{{"WEBHOOK", "URL", "PAUSED", "VERSION"}}
				for _, w := range all {
					if c.json {
						if err := c.print(webhookViewOf(w), ""); err != nil {
							return err
						}
						continue
					}
					rows = append(rows, []string{w.Group, short(plain(w.Webhook.URL)), describedAs(w.Definition, true)[1], strconv.FormatUint(w.Version, 10)})
				}
				switch {
				case c.json:
					return nil
				case len(all) == 0:
					return c.print(nil, "there are no webhooks; core webhook create defines one")
				}
				return c.table(rows)
			})
		},
	}
	return c.jsonFlag(cmd)
}

func (c *cli) webhookGet() *cobra.Command {
	cmd := &cobra.Command{
		Use: "get", Short: "Show a webhook",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withWebhooks(cmd.Context(), func(webhooks *webhook.Administration) error {
				w, err := webhooks.Get(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				v := webhookViewOf(w)
				if c.json {
					return c.print(v, "")
				}
				rows := [][]string{
					{"URL", plain(v.URL)},
					{"TIMEOUT", v.Timeout},
					{"ATTEMPTS", fmt.Sprintf("%d, from %s to %s apart", v.Attempts, v.FirstPause, v.MaxPause)},
					{"CONCURRENCY", strconv.Itoa(v.Concurrency)},
					{"PAUSED", describedAs(w.Definition, true)[1]},
					{"VERSION", strconv.FormatUint(v.Version, 10)},
				}
				if !v.OldSecretExpiresAt.IsZero() {
					rows = append(rows, []string{"OLD SECRET UNTIL", v.OldSecretExpiresAt.Format(time.RFC3339)})
				}
				return c.table(rows)
			})
		},
	}
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

func (c *cli) webhookUpdate() *cobra.Command {
	var settings settingsFlags
	var endpoint endpointFlags
	var version uint64
	cmd := &cobra.Command{
		Use: "update", Short: "Change a webhook",
		Long: "Change the endpoint and the options of a webhook: those whose flags are given. The processes that run it apply them within a few seconds, and\n" +
			"lose no event. Where it starts and its order never change.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeWebhook(cmd.Context(), "is changed", func(ctx context.Context, webhooks *webhook.Administration) (webhook.Webhook, error) {
				return webhooks.Update(ctx, args[0], version, func(d *groups.Definition) error {
					if endpoint.url != "" {
						d.Webhook.URL = endpoint.url
					}
					if cmd.Flags().Changed("timeout") {
						d.Webhook.Timeout = endpoint.timeout
					}
					return settings.apply(cmd, d)
				})
			})
		},
	}
	endpoint.add(cmd)
	cmd.Flags().StringVar(&endpoint.url, "url", "", "`URL` of the endpoint")
	settings.add(cmd)
	cmd.Flags().Uint64Var(&version, "version", 0, "`VERSION` of the definition that is changed; another one is refused (default the present one)")
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

// changeWebhook changes a webhook, and prints it.
func (c *cli) changeWebhook(ctx context.Context, done string, change func(ctx context.Context, webhooks *webhook.Administration) (webhook.Webhook, error)) error {
	return c.withWebhooks(ctx, func(webhooks *webhook.Administration) error {
		w, err := change(ctx, webhooks)
		if err != nil {
			return err
		}
		return c.print(webhookViewOf(w), fmt.Sprintf("webhook %s %s: version %d", w.Group, done, w.Version))
	})
}

func (c *cli) webhookTest() *cobra.Command {
	cmd := &cobra.Command{
		Use: "test", Short: "Send an event of type webhook:test to the endpoint, once",
		Long: "Send an event of type webhook:test, which is in no chat, to the endpoint of a webhook, once, from this program. It works while the webhook is\n" +
			"paused. The command ends with 1 if the endpoint does not take the event.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withWebhooks(cmd.Context(), func(webhooks *webhook.Administration) error {
				attempt, err := webhooks.Test(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				v := attemptViewOf(attempt)
				if err := c.print(v, fmt.Sprintf("%s after %d ms: %s", statusText(v.Status), v.TookMs, v.outcome())); err != nil {
					return err
				}
				if !v.OK {
					return errTestFailed
				}
				return nil
			})
		},
	}
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

// errTestFailed is returned when an endpoint does not take the event of a test.
var errTestFailed = errors.New("the endpoint did not take the event")

func statusText(status int) string {
	if status == 0 {
		return "no answer"
	}
	return "status " + strconv.Itoa(status)
}

func (c *cli) webhookRotate() *cobra.Command {
	var keep time.Duration
	cmd := &cobra.Command{
		Use: "rotate", Short: "Make a new secret and show it, once",
		Long: "Make a new secret for a webhook and show it, once. Until the present one expires, requests carry a signature by each.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withWebhooks(cmd.Context(), func(webhooks *webhook.Administration) error {
				w, secret, err := webhooks.Rotate(cmd.Context(), args[0], keep)
				if err != nil {
					return err
				}
				view := webhookViewOf(w)
				view.Secret = secret.Text()
				return c.print(view, fmt.Sprintf("webhook %s has a new secret, which is not shown again:\n%s", w.Group, view.Secret))
			})
		},
	}
	cmd.Flags().DurationVar(&keep, "keep-old", chatcore.DefaultKeepOldSecret, "`TIME` in which the present secret signs as well, at most 168h; 0: not at all")
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

func (c *cli) webhookPause() *cobra.Command {
	cmd := &cobra.Command{
		Use: "pause", Short: "Have a webhook send nothing until it is resumed",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeWebhook(cmd.Context(), "is paused", func(ctx context.Context, webhooks *webhook.Administration) (webhook.Webhook, error) {
				return webhooks.Pause(ctx, args[0])
			})
		},
	}
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

func (c *cli) webhookResume() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume", Short: "End the pause of a webhook, also one because its endpoint answered 410",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.changeWebhook(cmd.Context(), "is resumed", func(ctx context.Context, webhooks *webhook.Administration) (webhook.Webhook, error) {
				return webhooks.Resume(ctx, args[0])
			})
		},
	}
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

func (c *cli) webhookDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Delete a webhook with its dead letters and attempts",
		Long: "Delete a webhook with its group, its dead letters and its attempts: events that it has not finished are never sent. Without --yes the command\n" +
			"changes nothing and ends with 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withWebhooks(cmd.Context(), func(webhooks *webhook.Administration) error {
				if !yes {
					if _, err := webhooks.Get(cmd.Context(), args[0]); err != nil {
						return err
					}
					return errUnsure
				}
				if err := webhooks.Delete(cmd.Context(), args[0]); err != nil {
					return err
				}
				view := struct {
					Webhook string `json:"webhook"`
					Deleted bool   `json:"deleted"`
				}{args[0], true}
				return c.print(view, fmt.Sprintf("webhook %s is deleted", args[0]))
			})
		},
	}
	yesFlag(cmd, &yes)
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

func (c *cli) webhookAttempts() *cobra.Command {
	var failed bool
	cmd := &cobra.Command{
		Use: "attempts", Short: "List the last requests to the endpoint of a webhook, of all processes",
		Long: "List the last requests to the endpoint of a webhook, of all processes, the latest first: at most 100, kept for a week. Failed ones are kept apart, so\n" +
			"that others do not displace them. Events that were given up are dead letters: see core deadletters.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withWebhooks(cmd.Context(), func(webhooks *webhook.Administration) error {
				attempts, err := webhooks.Attempts(cmd.Context(), args[0], failed)
				if err != nil {
					return err
				}
				return c.printAttempts(attempts)
			})
		},
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "list failed ones alone")
	return c.takes(c.jsonFlag(cmd), webhookArg)
}

func (c *cli) printAttempts(attempts []ports.WebhookAttempt) error {
	rows := [][]string{{"STARTED", "TOOK", "STATUS", "TYPE", "CHAT", "SEQ", "ATTEMPT", "OUTCOME"}}
	for _, a := range attempts {
		v := attemptViewOf(a)
		if c.json {
			if err := c.print(v, ""); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, []string{
			v.StartedAt.Format(time.RFC3339), fmt.Sprintf("%dms", v.TookMs), statusText(v.Status), plain(v.Type), plain(v.ChatID), strconv.FormatUint(uint64(v.Seq), 10),
			strconv.Itoa(v.Attempt), v.outcome(),
		})
	}
	switch {
	case c.json:
		return nil
	case len(attempts) == 0:
		return c.print(nil, "there are no attempts")
	}
	return c.table(rows)
}

// webhookNames returns the names of all webhooks.
func webhookNames(ctx context.Context, core *chatcore.Core) ([]string, error) {
	all, err := core.Webhooks().List(ctx)
	var names []string
	for _, w := range all {
		names = append(names, w.Group)
	}
	return names, err
}
