package chatcore

import "chatcore/adapters/subscribers/pull"

// Consumers returns the pull groups that this process runs, for code that serves consumers.
func (c *Core) Consumers() *pull.Broker { return c.consumers }
