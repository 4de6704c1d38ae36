package delivery_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"chatcore/adapters/pubsub/delivery"
	"chatcore/domain"
	"chatcore/ports/groups"
)

func (r *trace) printLease(stream string, l *groups.Lease) {
	text := fmt.Sprintf("%s epoch %d after %s", stream, l.Epoch, l.Position)
	if l.HadOwner {
		text += ", had an owner"
	}
	if l.Walk {
		text += ", walk"
	}
	if l.Overlap > 0 {
		text += fmt.Sprintf(", overlap %v", l.Overlap)
	}
	for _, chat := range slices.Sorted(maps.Keys(l.Left)) {
		text += fmt.Sprintf("; %s %s", chat, l.Left[chat])
	}
	for _, chat := range slices.Sorted(maps.Keys(l.Failing)) {
		text += "; " + r.progress(chat, l.Failing[chat])
	}
	r.print("%s", text)
}

// delivery describes a delivered record.
func (r *trace) delivery(rec *delivery.Record) string {
	text := fmt.Sprintf("%s attempt %d", rec.UUID, rec.Attempt())
	if len(r.stores) > 1 {
		text = rec.Partition().Stream + " " + text
	}
	if rec.Attempt() == 1 && rec.Redelivered() {
		text += " redelivered"
	}
	if rec.FromLog() {
		text += " from the log"
	}
	if id := rec.Letter(); id != "" {
		text += " as letter " + id
	}
	return text
}

func (r *trace) printCommit(c groups.OwnedCommit) {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if !c.Position.IsZero() {
		add("position %s", c.Position)
	}
	if c.Passed > 0 {
		add("passed %d", c.Passed)
	}
	if c.Walk.Changed {
		if c.Walk.Active {
			add("walk %d of %d", c.Walk.Checked, c.Walk.Total)
		} else {
			add("walk ended")
		}
	}
	if n := len(c.Checkpoints); n > 0 {
		var list []string
		for _, k := range c.Checkpoints {
			list = append(list, fmt.Sprintf("%s=%d", k.Chat, k.Seq))
		}
		add("checkpoints %s", abbreviate(list))
	}
	for _, l := range c.Left {
		add("%s %s", l.Chat, l.State)
	}
	for _, f := range c.Failing {
		add("%s", r.progress(f.Chat, f.Progress))
	}
	for _, l := range c.Letters {
		add("%s", letter(l))
	}
	for _, id := range c.Resolved {
		add("letter %s resolved", id)
	}
	if len(parts) == 0 {
		parts = []string{"renews the lease"}
	}
	r.print("%s epoch %d commit %d: %s", c.Partition.Stream, c.Epoch, c.Number, strings.Join(parts, "; "))
}

func letter(l groups.Letter) string {
	name := l.UUID
	text := fmt.Sprintf("letter for %s after %d attempts (%s)", name, l.Attempts, l.Reason)
	if l.Parked {
		text += " parked"
	}
	if !l.Entry.IsZero() {
		text += fmt.Sprintf(" of entry %s, shared", l.Entry)
	}
	if l.Of != "" {
		text += " is letter " + l.Of
		if l.InOrder {
			text += " in order"
		}
	}
	if want := "metadata of " + name; l.Metadata != want {
		text += fmt.Sprintf(" with metadata %q", l.Metadata)
	}
	return text
}

// progress describes the state of a chat beyond its checkpoint.
func (r *trace) progress(chat string, g groups.Progress) string {
	if chat == "" {
		chat = "others"
	}
	if g.IsZero() {
		return chat + " no longer fails"
	}
	var parts []string
	if g.Starts > 0 {
		parts = append(parts, starts(chat, g.EventFailure))
	}
	for _, f := range g.Others {
		parts = append(parts, starts(chat, f))
	}
	if g.Reason != "" {
		parts = append(parts, fmt.Sprintf("%s/%d blocked since %s: %s %s", chat, g.Seq, r.time(g.Since), g.Reason, g.Cause))
	}
	if len(g.Done) > 0 {
		var list []string
		for _, d := range g.Done {
			if d.From == d.To {
				list = append(list, fmt.Sprint(d.From))
			} else {
				list = append(list, fmt.Sprintf("%d..%d", d.From, d.To))
			}
		}
		parts = append(parts, fmt.Sprintf("%s done %s", chat, strings.Join(list, " ")))
	}
	return strings.Join(parts, "; ")
}

func starts(chat string, f groups.EventFailure) string {
	text := fmt.Sprintf("%s/%d starts %d", chat, f.Seq, f.Starts)
	if f.Epoch > 0 {
		text += fmt.Sprintf(" the last under epoch %d", f.Epoch)
	}
	return text
}

func (r *trace) time(at time.Time) string {
	return "+" + at.Sub(r.start).Round(time.Millisecond).String()
}

