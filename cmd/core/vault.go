package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/adapters/vault/archive"
	"chatcore/adapters/vault/logcopy"
	"chatcore/adapters/vault/object"
	"chatcore/ports"
)

// errNoVault is returned when no setting names a vault.
var errNoVault = usageErrorf("no vault is named: set CHATCORE_VAULT, or give --vault, such as --vault file:///var/lib/chatcore/vault")

// embeddedFlush is the interval of flushes of an embedded Redis, which has no other copy.
const embeddedFlush = time.Second

// embeddedStop is how long the last flush of an embedded Redis may take.
const embeddedStop = 10 * time.Second

// vault defines the settings of the vault.
func (b binder) vault(c *chatcore.Config) {
	b.add("vault", &b.settings.vault, "vault for copies of the log: a directory, file:///DIRECTORY or s3://BUCKET/PREFIX").means("none").show(b)
	b.add("vault-flush", &c.Vault.Flush, "time between two flushes of the archiver, which a loss of Redis may cost").means("5s, with --embedded 1s")
	b.add("vault-tails", &c.Vault.TailEvery, "time between two tails of a partition in the vault")
	b.add("vault-full-tails", &c.Vault.FullTailEvery, "time between two full tails of a partition in the vault")
	b.add("vault-keep", &c.Vault.Keep, "time for which journals are kept in the vault")
}

// openVault opens the vault that was named, if one was, for a command that uses it.
func (c *cli) openVault(ctx context.Context, config *chatcore.Config) (err error) {
	if !c.archives || c.settings.vault == "" {
		return nil
	}
	config.Vault.Store, err = openVault(ctx, c.settings.vault)
	return err
}

// withVault runs a command on a core with a vault.
func (c *cli) withVault(ctx context.Context, run func(core *chatcore.Core) error) error {
	c.archives = true
	if c.settings.vault == "" {
		return errNoVault
	}
	return c.with(ctx, run)
}

func (c *cli) vault() *cobra.Command {
	cmd := &cobra.Command{Use: "vault", Short: "Show how far the vault has the log, and what the log has lost"}
	cmd.AddCommand(c.vaultStatus(), c.vaultLost(), c.vaultRemove())
	return cmd
}

func (c *cli) vaultStatus() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show how far the vault has each partition", Args: cobra.NoArgs,
		Long: "Show of each partition the process that archives it, the events that are in no journal yet and the age of the oldest, the sealed segments, and\n" +
			"when the last tail and the last full tail began. A partition without a full tail cannot be restored yet.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withVault(cmd.Context(), func(core *chatcore.Core) error {
				all, err := core.Vault().Status(cmd.Context())
				if errors.Is(err, chatcore.ErrGroupNotFound) {
					err = fmt.Errorf("no process has archived this log: start \"core serve\" with this vault: %w", err)
				}
				if err != nil {
					return err
				}
				return c.printVault(all)
			})
		},
	}
	return c.jsonFlag(cmd)
}

type vaultView struct {
	Partition int        `json:"partition"`
	Owner     string     `json:"owner,omitempty"`
	Lag       uint64     `json:"lag"`
	AgeMillis int64      `json:"ageMillis"`
	Sealed    uint64     `json:"sealedSegments"`
	Tail      *time.Time `json:"tail,omitempty"`
	FullTail  *time.Time `json:"fullTail,omitempty"`
}

func (c *cli) printVault(all []archive.PartitionStatus) error {
	rows := [][]string{{"PARTITION", "OWNER", "LAG", "AGE", "SEALED", "TAIL", "FULL TAIL"}}
	for _, s := range all {
		v := vaultView{Partition: s.Partition, Owner: s.Owner, Lag: s.Lag, AgeMillis: s.Age.Milliseconds(), Sealed: s.Sealed}
		tails := []string{"none", "none"}
		if !s.FullTail.IsZero() {
			v.Tail, v.FullTail = &s.Tail, &s.FullTail
			tails = []string{s.Tail.Format(time.RFC3339), s.FullTail.Format(time.RFC3339)}
		}
		if c.json {
			if err := c.print(v, ""); err != nil {
				return err
			}
			continue
		}
		rows = append(rows, append([]string{fmt.Sprint(s.Partition), s.Owner, fmt.Sprint(s.Lag), s.Age.Round(time.Millisecond).String(), fmt.Sprint(s.Sealed)}, tails...))
	}
	if c.json {
		return nil
	}
	return c.table(rows)
}

func (c *cli) vaultRemove() *cobra.Command {
	var log string
	var yes bool
	cmd := &cobra.Command{
		Use: "remove", Short: "Delete a log from the vault, such as one that another log continues", Args: cobra.NoArgs,
		Long: "Delete the objects of a log from the vault. After a restore that lost the last events the log goes on under a new id: once the vault has all of that, the\n" +
			"log before it can go, with the moments that can be restored of it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if c.settings.vault == "" {
				return errNoVault
			}
			v, err := openVault(cmd.Context(), c.settings.vault)
			if err != nil {
				return err
			}
			logs, err := logcopy.Logs(cmd.Context(), v)
			if err != nil {
				return err
			}
			continued := slices.ContainsFunc(logs, func(m *object.ManifestObject) bool {
				return slices.ContainsFunc(m.Ancestors, func(a object.Ancestor) bool { return a.Log == log })
			})
			if !continued {
				fmt.Fprintf(c.errs, "no log of the vault continues log %s: this may be its only copy\n", log)
			}
			if !yes {
				return errUnsure
			}
			removed, err := logcopy.Remove(cmd.Context(), v, log)
			if err != nil {
				return err
			}
			return c.print(removedView{log, removed}, fmt.Sprintf("%s deleted", count(removed, "object")))
		},
	}
	cmd.Flags().StringVar(&log, "log", "", "`ID` of the log (required)")
	_ = cmd.MarkFlagRequired("log")
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	return c.jsonFlag(cmd)
}

