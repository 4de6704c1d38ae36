package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
	"chatcore/ports/groups"
)

// definitionView is the definition of a group as programs read it.
type definitionView struct {
	Kind        groups.Kind     `json:"kind"` // "" if it cannot be read
	Version     uint64          `json:"version"`
	EventTypes  []string        `json:"eventTypes,omitempty"`
	ChatIDs     []domain.ChatID `json:"chatIds,omitempty"`
	Beginning   bool            `json:"fromBeginning,omitempty"`
	StartAt     time.Time       `json:"startAt,omitzero"`
	Unordered   bool            `json:"unordered,omitempty"`
	OnPoison    string          `json:"onPoison"`
	Attempts    int             `json:"attempts"`
	FirstPause  string          `json:"firstPause"`
	MaxPause    string          `json:"maxPause"`
	Concurrency int             `json:"concurrency"`
	Paused      bool            `json:"paused"`
	PauseReason string          `json:"pauseReason,omitempty"`
	CreatedAt   time.Time       `json:"createdAt"`
	UpdatedAt   time.Time       `json:"updatedAt"`
}

func definitionViewOf(d groups.Definition) definitionView {
	d = d.WithDefaults()
	v := definitionView{
		Kind: d.Kind, Version: d.Version, EventTypes: d.Filter.Types, ChatIDs: d.Filter.Chats, Beginning: d.Start.Beginning, StartAt: d.Start.At, Unordered: d.Unordered,
		OnPoison: poisonSkip, Attempts: d.Retry.Attempts, FirstPause: d.Retry.First.String(), MaxPause: d.Retry.Max.String(), Concurrency: d.Concurrency,
		Paused: d.Paused, PauseReason: d.PauseReason, CreatedAt: d.CreatedAt, UpdatedAt: d.UpdatedAt,
	}
	if d.Park {
		v.OnPoison = poisonPark
	}
	return v
}

// The values of --on-poison.
const (
	poisonSkip = "skip"
	poisonPark = "park"
)

// settingsFlags are the flags of the options of a defined group that may be changed.
type settingsFlags struct {
	types, chats []string
	poison       string
	attempts     int
	first, max   time.Duration
	concurrency  int
}

// add adds the flags to a command.
func (f *settingsFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringSliceVar(&f.types, "type", nil, "deliver events of this `TYPE` alone, such as message:new; may be repeated; an empty one: of all types")
	flags.StringArrayVar(&f.chats, "chat", nil, "deliver events of this `CHAT` alone; may be repeated; an empty one: of all chats")
	flags.StringVar(&f.poison, "on-poison", poisonSkip, "what a chat does after one of its events became a dead letter, by `POLICY`: skip goes on with its next event, park waits for a decision")
	flags.IntVar(&f.attempts, "attempts", 0, "`N` attempts before a delivery becomes a dead letter, 1 to 1000 (default that of the kind)")
	flags.DurationVar(&f.first, "first-pause", 0, "`TIME` before the second attempt; it doubles with each (default that of the kind)")
	flags.DurationVar(&f.max, "max-pause", 0, "longest `TIME` between two attempts, at most 24h (default that of the kind)")
	flags.IntVar(&f.concurrency, "concurrency", 0, "at most `N` deliveries in flight in a process, 1 to 4096 (default that of the kind)")
}

// apply sets the options whose flags were given.
func (f *settingsFlags) apply(cmd *cobra.Command, d *groups.Definition) error {
	given := cmd.Flags().Changed
	if given("type") {
		d.Filter.Types = someOf(f.types)
	}
	if given("chat") {
		d.Filter.Chats = nil
		for _, chat := range someOf(f.chats) {
			d.Filter.Chats = append(d.Filter.Chats, domain.ChatID(chat))
		}
	}
	if given("on-poison") {
		if f.poison != poisonSkip && f.poison != poisonPark {
			return &domain.InvalidError{Field: "on-poison", Problem: fmt.Sprintf("is %q", f.poison), Allowed: poisonSkip + ", " + poisonPark}
		}
		d.Park = f.poison == poisonPark
	}
	if given("attempts") {
		d.Retry.Attempts = f.attempts
	}
	if given("first-pause") {
		d.Retry.First = f.first
	}
	if given("max-pause") {
		d.Retry.Max = f.max
	}
	if given("concurrency") {
		d.Concurrency = f.concurrency
	}
	return nil
}

// someOf returns the values of a repeated flag, none if they are one empty value.
func someOf(values []string) []string {
	if len(values) == 1 && values[0] == "" {
		return nil
	}
	return values
}

func (c *cli) groupsCreate() *cobra.Command {
	var settings settingsFlags
	var beginning, unordered bool
	var startAt string
	cmd := &cobra.Command{
		Use: "create", Short: "Define a pull group, which every process of core serve runs",
		Long: "Define a pull group: every process of core serve runs it within a few seconds, for the consumers that connect to it. It starts with the\n" +
			"next event unless a flag says otherwise. Programs that handle events in Go define no group: their own begins when they subscribe.",
		RunE: func(cmd *cobra.Command, args []string) error {
			d := groups.Definition{Group: args[0], Kind: groups.KindPull, Start: groups.Start{Beginning: beginning}, Unordered: unordered}
			if startAt != "" {
				at, err := time.Parse(time.RFC3339, startAt)
				if err != nil {
					return &domain.InvalidError{Field: "start-at", Problem: fmt.Sprintf("is %q", startAt), Allowed: "a time such as 2026-01-31T08:00:00Z"}
				}
				d.Start.At = at
			}
			if err := settings.apply(cmd, &d); err != nil {
				return err
			}
			return c.define(cmd.Context(), "is defined", func(ctx context.Context, core *chatcore.Core) (groups.Definition, error) {
				return core.Definitions().Create(ctx, d)
			})
		},
	}
	settings.add(cmd)
	cmd.Flags().BoolVar(&beginning, "from-beginning", false, "start with the first event of every chat")
	cmd.Flags().StringVar(&startAt, "start-at", "", "start in each chat with the first event of this `TIME` or later, such as 2026-01-31T08:00:00Z")
	cmd.Flags().BoolVar(&unordered, "unordered", false, "events of a chat do not wait for each other")
	return c.takes(c.jsonFlag(cmd), newGroupArg)
}

