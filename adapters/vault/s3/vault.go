// Package s3 keeps a vault in a bucket of Amazon S3, or of another service with its API. It needs conditional writes: a PUT with If-None-Match.
//
// A call is one request, which is never repeated; lists and deletions are one for each 1,000 objects. The package is the only one that links the
// client of S3.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/minio/minio-go/v7"

	"chatcore/ports"
)

// farthest is beyond the end of every object, and is understood by every service.
const farthest = 1 << 50

// Vault keeps objects in a bucket, under a prefix.
type Vault struct {
	core      *minio.Core
	transport *http.Transport
	bucket    string
	prefix    string // "" or with a slash at the end
}

var (
	_ ports.Vault        = (*Vault)(nil)
	_ ports.VaultChecker = (*Vault)(nil)

	_ ports.UnfinishedWrites = (*Vault)(nil)
)

// Close closes idle connections. Calls may go on and follow.
func (v *Vault) Close() { v.transport.CloseIdleConnections() }

// Put implements [ports.Vault]. The object is one PUT, whose sum is signed: there is never a part of it, and no proxy changes it.
func (v *Vault) Put(ctx context.Context, name string, body []byte) error {
	if err := enter(ctx, name); err != nil {
		return err
	}
	options := minio.PutObjectOptions{DisableContentSha256: true} // of chunks; the sum of the whole is signed
	options.SetMatchETagExcept("*")
	sum := sha256.Sum256(body)
	_, err := v.core.PutObject(ctx, v.bucket, v.prefix+name, bytes.NewReader(body), int64(len(body)), "", hex.EncodeToString(sum[:]), options)
	return failure(ctx, err)
}

// Get implements [ports.Vault]. With a negative from the whole end of the object is transferred, whatever the length.
func (v *Vault) Get(ctx context.Context, name string, from, length int64) ([]byte, error) {
	if err := ports.CheckObjectRange(length); err != nil {
		return nil, err
	}
	if err := enter(ctx, name); err != nil {
		return nil, err
	}
	options, err := rangeOf(from, length)
	if err != nil {
		return nil, failure(ctx, err)
	}
	body, err := v.read(ctx, name, options)
	if code(err) == minio.InvalidRange {
		if from >= 0 {
			return []byte{}, nil
		}
		body, err = v.read(ctx, name, minio.GetObjectOptions{}) // it is empty, or the service refuses a range that begins before the object
	}
	if err != nil {
		return nil, failure(ctx, err)
	}
	return body[:min(length, int64(len(body)))], nil
}

// rangeOf asks for a range of an object.
func rangeOf(from, length int64) (options minio.GetObjectOptions, err error) {
	switch {
	case from < 0:
		err = options.SetRange(0, max(from, -farthest))
	case length < farthest:
		from = min(from, farthest)
		err = options.SetRange(from, from+length-1)
	case from > 0:
		err = options.SetRange(min(from, farthest), 0)
	}
	return options, err
}

func (v *Vault) read(ctx context.Context, name string, options minio.GetObjectOptions) ([]byte, error) {
	reader, info, _, err := v.core.GetObject(ctx, v.bucket, v.prefix+name, options)
	if err != nil {
		return nil, err
	}
	body := make([]byte, info.Size)
	_, err = io.ReadFull(reader, body)
	return body, errors.Join(err, reader.Close())
}

// List implements [ports.Vault]. It asks for 1,000 objects at a time.
func (v *Vault) List(ctx context.Context, prefix, after string) iter.Seq2[ports.Object, error] {
	return func(yield func(ports.Object, error) bool) {
		if err := enter(ctx); err != nil {
			yield(ports.Object{}, err)
			return
		}
		if !ports.MayBeginObjectName(prefix) {
			return
		}
		options := minio.ListObjectsOptions{Prefix: v.prefix + printable(prefix), Recursive: true}
		if begin := printable(after); begin != "" {
			options.StartAfter = v.prefix + begin
		}
		for info := range v.core.ListObjectsIter(ctx, v.bucket, options) {
			name := strings.TrimPrefix(info.Key, v.prefix)
			switch {
			case info.Err != nil:
				yield(ports.Object{}, failure(ctx, info.Err))
				return
			case !strings.HasPrefix(name, prefix) || name <= after || ports.CheckObjectName(name) != nil: // of another program
			case !yield(ports.Object{Name: name, Size: info.Size}, nil):
				return
			}
		}
		if err := enter(ctx); err != nil { // the client ends without an error then
			yield(ports.Object{}, err)
		}
	}
}

// printable returns the beginning of a text up to the first character that no name has, or that is cut. It can be sent to every service.
func printable(text string) string {
	for i, r := range text {
		if _, size := utf8.DecodeRuneInString(text[i:]); r == utf8.RuneError && size == 1 || !unicode.IsPrint(r) {
			return text[:i]
		}
	}
	return text
}

// Delete implements [ports.Vault]. It asks for 1,000 objects at a time.
func (v *Vault) Delete(ctx context.Context, names ...string) error {
	if err := enter(ctx, names...); err != nil || len(names) == 0 {
		return err
	}
	objects := func(yield func(minio.ObjectInfo) bool) {
		for _, name := range names {
			if !yield(minio.ObjectInfo{Key: v.prefix + name}) {
				return
			}
		}
	}
	results, err := v.core.RemoveObjectsWithIter(ctx, v.bucket, objects, minio.RemoveObjectsOptions{})
	if err != nil {
		return failure(ctx, err)
	}
	for result := range results {
		if err := failure(ctx, result.Err); err != nil && !errors.Is(err, ports.ErrObjectNotFound) {
			return err
		}
	}
	return enter(ctx)
}

// enter returns the error of a call that is refused.
func enter(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := ports.CheckObjectName(name); err != nil {
			return err
		}
	}
	return ports.Unavailable(ctx, ctx.Err())
}

// code returns the code of a service's answer, "" if there was none.
func code(err error) string { return answer(err).Code }

// answer returns a service's answer to a failed request, zero if there was none.
func answer(err error) (response minio.ErrorResponse) {
	_ = errors.As(err, &response)
	return response
}

// failure translates the error of a request.
func failure(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	response := answer(err)
	switch {
	case response.Code == minio.NoSuchKey:
		return ports.ErrObjectNotFound
	case response.StatusCode == http.StatusPreconditionFailed:
		return ports.ErrExists
	case response.StatusCode == http.StatusInsufficientStorage, slices.Contains([]string{"QuotaExceeded", "XMinioStorageFull", "XMinioAdminBucketQuotaExceeded"}, response.Code):
		return fmt.Errorf("%w: %w", ports.ErrVaultFull, err)
	case response.Code == minio.NoSuchBucket, slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusNotImplemented}, response.StatusCode):
		return fmt.Errorf("%w: %w", ports.ErrVaultDenied, err)
	}
	return ports.Unavailable(ctx, err)
}
