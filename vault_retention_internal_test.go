package chatcore

import (
	"context"
	"time"
)

// FollowRetention has the vault follow what retention has erased, by a clock, in the partitions that the core owns.
func (c *Core) FollowRetention(ctx context.Context, now time.Time) error {
	v := c.newVaultRetention()
	v.now = func() time.Time { return now }
	for _, p := range c.vaultPartitions() {
		if err := v.follow(ctx, p); err != nil {
			return err
		}
	}
	return nil
}
