package archive

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
	"chatcore/domain"
	"chatcore/internal/backoff"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// Log is the part of an event log that an archiver reads, with its notes.
type Log interface {
	ports.Backlog
	ports.VaultNotes
	// LoadChats is that of [ports.BulkReader].
	LoadChats(ctx context.Context, loads ...ports.ChatLoad) ([]ports.Loaded, error)
}

// Config configures an [Archiver]. All fields without another comment are required.
type Config struct {
	Vault      ports.Vault
	Log        Log
	LogID      string
	Partitions int    // of the log
	Hash       string // that assigns chats to partitions
	// Ancestors are the logs that this one continues after a restore, the youngest first. It may be nil.
	Ancestors func(ctx context.Context) ([]object.Ancestor, error)

	// Rules returns the retention policies and the legal holds of a partition, as they are stored. It may be nil.
	Rules func(ctx context.Context, partition int) (policies, holds map[string]string, err error)

	Histories ports.Histories
	Began     string // history of the log before the first event was read
	Clock     ports.LogClock
	Groups    groups.Stores
	Group     string // whose batches the archiver handles

	Flush         time.Duration // between two flushes
	TailEvery     time.Duration // between two tails of a partition
	FullTailEvery time.Duration // between two full tails of a partition
	Keep          time.Duration // for which journals, and older tails, are kept

	Logger *slog.Logger
}

// Archiver copies the log of a process to a vault. Its methods are safe for concurrent use.
type Archiver struct {
	config  Config
	codec   *object.Codec
	events  *wireformat.Codec
	journal journal
	counts  counters

	partitions []*partition // by number

	opening sync.Mutex // guards the next two
	open    bool       // the manifest says that the log takes events
	closed  bool       // by Close, and no event came since

	following sync.Mutex // held while the vault is compared with the log

	mu       sync.Mutex      // guards the fields below, and those of partitions
	failures map[int]failure // by partition, and by the constants below 0
	retained time.Time       // when journals and tails were deleted last
}

// partition is the state of a partition of the log. The mutex of the archiver guards the fields without one of their own.
type partition struct {
	number int
	group  groups.Partition

	sealing sync.Mutex // held while segments of a chat are sealed, and while segments of lost events are deleted
	tailing sync.Mutex // held while a tail is written

	history  string                   // up to which the vault was compared with the log; "" before the first comparison
	before   string                   // the history before, "" if the process has not seen one
	doubtful time.Time                // until when events that were read are compared with the log, because it may have lost them
	grown    map[domain.ChatID]uint64 // chats with full segments that are not sealed → how many segments are full
	tails    []tail                   // of the vault, by time
	tried    uint64                   // time of the last tail that was begun
	known    bool                     // grown and tails are complete
	rules    *object.RuleSet          // that the vault has; nil if that is not known. tailing guards it
}

// New returns an archiver. It does no I/O.
func New(c Config) (*Archiver, error) {
	codec, err := object.NewCodec()
	if err != nil {
		return nil, err
	}
	a := &Archiver{config: c, codec: codec, events: wireformat.New(), failures: make(map[int]failure)}
	a.journal = journal{archiver: a}
	for n := range c.Partitions {
		a.partitions = append(a.partitions, &partition{number: n, grown: make(map[domain.ChatID]uint64)})
	}
	for _, p := range c.Groups.Partitions() {
		if p.Number >= 0 && p.Number < c.Partitions {
			a.partitions[p.Number].group = p
		}
	}
	return a, nil
}

// now returns the time of the log in Unix milliseconds.
func (a *Archiver) now() uint64 { return uint64(a.config.Clock.Now().UnixMilli()) } //nolint:gosec // after 1970

// maxPause is the longest pause after failures of the vault or the log.
const maxPause = 15 * time.Second

// Run seals segments, writes tails and deletes journals that are no longer needed, for the partitions that owned returns, until ctx ends. The group must exist:
// its first tail has everything that was appended before.
func (a *Archiver) Run(ctx context.Context, owned func() []int) {
	var before map[int]bool
	for failed := 0; ; {
		now := owned()
		var err error
		if !a.isClosed() {
			err = a.maintain(ctx, now, before)
		}
		before = numbers(now)
		if failed++; err == nil {
			failed = 0
		}
		pause := a.config.Flush
		if failed > 0 {
			pause = backoff.Policy{First: pause, Max: max(maxPause, pause)}.Pause(failed)
		}
		if backoff.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// numbers returns a set of partitions.
func numbers(partitions []int) map[int]bool {
	set := make(map[int]bool, len(partitions))
	for _, n := range partitions {
		set[n] = true
	}
	return set
}

// maintain does once what is due for the owned partitions. The archiver's knowledge of those that are not in before may be outdated.
func (a *Archiver) maintain(ctx context.Context, owned []int, before map[int]bool) (first error) {
	for _, n := range owned {
		p := a.partitions[n]
		if !before[n] {
			a.mu.Lock()
			p.known = false
			a.mu.Unlock()
			p.forgetRules()
		}
		err := a.maintainPartition(ctx, p)
		a.report(ctx, n, err)
		if first == nil {
			first = err
		}
	}
	if first == nil && numbers(owned)[0] {
		first = a.retainIfDue(ctx)
		a.report(ctx, retentionFailure, first)
	}
	return first
}

func (a *Archiver) maintainPartition(ctx context.Context, p *partition) error {
	if open, err := a.prepareUnlessClosed(ctx); err != nil || !open { // the log may have been closed after this pass began
		return err
	}
	if err := a.follow(ctx, a.config.Histories.History(ctx), p); err != nil {
		return err
	}
	if err := a.learn(ctx, p); err != nil {
		return err
	}
	if err := a.seal(ctx, p); err != nil {
		return err
	}
	p.tailing.Lock()
	defer p.tailing.Unlock()
	if err := a.copyRules(ctx, p); err != nil {
		return err
	}
	if full, due := a.tailDue(p); due {
		return a.writeTail(ctx, p, full)
	}
	return nil
}

// learn finds out what the vault has of a partition that the archiver has acquired.
func (a *Archiver) learn(ctx context.Context, p *partition) error {
	a.mu.Lock()
	known := p.known
	a.mu.Unlock()
	if known {
		return nil
	}
	if err := a.findGrown(ctx, p); err != nil {
		return err
	}
	tails, err := a.tailsOf(ctx, p.number)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p.tails, p.known = tails, true
	return nil
}
