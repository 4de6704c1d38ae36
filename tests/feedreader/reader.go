package feedreader

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// Config is the configuration of a [Reader].
type Config struct {
	Name      string
	Protocol  Protocol
	Instances func() []string // base URLs, which are tried in turn
	// Token returns the credential for the next connection. refused is one that an instance has refused; "" if none has since the last call.
	Token      func(ctx context.Context, refused string) (string, error)
	Actor      domain.UserID // "" for the caller itself, or a service
	AllChats   bool
	Chats      map[domain.ChatID]Position // named chats
	MaxCatchUp uint32
	Quiet      time.Duration // silence after which a connection is dead. Defaults to 45 s
}

// Reader reads a feed until it is stopped. It resumes at the next instance when a connection ends. Its methods are safe for concurrent use.
type Reader struct {
	config Config
	client interface{ CloseIdleConnections() }
	open   func(ctx context.Context, instance, token string) (stream, error)
	dialer dialer

	mu sync.Mutex
	// mu guards: all below.
	track    *Track
	messages []Message
	faults   []Fault
	lastID   string
	began    bool   // a connection has stated the log
	token    string // of the latest connection
	cut      context.CancelFunc
	stalled  time.Time // until when the reader does not read
}

// New returns a reader that does not read yet.
func New(c Config) *Reader {
	c.Quiet = cmp.Or(c.Quiet, 45*time.Second)
	r := &Reader{config: c, track: NewTrack(c.AllChats, c.Chats), cut: func() {}}
	r.dialer.conns = make(map[*conn]struct{})
	client := r.dialer.client(c.Protocol)
	r.client = client
	r.open = func(ctx context.Context, instance, token string) (stream, error) {
		request, lastID := r.request()
		if c.Protocol == ServerEvents {
			return openEvents(ctx, client, instance, token, lastID, request, r.keepID)
		}
		return openWatch(ctx, client, instance, token, c.Protocol, request)
	}
	return r
}

// Name returns the reader's name.
func (r *Reader) Name() string { return r.config.Name }

// Config returns the reader's configuration.
func (r *Reader) Config() Config { return r.config }

// Messages returns the messages so far.
func (r *Reader) Messages() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.messages)
}

// Faults returns the faults so far.
func (r *Reader) Faults() []Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.faults)
}

// Positions returns the present position in each chat.
func (r *Reader) Positions() map[domain.ChatID]Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.track.Positions())
}

// Token returns the credential of the latest connection, "" before the first.
func (r *Reader) Token() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.token
}

// Disconnect closes the present connection.
func (r *Reader) Disconnect() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cut()
}

// Stall has the reader read nothing for a while, with its connection open.
func (r *Reader) Stall(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stalled = time.Now().Add(d)
}

// Swallow makes the present connection a black hole, which the reader notices by the silence.
func (r *Reader) Swallow() { r.dialer.swallow() }

// Run reads until ctx ends, or until the feed follows no named chat any more.
func (r *Reader) Run(ctx context.Context) {
	defer r.client.CloseIdleConnections()
	refused := ""
	for try := 0; ctx.Err() == nil && !r.over(); try++ {
		token, err := r.config.Token(ctx, refused)
		if err == nil {
			all := r.config.Instances()
			if err = r.connection(ctx, all[try%len(all)], token); rpc.CodeOf(err) == rpc.CodeUnauthenticated {
				refused = token
			} else {
				refused = ""
			}
		}
		pause(ctx, 20*time.Millisecond+rand.N(80*time.Millisecond)) //nolint:gosec // dice
	}
}

// over reports whether all named chats were left.
func (r *Reader) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.config.AllChats {
		return false
	}
	for _, p := range r.track.Positions() {
		if !p.Left {
			return false
		}
	}
	return true
}

// connection reads one connection until it ends, and returns the error as one of Connect.
func (r *Reader) connection(ctx context.Context, instance, token string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.mu.Lock()
	r.cut, r.token = cancel, token
	resumed := r.began && r.config.Protocol != ServerEvents // the id of an event has chats that the reader has heard nothing of
	r.mu.Unlock()
	r.take(Message{Kind: Opened, Instance: instance, Token: token, Resumed: resumed})
	err := r.read(ctx, cancel, instance, token)
	ended := Message{Kind: Ended, Err: err.Error()}
	if s, ok := errors.AsType[*statedError](err); ok {
		ended.Code, ended.Stated = s.code, true
		err = rpc.NewError(s.code, err)
	}
	r.take(ended)
	return err
}

func (r *Reader) read(ctx context.Context, cancel context.CancelFunc, instance, token string) error {
	quiet := time.AfterFunc(r.config.Quiet, cancel)
	defer quiet.Stop()
	s, err := r.open(ctx, instance, token)
	if err != nil {
		return err
	}
	defer s.close()
	for {
		if r.stall(ctx) {
			quiet.Reset(r.config.Quiet)
		}
		m, err := s.next()
		if err != nil {
			return err
		}
		quiet.Reset(r.config.Quiet)
		r.take(messageOf(m))
	}
}

// stall waits while the reader must not read. It reports whether it did.
func (r *Reader) stall(ctx context.Context) bool {
	r.mu.Lock()
	until := r.stalled
	r.mu.Unlock()
	d := time.Until(until)
	if d <= 0 {
		return false
	}
	pause(ctx, d)
	return true
}

func (r *Reader) take(m Message) {
	m.At = time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.messages = append(r.messages, m)
	r.began = r.began || m.Kind == Started
	if f := r.track.Take(m); f != nil {
		r.faults = append(r.faults, *f)
	}
}

func (r *Reader) keepID(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastID = id
}

// request returns the request with the reader's positions, and the id of the last event. Server-sent events resume by that id alone.
func (r *Reader) request() (*v1.WatchRequest, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	q := &v1.WatchRequest{ActorId: string(r.config.Actor), AllChats: r.config.AllChats, MaxCatchUp: r.config.MaxCatchUp}
	positions := r.track.Positions()
	if r.config.Protocol == ServerEvents {
		positions = r.config.Chats
	} else {
		q.LogId, q.Resume = r.track.LogID(), q.AllChats && r.began
	}
	for _, chat := range slices.Sorted(maps.Keys(positions)) {
		p := positions[chat]
		if p.Left {
			continue
		}
		named := &v1.ChatPosition{ChatId: string(chat)}
		if p.Known {
			after := uint32(p.Seq)
			named.AfterSeq = &after
		}
		q.Chats = append(q.Chats, named)
	}
	return q, r.lastID
}

// pause waits for a while, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
