package connect

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	v1 "chatcore/gen/chatcore/v1"
)

// TestEnums_AreWhole expects a pair for every value that either side has a name for.
func TestEnums_AreWhole(t *testing.T) {
	checkPairs(t, roles)
	checkPairs(t, chatKinds)
	checkPairs(t, visibilities)
	checkPairs(t, changes)
	checkPairs(t, restrictions)
	checkPairs(t, admissions, v1.Admission_ADMISSION_REFUSED) // hides another one
	checkPairs(t, broadcasts)
	checkPairs(t, notifyLevels)
	checkPairs(t, hidings)
	checkPairs(t, followings)
	checkPairs(t, statuses)
	checkPairs(t, severities)
	checkPairs(t, settleStatuses)
}

func checkPairs[T comparable, P protoEnum](t *testing.T, e enum[T, P], without ...P) {
	t.Helper()
	var none P
	values := none.Descriptor().Values()
	pairs := 0
	for i := range values.Len() {
		p := P(values.Get(i).Number())
		value, ok := e.find(p)
		if ok {
			pairs++
		}
		if exempt := p == 0 || slices.Contains(without, p); ok == exempt || ok && e.of(value) != p {
			t.Errorf("%s stands for %v: %t", values.Get(i).Name(), value, ok)
		}
	}
	if pairs != len(e) {
		t.Errorf("%T has %d pairs, of %d values", e, len(e), pairs)
	}
	value := reflect.New(reflect.TypeFor[T]()).Elem()
	if !value.CanUint() {
		return
	}
	nameOf := func(n uint64) string {
		value.SetUint(n)
		return strings.TrimRight(fmt.Sprint(value.Interface()), "0123456789)")
	}
	unknown := nameOf(math.MaxUint8)
	for n := uint64(1); nameOf(n) != unknown && nameOf(n) != "unknown"; n++ { // the zero value may be none
		if v, _ := value.Interface().(T); e.of(v) == 0 {
			t.Errorf("%T %v has no pair", v, v)
		}
	}
}
