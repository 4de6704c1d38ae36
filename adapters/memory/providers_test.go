package memory_test

import (
	"reflect"
	"testing"
	"time"

	"chatcore/adapters/memory"
	"chatcore/domain"
	"chatcore/ports"
)

// TestStores_FillsEveryField checks that the stores are complete, and that Or takes each field from either side.
func TestStores_FillsEveryField(t *testing.T) {
	config := memory.Config{EffectTTL: time.Hour, Sessions: domain.SessionPolicy{Idle: time.Hour, Lifetime: time.Hour, PerUser: 1}}
	clock := wall{}
	own, others := memory.NewStores(config, clock, nil), memory.NewStores(config, clock, nil)
	stores := reflect.ValueOf(own)
	for i := range stores.NumField() {
		if stores.Field(i).IsNil() {
			t.Errorf("%s is nil", stores.Type().Field(i).Name)
		}
	}
	if own == others {
		t.Error("two calls return the same stores")
	}
	if (ports.Stores{}).Or(own) != own || own.Or(others) != own || own.Or(ports.Stores{}) != own {
		t.Error("Or does not keep the present fields, or does not fill the missing ones")
	}
}

type wall struct{ ports.Clock }

func (wall) Now() time.Time { return time.Now() }
