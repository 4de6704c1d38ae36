package object

import (
	"bytes"
	"encoding/hex"
	"strconv"

	"chatcore/domain"
	"chatcore/internal/bytescan"
)

// The JSON of an event is packed before it is compressed, because most of it is random ids in hex digits, which zstd cannot shrink to their bits: on the
// transcript 88 bytes an event without packing, 70 with it. These bytes, which JSON does not have, stand for parts of it.
const (
	markVerbatim = iota // the whole JSON, which has bytes below 0x20
	markUUID            // 32 digits and minuses, as 8-4-4-4-12
	markHex             // 32 digits
	markPlace           // the event's own seq and ordinal, as the codec of events writes them
	endOfJSON    = '\n'
)

// digits is the number of hex digits of an id.
const digits = 32

// id is an id in place of its digits.
type id [digits / 2]byte

// packer packs the JSON of events.
type packer struct {
	text     []byte
	ids      [][]id // of each event
	verbatim writer // each with its length
	place    []byte // saves allocations
}

func appendPlace(b []byte, seq domain.Seq, ordinal domain.Ordinal) []byte {
	b = strconv.AppendUint(append(b, `"seq":`...), uint64(seq), 10)
	return strconv.AppendUint(append(b, `,"ordinal":`...), uint64(ordinal), 10)
}

// add packs the JSON of an event.
func (p *packer) add(e Event, seq domain.Seq) {
	if !plain(e.JSON) {
		p.text = append(p.text, markVerbatim, endOfJSON)
		p.verbatim.bytes(e.JSON)
		p.ids = append(p.ids, nil)
		return
	}
	p.place = appendPlace(p.place[:0], seq, e.Ordinal)
	before, after, found := bytes.Cut(e.JSON, p.place)
	ids := p.digits(nil, before)
	if found {
		p.text = append(p.text, markPlace)
		ids = p.digits(ids, after)
	}
	p.text = append(p.text, endOfJSON)
	p.ids = append(p.ids, ids)
}

// plain reports whether JSON has none of the bytes that stand for something.
func plain(json []byte) bool { return bytescan.IndexControl(json) < 0 }

// digits packs the ids of a part of JSON.
func (p *packer) digits(ids []id, json []byte) []id {
	copied := 0
	for at := nextRun(json, 0); at < len(json); at = nextRun(json, at) {
		run := hexRun(json[at:])
		switch {
		case run >= digits:
			p.text = append(append(p.text, json[copied:at]...), markHex)
			ids = append(ids, idOf(json[at:at+digits]))
			at += digits
			copied = at
		case run == uuidParts[0] && isUUID(json[at:]):
			p.text = append(append(p.text, json[copied:at]...), markUUID)
			ids = append(ids, idOf(json[at:at+uuidSize]))
			at += uuidSize
			copied = at
		default:
			at += run
		}
	}
	p.text = append(p.text, json[copied:]...)
	return ids
}

// nextRun returns where the next run of hex digits begins that is long enough for an id, or the end. A run that long has the last of its first digits wherever
// it begins, so that most bytes need not be read.
func nextRun(json []byte, at int) int {
	for least := uuidParts[0]; at+least <= len(json); at += least {
		last := at + least - 1
		if !isHex(json[last]) {
			continue
		}
		for last > at && isHex(json[last-1]) {
			last--
		}
		return last
	}
	return len(json)
}

func isHex(c byte) bool { return c-'0' <= 9 || c-'a' <= 5 }

// hexRun returns the number of lower case hex digits at the beginning of a text.
func hexRun(b []byte) (n int) {
	for n < len(b) && isHex(b[n]) {
		n++
	}
	return n
}

const uuidSize = digits + 4

var uuidParts = [...]int{8, 4, 4, 4, 12} //nolint:gochecknoglobals // never changes

// isUUID reports whether a text begins with a UUID in lower case.
func isUUID(b []byte) bool {
	for i, n := range uuidParts {
		if i > 0 {
			if len(b) == 0 || b[0] != '-' {
				return false
			}
			b = b[1:]
		}
		if len(b) < n || hexRun(b[:n]) < n {
			return false
		}
		b = b[n:]
	}
	return true
}

