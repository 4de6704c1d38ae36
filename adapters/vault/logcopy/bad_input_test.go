package logcopy_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"

	"chatcore/adapters/vault/logcopy"
	"chatcore/adapters/vault/object"
	"chatcore/domain"
	"chatcore/ports"
)

// sealedWorld returns a log with a sealed segment, a tail and journals, and another chat.
func sealedWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, 1, 2)
	w.append(w.chats[0], object.SegmentEvents*2+10)
	w.append(w.chats[1], 3)
	w.flushAll(w.archivers[0])
	w.seal(w.chats[0])
	w.tail(0, true, true)
	w.append(w.chats[1], 3)
	w.flushAll(w.archivers[0])
	w.append(w.chats[1], 3)
	w.flushAll(w.archivers[0])
	return w
}

// readAll reads everything of a vault.
func readAll(t *testing.T, w *world) error {
	t.Helper()
	l, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{Erase: eraser})
	if err != nil {
		return err
	}
	p, err := l.Partition(t.Context(), 0)
	if err != nil {
		return err
	}
	for _, chat := range p.Chats() {
		for _, err := range p.Chat(t.Context(), chat) {
			if err != nil {
				return err
			}
		}
	}
	return l.Journals(t.Context(), func(int) error { return nil })
}

// replace changes the bytes of an object.
func (w *world) replace(t *testing.T, name object.Name, change func(data []byte) []byte) {
	t.Helper()
	data, err := w.vault.Get(t.Context(), name.String(), 0, ports.WholeObject)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.vault.Delete(t.Context(), name.String()); err != nil {
		t.Fatal(err)
	}
	if data = change(data); data == nil {
		return
	}
	if err := w.vault.Put(t.Context(), name.String(), data); err != nil {
		t.Fatal(err)
	}
}

// TestOpen_RefusesBadObjects changes one object of a vault. The error names the object.
func TestOpen_RefusesBadObjects(t *testing.T) {
	w := sealedWorld(t)
	tailTime := uint64(0)
	for o, err := range w.vault.List(t.Context(), object.Tail(worldLog, 0, 0, 0).Siblings(), "") {
		name, parseErr := object.ParseName(o.Name)
		if err != nil || parseErr != nil {
			t.Fatal(err, parseErr)
		}
		tailTime = name.Time
	}
	epoch := w.archivers[0].epoch
	objects := map[string]object.Name{
		"manifest": object.Manifest(worldLog, 0), "segment": object.Segment(worldLog, 0, "c0", 1, 0), "tail": object.Tail(worldLog, 0, tailTime, 0),
		"journal": object.Journal(worldLog, epoch, 2),
	}
	swapped := map[string]object.Name{
		"segment": object.Segment(worldLog, 0, "c0", 0, 0), "tail": object.Tail(worldLog, 0, tailTime, 1), "journal": object.Journal(worldLog, epoch, 0),
	}
	changes := map[string]struct {
		reason error
		change func(kind string, data []byte) []byte
	}{
		"truncated": {object.ErrTruncated, func(_ string, data []byte) []byte { return data[:len(data)-7] }},
		"damaged": {object.ErrDamaged, func(_ string, data []byte) []byte {
			data[len(data)/2] ^= 1
			return data
		}},
		"of a newer format": {object.ErrNewerFormat, func(_ string, data []byte) []byte {
			return resealed(data, func(data []byte) { data[8]++ })
		}},
		"of another log": {object.ErrOtherLog, func(_ string, data []byte) []byte {
			return resealed(data, func(data []byte) { copy(data[bytes.Index(data, []byte(worldLog)):], "fedcba98") })
		}},
		"swapped": {object.ErrSwapped, func(kind string, data []byte) []byte {
			name, found := swapped[kind]
			if !found {
				return resealed(data, func(data []byte) { copy(data[bytes.Index(data, []byte("manifest")):], "manifesf") })
			}
			data, err := w.vault.Get(t.Context(), name.String(), 0, ports.WholeObject)
			if err != nil {
				t.Fatal(err)
			}
			return data
		}},
	}
	for kind, name := range objects {
		for what, c := range changes {
			t.Run(kind+" "+what, func(t *testing.T) {
				var before []byte
				w.replace(t, name, func(data []byte) []byte {
					before = bytes.Clone(data)
					return c.change(kind, data)
				})
				err := readAll(t, w)
				var refused *object.Error
				if !errors.As(err, &refused) || !errors.Is(err, c.reason) || refused.Name != name.String() {
					t.Errorf("%v, want %v of %s", err, c.reason, name)
				}
				w.replace(t, name, func([]byte) []byte { return before })
			})
		}
	}
	if err := readAll(t, w); err != nil {
		t.Error(err)
	}
}

// resealed changes an envelope and renews its sum.
func resealed(data []byte, change func(data []byte)) []byte {
	data = bytes.Clone(data)
	change(data)
	sum := sha256.Sum256(data[:len(data)-sha256.Size])
	return append(data[:len(data)-sha256.Size], sum[:]...)
}

