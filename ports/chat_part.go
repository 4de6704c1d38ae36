package ports

import "chatcore/domain"

// ChatPart is a part of a chat's log as it is copied: the events of one segment of 1,024 seqs. Of the last part of a chat there may be fewer.
type ChatPart struct {
	First    domain.Seq      // 1 or a multiple of 1,024, and 1
	Events   [][]byte        // JSON as on the delivery stream
	Commands []CopiedCommand // with events, of which the fingerprint is known, ordered by their last seq
}

// CopiedCommand is what the log has of a command and its events do not say.
type CopiedCommand struct {
	Last        domain.Seq // of the last event of the command
	Fingerprint uint64     // of the command's name and arguments
}
