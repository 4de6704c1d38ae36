package main

import (
	"context"
	"errors"
	"fmt"

	"chatcore"
	"chatcore/ports"
)

// restoreEmbedded writes the newest log of a vault into the embedded Redis of a configuration, which is empty. It does nothing if the vault has no log: the
// program creates one then. A log that was closed goes on under its id.
func (c *cli) restoreEmbedded(ctx context.Context, config chatcore.Config, vault ports.Vault) error {
	report, err := chatcore.Restore(ctx, config, chatcore.RestoreConfig{Vault: vault, Partitions: config.Log.Partitions, Progress: c.copyProgress("restoring")})
	if errors.Is(err, chatcore.ErrLogNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("restoring the vault: %w", err)
	}
	fmt.Fprintf(c.errs, "restored log %s: %s, %s\n", report.Source, count(report.Chats, "chat"), count(report.Events, "event"))
	return nil
}
