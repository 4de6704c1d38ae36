package pubsub

import "context"

// Exists reports whether a consumer group exists: whether a process has run it since it was last deleted. One round trip.
func (g *Groups) Exists(ctx context.Context, group string) (bool, error) {
	pipe := g.client.Pipeline()
	for _, l := range g.lanes {
		pipe.Exists(ctx, l.group(group).group)
	}
	replies, err := pipe.Exec(ctx)
	if err != nil {
		return false, unavailable(err)
	}
	for _, reply := range replies {
		if n, ok := reply.(interface{ Val() int64 }); ok && n.Val() > 0 {
			return true, nil
		}
	}
	return false, nil
}

// Exists reports whether a consumer group exists.
func (m *Memory) Exists(_ context.Context, group string) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.groups[group] != nil, nil
}
