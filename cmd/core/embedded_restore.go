package main

import (
	"context"
	"errors"
	"fmt"

	"chatcore"
	"chatcore/adapters/vault/logcopy"
	"chatcore/ports"
)

// restoreEmbedded writes the newest log of a vault into the embedded Redis of a configuration, which is empty. It does nothing if the vault has no log: the
// program creates one then. A log that was closed goes on under its id. A log of which the vault has neither a whole copy nor an event is removed: its program
// ended right after its start, and the log before it is restored.
func (c *cli) restoreEmbedded(ctx context.Context, config chatcore.Config, vault ports.Vault) error {
	for {
		report, err := chatcore.Restore(ctx, config, chatcore.RestoreConfig{Vault: vault, Partitions: config.Log.Partitions, Progress: c.copyProgress("restoring")})
		begun, ok := errors.AsType[*logcopy.IncompleteError](err)
		switch {
		case errors.Is(err, chatcore.ErrLogNotFound):
			return nil
		case ok && !begun.Journaled:
			if _, err := logcopy.Remove(ctx, vault, begun.Log); err != nil {
				return fmt.Errorf("removing log %s, which has no event, from the vault: %w", begun.Log, err)
			}
			continue
		case err != nil:
			return fmt.Errorf("restoring the vault: %w", err)
		}
		fmt.Fprintf(c.errs, "restored log %s: %s, %s\n", report.Source, count(report.Chats, "chat"), count(report.Events, "event"))
		return nil
	}
}
