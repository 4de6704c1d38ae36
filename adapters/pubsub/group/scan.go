package group

import (
	"context"
	"errors"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// scanLoop compares heads with checkpoints until ctx ends. A member has one such loop for all of its partitions, which bounds the load of the first
// passes after an acquire.
func (m *Member) scanLoop(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-m.scans.c:
		case <-ctx.Done():
			return
		}
		timer.Reset(m.scanOnce(ctx))
	}
}

// scanOnce takes the next step, and returns how long the loop waits after it.
func (m *Member) scanOnce(ctx context.Context) time.Duration {
	m.mu.Lock()
	scan := m.core.NextScan(time.Now())
	m.unlock()
	p := scan.Partition
	if p == nil {
		return scan.Wait
	}
	var err error
	if scan.Resolve {
		err = m.withCheckpoints(ctx, p, func(known *delivery.Checkpoints) []string { return p.Resolved(known, time.Now()) })
	} else {
		err = m.compareHeads(ctx, p, scan)
	}
	switch {
	case err == nil || ctx.Err() != nil:
	case errors.Is(err, ports.ErrLogLost):
		m.fail(err)
	default:
		m.config.Logger.Debug("heads not compared, trying again", "partition", p.String(), "group", m.config.Group, "error", err)
		m.mu.Lock()
		p.ScanFailed(time.Now())
		m.unlock()
	}
	return scan.Wait
}

// compareHeads compares the next page.
func (m *Member) compareHeads(ctx context.Context, p *delivery.Partition, scan delivery.Scan) error {
	page, err := m.config.Store.CompareHeads(ctx, p.Partition, scan.Cursor, scan.Count)
	if err != nil {
		return err
	}
	tail := groups.StreamID{}
	if page.Tail != "" {
		if tail, err = groups.ParseStreamID(page.Tail); err != nil {
			return err
		}
	}
	m.mu.Lock()
	p.Compared(page, tail, scan.Count, time.Now())
	m.unlock()
	return nil
}
