package chatcore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
	"sync"
	"time"

	"chatcore/adapters/redis/conn"
	"chatcore/adapters/redis/eventlog"
	"chatcore/adapters/redis/keyspace"
	"chatcore/adapters/vault/logcopy"
	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/ports"
)

// VerifyConfig configures [Verify].
type VerifyConfig struct {
	Vault ports.Vault
	Log   string   // log id. Defaults to the log that all others in the vault are ancestors of
	Roots []string // roots of sealed segments that were written down, in hexadecimal digits: each must be there
	Redis bool     // compare with the log in Redis, too. Defaults to false: Redis is not asked

	// Report is called with each finding, one call at a time. If it returns an error, the check ends with it. Defaults to none: findings are only counted.
	Report func(VaultFinding) error
	// Sealed is called with the root of each sealed segment, one call at a time. Defaults to none.
	Sealed func(chat domain.ChatID, segment uint64, root string)
	// Progress is called after each chat, one call at a time. If it returns an error, the check ends with it. Defaults to none.
	Progress func(CopyProgress) error
}

// VerifyReport says what was checked, apart from what was found.
type VerifyReport struct {
	Log        string    // log id
	Moment     time.Time // up to which the vault has the log, by the clock of Redis
	Partitions int
	Chats      int
	Events     int
	Segments   int // sealed ones
	Journals   int // journal objects
	Ahead      int // events that Redis has and the vault does not have yet
	Findings   int
}

// VaultFinding is something in a vault that is wrong.
type VaultFinding struct {
	Kind string        // "object", "event", "erasure", "root", "redis"; stable across versions
	Chat domain.ChatID // "" if it is of no one chat
	Seq  domain.Seq    // 0 if it is of no one event
	What string
}

// Verify checks the copy of a log in a vault: the sums of all objects, the chain of journals, the chains of roots, that each chat has all seqs, that all copies of an
// event are the same, and that each event is the one of its place. With [VerifyConfig.Redis] it also compares every event with Redis. It reports what is wrong, and
// goes on; it uses all processors.
//
// An error means that the check could not finish: those of [Restore] that are about reading, and [ErrLogLost] if Redis has another log.
func Verify(ctx context.Context, config Config, verify VerifyConfig) (VerifyReport, error) {
	v := &verifying{config: verify, codec: wireformat.New(), roots: make(map[string]bool)}
	err := v.run(ctx, config)
	return v.report, err
}

// verifying is a check that runs.
type verifying struct {
	config VerifyConfig
	codec  *wireformat.Codec
	copy   *logcopy.Copy
	stored *eventlog.Stored // nil if Redis is not asked
	meter  copyMeter

	mu     sync.Mutex // guards the others
	report VerifyReport
	roots  map[string]bool // roots that were written down, and whether they were found
}

func (v *verifying) found(f VaultFinding) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.report.Findings++
	if v.config.Report == nil {
		return nil
	}
	return v.config.Report(f)
}

func (v *verifying) run(ctx context.Context, config Config) error {
	for _, root := range v.config.Roots {
		if b, err := hex.DecodeString(root); err != nil || len(b) != len(object.Root{}) {
			return &domain.InvalidError{Field: "root", Problem: fmt.Sprintf("is %.80q", root), Allowed: "64 hexadecimal digits"}
		}
		v.roots[strings.ToLower(root)] = false
	}
	var err error
	if v.copy, err = logcopy.Open(ctx, v.config.Vault, logcopy.Config{Log: v.config.Log, Erase: wireformat.Erased}); err != nil {
		return err
	}
	v.report.Log, v.report.Moment, v.report.Partitions = v.copy.Manifest().Log, v.copy.Reached(), v.copy.Manifest().Partitions
	v.meter = copyMeter{report: v.config.Progress, done: CopyProgress{Partitions: v.report.Partitions}}
	if !v.config.Redis {
		return v.check(ctx)
	}
	return onLog(ctx, config, func(client *conn.Client, keys keyspace.Keys) (err error) {
		if v.stored, err = eventlog.FindStored(ctx, client.UniversalClient, keys); err != nil {
			return err
		}
		if v.stored.ID() != v.report.Log {
			return fmt.Errorf("%w: Redis has log %s, and the vault log %s", ErrLogLost, v.stored.ID(), v.report.Log)
		}
		if err := v.check(ctx); err != nil {
			return err
		}
		return v.stored.Check(ctx)
	})
}

