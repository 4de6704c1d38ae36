package live

import (
	"context"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/internal/backoff"
)

// reloadLimit is the timeout of one reload of a Cluster's topology.
const reloadLimit = 3 * time.Second

// place has a partition watched at the server that has it: now, or on a Cluster by a goroutine that also follows slots that move. mu is held.
func (t *Tail) place(p *partition) {
	if t.cluster == nil {
		t.assign(p, "", t.config.Client)
		return
	}
	if !t.placing {
		t.placing = true
		t.running.Go(t.placement)
	}
	t.signal()
}

// misplaced is called when a partition may have moved to another server.
func (t *Tail) misplaced() {
	if t.cluster != nil {
		t.stale.Store(true)
		t.signal()
	}
}

func (t *Tail) signal() {
	select {
	case t.relocate <- struct{}{}:
	default:
	}
}

// placement keeps every open partition at the master of its slot until no partition is open.
func (t *Tail) placement() {
	pauses := backoff.Policy{First: 50 * time.Millisecond, Max: time.Second, Jitter: true}
	failed := 0
	for {
		t.mu.Lock()
		if len(t.open) == 0 || t.closed {
			t.placing = false
			t.mu.Unlock()
			return
		}
		t.mu.Unlock()
		if t.placeAll() {
			failed = 0
		} else {
			failed++
			_ = pauses.Wait(t.ctx, failed)
			t.misplaced()
		}
		timer := time.NewTimer(t.interval())
		select {
		case <-t.relocate:
		case <-timer.C:
		case <-t.ctx.Done():
		}
		timer.Stop()
	}
}

// placeAll assigns every open partition to the master of its slot. It returns false if the master of one is not known.
func (t *Tail) placeAll() bool {
	if t.stale.Swap(false) {
		t.reload()
	}
	known := true
	t.mu.Lock()
	open := make([]*partition, 0, len(t.open))
	for _, p := range t.open {
		open = append(open, p)
	}
	t.mu.Unlock()
	for _, p := range open {
		master, err := t.cluster.MasterForKey(t.ctx, p.Stream)
		if err != nil {
			known = false
			continue
		}
		t.mu.Lock()
		if t.open[p.index] == p {
			t.assign(p, master.Options().Addr, master)
		}
		t.mu.Unlock()
	}
	return known
}

// reload reads the topology of the Cluster anew.
func (t *Tail) reload() {
	ctx, cancel := context.WithTimeout(t.ctx, reloadLimit)
	defer cancel()
	// ForEachMaster reloads the topology now; ReloadState would only start that.
	_ = t.cluster.ForEachMaster(ctx, func(context.Context, *goredis.Client) error { return nil })
}

// assign has a partition watched at a server. mu is held.
func (t *Tail) assign(p *partition, addr string, client goredis.UniversalClient) {
	n := t.nodes[addr]
	if n != nil {
		n.client = client
		if p.node == n {
			if p.unsubscribed.Swap(false) {
				n.link.channels.ask(p.Channel)
			}
			return
		}
	}
	t.leave(p)
	if n = t.nodes[addr]; n == nil {
		n = t.newNode(addr, client)
		t.nodes[addr] = n
	}
	p.node = n
	n.partitions[p] = struct{}{}
	p.moveTo(n)
	if n.link.join(p.Channel, p, p.confirmed) != nil { // the connection was closed for good
		t.stop()
	}
	n.wake()
}

// leave has a partition not watched at its server any more. mu is held.
func (t *Tail) leave(p *partition) {
	n := p.node
	if n == nil {
		return
	}
	p.node = nil
	n.link.channels.leave(p.Channel, p)
	delete(n.partitions, p)
	if len(n.partitions) == 0 {
		delete(t.nodes, n.addr)
		n.stop()
		if t.cluster != nil {
			t.running.Go(n.link.close) // it may wait for a watcher
		}
	}
}
