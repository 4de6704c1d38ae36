package s3

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"chatcore/ports"
)

// TestVault_Unfinished begins uploads in parts, as other programs do: those below the prefix are found and removed with their bytes, objects and other uploads stay.
func TestVault_Unfinished(t *testing.T) {
	s := serve(t)
	v, ctx := s.open(t, "/some"), t.Context()
	if err := v.Put(ctx, "log/seg/0000/a/0.0", []byte("object")); err != nil {
		t.Fatal(err)
	}
	if oldest, err := v.Unfinished(ctx); err != nil || !oldest.IsZero() {
		t.Errorf("without uploads: %v, error %v", oldest, err)
	}
	began := time.Now().Add(-time.Second)
	for _, key := range []string{"some/log/seg/0000/a/0.1", "some/log/seg/0000/a/0.1", "some/.hidden", "other/log"} {
		id, err := v.core.NewMultipartUpload(ctx, bucket, key, minio.PutObjectOptions{})
		if err == nil {
			_, err = v.core.PutObjectPart(ctx, bucket, key, id, 1, strings.NewReader("secret"), 6, minio.PutObjectPartOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	count := func() (n int) {
		t.Helper()
		page, err := v.core.ListMultipartUploads(ctx, bucket, "", "", "", "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Uploads)
	}
	if oldest, err := v.Unfinished(ctx); err != nil || oldest.Before(began) || oldest.After(time.Now().Add(time.Second)) {
		t.Errorf("the oldest upload is of %v, error %v", oldest, err)
	}
	if err := v.RemoveUnfinished(ctx, began); err != nil || count() != 4 {
		t.Errorf("uploads that are later are removed: %d are left, error %v", count(), err)
	}
	if err := v.RemoveUnfinished(ctx, time.Now().Add(time.Minute)); err != nil || count() != 2 {
		t.Errorf("%d uploads are left, error %v, want 2", count(), err)
	}
	if oldest, err := v.Unfinished(ctx); err != nil || !oldest.IsZero() {
		t.Errorf("afterwards: %v, error %v", oldest, err)
	}
	if body, err := v.Get(ctx, "log/seg/0000/a/0.0", 0, ports.WholeObject); err != nil || string(body) != "object" {
		t.Errorf("the object is %q, error %v", body, err)
	}
	s.change = func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Query().Has("uploads") {
			refuse(w, http.StatusForbidden, "AccessDenied")
		}
		return r.URL.Query().Has("uploads")
	}
	if _, err := v.Unfinished(ctx); !errors.Is(err, ports.ErrVaultDenied) {
		t.Errorf("without the right: %v", err)
	}
}
