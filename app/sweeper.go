package app

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"chatcore/ports"
)

// How the sweeper works. It is about so long that a heartbeat's end goes unnoticed, and twice the lease if the process that sweeps dies.
const (
	sweepEvery  = time.Second
	sweepLease  = 5 * time.Second
	sweepPage   = 512
	repairPage  = 512
	sweepPages  = 64              // in one go, so that the lease is renewed
	resignLimit = 2 * time.Second // for giving the lease back
)

// Sweeper finds users whose last device went silent, and publishes that they are offline.
type Sweeper struct {
	sweep  ports.PresenceSweep
	clock  ports.Clock
	logger *slog.Logger
}

// NewSweeper returns a sweeper of a presence store, paced by the clock.
func NewSweeper(sweep ports.PresenceSweep, clock ports.Clock, logger *slog.Logger) *Sweeper {
	return &Sweeper{sweep: sweep, clock: clock, logger: logger}
}

// Run sweeps once a second until ctx ends, as long as no other process does. A failed sweep is repeated the next time; the first failure and the
// recovery are logged.
func (s *Sweeper) Run(ctx context.Context) {
	leads, failing := false, ""
	for {
		next := s.clock.Now().Add(sweepEvery)
		var err error
		if leads, err = s.once(ctx); ctx.Err() != nil {
			break
		}
		switch {
		case err != nil && err.Error() != failing:
			failing = err.Error()
			s.logger.WarnContext(ctx, "presence sweep failed, trying again", "error", err)
		case err == nil && failing != "":
			failing = ""
			s.logger.InfoContext(ctx, "presence sweep works again")
		}
		if s.clock.Sleep(ctx, next) != nil {
			break
		}
	}
	if leads {
		s.resign(context.WithoutCancel(ctx))
	}
}

// resign spares the next process to wait for the end of the lease.
func (s *Sweeper) resign(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, resignLimit)
	defer cancel()
	if _, err := s.sweep.AcquireLease(ctx, 0); err != nil {
		s.logger.DebugContext(ctx, "presence lease not released, it expires", "error", err)
	}
}

// once sweeps if this process leads. It goes on while there are full pages.
func (s *Sweeper) once(ctx context.Context) (leads bool, err error) {
	if leads, err = s.sweep.AcquireLease(ctx, sweepLease); !leads || err != nil {
		return leads, err
	}
	for range sweepPages {
		_, more, failed := s.sweep.Expire(ctx, sweepPage)
		if err = errors.Join(err, failed); failed != nil || !more {
			break
		}
	}
	_, failed := s.sweep.Repair(ctx, repairPage)
	return true, errors.Join(err, failed)
}