func (c *cli) groupsUpdate() *cobra.Command {
	var settings settingsFlags
	var version uint64
	cmd := &cobra.Command{
		Use: "update", Short: "Change the options of a defined group",
		Long: "Change the options of a defined group: those whose flags are given. The processes that run it apply them within a few seconds, and lose no\n" +
			"event. Where it starts and its order never change.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.define(cmd.Context(), "is changed", func(ctx context.Context, core *chatcore.Core) (groups.Definition, error) {
				return core.Definitions().Update(ctx, args[0], version, func(d *groups.Definition) error { return settings.apply(cmd, d) })
			})
		},
	}
	settings.add(cmd)
	cmd.Flags().Uint64Var(&version, "version", 0, "`VERSION` of the definition that is changed; another one is refused (default the present one)")
	return c.takes(c.jsonFlag(cmd), groupArg)
}

func (c *cli) groupsPause() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "pause", Short: "Have a defined group deliver nothing until it is resumed",
		Long: "Have a defined group deliver nothing until it is resumed, within a few seconds in every process. Deliveries that are in flight may end. Its\n" +
			"lag grows meanwhile, and nothing is lost.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.define(cmd.Context(), "is paused", func(ctx context.Context, core *chatcore.Core) (groups.Definition, error) {
				return core.Definitions().Pause(ctx, args[0], reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` that says why, for those who list the groups")
	return c.takes(c.jsonFlag(cmd), groupArg)
}

func (c *cli) groupsResume() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume", Short: "End the pause of a defined group",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.define(cmd.Context(), "is resumed", func(ctx context.Context, core *chatcore.Core) (groups.Definition, error) {
				return core.Definitions().Resume(ctx, args[0])
			})
		},
	}
	return c.takes(c.jsonFlag(cmd), groupArg)
}

// define changes a definition, and prints it.
func (c *cli) define(ctx context.Context, done string, change func(ctx context.Context, core *chatcore.Core) (groups.Definition, error)) error {
	return c.with(ctx, func(core *chatcore.Core) error {
		d, err := change(ctx, core)
		if err != nil {
			return advised(err)
		}
		view := struct {
			Group string `json:"group"`
			definitionView
		}{d.Group, definitionViewOf(d)}
		return c.print(view, fmt.Sprintf("group %s %s: version %d", d.Group, done, d.Version))
	})
}

// describedAs are the columns of a group that say what runs it.
func describedAs(d groups.Definition, defined bool) []string {
	switch {
	case !defined:
		return []string{"code", "-"}
	case d.Paused && d.PauseReason != "":
		return []string{kindName(d), "yes: " + short(plain(d.PauseReason))}
	case d.Paused:
		return []string{kindName(d), "yes"}
	}
	return []string{kindName(d), "no"}
}

// kindName is the kind of a definition in words.
func kindName(d groups.Definition) string {
	if d.Kind == "" {
		return "unreadable"
	}
	return short(plain(string(d.Kind)))
}

// definitions are the definitions of groups by name.
type definitions map[string]groups.Definition

// definitionsOf returns the definitions of all groups.
func definitionsOf(ctx context.Context, core *chatcore.Core) (definitions, error) {
	list, err := core.Definitions().List(ctx)
	all := make(definitions, len(list))
	for _, d := range list {
		all[d.Group] = d
	}
	return all, err
}

// listed returns the groups with those that are defined and that no process has run yet.
func (all definitions) listed(list []chatcore.GroupState) []chatcore.GroupState {
	known := make(map[string]bool, len(list))
	for _, g := range list {
		known[g.Group] = true
	}
	for name := range all {
		if !known[name] {
			list = append(list, chatcore.GroupState{Group: name})
		}
	}
	slices.SortFunc(list, func(a, b chatcore.GroupState) int { return cmp.Compare(a.Group, b.Group) })
	return list
}

// advisedDefinition adds a remedy to an error about the definition of a group.
func advisedDefinition(err error) error {
	switch {
	case errors.Is(err, chatcore.ErrGroupNotDefined):
		return fmt.Errorf("%w; core groups list shows those that there are, and core groups create defines one", err)
	case errors.Is(err, chatcore.ErrGroupOfCode):
		return fmt.Errorf("%w; choose another name, or change it there", err)
	case errors.Is(err, chatcore.ErrGroupDefined):
		return fmt.Errorf("%w; core groups update changes its options, and core groups delete removes it", err)
	case errors.Is(err, chatcore.ErrDefinitionChanged):
		return fmt.Errorf("%w; core groups list --json shows the present version", err)
	}
	return err
}
