package connect

import (
	"context"

	v1 "chatcore/gen/chatcore/v1"
)

// CreateFeedTicket returns a ticket.
func (s *feedService) CreateFeedTicket(ctx context.Context, req *v1.CreateFeedTicketRequest) (*v1.CreateFeedTicketResponse, error) {
	return nil, nil
}