func (v *verifying) check(ctx context.Context) error {
	err := v.copy.Journals(ctx, func(int) error {
		v.report.Journals++
		return nil
	})
	if err := v.wrong("", err); err != nil {
		return err
	}
	none := func() struct{} { return struct{}{} }
	_, err = inParallel(ctx, v.steps(ctx), none, func(ctx context.Context, _ struct{}, s verifyStep) error {
		if s.chat == "" {
			return v.ahead(ctx, s.partition, s.number)
		}
		return v.chat(ctx, s.partition, s.chat)
	})
	if err != nil {
		return err
	}
	for root, there := range v.roots {
		if !there {
			if err := v.found(VaultFinding{Kind: "root", What: "no sealed segment has the root " + root}); err != nil {
				return err
			}
		}
	}
	v.report.Chats, v.report.Events = v.meter.done.Chats, v.meter.done.Events
	return nil
}

// verifyStep is the check of a chat in a partition; without a chat it counts what Redis has beyond the partition.
type verifyStep struct {
	partition *logcopy.Partition
	number    int
	chat      domain.ChatID
}

// steps yields the steps of all partitions. The next partition is read while chats of the one before are checked, so that no processor waits for it.
func (v *verifying) steps(ctx context.Context) iter.Seq2[verifyStep, error] {
	return func(yield func(verifyStep, error) bool) {
		for number := range v.report.Partitions {
			p, err := v.partition(ctx, number)
			if err != nil && !yield(verifyStep{}, err) {
				return
			}
			if p == nil {
				continue
			}
			for _, chat := range p.Chats() {
				if !yield(verifyStep{p, number, chat}, nil) {
					return
				}
			}
			if v.stored != nil && !yield(verifyStep{p, number, ""}, nil) {
				return
			}
		}
	}
}

// partition reads a partition. It returns nil if something in the vault is wrong, which it has reported then.
func (v *verifying) partition(ctx context.Context, number int) (*logcopy.Partition, error) {
	v.meter.begin(number)
	p, err := v.copy.Partition(ctx, number)
	if err != nil {
		return nil, v.wrong("", err)
	}
	_, err = v.copy.Rules(ctx, number)
	return p, v.wrong("", err)
}

// wrong reports an error of something in the vault. It returns other errors.
func (v *verifying) wrong(chat domain.ChatID, err error) error {
	var refused *object.Error
	var corrupt *ports.CorruptError
	switch {
	case errors.As(err, &refused):
		return v.found(VaultFinding{Kind: "object", Chat: chat, What: err.Error()})
	case errors.As(err, &corrupt):
		return v.found(VaultFinding{Kind: "event", Chat: corrupt.Chat, Seq: corrupt.Seq, What: err.Error()})
	}
	return err
}

func (v *verifying) chat(ctx context.Context, p *logcopy.Partition, chat domain.ChatID) error {
	c := &chatVerification{verifying: v, chat: chat}
	err := c.run(ctx, p)
	if err := v.wrong(chat, err); err != nil {
		return err
	}
	return v.meter.chat(int(p.Head(chat))) //nolint:gosec // a count
}

// chatVerification is the check of one chat.
type chatVerification struct {
	*verifying
	chat    domain.ChatID
	ordinal domain.Ordinal
}

func (c *chatVerification) run(ctx context.Context, p *logcopy.Partition) error {
	next := func() (eventlog.StoredPart, error, bool) { return eventlog.StoredPart{}, nil, false }
	if c.stored != nil {
		var stop func()
		next, stop = iter.Pull2(c.stored.Events(ctx, c.chat, p.Head(c.chat)))
		defer stop()
	}
	for part, err := range p.Chat(ctx, c.chat) {
		if err != nil {
			return err
		}
		there, err, _ := next()
		var corrupt *ports.CorruptError
		if err != nil && !errors.As(err, &corrupt) {
			return err
		}
		if err := c.part(part, there); err != nil {
			return err
		}
		if c.stored == nil {
			continue
		}
		if err := c.compare(part, there); err != nil {
			return err
		}
	}
	return nil
}