// idOf returns the id of a UUID, or of digits.
func idOf(text []byte) (i id) {
	var bare [digits]byte
	n := 0
	for _, c := range text {
		if c != '-' {
			bare[n] = c
			n++
		}
	}
	_, _ = hex.Decode(i[:], bare[:]) // they are digits
	return i
}

// append appends the digits of an id, as a UUID or without minuses.
func (i id) append(b []byte, uuid bool) []byte {
	if !uuid {
		return hex.AppendEncode(b, i[:])
	}
	from := 0
	for part, n := range uuidParts {
		if part > 0 {
			b = append(b, '-')
		}
		to := from + n/2
		b, from = hex.AppendEncode(b, i[from:to]), to
	}
	return b
}

// transposed returns the ids of events, first the first one of each event, then the second ones: in each case the first bytes of all, then the second ones. Ids
// with a common beginning, or that are the same in all events, shrink to nothing then.
func transposed(ids [][]id) (b []byte) {
	for column := 0; ; column++ {
		rows := having(ids, column)
		if len(rows) == 0 {
			return b
		}
		for i := range len(id{}) {
			for _, row := range rows {
				b = append(b, ids[row][column][i])
			}
		}
	}
}

// having returns the events that have an id in a column.
func having(ids [][]id, column int) (rows []int) {
	for row := range ids {
		if len(ids[row]) > column {
			rows = append(rows, row)
		}
	}
	return rows
}

// longestPlace is the size of the longest place of an event.
const longestPlace = len(`"seq":,"ordinal":`) + 2*20

// unpack reads the JSON of events.
func (r *reader) unpack(events []Event, seq func(i int) domain.Seq) {
	lines, counts, size, marked := make([][]byte, len(events)), make([]int, len(events)), 0, 0
	for i := range lines {
		end := bytes.IndexByte(r.rest, endOfJSON)
		if end < 0 {
			r.fail("the end of an event is missing")
			return
		}
		lines[i] = r.take(end + 1)[:end]
		counts[i] = bytes.Count(lines[i], []byte{markUUID}) + bytes.Count(lines[i], []byte{markHex})
		if marked += counts[i]; marked > len(r.ids)/len(id{}) {
			r.fail("ids are missing")
			return
		}
		size += len(lines[i]) + counts[i]*uuidSize + longestPlace
	}
	ids, all := make([][]id, len(events)), make([]id, marked)
	for i, n := range counts {
		ids[i], all = all[:n], all[n:]
	}
	r.transposed(ids)
	text := make([]byte, 0, size)
	for i, line := range lines {
		if len(line) == 1 && line[0] == markVerbatim {
			events[i].JSON = r.bytes()
			continue
		}
		from := len(text)
		text = r.expand(text, line, ids[i], seq(i), events[i].Ordinal)
		events[i].JSON = text[from:len(text):len(text)]
	}
}

// expand appends the JSON of an event.
func (r *reader) expand(text, line []byte, ids []id, seq domain.Seq, ordinal domain.Ordinal) []byte {
	for {
		at := bytescan.IndexControl(line)
		if at < 0 {
			return append(text, line...)
		}
		text = append(text, line[:at]...)
		switch c := line[at]; c {
		case markUUID, markHex:
			text = ids[0].append(text, c == markUUID)
			ids = ids[1:]
		case markPlace:
			text = appendPlace(text, seq, ordinal)
		default:
			r.fail("an event has the byte %#x", c)
		}
		line = line[at+1:]
	}
}

// transposed reads ids, whose numbers are known and not too large.
func (r *reader) transposed(ids [][]id) {
	for column := 0; ; column++ {
		rows := having(ids, column)
		if len(rows) == 0 {
			return
		}
		for i := range len(id{}) {
			for k, row := range rows {
				ids[row][column][i] = r.ids[k]
			}
			r.ids = r.ids[len(rows):]
		}
	}
}
