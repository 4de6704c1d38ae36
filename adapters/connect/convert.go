package connect

import (
	"fmt"
	"math"
	"slices"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"chatcore/app"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// output converts results to messages of the API. It keeps the first error: a number that the API cannot show.
type output struct{ err error }

// answer returns a response, or the error of its conversion.
func answer[T any](o *output, response *T) (*T, error) {
	if o.err != nil {
		return nil, o.err
	}
	return response, nil
}

// seq returns a seq. A chat that has more events than the API can number gives an error with the code out_of_range.
func (o *output) seq(seq domain.Seq) uint32 { return o.number("seq", uint64(seq)) }

// number returns a count or a place that must fit into 32 bits.
func (o *output) number(name string, n uint64) uint32 {
	if n <= math.MaxUint32 {
		return uint32(n)
	}
	if o.err == nil {
		o.err = &callError{rpc.CodeOutOfRange, "number_range", fmt.Sprintf("%s %d is beyond %d, the last one that the API can show; what the call asked for was done", name, n, uint32(math.MaxUint32))}
	}
	return math.MaxUint32
}

// timeOf returns a time, or nil for the zero time.
func timeOf(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func texts[T ~string](list []T) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = string(v)
	}
	return out
}

func (o *output) result(done app.Done) *v1.CommandResult {
	return &v1.CommandResult{Seq: o.seq(done.Seq), Changed: done.Changed, Duplicate: done.Duplicate}
}

func chatOf(c domain.Chat) *v1.Chat {
	owners := make([]string, 0, len(c.Owners))
	for user := range c.Owners {
		owners = append(owners, string(user))
	}
	slices.Sort(owners)
	return &v1.Chat{
		Id: string(c.ID), Title: string(c.Title), Archived: c.Archived, CreatedBy: string(c.CreatedBy), CreatedAt: timeOf(c.CreatedAt), OwnerIds: owners,
		Kind: chatKinds.of(c.Kind), ParticipantIds: participantsOf(c), Visibility: visibilities.of(max(c.Visibility, domain.Private)), Permissions: permissionsOf(c.Permissions),
	}
}

func (o *output) member(m domain.Member) *v1.Member {
	return &v1.Member{UserId: string(m.User), Role: roles.of(m.Role), SinceSeq: o.seq(m.Since), JoinedAt: timeOf(m.JoinedAt)}
}

func (o *output) listedChat(c app.ListedChat) *v1.ListedChat {
	listed := &v1.ListedChat{
		Id: string(c.ID), Title: string(c.Title), Archived: c.Archived, Role: roles.of(c.Role), JoinedAt: timeOf(c.JoinedAt),
		Unread: o.number("unread", uint64(c.Unread)), LastAt: timeOf(c.LastAt), Kind: chatKinds.of(c.Kind), PeerId: string(c.Peer),
		Favourite: c.Favourite, Hidden: c.Hidden, Notify: notifyLevels.of(c.Notify), MutedUntil: timeOf(c.MutedUntil),
		Mentions: o.number("mentions", uint64(c.Mentions)), Preview: o.preview(c.Preview), Metadata: valuesOf(c.Metadata), //nolint:gosec // not negative
	}
	if c.Last != nil {
		listed.LastMessage = o.message(*c.Last)
	}
	return listed
}

func (o *output) preview(p ports.LastPreview) *v1.MessagePreview {
	if p.Seq == 0 {
		return nil
	}
	return &v1.MessagePreview{
		MessageId: string(p.Message), Seq: o.seq(p.Seq), SenderId: string(p.Sender), SentAt: timeOf(p.At), Text: p.Preview,
		Attachments: o.number("attachments", uint64(p.Attachments)), Deleted: p.Deleted, //nolint:gosec // not negative
	}
}

func (o *output) message(m app.MessageView) *v1.Message {
	view := &v1.Message{
		Id: string(m.ID), ChatId: string(m.Chat), Seq: o.seq(m.Seq), SenderId: string(m.Sender), Content: string(m.Content),
		ReplyTo: string(m.ReplyTo), ReplyDeleted: m.ReplyDeleted, Mentions: texts(m.Mentions), Attachments: attachmentsOf(m.Attachments),
		ClientMeta: string(m.ClientMeta), SentAt: timeOf(m.SentAt), Revision: o.number("revision", uint64(m.Revision)), EditedAt: timeOf(m.EditedAt),
		DeletedAt: timeOf(m.DeletedAt), DeletedBy: string(m.DeletedBy), DeleteReason: string(m.Reason), Unreadable: m.Unreadable != nil, Erased: m.Erased,
		ThreadId: string(m.Thread), InChat: m.InChat, Broadcast: broadcasts.of(m.Broadcast), Thread: o.threadSummary(m.Summary),
		PinnedAt: timeOf(m.PinnedAt), PinnedBy: string(m.PinnedBy),
	}
	for _, g := range m.Reactions {
		view.Reactions = append(view.Reactions, &v1.ReactionGroup{Emoji: string(g.Emoji), UserIds: texts(g.Users)})
	}
	return view
}

func attachmentsOf(list []domain.Attachment) []*v1.Attachment {
	var out []*v1.Attachment
	for _, a := range list {
		out = append(out, &v1.Attachment{Name: a.Name, Type: a.Type, Size: a.Size, Url: a.URL})
	}
	return out
}

// parseAttachments returns attachments, which the domain checks. nil stays nil.
func parseAttachments(list []*v1.Attachment) []domain.Attachment {
	if list == nil {
		return nil
	}
	out := make([]domain.Attachment, len(list))
	for i, a := range list {
		out[i] = domain.Attachment{Name: a.GetName(), Type: a.GetType(), Size: a.GetSize(), URL: a.GetUrl()}
	}
	return out
}
