package archive

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"chatcore/adapters/vault/object"
	"chatcore/ports"
)

// journal writes the journal objects of an archiver, one after another.
type journal struct {
	archiver *Archiver

	mu      sync.Mutex
	epoch   uint64 // 0 before the first object
	number  uint64 // of the next object
	before  object.Link
	flushed uint64 // time of the last object; times never fall

	pending map[object.Sum]bool // objects that the vault may have stored under the next name without saying so
}

// epochAttempts is how many epochs are tried before a journal object is given up. Each costs an archiver that began in the same millisecond.
const epochAttempts = 16

// write stores the blocks as the next journal object. Blocks whose storing failed may be stored all the same, and may be written again.
func (j *journal) write(ctx context.Context, blocks []object.Block) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for range epochAttempts {
		if j.epoch == 0 {
			j.begin()
		}
		j.flushed = max(j.flushed, j.archiver.now())
		name := object.Journal(j.archiver.config.LogID, j.epoch, j.number)
		data, err := j.archiver.codec.EncodeJournal(&object.JournalObject{Name: name, Flushed: j.flushed, Before: j.before, Blocks: blocks})
		if err != nil {
			return err
		}
		if stored, err := j.store(ctx, name, data); err != nil || stored {
			return err
		}
	}
	return fmt.Errorf("%w: other archivers have the names of %d journals", ports.ErrUnavailable, epochAttempts)
}

// last returns the time of the log, or of the last object if that is later.
func (j *journal) last() uint64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return max(j.flushed, j.archiver.now())
}

// begin begins an epoch, after one that another archiver has.
func (j *journal) begin() {
	j.epoch, j.number, j.before = max(j.archiver.now(), j.epoch+1), 0, object.Link{}
}

// store stores the next object. It returns false if the name is taken: by an earlier attempt whose answer was lost, or by another archiver, which has the epoch.
// The journal goes on after the former, and in another epoch after the latter.
func (j *journal) store(ctx context.Context, name object.Name, data []byte) (stored bool, err error) {
	err = j.archiver.put(ctx, name, data)
	switch {
	case err == nil:
		j.advance(name, object.SumOf(data))
		j.archiver.counts.flushes.Add(1)
		return true, nil
	case errors.Is(err, ports.ErrUnavailable):
		if j.pending == nil {
			j.pending = make(map[object.Sum]bool)
		}
		j.pending[object.SumOf(data)] = true
	case errors.Is(err, ports.ErrExists):
		return false, j.pass(ctx, name)
	}
	return false, err
}

// pass goes on after an object that has the next name.
func (j *journal) pass(ctx context.Context, name object.Name) error {
	taken, err := j.archiver.get(ctx, name)
	if err != nil {
		return err
	}
	if sum := (object.Sum{}); len(taken) >= len(sum) && j.pending[object.SumOf(taken)] {
		j.advance(name, object.SumOf(taken))
		return nil
	}
	j.begin()
	return nil
}

// advance goes on after a stored object.
func (j *journal) advance(name object.Name, sum object.Sum) {
	j.number, j.before, j.pending = name.Number+1, object.Link{Name: name.String(), Sum: sum}, nil
}
