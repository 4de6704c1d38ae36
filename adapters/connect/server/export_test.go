package server

import "context"

// Reload loads the files once.
func (c *Certificates) Reload(ctx context.Context) { c.reload(ctx) }
