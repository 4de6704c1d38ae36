package redisgroup_test

import (
	"testing"

	"chatcore/tests/redistest"
)

func TestMain(m *testing.M) { redistest.Main(m) }
