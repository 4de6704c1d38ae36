package eventlog

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/redis/limit"
	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
)

// batch is a number of requests that go to Redis in one script call.
type batch struct {
	log        *Log
	requests   []*request
	partitions []int
	witnesses  []field // least value that each partition's witness must have, as text
	bytes      int
	token      field
	held       *field // identity of the log, as the batch was last sent
	fence      field  // key, of a batch of plain sends

	fields []field
	args   []any
}

// field is an argument in a request's buffer. A pointer to it becomes an argument without an allocation.
type field struct{ bytes []byte }

// MarshalBinary implements encoding.BinaryMarshaler for go-redis.
func (f *field) MarshalBinary() ([]byte, error) { return f.bytes, nil }

// present reports whether all commands were validated in the current epoch.
func (b *batch) present() bool {
	if b.log.epoch == nil {
		return true
	}
	now := b.log.epoch()
	for _, r := range b.requests {
		if r.append.Epoch != now {
			return false
		}
	}
	return true
}

//nolint:gochecknoglobals // a pool has no state of its own
var batches = sync.Pool{New: func() any { return &batch{} }}

func newBatch(l *Log) *batch {
	b, _ := batches.Get().(*batch)
	b.log, b.token.bytes = l, l.tokens.next(b.token.bytes[:0])
	return b
}

func (b *batch) free() {
	clear(b.requests)
	clear(b.fields)
	clear(b.args)
	b.requests, b.partitions, b.bytes, b.fields, b.args = b.requests[:0], b.partitions[:0], 0, b.fields[:0], b.args[:0]
	batches.Put(b)
}

func (b *batch) add(r *request) {
	b.requests = append(b.requests, r)
	b.bytes += len(r.buf)
}

// place returns the number of a partition in the batch, from 1, in the order of first use.
func (b *batch) place(partition int) int {
	for i, p := range b.partitions {
		if p == partition {
			return i + 1
		}
	}
	b.partitions = append(b.partitions, partition)
	return len(b.partitions)
}

// look numbers the partitions and copies the least values of their witnesses. It must run before the epoch is compared: outdated and observe end the
// epoch before they lower the values.
func (b *batch) look() {
	b.partitions = b.partitions[:0]
	for _, r := range b.requests {
		b.place(r.partition)
	}
	for len(b.witnesses) < len(b.partitions) {
		b.witnesses = append(b.witnesses, field{})
	}
	for i, p := range b.partitions {
		w := &b.witnesses[i]
		w.bytes = strconv.AppendUint(w.bytes[:0], b.log.witnesses.list[p].known.Load(), 10)
	}
}

// marshal returns the command that sends the batch to a server at the given history, as EVALSHA or, if withText is set, as EVAL. Numbers below 256,
// constant texts and pointers become arguments without an allocation. The reply is a text: a Cmd would allocate for its type, too.
func (b *batch) marshal(ctx context.Context, history *field, withText, again bool) *goredis.StringCmd {
	b.held = b.log.held[b.partitions[0]].Load()
	switch b.requests[0].form {
	case plainSend:
		b.marshalPlain(history, withText, b.log.sendHeader, sendSource, b.log.public[:1])
	case plainErasure:
		b.marshalPlain(history, withText, b.log.eraseHeader, eraseMessageSource, b.log.public[1:])
	case general, forms:
		b.marshalCommands(history, withText, again)
	}
	return goredis.NewStringCmd(ctx, b.args...)
}

func (b *batch) marshalCommands(history *field, withText, again bool) {
	l := b.log
	b.args = append(b.args[:0], l.header[0], l.header[1], 3*len(b.partitions))
	if withText {
		b.args[0], b.args[1] = "eval", limit.TakeScript+appendSource
	}
	for _, p := range b.partitions {
		b.args = append(b.args, l.ids[p], l.marks[p])
	}
	for _, p := range b.partitions {
		b.args = append(b.args, l.streams[p])
	}
	resend := 0
	if again {
		resend = 1
	}
	b.args = append(b.args, b.held, history, &b.token, resend, len(b.requests))
	for i := range b.partitions {
		b.args = append(b.args, &b.witnesses[i])
	}
	b.marshalRequests()
	b.args = append(b.args, l.bound, l.announcing)
}

// marshalRequests adds the arguments of all requests.
func (b *batch) marshalRequests() {
	fields := 0
	for _, r := range b.requests {
		fields += len(r.ends)
	}
	if cap(b.fields) < fields {
		b.fields = make([]field, 0, fields)
	}
	b.fields = b.fields[:0]
	for _, r := range b.requests {
		b.args = append(b.args, b.log.places[b.place(r.partition)-1])
		start := 0
		for _, end := range r.ends {
			b.fields = append(b.fields, field{r.buf[start:end]})
			b.args = append(b.args, &b.fields[len(b.fields)-1])
			start = end
		}
	}
}

