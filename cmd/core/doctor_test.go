package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"chatcore/tests/redistest"
	"chatcore/tests/wait"
)

func TestTheDoctorEndsWithADanger(t *testing.T) {
	server := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	doctor := func(more ...string) (string, error) {
		out := &buffer{}
		cmd := command(out, &buffer{})
		cmd.SetArgs(append([]string{"doctor", "--redis-url", server.URL()}, more...))
		err := cmd.ExecuteContext(t.Context())
		return out.String(), err
	}
	if out, err := doctor(); err != nil || !strings.Contains(out, "there is no log in this namespace yet") {
		t.Errorf("%v:\n%s", err, out)
	}
	if n := server.Client(t).DBSize(t.Context()).Val(); n != 0 {
		t.Errorf("the doctor made %d keys", n)
	}
	s := &shell{t: t, base: []string{"--redis-url", server.URL()}}
	s.do("chat", "create", "c", "--as", "ada")
	if err := server.Client(t).ConfigSet(t.Context(), "appendonly", "no").Err(); err != nil {
		t.Fatal(err)
	}
	if out, err := doctor(); !errors.Is(err, errDanger) || !strings.Contains(out, "CONFIG SET appendonly yes") {
		t.Errorf("%v:\n%s", err, out)
	}
	out, err := doctor("--json")
	var v healthView
	if jsonErr := json.Unmarshal([]byte(out), &v); jsonErr != nil || !errors.Is(err, errDanger) {
		t.Fatalf("%v, %v: %s", jsonErr, err, out)
	}
	if !v.Ready || len(v.Log) != 1 || !slices.ContainsFunc(v.Findings, func(f findingView) bool { return f.Code == "no_aof" && f.Severity == "danger" }) {
		t.Errorf("%+v", v)
	}
}

func TestServingAnswersProbes(t *testing.T) {
	server := redistest.Start(t)
	sh := &shell{t: t, base: []string{"--redis-url", server.URL()}}
	_, errs, stop := sh.follow("serve", "--admin", "127.0.0.1:0")
	errs.until(t, "serving log")
	url := adminURL(t, errs)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	get := func(path string) int {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		return response.StatusCode
	}
	if live, ready := get("/livez"), get("/readyz"); live != 200 || ready != 200 {
		t.Errorf("live %d, ready %d", live, ready)
	}
	if err := server.Client(t).ConfigSet(t.Context(), "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	wait.Until(t, "the full server to be noticed", func() bool { return get("/readyz") == 503 })
	if live := get("/livez"); live != 200 {
		t.Errorf("out of memory: live %d", live)
	}
	stop()
	if logged := strings.Count(errs.String(), "msg=\"not ready\""); logged != 1 {
		t.Errorf("not ready is logged %d times:\n%s", logged, errs)
	}
}
