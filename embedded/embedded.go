// Package embedded runs a Redis in the process, for a look and for demos: nothing to install, and nothing kept when it ends. It is never chosen
// silently: a program starts it explicitly.
package embedded

import (
	"time"

	"github.com/alicebob/miniredis/v2"
)

// tick is how often time is passed on to the server, which has no clock of its own: a key may outlive its TTL by as much.
const tick = 50 * time.Millisecond

// Server is a Redis in the process.
type Server struct {
	redis *miniredis.Miniredis
	stop  chan struct{}
	done  chan struct{}
}

// Start runs a server on a free port of the loopback interface.
func Start() (*Server, error) {
	redis, err := miniredis.Run()
	if err != nil {
		return nil, err
	}
	Identify(redis)
	s := &Server{redis: redis, stop: make(chan struct{}), done: make(chan struct{})}
	go s.passTime()
	return s, nil
}

func (s *Server) passTime() {
	defer close(s.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case now := <-ticker.C:
			s.redis.FastForward(now.Sub(last))
			last = now
		case <-s.stop:
			return
		}
	}
}

// URL is the server's REDIS_URL.
func (s *Server) URL() string { return "redis://" + s.redis.Addr() }

// Close ends the server and everything in it. It is called once.
func (s *Server) Close() error {
	close(s.stop)
	<-s.done
	s.redis.Close()
	return nil
}
