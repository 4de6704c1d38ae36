package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) history() *cobra.Command {
	var raw bool
	var before, after, at uint64
	var limit int
	cmd := &cobra.Command{
		Use: "history CHAT", Short: "Show a chat's messages as they are now, or with --raw its events", Args: cobra.ExactArgs(1),
		Long: "Show a chat's messages as they are now, or with --raw its events, oldest first: the last ones, those --before a seq, or those\n--after it. --limit 0 shows all of that direction.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				h := history{c: c, core: core, chat: domain.ChatID(args[0]), limit: limit}
				h.span = app.Span{Before: domain.Seq(before), After: domain.Seq(after), First: cmd.Flags().Changed("after") && after == 0}
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
				if raw {
					return paged(cmd.Context(), &h, app.MaxEvents, queries.Events, eventSeq, h.printEvent)
				}
				return paged(cmd.Context(), &h, app.MaxHistory, queries.History, messageSeq, h.printMessage)
			})
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "the events of the log instead of the messages")
	cmd.Flags().Uint64Var(&before, "before", 0, "only below this seq")
	cmd.Flags().Uint64Var(&after, "after", 0, "only above this seq")
	cmd.Flags().Uint64Var(&at, "at", 0, "as the chat was at this seq")
	cmd.Flags().IntVar(&limit, "limit", 0, "how many at most; 0 is all")
	cmd.MarkFlagsMutuallyExclusive("before", "after")
	return c.jsonFlag(cmd)
}

type history struct {
	c     *cli
	core  *chatcore.Core
	chat  domain.ChatID
	span  app.Span
	limit int
}

// paged shows as many pages as the limit takes, oldest first.
func paged[T any](
	ctx context.Context, h *history, most int,
	query func(context.Context, domain.ChatID, app.Span) ([]T, error), seqOf func(T) domain.Seq, show func(T) error,
) error {
	span, left := h.span, h.limit
	backward := span.After == 0 && !span.First
	var kept []T // backwards: until the oldest is known
	for {
		span.Limit = most
		if h.limit > 0 {
			span.Limit = min(left, most)
		}
		page, err := query(ctx, h.chat, span)
		if err != nil {
			return err
		}
		left -= len(page)
		if backward {
			kept = append(kept, page...)
		} else {
			for _, item := range page {
				if err := show(item); err != nil {
					return err
				}
			}
		}
		if len(page) < span.Limit || h.limit > 0 && left == 0 {
			break
		}
		last := seqOf(page[len(page)-1])
		if span = (app.Span{After: last}); backward {
			span = app.Span{Before: last}
		}
	}
	slices.Reverse(kept)
	for _, item := range kept {
		if err := show(item); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) printMessage(m app.MessageView) error {
	return h.c.print(viewOf(m), h.c.row(messageRow(m)))
}

func messageSeq(m app.MessageView) domain.Seq { return m.Seq }

func (c *cli) audit() *cobra.Command {
	var message, user string
	cmd := &cobra.Command{
		Use: "audit CHAT", Short: "Show who did what in a chat, oldest first", Args: cobra.ExactArgs(1),
		Long: "Show who did what in a chat, oldest first: all of it, what was done to one --message, or what one --user did and had done to\ntheir membership. It tells what was edited or deleted later too.",
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				h := history{c: c}
				about := app.Audit{Message: domain.MessageID(message), User: domain.UserID(user)}
				for r, err := range core.Queries.Audit(cmd.Context(), domain.ChatID(args[0]), about) {
					if err == nil {
						err = h.printEvent(r)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&message, "message", "", "only what was done to this message")
	cmd.Flags().StringVar(&user, "user", "", "only what this user did, and had done to their membership")
	cmd.MarkFlagsMutuallyExclusive("message", "user")
	return c.jsonFlag(cmd)
}

func (c *cli) unread() *cobra.Command {
	var chat, user string
	cmd := &cobra.Command{
		Use: "unread", Short: "Count the messages that a user has not read, in one chat or in each", Args: cobra.NoArgs,
		Long: "Count the messages that a user has not read: in one chat or, without --chat, in each chat that the user is in, as far as a running\n\"core serve\" has projected them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if !cmd.Flags().Changed("chat") {
					return c.unreadOf(cmd.Context(), core, domain.UserID(user))
				}
				n, err := core.Queries.Unread(cmd.Context(), domain.ChatID(chat), domain.UserID(user))
				if err != nil {
					return err
				}
				return c.print(map[string]domain.Ordinal{"unread": n}, fmt.Sprint(n))
			})
		},
	}
	cmd.Flags().StringVar(&chat, "chat", "", "chat id")
	cmd.Flags().StringVar(&user, "user", "", "whose")
	_ = cmd.MarkFlagRequired("user")
	return c.jsonFlag(cmd)
}

func (c *cli) unreadOf(ctx context.Context, core *chatcore.Core, user domain.UserID) error {
	counts, err := core.Queries.UnreadOf(ctx, user)
	if err != nil {
		return err
	}
	for _, chat := range slices.Sorted(maps.Keys(counts)) {
		view := struct {
			ChatID domain.ChatID  `json:"chatId"`
			Unread domain.Ordinal `json:"unread"`
		}{chat, counts[chat]}
		if err := c.print(view, fmt.Sprintf("%8d  %s", counts[chat], chat)); err != nil {
			return err
		}
	}
	return nil
}
