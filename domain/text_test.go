package domain_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"chatcore/domain"
)

// invisible are characters of every kind that shows nothing.
var invisible = []string{
	" ", "\t", "\n", "\u00a0", "\u3000", "\u2028", "\u2029", // white space
	"\u200b", "\u200c", "\u200d", "\u2060", "\u2064", "\u00ad", "\ufeff", "\u180e", "\u061c", "\ufff9", // format characters
	"\u034f", "\u115f", "\u1160", "\u17b4", "\u3164", "\uffa0", "\u2065", "\ufff0", // fillers, and code points reserved for the like
	"\ufe00", "\ufe0f", "\u180b", "\U000e0100", // variation selectors
	"\U000e0001", "\U000e0041", "\U000e007f", "\U000e0fff", // tags
	"\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", // bidi controls
	"\u2800", "\U00013441", "\U00013442", "\U00016fe4", "\U0001d159", "\ufffe", // blank glyphs and noncharacters
}

func TestContentThatShowsNothing(t *testing.T) {
	all := append(slices.Clone(invisible), strings.Join(invisible, ""), "\r\n\r\n")
	for _, text := range all {
		if _, err := domain.NewContent(text); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("content %q: %v", text, err)
		}
		blank := domain.Draft{ID: "m", Attachments: []domain.Attachment{{Name: text, URL: "https://example.org"}}}
		if err := blank.Check(); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("an attachment named %q: %v", text, err)
		}
		for _, shown := range []string{text + "x", "\u0600" + text, "\u0301" + text, "漢" + text, "👍" + text} {
			if _, err := domain.NewContent(shown); err != nil {
				t.Errorf("content %q: %v", shown, err)
			}
		}
	}
}

// TestDefaultIgnorable compares the result for every code point with the Unicode tables.
func TestDefaultIgnorable(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		if r >= 0xd800 && r <= 0xdfff {
			continue
		}
		table := unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Bidi_Control, unicode.White_Space)
		if _, err := domain.ParseUserID("a" + string(r)); table && err == nil {
			t.Errorf("an id with %U is accepted", r)
		}
		if _, err := domain.NewContent(string(r)); table && err == nil {
			t.Errorf("content of only %U is accepted", r)
		}
		if plain := unicode.In(r, unicode.Lu, unicode.Ll, unicode.Nd, unicode.P); plain {
			if _, err := domain.ParseUserID(string(r)); err != nil {
				t.Errorf("an id of %U is refused: %v", r, err)
			}
		}
	}
}

func TestIDsWithInvisibleCharacters(t *testing.T) {
	for _, s := range invisible {
		for _, id := range []string{s, "ada" + s, s + "ada", "a" + s + "da"} {
			for name, parse := range map[string]func(string) error{
				"chat": func(s string) error { _, err := domain.ParseChatID(s); return err },
				"user": func(s string) error { _, err := domain.ParseUserID(s); return err },
				"msg":  func(s string) error { _, err := domain.ParseMessageID(s); return err },
				"cmd":  func(s string) error { _, err := domain.ParseCommandID(s); return err },
				"dev":  func(s string) error { _, err := domain.ParseDeviceID(s); return err },
				"own":  func(s string) error { _, err := domain.ParseCustomID(s); return err },
			} {
				if err := parse(id); !errors.Is(err, domain.ErrInvalid) {
					t.Errorf("%s id %q: %v", name, id, err)
				}
			}
		}
	}
}

func TestLineEnds(t *testing.T) {
	if got, err := domain.NewContent("a\r\nb\r\n\r\nc\n"); err != nil || got != "a\nb\n\nc\n" {
		t.Errorf("content %q, error %v", got, err)
	}
	if got, err := domain.NewReason("a\r\nb"); err != nil || got != "a\nb" {
		t.Errorf("reason %q, error %v", got, err)
	}
	if got, err := domain.NewContent(strings.Repeat("\r\n", domain.MaxContentBytes-1) + "x"); err != nil || len(got) != domain.MaxContentBytes {
		t.Errorf("%d bytes, error %v", len(got), err)
	}
}

