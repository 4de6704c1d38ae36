package domain_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"chatcore/domain"
)

// TestText_Limits has each check accept text at its limit and refuse text beyond it.
func TestText_Limits(t *testing.T) {
	x := func(n int) string { return strings.Repeat("x", n) }
	for field, test := range map[string]struct{ accepted, refused []string }{
		"title":  {[]string{"", "Garden", x(domain.MaxTitleBytes)}, []string{"a\nb", x(domain.MaxTitleBytes + 1), "\xff"}},
		"reason": {[]string{"", "spam\nand more", x(domain.MaxReasonBytes)}, []string{"\x00", x(domain.MaxReasonBytes + 1), "\xff"}},
		"emoji":  {[]string{"👍", ":+1:", ":" + x(domain.MaxEmojiBytes-2) + ":"}, []string{"", "a b", " ", "\u00a0", ":" + x(domain.MaxEmojiBytes-1) + ":", "+1", "\xff", "\n"}},
		"clientMeta": {
			[]string{"", "{}", `{"a":[1]}`, `{"a":"` + x(domain.MaxClientMetaBytes-8) + `"}`},
			[]string{"[]", "1", "null", "{", `{"a":"` + x(domain.MaxClientMetaBytes-7) + `"}`, "{\"a\":\"\xff\"}", `{}{}`, "x"},
		},
		"type":         {[]string{"poll:created", "a:b:c", "0.a-b_c:x", "a:" + x(62)}, []string{"", "poll", "poll:", ":a", "Poll:created", "a:" + x(63), "a:b\n"}},
		"sessionId":    {[]string{"aA09zZ-_", x(64)}, []string{"", x(65), "a/b", "a:b", "`{", "@["}},
		"chatId":       {[]string{"a", x(domain.MaxIDBytes)}, []string{"", x(domain.MaxIDBytes + 1), "a b"}},
		"connectionId": {[]string{"a", x(domain.MaxIDBytes)}, []string{"", x(domain.MaxIDBytes + 1), "a b"}},
	} {
		check := textChecks()[field].check
		for _, text := range test.accepted {
			if got, err := check(text); err != nil || got != text {
				t.Errorf("%s %.40q of %d bytes: %v", field, text, len(text), err)
			}
		}
		for _, text := range test.refused {
			var invalid *domain.InvalidError
			if _, err := check(text); !errors.As(err, &invalid) || invalid.Field != field {
				t.Errorf("%s %.40q of %d bytes: %v", field, text, len(text), err)
			}
		}
	}
}

