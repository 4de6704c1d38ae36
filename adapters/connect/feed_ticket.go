package connect

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// ticketLife is how long a ticket can be used.
const ticketLife = 30 * time.Second

// maxTicket is the longest ticket that is looked up, in bytes.
const maxTicket = 128

// feedTicket is what a ticket is kept as.
type feedTicket struct {
	Grant []byte        `json:"grant"` // of the caller
	Actor domain.UserID `json:"actor,omitempty"`
}

// ticketKey returns the key of a ticket: a hash, so that a reader of the names of keys cannot use tickets.
func ticketKey(ticket string) string {
	sum := sha256.Sum256([]byte(ticket))
	return "ticket:" + base64.RawURLEncoding.EncodeToString(sum[:])
}

// CreateFeedTicket keeps a ticket for the caller, bound to its credential.
func (s *feedService) CreateFeedTicket(ctx context.Context, req *v1.CreateFeedTicketRequest) (*v1.CreateFeedTicketResponse, error) {
	in := s.read(ctx)
	actor := in.feedReader(req.GetActorId())
	if in.err != nil {
		return nil, in.err
	}
	grant, err := auth.Grant(ctx)
	if err != nil {
		return nil, err
	}
	value, err := json.Marshal(feedTicket{Grant: grant, Actor: actor})
	if err != nil {
		return nil, err
	}
	ticket, expires := rand.Text(), time.Now().Add(ticketLife)
	if err := s.core.FeedState().Keep(ctx, ticketKey(ticket), value, ticketLife); err != nil {
		return nil, err
	}
	return &v1.CreateFeedTicketResponse{Ticket: ticket, ExpiresAt: timeOf(expires)}, nil
}

// takeTicket uses a ticket up. It returns a context with the caller that it was made for, and the user that the feed is for, "" if a service reads
// everything. It returns [auth.ErrUnauthenticated] for a ticket that is unknown, used or expired, or whose credential has ended.
func (s *feedService) takeTicket(ctx context.Context, ticket string) (context.Context, domain.UserID, error) {
	if ticket == "" || len(ticket) > maxTicket {
		return nil, "", auth.ErrUnauthenticated
	}
	value, found, err := s.core.FeedState().Take(ctx, ticketKey(ticket))
	if err != nil {
		return nil, "", err
	}
	var kept feedTicket
	if !found || json.Unmarshal(value, &kept) != nil {
		return nil, "", auth.ErrUnauthenticated
	}
	ctx, err = auth.Restore(ctx, kept.Grant)
	return ctx, kept.Actor, err
}
