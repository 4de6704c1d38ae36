package chatcore

import (
	"errors"
	"fmt"
	"math"
)

// The default of [DeliveryConfig.MaxGroups] on Redis. Every group renews its lease on every partition, so that a process with too many of them keeps the
// server busy with renewals alone; see docs/decisions.md.
const (
	maxGroupPartitions = 4352 // of all groups of a process together, the stream of other programs counted as a partition
	leastMaxGroups     = 16
)

// ErrTooManyGroups is returned by [Core.Subscribe] and [Core.Attach] when the process has [DeliveryConfig.MaxGroups] consumer groups already. The error is a
// [*TooManyGroupsError].
var ErrTooManyGroups = errors.New("too many consumer groups in one process")

// TooManyGroupsError names the group that was refused, and how many groups are allowed.
type TooManyGroupsError struct {
	Group   string
	Allowed int
}

func (e *TooManyGroupsError) Error() string {
	return fmt.Sprintf("%v: group %q would be number %d, and %d are allowed; run it in another process, or raise Config.Delivery.MaxGroups", ErrTooManyGroups, e.Group, e.Allowed+1, e.Allowed)
}

// Is reports that a TooManyGroupsError is [ErrTooManyGroups].
func (e *TooManyGroupsError) Is(target error) bool { return target == ErrTooManyGroups }

// maxGroups returns how many groups the process may run.
func (c *Core) maxGroups() int {
	if c.config.Delivery.MaxGroups > 0 {
		return c.config.Delivery.MaxGroups
	}
	if c.backend.redis == nil {
		return math.MaxInt
	}
	return max(leastMaxGroups, maxGroupPartitions/(c.config.Log.Partitions+1))
}