// TestDraft_Limits has a draft at its limits be accepted, and name the field that is beyond its own.
func TestDraft_Limits(t *testing.T) {
	file := domain.Attachment{Name: "a", URL: "u"}
	accepted := domain.Draft{ID: "m", Content: "x", Mentions: make([]domain.UserID, domain.MaxMentions)}
	for range domain.MaxAttachments {
		accepted.Attachments = append(accepted.Attachments, file)
	}
	if err := accepted.Check(); err != nil {
		t.Errorf("a draft at its limits: %v", err)
	}
	for field, change := range map[string]func(d *domain.Draft){
		"content":             func(d *domain.Draft) { d.Content, d.Attachments = "", nil },
		"mentions":            func(d *domain.Draft) { d.Mentions = make([]domain.UserID, domain.MaxMentions+1) },
		"attachments":         func(d *domain.Draft) { d.Attachments = append(slices.Clone(d.Attachments), file) },
		"attachments[1].name": func(d *domain.Draft) { d.Attachments = []domain.Attachment{file, {URL: "u"}} },
		"attachments[0].url":  func(d *domain.Draft) { d.Attachments = []domain.Attachment{{Name: "a"}} },
		"attachments[0].type": func(d *domain.Draft) {
			d.Attachments = []domain.Attachment{{Name: "a", URL: "u", Type: strings.Repeat("x", 128)}}
		},
		"attachments[0].size": func(d *domain.Draft) { d.Attachments = []domain.Attachment{{Name: "a", URL: "u", Size: -1}} },
		"attachments[2].size": func(d *domain.Draft) {
			d.Attachments = []domain.Attachment{{Name: "a", URL: "u", Size: domain.MaxAttachmentSize}, file, {Name: "a", URL: "u", Size: domain.MaxAttachmentSize + 1}}
		},
	} {
		d := accepted
		change(&d)
		var invalid *domain.InvalidError
		if err := d.Check(); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestDraft_Equal compares the draft of a sent message with drafts that differ in one field each.
func TestDraft_Equal(t *testing.T) {
	sent := domain.Draft{
		ID: "m", Content: "x", ReplyTo: "m0", Mentions: []domain.UserID{"ann"}, Attachments: []domain.Attachment{{Name: "a", URL: "u"}}, ClientMeta: "{}",
	}
	w := given(usual()...)
	events, err := w.chat.Post(w.member("ann"), w.message("m"), sent, domain.Referred{ReplyTo: true, Members: w.mentioned(sent.Mentions)}, noon)
	if err != nil || len(events) != 1 {
		t.Fatalf("%v, error %v", events, err)
	}
	w.apply(events[0])
	if got := w.message("m").Draft(); !got.Equal(sent) {
		t.Errorf("the draft of the message is %+v, want %+v", got, sent)
	}
	for what, change := range map[string]func(d *domain.Draft){
		"id":          func(d *domain.Draft) { d.ID = "m2" },
		"content":     func(d *domain.Draft) { d.Content = "y" },
		"reply":       func(d *domain.Draft) { d.ReplyTo = "" },
		"mentions":    func(d *domain.Draft) { d.Mentions = nil },
		"attachments": func(d *domain.Draft) { d.Attachments = []domain.Attachment{{Name: "b", URL: "u"}} },
		"client meta": func(d *domain.Draft) { d.ClientMeta = "" },
	} {
		other := sent
		if change(&other); other.Equal(sent) {
			t.Errorf("a draft with another %s is equal", what)
		}
	}
}

// TestDevice_Limits has a session's device be checked in each field.
func TestDevice_Limits(t *testing.T) {
	accepted := domain.Device{
		ID: "phone", Name: strings.Repeat("x", domain.MaxDeviceNameBytes), UserAgent: strings.Repeat("x", domain.MaxUserAgentBytes), IP: strings.Repeat("x", domain.MaxIPBytes),
	}
	if err := errors.Join(accepted.Check(), domain.Device{}.Check()); err != nil {
		t.Errorf("devices at their limits: %v", err)
	}
	for field, change := range map[string]func(d *domain.Device){
		"deviceId":         func(d *domain.Device) { d.ID = "a b" },
		"device.name":      func(d *domain.Device) { d.Name += "x" },
		"device.userAgent": func(d *domain.Device) { d.UserAgent = "a\nb" },
		"device.ip":        func(d *domain.Device) { d.IP += "x" },
	} {
		d := accepted
		change(&d)
		var invalid *domain.InvalidError
		if err := d.Check(); !errors.As(err, &invalid) || invalid.Field != field {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// TestSession_ClockSetBack uses a session before it was opened: it lives for no longer than its lifetime from then on.
func TestSession_ClockSetBack(t *testing.T) {
	opened := domain.SessionPolicy{Idle: time.Hour, Lifetime: 24 * time.Hour}.Open("id", "ann", domain.Device{}, noon)
	earlier := noon.Add(-10 * time.Hour)
	used, noted := opened.Use(earlier)
	if !noted || !used.OpenedAt.Equal(earlier) || !used.EndsAt.Equal(earlier.Add(24*time.Hour)) || !used.SeenAt.Equal(earlier) {
		t.Errorf("noted %t: %+v", noted, used)
	}
	if used, _ := opened.Use(noon.Add(2 * time.Hour)); !used.OpenedAt.Equal(noon) || !used.EndsAt.Equal(opened.EndsAt) {
		t.Errorf("a use later on moves the times of the session: %+v", used)
	}
}
