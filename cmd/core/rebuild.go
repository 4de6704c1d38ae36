package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/ports"
)

func (c *cli) rebuild() *cobra.Command {
	var wait, yes bool
	cmd := &cobra.Command{
		Use: "rebuild", Short: "Rebuild a group: deliver every chat again from its first event",
		Long: "Have a group begin again with the first event of every chat, for a projection that is to be made anew: its handlers are given\n" +
			"all events again, and its dead letters are deleted. Processes that run it notice by themselves; if none does, the next one begins there. With\n--wait the command follows it until no chat is behind. Without --yes it shows the effect, changes nothing and ends with 1.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.withGroups(cmd.Context(), func(groups chatcore.Groups) error {
				return newRebuild(c, groups, args[0]).run(cmd.Context(), wait, yes)
			})
		},
	}
	yesFlag(cmd, &yes)
	cmd.Flags().BoolVar(&wait, "wait", false, "show the progress until it is done")
	return c.takes(c.jsonFlag(cmd), groupArg)
}

// rebuild is one rebuilding of a group, as far as it is seen from here.
type rebuild struct {
	c        *cli
	groups   chatcore.Groups
	group    string
	every    time.Duration // between two looks
	patience time.Duration // with a group that nobody runs any more: far above a lease, for which a partition may be without an owner

	partitions int // of the log; a group that is being forgotten has less
}

func newRebuild(c *cli, groups chatcore.Groups, group string) *rebuild {
	return &rebuild{c: c, groups: groups, group: group, every: 200 * time.Millisecond, patience: 15 * time.Second}
}

// How far a rebuilding is.
const (
	rebuildLeft     = "left"     // to the next process that runs the group
	rebuildUnderway = "underway" // chats are checked, or backfill
	rebuildDone     = "done"
)

type rebuildView struct {
	Group       string `json:"group"`
	State       string `json:"state"`
	Partitions  int    `json:"partitions"`
	Finished    int    `json:"partitionsWalked"` // all of their chats were checked
	Walked      int    `json:"walked"`           // chats of the others
	Chats       int    `json:"chats"`            // in the others that have begun
	Behind      int    `json:"behind"`
	Parked      int    `json:"parked"`
	Failing     int    `json:"failing"`
	DeadLetters int    `json:"deadLetters"`
}

func (v rebuildView) String() string {
	s := fmt.Sprintf("%d of %s looked through", v.Finished, count(v.Partitions, "partition"))
	if v.Chats > 0 {
		s += fmt.Sprintf(" (and %d of %s of the others)", v.Walked, count(v.Chats, "chat"))
	}
	s += fmt.Sprintf(", %s behind", count(v.Behind, "chat"))
	if v.Parked > 0 || v.Failing > 0 || v.DeadLetters > 0 {
		s += fmt.Sprintf(", %d failing, %d parked, %s", v.Failing, v.Parked, count(v.DeadLetters, "dead letter"))
	}
	if v.State == rebuildDone {
		s = "done: " + s
	}
	return s
}

// look returns the group's progress, and whether a process runs it.
func (r *rebuild) look(ctx context.Context) (v rebuildView, attended bool, err error) {
	list, err := r.groups.List(ctx)
	if err != nil {
		return v, false, err
	}
	i := slices.IndexFunc(list, func(g chatcore.GroupState) bool { return g.Group == r.group })
	if i < 0 {
		return v, false, fmt.Errorf("%w: %q", chatcore.ErrGroupNotFound, r.group)
	}
	v = rebuildView{Group: r.group, State: rebuildUnderway}
	for _, l := range list[i].Partitions {
		attended = attended || l.Owner != ""
		if l.Partition < 0 { // has no log to begin again
			continue
		}
		v.Partitions++
		if !l.CatchesUp {
			v.Finished++
		}
		v.Walked += l.Walked
		v.Chats += l.Chats
		v.Behind += l.Behind
		v.Parked += l.Parked
		v.Failing += l.Failing
		v.DeadLetters += l.Letters
	}
	r.partitions = max(r.partitions, v.Partitions)
	if v.Finished == r.partitions && v.Behind == 0 {
		v.State = rebuildDone
	}
	return v, attended, nil
}

func (r *rebuild) run(ctx context.Context, wait, yes bool) error {
	before, attended, err := r.look(ctx)
	if err != nil {
		return err
	}
	if !yes {
		r.say("group %s would begin again with the first event of every chat: its handlers would be given all of them once more", r.group)
		r.say("its dead letters would be deleted: %s", count(before.DeadLetters, "dead letter"))
		return errUnsure
	}
	r.say("group %s begins again with the first event of every chat: its handlers are given all of them once more", r.group)
	if before.DeadLetters > 0 {
		r.say("its dead letters are deleted: %s, %s parked", count(before.DeadLetters, "dead letter"), count(before.Parked, "chat"))
	}
	if err := r.groups.Rebuild(ctx, r.group); err != nil {
		return err
	}
	if !attended {
		r.say("no process runs it now; the next one that does begins there")
		before.State = rebuildLeft
		return r.finish(before)
	}
	if wait {
		return r.wait(ctx)
	}
	r.say("core groups list shows how far it is")
	before.State = rebuildUnderway
	return r.finish(before)
}

// say prints for people.
func (r *rebuild) say(format string, args ...any) {
	if !r.c.json {
		fmt.Fprintf(r.c.out, format+"\n", args...)
	}
}

// finish ends the output for programs, if the command did not wait.
func (r *rebuild) finish(before rebuildView) error {
	if !r.c.json {
		return nil
	}
	return r.c.print(rebuildView{Group: r.group, State: before.State, Partitions: before.Partitions}, "")
}

// errLeft is a rebuilding that nobody goes on with.
var errLeft = errors.New("no process runs the group any more: the next one that does goes on with it")

// wait shows the progress until it is done.
func (r *rebuild) wait(ctx context.Context) error {
	tick := time.NewTicker(r.every)
	defer tick.Stop()
	var shown rebuildView
	for seen := time.Now(); ; {
		view, attended, err := r.look(ctx)
		switch {
		case ctx.Err() != nil || ports.Ended(ctx, err) != nil:
			return fmt.Errorf("the rebuilding of group %s goes on, and is no longer followed: %w", r.group, ctx.Err())
		case err != nil && !errors.Is(err, ports.ErrUnavailable): // Redis may be reachable again later
			return err
		case err == nil && view != shown:
			if err := r.c.print(view, view.String()); err != nil {
				return err
			}
			shown = view
		}
		if err == nil && view.State == rebuildDone {
			if view.DeadLetters > 0 {
				r.say("core deadletters list %s shows the dead letters", r.group)
			}
			return nil
		}
		if attended {
			seen = time.Now()
		}
		if time.Since(seen) > r.patience {
			if err != nil {
				return err
			}
			return errLeft
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}
