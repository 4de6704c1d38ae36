package connect

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	rpc "connectrpc.com/connect"

	"chatcore/adapters/connect/auth"
	"chatcore/app/feed"
	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
	"chatcore/ports"
)

// Bounds of the ids of events.
const (
	maxEventID    = 1 << 10 // bytes of positions in an id; further ones are kept under a cursor
	maxTornID     = 8 << 10 // bytes of an id while no cursor can be kept
	cursorLife    = 24 * time.Hour
	cursorRenewal = 12 * time.Hour // age from which on a cursor is replaced
	cursorRetry   = time.Second    // between two tries to keep a cursor
)

// An id of an event is the position of its reader after the event:
//
//	LOG,CHAT:SEQ,CHAT:SEQ,…
//	LOG,*CURSOR,CHAT:SEQ,…
//
// The second form has the positions that changed since the cursor was made, and the state of the server has all as of then. LOG and CHAT are
// percent-encoded. A chat that the feed no longer follows has the seq "-".

// leftSeq marks a chat that the feed no longer follows. No chat has this seq.
const leftSeq = ^domain.Seq(0)

// eventPosition is the position of a reader of events. It belongs to the goroutine of the handler.
type eventPosition struct {
	source    feedSource
	state     ports.FeedState
	reader    string
	all       bool                         // the feed follows all chats of the user
	left      map[domain.ChatID]struct{}   // named chats that the feed no longer follows
	unsettled bool                         // the feed begins with a resync: no position counts before it
	cursor    string                       // "" while ids have all positions
	made      time.Time                    // of the cursor
	changes   map[domain.ChatID]domain.Seq // since the cursor
	tried     time.Time                    // last try to keep a cursor that failed
}

// first returns the id of the first event.
func (p *eventPosition) first(ctx context.Context) (string, error) {
	if p.unsettled {
		return "", nil
	}
	if p.cursor != "" {
		return p.withCursor(ctx)
	}
	id, fits := p.whole(maxEventID)
	if fits {
		return id, nil
	}
	if err := p.makeCursor(ctx); err != nil {
		return "", err
	}
	return p.cursorID(), nil
}

// after returns the id of the event of a message, "" if the message does not change the position.
func (p *eventPosition) after(ctx context.Context, m feed.Message) (string, error) {
	seq := m.To
	switch m.Kind {
	case feed.KindEvent:
		seq = m.Event.Record.Seq
	case feed.KindChatLeft:
		seq = leftSeq
		if !p.all {
			p.left[m.Chat] = struct{}{}
		}
	case feed.KindResync:
		if p.unsettled || m.Chat == "" {
			p.unsettled, p.cursor, p.changes = false, "", nil
		}
	case feed.KindCaughtUp, feed.KindSkipped, feed.KindChatJoined:
	case feed.KindEphemeral:
		return "", nil
	case feed.KindHeartbeat:
		if p.cursor == "" || time.Since(p.made) < cursorRenewal {
			return "", nil
		}
	}
	if p.unsettled {
		return "", nil
	}
	if p.cursor != "" {
		if m.Chat != "" {
			p.changes[m.Chat] = seq
		}
		return p.withCursor(ctx)
	}
	if id, fits := p.whole(maxEventID); fits {
		return id, nil
	}
	return p.replaceCursor(ctx)
}

// withCursor returns an id with the present cursor, or with another one if that is old or too much has changed since.
func (p *eventPosition) withCursor(ctx context.Context) (string, error) {
	if id := p.cursorID(); len(id) <= maxEventID && time.Since(p.made) < cursorRenewal {
		return id, nil
	}
	return p.replaceCursor(ctx)
}

// replaceCursor returns an id with a new cursor. While none can be kept, ids may be longer.
func (p *eventPosition) replaceCursor(ctx context.Context) (string, error) {
	var err error
	if time.Since(p.tried) >= cursorRetry {
		if err = p.makeCursor(ctx); err == nil {
			return p.cursorID(), nil
		}
		p.tried = time.Now()
	}
	if p.cursor != "" && time.Since(p.made) < cursorLife {
		if id := p.cursorID(); len(id) <= maxTornID {
			return id, nil
		}
	} else if id, fits := p.whole(maxTornID); fits {
		return id, nil
	}
	if err == nil {
		err = fmt.Errorf("%w: the position of the feed cannot be kept", ports.ErrUnavailable)
	}
	return "", err
}

// makeCursor keeps all positions under a new cursor.
func (p *eventPosition) makeCursor(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	whole, _ := p.whole(1 << 30)
	made, cursor := time.Now(), rand.Text()
	value := fmt.Sprintf("%d %s\n%s", made.UnixMilli(), p.reader, whole)
	if err := p.state.Keep(ctx, cursorKey(cursor), []byte(value), cursorLife); err != nil {
		return err
	}
	p.cursor, p.made, p.changes = cursor, made, make(map[domain.ChatID]domain.Seq)
	return nil
}

func cursorKey(cursor string) string { return "cursor:" + cursor }

// cursorID returns the id of the cursor and the changes since.
func (p *eventPosition) cursorID() string {
	id, _ := appendPositions(append(logPart(p.source.LogID()), ",*"+p.cursor...), maps.All(p.changes), 1<<30)
	return string(id)
}

// whole returns the id with all positions, and whether it has at most so many bytes.
func (p *eventPosition) whole(most int) (string, bool) {
	id, fits := appendPositions(logPart(p.source.LogID()), p.source.Positions(), most)
	for chat := range p.left {
		id = appendPosition(id, chat, leftSeq)
	}
	return string(id), fits && len(id) <= most
}

func logPart(log string) []byte { return []byte(url.QueryEscape(log)) }

