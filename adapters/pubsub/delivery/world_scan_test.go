package delivery

// scanOnce takes the next step of the head scan.
func (n *node) scanOnce(count int, fails bool) {
	c := &n.scan
	if c.scan.Partition == nil {
		if n.now().Before(c.due) {
			return
		}
		c.scan = n.m.NextScan(n.now())
		c.due = n.now().Add(c.scan.Wait)
		if p := c.scan.Partition; p != nil {
			c.known, c.needs = Checkpoints{}, nil
			if !c.scan.Resolve {
				s := n.w.of(p)
				c.page, c.tail = s.compare(c.scan.Cursor, min(count, c.scan.Count)), s.lastEntry()
			}
		}
		return
	}
	p := c.scan.Partition
	switch {
	case fails:
		p.ScanFailed(n.now())
	case !c.scan.Resolve:
		p.Compared(c.page, c.tail, c.scan.Count, n.now())
	case len(c.needs) > 0:
		c.known.Add(c.needs, n.w.of(p).checkpointsOf(c.needs))
		c.needs = nil
		return
	default:
		if c.needs = p.Resolved(&c.known, n.now()); len(c.needs) > 0 {
			return
		}
	}
	c.scan = Scan{}
}