// part checks a part of a chat by itself. An event with the same bytes as in Redis need not be decoded again.
func (c *chatVerification) part(part logcopy.Part, there eventlog.StoredPart) error {
	for _, seq := range part.Unlisted {
		if err := c.found(VaultFinding{Kind: "erasure", Chat: c.chat, Seq: seq, What: "the event is erased, and no list of erasures names it"}); err != nil {
			return err
		}
	}
	for i, e := range part.Events {
		seq := part.First + domain.Seq(i) //nolint:gosec // an index
		var r ports.Record
		var err error
		if i < len(there.Records) && there.Records[i].Event != nil && bytes.Equal(there.Events[i], e.JSON) {
			r = there.Records[i]
		} else {
			r, err = c.decode(e.JSON)
		}
		problem := ""
		if err != nil {
			problem = err.Error()
		} else {
			problem = c.misplaced(seq, e, r)
		}
		if problem != "" {
			return &ports.CorruptError{Chat: c.chat, Seq: seq, Cause: errors.New(problem)}
		}
	}
	if part.Root == (object.Root{}) {
		return nil
	}
	root := hex.EncodeToString(part.Root[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Segments++
	if _, asked := c.roots[root]; asked {
		c.roots[root] = true
	}
	if c.config.Sealed != nil {
		c.config.Sealed(c.chat, uint64(part.First-1)/object.SegmentEvents, root)
	}
	return nil
}

func (c *chatVerification) decode(json []byte) (ports.Record, error) {
	r, err := c.codec.Decode(json)
	if errors.Is(err, ports.ErrNewerVersion) || errors.Is(err, wireformat.ErrUnknownType) {
		return c.codec.DecodeUnknown(json)
	}
	return r, err
}

// misplaced returns why an event, which was decoded to a record, is not the one of its place, or "".
func (c *chatVerification) misplaced(seq domain.Seq, e object.Event, r ports.Record) string {
	if domain.InTimeline(r.Event) {
		c.ordinal++
	}
	if r.ID != e.ID || r.Seq != seq || r.Ordinal != e.Ordinal || r.Ordinal != c.ordinal || r.Event.ChatID() != c.chat {
		return fmt.Sprintf("it is event %s of chat %q with seq %d and ordinal %d; event %s with ordinal %d is expected", r.ID, r.Event.ChatID(), r.Seq, r.Ordinal, e.ID, c.ordinal)
	}
	return ""
}

// compare compares a part of a chat with Redis.
func (c *chatVerification) compare(part logcopy.Part, there eventlog.StoredPart) error {
	for i, e := range part.Events {
		seq := part.First + domain.Seq(i) //nolint:gosec // an index
		what := ""
		switch {
		case i >= len(there.Events):
			what = "Redis does not have the event"
		case !bytes.Equal(there.Events[i], e.JSON):
			what = "Redis has another event there, or with other bytes"
		}
		if what != "" { // those that follow differ as well
			return c.found(VaultFinding{Kind: "redis", Chat: c.chat, Seq: seq, What: what})
		}
	}
	return nil
}

// ahead counts the events that Redis has and the vault does not have.
func (v *verifying) ahead(ctx context.Context, p *logcopy.Partition, number int) error {
	for chat, err := range v.stored.Chats(ctx, number) {
		if err != nil {
			return v.wrong("", err)
		}
		head, err := v.stored.Head(ctx, chat)
		if err != nil {
			if err := v.wrong(chat, err); err != nil {
				return err
			}
			continue
		}
		if known := p.Head(chat); head > known {
			v.report.Ahead += int(head - known) //nolint:gosec // a count
		}
	}
	return nil
}
