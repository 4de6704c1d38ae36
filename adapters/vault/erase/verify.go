package erase

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"chatcore/adapters/vault/object"
	"chatcore/adapters/wireformat"
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

// Subject is what an examination looks for: the events that were erased of a message, when they were, by the clock of the log, and the message; it is "" for those of a
// deleted chat.
type Subject struct {
	object.Erasure
	Message domain.MessageID
	At      time.Time
}

// lag is how late the archiver may write events to a journal that it has read before they were erased.
const lag = time.Hour

// Verify examines the vault for the content of erased events, and returns a row for each place. Journals and tails are judged by their age: their content is not read.
// Errors are those of Erase.
func (e *Eraser) Verify(ctx context.Context, s Subject) ([]ports.ErasurePlace, error) {
	var places []ports.ErasurePlace
	for _, examine := range []func(context.Context, Subject) (ports.ErasurePlace, error){
		e.verifyLists, e.verifySegments, e.verifyForks, e.verifyJournals, e.verifyTails, e.verifyUnfinished,
	} {
		place, err := examine(ctx, s)
		if err != nil {
			return nil, err
		}
		places = append(places, place)
	}
	return places, nil
}

func (e *Eraser) verifyLists(ctx context.Context, s Subject) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceLists, Status: ports.ErasureDone}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := e.readLists(ctx); err != nil {
		return place, err
	}
	if _, listed := e.listed[key{s.Chat, s.By}]; !listed {
		place.Status, place.Detail = ports.ErasurePending, "no list has the erasure: a restore would revive the content"
	}
	return place, nil
}

func (e *Eraser) verifySegments(ctx context.Context, s Subject) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceSegments, Status: ports.ErasureDone}
	for number, events := range bySegment(s.Events) {
		names, err := e.generations(ctx, s.Chat, number)
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

// verifyForks reads all forks of the partition: they are few. They may have further events of the message, which the log has lost.
func (e *Eraser) verifyForks(ctx context.Context, s Subject) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceForks, Status: ports.ErasureDone}
	for found, err := range e.c.Vault.List(ctx, object.Fork(e.c.Log, e.c.Partition(s.Chat), 0).Siblings(), "") {
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
			if chat.Chat == s.Chat && slices.ContainsFunc(chat.Lost, s.has) {
				place.Status, place.Detail = ports.ErasurePending, fmt.Sprintf("%s has content of a lost event; delete it once it is not needed as evidence", name)
			}
		}
	}
	return place, nil
}

// has reports whether an event that the log has lost may have content of the message. It does if this program cannot read the event.
func (s Subject) has(lost object.Event) bool {
	erased, err := wireformat.Erased(lost.JSON)
	if err == nil && bytes.Equal(erased, lost.JSON) {
		return false
	}
	r, err := wireformat.New().Decode(lost.JSON)
	return err != nil || s.Message == "" || slices.Contains(domain.Moves(r.Event), domain.MessageEntity(s.Message))
}

// verifyJournals reads the oldest object of each archiver.
func (e *Eraser) verifyJournals(ctx context.Context, s Subject) (ports.ErasurePlace, error) {
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
		if milliseconds(journal.Flushed).Before(s.At.Add(lag)) {
			place.Status, place.Until, place.Detail = ports.ErasurePending, s.At.Add(lag+e.c.Journals), "journals are kept for "+e.c.Journals.String()
			break
		}
	}
	return place, nil
}

// verifyTails compares the time of each tail: one that began after the erasure was read from a log without the content.
func (e *Eraser) verifyTails(ctx context.Context, s Subject) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceTails, Status: ports.ErasureDone}
	for found, err := range e.c.Vault.List(ctx, object.Tail(e.c.Log, e.c.Partition(s.Chat), 0, 0).Siblings(), "") {
		if err != nil {
			return place, err
		}
		name, err := object.ParseName(found.Name)
		if err != nil {
			return place, err
		}
		if !milliseconds(name.Time).After(s.At) {
			place.Status, place.Until, place.Detail = ports.ErasurePending, s.At.Add(e.c.Tails), "tails are kept for up to "+e.c.Tails.String()
			break
		}
	}
	return place, nil
}

// abandoned is the age at which an unfinished write belongs to no running process.
const abandoned = time.Hour

// verifyUnfinished removes what interrupted writes have left more than an hour ago, and asks the vault for what is left of others. Bytes that were written after the
// erasure were read from a log without the content.
func (e *Eraser) verifyUnfinished(ctx context.Context, s Subject) (ports.ErasurePlace, error) {
	place := ports.ErasurePlace{Place: PlaceUnfinished, Status: ports.ErasureDone}
	vault, knows := e.c.Vault.(ports.UnfinishedWrites)
	if !knows {
		place.Status, place.Detail = ports.ErasureUnreachable, "the vault does not list what interrupted writes have left"
		return place, nil
	}
	err := vault.RemoveUnfinished(ctx, e.c.Now().Add(-abandoned))
	var oldest time.Time
	if err == nil {
		oldest, err = vault.Unfinished(ctx)
	}
	switch {
	case errors.Is(err, ports.ErrVaultDenied):
		place.Status, place.Detail = ports.ErasureUnreachable, "the vault does not list or remove what interrupted writes have left: "+err.Error()
	case err != nil:
		return place, err
	case !oldest.IsZero() && oldest.Before(s.At.Add(lag)):
		place.Status, place.Until = ports.ErasurePending, oldest.Add(abandoned)
		place.Detail = fmt.Sprintf("a write of %s was interrupted or is running; an examination an hour later removes it", oldest.UTC().Format(time.RFC3339))
	}
	return place, nil
}

func milliseconds(ms uint64) time.Time { return time.UnixMilli(int64(ms)).UTC() } //nolint:gosec // a time