// printEvents prints what there is to log and to count. A hole that closes and was not open is nothing.
func (r *trace) printEvents(m *traceMember) {
	for _, e := range m.TakeEvents() {
		if e.Kind == delivery.HoleClosed && !m.holes[e.Chat] {
			continue
		}
		m.holes[e.Chat] = e.Kind == delivery.HoleFound || m.holes[e.Chat] && e.Kind != delivery.HoleClosed
		if e.Kind == delivery.LeaseEnded {
			clear(m.holes)
		}
		r.print("%s", r.event(m, e))
	}
}

func (r *trace) event(m *traceMember, e delivery.Event) string {
	text := "event: " + e.Kind.String()
	if m.name != "a" {
		text = m.name + " " + text
	}
	add := func(some bool, format string, args ...any) {
		if some {
			text += " " + fmt.Sprintf(format, args...)
		}
	}
	if e.Seq > 0 {
		add(true, "%s/%d", e.Chat, e.Seq)
	} else {
		add(e.Chat != "", "%s", e.Chat)
	}
	add(e.Chats > 0, "chats %d", e.Chats)
	add(e.Count != 0, "count %+d", e.Count)
	add(e.Attempts > 0, "attempts %d", e.Attempts)
	add(e.Parked, "parked")
	add(e.Shared, "shared")
	add(e.Reason != "", "%s", e.Reason)
	add(!e.Since.IsZero(), "since %s", r.time(e.Since))
	add(e.Cause != "", "(%s)", e.Cause)
	add(e.Err != nil, "(%v)", e.Err)
	return text
}

// printStore prints what the store has of the group.
func (r *trace) printStore(_ *traceMember, args []string, _ string) error {
	i, _ := r.partition(args)
	s := r.stores[i]
	text := fmt.Sprintf("%s position %s", s.Stream, s.position)
	if s.walk {
		text += ", walk"
	}
	r.print("%s", text)
	var lines []string
	for _, chat := range slices.Sorted(maps.Keys(s.checkpoints)) {
		lines = append(lines, fmt.Sprintf("%s=%d", chat, s.checkpoints[chat]))
	}
	if len(lines) > 0 {
		r.print("checkpoints %s", abbreviate(lines))
	}
	for _, chat := range slices.Sorted(maps.Keys(s.left)) {
		r.print("%s %s", chat, s.left[chat])
	}
	for _, chat := range slices.Sorted(maps.Keys(s.failing)) {
		r.print("%s", r.progress(chat, s.failing[chat]))
	}
	for _, l := range s.letters {
		d := groups.DeadLetter{Attempts: l.Attempts, Reason: l.Reason, Parked: l.Parked}
		s.retries[l.ID].Apply(&d)
		text := fmt.Sprintf("letter %s is %s, attempts %d (%s)", l.ID, l.UUID, d.Attempts, d.Reason)
		if d.Parked {
			text += " parked"
		}
		r.print("%s", text)
	}
	return nil
}

func (r *trace) signals(m *traceMember, _ []string, _ string) error {
	s := m.TakeSignals()
	text := ""
	for _, part := range []struct {
		set  bool
		name string
	}{{s.Commit, "commit"}, {s.Assign, "assign"}, {s.Reclaim, "reclaim"}} {
		if part.set {
			text += " " + part.name
		}
	}
	for _, p := range s.Partitions {
		room, steps := p.TakeWakes()
		if room {
			text += " room in " + p.Stream
		}
		if steps {
			text += " steps of " + p.Stream
		}
	}
	if text == "" {
		text = " nothing"
	}
	r.print("signals:%s", text)
	return nil
}

func (r *trace) nextWake(m *traceMember, _ []string, _ string) error {
	if at := m.WakeAt(); !at.IsZero() {
		r.print("wakes at %s", r.time(at))
	} else {
		r.print("wakes never")
	}
	return nil
}

const mostPrinted = 12

// printLines prints lines, of many only the first and the last ones.
func (r *trace) printLines(lines []string) {
	if n := len(lines); n > mostPrinted {
		lines = append(lines[:4:4], fmt.Sprintf("… %d more …", n-5), lines[n-1])
	}
	r.out = append(r.out, lines...)
}

func abbreviate(list []string) string {
	if n := len(list); n > mostPrinted {
		list = append(list[:3:3], fmt.Sprintf("… %d more …", n-4), list[n-1])
	}
	return strings.Join(list, " ")
}

// compact describes checkpoints: many equal ones are one number.
func compact(seqs []domain.Seq) string {
	distinct := slices.Compact(slices.Clone(seqs))
	if len(distinct) == 1 && len(seqs) > mostPrinted {
		return fmt.Sprintf("all %d", distinct[0])
	}
	return strings.Trim(fmt.Sprint(seqs), "[]")
}
