package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

func (c *cli) restore() *cobra.Command {
	var url, log, at string
	var replace bool
	cmd := &cobra.Command{
		Use: "restore", Short: "Write a log from a vault into an empty Redis", Args: cobra.NoArgs,
		Long: "Write a log from a vault into an empty namespace of Redis, as of its end or of --at. Programs cannot open it until all of it is there. A log that was\n" +
			"closed keeps its id; otherwise the restored log has a new one, and programs on the old log stop. --partitions divides it anew.\n" +
			"A restore that was interrupted leaves a log that no program opens; --replace-unfinished deletes it and begins again.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := c.named()
			if err != nil {
				return err
			}
			restore := chatcore.RestoreConfig{Log: log, Partitions: config.Log.Partitions, ReplaceUnfinished: replace, Progress: c.copyProgress("restoring")}
			if restore.At, err = parseMoment(at); err != nil {
				return err
			}
			if restore.Vault, err = openVault(cmd.Context(), url); err != nil {
				return err
			}
			began := time.Now()
			report, err := chatcore.Restore(cmd.Context(), config, restore)
			if err != nil {
				return err
			}
			return c.printRestored("restored", report, time.Since(began))
		},
	}
	vaultFlags(cmd, &url, &log, true)
	cmd.Flags().StringVar(&at, "at", "", "`TIME` to restore, by the clock of Redis, such as 2026-03-01T12:00:00Z (default the end of the log)")
	replaceFlag(cmd, &replace)
	return c.jsonFlag(cmd)
}

func replaceFlag(cmd *cobra.Command, replace *bool) {
	cmd.Flags().BoolVar(replace, "replace-unfinished", false, "delete what a restore or an import has left that did not end")
}

// parseMoment parses the time of --at.
func parseMoment(at string) (time.Time, error) {
	if at == "" {
		return time.Time{}, nil
	}
	moment, err := time.Parse(time.RFC3339Nano, at)
	if err != nil {
		return moment, &domain.InvalidError{Field: "at", Problem: fmt.Sprintf("is %.80q", at), Allowed: "RFC 3339, such as 2026-03-01T12:00:00Z"}
	}
	return moment, nil
}

type restoreView struct {
	Log        string         `json:"log"`
	Source     string         `json:"source"`
	Moment     time.Time      `json:"moment"`
	Ancestors  []ancestorView `json:"ancestors,omitempty"`
	Partitions int            `json:"partitions"`
	Chats      int            `json:"chats"`
	Events     int            `json:"events"`
	Groups     []string       `json:"groups,omitempty"`
	Seconds    float64        `json:"seconds"`
}

type ancestorView struct {
	Log    string    `json:"log"`
	ForkAt time.Time `json:"forkAt"`
}

// printRestored prints the report of a restore or an import.
func (c *cli) printRestored(done string, r chatcore.RestoreReport, took time.Duration) error {
	v := restoreView{Log: r.Log, Source: r.Source, Moment: r.Moment, Partitions: r.Partitions, Chats: r.Chats, Events: r.Events, Groups: r.Groups, Seconds: took.Seconds()}
	for _, a := range r.Ancestors {
		v.Ancestors = append(v.Ancestors, ancestorView(a))
	}
	text := fmt.Sprintf("%s log %s up to %s: %s, %s, %s; %.1f s", done, r.Source, r.Moment.Format(time.RFC3339Nano), count(r.Chats, "chat"), count(r.Events, "event"), count(r.Partitions, "partition"), took.Seconds())
	if r.Log != r.Source {
		text += "\nthe log has the new id " + r.Log + ": programs on the old one stop"
	}
	if len(r.Groups) > 0 {
		text += "\ngroups that go on where they were: " + strings.Join(r.Groups, ", ")
	}
	return c.print(v, text)
}