// TestOpen_MissingObjects removes objects: the errors say what is missing.
func TestOpen_MissingObjects(t *testing.T) {
	t.Run("a journal object between others", func(t *testing.T) {
		w := sealedWorld(t)
		name := object.Journal(worldLog, w.archivers[0].epoch, 1)
		w.replace(t, name, func([]byte) []byte { return nil })
		var wrong *ports.CorruptError
		if err := readAll(t, w); !errors.As(err, &wrong) || wrong.Key != name.String() {
			t.Errorf("%v, want a CorruptError of %s", err, name)
		}
	})
	t.Run("a segment before another one", func(t *testing.T) {
		w := sealedWorld(t)
		name := object.Segment(worldLog, 0, "c0", 0, 0)
		w.replace(t, name, func([]byte) []byte { return nil })
		var wrong *ports.CorruptError
		if err := readAll(t, w); !errors.As(err, &wrong) || wrong.Key != name.String() {
			t.Errorf("%v, want a CorruptError of %s", err, name)
		}
	})
	t.Run("the last segment", func(t *testing.T) {
		w := sealedWorld(t)
		w.replace(t, object.Segment(worldLog, 0, "c0", 1, 0), func([]byte) []byte { return nil })
		w.replace(t, object.Journal(worldLog, w.archivers[0].epoch, 0), func([]byte) []byte { return nil }) // it has the events, too
		var wrong *ports.CorruptError
		if err := readAll(t, w); !errors.As(err, &wrong) || wrong.Chat != "c0" || wrong.Seq != object.SegmentEvents+1 {
			t.Errorf("%v, want a CorruptError of seq %d", err, object.SegmentEvents+1)
		}
	})
	t.Run("the last part of the only tail", func(t *testing.T) {
		w := newWorld(t, 2, 2)
		w.append(w.chats[0], 1)
		w.append(w.chats[1], 1)
		w.tail(0, true, true)
		w.tail(1, true, false)
		var wrong *logcopy.IncompleteError
		if err := readAll(t, w); !errors.As(err, &wrong) || !errors.Is(err, logcopy.ErrIncomplete) || len(wrong.Partitions) != 1 || wrong.Partitions[0] != 1 {
			t.Errorf("%v, want an IncompleteError of partition 1", err)
		}
	})
	t.Run("everything", func(t *testing.T) {
		w := newWorld(t, 1, 1)
		w.replace(t, object.Manifest(worldLog, 0), func([]byte) []byte { return nil })
		if err := readAll(t, w); !errors.Is(err, logcopy.ErrLogNotFound) {
			t.Error(err)
		}
	})
}

// TestOpen_DifferentCopies has two different events with one seq and no fork that explains it.
func TestOpen_DifferentCopies(t *testing.T) {
	for _, place := range []string{"journal", "tail", "segment"} {
		w := sealedWorld(t)
		c := w.chats[1]
		switch place {
		case "segment":
			c = w.chats[0]
			fallthrough
		case "journal":
			c.events[0].JSON = []byte(`{"other":true}`)
			w.flush(w.archivers[0], w.history(), map[*worldChat]int{c: 0})
		case "tail":
			c.events[4].JSON = []byte(`{"other":true}`)
			w.tail(0, true, true)
		}
		var wrong *ports.CorruptError
		if err := readAll(t, w); !errors.As(err, &wrong) || wrong.Chat != c.id {
			t.Errorf("%s: %v, want a CorruptError of %s", place, err, c.id)
		}
	}
}

// TestOpen_ChoosesTheLog opens vaults with several logs.
func TestOpen_ChoosesTheLog(t *testing.T) {
	w := sealedWorld(t)
	add := func(number uint64, log string, ancestors ...object.Ancestor) {
		name := object.Manifest(log, number)
		w.put(name, func() ([]byte, error) {
			return object.EncodeManifest(&object.ManifestObject{Name: name, Log: log, Partitions: 1, Hash: "h", Ancestors: ancestors})
		})
	}
	add(0, "ffff", object.Ancestor{Log: worldLog, ForkAt: 1})
	var incomplete *logcopy.IncompleteError
	if err := readAll(t, w); !errors.As(err, &incomplete) || incomplete.Log != "ffff" {
		t.Errorf("%v, want that log ffff, the newest one, is not complete", err)
	}
	add(0, "0000")
	var several *logcopy.LogError
	_, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{})
	if !errors.As(err, &several) || !errors.Is(err, logcopy.ErrSeveralLogs) || len(several.Found) != 3 {
		t.Errorf("%v, want the three logs", err)
	}
	if l, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{Log: worldLog}); err != nil || l.Manifest().Log != worldLog || l.Whole() {
		t.Errorf("the named log: %v", err)
	}
	if _, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{Log: "abcd"}); !errors.Is(err, logcopy.ErrLogNotFound) {
		t.Errorf("%v, want ErrLogNotFound", err)
	}
	name := object.Manifest(worldLog, 1)
	w.put(name, func() ([]byte, error) {
		return object.EncodeManifest(&object.ManifestObject{Name: name, Log: worldLog, Partitions: 1, Closed: w.now + 9})
	})
	l, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{Log: worldLog})
	if err != nil || !l.Whole() || !l.Reached().Equal(moment(w.now+9)) {
		t.Errorf("a closed log: %v", err)
	}
}

