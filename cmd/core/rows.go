package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"chatcore/adapters/wireformat"
	"chatcore/app"
	"chatcore/cmd/core/terminal"
	"chatcore/domain"
	"chatcore/ports"
)

const minutes = "2006-01-02 15:04"

// row formats a row for the terminal that the output goes to, if it is one.
func (c *cli) row(r terminal.Row) string {
	cells := 0
	if file, ok := c.out.(*os.File); ok && term.IsTerminal(int(file.Fd())) { //nolint:gosec // a file descriptor is small
		cells, _, _ = term.GetSize(int(file.Fd())) //nolint:gosec // as above
	}
	return r.Format(cells)
}

// messageRow is a message as history shows it. Facts about the message are before its text or on a separate line, where the text cannot imitate them.
func messageRow(m app.MessageView) terminal.Row {
	row := terminal.Row{Columns: []string{fmt.Sprintf("%5d", m.Seq), m.SentAt.Format(minutes)}}
	var about []string
	switch {
	case m.ReplyTo == "":
	case m.ReplyDeleted:
		about = append(about, fmt.Sprintf("reply to %s, which was deleted", m.ReplyTo))
	default:
		about = append(about, fmt.Sprintf("reply to %s", m.ReplyTo))
	}
	if m.Thread != "" {
		about = append(about, fmt.Sprintf("in the thread of %s", m.Thread))
	}
	switch {
	case m.Unreadable != nil:
		about = append(about, "a newer program can read this message")
	case m.Erased:
		about = append(about, "erased")
	case m.Deleted():
		about = append(about, fmt.Sprintf("deleted by %s", m.DeletedBy))
	default:
		row.Text = string(m.Content)
		if m.Revision > 0 {
			about = append(about, "edited")
		}
	}
	row.Prefix = string(m.Sender)
	if len(about) > 0 {
		row.Prefix += " (" + strings.Join(about, "; ") + ")"
	}
	if row.Text != "" {
		row.Prefix += ": "
	}
	notes := make([]string, 0, len(m.Attachments)+len(m.Reactions))
	for _, a := range m.Attachments {
		notes = append(notes, "file "+a.Name)
	}
	for _, group := range m.Reactions {
		notes = append(notes, fmt.Sprintf("%s %d", group.Emoji, len(group.Users)))
	}
	if m.Summary.Replies > 0 {
		notes = append(notes, "thread of "+repliesText(m.Summary.Replies))
	}
	row.Note = strings.Join(notes, "  ")
	return row
}

func repliesText(n int) string {
	if n == 1 {
		return "1 reply"
	}
	return strconv.Itoa(n) + " replies"
}

// typeColumn is the name of an event's type. A name that no program of this version records is quoted, so that no row begins with a mark.
func typeColumn(e domain.Event) string {
	name := wireformat.Type(e)
	if _, err := domain.ParseCustomType(name); err != nil {
		name = strconv.Quote(name)
	}
	return terminal.Pad(name, 16)
}

// eventRow is a recorded event as audit and history --raw show it.
func eventRow(r ports.Record) terminal.Row {
	return terminal.Row{
		Columns: []string{fmt.Sprintf("%5d", r.Seq), r.Event.OccurredAt().Format(minutes), typeColumn(r.Event)},
		Text:    sentence(r.Event),
	}
}

// tailRow is an event as tail shows it.
func tailRow(seq domain.Seq, e domain.Event) terminal.Row {
	where := ""
	if durable, ok := e.(domain.Durable); ok {
		where = fmt.Sprintf("%s %d", durable.ChatID(), seq)
	}
	return terminal.Row{Columns: []string{typeColumn(e), terminal.Pad(where, 24)}, Text: sentence(e)}
}
