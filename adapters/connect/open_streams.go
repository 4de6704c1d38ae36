package connect

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"chatcore/adapters/connect/auth"
	"chatcore/ports"
)

// openStreams are the streams that a handler has open. They end when the server stops, and within a second of the end of their credential. One goroutine
// for each server does that, while it has streams.
type openStreams struct {
	live   func(ctx context.Context, refs []ports.SessionRef) ([]bool, error)
	logger *slog.Logger

	mu sync.Mutex
	// mu guards: servers, and the fields of each.
	servers map[<-chan struct{}]*serverStreams // by the channel that is closed when the server stops
}

// serverStreams are the open streams of one server.
type serverStreams struct {
	all      map[*openStream]struct{}
	draining <-chan struct{}
	empty    chan struct{} // closed when the last stream has ended, and with it the goroutine
	drained  bool
}

// openStream is one stream.
type openStream struct {
	credential auth.Credential
	cancel     context.CancelCauseFunc
	writer     *streamWriter
	drained    chan struct{} // closed when the server stops, for a handler that ends the stream by itself then; nil for another one

	mu    sync.Mutex
	scope auth.Scope // mu guards
}

// narrow sets the scope without which the stream ends.
func (s *openStream) narrow(scope auth.Scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scope = scope
}

// revoked reports whether the credential has lost the stream's scope.
func (s *openStream) revoked() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.credential.Revoked(s.scope)
}

type openStreamKey struct{}

// openStreamOf returns the open stream of the context of its handler.
func openStreamOf(ctx context.Context) *openStream {
	s, _ := ctx.Value(openStreamKey{}).(*openStream)
	return s
}

// drain ends a stream because the server stops, or has its handler do so.
func (s *openStream) drain() {
	if s.drained == nil {
		s.end(errEnding)
		return
	}
	close(s.drained)
}

// end ends the context of a stream with a cause, and has its last writes hurry.
func (s *openStream) end(cause error) {
	s.cancel(cause)
	s.writer.hurry()
}

func newOpenStreams(live func(ctx context.Context, refs []ports.SessionRef) ([]bool, error), logger *slog.Logger) *openStreams {
	return &openStreams{live: live, logger: logger, servers: make(map[<-chan struct{}]*serverStreams)}
}

// open adds a stream until closed is called. The context that it returns ends with ctx, with the cause errEnding when the server stops, and with
// errCredentialEnded when the credential of ctx ends or loses the scope. ctx is that of the request. With drains, the handler ends the stream by itself when
// the server stops.
func (o *openStreams) open(ctx context.Context, draining <-chan struct{}, scope auth.Scope, w *streamWriter, drains bool) (stream context.Context, closed func()) {
	stream, cancel := context.WithCancelCause(ctx)
	s := &openStream{credential: auth.CredentialFrom(ctx), scope: scope, cancel: cancel, writer: w}
	if drains {
		s.drained = make(chan struct{})
		stream = context.WithValue(stream, openStreamKey{}, s)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	of := o.servers[draining]
	if of == nil {
		of = &serverStreams{all: make(map[*openStream]struct{}), draining: draining, empty: make(chan struct{})}
		o.servers[draining] = of
		go o.run(of) //nolint:contextcheck // it serves all streams
	}
	of.all[s] = struct{}{}
	switch {
	case of.drained:
		s.drain()
	case s.credential.Expired(time.Now()):
		s.end(errCredentialEnded)
	}
	return stream, func() {
		w.close()
		cancel(nil)
		o.mu.Lock()
		defer o.mu.Unlock()
		if delete(of.all, s); len(of.all) == 0 {
			delete(o.servers, draining)
			close(of.empty)
		}
	}
}

// Pauses between two checks of credentials: with the time of a check they stay well below a second.
const (
	minCheckPause = 600 * time.Millisecond
	maxCheckPause = 800 * time.Millisecond
	checkTimeout  = 5 * time.Second // of one check of sessions; until it ends, there is no other one
)

// run ends streams until there are none.
func (o *openStreams) run(of *serverStreams) {
	checking, stop := context.WithCancel(context.Background())
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer stop()
	idle := make(chan struct{}, 1) // has an element while no check of sessions runs
	idle <- struct{}{}
	draining := of.draining
	for {
		timer := time.NewTimer(minCheckPause + rand.N(maxCheckPause-minCheckPause)) //nolint:gosec // no secret
		select {
		case <-of.empty:
			timer.Stop()
			return
		case <-draining:
			timer.Stop()
			draining = nil
			o.drain(of)
		case <-timer.C:
			refs := o.checkLocally(of)
			if len(refs) == 0 {
				continue
			}
			select {
			case <-idle:
				sessions.Go(func() {
					o.checkSessions(checking, refs)
					idle <- struct{}{}
				})
			default: // the store has not answered the last check yet
			}
		}
	}
}

// drain ends all streams of a server, and those that come later.
func (o *openStreams) drain(of *serverStreams) {
	o.mu.Lock()
	defer o.mu.Unlock()
	of.drained = true
	for s := range of.all {
		s.drain()
	}
}

// checkLocally ends the streams whose credential is at its end or is revoked. It returns the streams of sessions, which the store checks.
func (o *openStreams) checkLocally(of *serverStreams) map[ports.SessionRef][]*openStream {
	now := time.Now()
	refs := make(map[ports.SessionRef][]*openStream)
	o.mu.Lock()
	defer o.mu.Unlock()
	for s := range of.all {
		ref, session := s.credential.Session()
		switch {
		case s.credential.Expired(now) || s.revoked():
			s.end(errCredentialEnded)
		case session:
			refs[ref] = append(refs[ref], s)
		}
	}
	return refs
}

// checkSessions ends the streams whose session is not live. If the store does not answer, all streams go on.
func (o *openStreams) checkSessions(ctx context.Context, streams map[ports.SessionRef][]*openStream) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	refs := make([]ports.SessionRef, 0, len(streams))
	for ref := range streams {
		refs = append(refs, ref)
	}
	live, err := o.live(ctx, refs)
	if err != nil {
		o.logger.DebugContext(ctx, "sessions of streams not checked", "error", err)
		return
	}
	for i, ref := range refs {
		if live[i] {
			continue
		}
		for _, s := range streams[ref] {
			s.end(errCredentialEnded)
		}
	}
}
