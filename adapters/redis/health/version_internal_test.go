package health

import (
	"errors"
	"strings"
	"testing"
)

func TestAnOldRedisIsRefused(t *testing.T) {
	s := server{version: version{6, 2}}
	if err := s.newEnough(minVersion()); !errors.Is(err, ErrTooOld) || !strings.Contains(err.Error(), "6.2") || !strings.Contains(err.Error(), "7.0") {
		t.Errorf("6.2: %v", err)
	}
	for _, v := range []version{{7, 0}, {7, 4}, {8, 0}} {
		if err := (server{version: v}).newEnough(minVersion()); err != nil {
			t.Errorf("%s: %v", v, err)
		}
	}
}
