package s3

import (
	"context"
	"iter"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"

	"chatcore/ports"
)

// uploadsTogether is the number of uploads that one request lists.
const uploadsTogether = 1000

// Unfinished implements [ports.UnfinishedWrites]: it returns when the oldest upload in parts began that is not complete. [Vault.Put] never begins one, other programs
// may have, such as tools that copy a bucket. It needs the right s3:ListBucketMultipartUploads.
func (v *Vault) Unfinished(ctx context.Context) (oldest time.Time, err error) {
	for upload, err := range v.uploads(ctx) {
		if err != nil {
			return oldest, err
		}
		if oldest.IsZero() || upload.Initiated.Before(oldest) {
			oldest = upload.Initiated
		}
	}
	return oldest, nil
}

// RemoveUnfinished implements [ports.UnfinishedWrites]. It needs the right s3:AbortMultipartUpload.
func (v *Vault) RemoveUnfinished(ctx context.Context, before time.Time) error {
	var old []minio.ObjectMultipartInfo
	for upload, err := range v.uploads(ctx) {
		if err != nil {
			return err
		}
		if upload.Initiated.Before(before) {
			old = append(old, upload)
		}
	}
	for _, upload := range old {
		if err := v.core.AbortMultipartUpload(ctx, v.bucket, upload.Key, upload.UploadID); err != nil && code(err) != minio.NoSuchUpload {
			return failure(ctx, err)
		}
	}
	return enter(ctx)
}

// uploads yields the uploads below the prefix that are not complete, of names that objects may have.
func (v *Vault) uploads(ctx context.Context) iter.Seq2[minio.ObjectMultipartInfo, error] {
	return func(yield func(minio.ObjectMultipartInfo, error) bool) {
		for key, id := "", ""; ; {
			page, err := v.core.ListMultipartUploads(ctx, v.bucket, v.prefix, key, id, "", uploadsTogether)
			if code(err) == minio.NoSuchUpload { // of some services, if there are none
				return
			}
			if err != nil {
				yield(minio.ObjectMultipartInfo{}, failure(ctx, err))
				return
			}
			for _, upload := range page.Uploads {
				if ports.CheckObjectName(strings.TrimPrefix(upload.Key, v.prefix)) == nil && !yield(upload, nil) {
					return
				}
			}
			if !page.IsTruncated {
				return
			}
			key, id = page.NextKeyMarker, page.NextUploadIDMarker
		}
	}
}
