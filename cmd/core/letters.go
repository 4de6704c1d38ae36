package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) deadLetters() *cobra.Command {
	cmd := parent("deadletters", "List dead letters, which handlers failed on for good, and retry or drop them",
		c.lettersList(), c.lettersShow(), c.lettersRetry(), c.lettersDrop())
	cmd.Aliases = []string{"deadletter"}
	return cmd
}

// letterView is a dead letter without its payload, which is message content.
type letterView struct {
	Group      string     `json:"group"`
	ID         string     `json:"id"`
	ChatID     string     `json:"chatId,omitempty"`
	Seq        domain.Seq `json:"seq,omitempty"`
	Type       string     `json:"type,omitempty"`
	EventID    string     `json:"eventId,omitempty"`
	Attempts   int        `json:"attempts"`
	Reason     string     `json:"reason"`
	At         time.Time  `json:"at"`
	AgeSeconds float64    `json:"ageSeconds"`
	First      string     `json:"first,omitempty"`    // reason before its retries
	FailedAt   *time.Time `json:"failedAt,omitempty"` // of the last retry
	Parked     bool       `json:"parked"`
	Again      bool       `json:"again"`
	Entry      string     `json:"entry,omitempty"`
}

func letterViewOf(d chatcore.DeadLetter) letterView {
	v := letterView{
		Group: d.Group, ID: d.ID, ChatID: string(d.Chat), Seq: d.Seq, Type: d.Metadata[wireformat.MetaType], EventID: string(d.EventID),
		Attempts: d.Attempts, Reason: d.Reason, At: d.At, AgeSeconds: max(time.Since(d.At), 0).Seconds(), Parked: d.Parked, Again: d.Again, Entry: d.Entry,
	}
	if !d.FailedAt.IsZero() {
		v.First, v.FailedAt = d.First, &d.FailedAt
	}
	return v
}

// state returns the event that the dead letter waits for.
func (v letterView) state() string {
	switch {
	case v.Again:
		return "again"
	case v.Parked:
		return "parked"
	}
	return "-"
}

func (v letterView) age() string { return age(time.Duration(v.AgeSeconds * float64(time.Second))) }

func (v letterView) cells() []string {
	seq := "-"
	if v.Seq > 0 {
		seq = strconv.FormatUint(uint64(v.Seq), 10)
	}
	return []string{v.ID, plain(v.ChatID), seq, short(plain(v.Type)), strconv.Itoa(v.Attempts), v.age(), v.state(), short(plain(v.Reason))}
}

func (v letterView) where() string {
	if v.Entry != "" {
		return "entry " + v.Entry + " of another program"
	}
	if v.ChatID == "" {
		return "of another program"
	}
	return fmt.Sprintf("seq %d of chat %s", v.Seq, plain(v.ChatID))
}

// plain gives text of others as one line that no terminal takes for a command, and a dash if there is none.
func plain(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) })
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, " ")
}

// short truncates text that is too long for a table.
func short(s string) string { return clip(s, 80) }

// clip cuts text after so many characters.
func clip(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}

func (c *cli) lettersList() *cobra.Command {
	var page domain.Page
	cmd := c.takes(c.jsonFlag(&cobra.Command{
		Use: "list", Short: "List a group's dead letters",
		Long: "List a group's dead letters without their payloads: deliveries that its handlers failed on for good. The chat of a \"parked\" one\nwaits until it is retried or dropped; one that is to be delivered \"again\" waits for a process that runs the group.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withGroups(cmd.Context(), func(groups chatcore.Groups) error {
				l := c.list(fmt.Sprintf("group %s has no dead letters", args[0]), "ID", "CHAT", "SEQ", "TYPE", "ATTEMPTS", "AGE", "STATE", "REASON")
				letters, err := pageOrAll(cmd.Context(), page, func(ctx context.Context, page domain.Page) (app.List[chatcore.DeadLetter], error) {
					return letterPage(ctx, groups, args[0], page)
				}, func(ctx context.Context) ([]chatcore.DeadLetter, error) {
					return collect(groups.DeadLetters(ctx, args[0]))
				})
				if err != nil {
					return err
				}
				for _, d := range letters.Items {
					v := letterViewOf(d)
					if err := l.add(v, v.cells()...); err != nil {
						return err
					}
				}
				return l.endPage(letters.Next)
			})
		},
	}), groupArg)
	pageFlags(cmd, &page)
	return cmd
}

// letterPage returns a page of a group's dead letters. Its cursor is the id of its last one.
func letterPage(ctx context.Context, groups chatcore.Groups, group string, page domain.Page) (app.List[chatcore.DeadLetter], error) {
	list, err := pageOf(page, groups.DeadLettersAfter(ctx, group, page.Cursor), func(d chatcore.DeadLetter) string { return d.ID })
	if invalid, ok := errors.AsType[*domain.InvalidError](err); ok && invalid.Field == "letter" {
		err = &domain.InvalidError{Field: "cursor", Problem: invalid.Problem, Allowed: "the cursor of the page before, or empty"}
	}
	return list, err
}

func (c *cli) lettersShow() *cobra.Command {
	return c.takes(c.jsonFlag(&cobra.Command{
		Use: "show", Short: "Show one dead letter with its payload",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withGroups(cmd.Context(), func(groups chatcore.Groups) error {
				d, err := groups.DeadLetter(cmd.Context(), args[0], args[1])
				if err != nil {
					return err
				}
				return c.printLetter(d)
			})
		},
	}), groupArg, letterArg)
}

