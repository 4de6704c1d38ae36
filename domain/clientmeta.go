package domain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// ClientMeta is a JSON object that a client attached to its message. chatcore carries it and never looks inside.
type ClientMeta string

// NewClientMeta returns a client's own JSON object without insignificant white space, so on one line; an empty s is none. Programs read duplicate keys
// and numbers that float64 does not reach in different ways, so both are refused.
func NewClientMeta(s string) (ClientMeta, error) {
	problem := ""
	switch {
	case s == "":
	case len(s) > MaxClientMetaBytes:
		problem = fmt.Sprintf("has %d bytes", len(s))
	case !utf8.ValidString(s):
		problem = "is not valid UTF-8"
	case !json.Valid([]byte(s)) || strings.TrimLeft(s, " \t\r\n")[0] != '{':
		problem = "is not a JSON object"
	default:
		decoder := json.NewDecoder(strings.NewReader(s))
		decoder.UseNumber()
		if err := unambiguous(decoder); err != nil {
			problem = err.Error()
		}
	}
	if problem != "" {
		return "", &InvalidError{
			Field: "clientMeta", Problem: problem, Allowed: "one JSON object of at most 4 KiB, with each key once and numbers in the range of float64",
		}
	}
	return ClientMeta(s).compact(), nil
}

// compact returns the object without insignificant white space.
func (m ClientMeta) compact() ClientMeta {
	var b bytes.Buffer
	if m == "" || json.Compact(&b, []byte(m)) != nil {
		return m
	}
	return ClientMeta(b.String())
}

// unambiguous reads one JSON value, which must be valid, and returns an error if programs may read it differently.
func unambiguous(d *json.Decoder) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token := token.(type) {
	case json.Number:
		if _, err := strconv.ParseFloat(string(token), 64); err != nil {
			return fmt.Errorf("has the number %.40s", token)
		}
	case json.Delim:
		if token == '{' {
			return unambiguousKeys(d)
		}
		for d.More() {
			if err := unambiguous(d); err != nil {
				return err
			}
		}
		_, err = d.Token()
		return err
	}
	return nil
}

func unambiguousKeys(d *json.Decoder) error {
	keys := make(map[string]struct{})
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, text := token.(string)
		if !text {
			return errors.New("has a key that is no string")
		}
		if _, twice := keys[key]; twice {
			return fmt.Errorf("has the key %.40q twice", key)
		}
		keys[key] = struct{}{}
		if err := unambiguous(d); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}
