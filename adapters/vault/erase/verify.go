package erase

import (
	"context"
	"fmt"
	"slices"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// The places of a report.
const (
	PlaceLists      = "vault lists"
	PlaceSegments   = "vault segments"
	PlaceForks      = "vault forks"
	PlaceJournals   = "vault journals"
	PlaceTails      = "vault tails"
	PlaceUnfinished = "vault unfinished writes"
)

// lag is how late the archiver may write events to a journal that it has read before they were erased.
const lag = time.Hour

// Verify examines the vault for the content of erased events, and returns a row for each place. at is when they were erased, by the clock of the log. Journals
// and tails are judged by their age: their content is not read. Errors are those of Erase.
func (e *Eraser) Verify(ctx context.Context, erasure object.Erasure, at time.Time) ([]ports.ErasurePlace, error) {
	var places []ports.ErasurePlace
	for _, examine := range []func(context.Context, object.Erasure, time.Time) (ports.ErasurePlace, error){
		e.verifyLists, e.verifySegments, e.verifyForks, e.verifyJournals, e.verifyTails, e.verifyUnfinished,
	} {
		place, err := examine(ctx, erasure, at)
		if err != nil {
			return nil, err
		}
		places = append(places, place)
	}
	return places, nil
}

func (e *Eraser) verifyLists(ctx context.Context, erasure object.Erasure, _ time.Time) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceLists, Status: ports.ErasureDone}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readLists(ctx); err != nil {
		return place, err
	}
	if _, listed := e.listed[key{erasure.Chat, erasure.By}]; !listed {
		place.Status, place.Detail = ports.ErasurePending, "no list has the erasure: a restore would revive the content"
	}
	return place, nil
}

func (e *Eraser) verifySegments(ctx context.Context, erasure object.Erasure, _ time.Time) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceSegments, Status: ports.ErasureDone}
	for number, events := range bySegment(erasure.Events) {
		names, err := e.generations(ctx, erasure.Chat, number)
		if err != nil {
			return place, err
		}
		for i, name := range names {
			segment, err := e.read(ctx, name)
			if err != nil {
				return place, err
			}
			left, err := replacementsOf(segment, events)
			if err != nil {
				return place, err
			}
			if len(left) == 0 {
				continue
			}
			place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("%s has the content", name)
			if i < len(names)-1 {
				e.supersede(names[i : i+1])
				place.Until = e.due(name)
			}
		}
	}
	return place, nil
}

// due returns when a superseded generation may be deleted.
func (e *Eraser) due(name object.Name) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.superseded[name.String()]
}

// verifyForks reads all forks of the partition: they are few. Events of the message that the log has lost have other ids, and are not found.
func (e *Eraser) verifyForks(ctx context.Context, erasure object.Erasure, _ time.Time) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceForks, Status: ports.ErasureDone}
	ids := make(map[domain.EventID]struct{})
	for _, event := range erasure.Events {
		ids[event.ID] = struct{}{}
	}
	for found, err := range e.c.Vault.List(ctx, object.Fork(e.c.Log, e.c.Partition(erasure.Chat), 0).Siblings(), "") {
		if err != nil {
			return place, err
		}
		name, err := object.ParseName(found.Name)
		if err != nil {
			return place, err
		}
		data, err := e.c.Vault.Get(ctx, found.Name, 0, ports.WholeObject)
		if err != nil {
			return place, err
		}
		fork, err := e.c.Codec.DecodeFork(name, data)
		if err != nil {
			return place, err
		}
		for _, chat := range fork.Chats {
			if slices.ContainsFunc(chat.Lost, func(lost object.Event) bool { _, erased := ids[lost.ID]; return erased }) {
				place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("%s has an erased event; delete it once it is not needed as evidence", name)
			}
		}
	}
	return place, nil
}

// verifyJournals reads the oldest object of each archiver.
func (e *Eraser) verifyJournals(ctx context.Context, _ object.Erasure, at time.Time) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceJournals, Status: ports.ErasureDone}
	epoch, first := uint64(0), true
	for found, err := range e.c.Vault.List(ctx, object.Journal(e.c.Log, 0, 0).Siblings(), "") {
		if err != nil {
			return place, err
		}
		name, err := object.ParseName(found.Name)
		if err != nil {
			return place, err
		}
		if !first && name.Epoch == epoch {
			continue
		}
		epoch, first = name.Epoch, false
		data, err := e.c.Vault.Get(ctx, found.Name, 0, ports.WholeObject)
		if err != nil {
			return place, err
		}
		journal, err := e.c.Codec.DecodeJournal(name, data)
		if err != nil {
			return place, err
		}
		if milliseconds(journal.Flushed).Before(at.Add(lag)) {
			place.Status, place.Until, place.Detail = ports.ErasurePending, at.Add(lag+e.c.Journals), "journals are kept for "+e.c.Journals.String()
			break
		}
	}
	return place, nil
}

// verifyTails compares the time of each tail: one that began after the erasure was read from a log without the content.
func (e *Eraser) verifyTails(ctx context.Context, erasure object.Erasure, at time.Time) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceTails, Status: ports.ErasureDone}
	for found, err := range e.c.Vault.List(ctx, object.Tail(e.c.Log, e.c.Partition(erasure.Chat), 0, 0).Siblings(), "") {
		if err != nil {
			return place, err
		}
		name, err := object.ParseName(found.Name)
		if err != nil {
			return place, err
		}
		if !milliseconds(name.Time).After(at) {
			place.Status, place.Until, place.Detail = ports.ErasurePending, at.Add(e.c.Tails), "tails are kept for up to "+e.c.Tails.String()
			break
		}
	}
	return place, nil
}

// verifyUnfinished asks the vault for what interrupted writes have left. Bytes that were written after the erasure were read from a log without the content.
func (e *Eraser) verifyUnfinished(ctx context.Context, _ object.Erasure, at time.Time) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceUnfinished, Status: ports.ErasureDone}
	vault, knows := e.c.Vault.(ports.UnfinishedWrites)
	if !knows {
		place.Status, place.Detail = ports.ErasureUnreachable, "the vault does not list what interrupted writes have left"
		return place, nil
	}
	oldest, err := vault.Unfinished(ctx)
	if err != nil {
		return place, err
	}
	if !oldest.IsZero() && oldest.Before(at.Add(lag)) {
		place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("an interrupted write of %s has left a file, which a process removes when it opens the vault an hour later", oldest.UTC().Format(time.RFC3339))
	}
	return place, nil
}

func milliseconds(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() } //nolint:gosec // a time
