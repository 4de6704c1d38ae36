package rig

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// Pipelines counts round trips.
type Pipelines struct{ Calls, Pipelines int }

func (*Pipelines) DialHook(next goredis.DialHook) goredis.DialHook { return next }

func (p *Pipelines) ProcessHook(next goredis.ProcessHook) goredis.ProcessHook {
	return func(ctx context.Context, cmd goredis.Cmder) error {
		p.Calls++
		return next(ctx, cmd)
	}
}

func (p *Pipelines) ProcessPipelineHook(next goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []goredis.Cmder) error {
		p.Pipelines++
		return next(ctx, cmds)
	}
}
