package object

import (
	"cmp"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chatcore/domain"
	"chatcore/ports"
)

func TestName_Forms(t *testing.T) {
	long := domain.ChatID(strings.Repeat("{", domain.MaxIDBytes))
	for want, name := range map[string]Name{
		"log/manifest.0000000000000002":                               Manifest("log", 2),
		"log/journal/0000001700000000-0000000000000007":               Journal("log", 1_700_000_000, 7),
		"log/seg/0003/room-1/0000000000000004.0000000000000001":       Segment("log", 3, "room-1", 4, 1),
		"log/seg/0003/a%2Fb%3A%25ü/0000000000000004.0000000000000000": Segment("log", 3, "a/b:%ü", 4, 0),
		"log/seg/0003/%2E./0000000000000004.0000000000000000":         Segment("log", 3, "..", 4, 0),
		"log/tails/0012/0001700000000000.0000000000000000":            Tail("log", 12, 1_700_000_000_000, 0),
		"log/forks/0012/0000000000000003":                             Fork("log", 12, 3),
		"log/rules/0003/0000000000000007":                             Rules("log", 3, 7),
		"log/erasures/9999999999999999":                               Erasures("log", MaxNumber),
		"log/seg/0000/" + strings.Repeat("%7B", 84) + "%/" + strings.Repeat("%7B", 44) + "/0000000000000000.0000000000000000": Segment("log", 0, long, 0, 0),
	} {
		if got := name.String(); got != want || name.Check() != nil {
			t.Errorf("%+v is %q, error %v, want %q", name, got, name.Check(), want)
		}
		if got, err := ParseName(want); err != nil || got != name {
			t.Errorf("%q is %+v, error %v, want %+v", want, got, err, name)
		}
	}
}

// TestName_RoundTrip draws names: every vault accepts them, they can be parsed, begin as their siblings, and sort as their numbers.
func TestName_RoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := drawName(rapid.SampledFrom([]Kind{KindManifest, KindJournal, KindSegment, KindTail, KindErasures, KindFork, KindRules}).Draw(t, "kind")).Draw(t, "name")
		text := name.String()
		if err := ports.CheckObjectName(text); err != nil {
			t.Fatal(err)
		}
		if got, err := ParseName(text); err != nil || got != name {
			t.Fatalf("%q is %+v, error %v, want %+v", text, got, err, name)
		}
		if !strings.HasPrefix(text, name.Siblings()) {
			t.Fatalf("%q does not begin with %q", text, name.Siblings())
		}
		later := name
		later.Number = drawNumber(t)
		if got, want := strings.Compare(text, later.String()), cmp.Compare(name.Number, later.Number); got != want {
			t.Fatalf("%q and %q: order %d, want %d", text, later, got, want)
		}
	})
}

// TestName_Siblings draws two chats: none has a name that begins as those of the other.
func TestName_Siblings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.OneOf(rapid.StringN(1, 60, domain.MaxIDBytes), rapid.StringOfN(rapid.RuneFrom([]rune("{./%a")), 1, 128, 128))
		a, b := Segment("log", 1, domain.ChatID(id.Draw(t, "a")), 1, 1), Segment("log", 1, domain.ChatID(id.Draw(t, "b")), 1, 1)
		if rapid.Bool().Draw(t, "longer") {
			b.Chat = (a.Chat + b.Chat)[:min(len(a.Chat)+len(b.Chat), domain.MaxIDBytes)]
		}
		if err := ports.CheckObjectName(b.String()); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(b.String(), a.Siblings()) != (a.Chat == b.Chat) {
			t.Fatalf("%q begins with %q", b, a.Siblings())
		}
	})
}

func TestParseName_Refuses(t *testing.T) {
	for _, text := range []string{
		"", "log", "log/", "log/manifest.2", "log/manifest.", "log/manifest", "/manifest.0000000000000002", "log/manifest.0000000000000002.0", "log/x/0000000000000002",
		"log/journal/0000000000000001", "log/journal/0000000000000001.0000000000000001", "log/journal/x/0000000000000001-0000000000000001",
		"log/seg/3/room/0000000000000001.0000000000000001", "log/seg/0003/0000000000000001.0000000000000001", "log/seg/0003/ro:om/0000000000000001.0000000000000001",
		"log/seg/0003/a%2fb/0000000000000001.0000000000000001", "log/seg/0003/a/b/0000000000000001.0000000000000001", "log/seg/0003/%41/0000000000000001.0000000000000001",
		"log/seg/0003/a%/b/0000000000000001.0000000000000001", "log/seg/0003/%/0000000000000001.0000000000000001", "log/seg/-003/a/0000000000000001.0000000000000001",
		"log/tails/0003/x/0000000000000001.0000000000000001", "log/erasures/+000000000000001", "log/erasures/00000000000000010", "log/erasures/0000000000000001-1",
	} {
		var invalid *domain.InvalidError
		if got, err := ParseName(text); !errors.As(err, &invalid) {
			t.Errorf("%q is %+v, error %v, want an InvalidError", text, got, err)
		}
	}
}

func FuzzParseName(f *testing.F) {
	for _, n := range []Name{Manifest("log", 1), Journal("log", 1, 2), Segment("log", 1, "a/b", 1, 2), Tail("l", 1, 2, 3), Erasures("l", 1), Fork("l", 1, 2), Rules("l", 1, 2)} {
		f.Add(n.String())
	}
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := ParseName(text); err == nil && (n.String() != text || n.Check() != nil || ports.CheckObjectName(text) != nil) {
			t.Errorf("%q is %+v, which is %q; %v", text, n, n.String(), n.Check())
		}
	})
}
