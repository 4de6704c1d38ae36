package main

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

func (c *cli) chatList() *cobra.Command {
	var user string
	var page domain.Page
	filter := app.ChatFilter{Messages: true}
	cmd := &cobra.Command{
		Use: "list", Short: "List all chats, or those of a user", Args: cobra.NoArgs,
		Long: "List the ids of all chats, in no particular order. With --user, list the chats that the user is in with title, role, unread count and last\n" +
			"message, the chat with the latest message first, as far as a running \"core serve\" has projected them, without those that the user has hidden.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(core *chatcore.Core) error {
				if cmd.Flags().Changed("user") {
					return c.printChatsOf(cmd.Context(), core, domain.UserID(user), filter, page)
				}
				return c.printChats(cmd.Context(), core, page)
			})
		},
	}
	cmd.Flags().StringVar(&user, "user", "", "list only the chats that this `USER` is in")
	cmd.Flags().BoolVar(&filter.Favourite, "favourite", false, "with --user: only favourites")
	cmd.Flags().BoolVar(&filter.Unread, "only-unread", false, "with --user: only chats with unread messages")
	cmd.Flags().BoolVar(&filter.Hidden, "hidden", false, "with --user: only hidden chats")
	cmd.Flags().StringSliceVar(&filter.Metadata, "metadata", nil, "with --user and --json: values of these `KEYS` of metadata, at most 8")
	pageFlags(cmd, &page)
	return c.jsonFlag(cmd)
}

func (c *cli) printChats(ctx context.Context, core *chatcore.Core, page domain.Page) error {
	chats, err := pageOrAll(ctx, page, core.Queries.ChatPage, core.Queries.Chats)
	if err != nil {
		return err
	}
	l := c.list("there are no chats", "CHAT")
	for _, chat := range chats.Items {
		view := struct {
			ChatID domain.ChatID `json:"chatId"`
		}{chat}
		if err := l.add(view, string(chat)); err != nil {
			return err
		}
	}
	return l.endPage(chats.Next)
}

// listedChatView is a chat of a user's list.
type listedChatView struct {
	ChatID   domain.ChatID  `json:"chatId"`
	UserID   domain.UserID  `json:"userId"` // whose list it is
	Title    domain.Title   `json:"title"`
	Archived bool           `json:"archived,omitempty"`
	Role     string         `json:"role"`
	JoinedAt time.Time      `json:"joinedAt"`
	Unread   domain.Ordinal `json:"unread"`
	LastAt   time.Time      `json:"lastAt"`
	Last     *messageView   `json:"lastMessage,omitempty"`

	Kind       string        `json:"kind"`
	PeerID     domain.UserID `json:"peerId,omitempty"`
	Favourite  bool          `json:"favourite,omitempty"`
	Hidden     bool          `json:"hidden,omitempty"`
	Notify     string        `json:"notify"`
	MutedUntil time.Time     `json:"mutedUntil,omitzero"`
	Mentions   int           `json:"mentions"`

	Metadata map[string]json.RawMessage `json:"metadata,omitempty"`
}

func (c *cli) printChatsOf(ctx context.Context, core *chatcore.Core, user domain.UserID, filter app.ChatFilter, page domain.Page) error {
	list := func(ctx context.Context, page domain.Page) (app.List[app.ListedChat], error) {
		return core.Queries.FilteredChatList(ctx, user, filter, page)
	}
	chats, err := pageOrAll(ctx, page, list, func(ctx context.Context) (all []app.ListedChat, err error) {
		for page := (domain.Page{Limit: app.MaxList}); ; {
			chats, err := list(ctx, page)
			if err != nil {
				return nil, err
			}
			all = append(all, chats.Items...)
			if page.Cursor = chats.Next; page.Cursor == "" {
				return all, nil
			}
		}
	})
	if err != nil {
		return err
	}
	l := c.list(string(user)+" is in no chats", "CHAT", "TITLE", "ROLE", "UNREAD", "MENTIONS", "LAST", "MESSAGE")
	for _, chat := range chats.Items {
		view := listedChatView{
			ChatID: chat.ID, UserID: user, Title: chat.Title, Archived: chat.Archived, Role: chat.Role.String(), JoinedAt: chat.JoinedAt, Unread: chat.Unread, LastAt: chat.LastAt,
			Kind: chat.Kind.String(), PeerID: chat.Peer, Favourite: chat.Favourite, Hidden: chat.Hidden, Notify: chat.Notify.String(), MutedUntil: chat.MutedUntil,
			Mentions: chat.Mentions, Metadata: rawValues(chat.Metadata),
		}
		if chat.Last != nil {
			last := viewOf(chat.ID, *chat.Last)
			view.Last = &last
		}
		title := string(chat.Title)
		if chat.Archived {
			title += " (archived)"
		}
		err := l.add(view, string(chat.ID), title, view.Role, strconv.FormatUint(uint64(chat.Unread), 10), strconv.Itoa(chat.Mentions), chat.LastAt.Format(minutes), preview(chat.Last))
		if err != nil {
			return err
		}
	}
	return l.endPage(chats.Next)
}

// preview is the beginning of a message in one line.
func preview(m *app.MessageView) string {
	const most = 40 // characters
	if m == nil {
		return ""
	}
	row := messageRow(*m)
	text := []rune(strings.Join(strings.Fields(row.Text), " "))
	if len(text) > most {
		text = append(text[:most:most], '…')
	}
	return row.Prefix + string(text)
}

// rawValues returns values of metadata as JSON.
func rawValues(values map[string]domain.JSON) map[string]json.RawMessage {
	raw := make(map[string]json.RawMessage, len(values))
	for key, value := range values {
		raw[key] = json.RawMessage(value)
	}
	return raw
}
