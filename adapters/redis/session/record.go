package session

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"chatcore/adapters/redis/rediscmd"
	"chatcore/domain"
)

// sessionRecord is a stored session. In compat mode only userId and deviceId of other programs' records are read.
type sessionRecord struct {
	Own       *sessionOwn `json:"_cc,omitempty"` // first: the script expects it there
	User      string      `json:"userId"`
	Device    string      `json:"deviceId,omitempty"`
	Name      string      `json:"deviceName,omitempty"`
	UserAgent string      `json:"userAgent,omitempty"`
	IP        string      `json:"ip,omitempty"`
}

type sessionOwn struct {
	ID string `json:"id"`
}

func parseSessionRecord(s string) (r sessionRecord, ok bool) {
	if r, ok = plainSessionRecord(s); ok {
		return r, true
	}
	r = sessionRecord{}
	return r, json.Unmarshal([]byte(s), &r) == nil
}

// plainSessionRecord parses a record as this package writes it if its texts need no escapes, as most do. It takes a tenth of the time of
// encoding/json. It returns false for any other text.
func plainSessionRecord(s string) (r sessionRecord, ok bool) {
	s, ok = strings.CutPrefix(s, `{"_cc":{"id":`)
	id, s, is := plainText(s)
	if !ok || !is {
		return r, false
	}
	r.Own = &sessionOwn{id}
	s, ok = strings.CutPrefix(s, "}")
	for ok && s != "}" {
		var key string
		if s, ok = strings.CutPrefix(s, ","); !ok {
			break
		}
		if key, s, ok = plainText(s); !ok || s == "" || s[0] != ':' {
			return r, false
		}
		s = s[1:]
		var to *string
		switch key {
		case "userId":
			to = &r.User
		case "deviceId":
			to = &r.Device
		case "deviceName":
			to = &r.Name
		case "userAgent":
			to = &r.UserAgent
		case "ip":
			to = &r.IP
		case "createdAt", "expiresAt":
			digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
			if digits == 0 || s[0] == '0' {
				return r, false
			}
			s = s[digits:]
			continue
		default:
			return r, false
		}
		*to, s, ok = plainText(s)
	}
	return r, ok
}

// plainText splits a leading JSON string of printable ASCII without escapes from s.
func plainText(s string) (text, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", "", false
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return s[1:i], s[i+1:], true
		case c == '\\' || c < ' ' || c > '~':
			return "", "", false
		}
	}
	return "", "", false
}

// sessionField is the entry of a session in the hash of its user's sessions.
type sessionField struct {
	key                string
	number             uint64
	opened, ends, seen time.Time
	idle               time.Duration
}

func parseSessionField(s string) (f sessionField, ok bool) {
	key, rest, ok := strings.Cut(s, " ")
	var numbers [5]int64
	for i := range numbers {
		var part string
		part, rest, _ = strings.Cut(rest, " ")
		n, err := strconv.ParseInt(part, 10, 64)
		if !ok || err != nil || n < 0 {
			return f, false
		}
		numbers[i] = n
	}
	if numbers[4] > math.MaxInt64/int64(time.Millisecond) {
		return f, false
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	return sessionField{
		key: key, number: uint64(numbers[0]), opened: at(numbers[1]), ends: at(numbers[2]), seen: at(numbers[3]), //nolint:gosec // not negative
		idle: time.Duration(numbers[4]) * time.Millisecond,
	}, rest == ""
}

// parseSession parses a session from its record and its field, which must name the same session and user. at is the key in the field.
func parseSession(user domain.UserID, record, id, field string) (s domain.Session, at string, ok bool) {
	f, ok := parseSessionField(field)
	r, readable := parseSessionRecord(record)
	if !ok || !readable || r.Own == nil || r.Own.ID != id || r.User != string(user) {
		return s, "", false
	}
	return domain.Session{
		ID: domain.SessionID(id), User: user, Device: r.device(), OpenedAt: f.opened, SeenAt: f.seen, EndsAt: f.ends, Idle: f.idle,
	}, f.key, true
}

// device returns the device of the record. It drops invalid fields, which another program may have written.
func (r sessionRecord) device() domain.Device {
	d := domain.Device{ID: domain.DeviceID(r.Device), Name: r.Name, UserAgent: r.UserAgent, IP: r.IP}
	if d.Check() == nil {
		return d
	}
	if d = (domain.Device{ID: d.ID}); d.Check() == nil {
		return d
	}
	return domain.Device{}
}

// foreignSession parses a record of the guide's programs: an object with a userId.
func foreignSession(record string) (domain.Session, bool) {
	var r struct {
		User   string `json:"userId"`
		Device any    `json:"deviceId"`
	}
	if json.Unmarshal([]byte(record), &r) != nil {
		return domain.Session{}, false
	}
	user, err := domain.ParseUserID(r.User)
	return domain.Session{User: user, Device: sessionRecord{Device: rediscmd.Text(r.Device)}.device()}, err == nil
}

// several parses a sequence of records, ids and fields. It returns the valid sessions in the order in which they were opened.
func several(user domain.UserID, reply []any) []domain.Session {
	type numbered struct {
		domain.Session
		number uint64
	}
	var found []numbered
	for ; len(reply) >= 3; reply = reply[3:] {
		if session, _, ok := parseSession(user, rediscmd.Text(reply[0]), rediscmd.Text(reply[1]), rediscmd.Text(reply[2])); ok {
			f, _ := parseSessionField(rediscmd.Text(reply[2]))
			found = append(found, numbered{session, f.number})
		}
	}
	slices.SortFunc(found, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	sessions := make([]domain.Session, len(found))
	for i, f := range found {
		sessions[i] = f.Session
	}
	return sessions
}
