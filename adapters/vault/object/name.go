package object

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"chatcore/domain"
	"chatcore/ports"
)

// Kind is the kind of an object.
type Kind uint8

// Kinds of objects. Their numbers are part of the format.
const (
	KindManifest Kind = iota + 1
	KindJournal
	KindSegment
	KindTail
	KindErasures
	kindFooter // of a segment, within it
	KindFork
	KindRules
)

// String returns the name of a kind, for example "journal".
func (k Kind) String() string {
	switch k {
	case KindManifest:
		return "manifest"
	case KindJournal:
		return "journal"
	case KindSegment:
		return "segment"
	case KindTail:
		return "tail"
	case KindErasures:
		return "erasures"
	case kindFooter:
		return "footer"
	case KindFork:
		return "fork"
	case KindRules:
		return "rules"
	}
	return "kind(" + strconv.Itoa(int(k)) + ")"
}

// Bounds of the parts of a name. Numbers have as many digits as their bound, so that names sort as the numbers do.
const (
	MaxNumber    = 9_999_999_999_999_999
	MaxPartition = 9999
)

// Name is the name of an object, which is its address:
//
//	LOG/manifest.NUMBER
//	LOG/journal/EPOCH-NUMBER
//	LOG/seg/PARTITION/CHAT/NUMBER.GENERATION
//	LOG/tails/PARTITION/TIME.NUMBER
//	LOG/erasures/NUMBER
//	LOG/forks/PARTITION/NUMBER
//	LOG/rules/PARTITION/NUMBER
//
// Fields that a kind does not have are zero.
type Name struct {
	Kind       Kind
	Log        string // the log id
	Partition  int
	Chat       domain.ChatID
	Epoch      uint64 // of the archiver
	Time       uint64 // in Unix milliseconds
	Number     uint64 // from 0; of a tail its part
	Generation uint64 // from 0; grows with each rewriting of a segment
}

// Manifest returns the name of a manifest.
func Manifest(log string, number uint64) Name {
	return Name{Kind: KindManifest, Log: log, Number: number}
}

// Journal returns the name of a journal object.
func Journal(log string, epoch, number uint64) Name {
	return Name{Kind: KindJournal, Log: log, Epoch: epoch, Number: number}
}

// Segment returns the name of a sealed segment: that of the events from number × [SegmentEvents] + 1 on.
func Segment(log string, partition int, chat domain.ChatID, number, generation uint64) Name {
	return Name{Kind: KindSegment, Log: log, Partition: partition, Chat: chat, Number: number, Generation: generation}
}

// Tail returns the name of a part of a tail.
func Tail(log string, partition int, time, part uint64) Name {
	return Name{Kind: KindTail, Log: log, Partition: partition, Time: time, Number: part}
}

// Erasures returns the name of a list of erasures.
func Erasures(log string, number uint64) Name {
	return Name{Kind: KindErasures, Log: log, Number: number}
}

// Fork returns the name of a fork.
func Fork(log string, partition int, number uint64) Name {
	return Name{Kind: KindFork, Log: log, Partition: partition, Number: number}
}

// Rules returns the name of the rules of a partition.
func Rules(log string, partition int, number uint64) Name {
	return Name{Kind: KindRules, Log: log, Partition: partition, Number: number}
}

// String returns the name as a vault has it.
func (n Name) String() string {
	text := n.Siblings()
	switch n.Kind {
	case KindJournal:
		text += padded(n.Epoch) + "-"
	case KindTail:
		text += padded(n.Time) + "."
	default:
	}
	text += padded(n.Number)
	if n.Kind == KindSegment {
		text += "." + padded(n.Generation)
	}
	return text
}

// Segments returns the prefix of the names of all segments of a partition. Those of one chat follow each other, and so do the generations of one segment.
func Segments(log string, partition int) string { return fmt.Sprintf("%s/seg/%04d/", log, partition) }

// Siblings returns the prefix of the names of all objects of the same kind, log, partition and chat.
func (n Name) Siblings() string {
	switch n.Kind {
	case KindManifest:
		return n.Log + "/manifest."
	case KindJournal:
		return n.Log + "/journal/"
	case KindSegment:
		return Segments(n.Log, n.Partition) + escape(string(n.Chat)) + "/"
	case KindTail:
		return fmt.Sprintf("%s/tails/%04d/", n.Log, n.Partition)
	case KindErasures:
		return n.Log + "/erasures/"
	case KindFork:
		return fmt.Sprintf("%s/forks/%04d/", n.Log, n.Partition)
	case KindRules:
		return fmt.Sprintf("%s/rules/%04d/", n.Log, n.Partition)
	default:
		return n.Log + "/"
	}
}

func padded(n uint64) string { return fmt.Sprintf("%016d", n) }

