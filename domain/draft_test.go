package domain_test

import (
	"slices"
	"strconv"
	"testing"

	"chatcore/domain"
)

func TestEachOnce(t *testing.T) {
	for _, n := range []int{0, 1, 2, 31, 32, 33, 300} {
		users, want := []domain.UserID{}, []domain.UserID{}
		for i := range n {
			user := domain.UserID(strconv.Itoa(i / 2 * 7 % 50))
			users = append(users, user)
			if !slices.Contains(want, user) {
				want = append(want, user)
			}
		}
		if got := domain.EachOnce(users); !slices.Equal(got, want) {
			t.Errorf("of %v there are %v, want %v", users, got, want)
		}
	}
}
