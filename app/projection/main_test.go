package projection_test

import (
	"testing"

	"go.uber.org/goleak"

	"chatcore/tests/apptest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	stepping = apptest.Stepping
	ids      = apptest.IDs
	silent   = apptest.Silent
)
