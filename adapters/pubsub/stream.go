package pubsub

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/wireformat"
)

// Metadata that a subscriber here adds to a message.
const (
	metaSeq    = "_chatcore_seq"    // the entry's seq, "" for an entry of another program
	metaChat   = "_chatcore_chat"   // the entry's chat
	metaBroken = "_chatcore_broken" // why the entry could not be read
)

// StreamConfig says which consumer group reads.
type StreamConfig struct {
	Client        goredis.UniversalClient // is not closed
	Group         string
	Consumer      string        // Defaults to a new name
	FromBeginning bool          // a new group starts with the first entry instead of the next one
	Drain         time.Duration // how long a message in progress may take to finish at the end. Defaults to 30 s
	Logger        *slog.Logger  // Defaults to slog.Default
}

// StreamSubscriber reads the delivery streams as a consumer group: at least once, the entries of one stream one at a time. The stock
// redisstream subscriber does the reading, with what it is known for fenced off: here it closes no client, is not ended by an entry
// that it cannot parse, and acks what was finished while it is being closed.
type StreamSubscriber struct {
	config StreamConfig
	stock  *redisstream.Subscriber
	client *guardedClient

	mu     sync.Mutex
	closed bool
	active sync.WaitGroup // subscriptions
	drains chan struct{}  // closed when Close begins
}

var _ message.Subscriber = (*StreamSubscriber)(nil)

// NewStreamSubscriber makes a subscriber of a consumer group.
func NewStreamSubscriber(config StreamConfig) (*StreamSubscriber, error) {
	if config.Drain <= 0 {
		config.Drain = 30 * time.Second
	}
	if config.Logger == nil {
		config.Logger = slog.Default()
	}
	if config.Consumer == "" {
		config.Consumer = watermill.NewShortUUID()
	}
	oldest := "$"
	if config.FromBeginning {
		oldest = "0"
	}
	client := &guardedClient{UniversalClient: config.Client}
	stock, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:                        client,
		Unmarshaller:                  unmarshaller{},
		ConsumerGroup:                 config.Group,
		Consumer:                      config.Consumer,
		OldestId:                      oldest,
		NackResendSleep:               100 * time.Millisecond,
		DisableIndefiniteInitialBlock: true,
	}, watermill.NewSlogLogger(config.Logger))
	if err != nil {
		return nil, err
	}
	return &StreamSubscriber{config: config, stock: stock, client: client, drains: make(chan struct{})}, nil
}

// Subscribe reads one stream until ctx ends. The group is there when it returns. A message that is in progress when ctx ends may
// still be acked, for as long as the drain lasts.
func (s *StreamSubscriber) Subscribe(ctx context.Context, stream string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	// The stock subscriber acks with the context it subscribed with: that one must outlive the message in progress.
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	in, err := s.stock.Subscribe(reading, stream)
	if err != nil {
		stop()
		return nil, fmt.Errorf("subscribing to %s as %s: %w", stream, s.config.Group, err)
	}
	out := make(chan *message.Message)
	s.active.Add(1)
	go func() {
		defer s.active.Done()
		defer close(out)
		s.forward(ctx, stream, in, out)
		stop()
		for range in { // ends when the stock subscriber does; what is in it is not acked and comes again
			continue
		}
		s.client.reads(stream).wait()
		if err := s.handBack(context.WithoutCancel(ctx), stream); err != nil {
			s.config.Logger.WarnContext(ctx, "unfinished entries wait for their claim", "stream", stream, "group", s.config.Group, "error", err)
		}
	}()
	return out, nil
}

// forward hands messages out one at a time until ctx ends, and then waits for the one in progress and for its ack to reach Redis.
func (s *StreamSubscriber) forward(ctx context.Context, stream string, in <-chan *message.Message, out chan<- *message.Message) {
	acked := s.client.acked(stream)
	ended := func() bool { return ctx.Err() != nil || isClosed(s.drains) }
	for !ended() {
		var msg *message.Message
		var ok bool
		select {
		case <-ctx.Done():
			return
		case <-s.drains:
			return
		case msg, ok = <-in:
			if !ok {
				return
			}
		}
		select {
		case <-acked: // of a message that nobody waited for
		default:
		}
		select {
		case <-ctx.Done():
			return
		case <-s.drains:
			return
		case out <- msg:
		}
		if !s.await(ctx, msg, acked) {
			return
		}
	}
}

// handBack lets another consumer claim at once what this one has read and not finished: a read that was in flight at the end takes
// entries along.
func (s *StreamSubscriber) handBack(ctx context.Context, stream string) error {
	const longAgo = 24 * time.Hour // beyond what any consumer waits before it claims
	pending, err := s.config.Client.XPendingExt(ctx, &goredis.XPendingExtArgs{
		Stream: stream, Group: s.config.Group, Start: "-", End: "+", Count: 1000, Consumer: s.config.Consumer,
	}).Result()
	if err != nil || len(pending) == 0 {
		return err
	}
	claim := []any{"XCLAIM", stream, s.config.Group, s.config.Consumer, 0}
	for _, entry := range pending {
		claim = append(claim, entry.ID)
	}
	return s.config.Client.Do(ctx, append(claim, "IDLE", longAgo.Milliseconds(), "JUSTID")...).Err()
}

