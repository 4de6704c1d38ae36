package delivery

import (
	"slices"

	"chatcore/domain"
	"chatcore/ports/groups"
)

// seqSet is a set of seqs, as ranges in order that neither touch nor overlap. The zero value is empty.
type seqSet []groups.SeqRange

func (s seqSet) contains(seq domain.Seq) bool {
	if len(s) == 0 {
		return false
	}
	i := s.search(seq)
	return i < len(s) && s[i].From <= seq
}

// search returns the index of the first range that ends at seq or later.
func (s seqSet) search(seq domain.Seq) int {
	i, _ := slices.BinarySearchFunc(s, seq, func(r groups.SeqRange, seq domain.Seq) int {
		if r.To < seq {
			return -1
		}
		return 1
	})
	return i
}

func (s *seqSet) add(seq domain.Seq) {
	set := *s
	i := set.search(seq)
	if i < len(set) && set[i].From <= seq {
		return
	}
	joinsBefore := i > 0 && set[i-1].To+1 == seq
	joinsAfter := i < len(set) && seq+1 == set[i].From
	switch {
	case joinsBefore && joinsAfter:
		set[i-1].To = set[i].To
		*s = slices.Delete(set, i, i+1)
	case joinsBefore:
		set[i-1].To = seq
	case joinsAfter:
		set[i].From = seq
	default:
		*s = slices.Insert(set, i, groups.SeqRange{From: seq, To: seq})
	}
}

// passTo removes the seqs up to last, and returns the last seq of the range that follows last without a gap, or last.
func (s *seqSet) passTo(last domain.Seq) domain.Seq {
	set := *s
	for len(set) > 0 && set[0].From <= last+1 {
		last = max(last, set[0].To)
		set = set[1:]
	}
	*s = set
	return last
}