// appendPositions appends positions, until there are more than so many bytes.
func appendPositions(id []byte, positions iter.Seq2[domain.ChatID, domain.Seq], most int) (all []byte, fits bool) {
	for chat, seq := range positions {
		if id = appendPosition(id, chat, seq); len(id) > most {
			return id, false
		}
	}
	return id, true
}

func appendPosition(id []byte, chat domain.ChatID, seq domain.Seq) []byte {
	id = append(append(append(id, ','), url.QueryEscape(string(chat))...), ':')
	if seq == leftSeq {
		return append(id, '-')
	}
	return strconv.AppendUint(id, uint64(seq), 10)
}

// readPosition is the position that an id names.
type readPosition struct {
	log     string
	cursor  string // "" for an id with all positions
	seqs    map[domain.ChatID]domain.Seq
	made    time.Time                    // of the cursor
	changes map[domain.ChatID]domain.Seq // since the cursor
}

// parseEventID returns the position of an id, without that of its cursor.
func parseEventID(id string) (readPosition, error) {
	parts := strings.Split(id, ",")
	log, err := url.QueryUnescape(parts[0])
	if err != nil || log == "" || len(log) > maxLogID {
		return readPosition{}, badEventID(id)
	}
	p := readPosition{log: log, seqs: make(map[domain.ChatID]domain.Seq, len(parts)-1)}
	for i, part := range parts[1:] {
		if cursor, ok := strings.CutPrefix(part, "*"); ok && i == 0 && cursor != "" {
			p.cursor = cursor
			continue
		}
		name, text, ok := strings.Cut(part, ":")
		plain, escapeErr := url.QueryUnescape(name)
		chat, err := domain.ParseChatID(plain)
		if !ok || escapeErr != nil || err != nil {
			return readPosition{}, badEventID(id)
		}
		seq := uint64(leftSeq)
		if text != "-" {
			if seq, err = strconv.ParseUint(text, 10, 32); err != nil {
				return readPosition{}, badEventID(id)
			}
		}
		p.seqs[chat] = domain.Seq(seq)
	}
	return p, nil
}

func badEventID(id string) error {
	return &domain.InvalidError{Field: lastEventHeader, Problem: "is " + quoted(id), Allowed: "the id of an event of such a feed, or none"}
}

// errCursorGone is the error for an id whose cursor is not kept any more, or is of another reader. The reader begins anew, without an id.
func errCursorGone() error {
	return &requestError{
		code: rpc.CodeFailedPrecondition, reason: "cursor_gone", field: lastEventHeader, problem: "names a position that is not kept any more",
		allowed: "ids of the last 24 hours, of the same reader; begin anew without an id, and load the state of the chats", status: http.StatusGone,
	}
}

// loadCursor completes the position of an id with a cursor.
func (c *calls) loadCursor(ctx context.Context, p *readPosition, reader string) error {
	ctx, cancel := context.WithTimeout(ctx, defaultTimeout)
	defer cancel()
	if len(p.cursor) > maxTicket {
		return errCursorGone()
	}
	value, found, err := c.core.FeedState().Get(ctx, cursorKey(p.cursor))
	if err != nil {
		return err
	}
	head, whole, _ := strings.Cut(string(value), "\n")
	made, of, _ := strings.Cut(head, " ")
	ms, numberErr := strconv.ParseInt(made, 10, 64)
	kept, parseErr := parseEventID(whole)
	if !found || of != reader || numberErr != nil || parseErr != nil || kept.log != p.log {
		return errCursorGone()
	}
	p.made, p.changes = time.UnixMilli(ms), p.seqs
	p.seqs = kept.seqs
	maps.Copy(p.seqs, p.changes)
	return nil
}

// resume sets the positions of a request to those of the last event that the reader has. It returns the position from which the ids of the events go on.
func (c *calls) resume(ctx context.Context, query *feedQuery) (*eventPosition, error) {
	reader := readerName(auth.From(ctx), query.request.GetActorId())
	position := &eventPosition{state: c.core.FeedState(), reader: reader, all: query.request.GetAllChats(), left: make(map[domain.ChatID]struct{})}
	if query.lastEventID == "" {
		return position, nil
	}
	read, err := parseEventID(query.lastEventID)
	if err != nil {
		return nil, err
	}
	if read.cursor != "" {
		if err := c.loadCursor(ctx, &read, reader); err != nil {
			return nil, err
		}
		position.cursor, position.made, position.changes = read.cursor, read.made, read.changes
	}
	read.applyTo(query.request, position)
	return position, nil
}

// applyTo sets the positions of a request.
func (p readPosition) applyTo(request *v1.WatchRequest, position *eventPosition) {
	request.LogId = p.log
	if request.GetAllChats() {
		request.Resume, request.Chats = true, nil
		for chat, seq := range p.seqs {
			if seq != leftSeq {
				request.Chats = append(request.Chats, chatPosition(chat, seq))
			}
		}
		return
	}
	var followed []*v1.ChatPosition
	for _, named := range request.GetChats() {
		chat := domain.ChatID(named.GetChatId())
		seq, has := p.seqs[chat]
		switch {
		case !has:
			followed = append(followed, named)
		case seq == leftSeq:
			position.left[chat] = struct{}{}
		default:
			followed = append(followed, chatPosition(chat, seq))
		}
	}
	if len(followed) > 0 || len(position.left) == 0 {
		request.Chats = followed
	}
}

func chatPosition(chat domain.ChatID, seq domain.Seq) *v1.ChatPosition {
	after := uint32(seq)
	return &v1.ChatPosition{ChatId: string(chat), AfterSeq: &after}
}
