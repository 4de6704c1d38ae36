package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

var errVaultFindings = errors.New("the vault is not sound")

func (c *cli) verify() *cobra.Command {
	var url string
	var showRoots, withRedis bool
	var verify chatcore.VerifyConfig
	cmd := &cobra.Command{
		Use: "verify", Short: "Check the copy of a log in a vault", Args: cobra.NoArgs,
		Long: "Check the copy of a log in a vault: sums, chains of journals and roots, that no event is missing, and that all copies of an event are the same.\n" +
			"--with-redis compares every event with Redis. --root proves that the events up to a root that was written down are the same; --show-roots prints roots.\n" +
			"Ends with 1 if something is wrong.",
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			var config chatcore.Config
			if verify.Redis = withRedis; withRedis {
				if config, err = c.located(cmd.Context()); err != nil {
					return err
				}
			}
			if verify.Vault, err = openVault(cmd.Context(), url); err != nil {
				return err
			}
			verify.Report = func(f chatcore.VaultFinding) error {
				return c.print(vaultFindingView{f.Kind, string(f.Chat), f.Seq, f.What}, f.Kind+": "+f.What)
			}
			if showRoots {
				verify.Sealed = func(chat domain.ChatID, segment uint64, root string) {
					_ = c.print(rootView{string(chat), segment, root}, fmt.Sprintf("root of segment %d of %s: %s", segment, chat, root))
				}
			}
			verify.Progress = c.copyProgress("verifying")
			began := time.Now()
			report, err := chatcore.Verify(cmd.Context(), config, verify)
			if err != nil {
				return err
			}
			return c.printVerified(report, time.Since(began))
		},
	}
	vaultFlags(cmd, &url, &verify.Log, true)
	cmd.Flags().StringArrayVar(&verify.Roots, "root", nil, "`ROOT` that a sealed segment must have; may be given several times")
	cmd.Flags().BoolVar(&showRoots, "show-roots", false, "print the root of each sealed segment")
	cmd.Flags().BoolVar(&withRedis, "with-redis", false, "compare every event with Redis")
	return c.jsonFlag(cmd)
}

type vaultFindingView struct {
	Kind string     `json:"finding"`
	Chat string     `json:"chatId,omitempty"`
	Seq  domain.Seq `json:"seq,omitempty"`
	What string     `json:"what"`
}

type rootView struct {
	Chat    string `json:"chatId"`
	Segment uint64 `json:"segment"`
	Root    string `json:"root"`
}

type verifyView struct {
	Log        string    `json:"log"`
	Moment     time.Time `json:"moment"`
	Partitions int       `json:"partitions"`
	Chats      int       `json:"chats"`
	Events     int       `json:"events"`
	Segments   int       `json:"segments"`
	Journals   int       `json:"journals"`
	Ahead      int       `json:"ahead"`
	Findings   int       `json:"findings"`
	Seconds    float64   `json:"seconds"`
}

func (c *cli) printVerified(r chatcore.VerifyReport, took time.Duration) error {
	v := verifyView{r.Log, r.Moment, r.Partitions, r.Chats, r.Events, r.Segments, r.Journals, r.Ahead, r.Findings, took.Seconds()}
	text := fmt.Sprintf("log %s up to %s: %s, %s, %s, %s; %.1f s", r.Log, r.Moment.Format(time.RFC3339Nano), count(r.Chats, "chat"), count(r.Events, "event"),
		count(r.Segments, "sealed segment"), count(r.Journals, "journal object"), took.Seconds())
	if r.Ahead > 0 {
		text += fmt.Sprintf("\nRedis has %s that the vault does not have yet", count(r.Ahead, "event"))
	}
	if err := c.print(v, text); err != nil {
		return err
	}
	if r.Findings > 0 {
		return fmt.Errorf("%w: %s", errVaultFindings, count(r.Findings, "finding"))
	}
	return nil
}
