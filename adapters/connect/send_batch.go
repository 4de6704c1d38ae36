package connect

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

const (
	maxBatch      = 256 // messages of one SendMessages
	parallelChats = 16  // of one SendMessages, whose messages are sent at the same time
)

// SendMessages sends the messages of each chat in the order given, and the chats side by side.
func (s *messageService) SendMessages(ctx context.Context, req *v1.SendMessagesRequest) (*v1.SendMessagesResponse, error) {
	messages := req.GetMessages()
	if len(messages) == 0 || len(messages) > maxBatch {
		return nil, &domain.InvalidError{Field: "messages", Problem: fmt.Sprintf("has %d messages", len(messages)), Allowed: fmt.Sprintf("1 to %d", maxBatch)}
	}
	for i, m := range messages { // the ids make it safe to give the whole batch again
		if _, err := domain.ParseMessageID(m.GetMessageId()); err != nil {
			return nil, inField(fmt.Sprintf("messages[%d].message_id", i), err)
		}
	}
	results := make([]*v1.SendResult, len(messages))
	slots := make(chan struct{}, parallelChats)
	var sending sync.WaitGroup
	for _, places := range placesByChat(messages) {
		slots <- struct{}{}
		sending.Go(func() {
			defer func() { <-slots }()
			s.sendInOrder(ctx, messages, places, results)
		})
	}
	sending.Wait()
	return &v1.SendMessagesResponse{Results: results}, nil
}

// placesByChat returns the places of each chat's messages, in their order; the chats are in the order of their first messages.
func placesByChat(messages []*v1.SendMessageRequest) [][]int {
	var places [][]int
	of := make(map[string]int)
	for i, m := range messages {
		n, known := of[m.GetChatId()]
		if !known {
			n = len(places)
			of[m.GetChatId()] = n
			places = append(places, nil)
		}
		places[n] = append(places[n], i)
	}
	return places
}

// sendInOrder sends the messages of one chat, up to the first that fails, and sets the results at their places.
func (s *messageService) sendInOrder(ctx context.Context, messages []*v1.SendMessageRequest, places []int, results []*v1.SendResult) {
	failed := false
	for _, i := range places {
		err := error(errNotTried)
		var sent *v1.SendMessageResponse
		if !failed {
			sent, err = s.sendOne(ctx, messages[i])
		}
		if err == nil {
			results[i] = &v1.SendResult{Outcome: &v1.SendResult_Sent{Sent: sent}}
			continue
		}
		f := failureOf(ctx, s.config.Logger, method{name: sendMessages}, s.config.shown(err))
		if errors.Is(err, errNotTried) { // also if the call has ended meanwhile
			f = failureOf(context.WithoutCancel(ctx), s.config.Logger, method{name: sendMessages}, err)
		}
		failed = true
		results[i] = &v1.SendResult{Outcome: &v1.SendResult_Error{Error: &v1.SendError{Code: f.code.String(), Message: f.text, Detail: f.detail}}}
	}
}

const sendMessages = "chatcore.v1.MessageService.SendMessages"

// sendOne sends one message of a batch. A panic becomes its error: the goroutine is not that of the call.
func (s *messageService) sendOne(ctx context.Context, req *v1.SendMessageRequest) (sent *v1.SendMessageResponse, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = panicError(r)
		}
	}()
	in := s.read(ctx)
	cmd := in.send(req)
	cmd.MessageID = in.message("message_id", req.GetMessageId())
	if in.err != nil {
		return nil, in.err
	}
	return s.send(ctx, cmd)
}
