package chatcore

import (
	"maps"
	"reflect"
	"testing"
)

// TestStats_OneDefinition shows that every number of Stats has one definition, and that each definition makes a metric.
func TestStats_OneDefinition(t *testing.T) {
	defined := make(map[string]int)
	for i, n := range counts() {
		var s Stats
		*n.field(&s) = 1
		for name, v := range numbers("", reflect.ValueOf(s)) {
			if v == 1 {
				defined[name]++
			}
		}
		if n.name == "" || n.unit == "" || n.description == "" || (n.ofGroup == nil) == (n.ofCore == nil) {
			t.Errorf("definition %d is not whole: %+v", i, n)
		}
		for _, other := range counts()[:i] {
			if other.name == n.name && (other.unit != n.unit || other.description != n.description || (other.ofGroup == nil) != (n.ofGroup == nil)) {
				t.Errorf("%s is defined in two ways", n.name)
			}
			if other.name == n.name && reflect.DeepEqual(other.by, n.by) {
				t.Errorf("%s %v is defined twice", n.name, n.by)
			}
		}
	}
	for name := range numbers("", reflect.ValueOf(Stats{})) {
		if defined[name] != 1 {
			t.Errorf("Stats.%s has %d definitions", name, defined[name])
		}
	}
}

// numbers returns the counts in a struct and in the structs that it has as fields, by their paths.
func numbers(path string, v reflect.Value) map[string]uint64 {
	all := make(map[string]uint64)
	for i := range v.NumField() {
		name := path + v.Type().Field(i).Name
		switch field := v.Field(i); field.Kind() { //nolint:exhaustive // counts, and structs of counts
		case reflect.Uint64:
			all[name] = field.Uint()
		case reflect.Struct:
			maps.Copy(all, numbers(name+".", field))
		}
	}
	return all
}