// spellings are emoji by their normal form.
var spellings = map[domain.Emoji][]string{
	"👍":                    {"👍", "👍\ufe0f", "👍\ufe0e"},
	"👍🏽":                   {"👍🏽", "👍\ufe0f🏽", "👍🏽\ufe0f"},
	"❤\ufe0f":              {"❤", "❤\ufe0f", "❤\ufe0e"},
	"☝🏿":                   {"☝🏿", "☝\ufe0f🏿"},
	"1\ufe0f\u20e3":        {"1\u20e3", "1\ufe0f\u20e3"},
	"#\ufe0f\u20e3":        {"#\ufe0f\u20e3"},
	"🇩🇪":                   {"🇩🇪"},
	"🏳\ufe0f\u200d🌈":       {"🏳\u200d🌈", "🏳\ufe0f\u200d🌈", "🏳\ufe0f\u200d🌈\ufe0f"},
	"👁\ufe0f\u200d🗨\ufe0f": {"👁\u200d🗨", "👁\ufe0f\u200d🗨", "👁\ufe0f\u200d🗨\ufe0f"},
	"👩\u200d❤\ufe0f\u200d💋\u200d👩":                                  {"👩\u200d❤\u200d💋\u200d👩", "👩\u200d❤\ufe0f\u200d💋\u200d👩"},
	"🏃🏻\u200d♀\ufe0f\u200d➡\ufe0f":                                  {"🏃🏻\u200d♀\u200d➡"},
	"🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f": {"🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"},
	"🏴": {"🏴"}, "©\ufe0f": {"©"}, "🏽": {"🏽"}, "👨\u200d👩\u200d👧\u200d👦": {"👨\u200d👩\u200d👧\u200d👦"},
	":+1:": {":+1:"}, ":thumbs-up_2:": {":thumbs-up_2:"}, ":PogChamp:": {":PogChamp:"},
}

func TestEmoji(t *testing.T) {
	for normal, all := range spellings {
		for _, s := range all {
			if got, err := domain.NewEmoji(s); err != nil || got != normal {
				t.Errorf("%+q is %+q, error %v; want %+q", s, got, err, normal)
			}
			if got := domain.Emoji(s).Normal(); got != normal {
				t.Errorf("the normal form of %+q is %+q, want %+q", s, got, normal)
			}
		}
	}
	for _, s := range append(slices.Clone(invisible),
		"", "a", "1", "#", "1\ufe0f", "like", "é", "漢", "ﷺ", "👍👍", "👍 ", " 👍", "👍x", "x👍", "👍\u200b", "👍\u200d", "\u200d👍", "👍\u200dx", "👍\u0301",
		"👍\u034f", "👍🏽🏽", "🇩", "🇩🇪🇫🇷", "🇩🇪🇫", "👍\ufe0f\ufe0f", "👍\U000e0067", "🏴\U000e0067\U000e0062", "👍\u20e3", "::", ":", ":a", "a:", ":a b:", ":ä:", ":👍:", ":a::b:",
		"👍\n", "\x1b[31m", "\xff", ":"+strings.Repeat("x", 63)+":", strings.Repeat("👩\u200d", 12)+"👩",
	) {
		if got, err := domain.NewEmoji(s); !errors.Is(err, domain.ErrInvalid) {
			t.Errorf("%+q is the emoji %+q, error %v", s, got, err)
		}
	}
	for _, s := range []string{"like", "é", "👍👍", "a:b"} { // an older program took them
		if got, err := domain.RecordedEmoji(s); err != nil || string(got) != s {
			t.Errorf("recorded %+q is %+q, error %v", s, got, err)
		}
	}
}

func TestNormalEmojiIsStable(t *testing.T) {
	pieces := []string{"👍", "❤", "\ufe0f", "\ufe0e", "\u200d", "🏽", "🇩", "🇪", "1", "\u20e3", "🏴", "\U000e0067", "\U000e007f", "x", "\u0301", "👩", "\xff"}
	rapid.Check(t, func(t *rapid.T) {
		s := strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 6).Draw(t, "pieces"), "")
		normal := domain.Emoji(s).Normal()
		if again := normal.Normal(); again != normal {
			t.Fatalf("%+q has the normal form %+q, and that %+q", s, normal, again)
		}
		if e, err := domain.NewEmoji(s); err == nil && e != normal && s[0] != ':' {
			t.Fatalf("%+q is %+q, its normal form %+q", s, e, normal)
		}
	})
}

// TestReactionsInOldSpellings folds events that older programs recorded in any spelling.
func TestReactionsInOldSpellings(t *testing.T) {
	put := func(e domain.Emoji, a domain.ReactionAction) domain.MessageReaction {
		return domain.MessageReaction{Chat: "c", Message: "m", User: "ann", Emoji: e, Action: a, At: noon}
	}
	var r domain.Reactions
	r.Apply(1, put("❤", domain.ReactionAdd))
	r.Apply(2, put("❤\ufe0f", domain.ReactionAdd))
	r.Apply(3, put("like", domain.ReactionAdd))
	groups := r.Groups()
	if r.Len() != 2 || !r.Has("ann", "❤") || !r.Has("ann", "❤\ufe0e") || !r.Has("ann", "like") || groups[0].Emoji != "❤\ufe0f" || len(groups[0].Users) != 1 {
		t.Fatalf("%d reactions: %+v", r.Len(), groups)
	}
	r.Apply(4, put("❤", domain.ReactionRemove))
	if r.Len() != 1 || r.Has("ann", "❤\ufe0f") {
		t.Errorf("after its removal: %+v", r.Groups())
	}
	w := given(usual(sent("m", "ann"), put("❤", domain.ReactionAdd))...)
	if events, err := w.chat.React(w.member("ann"), w.message("m"), w.reacted("m"), "❤\ufe0f", noon); err != nil || len(events) != 0 {
		t.Errorf("the same reaction in another spelling gives %+v, error %v", events, err)
	}
	if events, err := w.chat.Unreact(w.member("ann"), w.message("m"), w.reacted("m"), "❤\ufe0f", noon); err != nil || len(events) != 1 {
		t.Errorf("taking it back in another spelling gives %+v, error %v", events, err)
	}
}