// await waits until the message is nacked, or acked in Redis too. Once the subscription is ending it waits no longer than the drain
// and reports false.
func (s *StreamSubscriber) await(ctx context.Context, msg *message.Message, acked <-chan struct{}) bool {
	done, drains := ctx.Done(), s.drains
	handled := msg.Acked()
	var late <-chan time.Time
	for {
		select {
		case <-handled:
			handled = nil // now the stock subscriber acks in Redis
		case <-acked:
			return true
		case <-msg.Nacked():
			return true
		case <-done:
			done = nil
		case <-drains:
			drains = nil
		case <-late:
			return false
		}
		if late == nil && (done == nil || drains == nil) {
			timer := time.NewTimer(s.config.Drain)
			defer timer.Stop()
			late = timer.C
		}
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// Close stops reading, waits for what is in progress, and returns when nothing of it runs any more.
func (s *StreamSubscriber) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.drains)
	s.mu.Unlock()
	s.active.Wait()
	return s.stock.Close()
}

// Forget removes a consumer group from the streams; what it had not finished is delivered to it no more.
func Forget(ctx context.Context, client goredis.UniversalClient, streams []string, group string) error {
	for _, stream := range streams {
		if err := client.XGroupDestroy(ctx, stream, group).Err(); err != nil && !strings.Contains(err.Error(), "requires the key to exist") && !strings.HasPrefix(err.Error(), "NOGROUP") {
			return fmt.Errorf("forgetting group %s: %w", group, err)
		}
	}
	return nil
}

// guardedClient keeps the stock subscriber from closing a client that is not its own, tells when its last read has ended, and when the
// entry of a message has been acked.
type guardedClient struct {
	goredis.UniversalClient

	mu      sync.Mutex
	acks    map[string]chan struct{} // by stream
	reading map[string]*reads        // by stream
}

// reads are the reads of a stream that are in flight.
func (c *guardedClient) reads(stream string) *reads {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading == nil {
		c.reading = make(map[string]*reads)
	}
	if c.reading[stream] == nil {
		c.reading[stream] = &reads{}
	}
	return c.reading[stream]
}

// acked gets a value after each ack on the stream.
func (c *guardedClient) acked(stream string) chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.acks == nil {
		c.acks = make(map[string]chan struct{})
	}
	if c.acks[stream] == nil {
		c.acks[stream] = make(chan struct{}, 1)
	}
	return c.acks[stream]
}

func (c *guardedClient) XAck(ctx context.Context, stream, group string, ids ...string) *goredis.IntCmd {
	reply := c.UniversalClient.XAck(ctx, stream, group, ids...)
	if reply.Err() == nil {
		select {
		case c.acked(stream) <- struct{}{}:
		default:
		}
	}
	return reply
}

func (*guardedClient) Close() error { return nil }

func (c *guardedClient) XReadGroup(ctx context.Context, a *goredis.XReadGroupArgs) *goredis.XStreamSliceCmd {
	inFlight := c.reads(a.Streams[0])
	if err := inFlight.begin(ctx); err != nil {
		reply := goredis.NewXStreamSliceCmd(ctx)
		reply.SetErr(err)
		return reply
	}
	defer inFlight.end()
	return c.UniversalClient.XReadGroup(ctx, a)
}

// reads counts what is in flight. After the context of all of them has ended none begins, though go-redis would read all the same.
type reads struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0 again; nil before the first
}

func (r *reads) begin(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if r.n++; r.n == 1 {
		r.idle = make(chan struct{})
	}
	return nil
}

func (r *reads) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n--; r.n == 0 {
		close(r.idle)
	}
}

func (r *reads) wait() {
	r.mu.Lock()
	idle := r.idle
	r.mu.Unlock()
	if idle != nil {
		<-idle
	}
}

// unmarshaller reads any entry. What it cannot make sense of becomes a message that says so, for the handlers' chain to set aside.
type unmarshaller struct{}

func (unmarshaller) Unmarshal(values map[string]any) (*message.Message, error) {
	text := func(field string) string {
		s, _ := values[field].(string)
		return s
	}
	id := text(wireformat.FieldUUID)
	broken := ""
	if id == "" {
		id, broken = watermill.NewUUID(), "the entry has no "+wireformat.FieldUUID
	}
	msg := message.NewMessage(id, []byte(text(wireformat.FieldPayload)))
	if packed := text(wireformat.FieldMetadata); packed != "" {
		metadata, err := wireformat.DecodeMetadata([]byte(packed))
		if err != nil {
			broken = err.Error()
		} else {
			msg.Metadata = metadata
		}
	}
	for key, value := range map[string]string{metaSeq: text(wireformat.FieldSeq), metaChat: text(wireformat.FieldChat), metaBroken: broken} {
		if value != "" {
			msg.Metadata.Set(key, value)
		}
	}
	return msg, nil
}
