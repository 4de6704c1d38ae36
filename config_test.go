package chatcore_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"chatcore"
	"chatcore/app"
	"chatcore/domain"
)

// signed returns the settings of a struct that are numbers or durations, by their path.
func signed(path string, v reflect.Value) map[string]reflect.Value {
	found := make(map[string]reflect.Value)
	for i := range v.NumField() {
		name, field := path+v.Type().Field(i).Name, v.Field(i)
		switch field.Kind() {
		case reflect.Struct:
			for name, value := range signed(name+".", field) {
				found[name] = value
			}
		case reflect.Int, reflect.Int64:
			found[name] = field
		default:
		}
	}
	return found
}

// TestConfig_ValidateNamesThePath sets every number and duration below 0, one at a time.
func TestConfig_ValidateNamesThePath(t *testing.T) {
	var config chatcore.Config
	settings := signed("", reflect.ValueOf(&config).Elem())
	const least = 30
	if len(settings) < least {
		t.Fatalf("%d settings are found, want at least %d", len(settings), least)
	}
	for path, field := range settings {
		field.SetInt(-1)
		err := config.Validate()
		field.SetInt(0)
		var invalid *domain.InvalidError
		switch {
		case path == "Log.EntityCache" || path == "Limits.PreviewBytes": // below 0 nothing is cached, and there is no preview
			if err != nil {
				t.Errorf("%s below 0: %v", path, err)
			}
		case !errors.As(err, &invalid) || invalid.Field != path:
			t.Errorf("%s below 0: %v", path, err)
		}
	}
}

// TestConfig_ValidateNamesTheGroup checks the paths of settings that are no numbers, and of values above their range.
func TestConfig_ValidateNamesTheGroup(t *testing.T) {
	for path, change := range map[string]func(c *chatcore.Config){
		"Redis.Namespace":       func(c *chatcore.Config) { c.Redis.Namespace = "with spaces" },
		"Redis.Names message:":  func(c *chatcore.Config) { c.Redis.Names.Message = "{tag}" },
		"Log.Partitions":        func(c *chatcore.Config) { c.Log.Partitions = 1 << 20 },
		"Log.Announce":          func(c *chatcore.Config) { c.Log.Announce = chatcore.AnnounceLegacy + 1 },
		"Delivery.Lease":        func(c *chatcore.Config) { c.Delivery.Lease = time.Millisecond },
		"Delivery.BuiltinPace":  func(c *chatcore.Config) { c.Delivery.BuiltinPace = time.Hour },
		"Presence.HeartbeatTTL": func(c *chatcore.Config) { c.Presence.HeartbeatTTL = time.Hour },
		"Sessions.PerUser":      func(c *chatcore.Config) { c.Sessions.PerUser = 1 << 20 },
		"Limits.Rates":          func(c *chatcore.Config) { c.Limits.Rates = map[string]app.Limit{"upload": {Rate: -1}} },
	} {
		var config chatcore.Config
		change(&config)
		if err := config.Validate(); !errors.Is(err, domain.ErrInvalid) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