// resends are the pauses before further attempts after a lost reply. The first attempt follows at once; the last pauses cover a restart without
// blocking callers for long.
//
//nolint:gochecknoglobals // never changes
var resends = [...]time.Duration{0, 20 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond}

// run sends a batch for one script, and sets the outcome of every request, or one error for all of them. After a lost reply it sends the batch again, by
// append.lua, with the same event ids. Redis then finds the events or appends them, so that no event is appended twice. A batch that certainly was not
// carried out fails at once.
func (b *batch) run(ctx context.Context) {
	began := time.Now()
	var unknown error
	for attempt := 0; ; attempt++ {
		reply, confirmed, err := b.call(ctx, unknown != nil)
		if err == nil {
			b.read(reply, confirmed, unknown)
			b.log.meters.committed(ctx, b, time.Since(began))
			return
		}
		if other, ok := errors.AsType[*otherLogError](err); ok {
			if unknown == nil {
				b.fail(other.cause)
			} else {
				b.fail(fmt.Errorf("%w: %w: %w", ports.ErrOutcomeUnknown, other.cause, unknown))
			}
			break
		}
		if errors.Is(err, errHistory) { // versions may have another meaning in another history
			if unknown == nil {
				b.fail(fmt.Errorf("%w: %w", ports.ErrConflict, err))
			} else {
				b.fail(fmt.Errorf("%w: %w: %w", ports.ErrOutcomeUnknown, err, unknown))
			}
			break
		}
		if unknown == nil && (rediscmd.Answered(err) || neverSent(err)) {
			b.fail(rediscmd.Unavailable(ctx, err))
			break
		}
		if !rediscmd.Answered(err) && !neverSent(err) {
			unknown = err
		}
		if attempt == len(resends) {
			b.fail(fmt.Errorf("%w: %w", ports.ErrOutcomeUnknown, unknown))
			break
		}
		_ = backoff.Sleep(ctx, resends[attempt])
	}
	b.log.meters.committed(ctx, b, time.Since(began))
}

// call sends the batch once: by the script's hash or, if Redis does not have the script, by its text.
func (b *batch) call(ctx context.Context, again bool) (reply string, confirmed int, err error) {
	if again {
		if err := b.generalize(); err != nil {
			return "", 0, err
		}
	}
	withText := false
	queue := b.log.queueOf(b.requests[0].partition)
	for range rediscmd.Routes {
		var node *goredis.Client
		if node, err = b.log.node(ctx, b.requests[0].partition); err != nil {
			return "", 0, err
		}
		history := queue.history.Load() // before the epoch, which ends before a new history is stored
		b.look()
		if !b.present() {
			return "", 0, errHistory
		}
		cmd := b.marshal(ctx, history, withText, again)
		confirmed, err = b.process(ctx, node, cmd)
		switch {
		case err == nil:
			reply = cmd.Val()
			if place, other := strings.CutPrefix(reply, "-1 "); other {
				if err = b.recheck(ctx, place); err != nil {
					return "", 0, err
				}
				err = &otherLogError{errIdentityMoves}
				continue
			}
			if present, other := strings.CutPrefix(reply, "-3 "); other {
				queue.observe(present)
			} else if strings.HasPrefix(reply, "-5 ") {
				b.log.witnesses.outdated()
			} else {
				return reply, confirmed, nil
			}
			err = errHistory
		case goredis.HasErrorPrefix(err, "NOSCRIPT"):
			withText = true
		case b.log.moved(ctx, err):
		default:
			return "", 0, err
		}
	}
	return "", 0, err
}

// errHistory is the cause if a batch has commands that were validated against events that Redis may have lost. The batch was not appended.
var errHistory = errors.New("redis may have lost events that this process has read")

// neverSent reports whether a batch certainly did not reach Redis.
func neverSent(err error) bool { return errors.Is(err, errHistory) || rediscmd.NeverSent(err) }

// errIdentityMoves is returned when a partition's identity differs at every attempt.
var errIdentityMoves = fmt.Errorf("%w: the log's identity changes", ports.ErrUnavailable)

// otherLogError is the error of a batch that a partition refused because its identity is not the one this process holds. Nothing was appended.
type otherLogError struct{ cause error }

func (e *otherLogError) Error() string { return e.cause.Error() }

// recheck calls [Log.Recheck] for the partition at a place of the batch.
func (b *batch) recheck(ctx context.Context, place string) error {
	n, _ := strconv.Atoi(place)
	if err := b.log.Recheck(ctx, b.partitions[n-1], string(b.held.bytes)); err != nil {
		return &otherLogError{err}
	}
	return nil
}