// TestOpen_Moments asks for moments that the vault cannot give.
func TestOpen_Moments(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	w := newWorld(t, 1, 1)
	c := w.chats[0]
	w.append(c, 3)
	w.flushAll(w.archivers[0])
	w.tail(0, true, true)
	first := w.now
	w.now += day
	w.append(c, 3)
	between := w.now
	w.flushAll(w.archivers[0])
	w.append(c, 3)
	w.flushAll(w.archivers[0])
	w.now += day
	w.tail(0, true, true)
	last := w.now
	try := func(at uint64) error {
		_, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{At: moment(at)})
		return err
	}
	refused := func(at uint64) {
		t.Helper()
		var invalid *domain.InvalidError
		if err := try(at); !errors.As(err, &invalid) || invalid.Field != "at" {
			t.Errorf("at %d: %v, want an InvalidError", at, err)
		}
	}
	refused(first - 1)
	for _, at := range []uint64{first, between, last, last + day} {
		if err := try(at); err != nil {
			t.Errorf("at %d: %v", at, err)
		}
	}
	for n := range uint64(2) { // the archiver deletes old journals
		if err := w.vault.Delete(t.Context(), object.Journal(worldLog, w.archivers[0].epoch, n).String()); err != nil {
			t.Fatal(err)
		}
	}
	refused(first)
	refused(between)
	if err := errors.Join(try(last), try(last+1)); err != nil {
		t.Error(err)
	}
	if err := w.vault.Delete(t.Context(), object.Journal(worldLog, w.archivers[0].epoch, 2).String()); err != nil {
		t.Fatal(err)
	}
	refused(between)
	w.compare(t, 0)
	w.archiver()
	w.append(c, 1)
	w.flushAll(w.archivers[1]) // of another archiver: those of the first one are gone
	refused(between)
	w.compare(t, 0)
}

// TestOpen_QuietMoments asks for a moment between two tails of which the earlier journals were deleted, and in which nothing was appended.
func TestOpen_QuietMoments(t *testing.T) {
	const day = 24 * 60 * 60 * 1000
	w := newWorld(t, 1, 2)
	w.append(w.chats[0], 3)
	w.flushAll(w.archivers[0])
	w.tail(0, true, true)
	w.now += day
	quiet := w.now
	w.now += day
	w.append(w.chats[0], 2)
	w.append(w.chats[1], 2)
	w.flushAll(w.archivers[0])
	w.tail(0, true, true)
	if err := w.vault.Delete(t.Context(), object.Journal(worldLog, w.archivers[0].epoch, 0).String()); err != nil {
		t.Fatal(err)
	}
	w.compare(t, quiet)
}

// TestOpen_ForgedChains changes what objects say of the ones before, with right sums.
func TestOpen_ForgedChains(t *testing.T) {
	w := sealedWorld(t)
	var damage *object.Error
	first := object.Journal(worldLog, w.archivers[0].epoch, 0)
	w.replace(t, first, func(data []byte) []byte {
		j, err := w.codec.DecodeJournal(first, data)
		if err != nil {
			t.Fatal(err)
		}
		j.Before.Name = object.Journal(worldLog, 1, 1).String()
		data, err = w.codec.EncodeJournal(j)
		if err != nil {
			t.Fatal(err)
		}
		return data
	})
	if err := readAll(t, w); !errors.As(err, &damage) || damage.Name != first.String() || !errors.Is(damage.Reason, object.ErrSwapped) {
		t.Errorf("a first journal object that follows another one: %v", err)
	}
	w = sealedWorld(t)
	c := w.chats[0]
	c.sealed, c.root = 1, object.Root{}
	second := object.Segment(worldLog, 0, c.id, 1, 0)
	w.replace(t, second, func([]byte) []byte { return nil })
	w.seal(c)
	if err := readAll(t, w); !errors.As(err, &damage) || damage.Name != second.String() {
		t.Errorf("a segment that follows another one: %v", err)
	}
	w = sealedWorld(t)
	w.replace(t, object.Journal(worldLog, w.archivers[0].epoch, 0), func([]byte) []byte { return nil })
	w.chats[0].events[0].JSON = []byte(`{"other":true}`)
	w.flush(w.archivers[0], w.history(), map[*worldChat]int{w.chats[0]: 0})
	var wrong *ports.CorruptError
	if err := readAll(t, w); !errors.As(err, &wrong) || wrong.Seq != 1 {
		t.Errorf("a segment and a journal with different events: %v", err)
	}
}

// TestOpen_Erasures refuses a vault with erased events if the caller cannot leave out their content.
func TestOpen_Erasures(t *testing.T) {
	w := sealedWorld(t)
	w.erase(w.chats[0], 7, false)
	if _, err := logcopy.Open(t.Context(), w.vault, logcopy.Config{}); !errors.Is(err, logcopy.ErrErased) {
		t.Errorf("%v, want ErrErased", err)
	}
	w.compare(t, 0)
}
