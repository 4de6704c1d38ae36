package connect

import (
	"context"
	"errors"
	"iter"
	"math"
	"net/http"

	rpc "connectrpc.com/connect"

	"chatcore/app/feed"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	v1connect "chatcore/gen/chatcore/v1/chatcorev1connect"
)

// feedService implements chatcore.v1.FeedService, and the server-sent events of feeds.
type feedService struct{ *calls }

// feedSource is a feed. [*feed.Feed] implements it.
type feedSource interface {
	Next(ctx context.Context) (feed.Message, error)
	TryNext() (feed.Message, bool)
	LogID() string
	Positions() iter.Seq2[domain.ChatID, domain.Seq]
	Close()
}

// handler returns the handler of the service. It is that of the generated code, but for the messages of Watch: they are encoded once for all feeds, and
// never compressed one by one.
func (s *feedService) handler(options ...rpc.HandlerOption) (string, http.Handler) {
	methods := v1.File_chatcore_v1_feed_proto.Services().ByName("FeedService").Methods()
	watch := rpc.NewServerStreamHandlerSimple(
		v1connect.FeedServiceWatchProcedure, s.Watch, rpc.WithSchema(methods.ByName("Watch")), rpc.WithIdempotency(rpc.IdempotencyNoSideEffects),
		rpc.WithHandlerOptions(options...), rpc.WithCompressMinBytes(math.MaxInt),
	)
	ticket := rpc.NewUnaryHandlerSimple(
		v1connect.FeedServiceCreateFeedTicketProcedure, s.CreateFeedTicket, rpc.WithSchema(methods.ByName("CreateFeedTicket")), rpc.WithHandlerOptions(options...),
	)
	return "/" + v1connect.FeedServiceName + "/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == v1connect.FeedServiceWatchProcedure {
			watch.ServeHTTP(w, r)
			return
		}
		ticket.ServeHTTP(w, r)
	})
}

// Watch streams a feed until it ends with an error, or the caller is gone.
func (s *feedService) Watch(ctx context.Context, req *v1.WatchRequest, stream *rpc.ServerStream[feedFrame]) error {
	request, err := s.feedRequest(ctx, req)
	if err != nil {
		return err
	}
	source, err := s.openFeed(ctx, request)
	if err != nil {
		return err
	}
	defer source.Close()
	return streamFeed(ctx, streamWriterOf(ctx), source, func(f *feedFrame) error {
		err := stream.Send(f)
		if own, ok := errors.AsType[*callError](err); ok { // of the codec
			return own
		}
		return err
	})
}

// openFeed begins a feed.
func (s *feedService) openFeed(ctx context.Context, request feed.Request) (feedSource, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if s.config.openFeed != nil {
		return s.config.openFeed(ctx, request)
	}
	opened, err := s.core.Feeds.Open(ctx, request)
	if err != nil {
		return nil, err // not a nil feed in an interface
	}
	return opened, nil
}

// streamFeed sends the messages of a feed until it ends. Messages that are ready together are written together.
func streamFeed(ctx context.Context, w *streamWriter, source feedSource, send func(*feedFrame) error) error {
	err := sendBatch(w, source, feedFrame{started: source.LogID()}, send)
	for err == nil {
		if err = ctx.Err(); err != nil { // also if messages are always ready
			break
		}
		var message feed.Message
		if message, err = source.Next(ctx); err == nil {
			err = sendBatch(w, source, feedFrame{message: message}, send)
		}
	}
	return err
}

// sendBatch sends a frame, and the messages that are ready after it, in one write.
func sendBatch(w *streamWriter, source feedSource, frame feedFrame, send func(*feedFrame) error) error {
	w.hold()
	err := send(&frame)
	for err == nil && !w.full() {
		message, ok := source.TryNext()
		if !ok {
			break
		}
		frame = feedFrame{message: message}
		err = send(&frame)
	}
	if failed := w.release(); failed != nil {
		return errClientGone
	}
	return err
}
