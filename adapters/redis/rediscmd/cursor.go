package rediscmd

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"

	"chatcore/domain"
	"chatcore/ports"
)

// Cursor is the position in a list. A hash or set in a compact encoding is returned whole by every scan, in a stable order: Last is then
// the last element of the previous page. For any other encoding, Rest holds the few elements that the last scan returned beyond the previous page.
type Cursor struct {
	Partition int      `json:"p,omitempty"`
	Scan      uint64   `json:"s,omitempty"`
	Last      string   `json:"l,omitempty"`
	Rest      []string `json:"r,omitempty"`
	Ended     bool     `json:"e,omitempty"` // the scan has ended, and only Rest remains
}

// maxRest is the number of elements that a scan of a hash table may return beyond the requested count, with a wide margin.
const maxRest = 64

// ParseCursor parses what [Cursor.String] returned. The error is a [*domain.InvalidError].
func ParseCursor(text string, partitions int) (c Cursor, err error) {
	if text == "" {
		return c, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Partition < 0 || c.Partition >= partitions || len(c.Rest) > maxRest+ports.MaxPage {
		return c, &domain.InvalidError{Field: "cursor", Problem: fmt.Sprintf("is %.80q", text), Allowed: "the cursor of the page before, or nothing"}
	}
	return c, nil
}

// String returns the cursor as text; [ParseCursor] parses it.
func (c Cursor) String() string {
	raw, _ := json.Marshal(c) // cannot fail
	return base64.RawURLEncoding.EncodeToString(raw)
}

// Page takes elements until it has limit of them or the scan has ended. step makes one scan that reads about count elements. Page reports whether the
// scan has ended; otherwise the cursor is the next position.
func (c *Cursor) Page(limit int, step func(scan uint64, count int) ([]string, uint64, error)) (page []string, ended bool, err error) {
	for {
		n := min(limit-len(page), len(c.Rest))
		page, c.Rest = append(page, c.Rest[:n]...), c.Rest[n:]
		if c.Ended && len(c.Rest) == 0 {
			return page, true, nil
		}
		if len(page) == limit {
			return page, false, nil
		}
		names, next, err := step(c.Scan, limit)
		if err != nil {
			return nil, false, err
		}
		if c.Scan == 0 && next == 0 {
			names = names[slices.Index(names, c.Last)+1:]
			if n := limit - len(page); len(names) > n+maxRest { // a hash table returns few more than requested
				c.Last = names[n-1]
				return append(page, names[:n]...), false, nil
			}
		}
		c.Scan, c.Last, c.Rest, c.Ended = next, "", names, next == 0
	}
}

// NextCursor returns the cursor of the next page as text, or "" if the scan has ended.
func NextCursor(c Cursor, ended bool) string {
	if ended {
		return ""
	}
	return c.String()
}

// FirstOfPairs returns the names of scanned fields without their values.
func FirstOfPairs(fields []string) []string {
	names := fields[:0]
	for i := 0; i < len(fields); i += 2 {
		names = append(names, fields[i])
	}
	return names
}
