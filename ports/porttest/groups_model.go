package porttest

import "testing"

func testGroupModel(t *testing.T, open func(t *testing.T) GroupsRig) {}
