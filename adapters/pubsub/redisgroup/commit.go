package redisgroup

import (
	"context"
	"strconv"
	"time"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/ports/groups"
)

// sharedLetters is how many entries of a stream are remembered as dead letters of some group.
const sharedLetters = 10_000

// Commit implements [groups.Store]. One round trip. It does not keep the changes.
func (s *store) Commit(ctx context.Context, changes []groups.OwnedCommit, lease time.Duration) []groups.CommitResult {
	partitions, args := make([]groups.Partition, len(changes)), make([]*commitArgs, len(changes))
	for i, c := range changes {
		partitions[i] = c.Partition
	}
	replies, errs := s.runGuarded(ctx, s.shared.scripts.commit, partitions, func(i int, log string) rediscmd.Call {
		k := s.state(partitions[i])
		args[i] = s.newArgs()
		return rediscmd.Call{
			Keys: []string{k.id, k.group, k.chats, k.left, k.failing, k.again, k.dead, k.Stream, k.unreadable},
			Args: args[i].build(log, &changes[i], lease),
		}
	})
	results := make([]groups.CommitResult, len(changes))
	for i, values := range replies {
		args[i].clear()
		s.args.Put(args[i])
		results[i] = commitResult(values, errs[i])
	}
	return results
}

func (s *store) newArgs() *commitArgs {
	if a, ok := s.args.Get().(*commitArgs); ok {
		return a
	}
	return &commitArgs{}
}

func commitResult(values []any, err error) groups.CommitResult {
	if err != nil {
		return groups.CommitResult{Err: err}
	}
	number := func(i int) int {
		n, _ := values[i].(int64)
		return int(n)
	}
	r := groups.CommitResult{Revision: rediscmd.Text(values[1]), DeadLetters: number(3), Written: number(4)}
	if first := rediscmd.Text(values[2]); first != "" {
		r.Lost = true
		r.First, _ = groups.ParseStreamID(first) // "-" if the stream is empty
	}
	return r
}

// commitArgs holds the arguments of one call of the script. Chats and seqs are pointers into the commit, because a value that is put into an interface is
// allocated: a commit has hundreds of them. The memory is reused.
type commitArgs struct {
	args   []any
	ids    []idArg  // that args points to
	texts  []string // that args points to
	buffer []byte   // of the text that is built
	lease  int64
	counts [6]int
}

// idArg is an id as an argument of a command.
type idArg struct {
	groups.StreamID
	text [41]byte
}

// MarshalBinary returns the id as Redis writes it. It is valid until the next call.
func (a *idArg) MarshalBinary() ([]byte, error) { return a.Append(a.text[:0]), nil }

// build returns the arguments that script/commit.lua lists. They are valid until the next build, as long as the commit is not changed.
func (a *commitArgs) build(log string, c *groups.OwnedCommit, lease time.Duration) []any {
	a.reserve(c.Commit)
	a.lease = lease.Milliseconds()
	a.args = append(a.args[:0], log, &c.Epoch, &c.Number, &a.lease)
	if c.Position.IsZero() {
		a.args = append(a.args, "")
	} else {
		a.id(c.Position)
	}
	a.args = append(a.args, &c.Passed)
	a.walk(c.Walk)
	a.count(0, len(c.Seen))
	for _, id := range c.Seen {
		a.id(id)
	}
	a.count(1, len(c.Checkpoints))
	a.args = appendCheckpoints(a.args, c.Checkpoints)
	a.count(2, len(c.Left))
	for i := range c.Left {
		a.args = append(a.args, &c.Left[i].Chat)
		switch c.Left[i].State {
		case groups.Streamed:
			a.args = append(a.args, "")
		case groups.Behind:
			a.args = append(a.args, markBehind)
		case groups.Parked:
			a.args = append(a.args, markParked)
		}
	}
	a.count(3, len(c.Failing))
	for i := range c.Failing {
		a.args = append(a.args, &c.Failing[i].Chat)
		a.buffer = appendProgress(a.buffer[:0], c.Failing[i].Progress)
		a.text(string(a.buffer))
	}
	a.count(4, len(c.Resolved))
	for i := range c.Resolved {
		a.args = append(a.args, &c.Resolved[i])
	}
	a.count(5, len(c.Letters))
	a.args = append(a.args, sharedLetters)
	for i := range c.Letters {
		a.letter(&c.Letters[i])
	}
	return a.args
}

// reserve makes room for the elements that args points to: these must not move.
func (a *commitArgs) reserve(c *groups.Commit) {
	if n := len(c.Seen) + 1; cap(a.ids) < n {
		a.ids = make([]idArg, 0, n)
	}
	if n := len(c.Failing) + 1; cap(a.texts) < n {
		a.texts = make([]string, 0, n)
	}
	a.ids, a.texts = a.ids[:0], a.texts[:0]
}

func (a *commitArgs) id(id groups.StreamID) {
	a.ids = append(a.ids, idArg{StreamID: id})
	a.args = append(a.args, &a.ids[len(a.ids)-1])
}

func (a *commitArgs) text(text string) {
	a.texts = append(a.texts, text)
	a.args = append(a.args, &a.texts[len(a.texts)-1])
}

// count adds the length of one of the lists.
func (a *commitArgs) count(list, n int) {
	a.counts[list] = n
	a.args = append(a.args, &a.counts[list])
}

// walk adds the progress of a walk: checked:total, checked alone if the total is not known yet, "-" at its end, or "" if it is unchanged.
func (a *commitArgs) walk(w groups.Walk) {
	switch {
	case !w.Changed:
		a.args = append(a.args, "")
	case !w.Active:
		a.args = append(a.args, "-")
	case w.Total == 0:
		a.text(strconv.Itoa(w.Checked))
	default:
		a.text(strconv.Itoa(w.Checked) + ":" + strconv.Itoa(w.Total))
	}
}

// letter adds a dead letter.
func (a *commitArgs) letter(l *groups.Letter) {
	entry, mark, fields := "", "", letterFields(l)
	if !l.Entry.IsZero() {
		entry = l.Entry.String()
	}
	if l.Of != "" {
		m := l.Mark
		m.At = time.Time{} // the script sets it
		mark = formatRetryMark(m)
	}
	if l.Of != "" && !l.InOrder { // a letter that was dropped meanwhile is not written again
		fields = nil
	}
	a.args = append(append(a.args, entry, l.Of, mark, len(fields)), fields...)
}

// clear releases the memory of the commit.
func (a *commitArgs) clear() {
	clear(a.args[:cap(a.args)])
	clear(a.texts[:cap(a.texts)])
}

// appendCheckpoints appends pointers to each chat and its seq.
func appendCheckpoints(args []any, checkpoints []groups.Checkpoint) []any {
	for i := range checkpoints {
		args = append(args, &checkpoints[i].Chat, (*uint64)(&checkpoints[i].Seq))
	}
	return args
}
