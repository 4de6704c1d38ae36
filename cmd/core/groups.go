package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/ports"
)

func (c *cli) groups() *cobra.Command {
	cmd := parent(
		"groups", "List consumer groups with their progress, define, change and delete them",
		c.groupsList(), c.groupsCreate(), c.groupsUpdate(), c.groupsPause(), c.groupsResume(), c.groupsDelete(),
	)
	cmd.Aliases = []string{"group"}
	return cmd
}

// withGroups runs one command on the consumer groups. Its errors name a remedy.
func (c *cli) withGroups(ctx context.Context, run func(groups chatcore.Groups) error) error {
	return c.with(ctx, func(core *chatcore.Core) error {
		return advised(run(core.Groups()))
	})
}

func advised(err error) error {
	switch {
	case errors.Is(err, ports.ErrLogLost):
		return fmt.Errorf("%w; run the command again if the log that is there now is the one you mean", err)
	case errors.Is(err, chatcore.ErrGroupNotFound):
		return fmt.Errorf("%w; core groups list shows those that there are", err)
	case errors.Is(err, chatcore.ErrDeadLetterNotFound):
		return fmt.Errorf("%w; it was handled or dropped meanwhile, or never was: core deadletters list shows those that there are", err)
	}
	return advisedDefinition(err)
}

// standing is where a group stands on a partition, or on all of them together.
type standing struct {
	Lag         uint64    `json:"lag"`
	Oldest      time.Time `json:"oldest,omitzero"`
	AgeSeconds  float64   `json:"ageSeconds"`
	Parked      int       `json:"parked"`
	Behind      int       `json:"behind"`
	Failing     int       `json:"failing"`
	Blocked     int       `json:"blocked"`
	DeadLetters int       `json:"deadLetters"`
	CatchesUp   bool      `json:"catchesUp"`
	Walked      int       `json:"walked"`
	Chats       int       `json:"chats"`
}

type partitionView struct {
	Stream    string `json:"stream"`
	Partition int    `json:"partition"` // -1: entries of other programs only
	standing
	Longest    []blockedView `json:"longestBlocked,omitempty"`
	Position   string        `json:"position"`
	Owner      string        `json:"owner,omitempty"`
	LeaseUntil time.Time     `json:"leaseUntil,omitzero"`
	Epoch      uint64        `json:"epoch"`
}