// Check returns a [*domain.InvalidError] for a name that no object can have.
func (n Name) Check() error {
	invalid := func(field, problem, allowed string) error {
		return &domain.InvalidError{Field: field, Problem: problem, Allowed: allowed}
	}
	if strings.Contains(n.Log, "/") || n.Log == "" {
		return invalid("log", "is "+strconv.Quote(n.Log), "a log id")
	}
	if n.Partition < 0 || n.Partition > MaxPartition {
		return invalid("partition", "is "+strconv.Itoa(n.Partition), "0 to "+strconv.Itoa(MaxPartition))
	}
	if largest := max(n.Epoch, n.Time, n.Number, n.Generation); largest > MaxNumber {
		return invalid("object name", "has the number "+strconv.FormatUint(largest, 10), "0 to "+strconv.Itoa(MaxNumber))
	}
	if (n.Kind == KindSegment) != (n.Chat != "") || len(n.Chat) > domain.MaxIDBytes {
		return invalid("chat", "is "+strconv.Quote(string(n.Chat)), "a chat id in the name of a segment, nothing in others")
	}
	if n.Kind < KindManifest || n.Kind > KindRules || n.Kind == kindFooter {
		return invalid("kind", "is "+strconv.Itoa(int(n.Kind)), "a kind of object")
	}
	return ports.CheckObjectName(n.String())
}

// ParseName parses the name of an object. It returns a [*domain.InvalidError] for any other text.
func ParseName(text string) (Name, error) {
	n, ok := parseName(text)
	if !ok || n.Check() != nil || n.String() != text {
		return Name{}, &domain.InvalidError{Field: "object name", Problem: "is " + strconv.Quote(text), Allowed: "a name as object.Name describes it"}
	}
	return n, nil
}

// parseName parses a name; ok may be true for texts that only resemble one.
func parseName(text string) (n Name, ok bool) {
	n.Log, text, _ = strings.Cut(text, "/")
	folder, last := ports.ObjectFolder(text)
	kind, rest, _ := strings.Cut(folder, "/")
	before, after, two := strings.Cut(last, ".")
	var numbers [2]*uint64
	switch kind {
	case "":
		if before != "manifest" {
			return n, false
		}
		n.Kind, before, two, numbers[0] = KindManifest, after, false, &n.Number
	case "journal":
		before, after, two = strings.Cut(last, "-")
		n.Kind, numbers = KindJournal, [2]*uint64{&n.Epoch, &n.Number}
	case "seg":
		n.Kind, numbers = KindSegment, [2]*uint64{&n.Number, &n.Generation}
	case "tails":
		n.Kind, numbers = KindTail, [2]*uint64{&n.Time, &n.Number}
	case "erasures":
		n.Kind, numbers[0] = KindErasures, &n.Number
	case "forks":
		n.Kind, numbers[0] = KindFork, &n.Number
	case "rules":
		n.Kind, numbers[0] = KindRules, &n.Number
	default:
		return n, false
	}
	if n.Kind == KindSegment || n.Kind == KindTail || n.Kind == KindFork || n.Kind == KindRules {
		var partition string
		var err error
		partition, rest, _ = strings.Cut(rest, "/")
		if n.Partition, err = strconv.Atoi(partition); err != nil {
			return n, false
		}
	}
	if n.Kind == KindSegment {
		n.Chat = domain.ChatID(unescape(strings.TrimSuffix(rest, "/")))
	}
	return n, parseNumbers(numbers, before, after) && two == (numbers[1] != nil)
}

// parseNumbers parses one or two numbers.
func parseNumbers(into [2]*uint64, texts ...string) bool {
	for i, n := range into {
		if n == nil {
			continue
		}
		var err error
		if *n, err = strconv.ParseUint(texts[i], 10, 64); err != nil {
			return false
		}
	}
	return true
}

// continued ends an element that the next one continues. Escaping never ends with it.
const continued = "%"

// escape makes a chat id usable in a name, with the same characters encoded as in keys of Redis, and also slashes and a dot at the beginning. An id whose
// form is longer than an element of a name becomes two elements.
func escape(id string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	element := 0
	for i := 0; i < len(id); {
		r, size := utf8.DecodeRuneInString(id[i:])
		text := id[i : i+size]
		if special(r) || r == utf8.RuneError && size == 1 || i == 0 && r == '.' {
			text = ""
			for _, c := range []byte(id[i : i+size]) {
				text += string([]byte{'%', hex[c>>4], hex[c&15]})
			}
		}
		if b.Len()-element+len(text)+len(continued) > ports.MaxObjectElement {
			b.WriteString(continued + "/")
			element = b.Len()
			if text[0] == '.' {
				text = "%2E"
			}
		}
		b.WriteString(text)
		i += size
	}
	return b.String()
}

func special(r rune) bool {
	return r < utf8.RuneSelf && strings.IndexByte(` %:{}*?[]\/`, byte(r)) >= 0 || !unicode.IsPrint(r)
}

// unescape reverses escape. Any text gives some result.
func unescape(text string) string {
	text = strings.ReplaceAll(text, continued+"/", "")
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(text, "%")
		b.WriteString(plain)
		if !found {
			return b.String()
		}
		if code, err := strconv.ParseUint(rest[:min(2, len(rest))], 16, 8); err == nil {
			b.WriteByte(byte(code))
		}
		text = rest[min(2, len(rest)):]
	}
}
