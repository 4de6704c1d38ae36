package main

import (
	"context"

	"github.com/spf13/cobra"

	"chatcore/adapters/vault"
	"chatcore/adapters/vault/s3"
	"chatcore/ports"
)

// openVault opens the vault of a URL.
func openVault(ctx context.Context, url string) (ports.Vault, error) {
	return vault.Open(ctx, url, vault.Openers{"s3": s3.Open})
}

// vaultFlags adds the flags that name a log in a vault.
func vaultFlags(cmd *cobra.Command, url, log *string, required bool) {
	usage := "`URL` or directory of the vault"
	if required {
		usage += " (required)"
	}
	cmd.Flags().StringVar(url, "vault", "", usage)
	if required {
		_ = cmd.MarkFlagRequired("vault")
	}
	cmd.Flags().StringVar(log, "log", "", "`ID` of the log (default the one that all others in the vault are ancestors of)")
}
