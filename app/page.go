package app

import (
	"fmt"

	"chatcore/domain"
)

// Limits of one page of a list.
const (
	MaxList     = 256 // items
	defaultList = 50
)

// List is a page of a list. It may have fewer items than the limit although more follow.
type List[T any] struct {
	Items []T
	Next  string // the cursor of the next page, "" if this is the last one
}

// checkPage returns the page with its default limit, or an error that names its problem.
func checkPage(p domain.Page) (domain.Page, error) { return checkPageOf(p, MaxList) }

// checkPageOf is checkPage of a list with another largest limit.
func checkPageOf(p domain.Page, most int) (domain.Page, error) {
	if p.Limit == 0 {
		p.Limit = min(defaultList, most)
	}
	if p.Limit < 1 || p.Limit > most {
		return p, &domain.InvalidError{Field: "limit", Problem: fmt.Sprintf("is %d", p.Limit), Allowed: fmt.Sprintf("1 to %d", most)}
	}
	return p, nil
}

// badCursor is the error for a cursor that no page has returned.
func badCursor(cursor string) error {
	return &domain.InvalidError{Field: "cursor", Problem: fmt.Sprintf("is %.80q", cursor), Allowed: "the cursor of the page before, or empty"}
}
