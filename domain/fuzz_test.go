package domain_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"chatcore/domain"
)

// FuzzText passes any text to all checks of text. Accepted text is unchanged or in its normal form, and within its bounds. Refused text has a
// [domain.InvalidError] that names the field, the problem and the allowed values.
func FuzzText(f *testing.F) {
	for _, seed := range []string{
		"", "x", " ", "a b", "a\tb\nc", "äöü 🍅", "\xff", "\x00", "\u200b", "\u2028", "\ufeff", "\u202e", "\u0085", "👍🏽", "{}", ` {"a":1}`, "{\"a\":\"\xff\"}", "null",
		"poll:created", "a:", "dm-" + strings.Repeat("0", 64), "5f1d8a2e", strings.Repeat("x", 64), strings.Repeat("x", 128), strings.Repeat("ü", 129),
		strings.Repeat("x", 256), strings.Repeat("x", 1025), strings.Repeat("x", domain.MaxContentBytes), strings.Repeat("x", domain.MaxContentBytes+1),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for field, c := range textChecks() {
			got, err := c.check(text)
			var invalid *domain.InvalidError
			switch {
			case err == nil && (len(got) < c.least || len(got) > c.most || !utf8.ValidString(got)):
				t.Errorf("%s accepts %d bytes: %q", field, len(got), got)
			case err == nil && strings.ContainsFunc(got, c.never):
				t.Errorf("%s accepts %q", field, got)
			case err == nil && got != text:
				if again, err := c.check(got); err != nil || again != got || !normalized(field) {
					t.Errorf("%s %q is accepted as %q, and that as %q, error %v", field, text, got, again, err)
				}
			case err == nil:
			case !errors.Is(err, domain.ErrInvalid) || !errors.As(err, &invalid) || invalid.Field != field || invalid.Problem == "" || invalid.Allowed == "" || got != "":
				t.Errorf("%s %q: %v, with %q", field, text, err, got)
			case !utf8.ValidString(err.Error()) || strings.ContainsFunc(err.Error(), unicode.IsControl):
				t.Errorf("%s: the error has %q", field, err)
			}
		}
		if _, err := domain.NewContent(text); err == nil && strings.TrimSpace(text) == "" {
			t.Errorf("content %q is blank", text)
		}
		if _, err := domain.NewClientMeta(text); err == nil && text != "" {
			var object map[string]json.RawMessage
			if err := json.Unmarshal([]byte(text), &object); err != nil || object == nil {
				t.Errorf("client metadata %q is no object: %v", text, err)
			}
		}
		file := domain.Attachment{Name: text, Type: text, URL: text}
		if err := file.Check(); err == nil && (text == "" || len(text) > 127 || strings.ContainsFunc(text, unicode.IsControl)) {
			t.Errorf("an attachment accepts %q", text)
		}
		device := domain.Device{Name: text, UserAgent: text, IP: text}
		if err := device.Check(); err == nil && (len(text) > domain.MaxIPBytes || strings.ContainsFunc(text, unicode.IsControl)) {
			t.Errorf("a device accepts %q", text)
		}
	})
}

// normalized reports whether a field has a normal form, in which it is stored.
func normalized(field string) bool {
	return field == "content" || field == "reason" || field == "emoji" || field == "clientMeta"
}

type textCheck struct {
	check       func(string) (string, error)
	least, most int             // bytes
	never       func(rune) bool // of which no rune is accepted
}

func textChecks() map[string]textCheck {
	unprintable := func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || !unicode.IsPrint(r) }
	notInText := func(r rune) bool { return unicode.IsControl(r) && r != '\t' && r != '\n' }
	notInType := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(":.-_", r)
	}
	return map[string]textCheck{
		"chatId":       {as(domain.ParseChatID), 1, domain.MaxIDBytes, unprintable},
		"userId":       {as(domain.ParseUserID), 1, domain.MaxIDBytes, unprintable},
		"messageId":    {as(domain.ParseMessageID), 1, domain.MaxIDBytes, unprintable},
		"commandId":    {as(domain.ParseCommandID), 1, domain.MaxIDBytes, unprintable},
		"eventId":      {as(domain.ParseEventID), 1, domain.MaxIDBytes, unprintable},
		"deviceId":     {as(domain.ParseDeviceID), 1, domain.MaxIDBytes, unprintable},
		"connectionId": {as(domain.ParseConnectionID), 1, domain.MaxIDBytes, unprintable},
		"entity":       {as(domain.ParseCustomID), 1, domain.MaxIDBytes, unprintable},
		"sessionId":    {as(domain.ParseSessionID), 1, 64, func(r rune) bool { return r > '~' || unprintable(r) || strings.ContainsRune(`%:{}*?[]\`, r) }},
		"type":         {as(domain.ParseCustomType), 3, 64, notInType},
		"content":      {as(domain.NewContent), 1, domain.MaxContentBytes, notInText},
		"title":        {as(domain.NewTitle), 0, domain.MaxTitleBytes, unicode.IsControl},
		"reason":       {as(domain.NewReason), 0, domain.MaxReasonBytes, notInText},
		"emoji":        {as(domain.NewEmoji), 1, domain.MaxEmojiBytes, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }},
		"clientMeta":   {as(domain.NewClientMeta), 0, domain.MaxClientMetaBytes, func(rune) bool { return false }},
	}
}

func as[T ~string](parse func(string) (T, error)) func(string) (string, error) {
	return func(s string) (string, error) {
		v, err := parse(s)
		return string(v), err
	}
}
