package connect

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"

	"chatcore/domain"
)

const (
	allowedPageToken = "the next_page_token of the page before in the same call, or empty"
	maxPageToken     = 1 << 10 // bytes
	bindingBytes     = 8
)

// pageTokens makes and reads the page tokens of one list: of a method, and of the arguments that select the list. A token is the cursor of the list,
// bound to these by a hash: the token of another list is refused. It is no secret, and the core checks the cursor.
type pageTokens [bindingBytes]byte

// tokensOf returns the page tokens of a list.
func tokensOf(method string, arguments ...any) pageTokens {
	sum := sha256.Sum256(fmt.Appendf(nil, "%q", append([]any{method}, arguments...)))
	return pageTokens(sum[:bindingBytes])
}

// token returns the token of a cursor: "" for "".
func (t pageTokens) token(cursor string) string {
	if cursor == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(t[:], cursor...))
}

// cursor returns the cursor of a token: "" for "".
func (t pageTokens) cursor(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	if len(token) <= maxPageToken {
		raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
		if err == nil && len(raw) > bindingBytes && pageTokens(raw[:bindingBytes]) == t {
			return string(raw[bindingBytes:]), nil
		}
	}
	return "", badPageToken(token)
}

func badPageToken(token string) error {
	return &domain.InvalidError{Field: "page_token", Problem: fmt.Sprintf("is %.80q", token), Allowed: allowedPageToken}
}

// page returns the page that a request asks for. The core checks its size.
func (t pageTokens) page(size uint32, token string) (domain.Page, error) {
	cursor, err := t.cursor(token)
	return domain.Page{Limit: int(size), Cursor: cursor}, err
}
