package cache

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // compares values, as Redis's own script hashes do; security does not depend on it
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"chatcore/ports"
)

// The metadata of a cached object is its first member, where a script finds it without parsing JSON:
//
//	{"_cc":{"s":1,"v":12,"f":1735689600000,"o":"8c5a…"},…}
//
// with the schema, the version (0: none), the end of freshness in milliseconds since 1970, and the origin, if there is one. The metadata of any other
// value is in a second key. It contains the digest of its value, because other programs that write the value do not update it.

const memberStart = `{"_cc":{"s":`

// appendMember adds the metadata to an object.
func appendMember(b, object []byte, m ports.CacheMeta) []byte {
	b = append(b, memberStart...)
	b = strconv.AppendUint(b, uint64(m.Schema), 10)
	b = strconv.AppendUint(append(b, `,"v":`...), m.Version, 10)
	b = strconv.AppendInt(append(b, `,"f":`...), m.Fresh.UnixMilli(), 10)
	if m.Origin != "" {
		b = append(append(append(b, `,"o":"`...), m.Origin...), '"')
	}
	b = append(b, '}')
	rest := bytes.TrimLeft(object[1:], " \t\r\n") // splitMember expects no spaces
	if len(rest) > 0 && rest[0] != '}' {
		b = append(b, ',')
	}
	return append(b, rest...)
}

// splitMember splits an object into its metadata and the rest. It returns false if there is no metadata.
func splitMember(stored string) (object []byte, m ports.CacheMeta, ok bool) {
	rest, ok := strings.CutPrefix(stored, memberStart)
	if !ok {
		return nil, m, false
	}
	schema, rest, ok1 := strings.Cut(rest, `,"v":`)
	version, rest, ok2 := strings.Cut(rest, `,"f":`)
	fresh, rest, ok3 := strings.Cut(rest, "}")
	if !ok1 || !ok2 || !ok3 || rest == "" || rest[0] != ',' && rest[0] != '}' {
		return nil, m, false
	}
	fresh, origin, tagged := strings.Cut(fresh, `,"o":"`)
	origin, ended := strings.CutSuffix(origin, `"`)
	if m, ok = metaOf(schema, version, fresh, origin); !ok || tagged != ended || tagged && origin == "" {
		return nil, ports.CacheMeta{}, false
	}
	object = make([]byte, 0, len(rest)+1)
	object = append(object, '{')
	if rest[0] == ',' {
		rest = rest[1:]
	}
	return append(object, rest...), m, true
}

// besideOf returns the metadata of a value that is no object.
func besideOf(value []byte, m ports.CacheMeta) string {
	beside := strconv.FormatUint(uint64(m.Schema), 10) + " " + strconv.FormatUint(m.Version, 10) + " " + strconv.FormatInt(m.Fresh.UnixMilli(), 10) +
		" " + digest(string(value))
	if m.Origin != "" {
		beside += " " + m.Origin
	}
	return beside
}

func parseBeside(value, beside string) (m ports.CacheMeta, ok bool) {
	words := strings.Split(beside, " ")
	if len(words) == 4 {
		words = append(words, "")
	}
	if len(words) != 5 || words[3] != digest(value) {
		return m, false
	}
	return metaOf(words[0], words[1], words[2], words[4])
}

func metaOf(schema, version, fresh, origin string) (m ports.CacheMeta, ok bool) {
	s, err1 := strconv.ParseUint(schema, 10, 32)
	v, err2 := strconv.ParseUint(version, 10, 53)
	f, err3 := strconv.ParseInt(fresh, 10, 64)
	if err1 != nil || err2 != nil || err3 != nil || !plainOrigin(origin) {
		return m, false
	}
	return ports.CacheMeta{Schema: uint32(s), Version: v, Origin: origin, Fresh: time.UnixMilli(f)}, true
}

// plainOrigin reports whether an origin has only letters and digits, which need no escapes in JSON and in scripts.
func plainOrigin(origin string) bool {
	return !strings.ContainsFunc(origin, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') })
}

// entryOf decodes a stored value. The mark of a value consists of everything that is stored of it.
func entryOf(key ports.CacheKey, stored, beside string) ports.CacheEntry {
	if stored == "" { // not JSON; scripts treat it like a missing value
		return ports.CacheEntry{}
	}
	e := ports.CacheEntry{Mark: stored + "\n" + beside}
	if key.Object {
		e.Value, e.Meta, e.Known = splitMember(stored)
	} else if beside != "" {
		e.Meta, e.Known = parseBeside(stored, beside)
	}
	if e.Value == nil {
		e.Value = []byte(stored)
	}
	return e
}

// digestOf returns the digest by which a script recognizes the entry that a caller has read.
func digestOf(e ports.CacheEntry) string {
	if e.Mark == "" {
		return ""
	}
	return digest(e.Mark)
}

func digest(s string) string {
	sum := sha1.Sum([]byte(s)) //nolint:gosec // as above
	return hex.EncodeToString(sum[:])
}
