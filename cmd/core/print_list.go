package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"chatcore/app"
)

// list prints items one after another: with --json an object a line, otherwise a table with a header, or a sentence if there are none.
type list struct {
	c     *cli
	empty string
	rows  [][]string
}

func (c *cli) list(empty string, header ...string) *list {
	return &list{c: c, empty: empty, rows: [][]string{header}}
}

// add adds an item: its JSON object, and its cells in the table.
func (l *list) add(view any, cells ...string) error {
	if l.c.json {
		return l.c.print(view, "")
	}
	l.rows = append(l.rows, cells)
	return nil
}

// end prints the table.
func (l *list) end() error {
	switch {
	case l.c.json:
		return nil
	case len(l.rows) == 1:
		_, err := fmt.Fprintln(l.c.out, l.empty)
		return err
	}
	return l.c.table(l.rows)
}

// endPage prints the table and, if there is a further page, its cursor.
func (l *list) endPage(next string) error {
	if err := l.end(); err != nil || next == "" {
		return err
	}
	return l.c.print(map[string]string{"next": next}, "more: --cursor "+strconv.Quote(next))
}

// pageFlags adds the flags of a list that is printed in pages.
func pageFlags(cmd *cobra.Command, page *app.Page) {
	cmd.Flags().IntVar(&page.Limit, "limit", 0, fmt.Sprintf("print a page of so many at most, 1 to %d; without it, all", app.MaxList))
	cmd.Flags().StringVar(&page.Cursor, "cursor", "", "print the page behind the one that named this cursor")
}

// pageOrAll returns a page if the command line asks for one, and otherwise everything.
func pageOrAll[T any](
	ctx context.Context, page app.Page, pageOf func(context.Context, app.Page) (app.List[T], error), all func(context.Context) ([]T, error),
) (app.List[T], error) {
	if page != (app.Page{}) {
		return pageOf(ctx, page)
	}
	items, err := all(ctx)
	return app.List[T]{Items: items}, err
}
