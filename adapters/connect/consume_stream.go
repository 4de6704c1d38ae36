package connect

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	rpc "connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	"chatcore/adapters/connect/auth"
	"chatcore/adapters/subscribers/pull"
	"chatcore/domain"
	consumerv1 "chatcore/gen/chatcore/consumer/v1"
)

// Bounds of a stream of Consume.
const (
	consumeHeartbeat = 15 * time.Second // without another message
	startTimeout     = 10 * time.Second // of the first message
	maxTogether      = 256              // deliveries of a message
	maxResults       = 1 << 14          // settlements whose answers are not sent yet: until then no further messages are received
	maxConsumerName  = 128              // bytes
	maxRelays        = 16               // messages whose settlements wait for other processes
)

// consumeConn is the stream of a consumer.
type consumeConn = rpc.BidiStream[consumerv1.ConsumeRequest, consumerv1.ConsumeResponse]

// consumeStream is one stream of Consume. The handler's goroutine sends, another one receives.
type consumeStream struct {
	*calls
	group    string
	consumer *pull.Consumer
	conn     *consumeConn
	writer   *streamWriter
	open     *openStream

	wake     chan struct{} // there are results
	received chan error    // how the receiving has ended: io.EOF if the consumer has ended its side
	relays   sync.WaitGroup
	relaying chan struct{} // has an element for each message whose settlements wait for other processes

	mu      sync.Mutex
	results []*consumerv1.SettleResult // mu guards; of settlements, not sent yet
	room    *sync.Cond                 // of mu: results have been sent, or the stream ends
	ended   bool                       // mu guards
}

// Consume serves the stream of a consumer until the consumer ends its side, or the stream ends with an error.
func (s *consumerService) Consume(ctx context.Context, conn *consumeConn) error {
	stream := &consumeStream{
		calls: s.calls, conn: conn, writer: streamWriterOf(ctx), open: openStreamOf(ctx),
		wake: make(chan struct{}, 1), received: make(chan error, 1), relaying: make(chan struct{}, maxRelays),
	}
	stream.room = sync.NewCond(&stream.mu)
	request, err := stream.begin(ctx)
	if err != nil {
		return err
	}
	if stream.consumer, err = s.core.Consumers().Consume(ctx, request); err != nil {
		return inMessage("start", err)
	}
	go func() { stream.received <- stream.receive(ctx) }()
	err = stream.serve(ctx)
	stream.stop()
	return err
}

// begin receives the first message.
func (s *consumeStream) begin(ctx context.Context) (pull.Request, error) {
	_ = s.writer.control.SetReadDeadline(time.Now().Add(startTimeout)) // a writer without deadlines is one of a test
	first, err := s.conn.Receive()
	if err != nil {
		if ctx.Err() == nil && !isOwn(err) {
			return pull.Request{}, noStart("is missing")
		}
		return pull.Request{}, err
	}
	_ = s.writer.control.SetReadDeadline(time.Time{})
	start := first.GetStart()
	if start == nil {
		return pull.Request{}, noStart("is not the first message")
	}
	request, err := requestOf(ctx, start)
	if err != nil {
		return pull.Request{}, inMessage("start", err)
	}
	s.group = request.Group
	s.open.narrow(auth.ScopeConsume(s.group))
	return request, nil
}

// requestOf returns the request of a consumer that may consume the group. Its errors name fields of start.
func requestOf(ctx context.Context, start *consumerv1.ConsumeStart) (pull.Request, error) {
	if err := mayConsume(ctx, start.GetGroup()); err != nil {
		return pull.Request{}, err
	}
	credit, err := creditOf("credit", start.GetCredit(), pull.MaxCredit)
	if err != nil {
		return pull.Request{}, err
	}
	lease, err := leaseOf("lease", start.GetLease(), pull.DefaultLease)
	if err != nil {
		return pull.Request{}, err
	}
	if n := len(start.GetConsumer()); n > maxConsumerName {
		return pull.Request{}, &domain.InvalidError{Field: "consumer", Problem: fmt.Sprintf("has %d bytes", n), Allowed: fmt.Sprintf("at most %d", maxConsumerName)}
	}
	return pull.Request{Group: start.GetGroup(), Credit: credit, Lease: lease, Name: start.GetConsumer()}, nil
}

