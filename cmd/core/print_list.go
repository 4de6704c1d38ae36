package main

import "fmt"

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
