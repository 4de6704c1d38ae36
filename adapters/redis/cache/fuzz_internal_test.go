package cache

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"chatcore/ports"
)

// FuzzCacheValue writes any value with metadata and reads it again, and reads any stored text: without valid metadata the value is the stored text.
func FuzzCacheValue(f *testing.F) {
	f.Add(`{"a":1}`, "", uint32(1), uint64(12), int64(1735689600000), "8c5a")
	f.Add(`{}`, "1 2 3 x", uint32(0), uint64(0), int64(0), "")
	f.Add(`{ }`, "1 2 3 x o", uint32(0), uint64(1<<53-1), int64(-1), "ab")
	f.Add(`{"_cc":{"s":1,"v":2,"f":3,"o":""}}`, "", uint32(1), uint64(1), int64(1), "x")
	f.Add(`{"_cc":{"s":1,"v":2,"f":3}`, "", uint32(1), uint64(1), int64(1), "x")
	f.Add(`[1]`, "1 2 3", uint32(1<<32-1), uint64(1), int64(1), "x")
	f.Fuzz(func(t *testing.T, stored, beside string, schema uint32, version uint64, fresh int64, origin string) {
		for _, object := range []bool{true, false} {
			e := entryOf(ports.CacheKey{Object: object}, stored, beside)
			if !e.Known && string(e.Value) != stored || e.Known && (e.Meta.Version >= 1<<53 || !plainOrigin(e.Meta.Origin)) {
				t.Errorf("%q with %q is read as %+v", stored, beside, e)
			}
			if e.Known && object && json.Valid([]byte(stored)) != json.Valid(e.Value) {
				t.Errorf("%q becomes %q", stored, e.Value)
			}
		}
		meta := ports.CacheMeta{Schema: schema, Version: version & (1<<53 - 1), Fresh: time.UnixMilli(fresh), Origin: origin}
		if !plainOrigin(origin) || stored == "" {
			return
		}
		if e := entryOf(ports.CacheKey{}, stored, besideOf([]byte(stored), meta)); !e.Known || !reflect.DeepEqual(e.Meta, meta) || string(e.Value) != stored {
			t.Errorf("%q with %+v is read as %+v", stored, meta, e)
		}
		var fields map[string]json.RawMessage
		if json.Unmarshal([]byte(stored), &fields) != nil || fields == nil || stored[0] != '{' {
			return
		}
		written := appendMember(nil, []byte(stored), meta)
		e := entryOf(ports.CacheKey{Object: true}, string(written), "")
		var got map[string]json.RawMessage
		if !e.Known || !reflect.DeepEqual(e.Meta, meta) || json.Unmarshal(e.Value, &got) != nil || !reflect.DeepEqual(got, fields) {
			t.Errorf("%q with %+v is stored as %q and read as %+v, %q", stored, meta, written, e, e.Value)
		}
	})
}
