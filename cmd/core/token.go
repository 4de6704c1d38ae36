package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
)

// errTokenNotFound is returned for a service that has no token in the file.
var errTokenNotFound = errors.New("no such token")

func (c *cli) token() *cobra.Command {
	cmd := parent("token", "Create, list and revoke the tokens of services", c.tokenCreate(), c.tokenList(), c.tokenRevoke())
	cmd.Aliases = []string{"tokens"}
	return cmd
}

// tokenView is a token without its secret.
type tokenView struct {
	ServiceID string      `json:"serviceId"`
	Scopes    auth.Scopes `json:"scopes"`
	ExpiresAt time.Time   `json:"expiresAt,omitzero"`
	Expired   bool        `json:"expired"`
	Comment   string      `json:"comment,omitempty"`
}

func tokenViewOf(e auth.TokenEntry, now time.Time) tokenView {
	return tokenView{e.ID, e.Scopes, e.Expires, !e.Expires.IsZero() && !now.Before(e.Expires), e.Comment}
}

func (c *cli) tokenCreate() *cobra.Command {
	var scopes []string
	var expires time.Duration
	var comment, file string
	cmd := &cobra.Command{
		Use: "create", Short: "Create the token of a service and print it, which is not shown again",
		Long: `Create the token of a service and print it to standard output, this once. A tokens file holds only the token's SHA-256.

With --file the entry is added to that file, which is created with mode 0600 if there is none. Without it the entry is printed to standard error, to
be added by hand.

Scopes: chats:read, chats:write, presence, sessions, consume:GROUP (consume:* for every group), webhooks, admin. None includes another one.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := auth.ParseScopes(scopes)
			if err != nil {
				return err
			}
			token, entry, err := auth.NewServiceToken(args[0], set)
			if err != nil {
				return err
			}
			if cmd.Flags().Changed("expires") {
				if expires <= 0 {
					return &domain.InvalidError{Field: "expires", Problem: "is " + expires.String(), Allowed: "a positive duration such as 720h"}
				}
				entry.Expires = time.Now().Add(expires).UTC().Truncate(time.Second)
			}
			entry.Comment = comment
			if err := c.keepToken(file, entry); err != nil {
				return err
			}
			view := struct {
				Token string          `json:"token"`
				Entry auth.TokenEntry `json:"entry"`
			}{string(token), entry}
			return c.print(view, string(token))
		},
	}
	c.takes(cmd, serviceArg)
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "`SCOPE` of the service; may be given several times (required)")
	_ = cmd.MarkFlagRequired("scope")
	known := make([]string, 0, len(auth.AllScopes()))
	for _, scope := range auth.AllScopes() {
		known = append(known, string(scope))
	}
	_ = cmd.RegisterFlagCompletionFunc("scope", fixed(known...))
	cmd.Flags().DurationVar(&expires, "expires", 0, "`DURATION` after which the token is not valid (default: it does not expire)")
	cmd.Flags().StringVar(&comment, "comment", "", "`TEXT` for people, up to 256 bytes")
	cmd.Flags().StringVar(&file, "file", "", "tokens `FILE` to add the entry to")
	return c.jsonFlag(cmd)
}

// keepToken adds an entry to a file, or shows it if there is none.
func (c *cli) keepToken(file string, entry auth.TokenEntry) error {
	if file != "" {
		return auth.EditTokensFile(file, func(entries []auth.TokenEntry) ([]auth.TokenEntry, error) {
			if indexOf(entries, entry.ID) >= 0 {
				return nil, &domain.InvalidError{
					Field: "id", Problem: fmt.Sprintf("%q has a token in %s", entry.ID, file), Allowed: "another id, such as one with a number; core token revoke ends the token that is there",
				}
			}
			return append(entries, entry), nil
		})
	}
	if err := entry.Check(); err != nil || c.json {
		return err
	}
	text, err := json.Marshal(entry)
	if err == nil {
		fmt.Fprintf(c.errs, "entry for the list \"tokens\" of a tokens file:\n%s\n", text)
	}
	return err
}

func (c *cli) tokenList() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "list", Short: "List the services of a tokens file", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			entries, err := auth.ReadTokensFile(file)
			if err != nil {
				return err
			}
			l, now := c.list(file+" has no token", "SERVICE", "SCOPES", "EXPIRES", "COMMENT"), time.Now()
			for _, e := range entries {
				v := tokenViewOf(e, now)
				if err := l.add(v, v.ServiceID, scopesText(v.Scopes), v.expiryText(), v.Comment); err != nil {
					return err
				}
			}
			return l.end()
		},
	}
	tokensFileFlag(cmd, &file)
	return c.jsonFlag(cmd)
}

func (v tokenView) expiryText() string {
	switch {
	case v.ExpiresAt.IsZero():
		return "never"
	case v.Expired:
		return "expired " + v.ExpiresAt.Format(time.RFC3339)
	}
	return v.ExpiresAt.Format(time.RFC3339)
}

func scopesText(scopes auth.Scopes) string {
	texts := make([]string, len(scopes))
	for i, scope := range scopes {
		texts[i] = string(scope)
	}
	return strings.Join(texts, " ")
}

func (c *cli) tokenRevoke() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "revoke", Short: "Remove a service's token from a tokens file",
		Long: "Remove a service's token from a tokens file. A process that uses the file refuses the token a few seconds later.",
		RunE: func(_ *cobra.Command, args []string) error {
			id := args[0]
			err := auth.EditTokensFile(file, func(entries []auth.TokenEntry) ([]auth.TokenEntry, error) {
				i := indexOf(entries, id)
				if i < 0 {
					return nil, fmt.Errorf("%w: %q in %s; core token list shows those that there are", errTokenNotFound, id, file)
				}
				return slices.Delete(entries, i, i+1), nil
			})
			if err != nil {
				return err
			}
			return c.print(map[string]string{"serviceId": id}, "revoked the token of "+id)
		},
	}
	c.takes(cmd, serviceArg)
	tokensFileFlag(cmd, &file)
	return c.jsonFlag(cmd)
}

func tokensFileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "file", "", "tokens `FILE` (required)")
	_ = cmd.MarkFlagRequired("file")
}

func indexOf(entries []auth.TokenEntry, id string) int {
	return slices.IndexFunc(entries, func(e auth.TokenEntry) bool { return e.ID == id })
}
