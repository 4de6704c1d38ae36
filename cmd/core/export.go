package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
)

func (c *cli) export() *cobra.Command {
	var url, log, at string
	cmd := &cobra.Command{
		Use: "export", Short: "Write a log into a directory, as JSON lines",
		Long: "Write the log of Redis, or one of --vault, into a new directory: a file of JSON lines for each chat, a manifest, and SHA256SUMS, which sha256sum -c checks.\n" +
			"Programs may use the log meanwhile. core import --log reads it. Consumer groups and read models are not exported.",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			var config chatcore.Config
			export := chatcore.ExportConfig{Dir: args[0], Log: log, Progress: c.copyProgress("exporting")}
			switch {
			case url == "" && (log != "" || at != ""):
				return usageErrorf("--log and --at are for the log of a --vault")
			case url == "":
				config, err = c.located(cmd.Context())
			default:
				if export.At, err = parseMoment(at); err == nil {
					export.Vault, err = openVault(cmd.Context(), url)
				}
			}
			if err != nil {
				return err
			}
			began := time.Now()
			report, err := chatcore.Export(cmd.Context(), config, export)
			if err != nil {
				return err
			}
			took := time.Since(began).Seconds()
			return c.print(exportView{report.Log, args[0], report.Chats, report.Events, took},
				fmt.Sprintf("exported log %s: %s, %s; %.1f s", report.Log, count(report.Chats, "chat"), count(report.Events, "event"), took))
		},
	}
	vaultFlags(cmd, &url, &log, false)
	cmd.Flags().StringVar(&at, "at", "", "`TIME` to export, with --vault (default the end of the log)")
	return c.takes(c.jsonFlag(cmd), dirArg)
}

type exportView struct {
	Log     string  `json:"log"`
	Dir     string  `json:"dir"`
	Chats   int     `json:"chats"`
	Events  int     `json:"events"`
	Seconds float64 `json:"seconds"`
}

// logImport are the flags with which core import takes an exported log instead of a transcript.
type logImport struct {
	dir             string
	keepID, replace bool
}

func (i *logImport) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&i.dir, "log", "", "import the log of `DIR`, which core export has written, into an empty Redis; no FILE then")
	cmd.Flags().BoolVar(&i.keepID, "keep-id", false, "with --log: nothing was appended since the export, and the log moves; without it the log has a new id")
	replaceFlag(cmd, &i.replace)
}

// importLog writes an exported log into Redis.
func (c *cli) importLog(ctx context.Context, i logImport) error {
	config, err := c.named()
	if err != nil {
		return err
	}
	began := time.Now()
	report, err := chatcore.ImportLog(ctx, config, chatcore.ImportConfig{
		Dir: i.dir, KeepID: i.keepID, Partitions: config.Log.Partitions, ReplaceUnfinished: i.replace, Progress: c.copyProgress("importing"),
	})
	if err != nil {
		return err
	}
	return c.printRestored("imported", report, time.Since(began))
}
