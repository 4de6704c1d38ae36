package consume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	consumerv1 "chatcore/gen/chatcore/consumer/v1"
)

// silence is how long a server may send nothing: it sends a heartbeat every 15 seconds.
const silence = 45 * time.Second

// maxTogether is the most settlements of a message.
const maxTogether = 1024

var (
	errSilent = errors.New("the server has sent nothing for 45 seconds")
	errLost   = errors.New("the delivery is not this consumer's any more")
	errDrain  = errors.New("the drain is over")
)

// session is one stream, and the handlers of its deliveries.
type session struct {
	config Config
	handle Handler
	wake   chan struct{} // there is something to send
	work   chan *consumerv1.Delivery

	handlers sync.WaitGroup

	mu sync.Mutex
	// mu guards all below.
	logID     string
	workers   int
	idle      int                                // workers that wait
	running   map[string]context.CancelCauseFunc // of handlers, by token
	finished  map[string]Delivery                // settled, without an answer, by token; nil unless Stale is set
	extending map[string]int                     // extensions without an answer, by token
	unsettled []*consumerv1.Settlement           // not sent yet
	awaited   int                                // settlements that were sent and have no answer yet
	lost      bool                               // the stream is broken: nothing can be settled
}

func newSession(c Config, handle Handler) *session {
	s := &session{
		config: c, handle: handle, wake: make(chan struct{}, 1), work: make(chan *consumerv1.Delivery, c.Credit), running: make(map[string]context.CancelCauseFunc, c.Credit),
		extending: make(map[string]int),
	}
	if c.Stale != nil {
		s.finished = make(map[string]Delivery)
	}
	return s
}

// worked reports whether the stream began.
func (s *session) worked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logID != ""
}

// run consumes over one stream until it ends, or ctx ends and everything is settled. It returns when no handler runs.
func (s *session) run(ctx context.Context, url string) error {
	base := context.WithoutCancel(ctx)
	streaming, end := context.WithCancelCause(base)
	defer end(nil)
	handling, stop := context.WithCancelCause(base)
	defer stop(nil)
	conn := s.config.open(streaming, url)
	start := &consumerv1.ConsumeStart{Group: s.config.Group, Credit: uint32(s.config.Credit), Lease: durationpb.New(s.config.Lease), Consumer: s.config.Name} //nolint:gosec // checked
	if err := conn.Send(&consumerv1.ConsumeRequest{Message: &consumerv1.ConsumeRequest_Start{Start: start}}); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	watchdog := time.AfterFunc(silence, func() { end(errSilent) })
	defer watchdog.Stop()
	received := make(chan error, 1)
	go func() {
		received <- s.receive(handling, conn, func() { watchdog.Reset(silence) })
		s.notify()
	}()
	err := s.send(ctx, conn, received, stop)
	s.mu.Lock()
	s.lost = true
	s.mu.Unlock()
	stop(errLost)
	end(nil)
	close(s.work)
	s.handlers.Wait()
	if cause := context.Cause(streaming); errors.Is(cause, errSilent) {
		err = cause
	}
	return err
}

// send sends settlements until the receiving ends, or ctx has ended and everything is settled. Then it ends the stream. The receiving has ended afterwards.
func (s *session) send(ctx context.Context, conn *stream, received chan error, stop context.CancelCauseFunc) error {
	extend := time.NewTicker(s.config.Lease / 3)
	defer extend.Stop()
	stopped, drained := ctx.Done(), (<-chan time.Time)(nil)
	for {
		if err := s.flush(conn); err != nil {
			stop(errLost)
			return <-received // it says why
		}
		if drained != nil && s.isSettled() {
			return s.close(conn, received)
		}
		select {
		case <-s.wake:
		case <-extend.C:
			s.extend()
		case err := <-received:
			return err
		case <-stopped:
			stopped, drained = nil, time.After(s.config.Drain)
			if err := conn.Send(&consumerv1.ConsumeRequest{Message: &consumerv1.ConsumeRequest_Credit{Credit: &consumerv1.Credit{}}}); err != nil {
				return <-received
			}
		case <-drained:
			stop(errDrain)
			return s.close(conn, received)
		}
	}
}

// close ends the stream in order: deliveries that are not settled are returned without an attempt.
func (s *session) close(conn *stream, received chan error) error {
	if err := conn.CloseRequest(); err != nil {
		return <-received
	}
	timer := time.NewTimer(silence)
	defer timer.Stop()
	select {
	case err := <-received:
		return err
	case <-timer.C:
		return errSilent
	}
}

// isSettled reports whether no handler runs and each settlement has its answer.
func (s *session) isSettled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.running) == 0 && len(s.unsettled) == 0 && s.awaited == 0
}

