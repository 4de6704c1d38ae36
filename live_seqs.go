package chatcore

import (
	"strings"

	"chatcore/domain"
)

// seqsBound is the number of chats of which the listeners of a process remember the last seq, about 6 MB.
const seqsBound = 65_536

// chatSeqs remembers the last seqs of the chats of a partition. Its owner is the caller of a [ports.TailWatcher], which makes one call at a time for each partition.
type chatSeqs struct {
	bound int // on the chats
	lost  int // how often events of the partition may have been missed
	last  map[domain.ChatID]lastSeq
}

type lastSeq struct {
	seq  domain.Seq
	lost int // of the partition, when the event came
}

// next takes the next event of a chat. It returns how many events before it were missed, as far as that is known, and whether the event came before.
// A log that lost events uses their seqs again: after a loss a seq below the last one is new.
func (s *chatSeqs) next(chat domain.ChatID, seq domain.Seq) (missed uint64, again bool) {
	before, known := s.last[chat]
	if known && seq <= before.seq && before.lost == s.lost {
		return 0, true
	}
	if known && seq > before.seq+1 {
		missed = uint64(seq - before.seq - 1)
	}
	if !known {
		s.makeRoom()
		chat = domain.ChatID(strings.Clone(string(chat))) // it may be a part of a long announcement
	}
	s.last[chat] = lastSeq{seq: seq, lost: s.lost}
	return missed, false
}

// makeRoom forgets any chat if the bound is reached.
func (s *chatSeqs) makeRoom() {
	if s.last == nil {
		s.last = make(map[domain.ChatID]lastSeq)
	}
	for chat := range s.last {
		if len(s.last) < s.bound {
			return
		}
		delete(s.last, chat)
	}
}