// process runs the script and, if replicas must confirm, waits for them on the same connection.
func (b *batch) process(ctx context.Context, node *goredis.Client, cmd goredis.Cmder) (confirmed int, err error) {
	d := b.log.durability
	if d.Replicas == 0 {
		return 0, node.Process(ctx, cmd)
	}
	return d.process(ctx, node, cmd)
}

func (b *batch) fail(err error) {
	for _, r := range b.requests {
		r.err = err
	}
}

// read sets the outcome of every request from its line of the reply.
func (b *batch) read(reply string, confirmed int, unknown error) {
	if reply == "-2" {
		b.fail(fmt.Errorf("%w: the batch was sent again before it arrived", ports.ErrOutcomeUnknown))
		return
	}
	if cause, half := strings.CutPrefix(reply, "-4 "); half {
		err := errors.New(cause)
		if rediscmd.IsDenial(cause) {
			err = &ports.RightsError{Cause: err}
		}
		b.log.halt(err)
		b.fail(fmt.Errorf("%w: a write after the first one was refused: %w", ports.ErrOutcomeUnknown, err))
		return
	}
	for _, r := range b.requests {
		line := reply
		if end := strings.IndexByte(reply, '\n'); end >= 0 {
			line, reply = reply[:end], reply[end+1:]
		} else {
			reply = ""
		}
		if r.form == general {
			r.outcome = r.read(b.log.limits, line, unknown)
		} else {
			r.readPlain(line)
		}
		if r.left {
			continue
		}
		if r.outcome.Err == nil {
			b.log.witnesses.learned(r.partition)
		}
		if d := b.log.durability; r.outcome.Err == nil && confirmed < d.Replicas {
			r.outcome.Err = &ports.UnconfirmedError{Appended: r.outcome.Appended, Confirmed: confirmed, Wanted: d.Replicas}
		}
	}
	if counted, some := strings.CutPrefix(reply, "! "); some {
		b.log.countRefused(counted)
	}
}

func (r *request) read(keys keyspace.Limits, line string, unknown error) ports.Outcome {
	status, rest, _ := strings.Cut(line, " ")
	number := func() uint64 {
		var text string
		text, rest, _ = strings.Cut(rest, " ")
		n, _ := strconv.ParseUint(text, 10, 64)
		return n
	}
	switch status {
	case "0":
		appended := ports.Appended{
			First: domain.Seq(number()), Last: domain.Seq(number()), Ordinal: domain.Ordinal(number()), EndedTyping: number() == 1,
		}
		if event, move, ok := strings.Cut(strings.TrimSpace(rest), "."); ok {
			move, _, _ = strings.Cut(move, " ")
			e, _ := strconv.Atoi(event)
			m, _ := strconv.Atoi(move)
			appended.Due = r.append.Events[e-1].Moves[m-1]
		}
		return ports.Outcome{Appended: appended}
	case "1":
		e := r.entities[number()-1]
		return ports.Outcome{Err: &ports.ConflictError{Chat: r.append.Chat, Condition: e.condition, Version: domain.Seq(number())}}
	case "2":
		return ports.Outcome{Err: &ports.CorruptError{Chat: r.append.Chat, Cause: errors.New(rest)}}
	case "5", "6":
		place := int(number()) //nolint:gosec // a place
		return ports.Outcome{Err: r.takeError(keys, status, place, rest)}
	case "7":
		return ports.Outcome{Err: &domain.LegalHoldError{HoldSubject: domain.SubjectsOf(r.append.Chat, r.erasing.sender)[number()-1]}}
	case "4":
		return ports.Outcome{Err: fmt.Errorf("%w: chat %q does not exist, it cannot record a command without events", ports.ErrConflict, r.append.Chat)}
	}
	return ports.Outcome{Err: fmt.Errorf("%w: %w", ports.ErrOutcomeUnknown, errors.Join(unknown, errors.New("the entity has moved too often since")))}
}

// takeError reads the outcome of a command that one of its limits refused (status 5), or whose limit could not be decided (status 6).
func (r *request) takeError(keys keyspace.Limits, status string, place int, rest string) error {
	take := r.append.Takes[place-1]
	failed := &ports.TakeError{Place: place - 1}
	switch first, second, _ := strings.Cut(rest, " "); {
	case status == "5":
		failed.Decision, failed.Cause = limit.ParseDecision(take.Limit, false, first, second)
	case rest == "":
		failed.Cause = limit.ForeignError(keys.Of(take))
	case rediscmd.IsDenial(rest):
		failed.Cause = fmt.Errorf("%w: %w", ports.ErrUnavailable, &ports.RightsError{Cause: errors.New(rest)})
	default:
		failed.Cause = fmt.Errorf("%w: %s", ports.ErrUnavailable, rest)
	}
	return failed
}