// removedView is a log that was deleted from a vault.
type removedView struct {
	Log     string `json:"log"`
	Objects int    `json:"objects"`
}

func (c *cli) vaultLost() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lost", Short: "List the events that the log acknowledged and lost", Args: cobra.NoArgs,
		Long: "List the events that the vault has and the log does not have any more, because it went on without its last writes, for example after the\n" +
			"promotion of a replica that lacked them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.withVault(cmd.Context(), func(core *chatcore.Core) error {
				for e, err := range core.Vault().Lost(cmd.Context()) {
					if err != nil {
						return err
					}
					v := lostView{Partition: e.Partition, FoundAt: e.At, ChatID: string(e.Chat), Seq: uint64(e.Seq), EventID: string(e.Event), Event: string(e.JSON)}
					if err := c.print(v, strings.Join([]string{v.ChatID, fmt.Sprint(v.Seq), v.Event}, "  ")); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	return c.jsonFlag(cmd)
}

type lostView struct {
	Partition int       `json:"partition"`
	FoundAt   time.Time `json:"foundAt"`
	ChatID    string    `json:"chatId"`
	Seq       uint64    `json:"seq"`
	EventID   string    `json:"eventId"`
	Event     string    `json:"event"` // as the log had it
}

func (c *cli) backup() *cobra.Command {
	var final bool
	cmd := &cobra.Command{
		Use: "backup", Short: "Wait until the vault has everything that is in the log now", Args: cobra.NoArgs,
		Long: "Wait until the vault has every event that was appended before, and a tail of each partition. It takes part in archiving meanwhile. With --final,\n" +
			"which needs that nothing is appended any more and that no other process archives, it also writes down that the vault has all of the log.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.patient = true
			err := c.withVault(cmd.Context(), func(core *chatcore.Core) error { return c.backUp(cmd.Context(), core, final) })
			return untilSignal(cmd.Context(), err)
		},
	}
	cmd.Flags().BoolVar(&final, "final", false, "write down that the log takes no events any more and the vault has all of them")
	return c.jsonFlag(cmd)
}

type backupView struct {
	LogID   string `json:"logId"`
	Final   bool   `json:"final"`
	Events  uint64 `json:"events"`  // that this command has journaled; other processes may have journaled more
	Objects uint64 `json:"objects"` // that this command has stored
	Bytes   uint64 `json:"bytes"`   // of them
}

// backUp runs the archiver until the vault has everything.
func (c *cli) backUp(ctx context.Context, core *chatcore.Core, final bool) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	if err := core.Start(running); err != nil {
		return err
	}
	err := core.Vault().Backup(ctx, c.backupProgress())
	if err == nil && final {
		err = core.Vault().Close(ctx)
	}
	stop()
	if err = errors.Join(err, core.Wait()); err != nil {
		return err
	}
	s := core.Vault().Stats()
	v := backupView{LogID: core.LogID(), Final: final, Events: s.Events, Objects: s.Objects, Bytes: s.Bytes}
	return c.print(v, fmt.Sprintf("the vault has the log %s; %d objects with %d bytes were stored now", v.LogID, v.Objects, v.Bytes))
}

// vaultFindings returns what is wrong with the store of a vault.
func vaultFindings(ctx context.Context, store ports.Vault) (all []chatcore.Finding) {
	checker, checks := store.(ports.VaultChecker)
	if !checks {
		return nil
	}
	found, err := checker.Check(ctx)
	for _, f := range found {
		all = append(all, vaultFinding(f))
	}
	if err != nil {
		all = append(all, chatcore.Finding{Severity: chatcore.Warning, Code: "vault", What: "the vault cannot be used now: " + err.Error(), Why: "nothing is copied to it meanwhile", Remedy: "the error says what is wrong"})
	}
	return all
}

func vaultFinding(f ports.VaultFinding) chatcore.Finding {
	is := chatcore.Finding{Code: string(f.Code), What: "the vault: " + f.Detail}
	switch f.Code {
	case ports.VaultVersioned, ports.VaultLocked:
		is.Severity, is.Why, is.Remedy = chatcore.Warning, "erasure does not reach what the store keeps", "switch it off for the bucket; docs/vault.md"
	case ports.VaultUnknown:
		is.Severity, is.Why, is.Remedy = chatcore.Note, "whether erasure reaches everything is not known", "give the right to read the configuration of the bucket; docs/vault.md"
	default:
		is.Severity, is.Why, is.Remedy = chatcore.Danger, "it cannot keep the promises of a vault", "use another store; docs/vault.md"
	}
	return is
}

// closeVault writes down that the vault has all of an embedded log, which ends with the process.
func (s *service) closeVault(ctx context.Context, core *chatcore.Core) {
	if !s.embedded || core.Vault() == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), embeddedStop)
	defer cancel()
	core.Chats.Close(ctx) // records accepted read marks; no command comes after that
	if err := core.Vault().Close(ctx); err != nil {
		s.logger.ErrorContext(ctx, "the vault does not have all of the log", "error", err)
	}
}