// printLetter shows all of a dead letter. A payload that is no JSON may hold anything: programs get it as base64, people quoted.
func (c *cli) printLetter(d chatcore.DeadLetter) error {
	v := letterViewOf(d)
	full := struct {
		letterView
		Metadata map[string]string `json:"metadata,omitempty"`
		Payload  json.RawMessage   `json:"payload,omitempty"`
		Bytes    []byte            `json:"payloadBytes,omitempty"`
	}{letterView: v, Metadata: d.Metadata}
	var payload bytes.Buffer
	if err := json.Indent(&payload, d.Payload, "", "  "); err == nil {
		full.Payload = d.Payload
	} else {
		full.Bytes = d.Payload
		payload.Reset()
		payload.WriteString(strconv.Quote(string(d.Payload)))
	}
	var text strings.Builder
	line := func(name, value string) { fmt.Fprintf(&text, "%-9s  %s\n", name, value) }
	line("id", v.ID)
	line("event", plain(v.EventID)+", "+v.where())
	line("failed", fmt.Sprintf("%s, %s ago", v.At.Format(time.RFC3339), v.age()))
	line("attempts", strconv.Itoa(v.Attempts))
	if v.FailedAt != nil {
		line("retried", "without success, last at "+v.FailedAt.Format(time.RFC3339))
		line("at first", plain(v.First))
	}
	line("state", v.state())
	for reason := range strings.Lines(v.Reason) {
		line("reason", plain(reason))
	}
	for _, name := range slices.Sorted(maps.Keys(d.Metadata)) {
		line("metadata", plain(name)+": "+plain(d.Metadata[name]))
	}
	text.WriteString(payload.String())
	return c.print(full, text.String())
}

// decision is an action on dead letters.
type decision struct {
	name  string
	act   func(groups chatcore.Groups, ctx context.Context, group, id string) error
	says  func(v letterView) string
	asked bool // before all of them
}

func (c *cli) lettersRetry() *cobra.Command {
	return c.decide(decision{
		name: "retry", act: chatcore.Groups.Retry,
		says: func(v letterView) string {
			if v.Entry != "" {
				return "is added to the stream again, for all groups"
			}
			if v.Parked {
				return "is given again, and the chat flows on from it"
			}
			return "is given again, out of order"
		},
	}, "Deliver dead letters to the group's handlers again",
		"Deliver a dead letter to the group's handlers again, or --all of them that are there now. A chat that is parked for it flows again, in order,\n"+
			"beginning with it. Otherwise the chat has gone on, and the letter comes out of order; it stays until a handler succeeds.\n"+
			"An unreadable entry of another program is added to the stream again, for all groups: only one of them has its letter.")
}

func (c *cli) lettersDrop() *cobra.Command {
	return c.decide(decision{
		name: "drop", act: chatcore.Groups.Drop, asked: true,
		says: func(v letterView) string {
			if v.Parked {
				return "is dropped, and the chat flows on behind it"
			}
			return "is dropped"
		},
	}, "Remove dead letters for good",
		"Remove a dead letter for good, or --all of them that are there now. A chat that is parked for it flows again, with the event after it.\nThe event itself stays in the chat's log.")
}

func (c *cli) decide(d decision, short, long string) *cobra.Command {
	var all, yes bool
	cmd := &cobra.Command{
		Use: d.name, Short: short, Long: long,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withGroups(cmd.Context(), func(groups chatcore.Groups) error {
				if all {
					return c.decideAll(cmd.Context(), groups, d, args[0], yes || !d.asked)
				}
				letter, err := groups.DeadLetter(cmd.Context(), args[0], args[1])
				if err != nil {
					return err
				}
				return c.decideOne(cmd.Context(), groups, d, letterViewOf(letter))
			})
		},
	}
	c.mayTake(cmd, groupArg, letterArg)
	counted := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := counted(cmd, args); err != nil {
			return err
		}
		if all == (len(args) == 2) {
			return usageErrorf("name a dead letter by its ID, or give --all: %s", cmd.UseLine())
		}
		return nil
	}
	cmd.Flags().BoolVar(&all, "all", false, "all that are there now")
	if d.asked {
		cmd.Flags().BoolVar(&yes, "yes", false, "with --all: they are meant to be gone")
	}
	return c.jsonFlag(cmd)
}

type decidedView struct {
	letterView
	Decision string `json:"decision"`
}

func (c *cli) decideOne(ctx context.Context, groups chatcore.Groups, d decision, v letterView) error {
	if err := d.act(groups, ctx, v.Group, v.ID); err != nil {
		return err
	}
	return c.print(decidedView{v, d.name}, fmt.Sprintf("%s (%s) %s", v.ID, v.where(), d.says(v)))
}

// decideAll decides about the dead letters present at its start: a retried one may fail again as another.
func (c *cli) decideAll(ctx context.Context, groups chatcore.Groups, d decision, group string, sure bool) error {
	var letters []letterView
	for letter, err := range groups.DeadLetters(ctx, group) {
		if err != nil {
			return err
		}
		letters = append(letters, letterViewOf(letter))
	}
	if !sure && len(letters) > 0 {
		return fmt.Errorf("%s of group %s would be gone for good: %w", count(len(letters), "dead letter"), group, errUnsure)
	}
	for _, v := range letters {
		if err := c.decideOne(ctx, groups, d, v); err != nil && !errors.Is(err, chatcore.ErrDeadLetterNotFound) { // which somebody else has decided about
			return err
		}
	}
	if !c.json && len(letters) == 0 {
		fmt.Fprintf(c.out, "group %s has no dead letters\n", group)
	}
	return nil
}
