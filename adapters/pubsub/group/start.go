package group

import (
	"context"
	"time"

	"chatcore/domain"
	"chatcore/ports"
	"chatcore/ports/groups"
)

// firstCheckpoints returns the first checkpoints of chats in a new group.
func (m *Member) firstCheckpoints(ctx context.Context, p groups.Partition, heads []ports.ChatHead) ([]groups.Checkpoint, error) {
	checkpoints := make([]groups.Checkpoint, len(heads))
	for i, h := range heads {
		checkpoints[i] = groups.Checkpoint{Chat: string(h.Chat), Seq: h.Head}
	}
	if m.config.Start.At.IsZero() {
		return checkpoints, nil
	}
	const together = 64
	for from := 0; from < len(checkpoints); from += together {
		if err := m.backTo(ctx, p, checkpoints[from:min(from+together, len(checkpoints))], m.config.Start.At); err != nil {
			return nil, err
		}
	}
	return checkpoints, nil
}

// backTo moves checkpoints back to the last event before a time, by binary search: the events' own times rise with their seqs. A chat whose events were
// imported with other times, or by another clock, begins at a place where its events' times cross the time.
func (m *Member) backTo(ctx context.Context, p groups.Partition, checkpoints []groups.Checkpoint, at time.Time) error {
	before, last := make([]domain.Seq, len(checkpoints)), make([]domain.Seq, len(checkpoints)) // events up to before are earlier, those after last are not
	for i, c := range checkpoints {
		last[i] = c.Seq
	}
	for {
		var asked []int
		var ranges []ports.EventRange
		for i, c := range checkpoints {
			if before[i] < last[i] {
				asked = append(asked, i)
				ranges = append(ranges, ports.EventRange{Chat: domain.ChatID(c.Chat), From: middle(before[i], last[i]), Limit: 1})
			}
		}
		if len(asked) == 0 {
			break
		}
		pages, _, err := m.config.Backlog.ReadRaw(ctx, p.Number, "", ranges)
		if err != nil {
			return err
		}
		for n, i := range asked {
			earlier, err := m.isBefore(pages[n], at)
			switch seq := ranges[n].From; {
			case err != nil: // it begins with its first event
				m.reportUnreadable(ctx, ranges[n].Chat, err)
				before[i], last[i] = 0, 0
			case earlier:
				before[i] = seq
			default:
				last[i] = seq - 1
			}
		}
	}
	for i := range checkpoints {
		checkpoints[i].Seq = before[i]
	}
	return nil
}

// middle returns a seq after before, up to last.
func middle(before, last domain.Seq) domain.Seq { return before + (last-before+1)/2 }

func (m *Member) isBefore(page ports.EncodedPage, at time.Time) (bool, error) {
	if page.Err != nil {
		return false, page.Err
	}
	if len(page.Events) == 0 {
		return false, nil
	}
	r, err := m.config.Codec.Decode(page.Events[0])
	if err != nil {
		return false, err
	}
	return r.Event.OccurredAt().Before(at), nil
}

func (m *Member) reportUnreadable(ctx context.Context, chat domain.ChatID, err error) {
	m.config.Logger.ErrorContext(ctx, "the log has a hole, the group begins with the chat's first event", "group", m.config.Group, "chat", chat, "error", err)
}
