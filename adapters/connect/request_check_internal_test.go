package connect

import (
	"net/http"
	"testing"
	"time"
)

// TestCallTimeout has the header of each protocol, and of no other, bound a call, in every unit and up to 30 s.
func TestCallTimeout(t *testing.T) {
	for _, row := range []struct {
		protocol     protocol
		header, text string
		want         time.Duration // 0 is an error
	}{
		{connectUnary, "", "", 10 * time.Second},
		{connectUnary, "Connect-Timeout-Ms", "250", 250 * time.Millisecond},
		{connectStream, "Connect-Timeout-Ms", "30001", 30 * time.Second},
		{connectUnary, "Connect-Timeout-Ms", "9999999999", 30 * time.Second},
		{connectUnary, "Connect-Timeout-Ms", "+5", 0},
		{connectUnary, "Grpc-Timeout", "1S", 10 * time.Second},
		{grpc, "", "", 10 * time.Second},
		{grpc, "Connect-Timeout-Ms", "250", 10 * time.Second},
		{grpc, "Grpc-Timeout", "99999999H", 30 * time.Second},
		{grpc, "Grpc-Timeout", "1M", 30 * time.Second},
		{grpc, "Grpc-Timeout", "2S", 2 * time.Second},
		{grpc, "Grpc-Timeout", "2m", 2 * time.Millisecond},
		{grpc, "Grpc-Timeout", "2u", 2 * time.Microsecond},
		{grpc, "Grpc-Timeout", "2n", 2 * time.Nanosecond},
		{grpc, "Grpc-Timeout", "2x", 0},
		{grpc, "Grpc-Timeout", "-2S", 0},
	} {
		header := make(http.Header)
		if row.header != "" {
			header.Set(row.header, row.text)
		}
		got, err := callTimeout(header, row.protocol)
		if got != row.want || (err != nil) != (row.want == 0) {
			t.Errorf("%v, %s: %s: %v, %v", row.protocol, row.header, row.text, got, err)
		}
	}
}
