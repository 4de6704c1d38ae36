package eventlog

import (
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"chatcore/domain"
)

// chatHead is the head of a chat. Below level 3 of the log it has two parts, LAST:MESSAGES, and from level 3 on four, LAST:MESSAGES:DELETED:SENT. An
// append makes two parts four.
type chatHead struct {
	last     domain.Seq
	messages domain.Ordinal // that were sent
	counts   bool           // the head has four parts
	deleted  int64          // tombstones
	sent     domain.Seq     // of the last message; 0 if there is none or it is unknown
}

// String returns the head as the index has it.
func (h chatHead) String() string {
	if !h.counts {
		return fmt.Sprintf("%d:%d", h.last, h.messages)
	}
	return fmt.Sprintf("%d:%d:%d:%d", h.last, h.messages, h.deleted, h.sent)
}

// parseHead reads the head of a chat.
func parseHead(text string) (chatHead, error) {
	parts := strings.Split(text, ":")
	var numbers [4]uint64
	for i, part := range parts[:min(len(parts), len(numbers))] {
		n, err := strconv.ParseUint(part, 10, 63)
		if err != nil {
			return chatHead{}, unreadableHead(text)
		}
		numbers[i] = n
	}
	if len(parts) != 2 && len(parts) != len(numbers) || numbers[0] == 0 {
		return chatHead{}, unreadableHead(text)
	}
	return chatHead{
		last: domain.Seq(numbers[0]), messages: domain.Ordinal(numbers[1]), counts: len(parts) > 2, deleted: int64(numbers[2]), sent: domain.Seq(numbers[3]), //nolint:gosec // 63 bits
	}, nil
}

func unreadableHead(text string) error { return fmt.Errorf("the head is unreadable: %.80q", text) }

// countTombstones compares the number of tombstones with the count in the head or, if the head has none, in the field of the index.
func (h chatHead) countTombstones(chat domain.ChatID, key string, field any, tombstones *goredis.IntCmd) error {
	if h.counts {
		field = strconv.FormatInt(h.deleted, 10)
	}
	return counted(chat, key, field, tombstones.Val())
}
