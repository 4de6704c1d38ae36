package connect

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// deadlineWriter is a response that notes the last write deadline, and at each write the deadline of that write.
type deadlineWriter struct {
	*httptest.ResponseRecorder
	deadline time.Time
	writing  func()
	fails    error
}

func (w *deadlineWriter) SetWriteDeadline(t time.Time) error {
	w.deadline = t
	return nil
}

func (w *deadlineWriter) Write(p []byte) (int, error) {
	w.writing()
	if w.fails != nil {
		return 0, w.fails
	}
	return w.ResponseRecorder.Write(p)
}

// within reports whether a deadline is at most d away, and not zero.
func (w *deadlineWriter) within(d time.Duration) bool {
	return !w.deadline.IsZero() && time.Until(w.deadline) <= d
}

// TestStreamWriter_Deadlines checks that each write has a deadline, that none remains afterwards, and that it is short once the stream has to end.
func TestStreamWriter_Deadlines(t *testing.T) {
	under := &deadlineWriter{ResponseRecorder: httptest.NewRecorder()}
	w := newStreamWriter(under)
	writes, want := 0, writeTimeout
	under.writing = func() {
		if writes++; !under.within(want) || want == writeTimeout && under.within(endTimeout) {
			t.Errorf("write %d has the deadline %v", writes, under.deadline)
		}
	}
	each := func() {
		t.Helper()
		w.hold()
		for range 3 {
			if _, err := w.Write([]byte("abc")); err != nil {
				t.Fatal(err)
			}
			w.Flush()
		}
		if err := w.release(); err != nil || !under.deadline.IsZero() {
			t.Fatalf("after a batch the deadline is %v, error %v", under.deadline, err)
		}
		if _, err := w.Write([]byte("d")); err != nil || !under.deadline.IsZero() {
			t.Fatalf("after a write the deadline is %v, error %v", under.deadline, err)
		}
	}
	each()
	if text := under.Body.String(); text != "abcabcabcd" || writes != 2 || !under.Flushed {
		t.Errorf("%d writes have written %q", writes, text)
	}
	under.writing = func() { // a write that is under way when the stream has to end
		w.hurry()
		if !under.within(endTimeout) {
			t.Errorf("a write that is under way has the deadline %v", under.deadline)
		}
	}
	if _, err := w.Write([]byte("e")); err != nil {
		t.Fatal(err)
	}
	want = endTimeout
	under.writing = func() {
		if !under.within(want) {
			t.Errorf("a later write has the deadline %v", under.deadline)
		}
	}
	each()
	under.fails = http.ErrHandlerTimeout
	w.hold()
	_, _ = w.Write([]byte("f"))
	if err := w.release(); !errors.Is(err, http.ErrHandlerTimeout) {
		t.Errorf("a failed write: %v", err)
	}
	w.close()
	under.deadline = time.Unix(1, 0)
	if w.hurry(); !under.deadline.Equal(time.Unix(1, 0)) {
		t.Error("a response is used after its handler")
	}
}
