package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/domain"
)

const groupsHelp = `Show the state of every group: what runs it (pull and webhook: a definition; code: programs that subscribe), whether it is paused; unfinished events and the age of the oldest; chats parked until an operator decides about a dead letter;
chats that catch up from the log; chats whose next event has failed; chats blocked by transient failures, by an event of a later version or by
a long handler (a second table names them); dead letters; progress of the head scan; and the partitions of each process.

--per-partition shows each partition too; "others" is the stream of other programs. --watch repeats the table until interrupted.`

// groupsList prints the groups, once or, with watch, repeatedly.
type groupsList struct {
	c          *cli
	core       *chatcore.Core
	partitions bool
}

func (c *cli) groupsList() *cobra.Command {
	var partitions, watch bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use: "list", Short: "List consumer groups with lag, dead letters and blocked chats", Args: cobra.NoArgs, Long: groupsHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < minInterval {
				return &domain.InvalidError{Field: "interval", Problem: "is " + interval.String(), Allowed: "at least " + minInterval.String()}
			}
			err := c.with(cmd.Context(), func(core *chatcore.Core) error {
				l := &groupsList{c: c, core: core, partitions: partitions}
				if watch {
					return advised(l.watch(cmd.Context(), interval))
				}
				return advised(l.show(cmd.Context()))
			})
			if watch {
				return untilSignal(cmd.Context(), err)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&partitions, "per-partition", false, "show each partition too, with its position, owner and epoch")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again each --interval until interrupted")
	cmd.Flags().DurationVar(&interval, "interval", 2*time.Second, "`TIME` between two listings of --watch")
	return c.jsonFlag(cmd)
}

// minInterval is the shortest time between two listings: each asks every partition.
const minInterval = 100 * time.Millisecond

// watch shows the groups until ctx ends.
func (l *groupsList) watch(ctx context.Context, interval time.Duration) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if !l.c.json {
			fmt.Fprintf(l.c.out, "%s\n", time.Now().Format(time.DateTime))
		}
		if err := l.show(ctx); err != nil {
			return err
		}
		if !l.c.json {
			fmt.Fprintln(l.c.out)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *groupsList) show(ctx context.Context) error {
	defined, err := definitionsOf(ctx, l.core)
	if err != nil {
		return err
	}
	list, err := l.core.Groups().List(ctx)
	if err != nil {
		return err
	}
	list = defined.listed(list)
	if l.c.json {
		for _, g := range list {
			if err := l.c.print(viewOfGroup(g, defined, l.partitions), ""); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		fmt.Fprintln(l.c.out, "there are no consumer groups; each begins with the first process that subscribes")
		return nil
	}
	if err := l.c.table(groupRows(list, defined, l.partitions)); err != nil {
		return err
	}
	return l.c.blockedTable(list)
}

func viewOfGroup(g chatcore.GroupState, defined definitions, partitions bool) groupView {
	v := groupViewOf(g)
	if d, is := defined[g.Group]; is {
		view := definitionViewOf(d)
		v.Definition = &view
	}
	if !partitions {
		v = v.summary()
	}
	return v
}
