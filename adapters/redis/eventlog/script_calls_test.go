package eventlog_test

import (
	"context"
	"fmt"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/eventlog"
)

// scriptCalls counts the calls of each script, by its name in [eventlog.Sources].
type scriptCalls struct {
	mu    sync.Mutex // guards the maps
	of    map[string]int
	names map[string]string // by hash
}

func (s *scriptCalls) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (s *scriptCalls) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		if cmd.Name() == "evalsha" {
			s.add(fmt.Sprint(cmd.Args()[1]))
		}
		return next(ctx, cmd)
	}
}

func (s *scriptCalls) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return next
}

func (s *scriptCalls) add(hash string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of, s.names = make(map[string]int), make(map[string]string)
		for name, source := range eventlog.Sources() {
			s.names[goredis.NewScript(source).Hash()] = name
		}
	}
	s.of[s.names[hash]]++
}

// count returns the number of calls of a script so far.
func (s *scriptCalls) count(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.of[name]
}
