package auth

import (
	"net/http"
	"testing"
)

func TestSameHost(t *testing.T) {
	to := func(url string) *http.Request {
		r, err := http.NewRequest(http.MethodGet, url, nil) //nolint:noctx // it is not sent
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for url, want := range map[string]bool{
		"https://id.example/": true, "https://id.example/other?x": true,
		"http://id.example/": false, "https://id.example:8443/": false, "https://evil.example/": false, "https://id.example.evil/": false, "https://id.example@evil.example/": false, "file:///": false,
	} {
		if err := sameHost(to(url), []*http.Request{to("https://id.example/keys")}); (err == nil) != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}
