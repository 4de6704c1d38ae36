package feed

import "sync"

// pool runs jobs in the background, a limited number at once and in the order in which they came. It has no goroutine while it has no job.
type pool struct {
	hub   *Hub
	limit int

	mu      sync.Mutex // mu guards the fields below
	running int
	waiting []func()
}

// run has a job run. After the end of the hub the job does not run.
func (p *pool) run(job func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running >= p.limit {
		p.waiting = append(p.waiting, job)
		return
	}
	if p.hub.spawn(func() { p.work(job) }) {
		p.running++
	}
}

func (p *pool) work(job func()) {
	for job != nil {
		job()
		job = p.next()
	}
}

func (p *pool) next() (job func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.waiting) == 0 || p.hub.ctx.Err() != nil {
		p.running--
		p.waiting = nil
		return nil
	}
	job = p.waiting[0]
	p.waiting[0] = nil
	p.waiting = p.waiting[1:]
	return job
}
