package connect

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"chatcore/domain"
	v1 "chatcore/gen/chatcore/v1"
)

// Parameters of a request for events, beside those of feedParameters.
const (
	lastEventHeader    = "Last-Event-ID"
	lastEventParameter = "last_event_id"
	ticketParameter    = "ticket"
	chatParameter      = "chat"
)

// feedParameters sets the fields of a request by the parameters of the same names.
func feedParameters() map[string]func(r *v1.WatchRequest, value string) error {
	flag := func(set func(*v1.WatchRequest, bool)) func(*v1.WatchRequest, string) error {
		return func(r *v1.WatchRequest, value string) error {
			if value != "true" && value != "false" {
				return &domain.InvalidError{Problem: "is " + quoted(value), Allowed: "true, false"}
			}
			set(r, value == "true")
			return nil
		}
	}
	return map[string]func(*v1.WatchRequest, string) error{
		"actor_id":     func(r *v1.WatchRequest, value string) error { r.ActorId = value; return nil },
		"log_id":       func(r *v1.WatchRequest, value string) error { r.LogId = value; return nil },
		"all_chats":    flag(func(r *v1.WatchRequest, on bool) { r.AllChats = on }),
		"resume":       flag(func(r *v1.WatchRequest, on bool) { r.Resume = on }),
		"durable_only": flag(func(r *v1.WatchRequest, on bool) { r.DurableOnly = on }),
		"max_catch_up": func(r *v1.WatchRequest, value string) error {
			n, err := strconv.ParseUint(value, 10, 32)
			if err != nil || n == 0 {
				return &domain.InvalidError{Problem: "is " + quoted(value), Allowed: fmt.Sprintf("1 to %d", maxCatchUp)}
			}
			r.MaxCatchUp = uint32(n)
			return nil
		},
	}
}

// parseFeedQuery returns the request for events in the query and the headers of a request. Its errors never repeat a ticket.
func parseFeedQuery(r *http.Request) (feedQuery, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return feedQuery{}, malformed("query", "has a wrong escape, or a semicolon", "parameters with percent-encoding, and & between them")
	}
	q := feedQuery{request: &v1.WatchRequest{}, lastEventID: values.Get(lastEventParameter), ticket: values.Get(ticketParameter), hasTicket: values.Has(ticketParameter)}
	known := feedParameters()
	for name, given := range values {
		set, field := known[name]
		switch {
		case name == chatParameter:
			if q.request.Chats, err = parseChats(given); err != nil {
				return q, err
			}
			continue
		case !field && name != lastEventParameter && name != ticketParameter:
			return q, unknownParameter(name)
		case len(given) > 1:
			return q, &domain.InvalidError{Field: name, Problem: fmt.Sprintf("is given %d times", len(given)), Allowed: "once"}
		case field:
			if err := set(q.request, given[0]); err != nil {
				return q, inField(name, err)
			}
		}
	}
	switch header := r.Header.Values(lastEventHeader); len(header) {
	case 0:
	case 1:
		q.lastEventID = header[0] // later than that of the URL, with which the first request was made
	default:
		return q, malformed(lastEventHeader, fmt.Sprintf("is given %d times", len(header)), "once")
	}
	return q, nil
}

func unknownParameter(name string) error {
	allowed := []string{chatParameter, lastEventParameter, ticketParameter}
	for known := range feedParameters() {
		allowed = append(allowed, known)
	}
	slices.Sort(allowed)
	if len(name) > maxQuoted {
		return malformed("query", fmt.Sprintf("has an unknown parameter whose name has %d bytes", len(name)), strings.Join(allowed, ", "))
	}
	return malformed(name, "is unknown", strings.Join(allowed, ", "))
}

// parseChats returns the positions of the parameters chat. Each is the id, percent-encoded once more, and a colon and a seq if the reader has a position.
func parseChats(values []string) ([]*v1.ChatPosition, error) {
	positions := make([]*v1.ChatPosition, len(values))
	for i, value := range values {
		id, seq, has := strings.Cut(value, ":")
		chat, err := url.PathUnescape(id)
		if err != nil {
			return nil, badChat(i, value)
		}
		positions[i] = &v1.ChatPosition{ChatId: chat}
		if !has {
			continue
		}
		after, err := strconv.ParseUint(seq, 10, 32)
		if err != nil {
			return nil, badChat(i, value)
		}
		n := uint32(after)
		positions[i].AfterSeq = &n
	}
	return positions, nil
}

func badChat(i int, value string) error {
	return &domain.InvalidError{
		Field: fmt.Sprintf("%s[%d]", chatParameter, i), Problem: "is " + quoted(value),
		Allowed: "ID or ID:SEQ, with a seq up to 4294967295; a colon or percent sign of an id is written %3A or %25 before the encoding of the URL",
	}
}

// inQuery returns an error about a field of a request under the name of its parameter.
func inQuery(err error) error {
	invalid, ok := errors.AsType[*domain.InvalidError](err)
	if !ok {
		return err
	}
	rest, chats := strings.CutPrefix(invalid.Field, "chats")
	if !chats {
		return err
	}
	return inField(chatParameter+strings.TrimSuffix(rest, ".chat_id"), err)
}
