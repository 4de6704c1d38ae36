package main

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"strings"

	"chatcore/domain"

	"github.com/spf13/cobra"

	"chatcore/app"
)

// defaultLimit is the number of items of a page for which --limit names none.
const defaultLimit = 50

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
	if err := l.end(); err != nil {
		return err
	}
	return l.c.printNext(next)
}

// printNext prints the cursor of the next page, if there is one.
func (c *cli) printNext(next string) error {
	if next == "" {
		return nil
	}
	return c.print(map[string]string{"next": next}, "more: --cursor "+shellQuote(next))
}

// shellQuote quotes a word for a shell, if the shell would split or change it.
func shellQuote(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-=.:,@%+/"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// pageFlags adds the flags of a list that is printed in pages.
func pageFlags(cmd *cobra.Command, page *domain.Page) {
	cmd.Flags().IntVar(&page.Limit, "limit", 0, fmt.Sprintf("`NUMBER` of items at most, 1 to %d; without --limit and --cursor, all", app.MaxList))
	cmd.Flags().StringVar(&page.Cursor, "cursor", "", "go on after the page that ended with this `CURSOR`")
}

// pageOf returns the first items of a sequence as a page. Its cursor is that of the last item, if there are further ones.
func pageOf[T any](page domain.Page, items iter.Seq2[T, error], cursorOf func(T) string) (app.List[T], error) {
	var list app.List[T]
	limit := cmp.Or(page.Limit, defaultLimit)
	if limit < 1 || limit > app.MaxList {
		return list, &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("is %d", limit), Allowed: fmt.Sprintf("1 to %d", app.MaxList)}
	}
	for item, err := range items {
		if err != nil {
			return app.List[T]{}, err
		}
		if len(list.Items) == limit {
			list.Next = cursorOf(list.Items[limit-1])
			return list, nil
		}
		list.Items = append(list.Items, item)
	}
	return list, nil
}

// collect returns all items of a sequence.
func collect[T any](items iter.Seq2[T, error]) (all []T, err error) {
	for item, err := range items {
		if err != nil {
			return nil, err
		}
		all = append(all, item)
	}
	return all, nil
}

// pageOrAll returns a page if the command line asks for one, and otherwise everything.
func pageOrAll[T any](
	ctx context.Context, page domain.Page, pageOf func(context.Context, domain.Page) (app.List[T], error), all func(context.Context) ([]T, error),
) (app.List[T], error) {
	if page != (domain.Page{}) {
		return pageOf(ctx, page)
	}
	items, err := all(ctx)
	return app.List[T]{Items: items}, err
}

// pageOrPages is pageOrAll of a list that is read in pages only.
func pageOrPages[T any](ctx context.Context, page domain.Page, pageOf func(context.Context, domain.Page) (app.List[T], error)) (app.List[T], error) {
	return pageOrAll(ctx, page, pageOf, func(ctx context.Context) (all []T, err error) {
		for next := (domain.Page{Limit: app.MaxList}); ; {
			list, err := pageOf(ctx, next)
			all = append(all, list.Items...)
			if next.Cursor = list.Next; err != nil || list.Next == "" {
				return all, err
			}
		}
	})
}