type blockedView struct {
	ChatID string    `json:"chatId"` // "" for entries of other programs
	Seq    uint64    `json:"seq"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	Error  string    `json:"error,omitempty"`
}

type groupView struct {
	Group   string `json:"group"`
	Members int    `json:"members"` // processes that run it
	standing
	Definition *definitionView `json:"definition,omitempty"` // of a group whose handlers are in other programs
	Owned      int             `json:"owned"`                // partitions that a process holds
	Total      int             `json:"partitionCount"`       // in all, with the stream of other programs
	Partitions []partitionView `json:"partitions,omitempty"`
}

func groupViewOf(g chatcore.GroupState) groupView {
	v := groupView{Group: g.Group, Members: g.Members}
	for _, l := range g.Partitions {
		partition := partitionView{
			Stream: l.Stream, Partition: l.Partition, Position: l.Position, Owner: l.Owner, LeaseUntil: l.Until, Epoch: l.Epoch,
			standing: standing{
				Lag: l.Lag, Oldest: l.Oldest, AgeSeconds: l.Age.Seconds(), Parked: l.Parked, Behind: l.Behind, Failing: l.Failing, Blocked: l.Blocked, DeadLetters: l.Letters,
				CatchesUp: l.CatchesUp, Walked: l.Walked, Chats: l.Chats,
			},
		}
		for _, b := range l.Longest {
			partition.Longest = append(partition.Longest, blockedView{string(b.Chat), uint64(b.Seq), string(b.Reason), b.Since, b.Error})
		}
		v.Partitions = append(v.Partitions, partition)
		v.add(partition.standing)
		v.Total++
		if l.Owner != "" {
			v.Owned++
		}
	}
	return v
}

// summary is the view without its partitions.
func (v groupView) summary() groupView {
	v.Partitions = nil
	return v
}

func (s *standing) add(more standing) {
	if more.AgeSeconds > s.AgeSeconds || s.Oldest.IsZero() {
		s.Oldest, s.AgeSeconds = more.Oldest, more.AgeSeconds
	}
	s.Lag += more.Lag
	s.Parked += more.Parked
	s.Behind += more.Behind
	s.Failing += more.Failing
	s.Blocked += more.Blocked
	s.DeadLetters += more.DeadLetters
	s.CatchesUp = s.CatchesUp || more.CatchesUp
	s.Walked += more.Walked
	s.Chats += more.Chats
}

func (s *standing) cells() []string {
	oldest, walk := "-", "-"
	if !s.Oldest.IsZero() {
		oldest = age(time.Duration(s.AgeSeconds * float64(time.Second)))
	}
	if s.CatchesUp {
		walk = fmt.Sprintf("%d/%d", s.Walked, s.Chats)
	}
	return []string{
		strconv.FormatUint(s.Lag, 10), oldest, strconv.Itoa(s.Parked), strconv.Itoa(s.Behind), strconv.Itoa(s.Failing), strconv.Itoa(s.Blocked), strconv.Itoa(s.DeadLetters), walk,
	}
}

// age formats a duration for people, in its two largest units.
func age(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d >= time.Second:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return fmt.Sprintf("%dms", d/time.Millisecond)
}

func groupRows(list []chatcore.GroupState, defined definitions, partitions bool) [][]string {
	head := []string{"GROUP", "KIND", "PAUSED", "LAG", "OLDEST", "PARKED", "BEHIND", "FAILING", "BLOCKED", "DEAD", "WALKED", "OWNED"}
	if partitions {
		head = append(head, "POSITION", "EPOCH", "OWNER")
	}
	rows := [][]string{head}
	for _, g := range list {
		v := groupViewOf(g)
		d, is := defined[g.Group]
		row := append(slices.Concat([]string{v.Group}, describedAs(d, is), v.cells()), fmt.Sprintf("%d/%d", v.Owned, v.Total))
		if !partitions {
			rows = append(rows, row)
			continue
		}
		rows = append(rows, append(row, "-", "-", "-"))
		for _, l := range v.Partitions {
			name, owned, owner := fmt.Sprintf("  %d", l.Partition), "no", "-"
			if l.Partition < 0 {
				name = "  others"
			}
			if l.Owner != "" {
				owned, owner = "yes", l.Owner
			}
			rows = append(rows, append(slices.Concat([]string{name, "", ""}, l.cells()), owned, l.Position, strconv.FormatUint(l.Epoch, 10), owner))
		}
	}
	return rows
}

// blockedTable names the chats that are blocked for the longest.
func (c *cli) blockedTable(list []chatcore.GroupState) error {
	rows := [][]string{{"GROUP", "BLOCKED CHAT", "SEQ", "REASON", "SINCE", "ERROR"}}
	for _, g := range list {
		for _, l := range g.Partitions {
			for _, b := range l.Longest {
				chat := plain(string(b.Chat))
				if b.Chat == "" {
					chat = "(others)"
				}
				rows = append(rows, []string{g.Group, chat, strconv.FormatUint(uint64(b.Seq), 10), string(b.Reason), b.Since.Format(time.RFC3339), short(plain(b.Error))})
			}
		}
	}
	if len(rows) == 1 {
		return nil
	}
	fmt.Fprintln(c.out)
	return c.table(rows)
}

// errUnsure is a command that cannot be undone and was not confirmed.
var errUnsure = errors.New("nothing was changed: give --yes to do it")

// yesFlag adds the confirmation of actions that cannot be undone.
func yesFlag(cmd *cobra.Command, yes *bool) {
	cmd.Flags().BoolVar(yes, "yes", false, "do it; without this flag the effect is shown and nothing is changed")
}

// standingOf returns where a group stands on all partitions together.
func standingOf(ctx context.Context, groups chatcore.Groups, group string) (groupView, error) {
	list, err := groups.List(ctx)
	if err != nil {
		return groupView{}, err
	}
	for _, g := range list {
		if g.Group == group {
			return groupViewOf(g), nil
		}
	}
	return groupView{}, fmt.Errorf("%w: %q", chatcore.ErrGroupNotFound, group)
}

func (c *cli) groupsDelete() *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "delete", Short: "Delete a group with its dead letters",
		Long: "Delete a group with its dead letters: events that it has not finished are never delivered to it. Processes that run it go on with\n" +
			"their other groups, and deliver nothing more to this one until they are started again; it is a new group then. Without --yes the\n" +
			"command shows the data that would be deleted, changes nothing and ends with 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withGroups(cmd.Context(), func(groups chatcore.Groups) error {
				return c.deleteGroup(cmd.Context(), groups, args[0], yes)
			})
		},
	}
	yesFlag(cmd, &yes)
	return c.takes(c.jsonFlag(cmd), groupArg)
}

func (c *cli) deleteGroup(ctx context.Context, groups chatcore.Groups, group string, yes bool) error {
	if !yes {
		v, err := standingOf(ctx, groups, group)
		if err != nil {
			return err
		}
		if !c.json {
			fmt.Fprintf(c.out, "group %s would be deleted with its checkpoints and %s; %s would never be delivered to it, and %s would deliver to it no more\n",
				group, count(v.DeadLetters, "dead letter"), count(int(v.Lag), "unfinished event"), count(v.Members, "running member")) //nolint:gosec // a count
		}
		return errUnsure
	}
	if err := groups.Delete(ctx, group); err != nil {
		return err
	}
	view := struct {
		Group   string `json:"group"`
		Deleted bool   `json:"deleted"`
	}{group, true}
	return c.print(view, fmt.Sprintf("group %s is deleted; processes that run it deliver to it no more", group))
}