func noStart(problem string) error {
	return &domain.InvalidError{Field: "start", Problem: problem, Allowed: fmt.Sprintf("the first message, within %v", startTimeout)}
}

// isOwn reports whether an error is about what a message says, and not about the connection.
func isOwn(err error) bool {
	_, coded := errors.AsType[*rpc.Error](err)
	return errors.Is(err, domain.ErrInvalid) || coded && rpc.CodeOf(err) == rpc.CodeResourceExhausted
}

// serve sends until the stream ends. The consumer is closed afterwards.
func (s *consumeStream) serve(ctx context.Context) error {
	defer s.consumer.Break() // unless it was closed
	started := &consumerv1.ConsumeStarted{LogId: s.core.LogID(), Lease: durationpb.New(s.consumer.Lease())}
	if err := s.send(&consumerv1.ConsumeResponse{Message: &consumerv1.ConsumeResponse_Started{Started: started}}); err != nil {
		return err
	}
	silence := cmp.Or(s.config.heartbeat, consumeHeartbeat)
	heartbeat := time.NewTimer(silence)
	defer heartbeat.Stop()
	draining, drained := s.open.drained, (<-chan time.Time)(nil)
	for {
		sent, err := s.sendReady()
		if err != nil {
			return err
		}
		if sent {
			heartbeat.Reset(silence)
		}
		if drained != nil && s.consumer.IsSettled() {
			return s.end(errEnding)
		}
		select {
		case <-s.consumer.Ready():
		case <-s.wake:
		case <-heartbeat.C:
			err = s.send(&consumerv1.ConsumeResponse{Message: &consumerv1.ConsumeResponse_Heartbeat{Heartbeat: &consumerv1.Heartbeat{}}})
			heartbeat.Reset(silence)
		case received := <-s.received:
			return s.lastReceived(received)
		case <-draining:
			draining = nil
			drained = time.After(s.consumer.Finish())
		case <-drained:
			return s.end(errEnding)
		case <-ctx.Done():
			return s.canceled(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// end closes the consumer, which returns its deliveries without an attempt, and returns why.
func (s *consumeStream) end(why error) error {
	s.consumer.Close()
	s.writer.hurry()
	if _, err := s.sendResults(); err != nil {
		return err
	}
	return why
}

// canceled ends a stream whose context has ended: by the server, or because the client is gone. Then what was received last says how.
func (s *consumeStream) canceled(ctx context.Context) error {
	if cause, own := errors.AsType[*callError](context.Cause(ctx)); own {
		return s.end(cause)
	}
	_ = s.writer.control.SetReadDeadline(time.Now().Add(endTimeout))
	if errors.Is(<-s.received, io.EOF) {
		s.consumer.Close()
	}
	s.received <- io.EOF
	return ctx.Err()
}

// lastReceived ends a stream that receives nothing more.
func (s *consumeStream) lastReceived(received error) error {
	defer func() { s.received <- io.EOF }()
	if !errors.Is(received, io.EOF) {
		return received
	}
	s.consumer.Close()
	s.relays.Wait()
	_, err := s.sendResults()
	return err
}

// stop ends the receiving of a stream that sends nothing more.
func (s *consumeStream) stop() {
	s.mu.Lock()
	s.ended = true
	s.room.Broadcast()
	s.mu.Unlock()
	_ = s.writer.control.SetReadDeadline(time.Unix(1, 0))
	<-s.received //nolint:errcheck // the stream ends with another error
	s.relays.Wait()
}

// sendReady sends what is ready: deliveries, and answers to settlements. It reports whether there was something.
func (s *consumeStream) sendReady() (sent bool, err error) {
	taken, err := s.consumer.Take(nil, maxTogether)
	if err != nil {
		_, _ = s.sendResults()
		return false, err
	}
	s.writer.hold()
	defer func() {
		if failed := s.writer.release(); failed != nil && err == nil {
			err = errClientGone
		}
	}()
	if sent, err = s.sendResults(); err != nil {
		return false, err
	}
	if len(taken) == 0 {
		return sent, nil
	}
	var out output
	deliveries := &consumerv1.Deliveries{Deliveries: each(taken, out.delivery)}
	if out.err != nil {
		return false, out.err
	}
	return true, s.send(&consumerv1.ConsumeResponse{Message: &consumerv1.ConsumeResponse_Deliveries{Deliveries: deliveries}})
}

// sendResults sends the answers to settlements, if there are some.
func (s *consumeStream) sendResults() (sent bool, err error) {
	s.mu.Lock()
	results := s.results
	s.results = nil
	s.room.Broadcast()
	s.mu.Unlock()
	if len(results) == 0 {
		return false, nil
	}
	return true, s.send(&consumerv1.ConsumeResponse{Message: &consumerv1.ConsumeResponse_Settled{Settled: &consumerv1.SettleResults{Results: results}}})
}

func (s *consumeStream) send(m *consumerv1.ConsumeResponse) error { return s.conn.Send(m) }

// receive takes messages of the consumer until there are no more. It returns io.EOF if the consumer has ended its side.
func (s *consumeStream) receive(ctx context.Context) error {
	for {
		m, err := s.conn.Receive()
		if err != nil {
			return err
		}
		switch m := m.GetMessage().(type) {
		case *consumerv1.ConsumeRequest_Settle:
			err = inMessage("settle", s.settle(ctx, m.Settle))
		case *consumerv1.ConsumeRequest_Credit:
			err = inMessage("credit", s.setCredit(m.Credit.GetCredit()))
		case *consumerv1.ConsumeRequest_Start:
			err = &domain.InvalidError{Field: "start", Problem: "comes again", Allowed: "one, as the first message"}
		default:
			err = &domain.InvalidError{Field: "message", Problem: "is not set", Allowed: "settle, credit"}
		}
		if err != nil {
			return err
		}
	}
}

func (s *consumeStream) setCredit(credit uint32) error {
	if credit > pull.MaxCredit {
		return &domain.InvalidError{Field: "credit", Problem: fmt.Sprintf("is %d", credit), Allowed: fmt.Sprintf("at most %d", pull.MaxCredit)}
	}
	s.consumer.SetCredit(int(credit))
	return nil
}

// settle settles deliveries. Those of other processes are settled beside the others.
func (s *consumeStream) settle(ctx context.Context, m *consumerv1.Settlements) error {
	settlements, err := settlementsOf(m.GetSettlements())
	if err != nil {
		return err
	}
	if s.core.Consumers().IsHere(settlements) {
		statuses, err := s.core.Consumers().Settle(ctx, s.group, settlements)
		s.answer(settlements, statuses)
		return err
	}
	select {
	case s.relaying <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	s.relays.Go(func() {
		statuses, err := s.core.Consumers().Settle(ctx, s.group, settlements)
		<-s.relaying
		if err == nil || errors.Is(err, pull.ErrUnanswered) {
			s.answer(settlements, statuses)
			return
		}
		s.open.end(&callError{rpc.CodeInvalidArgument, "invalid", inMessage("settle", err).Error()})
	})
	return nil
}

// answer has the answers to settlements sent. It waits while too many are not sent.
func (s *consumeStream) answer(settlements []pull.Settlement, statuses []pull.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.results) > maxResults && !s.ended {
		s.room.Wait()
	}
	s.results = append(s.results, resultsOf(settlements[:len(statuses)], statuses)...)
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
