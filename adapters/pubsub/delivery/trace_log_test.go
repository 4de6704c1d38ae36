package delivery_test

import (
	"errors"
	"fmt"
	"slices"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// errDamaged is the cause of a hole in a log.
var errDamaged = errors.New("damaged")

// tracePage is a read of the log between its two halves.
type tracePage struct {
	p       *delivery.Partition
	step    delivery.Step
	pages   []delivery.Page
	witness groups.StreamID
	heads   []ports.ChatHead
}

// readLog performs the next step of a partition. Its first half reads, its second half applies. With all it repeats until there is none; with fails the read
// fails, and for a walk because chats are missing.
func (r *trace) readLog(m *traceMember, args []string, _ string) error {
	half := ""
	if len(args) > 0 && slices.Contains([]string{"begin", "end", "all", "fails"}, args[0]) {
		half, args = args[0], args[1:]
	}
	if half == "end" {
		r.applyPage(m)
		return nil
	}
	p, s, _, err := r.owned(m, args)
	if err != nil {
		return err
	}
	if half != "all" {
		switch some := r.beginStep(m, p, s); {
		case !some:
			r.print("nothing to read")
		case half == "":
			r.applyPage(m)
		case half == "fails":
			r.failPage(m)
		}
		return nil
	}
	out := r.out
	r.out = nil
	for r.beginStep(m, p, s) {
		r.applyPage(m)
	}
	lines := r.out
	r.out = out
	r.printLines(lines)
	return nil
}

// beginStep asks for the next step and reads for it. It returns false if there is none.
func (r *trace) beginStep(m *traceMember, p *delivery.Partition, s *traceStore) bool {
	step := p.NextStep()
	m.page = &tracePage{p: p, step: step, witness: s.last()}
	switch {
	case step.Pages != nil:
		if known := step.Pages.Known; !known.IsZero() && !s.has(known) {
			p.BackfillFailed(step.Pages)
			m.page = nil
			r.resolveGap(m, p, s, known)
			return !p.Over()
		}
		for _, q := range step.Pages.Ranges {
			m.page.pages = append(m.page.pages, r.readPage(s, q))
		}
	case len(step.Open) > 0:
	case step.Walk:
		m.page.heads = s.heads(false)
	default:
		m.page = nil
		return false
	}
	return true
}

func (r *trace) readPage(s *traceStore, q ports.EventRange) (page delivery.Page) {
	chat := string(q.Chat)
	if s.damaged[chat] {
		return delivery.Page{Err: &ports.CorruptError{Chat: q.Chat, Cause: errDamaged}}
	}
	events := s.events[chat]
	page.Head = domain.Seq(len(events))
	for _, e := range events {
		if e.seq >= q.From && len(page.Records) < q.Limit {
			page.Records = append(page.Records, e.record(groups.StreamID{}))
		}
	}
	return page
}

func (r *trace) applyPage(m *traceMember) {
	read := m.page
	m.page = nil
	if read == nil {
		return
	}
	p, step := read.p, read.step
	s := r.storeOf(p)
	switch {
	case step.Pages != nil:
		for i, q := range step.Pages.Ranges {
			n := len(read.pages[i].Records)
			r.print("%s from %d: %d events, head %d", q.Chat, q.From, n, read.pages[i].Head)
		}
		p.Backfilled(step.Pages, read.pages, read.witness, r.now)
	case len(step.Open) > 0:
		seqs := s.checkpointsOf(step.Open)
		r.print("checkpoints of %s read: %v", abbreviate(step.Open), compact(seqs))
		p.Opened(step.Open, seqs)
	default:
		r.walk(p, s, step.Cursor, read.heads)
	}
}

func (r *trace) failPage(m *traceMember) {
	read := m.page
	m.page = nil
	switch step := read.step; {
	case step.Pages != nil:
		read.p.BackfillFailed(step.Pages)
		r.print("%d chats not read", len(step.Pages.Ranges))
	case len(step.Open) > 0:
		read.p.OpenFailed(step.Open)
		r.print("checkpoints not read")
	default:
		read.p.WalkFailed(&ports.CorruptError{Cause: errDamaged})
	}
}

// walk checks a page of a partition's chats.
func (r *trace) walk(p *delivery.Partition, s *traceStore, cursor uint64, heads []ports.ChatHead) {
	from := int(cursor) //nolint:gosec // small
	to, next := len(heads), uint64(0)
	if from+r.heads < to {
		to = from + r.heads
		next = uint64(to) //nolint:gosec // small
	}
	var known delivery.Checkpoints
	for {
		unknown := p.Walked(heads[from:to], next, len(heads), &known)
		if len(unknown) == 0 {
			break
		}
		known.Add(unknown, s.checkpointsOf(unknown))
	}
	r.print("chats %d to %d of %d checked", from+1, to, len(heads))
}

// scan takes the next step of the head scan. With fails the store does not answer.
func (r *trace) scan(m *traceMember, args []string, _ string) error {
	step := m.NextScan(r.now)
	if step.Partition == nil {
		r.print("nothing to compare for %v", step.Wait)
		return nil
	}
	p := step.Partition
	s := r.storeOf(p)
	if len(args) > 0 {
		p.ScanFailed(r.now)
		return nil
	}
	if !step.Resolve {
		page := ports.HeadPage{Ahead: s.heads(true), Compared: len(s.events), Total: len(s.events)}
		p.Compared(page, s.last(), step.Count, r.now)
		text := ""
		for _, h := range page.Ahead {
			text += fmt.Sprintf(", %s at %d", h.Chat, h.Head)
		}
		r.print("%d chats compared%s", page.Compared, text)
		return nil
	}
	var known delivery.Checkpoints
	for {
		unknown := p.Resolved(&known, r.now)
		if len(unknown) == 0 {
			break
		}
		known.Add(unknown, s.checkpointsOf(unknown))
	}
	r.print("chats resolved")
	return nil
}
