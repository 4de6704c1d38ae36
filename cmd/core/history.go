package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
	"chatcore/ports"
)

func (c *cli) history() *cobra.Command {
	var raw, pins, changes, threads bool
	var readBy, mentioned string
	var before, after, at uint64
	var limit int
	cmd := &cobra.Command{
		Use: "history", Short: "Show a chat's messages as they are now, or with --raw its events",
		Long: "Show a chat's messages as they are now, or with --raw its events, oldest first: the last ones, the last ones --before a seq, or the\nfirst ones --after it. --limit 0 shows all of them.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				h := history{c: c, core: core, chat: domain.ChatID(args[0]), limit: limit}
				h.span = domain.Span{Before: domain.Seq(before), After: domain.Seq(after), First: cmd.Flags().Changed("after") && after == 0}
				if cmd.Flags().Changed("before") && before == 0 {
					return &domain.InvalidError{Field: "before", Problem: "is 0", Allowed: "a seq from 1"}
				}
				if limit < 0 {
					return &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("is %d", limit), Allowed: "a number from 1, or 0 for all"}
				}
				if cmd.Flags().Changed("at") && at == 0 {
					return &domain.InvalidError{Field: "at", Problem: "is 0", Allowed: "a seq from 1"}
				}
				queries := core.Queries.At(domain.Seq(at))
				h.span.Changes = changes
				switch {
				case pins:
					messages, err := queries.Pins(cmd.Context(), h.chat)
					if err == nil {
						err = each(messages, h.printMessage)
					}
					return h.ended("pinned messages", err)
				case cmd.Flags().Changed("read-by"):
					return h.printReaders(queries.ReadBy(cmd.Context(), h.chat, domain.MessageID(readBy)))
				case cmd.Flags().Changed("mentions-of"):
					return h.ended("messages", h.printMentioning(cmd.Context(), queries, domain.UserID(mentioned), threads))
				case raw:
					return h.ended("events", paged(cmd.Context(), &h, app.MaxEvents, queries.Events, eventSeq, h.printEvent))
				}
				return h.ended("messages", paged(cmd.Context(), &h, app.MaxHistory, queries.History, messageSeq, h.printMessage))
			})
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "show the events of the log instead of the messages")
	cmd.Flags().BoolVar(&pins, "pins", false, "show the pinned messages alone, in the order in which they were pinned")
	cmd.Flags().BoolVar(&changes, "changes", false, "show changes of the chat among the messages")
	cmd.Flags().StringVar(&readBy, "read-by", "", "show the members that have read this `MESSAGE`, instead of messages")
	cmd.Flags().StringVar(&mentioned, "mentions-of", "", "show the messages that mention this `USER`, or all members")
	cmd.Flags().BoolVar(&threads, "in-threads", false, "with --mentions-of: those that are in threads alone")
	_ = cmd.RegisterFlagCompletionFunc("mentions-of", c.completeUsers)
	cmd.Flags().Uint64Var(&before, "before", 0, "only messages below this `SEQ`")
	cmd.Flags().Uint64Var(&after, "after", 0, "only messages above this `SEQ`")
	cmd.Flags().Uint64Var(&at, "at", 0, "show the chat as it was at this `SEQ`")
	cmd.Flags().IntVar(&limit, "limit", 0, "`NUMBER` of messages or events at most; 0 is all")
	cmd.MarkFlagsMutuallyExclusive("before", "after")
	cmd.MarkFlagsMutuallyExclusive("raw", "pins", "changes", "read-by", "mentions-of")
	for _, span := range []string{"before", "after"} {
		cmd.MarkFlagsMutuallyExclusive(span, "mentions-of")
	}
	return c.takes(c.jsonFlag(cmd), chatArg)
}

// readerView is a member that has read a message.
type readerView struct {
	ChatID domain.ChatID `json:"chatId"`
	UserID domain.UserID `json:"userId"`
}

func (h *history) printReaders(readers []domain.UserID, err error) error {
	if err != nil {
		return err
	}
	l := h.c.list("nobody else has read the message", "USER")
	for _, user := range readers {
		if err := l.add(readerView{h.chat, user}, string(user)); err != nil {
			return err
		}
	}
	return l.end()
}

// printMentioning shows the messages that mention a user, the oldest first, or as many of the last ones as the limit takes.
func (h *history) printMentioning(ctx context.Context, queries *app.Queries, user domain.UserID, threads bool) error {
	var found []app.MessageView
	page := app.MentionPage{Threads: threads, Page: domain.Page{Limit: app.MaxMentionPage}}
	for {
		list, err := queries.MentionsOf(ctx, h.chat, user, page)
		if err != nil {
			return err
		}
		found = append(found, list.Items...)
		if page.Cursor = list.Next; page.Cursor == "" || h.limit > 0 && len(found) >= h.limit {
			break
		}
	}
	if h.limit > 0 {
		found = found[:min(len(found), h.limit)]
	}
	slices.Reverse(found)
	return each(found, h.printMessage)
}