// flush sends the settlements that are not sent yet.
func (s *session) flush(conn *stream) error {
	for {
		s.mu.Lock()
		part := s.unsettled
		if len(part) > maxTogether {
			part = part[:maxTogether:maxTogether]
		}
		s.unsettled = s.unsettled[len(part):]
		if len(s.unsettled) == 0 {
			s.unsettled = nil
		}
		s.awaited += len(part)
		s.mu.Unlock()
		if len(part) == 0 {
			return nil
		}
		settle := &consumerv1.ConsumeRequest_Settle{Settle: &consumerv1.Settlements{Settlements: part}}
		if err := conn.Send(&consumerv1.ConsumeRequest{Message: settle}); err != nil {
			return err
		}
	}
}

// extend has the leases of all running handlers extended.
func (s *session) extend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for token := range s.running {
		s.unsettled = append(s.unsettled, extension(token))
		s.extending[token]++
	}
}

// receive takes the messages of the server until the stream ends. It returns nil if the stream has ended in order.
func (s *session) receive(ctx context.Context, conn *stream, heard func()) error {
	defer func() { _ = conn.CloseResponse() }()
	for {
		m, err := conn.Receive()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		heard()
		switch m := m.GetMessage().(type) {
		case *consumerv1.ConsumeResponse_Started:
			s.mu.Lock()
			s.logID = m.Started.GetLogId()
			s.mu.Unlock()
		case *consumerv1.ConsumeResponse_Deliveries:
			s.begin(ctx, m.Deliveries.GetDeliveries())
		case *consumerv1.ConsumeResponse_Settled:
			s.answered(m.Settled.GetResults())
		}
	}
}

// begin has deliveries handled, each by a worker.
func (s *session) begin(ctx context.Context, deliveries []*consumerv1.Delivery) {
	for _, d := range deliveries {
		select {
		case s.work <- d:
		case <-ctx.Done():
			return
		}
		s.mu.Lock()
		s.idle--
		another := s.idle < 0 && s.workers < s.config.Credit
		if another {
			s.workers++
			s.idle++
		}
		s.mu.Unlock()
		if another {
			s.handlers.Go(func() { s.workUntilClosed(ctx) })
		}
	}
}

// workUntilClosed handles deliveries until there are no more.
func (s *session) workUntilClosed(ctx context.Context) {
	for d := range s.work {
		s.handleOne(ctx, d)
	}
}

// handleOne calls the handler with a delivery, and settles it.
func (s *session) handleOne(ctx context.Context, from *consumerv1.Delivery) {
	token := from.GetToken()
	own, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.mu.Lock()
	d := Delivery{
		Event: from.GetEvent(), LogID: s.logID, Ordinal: from.GetOrdinal(), Attempt: int(from.GetAttempt()), Redelivered: from.GetRedelivered(),
		Epoch: from.GetEpoch(), AppendedAt: from.GetAppendedAt().AsTime(), token: token,
	}
	if s.lost || ctx.Err() != nil {
		s.idle++
		s.mu.Unlock()
		return
	}
	s.running[token] = cancel
	s.mu.Unlock()
	err := s.call(own, d)
	s.mu.Lock()
	delete(s.running, token)
	s.idle++
	if ctx.Err() == nil || err == nil && !s.lost { // a handler that was canceled says nothing about the event
		s.unsettled = append(s.unsettled, settlementOf(token, err))
		if s.finished != nil {
			s.finished[token] = d
		}
	}
	s.mu.Unlock()
	s.notify()
}

// call calls the handler. A panic is an error.
func (s *session) call(ctx context.Context, d Delivery) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the handler panicked: %v", r)
		}
	}()
	return s.handle(ctx, d)
}

// notify wakes the sender.
func (s *session) notify() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// answered takes the answers to settlements.
func (s *session) answered(results []*consumerv1.SettleResult) {
	var stale []Delivery
	s.mu.Lock()
	s.awaited -= len(results)
	for _, r := range results {
		token, done := r.GetToken(), r.GetStatus() == consumerv1.SettleStatus_SETTLE_STATUS_DONE
		if n := s.extending[token]; n > 0 { // answers come in the order of the settlements
			if n == 1 {
				delete(s.extending, token)
			} else {
				s.extending[token] = n - 1
			}
			if cancel := s.running[token]; cancel != nil && !done {
				cancel(errLost)
			}
			continue
		}
		d, noted := s.finished[token]
		delete(s.finished, token)
		if noted && !done {
			stale = append(stale, d)
		}
	}
	if s.awaited == 0 {
		s.notify()
	}
	s.mu.Unlock()
	for _, d := range stale {
		s.config.Stale(d)
	}
}
