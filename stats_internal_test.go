package chatcore

import (
	"reflect"
	"testing"
)

// TestStats_OneDefinition shows that every number of Stats has one definition, and that each definition makes a metric.
func TestStats_OneDefinition(t *testing.T) {
	defined := make(map[string]int)
	for i, n := range counts() {
		var s Stats
		*n.field(&s) = 1
		v := reflect.ValueOf(s)
		for f := range v.NumField() {
			if v.Field(f).Kind() == reflect.Uint64 && v.Field(f).Uint() == 1 {
				defined[v.Type().Field(f).Name]++
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
	for f := range reflect.TypeFor[Stats]().NumField() {
		field := reflect.TypeFor[Stats]().Field(f)
		if field.Type.Kind() == reflect.Uint64 && defined[field.Name] != 1 {
			t.Errorf("Stats.%s has %d definitions", field.Name, defined[field.Name])
		}
	}
}