type history struct {
	c     *cli
	core  *chatcore.Core
	chat  domain.ChatID
	span  domain.Span
	limit int
	shown int // items
}

// ended says that there was nothing to show.
func (h *history) ended(things string, err error) error {
	if err != nil || h.shown > 0 || h.c.json {
		return err
	}
	_, err = fmt.Fprintf(h.c.out, "chat %s has no such %s\n", h.chat, things)
	return err
}

// paged shows as many pages as the limit takes, oldest first.
func paged[T any](
	ctx context.Context, h *history, most int,
	query func(context.Context, domain.ChatID, domain.Span) ([]T, error), seqOf func(T) domain.Seq, show func(T) error,
) error {
	span, left := h.span, h.limit
	backward := span.After == 0 && !span.First
	var kept [][]T // pages that are not shown before the oldest one is known, latest first
	for {
		span.Limit, span.Changes = most, h.span.Changes
		if h.limit > 0 {
			span.Limit = min(left, most)
		}
		page, err := query(ctx, h.chat, span)
		if err != nil {
			return err
		}
		left -= len(page)
		if backward {
			kept = append(kept, page)
		} else if err := each(page, show); err != nil {
			return err
		}
		if len(page) < span.Limit || h.limit > 0 && left == 0 {
			break
		}
		if span = (domain.Span{After: seqOf(page[len(page)-1])}); backward {
			span = domain.Span{Before: seqOf(page[0])}
		}
	}
	for _, page := range slices.Backward(kept) {
		if err := each(page, show); err != nil {
			return err
		}
	}
	return nil
}

// each shows items until one fails.
func each[T any](items []T, show func(T) error) error {
	for _, item := range items {
		if err := show(item); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) printMessage(m app.MessageView) error {
	if m.Change != nil {
		return h.printEvent(*m.Change)
	}
	h.shown++
	return h.c.print(viewOf(h.chat, m), h.c.row(messageRow(m)))
}

func messageSeq(m app.MessageView) domain.Seq { return m.Seq }

func (c *cli) audit() *cobra.Command {
	var message, user string
	var page domain.Page
	cmd := &cobra.Command{
		Use: "audit", Short: "Show the events of a chat with their actors, oldest first",
		Long: "Show the events of a chat, oldest first: all of them, those of one --message, or those by one --user and about their membership. Content that\nwas edited or deleted later is shown as well.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				h := history{c: c, chat: domain.ChatID(args[0])}
				about := domain.Audit{Message: domain.MessageID(message), User: domain.UserID(user)}
				if page == (domain.Page{}) {
					for r, err := range core.Queries.Audit(cmd.Context(), h.chat, about) {
						if err == nil {
							err = h.printEvent(r)
						}
						if err != nil {
							return err
						}
					}
					return h.ended("events", nil)
				}
				events, err := auditPage(cmd.Context(), core, h.chat, about, page)
				if err != nil {
					return err
				}
				if err := h.ended("events", each(events.Items, h.printEvent)); err != nil {
					return err
				}
				return c.printNext(events.Next)
			})
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "only events of this `MESSAGE`")
	cmd.Flags().StringVar(&user, "user", "", "only events by this `USER` and about their membership")
	_ = cmd.RegisterFlagCompletionFunc("user", c.completeUsers)
	cmd.MarkFlagsMutuallyExclusive("message", "user")
	pageFlags(cmd, &page)
	return c.takes(c.jsonFlag(cmd), chatArg)
}

// auditPage returns a page of an audit. Its cursor is the seq of its last event.
func auditPage(ctx context.Context, core *chatcore.Core, chat domain.ChatID, about domain.Audit, page domain.Page) (app.List[ports.Record], error) {
	if page.Cursor != "" {
		after, err := strconv.ParseUint(page.Cursor, 10, 64)
		if err != nil {
			return app.List[ports.Record]{}, &domain.InvalidError{Field: "cursor", Problem: fmt.Sprintf("is %.80q", page.Cursor), Allowed: "the cursor of the page before, or empty"}
		}
		about.After = domain.Seq(after)
	}
	return pageOf(page, core.Queries.Audit(ctx, chat, about), func(r ports.Record) string { return strconv.FormatUint(uint64(r.Seq), 10) })
}