func TestClientMeta(t *testing.T) {
	for s, want := range map[string]domain.ClientMeta{
		"": "", "{}": "{}", " {\n\t\"a\": [ 1, {\"b\" : null} ]\r\n} ": `{"a":[1,{"b":null}]}`, `{"a":"x  y\n"}`: `{"a":"x  y\n"}`,
		`{"a":{"a":1},"b":{"a":1}}`: `{"a":{"a":1},"b":{"a":1}}`, `{"n":1e308,"m":-1E-400,"i":123456789012345678901234567890}`: `{"n":1e308,"m":-1E-400,"i":123456789012345678901234567890}`,
	} {
		if got, err := domain.NewClientMeta(s); err != nil || got != want {
			t.Errorf("%q is %q, error %v; want %q", s, got, err, want)
		}
	}
	for _, s := range []string{
		"[]", "null", "{", `{"a":1}{"b":1}`, "\xff", `{"a":1,"a":1}`, `{"a":1,"\u0061":2}`, `{"x":[{"b":{"a":1,"c":2,"a":3}}]}`, `{"n":1e309}`, `{"n":[{"m":-1e400}]}`,
		`{"x":"` + strings.Repeat("x", domain.MaxClientMetaBytes) + `"}`,
	} {
		_, err := domain.NewClientMeta(s)
		if invalid, ok := errors.AsType[*domain.InvalidError](err); !ok || invalid.Field != "clientMeta" {
			t.Errorf("%.40q: %v", s, err)
		}
	}
}

func TestDraftsOfOlderPrograms(t *testing.T) {
	draft := domain.Draft{ID: "m", Content: "hi", Mentions: []domain.UserID{"ann", "bob"}, ClientMeta: `{"a":1}`}
	old := draft
	old.Mentions, old.ClientMeta = []domain.UserID{"ann", "bob", "ann"}, "{ \"a\": 1 }"
	if !draft.Equal(old) || !old.Equal(draft) {
		t.Error("a draft differs from the same one as an older program recorded it")
	}
	for _, other := range []domain.Draft{
		{ID: "m", Content: "hi", Mentions: []domain.UserID{"ann"}, ClientMeta: `{"a":1}`}, {ID: "m", Content: "hi", Mentions: draft.Mentions, ClientMeta: `{"a":2}`},
	} {
		if draft.Equal(other) {
			t.Errorf("%+v equals %+v", draft, other)
		}
	}
	self := domain.Draft{ID: "m", Content: "hi", ReplyTo: "m"}
	if err := self.Check(); !errors.Is(err, domain.ErrInvalid) {
		t.Errorf("a reply to itself: %v", err)
	}
}

// TestEditsFold covers events with and without mentions and attachments: older programs recorded none.
func TestEditsFold(t *testing.T) {
	file := domain.Attachment{Name: "a", URL: "u"}
	m := domain.Message{}
	m.Apply(1, domain.MessageNew{Chat: "c", Message: "m", Sender: "ann", Content: "hi", Mentions: []domain.UserID{"bob", "bob"}, Attachments: []domain.Attachment{file}, At: noon})
	m.Apply(2, domain.MessageEdit{Content: "ho", Revision: 1, At: noon})
	if len(m.Mentions) != 2 || len(m.Attachments) != 1 || m.Content != "ho" {
		t.Errorf("an edit without them leaves %+v", m)
	}
	m.Apply(3, domain.MessageEdit{Content: "ho", Mentions: []domain.UserID{"eve"}, Attachments: []domain.Attachment{}, Revision: 2, At: noon})
	if !slices.Equal(m.Mentions, []domain.UserID{"eve"}) || m.Attachments != nil {
		t.Errorf("an edit with them leaves %+v", m)
	}
}

func BenchmarkNormalEmoji(b *testing.B) {
	for _, e := range []domain.Emoji{"👍", "❤", "👩\u200d❤\ufe0f\u200d💋\u200d👩", "like"} {
		b.Run(string(e), func(b *testing.B) {
			for b.Loop() {
				e.Normal()
			}
		})
	}
}
