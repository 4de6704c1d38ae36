package object

import (
	"bytes"
	"encoding/json"

	"chatcore/domain"
)

// ManifestObject describes the log whose objects a vault has. The one with the highest number holds. It is JSON in its envelope.
type ManifestObject struct {
	Name       Name       `json:"-"`
	Log        string     `json:"log"` // the log id
	Partitions int        `json:"partitions"`
	Hash       string     `json:"hash"`               // that assigns chats to partitions
	CreatedAt  uint64     `json:"createdAt"`          // in Unix milliseconds
	Ancestors  []Ancestor `json:"ancestors,omitzero"` // the youngest first
	Closed     uint64     `json:"closed,omitzero"`    // since when the log takes no events and the vault has all of them, in Unix milliseconds; 0 if it is open
}

// Ancestor is a log that a restore has continued without its last events.
type Ancestor struct {
	Log    string `json:"log"`
	ForkAt uint64 `json:"forkAt"` // the restored moment, in Unix milliseconds by the clock of Redis
}

// ErasureList names events whose content is erased: no restore revives them. It is JSON in its envelope.
type ErasureList struct {
	Name     Name      `json:"-"`
	Erasures []Erasure `json:"erasures"`
}

// RuleSet has the retention policies and the legal holds of a partition, as the hashes of Redis have them: field and text. The one with the highest number holds.
// It is JSON in its envelope.
type RuleSet struct {
	Name     Name              `json:"-"`
	Policies map[string]string `json:"policies"`
	Holds    map[string]string `json:"holds"`
}

// Erasure is an erasure in a chat.
type Erasure struct {
	Chat   domain.ChatID `json:"chat"`
	By     domain.Seq    `json:"by"` // of the event that erased them
	Events []ErasedEvent `json:"events"`
}

// ErasedEvent is an event without content.
type ErasedEvent struct {
	Seq domain.Seq     `json:"seq"`
	ID  domain.EventID `json:"id"`
}

// EncodeManifest returns the bytes of a manifest.
func EncodeManifest(m *ManifestObject) ([]byte, error) {
	if m.Log != m.Name.Log {
		return nil, &domain.InvalidError{Field: "log", Problem: "is " + m.Log, Allowed: m.Name.Log + ", as in the manifest's name"}
	}
	return encodeJSON(KindManifest, m.Name, m)
}

// DecodeManifest decodes a manifest.
func DecodeManifest(name Name, data []byte) (*ManifestObject, error) {
	m := &ManifestObject{Name: name}
	if err := decodeJSON(KindManifest, name, data, m); err != nil {
		return nil, err
	}
	if m.Log != name.Log || m.Partitions < 1 || m.Partitions > MaxPartition+1 {
		return nil, damaged(name, "its log or its number of partitions is not valid")
	}
	return m, nil
}

// EncodeErasures returns the bytes of a list of erasures.
func EncodeErasures(l *ErasureList) ([]byte, error) { return encodeJSON(KindErasures, l.Name, l) }

// DecodeErasures decodes a list of erasures.
func DecodeErasures(name Name, data []byte) (*ErasureList, error) {
	l := &ErasureList{Name: name}
	return l, decodeJSON(KindErasures, name, data, l)
}

// EncodeRules returns the bytes of the rules of a partition.
func EncodeRules(r *RuleSet) ([]byte, error) { return encodeJSON(KindRules, r.Name, r) }

// DecodeRules decodes the rules of a partition.
func DecodeRules(name Name, data []byte) (*RuleSet, error) {
	r := &RuleSet{Name: name}
	return r, decodeJSON(KindRules, name, data, r)
}

func encodeJSON(kind Kind, name Name, v any) ([]byte, error) {
	if name.Kind != kind {
		return nil, &domain.InvalidError{Field: "object name", Problem: "is " + name.String(), Allowed: "a name of the object's kind"}
	}
	if err := name.Check(); err != nil {
		return nil, err
	}
	body, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return seal(kind, name, body), nil
}

// decodeJSON decodes JSON strictly: an unknown field belongs to a newer format, which has another number.
func decodeJSON(kind Kind, name Name, data []byte, v any) error {
	body, err := unseal(kind, name, data)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return damaged(name, err.Error())
	}
	if d.InputOffset() != int64(len(body)) {
		return damaged(name, "something follows its JSON")
	}
	return nil
}
